"""``leftovers``: nothing stays behind but the shared files, their backups, and what the target declares."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator

from stress.anomalies import LEFTOVER_TEMP
from stress.checkers._words import finding
from stress.checkers.registry import checker
from stress.history.history import History
from stress.history.record import End
from stress.result import Finding, Verdict
from stress.units import counted

_CLOCK_NS = 30_000_000
"""A file's time of change is that of the kernel's last tick, and was moved from one clock to another."""


@checker("leftovers")
def leftovers(history: History) -> Iterable[Finding]:
    """Temp files after clean ends; after kills, those that the target's own sweep did not remove, and those that nobody
    who was killed can have left.
    """
    yield from _swept(history)
    if not history.leftovers:
        return
    watched = [facts for _, facts in history.files_for("leftovers")]
    if not watched:
        return
    first = history.leftovers[0]
    # A temp file bears its file's name, as a rule, and stands beside it.
    facts = min(watched, key=lambda facts: _strangeness(first, facts.path))
    killed = sum(process.end is End.KILLED for process in history.processes)
    hung = sum(process.end in (End.HUNG, End.STAYED) for process in history.processes)
    after = f"after {counted(killed, 'process', 'processes')} had been killed" if killed else "though nobody was killed"
    if hung:
        # Whether one that ends by itself leaves any is not known of these: the harness had to kill them.
        after = f"after {counted(hung, 'process', 'processes')} that did not end had to be killed, whose they may be"
    shown = tuple(("left", path) for path in history.leftovers[:5])
    if len(history.leftovers) > len(shown):
        shown += (("left", f"{len(history.leftovers) - len(shown):,} more"),)
    message = f"Left behind, {after}: {counted(len(history.leftovers), 'file')}, such as {first}."
    verdict = Verdict.UNKNOWN if hung and not killed else Verdict.FAIL
    count = len(history.leftovers)
    yield finding(history, "leftovers", LEFTOVER_TEMP, facts, message, (), shown, count, verdict)


def _swept(history: History) -> Iterator[Finding]:
    """What a sweep removed although its maker went on: a file that was last changed while no killed process was in its
    last operation.
    """
    ops = history.ops
    last: list[tuple[int, int]] = []
    for process in history.processes:
        if process.end is not End.FINISHED:
            own = ops["invoke"][ops["process"] == process.process]
            last.append((int(own[-1]) if len(own) else process.started, process.ended))
    left = [
        each
        for each in history.unswept
        if not any(begin - _CLOCK_NS <= each.changed <= end + _CLOCK_NS for begin, end in last)
    ]
    watched = [facts for _, facts in history.files_for("leftovers")]
    if left and watched:
        facts = min(watched, key=lambda facts: _strangeness(left[0].path, facts.path))
        message = (
            f"Left behind by processes that went on, until a sweep removed what killed ones had left: "
            f"{counted(len(left), 'file')}, such as {left[0].path}, last changed at "
            f"{history.names.moment(left[0].changed)}."
        )
        shown = tuple(("left", each.path) for each in left[:5])
        yield finding(history, "leftovers", LEFTOVER_TEMP, facts, message, (), shown, len(left))


def _strangeness(leftover: str, path: str) -> tuple[bool, bool]:
    return posixpath.basename(path) not in leftover, posixpath.dirname(leftover) != posixpath.dirname(path)
