"""Writers lock each other out and write in place; readers take no lock.

As long as everybody who opens the file asks for the lock, a write in place is whole. A reader that does not, such as
`cat`, `jq` or an editor, sees the half of it that is there.
"""

from __future__ import annotations

from typing import Any

from scenarios.targets._correct import encode, locked, read, write_in_place

ABOUT = "writes in place under a lock that readers do not take"
EXPECTS = ("torn-read",)
SCENARIOS = ("handoff",)


def write(path: str, document: Any) -> None:
    with locked(path):
        write_in_place(path, encode(document))  # the bug


__all__ = ["read", "write"]
