"""The changed field is merged into a copy of the document that was read earlier.

It saves a read. The field that was changed is right, and all others are as they were when the copy was made.
"""

from __future__ import annotations

from typing import Any

from scenarios.targets._correct import Change, encode, locked, read, replace

ABOUT = "updates that merge what changed into an older copy"
EXPECTS = ("lost-field",)
SCENARIOS = ("session_count",)

_copy: dict[str, Any] = {}


def update(path: str, change: Change) -> None:
    with locked(path):
        before = read(path)
        after = change(dict(before))
        old = _copy.setdefault(path, before)
        changed = {key: value for key, value in after.items() if before.get(key) != value}
        own = {key: value for key, value in changed.items() if key != "session_count"}
        replace(path, encode({**old, **own}))  # the bug: the count is the old copy's
        _copy[path] = {**old, **own}


__all__ = ["read", "update"]
