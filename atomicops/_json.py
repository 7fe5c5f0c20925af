# Copyright (c) the atomicops developers. SPDX-License-Identifier: MIT
"""JSON documents: written, read, and changed under the file's lock."""

from __future__ import annotations

import errno
import json
import os
import re
import sys

from . import _carriers
from ._descriptors import open_owned
from ._errors import CannotCheck, CorruptFile, fail, failed
from ._lock import TIMEOUT_S
from ._paths import check_regular
from ._replace import ABSENT, Writer, encode, read_all, version

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, NoReturn

    from ._errors import Path


class _Missing:
    def __repr__(self) -> str:
        return "<no default>"


class _NotJson(ValueError):
    """Of the hooks, to be told from what int() raises for a number of too many digits."""


_MISSING = _Missing()
_BOM = b"\xef\xbb\xbf"
# How ``json`` writes a key that was no string. A string that holds this is found too; then the data itself is asked.
_maybe_other_key = re.compile(r'"(?:-?[0-9][0-9.e+-]*|true|false|null)": ').search
_LEVELS_MAX = 10_000
_TOO_DEEP = "nested deeper than 10,000 levels"
_SCALARS = frozenset((str, int, float, bool, type(None)))


def _refuse_constant(name: str) -> NoReturn:
    raise _NotJson(f"{name} is not JSON")


def _all_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) != len(pairs):
        from collections import Counter

        counts = Counter(key for key, _ in pairs)
        twice = next(key for key, count in counts.items() if count > 1)
        raise _NotJson(f"an object has the key {twice!r} twice, and one of the two would be lost")
    return data


def _exact(text: str) -> float:
    number = float(text)
    if repr(number) != text:
        from decimal import Decimal

        try:
            is_kept = Decimal(text) == Decimal(repr(number))
        except ArithmeticError:  # an exponent beyond even this
            is_kept = False
        if not is_kept:
            raise _NotJson(f"the number {text[:40]} has more digits than a float, and some would be lost")
    return number


_compact = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode
_decode = json.JSONDecoder(parse_constant=_refuse_constant).decode
# Of what is going to be written again: what would be lost by that is refused. And the same for who wants no numbers.
decode_all = json.JSONDecoder(parse_constant=_refuse_constant, object_pairs_hook=_all_pairs, parse_float=_exact).decode
scan_all = json.JSONDecoder(
    parse_constant=_refuse_constant, object_pairs_hook=_all_pairs, parse_float=_exact, parse_int=len
).decode
# Only to know whether it is JSON.
_scan = json.JSONDecoder(parse_int=len, parse_float=len, parse_constant=_refuse_constant).decode


