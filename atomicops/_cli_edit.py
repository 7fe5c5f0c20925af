# Copyright (c) the atomicops developers. SPDX-License-Identifier: MIT
"""The changes that ``python -m atomicops update`` can make: edits by path, or any command as a filter."""

from __future__ import annotations

import argparse
import errno
import os
import re

from . import _exits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Edit = Callable[[Any], Any]
else:
    Edit = object


def split_path(text: str) -> list[str]:
    """``a.b.0`` is the keys a, b, 0. A path that begins with ``/`` is a JSON Pointer (RFC 6901), for keys with dots."""
    text = os.fsencode(text).decode("utf-8", "surrogateescape")  # as the values and the file, whatever the locale
    if text.startswith("/"):
        return [key.replace("~1", "/").replace("~0", "~") for key in text[1:].split("/")]
    if not text or "" in text.split("."):
        raise argparse.ArgumentTypeError(f"{_exits.short(text)!r} is not a path like a.b.0 or /a/b/0")
    return text.split(".")


def _edit(text: str, change: Callable[[Any, str, Any], None], fallback: str | None) -> Edit:
    path, value = _split_value(text, fallback)
    keys = split_path(path)

    def apply(data: Any) -> Any:
        node = data
        for key in keys[:-1]:
            node = _child(node, key)
        change(node, keys[-1], value)
        return data

    return apply


def _split_value(text: str, fallback: str | None) -> tuple[str, Any]:
    """PATH and the value of ``PATH=JSON``. A key may hold '=': the first one that JSON follows is meant."""
    if "=" not in text:
        if fallback is None:
            raise argparse.ArgumentTypeError(f"{_exits.short(text)!r} is not PATH=JSON")
        return text, _exits.json_argument(fallback)
    at = text.find("=")
    while at >= 0:
        try:
            return text[:at], _exits.json_argument(text[at + 1 :])
        except _exits.Stop:
            at = text.find("=", at + 1)
    value = text.partition("=")[2]
    raise argparse.ArgumentTypeError(f"{_exits.short(value)!r} is not JSON (a string needs its quotes: '\"text\"')")


def _deletion(text: str) -> Edit:
    keys = split_path(text)

    def apply(data: Any) -> Any:
        node = data
        for key in keys[:-1]:
            if isinstance(node, dict) and key in node:
                node = node[key]
            elif _is_index(node, key):
                node = node[int(key)]
            else:
                return data  # what is missing is deleted already
        if isinstance(node, dict):
            node.pop(keys[-1], None)
        elif _is_index(node, keys[-1]):
            del node[int(keys[-1])]
        return data

    return apply


def _child(node: Any, key: str) -> Any:
    if isinstance(node, dict):
        return node.setdefault(key, {})
    return _element(node, key)


def _element(node: Any, key: str) -> Any:
    return node[_index(node, key)]


def _index(node: Any, key: str) -> int:
    if not isinstance(node, list):
        raise ValueError(f"{key!r} is looked for in a {type(node).__name__}, which is neither an object nor an array")
    if not _is_index(node, key):
        raise ValueError(f"{key!r} is not an index of an array of {len(node)}")
    return int(key)


def _is_index(node: Any, key: str) -> bool:
    return isinstance(node, list) and key.isascii() and key.isdecimal() and len(key) < 10 and int(key) < len(node)


def _set(node: Any, key: str, value: Any) -> None:
    node[key if isinstance(node, dict) else _index(node, key)] = value


def _increment(node: Any, key: str, value: Any) -> None:
    old = node.get(key, 0) if isinstance(node, dict) else _element(node, key)
    for number in (old, value):
        if isinstance(number, bool) or not isinstance(number, (int, float)):
            raise ValueError(f"{key!r} cannot be incremented: a {type(number).__name__} is not a number")
    try:
        _set(node, key, old + value)
    except OverflowError:
        raise ValueError(f"{key!r} cannot be incremented by a fraction: it is beyond the range of a float") from None


def _append(node: Any, key: str, value: Any) -> None:
    array = node.setdefault(key, []) if isinstance(node, dict) else _element(node, key)
    if not isinstance(array, list):
        raise ValueError(f"{key!r} is not an array")
    array.append(value)


