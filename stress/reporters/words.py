"""A result in words: the verdict line, the command that shows it again, a schedule; text in columns, bytes as text."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

from stress.anomalies import (
    GARBAGE_READ,
    LOST_APPEND,
    LOST_FIELD,
    LOST_UPDATE,
    LOST_WRITE,
    MISSING_READ,
    TORN_APPEND,
    TORN_READ,
)
from stress.files import pasted
from stress.history.kinds import CHANGES, READS
from stress.outcomes import GateResult
from stress.plan import readers_of
from stress.result import Exploration, Finding, Result, Verdict
from stress.units import counted

_CLAIMS = (
    # operations that must have been done, checkers that must have looked, what they must not have found, though it be
    # allowed, and what is then true of a run that passes
    ({*READS}, {"torn"}, {TORN_READ, GARBAGE_READ, MISSING_READ, LOST_FIELD}, "no reader saw a partial document"),
    (
        {*CHANGES},
        {"register", "updates", "appends"},
        {LOST_WRITE, LOST_UPDATE, LOST_APPEND, LOST_FIELD, TORN_APPEND},
        "nothing acknowledged was lost",
    ),
)
_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def verdict_label(result: Result | GateResult) -> str:
    """``PASS``, ``FAIL``, ``UNKNOWN`` or ``INTERRUPTED``: the last for a run cut short in which no violation was
    found.
    """
    if result.interrupted and result.verdict is not Verdict.FAIL:
        return "INTERRUPTED"
    return result.verdict.name


def verdict_line(result: Result) -> str:
    """The verdict in one line of plain words, with what was left out."""
    return f"{verdict_label(result)} — {verdict_words(result)}"


def verdict_words(result: Result) -> str:
    """What follows the label in `verdict_line`."""
    return "; ".join(one_line(part) for part in _parts(result))


def _parts(result: Result) -> Iterable[str]:
    doubts = [finding for finding in result.findings if finding.verdict is Verdict.UNKNOWN]
    if result.verdict is Verdict.FAIL:
        violations = [finding for finding in result.findings if finding.verdict is Verdict.FAIL]
        yield f"{_anomalies(violations)}: {_deeds(result)}"
        if doubts:
            yield f"in doubt besides: {_anomalies(doubts)}"
    elif result.verdict is Verdict.UNKNOWN:
        reasons = [finding.message.rstrip(".") for finding in doubts]
        yield reasons[0] if reasons else "the run does not say enough to judge"
        if len(reasons) > 1:
            yield f"and {counted(len(reasons) - 1, 'more reason')}, see below"
        yield _deeds(result)
    else:
        yield _deeds(result)
        yield ("until then " if result.interrupted else "") + ", ".join(_claims(result))
        if looked := sorted(frozenset[str]().union(*result.checkers.values())):
            yield f"looked for by {', '.join(looked)}"
    if result.interrupted and (result.verdict is not Verdict.PASS or result.interrupted_by):
        yield "interrupted before its end" + (f": {result.interrupted_by}" if result.interrupted_by else "")
    if only := result.plan.get("only"):
        yield f"only these checkers looked: {', '.join(sorted(only))}"
    if result.allowed:
        yield "allowed: " + ", ".join(
            f"{name} ×{count:,}" if count else f"{name}, which did not strike" for name, count in result.allowed.items()
        )
    if result.skipped:
        yield "left out: " + "; ".join(map(str, result.skipped))


def subject(result: Result) -> str:
    """What was looked at: ``bridge with naive``, or the file of a history from elsewhere."""
    if result.foreign:
        return result.run
    scenarios = ", ".join(result.plan.get("scenarios", ())) or "no scenario"
    return f"{scenarios} with {result.plan.get('target', '?')}"


def _deeds(result: Result) -> str:
    if result.exploration is not None:
        return _explored(result.exploration, str(result.plan.get("target", "?")))
    plan, stats = result.plan, result.stats
    writers = int(plan.get("writers", 0))
    readers = readers_of(writers, plan.get("readers"))
    who = counted(writers, "writer") + (f" and {counted(readers, 'reader')}" if readers else "")
    done = counted(stats.total, "operation")
    if result.foreign:
        who = counted(len(result.names.processes), "process", "processes")
        return f"{who} did {done} in {subject(result)}"
    stages = f" and {counted(stats.stages, 'stage')}" if stats.stages else ""
    took = f"{stats.duration_s:.1f} s{stages}"
    return f"{who} did {done} in {took} on {subject(result)}"


def _explored(explored: Exploration, target: str) -> str:
    done = f"{counted(explored.schedules, 'schedule')} in {explored.seconds:.1f} s with {target}"
    if explored.found_after:
        return f"found in schedule {explored.found_after:,}; {counted(explored.failing, 'failing schedule')} of {done}"
    return "; ".join([done, *(f"{name}: {reached}" for name, reached in explored.cases)])


def _claims(result: Result) -> list[str]:
    done = {kind for (kind, _), each in result.stats.kinds.items() if each.ok}
    looked = frozenset().union(*result.checkers.values())
    struck = {name for name, count in result.allowed.items() if count}
    made = [
        claim
        for kinds, checkers, against, claim in _CLAIMS
        if done & kinds and looked & checkers and not struck & against
    ]
    return made or [f"nothing {'else' if struck else 'wrong'} was found"]


def _anomalies(findings: Iterable[Finding]) -> str:
    counts: dict[str, int] = {}
    for finding in sorted(findings, key=lambda finding: finding.rank):
        counts[finding.anomaly] = counts.get(finding.anomaly, 0) + finding.count
    return ", ".join(f"{name} ×{count:,}" for name, count in counts.items()) or "no finding"


def again(result: Result) -> str | None:
    """The command that shows the result again, where the run was kept."""
    if result.exploration is not None and result.exploration.file:
        return f"stress replay {pasted(result.exploration.file)}"
    return f"stress check {pasted(result.run)}{_allowing(result)}" if result.run else None


def _allowing(result: Result) -> str:
    """The option for what was allowed besides what the run's own plan allows."""
    besides = [name for name in result.allowed if name not in result.plan.get("allow", ())]
    return f" --allow {','.join(besides)}" if besides else ""


