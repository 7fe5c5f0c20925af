"""Stores whose file is not the document: told from targets that tear, by who finds what was written."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from stress.checkers.elsewhere import _HEADS, TRIES, not_looked_into, without_what_is_elsewhere
from stress.checkers.torn import torn
from stress.history.history import FileFacts, FinalFile, History
from stress.history.kinds import Format, Kind
from stress.history.notes import BackupNote, SeenBytes
from stress.history.record import ABSENT, GARBAGE, INITIAL, Operation, version_of
from stress.result import Verdict

FILES = [FileFacts(path, "drill", checkers=frozenset({"torn"})) for path in ("a.json", "b.json")]
WRITTEN = version_of(1, 1)


def _run(seen: int, content: bytes = b"", *, reader: int = WRITTEN, finds: int = TRIES, end: int = GARBAGE) -> History:
    """p1 writes; the readers p2 (the target's) and p3 (an outsider) look ten times; b.json is looked at once."""
    ops = [Operation(1, Kind.WRITE, 0, WRITTEN, invoke=10, ret=20)]
    note = SeenBytes(content) if content else None
    for at in range(TRIES):
        ops.append(Operation(3, Kind.OBSERVE, 0, seen, invoke=100 * at + 30, ret=100 * at + 40, size=9, note=note))
        if at < finds:
            ops.append(Operation(2, Kind.READ, 0, reader, invoke=100 * at + 50, ret=100 * at + 60))
    ops.append(Operation(3, Kind.OBSERVE, 1, seen, invoke=5000, ret=5010, size=9, note=note))
    final = [FinalFile(exists=True, version=end, content=content), FinalFile(exists=True, version=INITIAL)]
    return History.of(ops, FILES, scenarios=["drill"], final=final, leftovers=["a.json.db", "a.json.tmp"])


@pytest.mark.parametrize(
    ("seen", "content", "said"),
    [
        (
            GARBAGE,
            b"SQLite format 3\0...",
            "The file a.json holds no JSON document (it begins with SQLite's header), and yet",
        ),
        (GARBAGE, b"\x1f\x8b\x08", "The file a.json holds no JSON document (it begins with gzip's header), and yet"),
        (
            GARBAGE,
            b"version: p1.1\n",
            "The file a.json holds no JSON document (it begins with 'version: p1.1'), and yet",
        ),
        (GARBAGE, b"\x00\x01\x02", "The file a.json holds no JSON document (it is not text), and yet"),
        (GARBAGE, b"", "The file a.json holds no JSON document (it is empty), and yet"),
        (INITIAL, b"", "The file a.json stays as it was at the start, and yet"),
        (ABSENT, b"", "There is no file a.json, and yet"),
    ],
    ids=["sqlite", "gzip", "yaml", "binary", "empty", "beside", "absent"],
)
def test_a_store_whose_file_is_not_the_document_is_asked_to_say_so(seen: int, content: bytes, said: str) -> None:
    history, (doubt,) = without_what_is_elsewhere(_run(seen, content))
    assert doubt.verdict is Verdict.UNKNOWN
    assert doubt.message == (
        f"{said} the target's own reader finds what others wrote: if the target keeps its documents in another form "
        "or place, say OBSERVE = False in it (in TOML, observe = false), and outsiders use its read. What they saw was "
        "not judged."
    )
    assert doubt.count == TRIES + 1
    assert list(torn(history)) == []
    assert history.leftovers == ("a.json.tmp",)


LOG = [FileFacts("log.txt", "drill", form=Format.LOG, checkers=frozenset({"appends"}), elsewhere=True)]


def _log(sizes: tuple[int, ...], end: int, appends: int = TRIES, *, digest: int = 7) -> History:
    """p1 appends; p3 looks once before it, and then finds the log of these sizes."""
    ops = [
        Operation(1, Kind.APPEND, 0, version_of(1, at), invoke=10 * at, ret=10 * at + 5) for at in range(1, appends + 1)
    ]
    ops += [
        Operation(3, Kind.OBSERVE, 0, invoke=1 if at == 0 else 100 * at, ret=100 * at + 5, size=size, digest=digest)
        for at, size in enumerate(sizes)
    ]
    content = b"x" * end
    return History.of(ops, LOG, scenarios=["drill"], final=[FinalFile(exists=True, content=content)])


def test_a_log_that_stays_as_it_was_is_kept_elsewhere_or_nowhere() -> None:
    history, (doubt,) = without_what_is_elsewhere(_log((9,) * (TRIES + 1), 9))
    assert (doubt.anomaly, doubt.verdict) == ("not-judged", Verdict.UNKNOWN)
    assert doubt.message == (
        f"The log log.txt stays as it was at the start, though {TRIES} appends to it were acknowledged: the records go "
        "elsewhere, where nobody here looks, or nowhere. Have append write to the path that it is given; a log that is "
        "kept in another form can't be judged."
    )
    assert not history.files[0].checkers


@pytest.mark.parametrize(
    "history",
    [
        _log((9,) * TRIES, 9),  # too few looks after it
        _log((9, 9, 12, 9), 9),
        _log((9,) * (TRIES + 1), 12),
        _log((9,) * (TRIES + 1), 9, TRIES - 1),
    ],
    ids=["few looks", "one saw more", "more at the end", "few appends"],
)
def test_a_log_that_changes_is_judged(history: History) -> None:
    assert without_what_is_elsewhere(history) == (history, [])


def test_a_log_that_stays_as_it_was_is_judged_where_the_target_does_not_say_that_it_is_elsewhere() -> None:
    """An append that does nothing has lost all that it acknowledged."""
    history = _log((9,) * (TRIES + 1), 9)
    history = replace(history, files=tuple(replace(facts, elsewhere=False) for facts in history.files))
    assert without_what_is_elsewhere(history) == (history, [])


@pytest.mark.parametrize(
    "history",
    [
        _run(GARBAGE, reader=GARBAGE),  # its own reader, too, saw what is no document
        _run(GARBAGE, reader=version_of(2, 1)),  # every reader is given its own, from a cache
        _run(GARBAGE, finds=TRIES - 1),  # too seldom
        _run(GARBAGE, end=WRITTEN),  # the file is the document after all
        _run(WRITTEN),  # as outsiders find
    ],
    ids=["torn", "cache", "few", "end", "found"],
)
def test_what_may_be_torn_is_judged(history: History) -> None:
    assert without_what_is_elsewhere(history) == (history, [])


def test_one_look_that_found_it_is_enough_to_judge_the_others() -> None:
    history = _run(GARBAGE)
    history.ops["version"][3] = WRITTEN
    assert without_what_is_elsewhere(history) == (history, [])
    assert any(found.anomaly == "torn-read" for found in torn(history))


def test_a_log_is_no_document() -> None:
    history = replace(_run(GARBAGE), files=tuple(replace(each, form=Format.LOG) for each in FILES))
    assert without_what_is_elsewhere(history)[1] == []


@pytest.mark.parametrize("name", ["SQLite", "gzip", "pickle", "zip", "zstd", "xz", "bzip2", "gdbm"])
def test_a_form_is_known_by_its_first_bytes(name: str) -> None:
    (head,) = [head for head, said in _HEADS.items() if said.startswith(f"{name}'s ")][-1:]
    _, (doubt,) = without_what_is_elsewhere(_run(GARBAGE, head + b"..."))
    assert f"(it begins with {_HEADS[head]})" in doubt.message


def test_what_is_no_document_is_told_of_though_it_was_seen_once() -> None:
    history = _run(INITIAL, b"\x1f\x8b\x08")
    history.ops["version"][1] = GARBAGE
    _, (doubt,) = without_what_is_elsewhere(history)
    assert "(it begins with gzip's header)" in doubt.message


def test_bytes_of_backups_are_no_documents_either() -> None:
    run = _run(GARBAGE)
    backups = [Operation(4, kind, 0, GARBAGE, invoke=10, ret=20) for kind in (Kind.BACKUP, Kind.OBSERVE_BACKUP)]
    ops = [*map(run.operation, range(len(run.ops))), *backups]
    kept, (_,) = without_what_is_elsewhere(History.of(ops, FILES, final=run.final))
    assert not (kept.ops["version"] == GARBAGE).any()


@pytest.mark.parametrize(
    ("contents", "judged"),
    [
        ([b"\x1f\x8b\x08", b"\x1f\x8b\x09"], 0),
        ([b"\x1f\x8b\x08", b""], 1),  # an empty one is no gzip
        ([b"\x1f\x8b\x08", b"SQLite format 3\0"], 2),
        ([b"\0\0\0\0", b"\0\0"], 2),
        ([b'{"a"', b'{"b"'], 2),
    ],
    ids=["packed", "empty", "two forms", "zeros", "cut off"],
)
def test_backups_in_a_form_of_the_target_s_own_are_left_out_and_said_so(contents: list[bytes], judged: int) -> None:
    ops = [
        Operation(number, Kind.BACKUP, 0, GARBAGE, invoke=10, ret=20, note=BackupNote(f"a.{number}.bak", "d", content))
        for number, content in enumerate(contents, 1)
    ]
    history = History.of(ops, FILES)
    kept, doubts = without_what_is_elsewhere(history)
    assert int(np.count_nonzero(kept.ops["version"] == GARBAGE)) == judged
    assert doubts == []
    said = [str(each) for each in not_looked_into(history)]
    alone = "that each is there and unchanged is judged alone"
    assert said == ([f"checker backups: those of a.json begin with gzip's header; {alone}"] if judged < 2 else [])
