"""``python -m atomicops`` for a person: no traceback, documented codes, nothing left of a misspelt name."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.atomicops.both import DOCUMENTED, LANGUAGES, LIMIT_S, Helpers

HELPERS = Helpers()


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("closed", ["<&-", ">&-", "<&- >&- 2>&-", ">/dev/full"])
@pytest.mark.parametrize("arguments", ["backup f", "write - f", "read f", "--help", "read --help", "list-backups f"])
def test_closed_descriptors(tmp_path: Path, arguments: str, closed: str, unbuffered: str) -> None:
    (tmp_path / "f").write_text("x\n")
    (tmp_path / "f.1.bak").write_text("x\n")
    command = ["sh", "-c", f'exec "$0" -m atomicops {arguments} {closed}', HELPERS.python]
    done = HELPERS.run(command, cwd=tmp_path, env={"PYTHONUNBUFFERED": unbuffered})
    if closed == ">/dev/full" and arguments != "write - f":
        assert done.code == 74, done
    assert "Traceback" not in done.err, done
    assert done.code in DOCUMENTED, done
    assert done.err.count("\n") <= 1, done
    lock = tmp_path / ".f.lock"
    assert not lock.exists() or lock.stat().st_size == 0
    assert all(path.read_text() == "x\n" for path in tmp_path.glob("*.bak"))


def test_no_file_gets_the_number_of_a_closed_standard_descriptor(tmp_path: Path) -> None:
    """What is written to it, by whatever writes there, would be in that file."""
    code = "import os, sys; from atomicops._exits import *; keep_standard_descriptors(); sys.exit(os.open('.', 0) <= 2)"
    done = HELPERS.run(["sh", "-c", 'exec "$0" -c "$1" <&- >&- 2>&-', HELPERS.python, code], cwd=tmp_path)
    assert done.code == 0


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_parent_ignores_the_end_of_children(tmp_path: Path, language: str) -> None:
    """A child's exit status is lost then, unless one asks for it again: what failed is not taken for done."""
    (tmp_path / "f.json").write_text("{}")
    command = [HELPERS.python, "-m", "atomicops", "update", "f.json", "--", "sh", "-c", "echo 1; exit 1"]
    if language == "bash":
        command = ["bash", "-c", '. "$0/atomicops.sh"; atomic_update f.json "1, error"', str(HELPERS.shell)]
    helpers = Helpers(prefix=(HELPERS.python, "-Sc", IGNORING))
    done = helpers.run(command, cwd=tmp_path)
    assert (done.code, (tmp_path / "f.json").read_text()) == (65, "{}"), done


IGNORING = "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); os.execvp(sys.argv[1], sys.argv[1:])"


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    ("program", "code", "word"),
    [
        ("#!/bin/sh\nkill -9 $$\n", 74, "signal 9"),
        ("#!/bin/sh\necho 2\nexit 3\n", 65, "status 3"),
    ],
    ids=["killed", "failed"],
)
def test_how_the_filter_ended(tmp_path: Path, language: str, program: str, code: int, word: str) -> None:
    """What was killed has not judged the document: that is no fault of the command or of the data."""
    (tmp_path / "jq").write_text(program)
    (tmp_path / "jq").chmod(0o755)
    (tmp_path / "f.json").write_text("{}")
    call = f'PATH=$PWD:$PATH; "{HELPERS.python}" -m atomicops update f.json -- jq .'
    if language == "bash":
        call = '. "$0/atomicops.sh"; PATH=$PWD:$PATH; atomic_update f.json .'
    done = HELPERS.bash(call, cwd=tmp_path)
    assert (done.code, done.refused, (tmp_path / "f.json").read_text()) == (code, True, "{}"), done
    assert word in done.err


@pytest.mark.parametrize("program", ["./text", "./folder", "./text/x", "./none"])
def test_what_is_no_program(tmp_path: Path, program: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "text").write_text("text")
    (tmp_path / "text").chmod(0o755)
    (tmp_path / "f.json").write_text("{}")
    done = HELPERS.call("python", "update", "f.json", "--", program, cwd=tmp_path)
    assert (done.code, done.refused, "install" in done.err) == (69, True, True), done


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("path", ["none.json", "nodir/x.txt", "nodir/deep/x.json", "f/x"])
@pytest.mark.parametrize("operation", ["read", "backup", "recover", "list-backups", "prune"])
def test_a_misspelt_name_leaves_nothing(tmp_path: Path, operation: str, path: str, language: str) -> None:
    if language == "bash" and operation in ("list-backups", "prune"):
        pytest.skip("Bash has no such function")
    (tmp_path / "f").write_text("")
    more = ("--keep", "1") if operation == "prune" else ()
    done = HELPERS.call(language, operation, path, *more, cwd=tmp_path)
    if operation in ("read", "backup", "recover"):
        assert done.refused, done
        assert done.code in ((66, 73) if path == "f/x" else (66,)), done
    else:
        assert done.code in (0, 66, 73), done
    assert sorted(os.listdir(tmp_path)) == ["f"]


