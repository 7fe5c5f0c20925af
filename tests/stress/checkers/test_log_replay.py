"""What a look at a log saw is rebuilt from the truth as it is from all looks before it, one change at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from stress.checkers._log.append_order import log_of
from stress.execution.drivers.observe import Observer
from stress.history.history import FileFacts, FinalFile, History
from stress.history.kinds import Format, Kind
from stress.history.notes import Note, without_data
from stress.history.record import INITIAL, Operation, version_of
from stress.workload.log_replay import content_seen, replay_reads
from stress.workload.payload import log_record

PROCESSES = 3
Look = tuple[int, Kind, bytes | None]
"""Who looked, how, and what was there (None: no file)."""


@st.composite
def looks(draw: st.DrawFn) -> tuple[list[Look], bytes]:
    """Looks at a log that grows, and at times is not what it will have been; and what it is at the end."""
    records = [log_record(INITIAL, 5).encode()]
    records += [log_record(version_of(9, seq), seq % 7).encode() for seq in range(1, draw(st.integers(1, 6)))]
    truth = b"".join(records)
    seen: list[Look] = []
    for _ in range(draw(st.integers(1, 14))):
        content: bytes | None = b"".join(records[: draw(st.integers(0, len(records)))])
        assert content is not None
        match draw(st.sampled_from(["as it is"] * 4 + ["changed", "behind", "torn", "gone"])):
            case "changed":
                content = content.replace(b"passing", b"failing", 1) + log_record(version_of(8, 1), 3).encode()
            case "behind":
                content += log_record(version_of(7, draw(st.integers(1, 2))), 3).encode()
            case "torn":
                content = content[: draw(st.integers(0, len(content)))]
            case "gone":
                content = None
            case _:
                pass
        kind = draw(st.sampled_from([Kind.OBSERVE, Kind.READ, Kind.RECOVER]))
        seen.append((draw(st.integers(1, PROCESSES)), kind, content))
    return seen, truth


def _history(seen: Sequence[Look], truth: bytes) -> History:
    eyes = [Observer() for _ in range(PROCESSES + 1)]
    operations = []
    for number, (process, kind, content) in enumerate(seen):
        observation = eyes[process].inspect("log", "log", content)
        op = Operation(process, kind, version=observation.version, invoke=10 * number, ret=10 * number + 5)
        op = replace(op, size=observation.size, digest=observation.digest, note=observation.note)
        operations.append(op)
    facts = FileFacts("log", "drill", Format.LOG, INITIAL, frozenset({"appends"}))
    return History.of(operations, [facts], final=[FinalFile(exists=True, content=truth)])


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None)
@given(looks())
def test_a_look_is_rebuilt_as_by_going_through_all_before_it(case: tuple[list[Look], bytes]) -> None:
    seen, truth = case
    history = _history(seen, truth)
    log = log_of(history, 0)
    assert log is not None
    wanted = (
        log.non_prefix[::2] if len(log.non_prefix) > 2 else log.non_prefix
    )  # not all: what is between is needed as well
    looks = replay_reads(history, 0, wanted, log.prefix_reads)
    rebuilt = {look.row: truth[: look.shared] + look.rest for look in looks}
    assert sorted(rebuilt) == sorted(wanted.tolist())
    assert all(content == seen[row][2] for row, content in rebuilt.items())
    assert all(content_seen(history, row) == content for row, (_, _, content) in enumerate(seen))
    event(f"{min(len(rebuilt), 3)} rebuilt")


def test_what_was_not_kept_is_not_known() -> None:
    truth = log_record(INITIAL, 5).encode()
    strange = truth + log_record(version_of(7, 1), 3).encode()
    history = _history([(1, Kind.READ, truth), (1, Kind.READ, strange)], truth)
    notes = history.notes

    def dropped(process: int, at: int, size: int) -> Note:
        note = notes(process, at, size)
        assert note is not None
        return without_data(note)

    missing = History(history.ops, history.files, final=history.final, notes=dropped)
    log = log_of(missing, 0)
    assert log is not None
    assert [look.known for look in replay_reads(missing, 0, log.non_prefix, log.prefix_reads)] == [False]
