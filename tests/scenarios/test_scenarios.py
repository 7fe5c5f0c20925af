"""What scenarios ask for: legal at every step, of files that are described once, judged by checkers that there are."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator
from itertools import islice

import pytest

from stress.api import (
    ABSENT,
    GARBAGE,
    INITIAL,
    NO_VERSION,
    Agent,
    Answer,
    Kind,
    Outcome,
    Request,
    Role,
    Scenario,
    SharedFile,
    Steps,
    document_of,
    examine_bytes,
    parse_log,
    version_of,
)
from stress.checkers import registry
from stress.workload import catalog
from stress.workload.layout import lay_out
from stress.workload.payload import apply_edits
from stress.workload.world import compose

catalog.load()
SCENARIOS = {name: catalog.SCENARIOS.get(name) for name in catalog.SCENARIOS}
NAMES = SCENARIOS["bridge"].parts
ALL = frozenset({"write", "read", "update", "append", "backup", "recover", "lock", "sweep"})
NEEDS = {
    Kind.WRITE: "write",
    Kind.UPDATE: "update",
    Kind.APPEND: "append",
    Kind.BACKUP: "backup",
    Kind.RECOVER: "recover",
}
SIGNALS = SCENARIOS["completion"].files
FILES = SCENARIOS["resume"].files
ROLES = [(scenario, role) for scenario in SCENARIOS.values() for role in scenario.roles]


class Files:
    """The shared files of a world, in memory: as they would be if nothing ever went wrong."""

    def __init__(self, *files: SharedFile) -> None:
        self.version = {file.path: ABSENT if file.absent else INITIAL for file in files}
        self.made = 0

    def answer(self, request: Request) -> Answer:
        """Do what is asked."""
        if request.kind in (Kind.WRITE, Kind.UPDATE, Kind.APPEND):
            self.made += 1
            self.version[request.path] = version_of(1, self.made)
        return Answer(Outcome.OK, self.version[request.path])


def _agent(worker: int = 0, writers: int = 4, seed: int = 1) -> Agent:
    return Agent(worker=worker, writers=writers, source=random.Random(seed))


def _drive(steps: Steps, files: Files) -> Iterator[Request]:
    request = next(steps)
    while True:
        yield request
        try:
            request = steps.send(files.answer(request))
        except StopIteration:
            return


def test_each_worker_soon_makes_a_long_change_of_either_kind() -> None:
    agent, file = _agent(), SharedFile("a.json", shape={})
    for make in (agent.write, agent.update):
        assert [make(file).size >= 48 << 10 for _ in range(4)][3]


def test_two_of_a_workers_first_appends_take_several_writes() -> None:
    agent, log = _agent(), SharedFile("log.txt", form="log")
    sizes = [agent.append(log).size for _ in range(12)]
    assert min(sizes[3], sizes[11]) >= 24 << 10
    assert sorted(sizes)[6] < 1 << 10, "most are short"


def test_all_there_are_and_the_default_is_made_of_all_others() -> None:
    alone = {"bridge", *(name for name, each in SCENARIOS.items() if each.colleagues)}  # two users are not everywhere
    assert set(SCENARIOS) == alone | {*NAMES}, "name it in scenarios/bridge.py"
    assert len(NAMES) == len({*NAMES}) >= 8


@pytest.mark.parametrize("name", NAMES)
def test_a_scenario_is_complete(name: str) -> None:
    scenario = SCENARIOS[name]
    assert scenario.about
    assert scenario.files
    assert {role.worker_role for role in scenario.roles} == {"writer", "reader"}
    assert scenario.kinds
    assert {path for path, number in Counter(file.path for file in scenario.files).items() if number > 1} == set()
    wanted = scenario.checkers.union(*(file.checkers or frozenset() for file in scenario.files))
    assert wanted <= set(registry.load())


@pytest.mark.parametrize(("scenario", "role"), ROLES, ids=lambda thing: thing.name.replace(" ", "-"))
def test_a_role_asks_for_what_can_be_done(scenario: Scenario, role: Role) -> None:
    files = {file.path: file for file in scenario.files}
    kinds: Counter[Kind] = Counter()
    for request in islice(_drive(role.steps(_agent()), Files(*scenario.files)), 4000):
        kinds[request.kind] += 1
        file = files[request.path]
        if (operation := NEEDS.get(request.kind)) is not None:
            assert operation in role.needs
        assert (request.kind is Kind.APPEND) <= (file.form == "log")
        assert (request.kind in (Kind.WRITE, Kind.UPDATE, Kind.OBSERVE_BACKUP)) <= (file.form in ("object", "list"))
        assert (request.kind is Kind.READ) <= (file.form != "log")
        assert request.size >= 0
        if request.kind is Kind.WRITE:
            assert list(request.shape)[: len(file.shape)] == list(file.shape), "the fields of its file come first"
        if request.kind is Kind.UPDATE:
            before = document_of(INITIAL, 64, file.shape)
            after = apply_edits(before, INITIAL, version_of(1, 1), request.size, request.edits)
            assert examine_bytes(json.dumps(after).encode()).version == version_of(1, 1)
            assert len(after) == len(before), "edits hit what is there"
    assert role.weight > 0
    assert kinds.total() == 4000, "a role goes on as long as the run does"
    if role.worker_role == "reader":
        assert not kinds.keys() & NEEDS.keys()


@pytest.mark.parametrize("name", NAMES)
def test_what_a_scenario_cannot_do_without_is_asked_for_early(name: str) -> None:
    scenario = SCENARIOS[name]
    files = Files(*scenario.files)
    asked = {request.kind for role in scenario.roles for request in islice(_drive(role.steps(_agent()), files), 40)}
    assert scenario.kinds <= asked


def test_together_they_meet_in_the_same_files() -> None:
    world, skipped = compose(["bridge"], ALL)
    assert skipped == []
    assert [scenario.name for scenario in world.scenarios] == list(NAMES)
    (context,) = (facts for facts in world.facts if facts.path == ".claude/handoff-context.json")
    assert {"torn", "register", "updates", "backups", "locks", "metadata"} <= context.checkers


@pytest.mark.parametrize("name", [*NAMES, "bridge"])
def test_what_is_laid_out_is_what_is_described(name: str, tmp_path: object) -> None:
    from pathlib import Path

    directory = Path(str(tmp_path))
    world, _ = compose([name], ALL)
    lay_out(world, directory)
    for file, facts in zip(world.files, world.facts, strict=True):
        path = directory / file.path
        assert path.exists() is not file.absent
        if file.absent:
            assert path.parent.is_dir()
            assert facts.initial == ABSENT
        elif file.form == "log":
            assert parse_log(path.read_bytes()) == ([INITIAL], path.stat().st_size)
        else:
            assert examine_bytes(path.read_bytes()).version == facts.initial
            assert path.stat().st_mode & 0o777 == file.mode


# The completion signals

monitor, wait = (role.steps for role in SCENARIOS["completion"].roles)


def _play(agents: list[Steps], files: Files, source: random.Random, turns: int) -> Counter[str]:
    """Let the agents take turns at random; returns how often each signal was written."""
    written: Counter[str] = Counter()
    waiting = [next(steps) for steps in agents]
    for _ in range(turns):
        at = source.randrange(len(agents))
        request = waiting[at]
        if request.kind is Kind.WRITE:
            number = [signal.path for signal in SIGNALS].index(request.path)
            assert number == 0 or files.version[SIGNALS[number - 1].path] != ABSENT, "a signal came before its turn"
            written[request.path] += 1
        waiting[at] = agents[at].send(files.answer(request))
    return written


def test_each_signal_is_made_once_by_its_owner_while_all_are_there() -> None:
    files = Files(*SIGNALS)
    agents = [monitor(_agent(worker, 4, worker)) for worker in range(4)] + [wait(_agent(9, 4, 9))]
    written = _play(agents, files, random.Random(5), 30_000)
    assert len(written) == len(SIGNALS)
    assert sum(written.values()) < len(SIGNALS) * 1.05, "patience runs out only now and then"


def test_rounds_whose_owner_never_comes_do_not_stall() -> None:
    files = Files(*SIGNALS)
    written = _play([monitor(_agent(worker, 8, worker)) for worker in (1, 3)], files, random.Random(5), 40_000)
    assert len(written) == len(SIGNALS)


def test_a_replacement_takes_up_where_the_killed_one_was() -> None:
    files = Files(*SIGNALS)
    for life in range(12):
        _play([monitor(_agent(worker, 2, life * 2 + worker)) for worker in range(2)], files, random.Random(life), 700)
    there = [files.version[signal.path] != ABSENT for signal in SIGNALS]
    assert there.index(False) > 100 if False in there else True
    assert sorted(there, reverse=True) == there


# The slots of resume


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.path[:10])
def test_a_slot_has_the_outcome_that_it_claims(file: SharedFile) -> None:
    assert file.content is not None
    backups = sorted(file.beside, key=lambda other: other.mtime_s, reverse=True)
    assert [int(other.path.split(".")[-2]) for other in backups] == [other.mtime_s for other in backups]
    assert all(other.path.startswith(f"{file.path}.") and other.path.endswith(".bak") for other in backups)
    valid = [version for other in backups if (version := examine_bytes(other.content).version) != GARBAGE]
    main = examine_bytes(file.content).version
    if file.recovery == "keep":
        assert (main, file.corrupt) == (file.recovered, b"")
    else:
        assert main == GARBAGE
        assert file.corrupt == file.content
        assert (file.recovery, file.recovered) == (("restore", valid[0]) if valid else ("refuse", NO_VERSION))


def test_the_slots_have_every_case_and_no_bytes_twice() -> None:
    def newest_is_corrupt(file: SharedFile) -> bool:
        return examine_bytes(max(file.beside, key=lambda other: other.mtime_s).content).version == GARBAGE

    cases = Counter((file.recovery, newest_is_corrupt(file)) for file in FILES)
    assert cases.keys() == {("restore", False), ("restore", True), ("keep", False), ("refuse", True)}
    assert min(cases.values()) >= 20
    contents = [content for file in FILES for content in (file.content, *(other.content for other in file.beside))]
    assert len(set(contents)) == len(contents)


def test_no_json_parser_takes_what_is_called_corrupt() -> None:
    for file in FILES:
        if file.corrupt:
            with pytest.raises(ValueError, match=r"."):
                json.loads(file.corrupt)
