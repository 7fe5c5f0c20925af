"""The life of a Python worker, in the process that was forked for it."""

from __future__ import annotations

import errno
import functools
import os
import random

from stress.execution.barrier import StartBarrier
from stress.execution.cast import WorkerSpec
from stress.execution.cpu import CpuShare
from stress.execution.drivers.driver import Driver
from stress.execution.drivers.python import PythonDriver
from stress.execution.interruptions import Interruptible
from stress.execution.loop import EXIT_JOURNAL, work
from stress.execution.run_spec import RunSpec
from stress.execution.step import Stepper
from stress.execution.worker import Worker
from stress.history.journal import Journal
from stress.history.kinds import Language, WorkerRole
from stress.host.child import staying_threads
from stress.host.users import become

READER_REST_S = 0.04
"""The longest that a Python reader waits after a burst of reads, for each reader there is: so many of them look no more
often than a few do, and leave the processor to the writers.
"""


def has_handler(run_spec: RunSpec, spec: WorkerSpec) -> bool:
    """Whether a worker has a signal handler, which is a process of its own in the history."""
    return "signal" in run_spec.cast.faults and spec.language is Language.PYTHON


def stepper_of(run_spec: RunSpec, worker: Worker, driver: Driver, journal: Journal) -> Stepper:
    """What does the operations of a worker, of any language."""
    supported, cast = worker.spec.supported, run_spec.cast
    return Stepper(driver, journal, worker.stream, cast.files, supported, observed=cast.target.observe)


def live(worker: Worker, run_spec: RunSpec, barrier: StartBarrier) -> None:
    """Open a journal, and work until the stream of operations ends, or it is time to stop."""
    parent = os.getppid()
    words = os.open(f"{worker.scratch}/stderr", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    os.dup2(words, 2)
    os.environ["STRESS_PROCESS"] = run_spec.mark(worker.process)
    spec, journals, target = worker.spec, str(run_spec.place.run.journals), run_spec.cast.target
    try:
        journal = run_spec.python_journal(journals, worker.process, spec.worker, spec.language)
        driver: Driver = run_spec.python_driver(target, journal.clock)
        recorder: Journal | None = None
        if has_handler(run_spec, spec):
            recorder = Journal(journals, worker.process + 1, spec.worker, spec.language)
            driver = Interruptible(driver, PythonDriver(target, recorder.clock), recorder)
        driver = CpuShare(driver)
        longest_s = READER_REST_S * run_spec.cast.count(WorkerRole.READER) if spec.role is WorkerRole.READER else 0
        rest = functools.partial(random.Random(worker.process).uniform, 0, longest_s)
        stepper = stepper_of(run_spec, worker, driver, journal)
        if spec.user is not None:
            for each in (journal, recorder):
                if each is not None:
                    each.open_extras()  # the run directory is not that user's
            become(spec.user, parent)
        work(stepper, journal, barrier, rest)
        if threads := staying_threads():
            os.write(2, f"{', '.join(threads)}\n".encode())
    except OSError as error:  # nothing of the target comes out of a worker: this is the journal's
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            os._exit(EXIT_JOURNAL)
        raise
