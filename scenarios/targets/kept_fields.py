"""A write merges the document into the one that is there.

"Save what I have" by `{**old, **new}`, or `jq -s '.[0] * .[1]'`: a field that the new document does not have stays as
the old one had it, for ever.
"""

from __future__ import annotations

from typing import Any

from scenarios.targets._correct import encode, locked, read, replace

ABOUT = "merges what it writes into the document that is there"
EXPECTS = ("lost-field",)
SCENARIOS = ("handoff",)


def write(path: str, document: Any) -> None:
    with locked(path):
        replace(path, encode({**read(path), **document}))  # the bug


__all__ = ["read", "write"]
