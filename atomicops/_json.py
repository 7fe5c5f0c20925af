"""JSON documents: written, read, and changed under the file's lock."""

from __future__ import annotations

import errno
import json
import os
import re

from ._errors import CorruptFile, drop, fail
from ._lock import TIMEOUT_S
from ._replace import ABSENT, Writer, read_all, read_bytes, version, write_all
from ._write import encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, NoReturn

    from ._errors import Path


class _Missing:
    def __repr__(self) -> str:
        return "<no default>"


_MISSING = _Missing()
# How ``json`` writes a key that was no string. A string that holds this is found too; then the data itself is asked.
_maybe_other_key = re.compile(r'"(?:-?[0-9][0-9.e+-]*|true|false|null)": ').search
_SCALARS = frozenset((str, int, float, bool, type(None)))
_READ = os.O_RDONLY | os.O_CLOEXEC


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_compact = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode
_decode = json.JSONDecoder(parse_constant=_refuse_constant).decode
# Only to know whether it is JSON: a number of 5,000 digits is, though int() refuses to make one.
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


def dumps(data: Any, indent: int | None = None) -> bytes:
    """The document's bytes, newline at the end. ValueError for whatever would not come back as it went in."""
    try:
        if indent is None:
            text = _compact(data)
        else:
            text = json.dumps(data, ensure_ascii=False, allow_nan=False, indent=indent)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"data cannot be serialized as JSON: {error}") from error
    if _maybe_other_key(text):
        _refuse_other_keys(data)
    return encode(text + "\n")


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


def loads(data: bytes, filename: object) -> Any:
    """Parse one JSON value in UTF-8. Raises CorruptFile with the reason."""
    try:
        return _decode(str(data, "utf-8"))
    except (ValueError, RecursionError) as error:
        raise CorruptFile(filename, _reason(data, error)) from error


def why_not_json(data: bytes) -> str | None:
    """The reason why ``data`` is not exactly one JSON value (RFC 8259), or ``None``."""
    try:
        _scan(str(data, "utf-8"))
    except (ValueError, RecursionError) as error:
        return _reason(data, error)
    return None


def _reason(data: bytes, error: Exception) -> str:
    if not data.strip(b" \t\r\n"):
        return "it is empty" if not data else "it holds only white space"
    if isinstance(error, UnicodeDecodeError):
        return f"not UTF-8: {error.reason} at byte {error.start}"
    if isinstance(error, RecursionError):
        return "nested too deeply to be read"
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
        writer.expect(if_version)
        writer.replace(lambda fd: write_all(fd, content))


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
            true.
    """
    try:
        fd = os.open(path, _READ)
    except (FileNotFoundError, NotADirectoryError):
        return {} if default is None else default
    try:
        data = read_all(fd)
    except OSError as error:
        error.filename = os.fspath(path)
        raise
    finally:
        drop(fd)
    try:
        return _decode(str(data, "utf-8"))
    except (ValueError, RecursionError):
        return {} if default is None else default


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
        OSError: it cannot be read.
    """
    try:
        fd = os.open(path, _READ)
    except FileNotFoundError:
        if default is _MISSING:
            raise
        return Snapshot(default, ABSENT)
    try:
        data = read_all(fd)
    except OSError as error:
        error.filename = os.fspath(path)
        raise
    finally:
        drop(fd)
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
        ValueError, LockTimeout, CommittedNotDurable, OSError: as for :func:`atomic_write_json`.
    """
    with Writer(path, durability, timeout, make_parents=default is not _MISSING) as writer:
        content = read_bytes(writer.place)
        if content is not None:
            data = loads(content, writer.given)
        elif default is _MISSING:
            fail(errno.ENOENT, os.strerror(errno.ENOENT), writer.given)
        else:
            from copy import deepcopy

            data = deepcopy(default)
        changed = fn(data)
        new = data if changed is None else changed
        content = dumps(new, indent)
        writer.replace(lambda fd: write_all(fd, content))
    return new
