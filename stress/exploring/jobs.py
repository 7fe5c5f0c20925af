"""Several processes share the batches of an exploration, each with a supervisor and a CPU of its own."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from typing import Any

from stress.engine import HarnessError
from stress.exploring.batch import Batch, BatchReport, explore_batch
from stress.exploring.plan import ExplorePlan
from stress.exploring.search import Search
from stress.syscalls import Denied
from stress.syscalls.crew import Connection, Member, ready

Heard = Callable[[Batch, int, int, str], bool]
"""Told how many schedules of a batch were executed, how many different, and `Search.coverage`; whether to go on."""

_TOLD_S = 0.2


def reports(plan: ExplorePlan, batches: Iterator[Batch], jobs: int, heard: Heard) -> Iterator[BatchReport]:
    """Explore ``batches``; their reports, in any order.

    After a failing schedule no later batch is begun, unless the plan says ``keep_going``; earlier ones are finished, so
    that the first failing schedule is the same however many jobs there are.

    Args:
        jobs: Processes. One: this one.
        heard: See `Heard`.
    """
    if jobs == 1:
        yield from _here(plan, batches, heard)
        return
    cpus = sorted(os.sched_getaffinity(0))
    with ExitStack() as stack:
        crew: list[_Job] = []
        for number in range(jobs):
            crew.append(_Job(plan, cpus[number % len(cpus)], crew))
            stack.callback(crew[-1].close)
        yield from _there(plan, batches, crew, heard)


def _here(plan: ExplorePlan, batches: Iterator[Batch], heard: Heard) -> Iterator[BatchReport]:
    going = True
    for batch in batches:

        def go_on(search: Search, batch: Batch = batch) -> bool:
            nonlocal going
            going = going and heard(batch, search.schedules, len(search.tally.interleavings), search.coverage)
            return going

        report = explore_batch(plan, batch, go_on)
        yield report
        if not going or report.interrupted or (report.found and not plan.keep_going):
            return


def _there(plan: ExplorePlan, batches: Iterator[Batch], crew: list[_Job], heard: Heard) -> Iterator[BatchReport]:
    last, interrupted = math.inf, False

    def hire(job: _Job) -> None:
        batch = None if last < math.inf or interrupted else next(batches, None)
        if batch is not None:
            job.give(batch)

    for job in crew:
        hire(job)
    while busy := {job.pipe: job for job in crew if job.batch is not None}:
        try:
            for job in [busy[pipe] for pipe in ready([*busy])]:
                message = job.hear()
                if isinstance(message, BaseException):
                    raise message
                if isinstance(message, BatchReport):
                    if message.found is not None and not plan.keep_going:
                        last = min(last, message.batch.number)
                    interrupted = interrupted or message.interrupted
                    hire(job)
                    yield message
                elif job.batch is not None and not heard(job.batch, *message):
                    last = -1
        except KeyboardInterrupt:
            last, interrupted = -1, True
        for job in busy.values():
            if job.batch is not None and job.batch.number > last:
                job.stop()
    if interrupted:
        raise KeyboardInterrupt


class _Job:
    """A process that explores one batch after another; ``others`` were started before it."""

    def __init__(self, plan: ExplorePlan, cpu: int, others: Sequence[_Job]) -> None:
        self._member = Member(partial(_serve, plan, cpu), [other.pipe for other in others])
        self.pipe: Connection = self._member.pipe
        self.close = self._member.close
        self.batch: Batch | None = None

    def give(self, batch: Batch) -> None:
        """Let it explore a batch."""
        self.batch = batch
        self.pipe.send(batch)

    def stop(self) -> None:
        """Let it end the batch after the schedule that it is at."""
        self.pipe.send(None)

    def hear(self) -> Any:
        """What it says: a report, an error, or how many schedules."""
        try:
            message = self.pipe.recv()
        except EOFError:
            raise HarnessError("a process that explored has ended before its batch; was it killed?") from None
        if isinstance(message, BatchReport):
            self.batch = None
        return message


def _serve(plan: ExplorePlan, cpu: int, pipe: Connection) -> None:
    told = 0.0

    def go_on(search: Search) -> bool:
        nonlocal told
        if pipe.poll():
            return pipe.recv() is not None
        now = time.monotonic()
        if now - told >= _TOLD_S:
            told = now
            pipe.send((search.schedules, len(search.tally.interleavings), search.coverage))
        return True

    with suppress(EOFError, ConnectionError):  # nobody hears any more
        while True:
            batch = pipe.recv()
            if batch is not None:
                try:
                    answer: object = explore_batch(plan, batch, go_on, cpu)
                except (EOFError, ConnectionError):
                    raise
                except (Denied, HarnessError, OSError) as error:
                    answer = error
                except Exception as error:
                    answer = HarnessError(f"{type(error).__name__}: {error}")
                pipe.send(answer)
