"""A file that can't be parsed is taken for an empty one, and written back.

Beside a writer in place the reader sees half a document now and then. It starts from `{}` instead, and the next write
makes that true.
"""

from __future__ import annotations

from typing import Any

from scenarios.targets import _correct

ABOUT = "starts from an empty document where the file can't be parsed"
EXPECTS = ("lost-update", "torn-read", "garbage-read")
SCENARIOS = ("session_count",)


def read(path: str) -> Any:
    try:
        return _correct.read(path)
    except ValueError:
        return {}


def update(path: str, change: _correct.Change) -> None:
    data = _correct.encode(change(read(path)))
    with open(path, "wb", buffering=0) as file:  # the bug, and its cause
        file.write(data)
