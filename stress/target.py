"""Targets: what is tested. A Python module that defines some of the operations, beside it a Bash file, or a TOML file."""

from __future__ import annotations

__all__ = ["OPERATIONS", "DefiniteFailure"]

OPERATIONS = ("write", "read", "update", "append", "backup", "recover", "lock", "sweep")


class DefiniteFailure(Exception):
    """Raised by a target's operation that certainly changed nothing. Any other exception means: unknown."""
