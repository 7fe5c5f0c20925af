"""An error that the machine made is typed at the driver, kept in the journal, and held against no recovery."""

from __future__ import annotations

import errno
import os

import pytest

from stress.checkers.recovery import recovery
from stress.history.history import FileFacts, FinalFile, History, columns_of
from stress.history.kinds import Kind, Outcome, Recovery
from stress.history.machine_errors import MACHINE_ERRORS, errno_in, errno_of
from stress.history.notes import ErrorNote, Note, decode, encode, from_plain, to_plain
from stress.history.record import GARBAGE, INITIAL, Operation


def _wrapped(number: int, *, explicit: bool) -> BaseException:
    try:
        try:
            raise OSError(number, os.strerror(number))
        except OSError as error:
            if explicit:
                raise RuntimeError("could not recover") from error
            raise ValueError("could not recover")  # noqa: B904 - as people write
    except (RuntimeError, ValueError) as error:
        return error


@pytest.mark.parametrize("number", sorted(MACHINE_ERRORS))
def test_an_errno_is_found_in_an_exception_in_its_causes_and_in_what_programs_print(number: int) -> None:
    assert errno_of(OSError(number, "x")) == number
    assert errno_of(_wrapped(number, explicit=True)) == number
    assert errno_of(_wrapped(number, explicit=False)) == number
    assert errno_in(f"mv: cannot move 'a' to 'b': {os.strerror(number)}") == number


def test_what_is_no_error_of_the_system_has_no_errno() -> None:
    assert errno_of(ValueError("No space left on device")) == 0
    assert errno_of(None) == 0
    assert errno_in("mv: cannot stat 'a': No such file or directory") == 0
    assert errno_in("flock: Resource temporarily unavailable") == 0


@pytest.mark.parametrize("note", [ErrorNote("x"), ErrorNote("OSError: [Errno 28] …", errno.ENOSPC)])
def test_the_errno_survives_the_journal_and_json(note: Note) -> None:
    assert decode(encode(note)) == note
    assert from_plain(to_plain(note)) == note


def _findings(outcome: Outcome, *notes: Note | None) -> list[str]:
    columns, kept = columns_of(
        [
            Operation(1, Kind.RECOVER, invoke=10 * at + 1, ret=10 * at + 2, outcome=outcome, note=note)
            for at, note in enumerate(notes)
        ]
    )
    facts = FileFacts(
        "a.json", "resume", initial=GARBAGE, checkers=frozenset({"recovery"}), recovery=Recovery.RESTORE,
        recovered=INITIAL, corrupt=b"{",
    )  # fmt: skip
    history = History(
        ops=columns, files=(facts,), scenarios=("resume",),
        notes=lambda process, at, size: kept[at] if at >= 0 else None,
        final=(FinalFile(exists=True, version=GARBAGE, content=b"{"),),
    )  # fmt: skip
    return [finding.anomaly for finding in recovery(history)]


@pytest.mark.parametrize("outcome", [Outcome.FAIL, Outcome.INFO])
@pytest.mark.parametrize("number", sorted(MACHINE_ERRORS))
def test_a_recovery_that_met_a_fault_of_the_machine_is_excused(number: int, outcome: Outcome) -> None:
    assert _findings(outcome, ErrorNote("x", number)) == []


@pytest.mark.parametrize("note", [None, ErrorNote("No space left on device"), ErrorNote("x", errno.EACCES)])
def test_one_that_failed_by_itself_is_not(note: Note | None) -> None:
    full = ErrorNote("x", errno.ENOSPC)
    assert _findings(Outcome.FAIL, note) == _findings(Outcome.FAIL, full, note) == ["bad-recovery"]
