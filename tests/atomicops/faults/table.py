"""The fault table: what each operation comes to when one of its system calls fails, or a signal comes there.

``table.tsv`` has a line for each outcome: operation, process (``python``, ``perl``, Bash's own ``shell``), step, which
of the steps of that name, the faults (``*``: all that no other line of the step has), the outcome. An outcome is the
file's state, how the process ended (exit code or signal), what is left behind, and the message's advice.

``reasons.tsv`` says why the languages may differ: operation, step and fault, each a pattern, and the reason.
"""

from __future__ import annotations

import os
import random
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from fnmatch import fnmatchcase
from itertools import count
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple

from tests.atomicops.faults.inject import FAULTS, PROCESSES, Run, TracedPython, run_bash
from tests.atomicops.faults.scene import OPERATIONS, Broken, Operation, Scene
from tests.atomicops.faults.steps import Step

TABLE = Path(__file__).with_name("table.tsv")
REASONS = Path(__file__).with_name("reasons.tsv")
_HEAD = "operation\tprocess\tstep\twhich\tfaults\toutcome"


class Cell(NamedTuple):
    """One place of the table: the ``nth`` step of a name, in an operation of a process, and the fault there."""

    operation: str
    process: str
    step: str
    nth: int
    fault: str


Table = Mapping[Cell, str]


# --- running ---------------------------------------------------------------------------------------------------------


class Bench:
    """Runs cells, ``width`` of them side by side, in fresh folders below ``base``."""

    def __init__(self, base: Path, width: int = 2) -> None:
        self._base, self._width, self._numbers = base, width, count()
        self._stack = ExitStack()
        self._servers: SimpleQueue[TracedPython] = SimpleQueue()

    def __enter__(self) -> Bench:
        for _ in range(self._width):
            self._servers.put(self._stack.enter_context(TracedPython()))
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def learn(self, operation: Operation, process: str) -> tuple[Step, ...]:
        """The steps of an operation that nothing disturbs, without those of the operation that it is a variant of.

        Raises `Broken` where it does not do what it should.
        """
        scene, run = self.run(operation, process, None, None)
        outcome = scene.outcome(run, process)
        if (outcome.state, outcome.status) != ("new", 0):
            raise Broken(f"{operation.name} by {process}, undisturbed: {outcome} {run.message}")
        scene.remove()
        if not operation.variant_of:
            return run.steps
        known = {(step.name, step.nth) for step in self.learn(OPERATIONS[operation.variant_of], process)}
        return tuple(step for step in run.steps if (step.name, step.nth) not in known)

    def outcomes(self, cells: Sequence[tuple[Cell, Step]]) -> dict[Cell, str]:
        """What each comes to; ``BROKEN: …`` where that may never be."""
        with ThreadPoolExecutor(self._width) as pool:
            return dict(zip((cell for cell, _ in cells), pool.map(self._outcome, cells), strict=True))

    def _outcome(self, numbered: tuple[Cell, Step]) -> str:
        cell, step = numbered
        scene, run = self.run(OPERATIONS[cell.operation], cell.process, step, cell.fault)
        try:
            if not run.injected and not cell.fault.startswith("SIG"):
                raise Broken("the fault was not injected: the call did not come again")
            found = str(scene.outcome(run, cell.process, cell.step))
        except Broken as broken:
            found = " ".join(f"BROKEN: {broken} (exit {run.status})".split())
        scene.remove()
        return found

    def run(self, operation: Operation, process: str, step: Step | None, fault: str | None) -> tuple[Scene, Run]:
        """One run, with a fault or without; its folder stays."""
        while True:
            scene = Scene(self._base / str(next(self._numbers)), operation)
            if process != "python":
                run = run_bash(scene.folder, operation.bash, process, step, fault)
                if run.status == 126:  # ETXTBSY: a child of another thread still had the script open to write
                    scene.remove()
                    continue
                return scene, run
            server = self._servers.get()
            try:
                run = server.operate(scene.folder, operation.python, step, fault)
            finally:
                self._servers.put(server)
            if run.from_the_start:
                return scene, run
            scene.remove()


def ways(operation: Operation) -> Iterator[str]:
    """The processes that an operation can be done by."""
    yield from (process for process in PROCESSES if (operation.python if process == "python" else operation.bash))


def cells(operation: Operation, process: str, steps: Iterable[Step]) -> list[tuple[Cell, Step]]:
    """Every fault at each of these steps."""
    return [
        (Cell(operation.name, process, step.name, step.nth, fault), step)
        for step in steps
        for fault in faults_of(step.name)
    ]


