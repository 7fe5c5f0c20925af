"""What bytes that are no complete document are instead: emptied, cut off, mixed, followed by the rest of another."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from stress.checkers._words import excerpt, parts
from stress.workload.payload import writers_in

__all__ = ["Evidence", "classify", "versions_named"]

_VERSION = re.compile(rb'"(?:version|stress_end)": ?"(p\d+\.\d+|initial)"')
_NOTHING: tuple[object, ...] = ({}, [], None, "", 0, False)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was seen. ``rank`` orders it by how much it proves at a glance, best first."""

    anomaly: str
    what: str
    """Completes "p3 read the file at … and saw …"."""
    rank: int
    at: int = 0
    """The offset where it goes wrong."""

    def detail(self, content: bytes) -> list[str]:
        """Lines that show the bytes."""
        if not content:
            return ["expected: one complete document", "seen:     no bytes at all" if self.rank == 3 else "seen:     ?"]
        whose = parts(content)
        return [
            "expected: one complete document",
            f"seen:     {len(content):,} bytes: {excerpt(content, self.at)}",
            *([f"parts:    {whose}"] if whose else []),
        ]


def classify(content: bytes, text: str, size: int) -> Evidence:
    """What a reader saw; ``text`` is what was noted with it, ``size`` how many bytes it saw (-1: not known)."""
    if not content:
        if size > 0 or "were not kept" in text:
            return Evidence("torn-read", f"{max(size, 0):,} bytes that are no document (they were not kept)", 9)
        if text:
            return Evidence("torn-read", f"something that its reader could make no document of ({text[:300]})", 8)
        return Evidence("torn-read", "an empty file: the document had been emptied", 3)
    if not content.strip():
        return Evidence("torn-read", f"an emptied file, with nothing in it but {repr(content[:20])[1:]}", 3)
    source = content.decode("latin-1")  # a character for each byte, so that offsets are those of the file
    start = len(source) - len(source.lstrip())
    names = [name for name, _, _ in writers_in(content)]
    try:
        document, end = json.JSONDecoder(strict=False).raw_decode(source, start)
    except (ValueError, RecursionError) as error:
        return _broken(content, names, getattr(error, "pos", 0), str(error))
    if source[end:].strip():
        return _followed(content, names, end)
    if any(document == nothing and type(document) is type(nothing) for nothing in _NOTHING):
        return Evidence("missing-read", f"{content[:40].decode('latin-1')}, a default in place of the document", 5)
    if len(names) > 1:
        return _mixed(content, names)
    if names or b'"stress' in content:
        return Evidence("torn-read", "JSON that holds a part of a document, and not the whole of it", 4, end)
    return Evidence("garbage-read", "JSON that is no document of this run", 5, start)


def versions_named(content: bytes) -> list[str]:
    """The versions whose bytes are in there, the most telling first."""
    names = [name for name, _, _ in writers_in(content)]
    names += [match[1].decode("ascii") for match in _VERSION.finditer(content)]
    return list(dict.fromkeys(names))


def _broken(content: bytes, names: list[str], at: int, why: str) -> Evidence:
    if len(names) > 1:
        return _mixed(content, names)
    length = len(content.rstrip())
    runs_off = at >= length - 5 or why.startswith("Unterminated string")
    if runs_off and content.lstrip()[:1] in (b"{", b"["):
        whose = versions_named(content)
        of = f"{whose[0]}" if whose else "a document"
        return Evidence("torn-read", f"only the first {len(content):,} bytes of {of}: it is cut off", 1, len(content))
    if names or b'"stress' in content:
        return Evidence("torn-read", f"a part of {versions_named(content)[0] if names else 'a document'}", 2, at)
    zeros = content.count(0)
    if zeros == len(content):
        return Evidence("garbage-read", f"{zeros:,} zero bytes", 5)
    return Evidence("garbage-read", f"{len(content):,} bytes that are no part of any document of this run", 6, at)


def _followed(content: bytes, names: list[str], end: int) -> Evidence:
    whole, rest = versions_named(content[:end]), versions_named(content[end:])
    first = f"the whole of {whole[0]}" if whole else "a whole JSON value"
    of = f" of {rest[0]}" if rest else ""
    if not names and b'"stress' not in content:
        return Evidence("garbage-read", "JSON that is no document of this run, with more behind it", 5, end)
    return Evidence("torn-read", f"{first}, followed by {len(content) - end:,} bytes more{of}", 1, end)


def _mixed(content: bytes, names: list[str]) -> Evidence:
    where = writers_in(content)[1][1]
    said = " and ".join(names[:2]) if len(names) == 2 else f"{', '.join(names[:3])} and others"
    return Evidence("torn-read", f"a mixture of {said}", 0, where)
