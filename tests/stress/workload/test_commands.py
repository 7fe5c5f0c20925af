"""Command lines of a TOML target: each in a shell of its own, and what that shell needs to be there."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import stress
from stress.execution.drivers.shell import environment, probe, write_commands
from stress.plan import Plan, UsageError
from stress.resolve import resolve
from stress.result import Verdict
from stress.workload.target import TargetError, load


def _toml(folder: Path, write: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(f"write = '''{write}'''\nread = 'cat {{path}}'\n")
    return path


@pytest.mark.parametrize(
    ("command", "status"),
    [
        ("cat >{path}; exit 7", 7),
        ("cd / && cat >{path}; exit 0", 0),
        ("set -eu; cat >{path}; false; true", 1),
        ("trap 'exit 9' EXIT; cat >{path}", 9),
        ("cat >{path}; exec false", 1),
        ("cat >{path}; kill -9 $$", 137),
        ("cat >{path}; umask 777; IFS=x; shopt -s failglob; readonly status=3; exit", 0),
        ("cat >{path}; return 0 2>/dev/null; printf() { :; }; exit 5 # as people write", 5),
    ],
)
def test_what_a_command_does_to_its_shell_ends_with_it(command: str, status: int, tmp_path: Path) -> None:
    source = write_commands(load(str(_toml(tmp_path, command))), tmp_path)
    assert source is not None
    (tmp_path / "in").write_text("content\n")
    script = """source "$1"
for number in 1 2; do target_write "$2" in; printf '%s ' $?; done
pwd; umask; printf '%s\\n' "${-/[^e]/}" "$(type -t printf)"; target_read "$2" """
    path = str(tmp_path / "a b.json")
    done = subprocess.run(
        ["bash", "-c", script, "bash", str(source), path], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    first, *rest, last = done.stdout.splitlines()
    assert first == f"{status} {status} {tmp_path}"
    assert "builtin" in rest
    assert last == "content"


@pytest.mark.parametrize(
    "command",
    [
        "cat >{path}",
        "cat >'{path}'",
        'cat >"{path}"',
        "cat >'./{path}'",
        'cat >"./{path}"',
        'python3 -c \'open("{path}", "w").write(input() + chr(10))\'',
        "bash -c \"cat >'{path}'\"",
        ": \\' && cat >'{path}' && : \\\"",
        ": '\\' && cat >{path} && : \"'\"",
        "save() { cat >{path}; }; save",
        "save() { cat >'./{path}'; }; save other",
        "set -- some other; shift; cat >{path}",
    ],
)
def test_a_path_is_one_word_whatever_quotes_are_around_it(command: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(f"write = {json.dumps(command)}\n")
    source = write_commands(load(str(path)), tmp_path)
    (tmp_path / "in").write_text("content\n")
    name = "a $(x) b.json"
    script = 'source "$1"; target_write "$2" in'
    subprocess.run(["bash", "-c", script, "bash", str(source), name], cwd=tmp_path, check=True, timeout=30)
    assert (tmp_path / name).read_text() == "content\n"


@pytest.mark.parametrize("command", ["cat >{path})", "if cat >{path}", 'cat >"{path}', "cat >{path}; }"])
def test_a_command_that_is_none_is_refused_by_its_name(command: str, tmp_path: Path) -> None:
    path = _toml(tmp_path, command)
    with pytest.raises(TargetError, match=r"write = .* is no command line for bash") as raised:
        write_commands(load(str(path)), tmp_path)
    assert "\n" not in str(raised.value)
    with pytest.raises(UsageError, match="no command line for bash"):
        resolve(Plan(target=str(path)))


NEEDS = """
TARGET_NEEDS_JQ=(update)
TARGET_NEEDS_CAT=(read)
TARGET_NEEDS_NO_SUCH_THING=(write update)
target_write() { :; }; target_read() { :; }; target_update() { :; }
"""


def test_programs_that_operations_need_are_told_by_the_names_of_arrays(tmp_path: Path) -> None:
    path = tmp_path / "mine.bash"
    path.write_text(NEEDS)
    found: tuple[object, object] = probe(path, environment())
    assert found == (
        {"write", "read", "update"},
        {"cat": {"read"}, "jq": {"update"}, "no_such_thing": {"write", "update"}},
    )


def test_what_needs_a_missing_program_is_left_out_and_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.bash").write_text(NEEDS)
    (tmp_path / "mine.py").write_text("def write(path, document): ...\ndef read(path): ...\ndef update(path, f): ...\n")
    cast = resolve(Plan(scenarios=("handoff",), target=str(tmp_path / "mine.py")))
    said = [str(each) for each in cast.skipped]
    assert any("no_such_thing is missing; apt-get install no_such_thing" in each and "write" in each for each in said)
    assert not any("cat" in each.split(":")[1] for each in said)


@pytest.mark.parametrize("program", ["perl", "jq", "flock"])
def test_targets_of_ours_say_what_they_need(
    program: str, path_without: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", path_without(program))
    target = "lock-unlinked" if program == "flock" else "atomicops"
    cast = resolve(Plan(scenarios=("session_count",), target=target))
    missing = [each for each in cast.skipped if each.why == f"{program} is missing"]
    assert [each.operations and each.name for each in missing] == ["bash"]
    if program == "flock":
        assert missing[0].cure == "apt-get install util-linux"


def test_a_backup_that_tells_no_place_is_no_bad_backup(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(
        "write = 'cat >{path}.$$ && mv {path}.$$ {path}'\nread = 'cat {path}'\nallow = ['metadata-lost']\n"
        "backup = 'b={path}.$(date +%s%N).$$; cp {path} $b && mv $b $b.bak'\n"
    )
    plan = Plan("backups", target=str(tmp_path / "mine.toml"), writers=2, readers=1, ops=100, runs=str(tmp_path / "r"))
    result = stress.run(plan)
    assert result.verdict is Verdict.UNKNOWN, result.findings
    assert any("backup printed no path" in finding.message for finding in result.findings)