class Snapshot:
    """What a JSON file held at one moment. Unpacks as ``data, version``.

    Attributes: ``data`` the parsed value; ``version`` ``"sha256-…"`` of the file's bytes, or ``"absent"``.
    """

    __slots__ = ("data", "version")
    data: Any
    version: str

    def __init__(self, data: Any, version: str) -> None:
        object.__setattr__(self, "data", data)
        object.__setattr__(self, "version", version)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("a Snapshot is a value: it does not change")

    def __iter__(self) -> Iterator[Any]:
        return iter((self.data, self.version))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Snapshot) and (self.data, self.version) == (other.data, other.version)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Snapshot(data={self.data!r}, version={self.version!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return Snapshot, (self.data, self.version)


def dumps(data: Any, indent: int | str | None = None) -> bytes:
    """The document's bytes, newline at the end. ValueError for whatever would not come back as it went in."""
    if isinstance(indent, str) and indent.strip(" \t\n\r"):  # `json` would put it in as it is
        raise ValueError(f"indent is {indent!r}; choose a number of spaces, or None")
    try:
        if indent is None:
            text = _compact(data)
        else:
            text = json.dumps(data, ensure_ascii=False, allow_nan=False, indent=indent)
    except TypeError as error:
        raise ValueError(f"data cannot be serialized as JSON: {error}") from error
    except (ValueError, RecursionError):
        text = _deep_dumps(data, indent)
    if len(text) > _LEVELS_MAX and _too_deep(text):
        raise ValueError(f"data cannot be serialized as JSON: {_TOO_DEEP}")
    if _maybe_other_key(text):
        _refuse_other_keys(data)
    return encode(text + "\n")


def _deep_dumps(data: Any, indent: int | str | None) -> str:
    from . import _deep

    try:
        return _deep.encode(data, indent)
    except _deep.TooDeep:
        raise ValueError(f"data cannot be serialized as JSON: {_TOO_DEEP}") from None
    except (TypeError, ValueError) as error:
        raise ValueError(f"data cannot be serialized as JSON: {error}") from error


def _too_deep(text: str) -> bool:
    # Until 3.12, C counts its levels against that limit too, and it has come through. To count them again takes longer
    # than all the rest.
    if sys.version_info < (3, 12) and sys.getrecursionlimit() <= _LEVELS_MAX:
        return False
    with _carriers.fork_guard: from ._deep import LEVELS_MAX, levels  # fmt: skip  # noqa: E701, I001

    return levels(text) > LEVELS_MAX


def _refuse_other_keys(data: Any) -> None:
    """``json`` turns the keys 1, True and None into strings: {1: …, "1": …} would become one key given twice."""
    stack: list[Any] = [data]
    while stack:
        node = stack.pop()
        if isinstance(node, dict):
            try:
                "".join(node)  # the quickest question whether all are strings
            except TypeError:
                key = next(key for key in node if not isinstance(key, str))
                raise ValueError(f"data cannot be serialized as JSON: key {key!r} is not a string") from None
            node = node.values()
        elif not isinstance(node, (list, tuple)):
            continue
        if not _SCALARS.issuperset(map(type, node)):  # most containers hold scalars only, and this is quick to ask
            stack += [value for value in node if value.__class__ not in _SCALARS]


def loads(data: bytes, filename: object, decode: Callable[[str], Any] = _decode) -> Any:
    """Parse one JSON value in UTF-8. Raises CorruptFile with the reason, and CannotCheck.

    ``decode_all`` is for a file that is going to be replaced by what is returned: ValueError where that would lose
    what nobody asked to change, because an object has a key twice, or a number more digits than a float.
    """
    try:
        return _parse(data, decode)
    except _NotJson as error:
        if decode is not _decode and why_not_json(data) is None:
            raise ValueError(str(error)) from None
        raise CorruptFile(filename, str(error)) from None
    except CannotCheck as error:
        error.filename = filename
        raise
    except ValueError as error:
        raise CorruptFile(filename, _reason(data, error)) from error


def why_not_json(data: bytes) -> str | None:
    """The reason why ``data`` is not exactly one JSON value (RFC 8259), or ``None``. Raises CannotCheck."""
    try:
        _parse(data, _scan)
    except ValueError as error:
        return _reason(data, error)
    return None


def _parse(data: bytes, decode: Callable[[str], Any]) -> Any:
    """One definition of what is JSON, however deep, and however deep the caller's stack: see ``_deep``."""
    text = str(data[len(_BOM) :] if data.startswith(_BOM) else data, "utf-8")
    try:
        value = decode(text)
    except (json.JSONDecodeError, _NotJson):
        raise
    except (ValueError, RecursionError):  # too many digits for int(), or too many levels for C
        from . import _deep

        try:
            pairs, to_float = (_all_pairs, _exact) if decode in (decode_all, scan_all) else (dict, float)
            return _deep.decode(text, pairs, to_float, len if decode in (_scan, scan_all) else _deep.long_int)
        except _deep.TooDeep:
            raise CannotCheck(errno.EOVERFLOW, f"could not check: {_TOO_DEEP}") from None
    if len(text) > _LEVELS_MAX and _too_deep(text):
        raise CannotCheck(errno.EOVERFLOW, f"could not check: {_TOO_DEEP}")
    return value


def _reason(data: bytes, error: Exception) -> str:
    if not data.strip(b" \t\r\n"):
        return "it is empty" if not data else "it holds only white space"
    if isinstance(error, UnicodeDecodeError):
        return f"not UTF-8: {error.reason} at byte {error.start}"
    return str(error)


def atomic_write_json(
    data: Any,
    target_path: Path,
    *,
    durability: str = "full",
    if_version: str | None = None,
    timeout: float | None = TIMEOUT_S,
    indent: int | None = None,
) -> None:
    """Replace the file by ``data`` as one JSON document in UTF-8, ending in a newline.

    The data is serialised in full before the disk is touched. Refused with ``ValueError``, because they would not come
    back as they went in: sets and other foreign types, NaN and infinities, keys that are not strings, lone surrogates.

    Args:
        data: what to write; dictionaries as a rule, but any JSON value will do.
        target_path: the file to replace or to make; see :func:`atomic_write_bytes` for what is kept of it.
        durability, if_version, timeout: as for :func:`atomic_write_bytes`.
        indent: spaces for each level, for a file that people read; ``None`` (one line) is several times as fast.

    Raises:
        ValueError: the data cannot be serialised; nothing was touched.
        LockTimeout, VersionConflict, CommittedNotDurable, OSError: as for :func:`atomic_write_bytes`. Source: RFC 8259.
    """
    content = dumps(data, indent)
    with Writer(target_path, durability, timeout) as writer:
        if if_version is not None:
            writer.expect(if_version)
        writer.replace(content)


def safe_read_json(path: Path, default: Any = None) -> Any:
    """Read a JSON file; ``default`` where it is missing or corrupt.

    Takes no lock and never waits: the writers replace files as a whole, so one read sees one document.

    Args:
        path: the file.
        default: returned, as it is, for a missing file and for any kind of corruption (empty, torn, not UTF-8, not
            JSON). Without one (or with ``None``) that is a new empty dictionary, because callers go on to index what
            they get. Use :func:`read_json` to tell the cases apart.

    Raises:
        OSError: the file is there but cannot be read (a directory, permissions, an I/O error): no default would be
            true. So too for what is no regular file, and for what is nested too deeply to be checked (CannotCheck).
    """
    try:
        data = _read(path)
        return loads(data, path)
    except (FileNotFoundError, NotADirectoryError, CorruptFile):
        return {} if default is None else default


def _read(path: Path) -> bytes:
    """The bytes of a regular file. Never waits, and takes no lock."""
    try:
        own = open_owned(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            status = os.fstat(own.fileno())
            check_regular(status, os.fspath(path))
            return read_all(own.fileno(), status.st_size)
        finally:
            own.close()
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError as error:
        step = "" if "refused" in vars(error) else "reading it"
        raise failed(error, os.fspath(path), step, "make the file readable") from None


def read_json(path: Path, *, default: Any = _MISSING) -> Snapshot:
    """Read a JSON file and its version, for a later ``if_version=``.

    Args:
        path: the file.
        default: the data for a missing file, with version ``"absent"``; without one a missing file is an error.

    Returns:
        Snapshot(data, version).

    Raises:
        FileNotFoundError: missing, and no default given.
        CorruptFile: not one JSON value.
        CannotCheck: nested deeper than 10,000 levels.
        OSError: it cannot be read.
    """
    try:
        data = _read(path)
    except (FileNotFoundError, NotADirectoryError):
        if default is _MISSING:
            raise
        return Snapshot(default, ABSENT)
    return Snapshot(loads(data, os.fspath(path)), version(data))


def update_json(
    path: Path,
    fn: Callable[[Any], Any],
    default: Any = _MISSING,
    *,
    durability: str = "full",
    timeout: float | None = TIMEOUT_S,
    indent: int | None = None,
) -> Any:
    """Read, change and replace a JSON file as one step, under its lock: no update is lost.

    Args:
        path: the file.
        fn: gets the current data; returns the new data, or ``None`` after it has changed what it got in place. Whatever
            it raises leaves the file as it was.
        default: the data to start from where the file is missing (``fn`` gets a copy of it); without one a missing file
            is an error.
        durability, timeout, indent: as for :func:`atomic_write_json`.

    Returns:
        The data as written.

    Raises:
        FileNotFoundError: missing, and no default given.
        CorruptFile: not one JSON value; it is left for :func:`recover`, not overwritten.
        ValueError: the new data cannot be serialised, or writing it would lose what nobody asked to change: of two
            equal keys one, or digits of a number.
        RuntimeError: this thread is in the middle of another operation on the file: ``fn`` may not write it, and
            neither may a signal handler that comes meanwhile.
        LockLost: the lock was lost meanwhile, or somebody without it changed the file; it can be tried again.
        CannotCheck, LockTimeout, CommittedNotDurable, OSError: as for :func:`read_json` and :func:`atomic_write_json`.
    """
    is_needed = default is _MISSING
    with Writer(path, durability, timeout, make_parents=not is_needed, must_exist=is_needed) as writer:
        content = writer.read()
        if content is not None:
            data = loads(content, writer.given, decode_all)
        elif is_needed:
            fail(errno.ENOENT, os.strerror(errno.ENOENT), writer.given)
        else:
            from copy import deepcopy

            try:
                data = deepcopy(default)
            except RecursionError:
                data = loads(dumps(default), writer.given)
        changed = fn(data)
        new = data if changed is None else changed
        content = dumps(new, indent)
        writer.replace(content)
    return new
