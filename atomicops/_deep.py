# Copyright (c) the atomicops developers. SPDX-License-Identifier: MIT
"""JSON that the C code of :mod:`json` cannot take: nested deeper than the stack allows, or with endless numbers.

A loop instead of recursion, so that what is valid does not depend on how deep the caller's stack is. Slower by an order
of magnitude, and for few documents.
"""

from __future__ import annotations

import json
import re
from itertools import accumulate, zip_longest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

LEVELS_MAX = 10_000
_PIECE_DIGITS, _PIECE_BYTES = 640, 256  # so many digits int() and str() take whatever limit they have been given

_space = re.compile(r"[ \t\n\r]*").match
_number = re.compile(r"(-?(?:0|[1-9][0-9]*))(\.[0-9]+)?([eE][-+]?[0-9]+)?").match
_escapes = re.compile(r"\\.")
_strings = re.compile(r'"[^"]*"')
_string = json.decoder.scanstring  # type: ignore[attr-defined]
_CONSTANTS = (("true", True), ("false", False), ("null", None))
_STEPS = {"[": 1, "{": 1, "]": -1, "}": -1}


def levels(text: str) -> int:
    """How deep the arrays and objects of a valid JSON text are nested."""
    if text.count("[") + text.count("{") <= LEVELS_MAX:
        return 0  # not too deep, and nobody wants to know more
    brackets = filter(_STEPS.get, _strings.sub("", _escapes.sub("", text)))
    return max(accumulate(map(_STEPS.__getitem__, brackets)))


def long_int(text: str) -> int:
    """int() without its limit of digits. It takes a time that grows with their number to the power of 1.6, not 2."""
    digits = text.removeprefix("-")
    ends = range(len(digits), 0, -_PIECE_DIGITS)
    pieces = [int(digits[max(0, end - _PIECE_DIGITS) : end]) for end in ends]
    value: int = _joined(pieces, 10**_PIECE_DIGITS)
    return value if digits is text else -value


def _joined(pieces: list[Any], base: Any) -> Any:
    """The number that has these digits, the lowest first, in this base: pairs become digits of the base's square."""
    while len(pieces) > 1:
        pieces = [low + high * base for low, high in zip_longest(pieces[::2], pieces[1::2], fillvalue=0)]
        if len(pieces) > 1:
            base *= base
    return pieces[0]


def decode(
    text: str,
    pairs: Callable[[list[tuple[str, Any]]], Any],
    to_float: Callable[[str], Any],
    to_int: Callable[[str], Any],
) -> Any:
    """What ``json.loads`` would give. Raises JSONDecodeError, and TooDeep past ``LEVELS_MAX`` levels."""
    # Of each open container: its list of items or pairs, and of an object the key that waits for its value.
    open_: list[list[Any]] = []
    keys: list[str | None] = []
    at = _end(_space, text, 0)
    while True:
        opening = text[at : at + 1]
        if opening and opening in "[{":
            at = _end(_space, text, at + 1)
            if len(open_) == LEVELS_MAX:
                raise TooDeep
            open_.append([])
            keys.append(None)
            if text[at : at + 1] != ("]" if opening == "[" else "}"):
                if opening == "{":
                    keys[-1], at = _key(text, at)
                else:
                    keys[-1] = _ARRAY
                continue
            value: Any = [] if opening == "[" else pairs([])
            open_.pop()
            keys.pop()
            at += 1
        else:
            value, at = _scalar(text, at, to_float, to_int)
        while True:  # the value is complete: into its container, and that may be complete, too
            at = _end(_space, text, at)
            if not open_:
                if at != len(text):
                    raise json.JSONDecodeError("Extra data", text, at)
                return value
            key = keys[-1]
            open_[-1].append(value if key is _ARRAY else (key, value))
            mark = text[at : at + 1]
            if mark == ",":
                at = _end(_space, text, at + 1)
                if key is not _ARRAY:
                    keys[-1], at = _key(text, at)
                break
            if mark != ("]" if key is _ARRAY else "}"):
                raise json.JSONDecodeError("Expecting ',' delimiter", text, at)
            items = open_.pop()
            value = items if keys.pop() is _ARRAY else pairs(items)
            at += 1


