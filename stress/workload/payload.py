"""What workers write: documents and log records whose bytes say whose they are, and whether they are whole.

Each payload is unique and carries its writer and sequence (its version), its length and a checksum; lengths vary
from tens of bytes to over 64 KiB. Identical or fixed-length payloads would hide torn reads: half of one and half of
another would still look like a document. The padding repeats the version's own text, so a mixture shows
whose parts it is made of. All of it survives jq, which rewrites white space but neither strings nor order.
"""

from __future__ import annotations

import functools
import marshal
import random
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from json import dumps, loads  # as they are here: a target may put others into their module
from typing import Any, NamedTuple

from stress.history.record import GARBAGE, NO_VERSION, format_version, parse_version

Json = Any
"""A JSON value, as `json.loads` gives it."""

PARENT_MARK = "stress-parent:"
"""What `jq_program` prints on standard error before the version that the update started from."""


class Seen(NamedTuple):
    """A version that was seen, and the one that it says it came from (`NO_VERSION` where it says none)."""

    version: int
    parent: int
    altered: bool = False
    """Whether the document's own fields are not those that were written as this version."""


class Edit(NamedTuple):
    """One change to a document, in a form that both Python and jq can carry out.

    ``path`` are keys and indices from the top; ``set`` replaces the value there, ``add`` adds a number to it
    (a missing one counts as 0).
    """

    path: tuple[str | int, ...]
    set: Json = None
    add: int | None = None


def draw_size(source: random.Random, *, long: bool = False) -> int:
    """A padding length in bytes: mostly hundreds, one in sixteen thousands, one in 64 (each, if ``long``) from 48 to
    80 KiB.
    """
    # One draw: its first six bits choose, the rest is the length. This is done for every operation.
    share = source.random() * 64
    rest = share % 1
    if share < 1 or long:
        return int((48 << 10) + rest * (32 << 10))
    if share < 5:
        return int((2 << 10) + rest * (10 << 10))
    return int(16 + rest * 684)