def test_what_follows_two_dashes_is_an_argument(tmp_path: Path) -> None:
    for call, code in ((("write", "--", "--", "--"), 0), (("append", "--", "-x", "--"), 0), (("read", "--", "--"), 0)):
        done = HELPERS.call("python", *call, cwd=tmp_path, stdin=b"")
        assert (done.code, done.err) == (code, "")
    assert (tmp_path / "--").read_text() == done.out == "--\n-x\n"
    assert HELPERS.call("python", "write", "--", "update", "f", cwd=tmp_path).code == 0
    assert (tmp_path / "f").read_text() == "update\n"


DELETIONS = [
    ("x=y", {"x=y": 1, "z": 2}, {"z": 2}),
    ("/x=y", {"x=y": 1, "z": 2}, {"z": 2}),
    ("/a~1b", {"a/b": 1, "z": 2}, {"z": 2}),
    ("/a.b", {"a.b": 1, "z": 2}, {"z": 2}),
    ("=", {"=": 1, "z": 2}, {"z": 2}),
    ("a.b", {}, {}),
    ("a.b.c", {"a": {}}, {"a": {}}),
    ("/a/0", {"a": []}, {"a": []}),
    ("a.0", {"a": [1, 2]}, {"a": [2]}),
    ("a.5", {"a": [1, 2]}, {"a": [1, 2]}),
    ("a.b", {"a": None}, {"a": None}),
    ("x", {"x": None}, {}),
]


@pytest.mark.parametrize(("path", "before", "after"), DELETIONS)
def test_delete(tmp_path: Path, path: str, before: object, after: object) -> None:
    """A missing one is fine, and nothing is made on the way; a key may hold any character."""
    (tmp_path / "d.json").write_text(json.dumps(before))
    done = HELPERS.call("python", "update", "d.json", "--delete", path, cwd=tmp_path)
    assert (done.code, done.err) == (0, "")
    assert json.loads((tmp_path / "d.json").read_text()) == after


def test_a_key_is_the_same_in_every_locale(tmp_path: Path) -> None:
    (tmp_path / "f.json").write_text('{"é": 1}', encoding="utf-8")
    helpers = Helpers(env={"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"})
    done = helpers.call("python", "update", "f.json", "--increment", "é", cwd=tmp_path)
    assert (done.code, json.loads((tmp_path / "f.json").read_text(encoding="utf-8"))) == (0, {"é": 2}), done


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("update", "f.json", "--increment", "big=0.5"), 65),
        (("update", "f.json", "--increment", "n=" + "[" * 2_000 + "]" * 2_000), 65),
        (("update", "f.json", "--increment", "s"), 65),
        (("prune", "f.json", "--keep", "9" * 5_000), 64),
        (("prune", "f.json", "--keep", "²"), 64),
    ],
    ids=["beyond a float", "a deep value", "a text", "many digits", "no digit"],
)
def test_a_value_that_cannot_be_taken_is_told_in_a_line(tmp_path: Path, arguments: tuple[str, ...], code: int) -> None:
    document = '{"n": 1, "s": "text", "big": ' + "9" * 400 + "}"
    (tmp_path / "f.json").write_text(document)
    done = HELPERS.call("python", *arguments, cwd=tmp_path)
    assert (done.code, done.refused, (tmp_path / "f.json").read_text()) == (code, True, document), done
    assert "_count" not in done.err


@pytest.mark.parametrize(
    "arguments", [("--default", "[" * 9_000), ("--set", "n=" + "[" * 9_000), ("--set", "n" * 9_000)]
)
def test_of_a_long_argument_the_beginning_is_told(tmp_path: Path, arguments: tuple[str, str]) -> None:
    done = HELPERS.call("python", "update", "f.json", *arguments, "--delete", "x", cwd=tmp_path)
    assert (done.code, done.refused, len(done.err) < 400) == (64, True, True), done


