"""``leftovers``: nothing stays behind but the shared files, their backups, and what the target declares."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from stress.anomalies import LEFTOVER_TEMP
from stress.checkers._register.clusters import FIRST
from stress.checkers._words import finding
from stress.checkers.registry import checker
from stress.history.history import FileFacts, History
from stress.history.kinds import End
from stress.result import Finding, Verdict
from stress.units import counted

_CLOCK_NS = 30_000_000
"""A file's time of change is that of the kernel's last tick, and was moved from one clock to another."""


@checker("leftovers")
def leftovers(history: History) -> Iterable[Finding]:
    """Temp files after clean ends; after kills, those that the target's own sweep did not remove, and those that nobody
    who was killed can have left.
    """
    watched = [facts for _, facts in history.files_for("leftovers")]
    if watched:
        yield from _swept(history, watched)
        yield from _left(history, watched)


def _swept(history: History, watched: list[FileFacts]) -> Iterator[Finding]:
    """What a sweep removed although its maker went on: a file that was last changed while no killed process was in its
    last operation.
    """
    if not history.unswept:
        return
    ops, killed = history.ops, [process for process in history.processes if process.end is not End.FINISHED]
    last = np.zeros(1 + max([int(ops["process"].max(initial=0)), *(process.process for process in killed)]), np.int64)
    last[[process.process for process in killed]] = [process.started for process in killed]
    last[ops["process"]] = ops["invoke"]  # in order of time: the last of each stays
    # A moment is in one of these spans iff one that has begun by then reaches as far.
    spans = sorted((int(last[process.process]) - _CLOCK_NS, process.ended + _CLOCK_NS) for process in killed)
    begun = np.searchsorted(
        np.array([begin for begin, _ in spans], np.int64), [each.changed for each in history.unswept], "right"
    )
    reach = np.maximum.accumulate(np.array([FIRST, *(end for _, end in spans)]))[begun].tolist()
    left = [each for each, until in zip(history.unswept, reach, strict=True) if until < each.changed]
    left = [each for each in left if each.path not in history.backups]
    if left:
        message = (
            f"Left behind by processes that went on, until a sweep removed what killed ones had left: "
            f"{counted(len(left), 'file')}, such as {left[0].path}, last changed at "
            f"{history.names.moment(left[0].changed)}."
        )
        yield _told(history, watched, message, [each.path for each in left])


def _left(history: History, watched: list[FileFacts]) -> Iterator[Finding]:
    if not history.leftovers:
        return
    killed = sum(process.end is End.KILLED for process in history.processes)
    hung = sum(process.end in (End.HUNG, End.STAYED) for process in history.processes)
    after = f"after {counted(killed, 'process', 'processes')} had been killed" if killed else "though nobody was killed"
    if hung:
        # Whether one that ends by itself leaves any is not known of these: the harness had to kill them.
        after = f"after {counted(hung, 'process', 'processes')} that did not end had to be killed, whose they may be"
    left = counted(len(history.leftovers), "file")
    message = f"Left behind, {after}: {left}, such as {history.leftovers[0]}."
    verdict = Verdict.UNKNOWN if hung and not killed else Verdict.FAIL
    yield _told(history, watched, message, history.leftovers, verdict)


def _told(
    history: History, watched: list[FileFacts], message: str, paths: Sequence[str], verdict: Verdict = Verdict.FAIL
) -> Finding:
    # A temp file bears its file's name, as a rule, and stands beside it.
    facts = min(watched, key=lambda facts: _strangeness(paths[0], facts.path))
    shown = tuple(("left", path) for path in paths[:5])
    if len(paths) > len(shown):
        shown += (("left", f"{len(paths) - len(shown):,} more"),)
    return finding(history, "leftovers", LEFTOVER_TEMP, facts, message, (), shown, len(paths), verdict)


def _strangeness(leftover: str, path: str) -> tuple[bool, bool]:
    return posixpath.basename(path) not in leftover, posixpath.dirname(leftover) != posixpath.dirname(path)
