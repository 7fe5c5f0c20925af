"""A case: the same few processes, each with the same few operations, over the same files, in any order of syscalls."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from mmap import PAGESIZE, mmap
from pathlib import Path

from stress.execution.drivers import shell
from stress.execution.drivers.answers import Answers, given
from stress.execution.drivers.observe import Observation, Observer, backup_observation, read_file
from stress.execution.drivers.python import PythonDriver
from stress.execution.final_read import final_by_reader
from stress.execution.operations import OperationStream
from stress.execution.step import number as numbered
from stress.execution.step import step
from stress.exploring.evidence import Evidence
from stress.exploring.recorder import INVOKE, Memory, Row, Stamps, kept_rows
from stress.exploring.warm import Remembered, stays_warm
from stress.history.history import FinalFile, FinalState, History, ProcessFacts
from stress.history.kinds import MUTATIONS, End, Kind, Language, Outcome, WorkerRole
from stress.history.record import ABSENT, INITIAL, NO_VERSION, Operation, version_of
from stress.syscalls import Forked, Program, Ran, Warm
from stress.syscalls import Kind as AgentKind
from stress.workload.inspection import inspect
from stress.workload.layout import first_bytes, lay_out
from stress.workload.scenario import Agent, Answer, Request, Role
from stress.workload.target import BUILT_IN, Target
from stress.workload.tree import Tree, take
from stress.workload.world import World, compose, required_kinds

SIZE_MAX = 200
"""Bytes of padding: small, so that a read and a write are one syscall each, and a schedule takes milliseconds."""

_WORKER = Path(__file__).with_name("worker.bash")
_FREE_WORKER = Path(shell.__file__).with_name("worker.bash")
_ROWS_BYTES = 1 << 20
_LOOKS_MAX = 20
"""Operations without a change that a writer may begin with."""
_READ_S_MAX = 10.0
"""Seconds that the target's own reader may take when all have ended."""


@dataclass(frozen=True)
class Duty:
    """What one process does."""

    language: Language
    part: str
    requests: tuple[Request, ...]

    def __str__(self) -> str:
        """For the heading of a column."""
        return f"{self.language.label}: {', '.join(request.kind.label for request in self.requests)}"


@dataclass(frozen=True)
class Case:
    """One scenario, done by these processes. Its world has only the files that they use."""

    target: Target
    world: World
    duties: tuple[Duty, ...]

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.world.scenarios[0].name} ({', '.join(sorted({duty.language.label for duty in self.duties}))})"

    @property
    def scenario(self) -> str:
        """Its name."""
        return self.world.scenarios[0].name

    @property
    def is_slow(self) -> bool:
        """Whether a process starts programs, which takes many times as long as a function of Python."""
        return any(duty.language is not Language.PYTHON for duty in self.duties)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the processes."""
        return tuple(f"p{number} {duty}" for number, duty in enumerate(self.duties, 1))

    @property
    def short_names(self) -> tuple[str, ...]:
        """Of the processes, for sentences."""
        return tuple(f"p{number}" for number in range(1, len(self.duties) + 1))


def cases(
    names: Sequence[str],
    target: Target,
    supported: Mapping[Language, frozenset[str]],
    languages: Sequence[Language],
    *,
    processes: int,
    ops: int,
    seed: int,
) -> Iterator[Case]:
    """Each scenario that the target can do, by processes of these ``languages`` in turn."""
    operations = frozenset.intersection(*(supported[language] for language in languages))
    whole, _ = compose(names, operations, observe=target.observe)
    for scenario in whole.scenarios:
        if scenario.needs <= operations:
            duties = tuple(_duties(scenario.name, operations, languages, processes, ops, seed))
            used = {request.path for duty in duties for request in duty.requests}
            files = (replace(file, content=first_bytes(file)) for file in scenario.files if file.path in used)  # once
            small = replace(scenario, files=tuple(files))
            facts = tuple(facts for facts in compose([scenario.name], operations)[0].facts if facts.path in used)
            if not target.observe:
                documents = {each.path for each in facts if each.form.is_document}
                duties = tuple(replace(duty, requests=_by_reader(duty.requests, documents)) for duty in duties)
            if duties:
                yield Case(target, World((small,), small.files, facts), duties)


def _duties(
    name: str, supported: frozenset[str], languages: Sequence[Language], processes: int, ops: int, seed: int
) -> Iterator[Duty]:
    world, _ = compose([name], supported)
    roles: dict[str, list[tuple[int, Role]]] = {part: world.roles(part, supported) for part in ("writer", "reader")}
    changes = sum(kind in MUTATIONS for kind in world.scenarios[0].kinds)
    readers = int(processes > 2 and bool(roles["reader"]))
    for number in range(processes if roles["writer"] else 0):
        part = "reader" if number >= processes - readers else "writer"
        agent = Agent(worker=number, writers=processes - readers, source=random.Random(f"{seed}/{number}"), long_at=0)
        # A role each, and others for the next: what one does in two steps is not cut apart by another's.
        turn = random.Random(f"{seed}/roles").randrange(len(roles[part])) + number
        stream = OperationStream(agent, [roles[part][turn % len(roles[part])]])
        # One operation each, of a scenario with several kinds of change: not all begin with the same one.
        requests = _requests(stream, {file.path for file in world.files if file.absent})
        drawn = list(islice(requests, ops + (number % changes if ops == 1 and part == "writer" and changes else 0)))
        if part == "writer":  # one that only looks would leave nothing to be judged
            looks = islice(requests, _LOOKS_MAX)
            while not any(request.kind in MUTATIONS for request in drawn[-ops:]) and (more := next(looks, None)):
                drawn.append(more)
        yield Duty(languages[number % len(languages)], part, tuple(drawn[-ops:]))


def _by_reader(requests: Sequence[Request], documents: set[str]) -> tuple[Request, ...]:
    """The same by who asks the target's reader, and does not open a file that is not the document."""
    return tuple(
        request._replace(kind=Kind.READ) if request.kind is Kind.OBSERVE and request.path in documents else request
        for request in requests
    )


