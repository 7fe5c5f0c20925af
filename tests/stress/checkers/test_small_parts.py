"""What checkers are made of, at its edges: columns, chains, diagnoses, words."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from stress.checkers._columns import VersionIndex, running_argmax
from stress.checkers._evidence import diagnose
from stress.checkers._register.chains import chains
from stress.checkers._register.interleaving import _Blocks, _inside
from stress.checkers._words import WITNESS_MAX, did, pick
from stress.checkers.leftovers import leftovers
from stress.checkers.metadata import metadata
from stress.checkers.sessions import sessions
from stress.checkers.torn import meanwhile
from stress.checkers.updates import updates
from stress.history.events import LeftBehind, MetadataSeen
from stress.history.history import FileFacts, FinalFile, FinalState, History, ProcessFacts
from stress.history.kinds import End, Kind, Language, WorkerRole
from stress.history.notes import SeenBytes
from stress.history.record import GARBAGE, INITIAL, Operation, version_of
from stress.result import Verdict
from stress.workload.payload import document_of

WRITER = WorkerRole.WRITER


def _ints(*values: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array(values, np.int64)


def test_a_version_past_the_last_of_its_process_is_not_found() -> None:
    index = VersionIndex(_ints(version_of(1, 1), version_of(2, 0)))
    assert index.find(_ints(version_of(1, 2), version_of(2, 1), version_of(2, 0))).tolist() == [-1, -1, 1]


def test_the_initial_version_is_found_like_any_other() -> None:
    assert VersionIndex(_ints(INITIAL, version_of(1, 1))).find(_ints(INITIAL, GARBAGE)).tolist() == [0, -1]


def test_a_running_extreme_stands_where_it_was_first_reached() -> None:
    assert running_argmax(_ints(5, 3, 5, 4)).tolist() == [0, 0, 2, 2]


def test_of_no_versions_there_are_no_chains() -> None:
    made = chains(_ints(), _ints())
    assert [len(each) for each in (made.parent, made.root, made.depth, made.branching, made.cyclic)] == [0] * 5


def test_chains_are_told_from_their_root_on() -> None:
    members, starts = chains(_ints(-1, 0, -1), _ints(1, 2, 3)).in_order()
    assert members.tolist() == [0, 1]
    assert starts.tolist() == [True, False]


def test_a_mixture_breaks_where_the_second_begins() -> None:
    content = b'{"stress": {"pad": "p1.1;p1.1;p2.1;p2.1;"}'
    assert diagnose(SeenBytes(content), len(content)).at == content.index(b"p2.1")


def test_what_proves_most_at_a_glance_comes_first() -> None:
    one = b'{"stress": {"version": "p1.1"}, "stress_end": "p1.1"}'
    seen = (one + b"garbage", one[:30], b"", b'{"a": 1}', b"garbage")
    assert [diagnose(SeenBytes(content), len(content)).rank for content in seen] == [1, 1, 3, 5, 6]


@pytest.mark.parametrize(
    ("interpreted", "why"),
    [
        (lambda text: text.replace("\\n", "\n"), "invalid control character"),
        (lambda text: text.replace("\\\\", "\\"), "invalid \\escape"),
        (lambda text: text.replace('\\"', '"'), "delimiter"),
    ],
)
def test_a_document_that_a_shell_has_interpreted_is_not_told_as_torn(
    interpreted: Callable[[str], str], why: str
) -> None:
    text = json.dumps(document_of(version_of(1, 2), 60, {"said": 'a "b"\n\\ c'}))
    diagnosis = diagnose(SeenBytes(interpreted(text).encode()), -1)
    assert diagnosis.anomaly == "garbage-read"
    assert diagnosis.what.startswith("p1.2 from beginning to end, but as no JSON: ")
    assert why in diagnosis.what
    assert "echo -e" in diagnosis.cause


def test_a_document_with_a_hole_in_its_middle_is_told_as_torn() -> None:
    content = json.dumps(document_of(version_of(1, 2), 900, {})).encode()
    assert diagnose(SeenBytes(content[:300] + bytes(200) + content[500:]), -1).anomaly == "torn-read"


def test_no_bytes_are_an_emptied_file_and_kept_ones_are_counted() -> None:
    assert diagnose(None, 0).what == "an empty file: the document had been emptied"
    assert diagnose(None, 7).what == "7 bytes that are no document (they were not kept)"


def test_a_witness_has_room_for_six() -> None:
    assert pick(range(9)) == [0, 1, 2, 3, 4, 5]
    assert WITNESS_MAX == 6


def test_what_an_operation_did_is_said_by_its_kind() -> None:
    kinds = (Kind.WRITE, Kind.READ, Kind.APPEND, Kind.BACKUP, Kind.OBSERVE_BACKUP, Kind.RECOVER)
    history = History.of([Operation(1, kind, version=INITIAL, invoke=0, ret=10**6) for kind in kinds], [])
    said = [did(history, history.operation(row)).split(" at ")[0] for row in range(len(kinds))]
    verbs = ("wrote", "read", "appended", "backed up", "read a backup:", "recovered, and saw")
    assert said == [f"p1 (python) {verb} initial" for verb in verbs]


def test_two_of_those_that_went_on_meanwhile_are_shown() -> None:
    writes = [Operation(number, Kind.WRITE, 0, version_of(number, 1), invoke=10, ret=20) for number in (1, 2, 3)]
    history = History.of([*writes, Operation(4, Kind.READ, 0, GARBAGE, invoke=12, ret=15)], [FileFacts("a", "one")])
    assert len(meanwhile(history, 0, 3)) == 2


def test_who_saw_the_newest_first_and_then_an_older_went_backwards() -> None:
    old, new = version_of(3, 1), version_of(3, 2)
    history = History.of(
        [
            Operation(3, Kind.WRITE, 0, old, invoke=0, ret=10),
            Operation(3, Kind.WRITE, 0, new, invoke=20, ret=30),
            Operation(1, Kind.READ, 0, new, invoke=40, ret=50),
            Operation(1, Kind.READ, 0, old, invoke=60, ret=70),
        ],
        [FileFacts("a.json", "one", checkers=frozenset({"sessions"}))],
    )
    assert [each.anomaly for each in sessions(history)] == ["non-monotonic-read"]


def test_who_does_not_read_what_it_wrote_before_all_others_is_seen() -> None:
    history = History.of(
        [
            Operation(1, Kind.WRITE, 0, version_of(1, 1), invoke=0, ret=10),
            Operation(1, Kind.READ, 0, INITIAL, invoke=20, ret=30),
        ],
        [FileFacts("a.json", "one", checkers=frozenset({"sessions"}))],
    )
    assert [each.anomaly for each in sessions(history)] == ["stale-read"]


def test_an_update_that_was_never_asked_for_its_change_is_lost_from_the_first_operation_on() -> None:
    asked = [Operation(each, Kind.UPDATE, 0, version_of(each, 1), invoke=each, ret=each + 10) for each in (1, 2)]
    facts = [FileFacts("a.json", "one", checkers=frozenset({"updates"}))]
    history = History.of(asked, facts, processes=[ProcessFacts(1, 1, Language.PYTHON, WRITER)])
    (found,) = updates(history)
    assert (found.count, found.witness[0].process) == (2, 1)
    assert found.message.startswith("p1 (python) had its update acknowledged")


@pytest.mark.parametrize(
    ("ends", "verdict", "said"),
    [
        ((End.KILLED, End.FINISHED), Verdict.FAIL, "after 1 process had been killed"),
        ((End.HUNG, End.FINISHED), Verdict.UNKNOWN, "after 1 process that did not end had to be killed, whose they"),
        ((End.HUNG, End.KILLED), Verdict.FAIL, "after 1 process that did not end had to be killed, whose they"),
    ],
)
def test_whose_a_leftover_may_be_decides(ends: tuple[End, End], verdict: Verdict, said: str) -> None:
    facts = [FileFacts("a.json", "one", checkers=frozenset({"leftovers"}))]
    processes = [ProcessFacts(number, number, Language.PYTHON, WRITER, end=end) for number, end in enumerate(ends, 1)]
    (found,) = leftovers(History.of([], facts, processes=processes, leftovers=["a.json.tmp"]))
    assert (found.verdict, said in found.message) == (verdict, True)


@pytest.mark.parametrize(
    ("late_ns", "count"), [(30_000_000, 0), (30_000_001, 1), (-1_030_000_000, 0), (-1_030_000_001, 1)]
)
def test_a_swept_file_is_a_killed_one_s_from_its_start_until_a_tick_after_its_end(late_ns: int, count: int) -> None:
    facts = [FileFacts("a.json", "one", checkers=frozenset({"leftovers"}))]
    killed = ProcessFacts(1, 1, Language.PYTHON, WRITER, started=10**9, ended=2 * 10**9, end=End.KILLED)
    left = LeftBehind(3 * 10**9, "a.json.tmp", 2 * 10**9 + late_ns)
    assert len(list(leftovers(History.of([], facts, processes=[killed], unswept=[left])))) == count


def test_what_was_lost_for_a_moment_is_told_of_its_own_file() -> None:
    facts = [FileFacts(path, "one", checkers=frozenset({"metadata"}), mode=0o600) for path in ("a.json", "b.json")]
    history = History.of([], facts).with_final(FinalState(files=(FinalFile(True, mode=0o600),) * 2))
    seen = (MetadataSeen(5, 1, 0o644, 0, 0, 3),)
    (found,) = metadata(replace(history, metadata_seen=seen))
    assert (found.file, found.count) == ("b.json", 3)


def test_a_version_inside_a_link_of_a_chain_is_found_as_by_trying_each_with_each() -> None:
    """Times that are equal too: what was seen when another began was not seen before it."""
    stream = random.Random(5)
    for _ in range(400):
        links, others = stream.randint(2, 5), stream.randint(1, 4)
        earliest, latest = (_ints(*(stream.randrange(8) for _ in range(links + others))) for _ in range(2))
        blocks = _Blocks(np.arange(links + others), np.array([0, links]), _ints(0, 0), _ints(0, 0))
        expected = None
        for lost in range(links, links + others):
            for at in range(1, links):
                if earliest[:at].min() < latest[lost] and latest[at:links].max() > earliest[lost]:
                    expected = expected or (at, lost)
        found = _inside(blocks, earliest, latest, 0, 1, 1)
        assert (None if found is None else (found.update, found.lost)) == expected
