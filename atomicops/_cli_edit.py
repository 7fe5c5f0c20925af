"""The changes that ``python -m atomicops update`` can make: edits by path, or any command as a filter."""

from __future__ import annotations

import argparse
import os

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
    if text.startswith("/"):
        return [key.replace("~1", "/").replace("~0", "~") for key in text[1:].split("/")]
    if not text or "" in text.split("."):
        raise argparse.ArgumentTypeError(f"{text!r} is not a path like a.b.0 or /a/b/0")
    return text.split(".")


def _edit(text: str, change: Callable[[Any, str, Any], None], fallback: str | None) -> Edit:
    path, equals, value_text = text.partition("=")
    if not equals:
        if fallback is None:
            raise argparse.ArgumentTypeError(f"{text!r} is not PATH=JSON")
        value_text = fallback
    keys = split_path(path)
    try:
        value = _exits.json_argument(value_text)
    except _exits.Stop:
        hint = "a string needs its quotes: '\"text\"'"
        raise argparse.ArgumentTypeError(f"{value_text!r} is not JSON ({hint})") from None

    def apply(data: Any) -> Any:
        node = data
        for key in keys[:-1]:
            node = _child(node, key)
        change(node, keys[-1], value)
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
    if not key.isdecimal() or int(key) >= len(node):
        raise ValueError(f"{key!r} is not an index of an array of {len(node)}")
    return int(key)


def _set(node: Any, key: str, value: Any) -> None:
    node[key if isinstance(node, dict) else _index(node, key)] = value


def _increment(node: Any, key: str, value: Any) -> None:
    old = node.get(key, 0) if isinstance(node, dict) else _element(node, key)
    for number in (old, value):
        if isinstance(number, bool) or not isinstance(number, (int, float)):
            raise ValueError(f"{key!r} cannot be incremented: {number!r} is not a number")
    _set(node, key, old + value)


def _append(node: Any, key: str, value: Any) -> None:
    array = node.setdefault(key, []) if isinstance(node, dict) else _element(node, key)
    if not isinstance(array, list):
        raise ValueError(f"{key!r} is not an array")
    array.append(value)


def _delete(node: Any, key: str, _: Any) -> None:
    if isinstance(node, dict):
        node.pop(key, None)
    elif isinstance(node, list) and key.isdecimal() and int(key) < len(node):
        del node[int(key)]


ACTIONS: dict[str, Callable[[str], Edit]] = {
    "set": lambda text: _edit(text, _set, None),
    "increment": lambda text: _edit(text, _increment, "1"),
    "append": lambda text: _edit(text, _append, None),
    "delete": lambda text: _edit(text + "=null", _delete, None),
}


def apply_edits(data: Any, edits: list[Edit]) -> Any:
    for edit in edits:
        data = edit(data)
    return data


class Filter:
    """A command that gets the document on standard input and prints the new one."""

    def __init__(self, command: list[str]) -> None:
        self.command = command

    def run(self, path: str, default: str | None, durability: str, timeout: float | None) -> int:
        import subprocess

        from ._json import why_not_json
        from ._replace import Writer, read_bytes, write_all

        with Writer(path, durability, timeout, make_parents=default is not None) as writer:
            content = read_bytes(writer.place)
            if content is None:
                if default is None:
                    return _exits.complain(_exits.MISSING, path, "no such file", "give --default JSON to start from")
                content = os.fsencode(default) + b"\n"
            reason = why_not_json(content)
            if reason is not None:
                return _exits.complain(_exits.DATA, path, f"corrupt: {reason}", "see 'recover'")
            try:
                done = subprocess.run(self.command, input=content, stdout=subprocess.PIPE, check=False)
            except (FileNotFoundError, PermissionError) as error:
                return _exits.complain(_exits.PROGRAM, self.command[0], str(error.strerror), "install it")
            if done.returncode:
                why = f"the command {self.command[0]!r} failed with status {done.returncode} (unchanged)"
                return _exits.complain(_exits.DATA, path, why, "correct the command")
            reason = why_not_json(done.stdout)
            if reason is not None:
                why = f"the command {self.command[0]!r} did not print one JSON value ({reason}) (unchanged)"
                return _exits.complain(_exits.DATA, path, why, "correct the command")
            writer.replace(lambda fd: write_all(fd, done.stdout))
        return 0