def _requests(stream: OperationStream, absent: set[str]) -> Iterator[Request]:
    """What is asked for one after another by a process that is alone; ``absent``: paths of what is not there yet."""
    while (turn := stream.next()) is not None:
        request = turn[1]
        yield request._replace(size=min(request.size, SIZE_MAX))
        absent -= {request.path} if request.kind in MUTATIONS else set()
        stream.answer(Answer(Outcome.OK, ABSENT if request.path in absent else INITIAL))


def empty(directory: str | Path) -> None:
    """Remove all that is in a directory, in which nobody does anything meanwhile."""
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                empty(entry.path)
                os.rmdir(entry.path)
            else:
                os.unlink(entry.path)


class Testbed:
    """Where a case is executed again and again: files laid out anew, agents, and the history of what they did.

    Args:
        shared: The directory under test; all in it is removed.
        scratch: A directory for what goes between supervisor and Bash workers.
        marks: As of a `Memory`.
    """

    def __init__(self, case: Case, shared: Path, scratch: Path, *, marks: bool = False) -> None:
        self._case, self._shared, self._scratch, self._marks = case, shared, scratch, marks
        self._files = {facts.path: (index, facts.form.value) for index, facts in enumerate(case.world.facts)}
        self._memories = [mmap(-1, _ROWS_BYTES) for _ in case.duties]
        self.steps = mmap(-1, PAGESIZE)
        self._before: Tree = {}
        source = shell.write_commands(case.target, scratch)
        self._source = None if source is None else source.resolve()
        self._bash = shutil.which("bash") or "bash"  # looked up once
        self.agents: list[AgentKind] = [self._agent(number, duty) for number, duty in enumerate(case.duties)]

    def close(self) -> None:
        """Let go of the memory."""
        for memory in (*self._memories, self.steps):
            memory.close()

    def lay_out(self) -> None:
        """Put the shared files back to how they are at the start."""
        empty(self._shared)
        lay_out(self._case.world, self._shared)
        self._before = self._before or take(self._case.world, self._shared)  # the same each time

    def evidence(self, ran: Ran) -> Evidence:
        """What an execution that is over did, saw and left."""
        operations: list[Operation] = []
        own: list[list[int]] = [[] for _ in self._case.duties]
        for at, agent in enumerate(ran.decisions):
            own[agent].append(at)
        plain = {steps + 1: steps for steps in range(len(ran.trace) + 1)}
        for number, duty in enumerate(self._case.duties):
            rows, steps = self._rows(number, duty, ran, plain)
            stamps = Stamps(steps, own[number], len(ran.trace))
            operations += [stamps.timed(row) for row in rows]
        processes = tuple(
            ProcessFacts(
                number + 1, number, duty.language, WorkerRole(duty.part),
                end=End.FINISHED if status == 0 else End.DIED,
                status="" if status == 0 else f"exit status {status}: {_last(ran.outputs[number][1])}",
            )
            for number, (duty, status) in enumerate(zip(self._case.duties, ran.statuses, strict=True))
        )  # fmt: skip
        evidence = Evidence(tuple(operations), processes, take(self._case.world, self._shared))
        if self._case.target.observe:
            return evidence
        final = self._inspected(evidence)
        return replace(evidence, final=replace(final, files=self.by_reader(final.files)))

    def by_reader(self, final: Sequence[FinalFile]) -> tuple[FinalFile, ...]:
        """What was left, with the documents that the target's own reader finds."""
        return final_by_reader(self._case.target, self._shared, self._case.world.facts, final, _READ_S_MAX)

    def _inspected(self, evidence: Evidence) -> FinalState:
        return inspect(self._case.world, evidence.tree, self._before, self._case.target.is_residue)

    def history(self, evidence: Evidence) -> History:
        """The same as the checkers take it."""
        world = self._case.world
        history = History.of(
            evidence.operations,
            world.facts,
            processes=evidence.processes,
            scenarios=[scenario.name for scenario in world.scenarios],
            began=1,
            required=required_kinds(world),
        )
        return history.with_final(evidence.final or self._inspected(evidence))

    # Agents

    def _agent(self, number: int, duty: Duty) -> AgentKind:
        if duty.language is Language.PYTHON:
            function = partial(self._do, self._memories[number], number + 1, duty)
            if not stays_warm(self._case.target):
                return Forked(function)
            return Warm(lambda _: function(), reset=Remembered(self._case.target.side()).put_back)
        target, foreign = self._case.target, duty.language.label not in BUILT_IN
        folder = self._scratch / str(number)
        folder.mkdir()
        lines = []
        for seq, request in enumerate(duty.requests, 1):
            operation = request.kind.label
            if request.kind is Kind.UPDATE and request.locked and (target.exclusive or foreign):
                operation = "locked_update"
            lines.append(f"{seq} {operation} {request.path}\n")
            version = version_of(number + 1, seq)
            form = self._files[request.path][1]
            (folder / f"{seq}.in").write_text(given(request, version, form), encoding="utf-8")
            if foreign and request.kind is Kind.UPDATE:
                (folder / f"{seq}.edits").write_text(given(request, version, form, edits=True), encoding="ascii")
        (folder / "requests").write_text("".join(lines), encoding="utf-8")
        done_by = ["/dev/null", *target.worker] if foreign else [str(self._source)]
        argv = [self._bash, "--norc", "--noprofile", str(_WORKER), str(folder), str(_FREE_WORKER), *done_by]
        return Program(argv, shell.environment() | {"PYTHONHASHSEED": "0"})

    def _do(self, rows: mmap, process: int, duty: Duty) -> None:
        memory = Memory(rows, self.steps, process, duty.language, marks=self._marks)
        driver = PythonDriver(self._case.target, memory.held)
        supported = self._case.target.operations
        for request in duty.requests:
            step(driver, memory, numbered(memory, self._files, supported, 0, request))

    # Rows

    def _rows(self, number: int, duty: Duty, ran: Ran, plain: dict[int, int]) -> tuple[list[Row], dict[int, int]]:
        """What it recorded, and stamp → how many steps there were: ``plain``, where the stamps say that themselves."""
        if duty.language is Language.PYTHON:
            return kept_rows(self._memories[number]), plain
        marks = [mark for mark in ran.marks if mark.agent == number]
        rows: list[Row] = []
        answers = _Kept(self._scratch / str(number), self._shared)
        for stamp, mark in enumerate(marks, 1):
            seq, what, *status = mark.text.split()
            request = duty.requests[int(seq) - 1]
            index, form = self._files[request.path]
            if what == INVOKE:
                version = version_of(number + 1, int(seq)) if request.kind.is_change else NO_VERSION
                rows.append(Row(number + 1, request.kind, index, version, invoke=stamp, outcome=Outcome.OPEN,
                                seq=int(seq), language=duty.language, size=request.size))  # fmt: skip
            elif what == "from":
                rows[-1] = replace(rows[-1], held_from=stamp)
            elif what == "to":
                rows[-1] = replace(rows[-1], held_to=stamp)
            else:
                answers.number = int(seq)
                seen = answers.observation(request, form, int(status[0]))
                rows[-1] = replace(
                    rows[-1], ret=stamp, outcome=seen.outcome, parent=seen.parent, digest=seen.digest, note=seen.note
                )
                if not request.kind.is_change:
                    rows[-1] = replace(rows[-1], version=seen.version, size=seen.size)
        return rows, {stamp: mark.step for stamp, mark in enumerate(marks, 1)}


class _Kept(Answers):
    """The files of one Bash worker's operation ``number``, examined when all operations are over: see worker.bash."""

    number = 0

    def __init__(self, folder: Path, shared: Path) -> None:
        super().__init__(folder, Observer())
        self._shared = shared
        self.definite = frozenset(map(int, (read_file(str(folder / "definite")) or b"").split()))

    def read(self, name: str) -> bytes | None:
        """Of this operation."""
        return super().read(f"{self.number}.{name}")

    def recovered(self, path: str) -> bytes | None:
        """What lay there right after the recovery."""
        return self.read("file")

    def saved(self, kind: Kind, path: str) -> Observation:
        """With the bytes that were kept right after it was made or seen."""
        name = os.path.relpath(os.path.join(self._shared, path), self._shared)
        return backup_observation(name, self.read("file"), made=kind is Kind.BACKUP)


def _last(said: bytes) -> str:
    lines = said.decode("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else "without a word"
