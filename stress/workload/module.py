"""A module of a user's: executed in each process that works with it, and never in one of the tool's own."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from stress import plugins

IMPORT_S = 60.0
"""How long a module of the user's may take to be imported."""


class TargetError(ValueError):
    """A target that can't be used; the message is one line that says why and what would do."""


def asked(path: Path, called: str, told: Callable[[ModuleType], Any]) -> Any:
    """What ``told`` says of the module, in the types of JSON: it is executed in a child, of which nothing stays.

    ``called``: the path as the user has it. Raises `TargetError`.
    """
    from stress.host.child import in_child

    with tempfile.TemporaryFile("w+", encoding="utf-8") as answer:

        def body() -> None:
            try:
                json.dump({"told": told(execute(path, called))}, answer, default=str)
            except TargetError as error:
                json.dump(str(error), answer)
            answer.flush()

        try:
            status = in_child(body, "stress-import", IMPORT_S)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"interrupted while {called!r} was being imported") from None
        answer.seek(0)
        text = answer.read()
    if status is None:
        raise TargetError(
            f"{called!r}: its import did not end within {IMPORT_S} s; put what it does as a program under "
            '`if __name__ == "__main__":`'
        )
    if not text:
        raise TargetError(f"{called!r}: its import ended the process that it was in (exit status {status})")
    said = json.loads(text)
    if isinstance(said, str):
        raise TargetError(said)
    _homes[path] = os.getcwd()
    _modules.pop(path, None)  # it has changed
    return said["told"]


_homes: dict[Path, str] = {}
"""Module of the user's → the current directory when it was named, which is not that of a worker."""
_modules: dict[Path, ModuleType] = {}
"""Module of the user's → what its execution has made in this process."""


def executed(path: Path) -> ModuleType:
    """The module that was `asked`, as this process has it; it is executed at the first call. Raises `TargetError`."""
    if path not in _modules:
        there = os.getcwd()
        os.chdir(_homes[path])
        try:
            _modules[path] = execute(path, str(path))
        finally:
            os.chdir(there)
    return _modules[path]


def execute(path: Path, called: str) -> ModuleType:
    """Import the file as a module; raises `TargetError`, which names the line."""
    # Two modules of one file name, from two folders, are two modules.
    folder_mark = hashlib.sha256(os.fsencode(path.parent)).hexdigest()[:12]
    spec = importlib.util.spec_from_file_location(f"stress_target_{folder_mark}_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    folder = path.parent
    # As for a script, its neighbours can be imported; those of the targets that ship with scenarios are other targets.
    shipped = plugins.owner(path)
    if shipped is None and str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    try:
        with _clocks_kept(called):
            spec.loader.exec_module(module)
    except TargetError:
        raise
    except BaseException as error:
        where = _line_in(error, path)
        if shipped is not None and isinstance(error, ImportError) and error.path:
            where += "; a module of yours is in the way: rename it, or keep its folder off the path"
        raise TargetError(
            f"{called!r} could not be imported: {type(error).__name__}: {one_line(error)}{where}"
        ) from error
    return module


@contextmanager
def _clocks_kept(called: str) -> Iterator[None]:
    """Put back the clocks that an import replaces, and refuse that: by one that stands still, no wait here ends."""
    clocks = {name: getattr(time, name) for name in ("monotonic", "monotonic_ns", "sleep", "time", "time_ns")}
    yield
    replaced = [name for name, clock in clocks.items() if getattr(time, name) is not clock]
    for name in replaced:
        setattr(time, name, clocks[name])
    if replaced:
        raise TargetError(
            f"{called!r}: importing it replaces time.{replaced[0]}, by which stress itself waits; replace it within "
            "the operations"
        )


def one_line(what: object) -> str:
    """What somebody else says, in a line."""
    return re.sub(r"\s+", " ", str(what)).strip()


def _line_in(error: BaseException, path: Path) -> str:
    line = 0
    trace = error.__traceback__
    while trace is not None:
        if Path(trace.tb_frame.f_code.co_filename) == path:
            line = trace.tb_lineno
        trace = trace.tb_next
    return f" (line {line})" if line else ""
