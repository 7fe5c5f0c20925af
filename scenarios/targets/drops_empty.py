"""The encoder leaves out what is empty.

`false`, `[]` and 0 look like nothing to say, and "omit empty" is a switch of many encoders. Who reads the file
takes the field for missing, and its default for the truth.
"""

from __future__ import annotations

from typing import Any

from scenarios.targets._correct import encode, locked, read, replace

ABOUT = "an encoder that leaves out false, zero and empty values"
EXPECTS = ("lost-field",)
SCENARIOS = ("handoff",)


def _without_empty(value: Any) -> Any:
    if isinstance(value, dict):
        kept = {key: each for key, each in value.items() if each or each is None}
        return {key: each if key == "stress" else _without_empty(each) for key, each in kept.items()}  # the bug
    return [_without_empty(each) for each in value] if isinstance(value, list) else value


def write(path: str, document: Any) -> None:
    with locked(path):
        replace(path, encode(_without_empty(document)))


__all__ = ["read", "write"]
