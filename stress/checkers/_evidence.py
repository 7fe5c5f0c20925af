"""What bytes that are no complete document are instead: emptied, cut off, mixed, followed by the rest of another."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from itertools import pairwise

from stress.anomalies import GARBAGE_READ, MISSING_READ, TORN_READ, Anomaly
from stress.checkers._words import excerpt, parts
from stress.history.notes import ErrorNote, Note, SeenBytes, data_of
from stress.history.record import NO_VERSION, format_version, parse_version
from stress.result import Details, Evidence, Owner
from stress.units import counted
from stress.workload.payload import padding, writers_in

_EXAMINED_BYTES = 4 << 20
_OWNERS_MAX = 60
_UNIT = re.compile(rb"(p\d+\.\d+)[;\"]")
_VERSION = re.compile(rb'"(?:version|stress_end)": ?"(p\d+\.\d+|initial)"')
_END = re.compile(rb'"stress_end": ?"(p\d+\.\d+|initial)"\s*\}\s*\]?\s*\Z')
_SIZE = re.compile(rb'"size": ?(\d{1,9})\b')
_NOTHING: tuple[object, ...] = ({}, [], None, "", 0, False)
_EMPTIED = (
    "the output of a failed command was put in place, or the file is emptied before it is written; only what a "
    "command that succeeded has written may be renamed over it"
)
_INTERPRETED = (
    "the text is interpreted on its way, as a shell does with backslashes, quotes and percent signs: echo of sh, echo "
    "-e, eval, printf with the text as its format; printf '%s\\n' and cat leave it alone"
)


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What is wrong with bytes that were seen. ``rank`` orders by how much they prove at a glance, best first."""

    anomaly: Anomaly
    what: str
    """Completes "p3 read the file at … and saw …"."""
    rank: int
    at: int = 0
    """The offset where it goes wrong."""
    content: bytes = b""
    """What was kept of the bytes."""
    cause: str = ""
    """What most often lies behind it; empty: what the anomaly says."""

    def details(self) -> Details:
        """What was expected, what was seen, and whose parts it is."""
        expected = ("expected", "one complete document")
        if not self.content:
            return expected, ("seen", "no bytes at all" if self.rank == 3 else "?")
        seen = ("seen", f"{counted(len(self.content), 'byte')}: {excerpt(self.content, self.at)}")
        whose = parts(self.content)
        return (expected, seen, ("parts", whose)) if whose else (expected, seen)

    def evidence(self) -> Evidence | None:
        """The bytes, with whose they are; None where none were kept."""
        at = min(self.at, len(self.content))
        return Evidence(self.content, at, _owners(self.content, at)) if self.content else None


def diagnose(note: Note | None, size: int) -> Diagnosis:
    """What is wrong with what a reader saw; ``note`` was noted with it, ``size`` is how many bytes it saw (-1: not
    known).
    """
    content = data_of(note)
    if content:
        return replace(_diagnose(content), content=content)
    dropped = 0 if note is None or isinstance(note, ErrorNote) else note.dropped
    if size > 0 or dropped:
        return Diagnosis(TORN_READ, f"{max(size, dropped):,} bytes that are no document (they were not kept)", 9)
    error = note.text if isinstance(note, ErrorNote) else note.error if isinstance(note, SeenBytes) else ""
    if error:
        return Diagnosis(TORN_READ, f"something that its reader could make no document of ({error[:300]})", 8)
    return Diagnosis(TORN_READ, "an empty file: the document had been emptied", 3, cause=_EMPTIED)


def _owners(content: bytes, at: int) -> tuple[Owner, ...]:
    """Whose the bytes are: a version's from where its name first shows to where another's does. The break ``at``
    divides what is between two of them.
    """
    runs: list[Owner] = []
    for match in _UNIT.finditer(content, 0, _EXAMINED_BYTES):
        version = parse_version(match[1].decode("ascii"))
        if runs and runs[-1].version == version:
            runs[-1] = Owner(version, runs[-1].start, match.end())
        elif len(runs) < _OWNERS_MAX:
            runs.append(Owner(version, match.start(), match.end()))
    if not runs:
        return (Owner(NO_VERSION, 0, len(content)),)
    borders = [0]
    for one, two in pairwise(runs):
        name_bytes = len(format_version(two.version))
        borders.append(at if one.stop <= at <= two.start + name_bytes else two.start)
    borders.append(len(content))
    return tuple(Owner(run.version, a, b) for run, (a, b) in zip(runs, pairwise(borders), strict=True))