def test_a_default_may_be_deep(tmp_path: Path) -> None:
    deep = "[" * 9_000 + "]" * 9_000
    done = HELPERS.call("python", "update", "f.json", "--default", deep, "--delete", "x", cwd=tmp_path)
    assert (done.code, done.err, (tmp_path / "f.json").read_text()) == (0, "", deep + "\n")


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    ("seconds", "code"),
    [
        ("0", 0),
        ("0.5", 0),
        ("999999999", 0),
        ("1e9", 64),
        ("-1", 64),
        ("nan", 64),
        ("inf", 64),
        ("x", 64),
        ("none", 0),
        ("", 0),
    ],
)
def test_seconds_to_wait(tmp_path: Path, language: str, seconds: str, code: int) -> None:
    if language == "python":
        done = HELPERS.run([HELPERS.python, "-m", "atomicops", "write", f"--timeout={seconds}", "x", "f"], cwd=tmp_path)
    else:
        env = {"ATOMICOPS_LOCK_TIMEOUT": seconds}
        done = HELPERS.bash('. "$0/atomicops.sh"; atomic_write x f', cwd=tmp_path, env=env)
    assert (done.code, done.refused) == (code, code != 0), done
    assert (tmp_path / "f").exists() == (code == 0)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("wirte", "x", "f"), "write"),
        (("recovr", "f"), "recover"),
        (("write", "--if-versoin", "v", "x", "f"), "--if-version"),
        (("write", "--if-versoin=" + "v" * 80, "x", "f"), "did you mean '--if-version'"),
        (("write", "--", "x", "f", "--"), "unknown argument '--';"),
        (("update", "f", "--incremnt", "n"), "--increment"),
        (("backups", "f"), "backup"),
        (("write", "--durability", "ful", "x", "f"), "full"),
    ],
)
def test_a_misspelt_word_is_answered_by_the_right_one(tmp_path: Path, arguments: tuple[str, ...], word: str) -> None:
    done = HELPERS.run([HELPERS.python, "-m", "atomicops", *arguments], cwd=tmp_path)
    assert (done.code, done.refused) == (64, True), done
    assert word in done.err
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_while_it_writes(tmp_path: Path, number: signal.Signals) -> None:
    """A large temp file is being written; it goes, there is no traceback, and the process ends by that signal."""
    (tmp_path / "big").write_bytes(b"x" * 30_000_000)
    for _ in range(5):
        with open(tmp_path / "big", "rb") as big:
            command = [HELPERS.python, "-m", "atomicops", "write", "-", "out"]
            child = subprocess.Popen(
                command, cwd=tmp_path, stdin=big, stderr=subprocess.PIPE, text=True, env=HELPERS.environment(),
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
            )  # fmt: skip
        ends = time.monotonic() + LIMIT_S
        while not list(tmp_path.glob(".out.*-tmp")) and child.poll() is None and time.monotonic() < ends:
            pass
        child.send_signal(number)
        message = child.communicate(timeout=LIMIT_S)[1]
        if child.returncode:
            break
    else:
        pytest.skip("it was always faster than the signal")
    assert child.returncode in (-number, 128 + number)
    assert message.count("\n") <= 1
    assert "Traceback" not in message
    assert [name for name in os.listdir(tmp_path) if name.endswith("-tmp")] == []


def test_a_second_signal_does_not_stop_the_cleaning_up_after_the_first(tmp_path: Path) -> None:
    """An impatient Ctrl-C, or a supervisor that sends SIGTERM and SIGHUP: nothing may be left behind for that."""
    code = """if True:
        import os, signal
        from atomicops._exits import Signalled, catch_signals, end
        catch_signals()
        try:
            try:
                os.kill(os.getpid(), signal.SIGTERM)
            finally:
                os.kill(os.getpid(), signal.SIGHUP)
                print("cleaned up", flush=True)
        except Signalled as stop:
            end(0, stop.args[0])
        """
    done = HELPERS.run([HELPERS.python, "-c", code], cwd=tmp_path)
    assert (done.code, done.out, done.err) == (-signal.SIGTERM, "cleaned up\n", "")


def test_a_signal_that_the_parent_ignores_stays_ignored(tmp_path: Path) -> None:
    """As `nohup` does with SIGHUP."""
    code = "import os, signal; from atomicops._exits import *; catch_signals(); os.kill(os.getpid(), signal.SIGHUP)"
    done = HELPERS.run(["sh", "-c", 'trap "" HUP; exec "$0" -c "$1"', HELPERS.python, code], cwd=tmp_path)
    assert (done.code, done.err) == (0, "")


def test_a_reader_that_stops_reading(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x\n" * 500_000)
    script = '"$0" -m atomicops read f | head -n 1'
    done = HELPERS.run(["sh", "-c", script, HELPERS.python], cwd=tmp_path)
    assert (done.out, "Traceback" in done.err) == ("x\n", False), done


LOST_BY_JQ = {
    "a key twice": '{"a": 1, "a": 2}',
    "a key twice, once in escapes": '{"a": 1, "\\u0061": 2}',
    "a large number": '{"id": 12345678901234567890}',
    "a number just above those that a double has": '{"id": 9008000000000001}',
    "many digits": '{"pi": 3.14159265358979323846}',
    "half a surrogate pair": '{"a": "\\ud800"}',
}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("document", LOST_BY_JQ.values(), ids=LOST_BY_JQ)
def test_jq_loses_nothing_that_it_was_not_asked_to_change(tmp_path: Path, document: str, language: str) -> None:
    (tmp_path / "f.json").write_text(document)
    change = ("--", "jq", ".new = 1") if language == "python" else (".new = 1",)
    done = HELPERS.call(language, "update", "f.json", *change, cwd=tmp_path)
    assert (done.code, done.refused, (tmp_path / "f.json").read_text()) == (65, True, document), done


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", ["d", "d/", "d/.", "link"])
@pytest.mark.parametrize("operation", ["write", "append", "backup", "update", "read", "recover"])
def test_the_name_of_a_directory_leaves_nothing(tmp_path: Path, operation: str, name: str, language: str) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "link").symlink_to("d")
    change = ("--increment", "n") if language == "python" else (".n += 1",)
    arguments = {"write": ("x", name), "append": ("x", name), "update": (name, *change)}.get(operation, (name,))
    done = HELPERS.call(language, operation, *arguments, cwd=tmp_path)
    assert (done.code, done.refused) == (73, True), done
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["d", "link"]
