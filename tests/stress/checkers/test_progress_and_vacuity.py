"""What needs more operations than a golden history can show, or records that no test can write by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from stress.checkers.blind_reads import without_blind_reads
from stress.checkers.progress import _paused, progress
from stress.checkers.registry import load
from stress.checkers.torn import torn
from stress.checkers.updates import updates
from stress.checkers.vacuity import not_reached, vacuity
from stress.history.history import FileFacts, FinalFile, History, ProcessFacts
from stress.history.kinds import End, Format, Kind, Language, Outcome, Recovery, WorkerRole
from stress.history.notes import ErrorNote, Note, ReturnedDocument, SeenBytes
from stress.history.record import ABSENT, GARBAGE, INITIAL, Operation, version_of
from stress.result import Verdict

SECOND = 10**9
FILES = [FileFacts(path, "drill") for path in ("a.json", "b.json")]


def _run(
    counts: list[int], *, ends: list[End] | None = None, busy: float = 0.9, language: int = 1, seconds: int = 12
) -> History:
    """Processes that did this many operations each in that time."""
    end_at = (1 + seconds) * SECOND
    operations, processes = [], []
    for number, count in enumerate(counts, start=1):
        step = seconds * SECOND // max(count, 1)
        for at in range(count):
            begin = SECOND + at * step
            operations.append(
                Operation(number, Kind.WRITE, 0, version_of(number, at + 1), invoke=begin, ret=begin + int(step * busy))
            )
        end = ends[number - 1] if ends else End.FINISHED
        processes.append(ProcessFacts(number, number, Language(language), WorkerRole.WRITER, SECOND, end_at + 5, end))
    return History.of(operations, FILES, processes=processes, scenarios=["drill"], began=SECOND, ended=end_at)


def test_who_gets_next_to_nothing_done_starves() -> None:
    (found,) = progress(_run([400, 300, 500, 3]))
    assert found.anomaly == "starvation"
    assert found.witness[0].process == 4
    assert found.message.startswith(
        "p4 (python), a writer, got 3 operations done in the whole run, and half of the 4 like"
    )


@pytest.mark.parametrize(
    "history",
    [
        _run([400, 300, 500, 40]),  # slow, and not that slow
        _run([30, 30, 30, 1]),  # too few to tell
        _run([400, 3]),  # too few peers
        _run([400, 300, 500, 3], ends=[End.FINISHED] * 3 + [End.KILLED]),  # did not live as long
        _run([400, 300, 500, 3], seconds=3),  # for a moment
        _run([4000, 3000, 5000, 12]),  # had its turns all the time, as one that polls has: none took three seconds
        _run([400, 300, 500, 3], busy=0.2),  # was not waiting in operations, but outside of them
    ],
    ids=["slow", "few", "alone", "killed", "short", "turns", "idle"],
)
def test_starvation_is_not_claimed_lightly(history: History) -> None:
    assert list(progress(history)) == []


def test_a_process_that_never_began_hangs() -> None:
    history = _run([10, 0], ends=[End.FINISHED, End.HUNG])
    (found,) = progress(history)
    assert found.anomaly == "hang"
    assert "p2" in found.message


def _anomalies(history: History) -> list[str]:
    found = list(vacuity(history))
    assert all(each.verdict is Verdict.UNKNOWN for each in found)
    return [each.anomaly for each in found]


def _met(scenario: int, file: int, *, apart: int) -> list[Operation]:
    """A writer and a reader of one file, 50 times; their operations are ``apart`` ns from touching."""
    made = []
    for at in range(50):
        begin = at * 100
        writer = 2 * scenario + 1
        made.append(
            Operation(
                writer, Kind.WRITE, file, version_of(writer, at + 1), invoke=begin, ret=begin + 20, scenario=scenario
            )
        )
        made.append(
            Operation(
                writer + 1,
                Kind.READ,
                file,
                version_of(writer, at + 1),
                invoke=begin + 20 + apart,
                ret=begin + 90,
                scenario=scenario,
            )
        )
    return made


def test_each_scenario_has_to_show_overlap() -> None:
    good = History.of(_met(0, 0, apart=-5) + _met(1, 1, apart=-5), FILES, scenarios=["one", "two"])
    assert _anomalies(good) == []
    half = History.of(_met(0, 0, apart=-5) + _met(1, 1, apart=5), FILES, scenarios=["one", "two"])
    (found,) = vacuity(half)
    assert (found.anomaly, found.scenario) == ("no-overlap", "two")
    assert found.message.startswith("In scenario two none of 50 changes overlapped anything that another process did")


def test_few_changes_of_a_scenario_may_miss_all_others_by_chance() -> None:
    few = [op for op in _met(1, 1, apart=5) if op.invoke < 1000]
    assert _anomalies(History.of(_met(0, 0, apart=-5) + few, FILES, scenarios=["one", "two"])) == []


def test_many_changes_that_are_spread_over_many_files_may_miss_each_other_by_chance() -> None:
    spread = [
        Operation(3 + at % 2, Kind.WRITE, 1 + at // 2, version_of(3 + at % 2, at + 1), invoke=at * 40, ret=at * 40 + 20)
        for at in range(120)
    ]
    files = [*FILES[:1], *(replace(FILES[1], path=f"{at}.json") for at in range(60))]
    made = _met(0, 0, apart=-5) + [replace(op, scenario=1) for op in spread]
    assert "no-overlap" not in _anomalies(History.of(made, files, scenarios=["one", "two"]))


def test_an_operation_that_goes_on_for_blocks_is_met_in_a_later_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stress.checkers.vacuity._BLOCK", 1)
    history = History.of(_met(0, 0, apart=-5), FILES)
    assert _anomalies(history) == []


def test_a_change_in_a_later_block_meets_a_read_of_an_earlier_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stress.checkers.vacuity._BLOCK", 1)
    read = Operation(1, Kind.READ, 0, INITIAL, invoke=0, ret=100)
    short = Operation(2, Kind.READ, 0, INITIAL, invoke=10, ret=20)
    write = Operation(3, Kind.WRITE, 0, version_of(3, 1), invoke=30, ret=40)
    assert _anomalies(History.of([read, short, write], FILES)) == []


def test_operations_at_once_on_different_files_show_nothing() -> None:
    history = History.of(_met(0, 0, apart=5) + _met(1, 1, apart=5), FILES, scenarios=["one", "two"])
    assert set(_anomalies(history)) == {"no-overlap"}


def test_a_pause_long_before_an_operation_is_none_of_its_time() -> None:
    write = Operation(1, Kind.WRITE, 0, version_of(1, 1), invoke=500, ret=601)
    history = History.of([write], FILES, scenarios=["one"], pauses=[(100, 200)], limit=100)
    assert [found.anomaly for found in progress(history)] == ["hang"]


def test_an_operation_without_an_end_is_not_accounted_for() -> None:
    history = History.of(_met(0, 0, apart=-5), FILES)
    ops = history.ops.copy()
    ops["outcome"][7] = Outcome.OPEN
    (found,) = vacuity(replace(history, ops=ops))
    assert found.anomaly == "unaccounted"
    assert found.message == "p2 came to its end by itself, but its read number 4 has no end."


def test_operations_of_a_process_that_nobody_started_are_not_accounted_for() -> None:
    history = History.of(_met(0, 0, apart=-5), FILES)
    known = ProcessFacts(1, 1, Language.PYTHON, WorkerRole.WRITER)
    assert _anomalies(replace(history, processes=(known,))) == ["unaccounted"]


def test_a_run_in_which_everything_failed_proves_nothing() -> None:
    history = History.of(_met(0, 0, apart=-5), FILES)
    ops = history.ops.copy()
    ops["outcome"] = Outcome.FAIL
    found = list(vacuity(replace(history, ops=ops)))
    assert {each.anomaly for each in found} == {"too-few-operations"}
    assert any("not one succeeded" in each.message for each in found)


def _tried(process: int, count: int, succeeded: int, language: Language = Language.PYTHON) -> list[Operation]:
    """Writes of one process, of which the first ones succeed, with a read beside each."""
    operations = []
    for number in range(count):
        at = number * 10
        outcome = Outcome.OK if number < succeeded else Outcome.INFO
        note = None if outcome is Outcome.OK else ErrorNote("OSError: disk on fire")
        operations += [
            Operation(process, Kind.WRITE, invoke=at, ret=at + 5, outcome=outcome, language=language, note=note),
            Operation(99, Kind.READ, version=0, invoke=at + 6, ret=at + 7),
        ]
    return operations


def _of(operations: list[Operation], *facts: ProcessFacts, scenarios: tuple[str, ...] = ("one",)) -> History:
    required = [frozenset({Kind.WRITE, Kind.READ}) for _ in scenarios]
    return History.of(operations, FILES, processes=facts, scenarios=scenarios, required=required)


def _few(history: History) -> list[str]:
    return [each.message for each in vacuity(history) if each.anomaly == "too-few-operations"]


def test_a_kind_that_hardly_ever_succeeded_is_too_few_in_each_language() -> None:
    (message,) = _few(_of(_tried(1, 200, 3) + _tried(2, 200, 200, Language.BASH)))
    said = "3 of 200 writes by python workers succeeded: OSError: disk on fire (at least 10% are asked for)."
    assert message == f"In scenario one {said}"
    assert _few(_of(_tried(1, 200, 20) + _tried(2, 200, 200, Language.BASH))) == []


def test_one_worker_that_never_succeeds_is_told() -> None:
    facts = [ProcessFacts(number, number, Language.PYTHON, WorkerRole.WRITER) for number in (1, 2, 99)]
    (message,) = _few(_of(_tried(1, 20, 0) + _tried(2, 2000, 2000), *facts))
    assert "0 of 20 writes by worker 1 succeeded" in message
    assert _few(_of(_tried(1, 5, 0) + _tried(2, 2000, 2000), *facts)) == []  # which may be chance
    # Killed each time in its only write, and replaced: the kills are ours.
    killed = [ProcessFacts(n, 1, Language.PYTHON, WorkerRole.WRITER, end=End.KILLED) for n in range(10, 30)]
    lives = [each for facts in killed for each in _tried(facts.process, 1, 0)[:1]]
    assert _few(_of(lives + _tried(2, 2000, 2000), *facts[1:], *killed)) == []


@pytest.mark.parametrize(
    ("note", "said"),
    [
        (SeenBytes(b'{"a": 1}ok\n'), 'the answer was no document: {"a": 1}ok'),
        (ReturnedDocument(b"1" * 60 + b"2" * 60), f"the answer was no document: {'1' * 30}…{'2' * 50}"),
        (SeenBytes(b""), "the answer was empty"),
        (SeenBytes(b"{", "line 1: unexpected end"), "line 1: unexpected end"),
        (ErrorNote("backup printed no path"), "backup printed no path"),
    ],
)
def test_an_answer_that_is_no_document_is_the_reason(note: Note, said: str) -> None:
    reads = [Operation(1, Kind.READ, version=GARBAGE, ret=5, outcome=Outcome.INFO, note=note)] * 20
    (message,) = [each for each in _few(_of(reads)) if "by python workers" in each]
    assert f"0 of 20 reads by python workers succeeded: {said} (" in " ".join(message.split())


@pytest.mark.parametrize("answer", [ABSENT, GARBAGE])
def test_a_reader_that_finds_nothing_where_outsiders_do_is_doubted_and_not_believed(answer: int) -> None:
    looks = [Operation(9, Kind.OBSERVE, version=INITIAL, invoke=at, ret=at + 1) for at in range(0, 100, 5)]
    reads = [Operation(1, Kind.READ, version=answer, invoke=at, ret=at + 1) for at in range(0, 100, 5)]

    def known(operations: list[Operation]) -> History:
        judged = [FileFacts("a.json", "one", checkers=frozenset({"torn"}))]
        history = History.of(operations, judged, scenarios=["one"], required=[frozenset({Kind.READ})])
        return without_blind_reads(history)

    history = known(looks + reads)
    assert list(torn(history)) == []
    assert any("0 of 20 reads by python workers succeeded" in message for message in _few(history))
    once = [replace(reads[0], version=INITIAL), *reads[1:]]
    assert list(torn(known(looks + once))) != []
    assert list(torn(known(reads))) != []  # nobody knows better


def test_while_a_run_goes_on_a_reader_that_has_not_found_anything_yet_is_not_believed() -> None:
    look = Operation(9, Kind.OBSERVE, version=INITIAL, invoke=0, ret=1)
    read = Operation(1, Kind.READ, version=GARBAGE, invoke=5, ret=6)
    history = History.of([look, read], [FileFacts("a.json", "one", checkers=frozenset({"torn"}))])
    assert list(torn(without_blind_reads(history))) != []
    assert list(torn(without_blind_reads(history, 1))) == []


def test_a_reader_that_never_found_anything_is_not_believed_of_files_that_it_seldom_read() -> None:
    facts = [FileFacts(path, "one", checkers=frozenset({"torn"})) for path in ("a.json", "b.json", "none.json")]
    looks = [Operation(9, Kind.OBSERVE, 0, INITIAL, invoke=at, ret=at + 1) for at in range(0, 100, 5)]
    reads = [Operation(1, Kind.READ, 0, GARBAGE, invoke=at, ret=at + 1) for at in range(0, 100, 5)]
    seldom = [
        Operation(*who, 1, seen, invoke=200, ret=201)
        for who, seen in (((9, Kind.OBSERVE), INITIAL), ((1, Kind.READ), GARBAGE))
    ]
    seldom.append(Operation(1, Kind.READ, 2, GARBAGE, invoke=300, ret=301))  # there, nobody found anything
    assert list(torn(without_blind_reads(History.of([*looks, *reads, *seldom], facts)))) == []
    able = [*looks, replace(reads[0], version=INITIAL), *seldom]
    assert [found.file for found in torn(without_blind_reads(History.of(able, facts)))] == ["b.json", "none.json"]


@pytest.mark.parametrize(
    ("said", "doubted"),
    [
        ("KeyError: 'doc'", True),
        ("exit status 5: jq: parse error: Unfinished JSON term at line 1", True),
        ("exit status 1: gzip: stdin: unexpected end of file", True),
        ("TimeoutError: no lock for 30 s", False),
        ("OSError: [Errno 24] Too many open files", False),
        ("exit status 130: ", False),
    ],
)
def test_a_reader_that_trips_over_what_it_read_leaves_a_doubt(said: str, doubted: bool) -> None:
    read = Operation(9, Kind.READ, invoke=5, ret=9 * 10**6, outcome=Outcome.INFO, note=ErrorNote(said))
    found = [each for each in vacuity(History.of([*_met(0, 0, apart=-5), read], FILES)) if each.anomaly == "not-judged"]
    assert [each.message for each in found] == [
        f"p9 (python) read at 0.000–9.000 ms, outcome unknown: its reader raised {said}. That may be what it makes of "
        "a torn file, so whether the file was whole is not known (1 of 51 reads did so)."
    ] * doubted


def test_an_acknowledged_update_that_never_asked_for_its_change_is_lost() -> None:
    facts = [ProcessFacts(1, 1, Language.PYTHON, WorkerRole.WRITER)]
    asked = Operation(1, Kind.UPDATE, version=version_of(1, 1), parent=INITIAL, invoke=1, ret=2)
    unasked = Operation(1, Kind.UPDATE, version=version_of(1, 2), invoke=3, ret=4)
    judged = [FileFacts("a.json", "one", checkers=frozenset({"updates"}))]
    (found,) = updates(History.of([asked, unasked], judged, processes=facts))
    assert (found.anomaly, found.witness[0].version) == ("lost-update", version_of(1, 2))
    bash = replace(unasked, language=Language.BASH)  # which is not always able to say
    assert list(updates(History.of([asked, bash], judged, processes=facts))) == []


def test_refused_recoveries_of_what_can_not_be_recovered_are_successes() -> None:
    hopeless = [FileFacts("f.json", "one", recovery=Recovery.REFUSE)]
    tries = [replace(op, kind=Kind.RECOVER) if op.kind is Kind.WRITE else op for op in _tried(1, 50, 0)]
    history = History.of(tries, hopeless, scenarios=["one"], required=[frozenset({Kind.RECOVER, Kind.READ})])
    assert [each for each in _few(history) if "workers succeeded: " in each] == []
    able = History.of(tries, FILES, scenarios=["one"], required=[frozenset({Kind.RECOVER, Kind.READ})])
    assert [each for each in _few(able) if "workers succeeded: " in each]


def test_what_nobody_came_to_is_a_doubt_where_it_is_all_there_is() -> None:
    reads = [Operation(1, Kind.READ, version=0, invoke=0, ret=1)]
    assert any("no write was tried" in message for message in _few(_of(reads)))
    assert _few(_of(reads + _tried(1, 50, 50), scenarios=("one", "two"))) == []
    (left_out,) = not_reached(_of(reads + _tried(1, 50, 50), scenarios=("one", "two")))
    assert (left_out.name, left_out.why) == ("two", "nobody came to its write and read")
    assert not_reached(_of(reads)) == []


def test_an_empty_history_proves_nothing() -> None:
    assert _anomalies(History.of([], FILES)) == ["too-few-operations"]
    assert list(progress(History.of([], FILES))) == []


def test_no_checker_stumbles_over_an_empty_history() -> None:
    checkers = frozenset(load())
    files = [
        FileFacts(f"{form}.{initial}", "drill", form, initial, checkers, recovery=recovery)
        for form in Format
        for initial in (INITIAL, ABSENT, GARBAGE)
        for recovery in (None, *Recovery)
    ]
    history = History.of([], files)
    ended = replace(
        history, final=tuple(FinalFile(facts.initial != ABSENT, facts.initial, mode=0o644) for facts in files)
    )
    for name in checkers - {"vacuity"}:
        assert list(load().get(name)(history)) == []
        assert {each.anomaly for each in load().get(name)(ended)} <= {"lost-append", "bad-recovery"}


def test_how_long_the_pauses_had_been_by_a_moment() -> None:
    pauses = ((10, 20), (30, 50))
    moments = range(60)
    history = History.of([], [FileFacts("f", "s")], pauses=pauses)
    expected = [sum(max(0, min(end, moment) - begin) for begin, end in pauses) for moment in moments]
    assert _paused(history, np.array(moments)).tolist() == expected