def faults_of(step: str) -> list[str]:
    """All, but for two answers that are no failures: "this is no link", and "there are no such attributes here"."""
    answers = (("readlink link", "EINVAL"), ("listxattr target", "ENOSYS"))
    return [fault for fault in FAULTS if (step, fault) not in answers]


def sample(table: Table, operation: str, process: str, size: int, seed: str) -> list[Cell]:
    """So many cells of an operation, no two of them of the same step as long as there are others."""
    draw = random.Random(f"{seed} {operation} {process}")
    those = sorted(cell for cell in table if cell[:2] == (operation, process))
    draw.shuffle(those)
    seen: dict[tuple[str, int], int] = defaultdict(int)
    ranked = []
    for cell in those:
        seen[cell.step, cell.nth] += 1
        ranked.append((seen[cell.step, cell.nth], cell))
    return [cell for _, cell in sorted(ranked, key=lambda one: one[0])[:size]]


# --- the files -------------------------------------------------------------------------------------------------------


def save(table: Table, path: Path = TABLE) -> None:
    path.write_text("\n".join([_HEAD, *_lines(table)]) + "\n", "utf-8")


def _lines(table: Table) -> Iterator[str]:
    groups: dict[tuple[str, str, str], dict[int, dict[str, str]]] = defaultdict(lambda: defaultdict(dict))
    for cell, outcome in table.items():
        groups[cell.operation, cell.process, cell.step][cell.nth][cell.fault] = outcome
    order = [(name, process) for name in OPERATIONS for process in PROCESSES]
    for key, by_nth in sorted(groups.items(), key=lambda item: (order.index(item[0][:2]), item[0][2])):
        alike: dict[tuple[tuple[str, str], ...], list[int]] = defaultdict(list)
        for nth, outcomes in sorted(by_nth.items()):
            alike[tuple((fault, outcomes[fault]) for fault in FAULTS if fault in outcomes)].append(nth)
        for pairs, numbers in alike.items():
            which = ",".join(map(str, numbers))
            faults: dict[str, list[str]] = defaultdict(list)
            for fault, outcome in pairs:
                faults[outcome].append(fault)
            usual = max(faults, key=lambda outcome: len(faults[outcome]))
            for outcome, those in faults.items():
                if outcome != usual:
                    yield "\t".join((*key, which, " ".join(those), outcome))
            yield "\t".join((*key, which, "*", usual))


def load(path: Path = TABLE) -> dict[Cell, str]:
    table: dict[Cell, str] = {}
    head, *lines = path.read_text("utf-8").splitlines()
    assert head == _HEAD, f"{path}: not a fault table"
    for line in lines:
        operation, process, step, which, faults, outcome = line.split("\t")
        for nth in map(int, which.split(",")):
            for fault in faults_of(step) if faults == "*" else faults.split():
                table.setdefault(Cell(operation, process, step, nth, fault), outcome)
    return table


# --- the two languages against each other ----------------------------------------------------------------------------


class Difference(NamedTuple):
    """The languages' outcomes of the same fault at the same step, where they are not the same."""

    operation: str
    step: str
    fault: str
    python: frozenset[str]
    bash: frozenset[str]

    def __str__(self) -> str:
        sides = (
            f"{name} {' / '.join(sorted(those))}" for name, those in (("python", self.python), ("bash", self.bash))
        )
        return f"{self.operation}, {self.step}: {'; '.join(sides)}"


def differences(table: Table) -> list[Difference]:
    """Where both languages make a step, and a fault there comes to different outcomes."""
    sides: dict[tuple[str, str, str], tuple[set[str], set[str]]] = defaultdict(lambda: (set(), set()))
    for cell, outcome in table.items():
        sides[cell.operation, cell.step, cell.fault][cell.process != "python"].add(outcome)
    return [
        Difference(*key, frozenset(python), frozenset(bash))
        for key, (python, bash) in sides.items()
        if python and bash and python != bash
    ]


class Reason(NamedTuple):
    """Why the languages may differ; the first three are patterns, as of a shell."""

    operation: str
    step: str
    fault: str
    why: str

    def explains(self, found: Difference) -> bool:
        return all(
            any(fnmatchcase(value, pattern) for pattern in patterns.split("|"))
            for value, patterns in zip(found[:3], self[:3], strict=True)
        )


def reasons(path: Path = REASONS) -> list[Reason]:
    lines = [line for line in path.read_text("utf-8").splitlines() if line and not line.startswith("#")]
    return [Reason(*line.split("\t")) for line in lines]


def seed() -> str:
    return os.environ.get("ATOMICOPS_FAULTS_SEED", "0")
