"""``python -m atomicops``: what it does, its exit codes, and its one-line errors."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import atomicops

COMMANDS = ["write", "append", "read", "update", "backup", "list-backups", "prune", "recover", "sweep", "vendor"]


def run(*arguments: str | Path, cwd: Path, stdin: bytes = b"") -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "atomicops", *map(str, arguments)],
        cwd=cwd,
        input=stdin,
        capture_output=True,
        check=False,
    )
    return done.returncode, os.fsdecode(done.stdout), os.fsdecode(done.stderr)


def ok(*arguments: str | Path, cwd: Path, stdin: bytes = b"") -> str:
    code, out, err = run(*arguments, cwd=cwd, stdin=stdin)
    assert (code, err) == (0, "")
    return out


def refused(code: int, *arguments: str | Path, cwd: Path, stdin: bytes = b"") -> str:
    """The one line of the error: what, why, and what to do."""
    found, out, err = run(*arguments, cwd=cwd, stdin=stdin)
    assert (found, out) == (code, "")
    assert re.fullmatch(r"atomicops: .+: .+; .+\n", err), err
    return err


def test_write_and_read(tmp_path: Path) -> None:
    ok("write", "running", ".state/status.txt", cwd=tmp_path)
    assert (tmp_path / ".state" / "status.txt").read_text() == "running\n"
    big = b"\x00\xff" * 200_000  # more than an argument may hold
    ok("write", "-", "big", cwd=tmp_path, stdin=big)
    assert (tmp_path / "big").read_bytes() == big
    ok("write", "--durability", "none", '{"a": 1}', "x.json", cwd=tmp_path)
    assert ok("read", "x.json", cwd=tmp_path) == '{"a": 1}\n'
    assert "exactly one JSON value" in refused(65, "write", "", "x.json", cwd=tmp_path)
    ok("write", "--no-validate", "oops", "x.json", cwd=tmp_path)
    assert "x.json" in refused(65, "read", "x.json", cwd=tmp_path)
    assert ok("read", "--default", "{}", "x.json", cwd=tmp_path) == "{}\n"
    refused(66, "read", "missing", cwd=tmp_path)
    assert ok("read", "--default", "[]", "missing.json", cwd=tmp_path) == "[]\n"
    assert "directory" in refused(73, "write", "a", ".", cwd=tmp_path)
    refused(73, "read", ".", cwd=tmp_path)
    refused(73, "write", "a", "big/x", cwd=tmp_path)


def test_compare_and_swap(tmp_path: Path) -> None:
    assert ok("read", "--version", "x", cwd=tmp_path) == "absent\n"
    ok("write", "--if-version", "absent", "a", "x", cwd=tmp_path)
    assert "version conflict" in refused(76, "write", "--if-version", "absent", "b", "x", cwd=tmp_path)
    version = ok("read", "--version", "x", cwd=tmp_path).strip()
    ok("write", "--if-version", version, "b", "x", cwd=tmp_path)
    refused(76, "write", "--if-version", version, "c", "x", cwd=tmp_path)
    assert (tmp_path / "x").read_text() == "b\n"


def test_append(tmp_path: Path) -> None:
    ok("append", "one", "log", cwd=tmp_path)
    ok("append", "--in-place", "two", "log", cwd=tmp_path)
    ok("append", "-", "log", cwd=tmp_path, stdin=b"\xffno newline")
    assert (tmp_path / "log").read_bytes() == b"one\ntwo\n\xffno newline"


def test_update_by_path(tmp_path: Path) -> None:
    refused(66, "update", "x.json", "--set", "a=1", cwd=tmp_path)
    ok("update", "x.json", "--default", "{}", "--set", 'a.b="c=d"', "--increment", "n", "--append", "l=1", cwd=tmp_path)
    ok("update", "x.json", "--increment", "n=1.5", "--append", 'l={"k": [5]}', "--increment", "l.1.k.0", cwd=tmp_path)
    ok("update", "x.json", "--set", "/x.y/a~1b~0=null", "--delete", "a.b", "--delete", "no", cwd=tmp_path)
    document = json.loads((tmp_path / "x.json").read_text())
    assert document == {"a": {}, "n": 2.5, "l": [1, {"k": [6]}], "x.y": {"a/b~": None}}
    for wrong in (
        ("--increment", "a"),
        ("--append", "n=1"),
        ("--set", "l.7=1"),
        ("--set", "n.x=1"),
        ("--set", "l.x=1"),
    ):
        refused(65, "update", "x.json", *wrong, cwd=tmp_path)
    unusable: list[tuple[str, ...]] = [
        ("--set", "a"),
        ("--set", "a=b"),
        ("--set", "a..b=1"),
        (),
        ("--set", "a=1", "--", "cat"),
    ]
    for arguments in unusable:
        refused(64, "update", "x.json", *arguments, cwd=tmp_path)
    assert json.loads((tmp_path / "x.json").read_text()) == document
    (tmp_path / "x.json").write_text("{")
    assert "corrupt" in refused(65, "update", "x.json", "--set", "a=1", cwd=tmp_path)


def test_what_only_looks_like_a_number_or_an_index(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('{"b": true, "l": [1, 2, 3, 4]}')
    for wrong in (("--increment", "b"), ("--increment", "l.3=true"), ("--set", "l.\u0663=0"), ("--set", "l.-1=0")):
        refused(65, "update", "x.json", *wrong, cwd=tmp_path)
    ok("update", "x.json", "--delete", "l.\u0663", "--delete", "b", "--set", "/a~01=1", cwd=tmp_path)
    ok("update", "x.json", "--set", "x=y=1", cwd=tmp_path)
    assert json.loads((tmp_path / "x.json").read_text()) == {"l": [1, 2, 3, 4], "a~1": 1, "x=y": 1}


def test_update_with_a_filter(tmp_path: Path) -> None:
    code = "import json, sys; d = json.load(sys.stdin); d['n'] = d.get('n', 0) + 1; print(json.dumps(d))"
    ok("update", "x.json", "--default", "{}", "--", sys.executable, "-c", code, cwd=tmp_path)
    ok("update", "x.json", "--", sys.executable, "-c", code, cwd=tmp_path)
    assert (tmp_path / "x.json").read_text() == '{"n": 2}\n'
    for wrong in ("true", "false", "echo {} {}", "echo NaN"):
        refused(65, "update", "x.json", "--", *wrong.split(), cwd=tmp_path)
    refused(69, "update", "x.json", "--", "no-such-program-here", cwd=tmp_path)
    refused(66, "update", "y.json", "--", "cat", cwd=tmp_path)
    assert (tmp_path / "x.json").read_text() == '{"n": 2}\n'


def test_the_filter_runs_under_the_lock(tmp_path: Path) -> None:
    if shutil.which("flock") is None:
        pytest.skip("flock(1) is not installed (package util-linux)")
    (tmp_path / "x.json").write_text("{}")
    script = "cat > /dev/null; flock -n .x.json.lock true && echo 0 || echo 1"
    ok("update", "x.json", "--", "bash", "-c", script, cwd=tmp_path)
    assert (tmp_path / "x.json").read_text() == "1\n"


def test_backups(tmp_path: Path) -> None:
    refused(66, "backup", "x", cwd=tmp_path)
    (tmp_path / "x").write_text("a")
    assert ok("backup", "x", "1", cwd=tmp_path) == "x.1.bak\n"
    assert ok("backup", "x", "1", cwd=tmp_path) == "x.1.1.bak\n"
    assert re.fullmatch(r"x\.\d+\.bak\n", ok("backup", "x", cwd=tmp_path))
    refused(64, "backup", "x", "a/b", cwd=tmp_path)
    refused(64, "backup", "x", "", cwd=tmp_path)
    assert ok("list-backups", "x", cwd=tmp_path).splitlines()[1:] == ["x.1.1.bak", "x.1.bak"]
    assert ok("prune", "x", "--keep", "1", cwd=tmp_path) == "x.1.1.bak\nx.1.bak\n"
    refused(64, "prune", "x", "--keep", "-1", cwd=tmp_path)
    refused(64, "prune", "x", cwd=tmp_path)


def test_recover(tmp_path: Path) -> None:
    refused(66, "recover", "no/x.json", cwd=tmp_path)
    path = tmp_path / "x.json"
    path.write_text('{"a": 1}')
    assert "valid" in ok("recover", "x.json", cwd=tmp_path)
    assert len(ok("recover", "--backup", "x.json", cwd=tmp_path).splitlines()) == 2
    path.write_text("{")
    report = ok("recover", "x.json", cwd=tmp_path)
    assert "restored from x.json." in report
    assert ".corrupt" in report
    path.unlink()
    code, out, _ = run("recover", "x.json", cwd=tmp_path)
    assert (code, path.exists()) == (66, False)
    assert "missing" in out
    ok("recover", "--restore-missing", "x.json", cwd=tmp_path)
    assert path.read_text() == '{"a": 1}'
    (tmp_path / "y.json").write_text("{")
    code, out, _ = run("recover", "y.json", cwd=tmp_path)
    assert code == 65
    assert "no valid backup" in out


def test_recover_what_is_no_json(tmp_path: Path) -> None:
    """With --any anything but an empty file is valid; where nothing can be restored nobody is told to restore it."""
    (tmp_path / "notes").write_text("notes")
    ok("backup", "notes", cwd=tmp_path)
    assert "valid" in ok("recover", "--any", "notes", cwd=tmp_path)
    (tmp_path / "notes").write_text("")
    ok("recover", "--any", "notes", cwd=tmp_path)
    assert (tmp_path / "notes").read_text() == "notes"
    code, _, err = run("recover", "--any", "no-such", cwd=tmp_path)
    assert code == 66
    assert "check the name" in err


def test_read_a_link_of_either_name(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("{")
    (tmp_path / "data.json").write_text("{")
    (tmp_path / "link.json").symlink_to("data")
    (tmp_path / "link").symlink_to("data.json")
    for name in ("link.json", "link"):
        assert "corrupt" in refused(65, "read", name, cwd=tmp_path)


def test_sweep(tmp_path: Path) -> None:
    orphan = f".x.{'0' * 32}.atomicops-tmp"
    (tmp_path / orphan).touch()
    with atomicops.file_lock(tmp_path / "x"):
        assert ok("sweep", ".", cwd=tmp_path) == f"in use ./{orphan}\n"
    assert ok("sweep", ".", cwd=tmp_path) == f"removed ./{orphan}\n"
    assert ok("sweep", ".", cwd=tmp_path) == ""
    refused(66, "sweep", "no", cwd=tmp_path)


def test_a_busy_lock(tmp_path: Path) -> None:
    ok("write", "a", "x", cwd=tmp_path)
    ok("backup", "x", cwd=tmp_path)
    with atomicops.file_lock(tmp_path / "x"):
        for command in (("write", "a", "x"), ("append", "a", "x"), ("recover", "x"), ("prune", "x", "--keep", "0")):
            assert "within" in refused(75, *command, "--timeout", "0.01", cwd=tmp_path)
    ok("write", "a", "x", "--timeout", "none", cwd=tmp_path)
    refused(64, "write", "a", "x", "--timeout", "soon", cwd=tmp_path)


def test_usage_errors_are_one_line_and_64(tmp_path: Path) -> None:
    for wrong in ((), ("bogus",), ("write",), ("write", "a"), ("write", "a", "b", "c"), ("read", "--bogus", "x")):
        refused(64, *wrong, cwd=tmp_path)


def test_a_path_with_a_newline_still_makes_one_line(tmp_path: Path) -> None:
    assert "a\\nb" in refused(66, "read", "a\nb", cwd=tmp_path)


@pytest.mark.parametrize("command", COMMANDS)
def test_each_help_is_enough_to_use_it(tmp_path: Path, command: str) -> None:
    text = ok(command, "--help", cwd=tmp_path)
    assert "exit codes:" in text
    assert command in ok("--help", cwd=tmp_path)
    if command in ("write", "append", "read", "update"):
        assert "examples:" in text


def test_a_closed_pipe_is_not_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "big").write_text("x" * 1_000_000)
    script = f'"{sys.executable}" -m atomicops read big | true; exit "${{PIPESTATUS[0]}}"'
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (74, b"")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full on this system")
def test_an_output_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("content")
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "atomicops", "read", "x"],
            cwd=tmp_path,
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert done.returncode == 74
    assert b"No space left" in done.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full on this system")
@pytest.mark.parametrize("standard_error", ["2>/dev/full", "2>&-"])
@pytest.mark.parametrize(("words", "code"), [("read nosuch", 66), ("raed x", 64)])
def test_a_complaint_that_cannot_be_written_changes_no_exit_code_and_goes_nowhere_else(
    words: str, code: int, standard_error: str, tmp_path: Path
) -> None:
    script = f"'{sys.executable}' -m atomicops {words} {standard_error}"
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, check=False, env=buffered)
    assert (done.returncode, done.stdout, done.stderr) == (code, b"", b"")
