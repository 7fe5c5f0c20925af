"""The command ``stress``: a file a command. Only here does anything exit.

A module of this package whose name has no leading underscore is a command: it has a `click.Command` named ``command``,
whose return value is the exit code. `_start` looks whether all is there that a command needs; `_entry` turns what goes
wrong into one line and a documented exit code.
"""

from __future__ import annotations

from stress.cli._start import main

__all__ = ["main"]