def _diagnose(content: bytes) -> Diagnosis:
    if not content.strip():
        what = f"an emptied file, with nothing in it but {repr(content[:20])[1:]}"
        return Diagnosis(TORN_READ, what, 3, cause=_EMPTIED)
    source = content.decode("latin-1")  # a character for each byte, so that offsets are those of the file
    start = len(source) - len(source.lstrip())
    names = [name for name, _, _ in writers_in(content)]
    try:
        document, end = json.JSONDecoder(strict=False).raw_decode(source, start)
    except (ValueError, RecursionError) as error:
        return _broken(content, names, getattr(error, "pos", 0), str(error))
    if (interpreted := _interpreted(content)) is not None:
        return interpreted
    if source[end:].strip():
        return _followed(content, names, end)
    if any(document == nothing and type(document) is type(nothing) for nothing in _NOTHING):
        return Diagnosis(MISSING_READ, f"{content[:40].decode('latin-1')}, a default in place of the document", 5)
    if len(names) > 1:
        return _mixed(content, names)
    if names or b'"stress' in content:
        return Diagnosis(TORN_READ, "JSON that holds a part of a document, and not the whole of it", 4, end)
    return Diagnosis(GARBAGE_READ, "JSON that is no document of this run", 5, start)


def versions_named(content: bytes) -> list[str]:
    """The versions whose bytes are in there, the most telling first."""
    names = [name for name, _, _ in writers_in(content)]
    names += [match[1].decode("ascii") for match in _VERSION.finditer(content)]
    return list(dict.fromkeys(names))


def _broken(content: bytes, names: list[str], at: int, why: str) -> Diagnosis:
    if len(names) > 1:
        return _mixed(content, names)
    if (interpreted := _interpreted(content)) is not None:
        return interpreted
    length = len(content.rstrip())
    runs_off = at >= length - 5 or why.startswith("Unterminated string")
    if runs_off and content.lstrip()[:1] in (b"{", b"["):
        of = next(iter(versions_named(content)), "a document")
        return Diagnosis(TORN_READ, f"only the first {len(content):,} bytes of {of}: it is cut off", 1, len(content))
    if names or b'"stress' in content:
        return Diagnosis(TORN_READ, f"a part of {versions_named(content)[0] if names else 'a document'}", 2, at)
    zeros = content.count(0)
    if zeros == len(content):
        return Diagnosis(GARBAGE_READ, f"{zeros:,} zero bytes", 5)
    return Diagnosis(GARBAGE_READ, f"{len(content):,} bytes that are no part of any document of this run", 6, at)


def _whole_in(content: bytes) -> str:
    """The version of which all is there, from the beginning to the end and with its padding; empty: there is none."""
    if (end := _END.search(content)) is None or (begin := _VERSION.search(content)) is None or begin[1] != end[1]:
        return ""
    size = _SIZE.search(content)
    whole = size is not None and padding(end[1].decode("ascii"), int(size[1])).encode() in content
    return end[1].decode("ascii") if whole else ""


def _interpreted(content: bytes) -> Diagnosis | None:
    """What is wrong with a document that is there from beginning to end, and is no JSON; None: it is neither."""
    if not (version := _whole_in(content)):
        return None
    try:
        json.loads(content.decode("latin-1"))
    except json.JSONDecodeError as error:
        what = f"{version} from beginning to end, but as no JSON: {error.msg[:1].lower()}{error.msg[1:]}"
        return Diagnosis(GARBAGE_READ, f"{what} {error.pos:,} bytes in", 4, error.pos, cause=_INTERPRETED)
    except (ValueError, RecursionError):  # an integer that is too long, or too deep
        pass
    return None


def _followed(content: bytes, names: list[str], end: int) -> Diagnosis:
    whole, rest = versions_named(content[:end]), versions_named(content[end:])
    first = f"the whole of {whole[0]}" if whole else "a whole JSON value"
    of = f" of {rest[0]}" if rest else ""
    if not names and b'"stress' not in content:
        return Diagnosis(GARBAGE_READ, "JSON that is no document of this run, with more behind it", 5, end)
    return Diagnosis(TORN_READ, f"{first}, followed by {len(content) - end:,} bytes more{of}", 1, end)


def _mixed(content: bytes, names: list[str]) -> Diagnosis:
    where = writers_in(content)[1][1]
    said = " and ".join(names[:2]) if len(names) == 2 else f"{', '.join(names[:3])} and others"
    return Diagnosis(TORN_READ, f"a mixture of {said}", 0, where)