class TooDeep(Exception):
    """Nested deeper than ``LEVELS_MAX`` levels."""


_ARRAY = "the key of an array's items: none"


def _end(match: Callable[[str, int], Any], text: str, at: int) -> int:
    return int(match(text, at).end())


def _key(text: str, at: int) -> tuple[str, int]:
    if text[at : at + 1] != '"':
        raise json.JSONDecodeError("Expecting property name enclosed in double quotes", text, at)
    key, at = _string(text, at + 1, True)
    at = _end(_space, text, at)
    if text[at : at + 1] != ":":
        raise json.JSONDecodeError("Expecting ':' delimiter", text, at)
    return key, _end(_space, text, at + 1)


def _scalar(text: str, at: int, to_float: Callable[[str], Any], to_int: Callable[[str], Any]) -> tuple[Any, int]:
    if text[at : at + 1] == '"':
        value: tuple[Any, int] = _string(text, at + 1, True)
        return value
    number = _number(text, at)
    if number:
        whole, fraction, exponent = number.groups()
        digits = number.group()
        return to_int(whole) if fraction is None is exponent else to_float(digits), number.end()
    for word, constant in _CONSTANTS:
        if text.startswith(word, at):
            return constant, at + len(word)
    raise json.JSONDecodeError("Expecting value", text, at)


def encode(data: Any, indent: int | str | None) -> str:
    """What ``json.dumps`` would give, with ``ensure_ascii=False``. Raises TypeError, ValueError, TooDeep."""
    parts: list[str] = []
    # Of each container that is open, from the outside: what its own container has still to come, its closing bracket,
    # and its identity.
    open_: list[tuple[Any, str, int]] = []
    inside: set[int] = set()  # or what holds itself would be written 10,000 times, with all that it holds
    first = True
    waiting: Any = iter([data])
    step = indent if isinstance(indent, str) else " " * (indent or 0)
    scalar = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode
    while True:
        for item in waiting:
            if open_:
                parts.append("" if first else "," if indent is not None else ", ")
                if indent is not None:
                    parts.append("\n" + step * len(open_))
                if open_[-1][1] == "}":
                    key, item = item
                    if not isinstance(key, str):
                        raise ValueError(f"key {key!r} is not a string")
                    parts.append(scalar(key) + ": ")
            first = False
            is_container = isinstance(item, (dict, list, tuple))
            if is_container and len(open_) == LEVELS_MAX:
                raise TooDeep
            if is_container and item:
                if id(item) in inside:
                    raise ValueError("Circular reference detected")
                inside.add(id(item))
                is_object = isinstance(item, dict)
                open_.append((waiting, "}" if is_object else "]", id(item)))
                parts.append("{" if is_object else "[")
                waiting, first = iter(item.items() if isinstance(item, dict) else item), True
                break
            parts.append(_whole(item) if type(item) is int else scalar(item))
        else:
            if not open_:
                return "".join(parts)
            waiting, closing, which = open_.pop()
            inside.remove(which)
            if indent is not None:
                parts.append("\n" + step * len(open_))
            parts.append(closing)
            first = False


def _whole(number: int) -> str:
    """str() without its limit of digits, and in nearly linear time: ``decimal`` multiplies so."""
    data = abs(number).to_bytes(number.bit_length() // 8 + 1, "little")
    if len(data) <= _PIECE_BYTES:
        return str(number)
    from decimal import MAX_EMAX, MAX_PREC, Context, Decimal, Inexact, localcontext

    pieces = [
        Decimal(int.from_bytes(data[at : at + _PIECE_BYTES], "little")) for at in range(0, len(data), _PIECE_BYTES)
    ]
    with localcontext(Context(MAX_PREC, Emax=MAX_EMAX, traps=[Inexact])):
        text = format(_joined(pieces, Decimal(1 << 8 * _PIECE_BYTES)), "f")
    return text if number >= 0 else f"-{text}"
