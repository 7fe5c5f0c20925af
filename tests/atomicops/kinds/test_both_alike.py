"""What the two languages do of the same input: one exit code, and the same files, locks and modes afterwards."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.atomicops.both import LANGUAGES, Helpers

HELPERS = Helpers()
LONG = "x" * 256
DEEP = "[" * 10_001 + "]" * 10_001


def nothing(folder: Path) -> None:
    del folder


def a_file_and_a_link_to_nowhere(folder: Path) -> None:
    (folder / "file").write_text("text")
    (folder / "nowhere").symlink_to("no/folder")


def a_link_to_json(folder: Path) -> None:
    (folder / "real.json").write_text('{"n": 1}')
    (folder / "link").symlink_to("real.json")


def a_json_link_to_another_name(folder: Path) -> None:
    (folder / "real").write_text("{}")
    (folder / "link.json").symlink_to("real")


def a_deep_file(folder: Path) -> None:
    (folder / "s.json").write_text(DEEP)


def a_backup_alone(folder: Path) -> None:
    (folder / "s.json.old.bak").write_text("1")


def a_fifo_for_a_lock(folder: Path) -> None:
    a_backup_alone(folder)
    os.mkfifo(folder / ".s.json.lock")


def a_narrow_lock(folder: Path) -> None:
    (folder / "s.json").write_text("1")
    (folder / "s.json").chmod(0o664)
    (folder / ".s.json.lock").touch(0o600)


def corrupt_with_two_names(folder: Path) -> None:
    (folder / "s.json").write_text("{")
    (folder / "other").hardlink_to(folder / "s.json")


def two_names(folder: Path) -> None:
    (folder / "s.json").write_text("1")
    (folder / "s.json").chmod(0o666)
    (folder / "other").hardlink_to(folder / "s.json")


def links(folder: Path, number: int) -> None:
    (folder / "link1").symlink_to("s.json")
    for one in range(2, number + 1):
        (folder / f"link{one}").symlink_to(f"link{one - 1}")


def forty_links(folder: Path) -> None:
    links(folder, 40)


def one_link_more(folder: Path) -> None:
    links(folder, 41)


def links_to_json_in_no_folder(folder: Path) -> None:
    (folder / "link").symlink_to("new/s.json")
    (folder / "second").symlink_to("link")


CASES: list[tuple[Callable[[Path], None], int, tuple[str, ...]]] = [
    (a_file_and_a_link_to_nowhere, 66, ("write", "x", "nowhere/x")),
    (a_file_and_a_link_to_nowhere, 73, ("write", "x", "file/x")),
    (a_file_and_a_link_to_nowhere, 65, ("write", "{", "file/x.json")),
    (a_file_and_a_link_to_nowhere, 66, ("recover", "file/x")),
    (a_file_and_a_link_to_nowhere, 66, ("backup", "file/x")),
    (a_file_and_a_link_to_nowhere, 73, ("sweep", "file")),
    (nothing, 66, ("sweep", "none")),
    (nothing, 65, ("write", "{", "new/folder/x.json")),
    (nothing, 64, ("update", "--default", "nope", "new/folder/x.json", ".")),
    (nothing, 64, ("update", "--default", "", "x.json", ".")),
    (nothing, 74, ("update", "--default", DEEP, "x.json", ".")),
    (nothing, 73, ("write", "x", LONG)),
    (nothing, 73, ("append", "x", f"new/{LONG}")),
    (a_link_to_json, 65, ("write", "{", "link")),
    (a_json_link_to_another_name, 65, ("write", "{", "link.json")),
    (a_json_link_to_another_name, 65, ("append", "{", "link.json")),
    (links_to_json_in_no_folder, 65, ("write", "{", "link")),
    (links_to_json_in_no_folder, 65, ("write", "{", "second")),
    (links_to_json_in_no_folder, 0, ("write", "{}", "second")),
    (a_backup_alone, 66, ("recover", "s.json")),
    (a_fifo_for_a_lock, 66, ("recover", "s.json")),
    (a_fifo_for_a_lock, 73, ("recover", "s.json", "--restore-missing")),
    (a_narrow_lock, 0, ("recover", "s.json")),
    (a_narrow_lock, 0, ("backup", "s.json", "x")),
    (two_names, 73, ("write", "2", "s.json")),
    (two_names, 73, ("update", "s.json", ".")),
    (two_names, 73, ("append", "{", "s.json")),
    (two_names, 73, ("write", "--if-version", "absent", "2", "s.json")),
    (nothing, 64, ("sweep", "")),
    (a_deep_file, 74, ("read", "s.json")),
    (a_deep_file, 74, ("recover", "s.json")),
    (a_deep_file, 74, ("update", "s.json", ".")),
    (a_deep_file, 65, ("append", " ", "s.json")),
    (a_deep_file, 65, ("write", DEEP, "s.json")),
    (nothing, 66, ("read", "several\nlines\x1b[2J")),
    (forty_links, 0, ("write", "2", "link40")),
    (one_link_more, 73, ("write", "2", "link41")),
]


@pytest.mark.parametrize(("arrange", "code", "call"), CASES, ids=lambda value: getattr(value, "__name__", None))
def test_alike(tmp_path: Path, arrange: Callable[[Path], None], code: int, call: tuple[str, ...]) -> None:
    found = []
    for language in LANGUAGES:
        folder = tmp_path / language
        folder.mkdir()
        arrange(folder)
        given = call
        if call[0] == "update" and language == "python":
            given = (*call[:-1], "--", "jq", call[-1])
        done = HELPERS.call(language, *given, cwd=folder)
        assert (done.code, done.err.count("\n")) == (code, 1 if code else 0), done
        found.append({str(path.relative_to(folder)): oct(path.lstat().st_mode) for path in folder.rglob("*")})
    assert found[0] == found[1]


@pytest.mark.parametrize("limit", [6, 8, 10])
@pytest.mark.parametrize("call", ["atomic_write 2 s.json", "atomic_append x log", "atomic_backup s.json"])
def test_hardly_any_descriptor_is_left(tmp_path: Path, call: str, limit: int) -> None:
    """What tells of it has to be read from a file first. And a module that cannot be opened is not a missing one."""
    (tmp_path / "s.json").write_text("1")
    for name in ("s.json", "log"):
        (tmp_path / f".{name}.lock").touch(0o644)
    done = HELPERS.bash(f'. "$0/atomicops.sh"; ulimit -n {limit}; {call}', cwd=tmp_path)
    assert done.code in (0, 74), done
    assert done.code == 0 or (done.refused and "oo many open files" in done.err), done
    assert not list(tmp_path.glob(".*-tmp"))


def test_with_lock_says_what_it_lacks(tmp_path: Path) -> None:
    done = HELPERS.bash('. "$0/atomicops.sh"; ulimit -n 100; with_lock s.json echo done', cwd=tmp_path)
    assert (done.code, done.refused) == (74, True), done
    assert "ulimit -n" in done.err


@pytest.mark.parametrize(
    ("call", "n"),
    [
        ("'.n = $ARGS.positional' --args x y", ["x", "y"]),
        ("'.n = [$v, $ARGS.positional]' --arg v --args --jsonargs 1", ["--args", [1]]),
        ("'.n = 2' --arg v", None),
        ("'.n = 2' --indent", None),
        ("filter.jq -f", 3),
        ("'-.n | {n: .}'", -1),
    ],
)
def test_no_argument_of_jq_takes_the_filter_for_its_own(tmp_path: Path, call: str, n: object) -> None:
    (tmp_path / "s.json").write_text('{"n": 1}')
    (tmp_path / "filter.jq").write_text(".n = 3")
    done = HELPERS.bash(f'. "$0/atomicops.sh"; atomic_update s.json {call}', cwd=tmp_path)
    assert (done.code, done.refused) == ((64, True) if n is None else (0, False)), done
    assert json.loads((tmp_path / "s.json").read_text()) == {"n": 1 if n is None else n}


def test_what_cannot_be_recovered_is_kept_aside_by_both(tmp_path: Path) -> None:
    """Nothing would be replaced, so that there are two names is no reason to refuse."""
    corrupt_with_two_names(tmp_path)
    for language in LANGUAGES:
        assert HELPERS.call(language, "recover", "s.json", cwd=tmp_path).code == 65
    assert [path.read_text() for path in tmp_path.glob("*.corrupt")] == ["{"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_corruption_is_kept_aside_once(tmp_path: Path, language: str) -> None:
    """Also one that is as long as another."""
    for content in ("{", "[", "{"):
        (tmp_path / "s.json").write_text(content)
        assert HELPERS.call(language, "recover", "s.json", cwd=tmp_path).code == 65
    assert sorted(path.read_text() for path in tmp_path.glob("*.corrupt")) == ["[", "{"]