def padding(version_text: str, size: int) -> str:
    """The padding of that version: its own text, again and again, in that many bytes."""
    unit = version_text + ";"
    return (unit * (size // len(unit) + 1))[:size]


@functools.lru_cache(256)  # a version is read more often than it is written: examining it again must cost little
def _pad_and_crc(version_text: str, size: int) -> tuple[str, int]:
    pad = padding(version_text, size)
    return pad, zlib.crc32(pad.encode("utf-8", "backslashreplace"))


def _header(version: int, parent: int, size: int, body: int | None) -> dict[str, Json]:
    text = format_version(version)
    pad, crc = _pad_and_crc(text, size)
    return {
        "version": text,
        "parent": None if parent == NO_VERSION else format_version(parent),
        "size": size,
        "crc": crc,
        "body": body,
        "pad": pad,
    }


def _rest(document: Json) -> Json:
    """All of a document but header, end mark, and what its target may keep there: names that begin with ``_``."""
    if isinstance(document, dict):
        return {key: value for key, value in document.items() if key not in _MARKS and key[:1] != "_"}
    rest = list(document)
    for at in {0, len(rest) - 1}:
        if isinstance(rest[at], dict):
            rest[at] = _rest(rest[at])
    return rest


_MARKS = ("stress", "stress_end")


def _checksum(rest: Json) -> int:
    """Adler-32 of the fields as JSON with sorted keys, in UTF-8: jq can work that out as well."""
    text = dumps(rest, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=_plain)
    return zlib.adler32(text.encode("utf-8", "replace"))


_whole: dict[str, bytes] = {}
"""Version → its own fields, of the versions that were found whole last: comparing is quicker than a checksum."""


def _is_altered(header: Mapping[str, Json], document: Json) -> bool:
    body, text = header.get("body"), header["version"]
    if body is None:  # made by a worker that can't work it out
        return False
    try:
        rest = _rest(document)
        exact = marshal.dumps(rest, 2)  # in which 0 and false differ
        if _whole.get(text) == exact:
            return False
        if _checksum(rest) != body:
            return True
    except (TypeError, ValueError):  # what JSON does not have, in which a reader may put it
        return True
    if len(_whole) >= 64:
        _whole.pop(next(iter(_whole)))
    _whole[text] = exact
    return False


# The header comes first and the end mark last, so that the beginning of one document and the end of another
# never pass as one.
def document_of(version: int, size: int, shape: Mapping[str, Json] | Sequence[Json]) -> Json:
    """A whole document: ``shape``'s own fields (a mapping) or entries (a list of mappings) between header and end."""
    if isinstance(shape, Mapping):
        header = _header(version, NO_VERSION, size, _checksum(shape))
        return {"stress": header, **shape, "stress_end": header["version"]}
    entries = [dict(entry) for entry in shape]
    header = _header(version, NO_VERSION, size, _checksum(entries))
    entries[0] = {"stress": header, **entries[0]}
    entries[-1]["stress_end"] = header["version"]
    return entries


def _ends(document: Json) -> tuple[Json, Json]:
    if isinstance(document, dict):
        return document.get("stress"), document.get("stress_end")
    if isinstance(document, list) and document and isinstance(document[0], dict) and isinstance(document[-1], dict):
        return document[0].get("stress"), document[-1].get("stress_end")
    return None, None


_NOTHING = Seen(GARBAGE, NO_VERSION)


def examine_document(document: Json) -> Seen:
    """The version of a document, or `GARBAGE` where it is not one complete document of ours.

    A reader's types are its own affair: any mapping is an object, any sequence a list, and 1.0 is 1.
    """
    seen = _examine(document)
    if seen.version != GARBAGE and not seen.altered:
        return seen
    try:
        return _examine(_plain(document))
    except (RecursionError, TypeError, ValueError):  # whatever objects a reader may return
        return seen


def _plain(value: Any) -> Json:
    """A value in the types that `json.loads` gives."""
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, (str, bytes, int)) or value is None:
        return value
    if isinstance(value, Sequence):
        return [_plain(each) for each in value]
    number = float(value)  # of a Decimal, say
    return int(value) if number.is_integer() else number


def _examine(document: Json) -> Seen:
    header, end = _ends(document)
    if not isinstance(header, dict):
        return _NOTHING
    text, size, pad, parent = (header.get("version"), header.get("size"), header.get("pad"), header.get("parent"))
    if end != text or not isinstance(text, str) or not isinstance(size, int) or not isinstance(pad, str):
        return _NOTHING
    if len(pad) != size or (pad, header.get("crc")) != _pad_and_crc(text, size):
        return _NOTHING
    started = parse_version(parent) if isinstance(parent, str) else GARBAGE
    return Seen(parse_version(text), NO_VERSION if parent is None else started, _is_altered(header, document))


def examine_bytes(content: bytes) -> Seen:
    """`examine_document` for the bytes of a file."""
    try:
        return examine_document(loads(content))
    except (ValueError, RecursionError):
        return _NOTHING


def apply_edits(document: Json, parent: int, version: int, size: int, edits: Iterable[Edit]) -> Json:
    """The document that an update makes of ``document``: the edits done, header and end mark renewed.

    ``parent`` is the version of ``document``, as `examine_document` gives it. A document that is not ours (an empty
    one, say, because a reader fell back to its default) becomes one: an update that starts from nothing must show as
    what it is.
    """
    if type(document) not in (dict, list, type(None)):
        document = _plain(document)
    header = _header(version, parent, size, None)
    if isinstance(document, list):
        changed: Json = [dict(entry) if isinstance(entry, dict) else entry for entry in document] or [{}]
        if not isinstance(changed[0], dict):
            changed.insert(0, {})
        changed[0]["stress"] = header
        if not isinstance(changed[-1], dict):
            changed.append({})
        for edit in edits:
            _apply(changed, edit)
        changed[-1]["stress_end"] = header["version"]
        header["body"] = _checksum(_rest(changed))
        return changed
    changed = dict(document) if isinstance(document, dict) else {}
    changed["stress"] = header
    for edit in edits:
        _apply(changed, edit)
    changed.pop("stress_end", None)
    changed["stress_end"] = header["version"]
    header["body"] = _checksum(_rest(changed))
    return changed


def _apply(document: Json, edit: Edit) -> None:
    for key in edit.path[:-1]:
        if isinstance(key, int) and key >= len(document):
            return
        document = document[key] if isinstance(key, int) else document.setdefault(key, {})
    last = edit.path[-1]
    if edit.add is None:
        document[last] = edit.set
    else:
        document[last] = (document.get(last) or 0) + edit.add


def jq_program(version: int, size: int, edits: Iterable[Edit], *, form: str) -> str:
    """`apply_edits` as a jq program, for a document that is an object (``form="object"``) or a ``"list"``.

    It also prints `PARENT_MARK` and the version that it started from on standard error: a worker in a language
    that can't look into the update learns the parent from there (`parent_in`).
    """
    header, end = (".stress", ".stress_end") if form == "object" else (".[0].stress", ".[-1].stress_end")
    made = _header(version, NO_VERSION, size, None)
    text = dumps(made["version"])
    own = f'{"." if form == "object" else "(.[0], .[-1])"} |= with_entries(select(.key[:1] != "_"))'
    parts = [f"{header} = ({dumps(made)} | .parent = $parent)"]
    for edit in edits:
        path = "." + "".join(f"[{dumps(key)}]" for key in edit.path)
        parts.append(f"{path} = {dumps(edit.set)}" if edit.add is None else f"{path} += {edit.add}")
    parts.append(f"{end} = {text}")
    parts.append(f"{header}.body = (del({header}, {end}) | {own} | checksum)")
    mark = dumps(PARENT_MARK)
    told = f'({header}.version // null) as $parent | ({mark} + "\\($parent);" | stderr | empty)'
    return f"{_JQ_CHECKSUM} {told}, ({' | '.join(parts)})"


def edit_list(version: int, size: int, edits: Iterable[Edit], *, form: str) -> str:
    """`jq_program` for a worker that has no jq: a JSON list of edits, to be done one after the other.

    Each has a ``path`` and one of: ``set``, the value to put there; ``add``, a number to add to what is there (nothing
    counts as 0); ``copy``, the path of a value to put there (null where there is none). The first is the copy by which
    the document tells the version that it was made from.
    """
    header, end = (("stress",), ("stress_end",)) if form == "object" else ((0, "stress"), (-1, "stress_end"))
    made = _header(version, NO_VERSION, size, None)
    done: list[Json] = [{"path": [*header, "parent"], "copy": [*header, "version"]}]
    done += [{"path": [*header, key], "set": value} for key, value in made.items() if key != "parent"]
    done += [
        {"path": list(edit.path), "set": edit.set} if edit.add is None else {"path": list(edit.path), "add": edit.add}
        for edit in edits
    ]
    return dumps([*done, {"path": list(end), "set": made["version"]}])


_JQ_CHECKSUM = (
    'def text: if type == "object" then "{" + ([to_entries | sort_by(.key)[] | (.key | tojson) + ":" + (.value | text)]'
    ' | join(",")) + "}" elif type == "array" then "[" + ([.[] | text] | join(",")) + "]" else tojson end;'
    " def tail: 128 + . % 64; def utf8: if . < 128 then . else (. / 64 | floor) as $up |"
    " if . < 2048 then 192 + $up elif . < 65536 then 224 + ($up / 64 | floor), ($up | tail)"
    " else 240 + ($up / 4096 | floor), ($up / 64 | floor | tail), ($up | tail) end, tail end;"
    " def checksum: reduce (text | explode[] | utf8) as $c"
    " ([1, 0]; ((.[0] + $c) % 65521) as $a | [$a, (.[1] + $a) % 65521]) | .[1] * 65536 + .[0];"
)
"""`_checksum` in jq."""


_PARENT = re.compile(r"\"?" + re.escape(PARENT_MARK) + r"([^;\"]*);\"?")


def parent_in(stderr: str) -> int:
    """The version an update started from, out of what jq printed (the last mark counts: a retry prints again)."""
    marks = _PARENT.findall(stderr)
    return parse_version(marks[-1]) if marks else NO_VERSION


def words_in(stderr: str) -> str:
    """What was printed there beside the marks of `parent_in`: for people."""
    return _PARENT.sub("", stderr)


# A log's record: a head that gives version, length and checksum of the body, then the body, in whole lines.
# The inner groups are there for versions that are written as `format_version` writes them.
_HEAD = re.compile(rb"=== (p([1-9]\d{0,8})\.(0|[1-9]\d{0,8})|p\d+\.\d+|initial) (\d+) ([0-9a-f]{8}) ===\n")


_SAID = '\tIt\'s 100 % "done": \\n \\\\ $HOME `ls` * & <b>, Grüße → 日本  '
"""A line of a record: what shells, formats and editors are apt to interpret, to trim or to drop."""


def log_record(version: int, size: int) -> str:
    """One record of a log, as the guide's session memory writes it; several lines, ending with a newline."""
    text = format_version(version)
    body = f"Feature: feature-000\nStatus: passing\n{_SAID}\nMemory: {padding(text, size)}\n"
    encoded = body.encode()
    return f"=== {text} {len(encoded)} {zlib.crc32(encoded):08x} ===\n{body}"


def parse_log(content: bytes, start: int = 0) -> tuple[list[int], int]:
    """The versions of the records from ``start`` on, and the offset of the first byte that belongs to no whole record.

    That offset is ``len(content)`` for a log that is whole.
    """
    versions, ends = parse_records(content, start)
    return versions, ends[-1] if ends else start


def parse_records(content: bytes, start: int = 0) -> tuple[list[int], list[int]]:
    """The versions of the whole records from ``start`` on, and the offset at which each of them ends."""
    versions: list[int] = []
    ends: list[int] = []
    at, stop = start, len(content)
    match, crc32 = _HEAD.match, zlib.crc32
    while head := match(content, at):
        text, process, seq, length, crc = head.groups()
        body = head.end()
        end = body + int(length)
        if end > stop or crc32(content[body:end]) != int(crc, 16):
            break
        # Logs have a great many records, and all of their versions are different: no cache would know them.
        versions.append(int(process) << 32 | int(seq) if process else parse_version(text.decode("ascii")))
        ends.append(end)
        at = end
    return versions, ends


def common_prefix(one: bytes, other: bytes) -> int:
    """How many first bytes two contents have in common: by halving, a comparison of memory at a time."""
    least, most = 0, min(len(one), len(other))
    while least < most:
        middle = (least + most + 1) // 2
        if one[least:middle] == other[least:middle]:
            least = middle
        else:
            most = middle - 1
    return least


_UNIT = re.compile(rb"(p\d+\.\d+);")


def writers_in(content: bytes) -> list[tuple[str, int, int]]:
    """Whose padding is in ``content``: (version, first offset, last offset), in order of first appearance."""
    found: dict[str, tuple[int, int]] = {}
    for match in _UNIT.finditer(content):
        name = match[1].decode("ascii")
        first = found.get(name, (match.start(), 0))[0]
        found[name] = (first, match.end())
    return [(name, first, last) for name, (first, last) in found.items()]