def commands(result: Result) -> list[tuple[str, str]]:
    """What each does, and the command: those to go on with. None where nothing was kept."""
    page = [("See it as a page", f"stress report {pasted(result.run)}{_allowing(result)}")] if result.run else []
    command = again(result)
    return [*page, ("Show it again", command)] if command else page


def schedule_lines(exploration: Exploration, *, quiet: bool = False) -> Iterator[str]:
    """The schedule that failed as a table, what it needs, and what was not scheduled."""
    if exploration.table:
        yield ""
        yield "The schedule, a file syscall a line; where times are told, a step is a millisecond:"
        yield ""
        yield from exploration.table
    if exploration.critical:
        yield ""
        yield f"It fails because {exploration.critical}."
    if exploration.file:
        yield ""
        yield f"Kept: {exploration.file}"
    if not quiet:
        yield ""
        yield f"Not scheduled: {exploration.invisible}."


def aligned(rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> list[str]:
    """Rows in columns as wide as they need: a line for each; the columns ``right`` (from 0) are set to the right. All
    rows have as many cells.
    """
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    return [
        "  ".join(
            cell.rjust(width) if at in right else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def escape_bytes(data: bytes) -> str:
    r"""Bytes as text that is safe to show and says exactly what they are: printable UTF-8 as it is, ``\\`` for a
    backslash, ``\n``, ``\xNN`` for a byte that is not text, ``\uNNNN`` for a character that does not print.
    """
    made = []
    for character in data.decode("utf-8", "surrogateescape"):
        code = ord(character)
        if character == "\\":
            made.append("\\\\")
        elif 0xDC80 <= code <= 0xDCFF:
            made.append(f"\\x{code - 0xDC00:02x}")
        else:
            made.append(_visible(character))
    return "".join(made)


def plain_text(text: str) -> str:
    """``text`` without what would move a cursor or hide: control characters become escapes."""
    return text if text.isprintable() else "".join(map(_visible, text))


def one_line(text: str) -> str:
    """`plain_text` on one line."""
    return plain_text(" ".join(text.split()))


def _visible(character: str) -> str:
    if character.isprintable():
        return character
    code = ord(character)
    wide = f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
    return _ESCAPES.get(character) or (f"\\x{code:02x}" if code < 0x80 else wide)
