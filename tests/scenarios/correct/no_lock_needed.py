"""Blind writes by rename: nobody builds upon what he read, so nobody needs a lock."""

from __future__ import annotations

from typing import Any

import parts

SCENARIOS = ("handoff", "completion", "config")

read = parts.read


def write(path: str, document: Any) -> None:
    parts.replace(path, parts.encode(document))