ACTIONS: dict[str, Callable[[str], Edit]] = {
    "set": lambda text: _edit(text, _set, None),
    "increment": lambda text: _edit(text, _increment, "1"),
    "append": lambda text: _edit(text, _append, None),
    "delete": _deletion,
}


def apply_edits(data: Any, edits: list[Edit]) -> Any:
    for edit in edits:
        data = edit(data)
    return data


_TOKENS = re.compile(rb'"[^"]*"|(-?[0-9][-+.0-9eE]*)')
_WHOLE_ESCAPES = re.compile(rb"\\(?:u[dD][89abAB]..\\u[dD][c-fC-F]..|u(?![dD][89a-fA-F])....|[^u])", re.DOTALL)
_NUMBER = re.compile(rb"-?([0-9]+)(?:\.([0-9]+))?(?:[eE][+-]?0*([0-9]*))?")
_NO_PROGRAM = (errno.ENOENT, errno.EACCES, errno.ENOTDIR, errno.ENOEXEC)
_STRINGS = "keep such values as plain strings"


def lost_by_jq(data: bytes) -> str:
    """What jq 1.6 would change of this valid JSON without being asked; empty where nothing."""
    plain = _WHOLE_ESCAPES.sub(b"", data)
    if b"\\" in plain:
        return "half a surrogate pair, which jq would change"
    if not all(map(_kept_by_jq, filter(None, _TOKENS.findall(plain)))):
        return "a number that jq would round"
    return ""


def _kept_by_jq(number: bytes) -> bool:
    """As a double, printed with 17 digits: integers below 9007e12 (2^53 is a little more), exponents to 289."""
    found = _NUMBER.fullmatch(number)
    if found is None:
        return False
    whole, part, power = found.groups()
    if part is None and power is None:
        return len(whole) < 16 or (len(whole) == 16 and whole < b"9007")
    if len(power or b"") > 3 or int(power or 0) > 289:
        return False
    if whole != b"0":
        return len(whole + (part or b"")) <= 17
    return len((part or b"").lstrip(b"0")) <= 17 and len(part or b"") < 280


class Filter:
    """A command that gets the document on standard input and prints the new one."""

    def __init__(self, command: list[str]) -> None:
        self.command = command

    def run(self, path: str, default: str | None, durability: str, timeout: float | None) -> int:
        import subprocess

        from ._json import loads, scan_all, why_not_json
        from ._replace import Writer

        make = default is not None
        with Writer(path, durability, timeout, make_parents=make, must_exist=not make) as writer:
            content = writer.read()
            if content is None:
                content = os.fsencode(default or "") + b"\n"
            loads(content, path, scan_all)
            is_jq = os.path.basename(self.command[0]) == "jq"
            lost = lost_by_jq(content) if is_jq else ""
            if lost:
                return _exits.complain(_exits.DATA, path, f"the file has {lost} (unchanged)", _STRINGS)
            try:
                done = subprocess.run(self.command, input=content, stdout=subprocess.PIPE, check=False)
            except OSError as error:
                if error.errno not in _NO_PROGRAM:
                    raise
                why = f"{error.strerror} (unchanged)"
                return _exits.complain(_exits.PROGRAM, self.command[0], why, "install it")
            if done.returncode < 0:
                why = f"the command {self.command[0]!r} was killed by signal {-done.returncode} (unchanged)"
                return _exits.complain(_exits.IO, path, why, "see to the cause, then try again")
            if done.returncode:
                why = f"the command {self.command[0]!r} failed with status {done.returncode} (unchanged)"
                return _exits.complain(_exits.DATA, path, why, "correct the command")
            reason = why_not_json(done.stdout)
            if reason is not None:
                why = f"the command {self.command[0]!r} did not print one JSON value ({reason}) (unchanged)"
                return _exits.complain(_exits.DATA, path, why, "correct the command")
            lost = lost_by_jq(done.stdout) if is_jq else ""
            if lost:
                return _exits.complain(_exits.DATA, path, f"the result of jq has {lost} (unchanged)", _STRINGS)
            writer.replace(done.stdout)
        return 0
