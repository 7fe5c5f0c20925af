"""A witness names only who can have done it; where nobody knows, it says so."""

from __future__ import annotations

from dataclasses import replace

from stress.checkers.appends import appends
from stress.checkers.torn import torn
from stress.history.history import FileFacts, FinalFile, History
from stress.history.kinds import Format, Kind, Outcome
from stress.history.notes import SeenBytes
from stress.history.record import GARBAGE, Operation, version_of
from stress.result import Finding
from stress.workload.payload import log_record

FACTS = FileFacts("state.json", "drill", checkers=frozenset({"torn", "appends"}))
MS = 1_000_000


def _op(process: int, kind: Kind, start: int, end: int, **more: object) -> Operation:
    version = version_of(process, start + 1)
    made = Operation(process=process, kind=kind, version=version, invoke=start * MS, ret=end * MS, seq=start + 1)
    return replace(made, **more)  # type: ignore[arg-type]


def _saw(content: bytes, *others: Operation, at: int = 50) -> Finding:
    look = _op(9, Kind.OBSERVE, at, at + 2, version=GARBAGE, size=len(content), note=SeenBytes(content))
    (found,) = torn(History.of([*others, look], [FACTS], scenarios=["drill"]))
    return found


def _who(found: Finding) -> str:
    return dict(found.detail)["who"]


EARLY = _op(1, Kind.WRITE, 0, 10)
WHOLE = _op(8, Kind.OBSERVE, 20, 22, version=EARLY.version)
NEAR, LATE = _op(2, Kind.WRITE, 40, 51), _op(3, Kind.WRITE, 60, 70)
BACKUP = _op(4, Kind.BACKUP, 49, 53, version=EARLY.version)


def test_of_bytes_without_a_name_only_what_was_in_flight_since_the_last_whole_read_is_named() -> None:
    found = _saw(b"{", EARLY, WHOLE, NEAR, LATE, BACKUP)
    assert {op.process for op in found.witness} == {2, 9}
    assert _who(found) == "the only one that can have done it: p2 (python) wrote p2.41 at 40.000–51.000 ms"


def test_of_several_nobody_knows() -> None:
    found = _saw(b"{", EARLY, WHOLE, NEAR, _op(5, Kind.WRITE, 30, 49))
    assert _who(found) == "one of the 2 changes that can have done it; nobody knows which"


def test_where_nobody_can_have_done_it_that_is_said() -> None:
    found = _saw(b"{", EARLY, WHOLE, LATE, BACKUP)
    assert [op.process for op in found.witness] == [9]
    assert _who(found) == "nobody knows: no change was in flight that can have done it"


def test_an_emptied_file_is_laid_to_the_command_that_failed() -> None:
    failed = _op(5, Kind.UPDATE, 30, 45, outcome=Outcome.FAIL)
    found = _saw(b"", EARLY, WHOLE, failed, NEAR)
    assert {op.process for op in found.witness} == {5, 9}
    assert _who(found).startswith("perhaps a failed command whose output, which was empty, was put in place: p5 (")


def test_two_halves_of_a_record_are_not_nothing_of_it() -> None:
    one, two = _op(1, Kind.APPEND, 0, 10), _op(2, Kind.APPEND, 5, 12)
    record = log_record(one.version, 200).encode()
    log = replace(FACTS, path="log.md", form=Format.LOG, initial=-1)

    def seen(content: bytes) -> str:
        history = History.of([one, two], [log], scenarios=["drill"], final=[FinalFile(exists=True, content=content)])
        lost = [found for found in appends(history) if found.anomaly == "lost-append"]
        return dict(lost[0].detail)["seen"]

    other = log_record(two.version, 50).encode()
    assert seen(other) == "nothing of it"
    assert seen(record[:100] + other + record[100:]).startswith("pieces of it between byte ")
