"""To have been unable to check is not to have found it corrupt: it changes nothing, and says why."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from atomicops import CorruptFile, read_json, recover, safe_read_json
from tests.atomicops.both import LANGUAGES, Done, Helpers

HELPERS = Helpers()
VALID = json.dumps({"v": "new", "pad": "x" * 200_000})
OLD = '{"v": "old"}'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A large valid file with an older backup."""
    (tmp_path / "t.json.1700000000.bak").write_text(OLD)
    (tmp_path / "t.json").write_text(VALID)
    return tmp_path / "t.json"


def check_that_it_stays(path: Path, done: Done) -> None:
    assert path.read_text() == VALID, done
    assert done.code in (0, 69, 74), done
    assert done.code == 0 or done.refused, done
    assert list(path.parent.glob("*.corrupt")) == []


MISSING = {"no grep": ("grep", "egrep"), "no jq": ("jq",), "no perl": ("perl",), "no flock": ("flock",)}


@pytest.mark.parametrize("operation", ["recover", "read"])
@pytest.mark.parametrize("environment", ["no TMPDIR", "TMPDIR that cannot be written", *MISSING])
def test_what_the_check_needs_is_missing(
    path: Path, operation: str, environment: str, path_without: Callable[..., str]
) -> None:
    if environment in MISSING:
        env = {"PATH": path_without(*MISSING[environment])}
    else:
        env = {"TMPDIR": "/proc" if environment == "TMPDIR that cannot be written" else str(path.parent / "none")}
    done = HELPERS.bash('. "$0/atomicops.sh"; "atomic_$@"', operation, "t.json", cwd=path.parent, env=env)
    check_that_it_stays(path, done)
    if environment == "no perl":
        assert done.code == 69, done
        assert "perl" in done.err


@pytest.mark.parametrize("program", ["grep", "jq", "stat", "cmp", "cat"])
def test_a_program_that_fails_or_is_killed(path: Path, program: str) -> None:
    for body in ("exit 2", "kill -KILL $$", "exit 1"):
        bad = path.parent / "bad"
        bad.mkdir(exist_ok=True)
        (bad / program).write_text(f"#!/bin/sh\n{body}\n")
        (bad / program).chmod(0o755)
        env = {"PATH": f"{bad}:{os.environ['PATH']}"}
        done = HELPERS.bash('. "$0/atomicops.sh"; atomic_recover t.json', cwd=path.parent, env=env)
        check_that_it_stays(path, done)


@pytest.mark.parametrize("operation", ["recover", "read"])
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_full_temporary_directory(path: Path, language: str, operation: str) -> None:
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("to mount a small file system takes root")
    mount = 'mkdir tiny && mount -t tmpfs -o size=64k tmpfs tiny && export TMPDIR=$PWD/tiny && exec "$@"'
    helpers = Helpers(prefix=("unshare", "-m", "--propagation", "private", "sh", "-c", mount, "sh"))
    if helpers.run(["true"], cwd=path.parent).code != 0:
        pytest.skip("this container may not mount")
    os.rmdir(path.parent / "tiny")
    done = helpers.call(language, operation, "t.json", cwd=path.parent)
    check_that_it_stays(path, done)
    assert done.code == 0, done


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_file_size_limit(path: Path, language: str) -> None:
    command = [HELPERS.python, "-m", "atomicops", "recover", "t.json"]
    if language == "bash":
        command = ["bash", "-c", '. "$0/atomicops.sh"; atomic_recover t.json', str(HELPERS.shell)]
    done = subprocess.run(
        command, cwd=path.parent, capture_output=True, text=True, env=HELPERS.environment(),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024)),
    )  # fmt: skip
    check_that_it_stays(path, Done(done.returncode, done.stdout, done.stderr))


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("call", ["read big", "append x big.json", "recover big.json", "update big.json ."])
def test_no_memory_for_the_content(tmp_path: Path, language: str, call: str) -> None:
    """Perl says so itself, and leaves by itself: with a code of ours, and no temp file."""
    size = 150 << 20
    for name in ("big", "big.json"):
        (tmp_path / name).touch()
        os.truncate(tmp_path / name, size)
    words = call.split()
    if language == "python":
        command = [HELPERS.python, "-m", "atomicops", *(words if words[0] != "update" else [*words[:2], "--", "cat"])]
    else:
        command = ["bash", "-c", '. "$0/atomicops.sh"; "atomic_$@"', str(HELPERS.shell), *words]
    done = HELPERS.run(["sh", "-c", 'ulimit -v 130000; exec "$@"', "sh", *command], cwd=tmp_path)
    assert (done.code, done.out) == (74, ""), done
    assert "not enough memory (unchanged)" in done.err.splitlines()[-1]
    assert (tmp_path / words[1 if words[0] != "append" else 2]).stat().st_size == size
    assert {path.name for path in tmp_path.iterdir()} <= {"big", "big.json", ".big.json.lock"}


def test_no_memory_for_the_check(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_memory(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(json, "loads", no_memory)
    monkeypatch.setattr(json.JSONDecoder, "decode", no_memory)
    monkeypatch.setattr(json.JSONDecoder, "raw_decode", no_memory)
    for action in (recover, read_json, lambda p: safe_read_json(p, {"the": "default"})):
        try:
            result = action(path)
        except (MemoryError, OSError):
            continue
        assert not isinstance(result, dict) or result.get("v") == "new"
    assert path.read_text() == VALID


def test_a_validator_of_ones_own_that_breaks(path: Path) -> None:
    """A bug in it, or a file that it needs and that is not there, says nothing about the document."""
    for error in (OSError("no schema"), KeyError("a"), RecursionError(), MemoryError()):

        def validate(data: bytes, error: BaseException = error) -> None:
            raise error

        with pytest.raises(type(error)):
            recover(path, validate=validate)
        assert path.read_text() == VALID


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_backup_that_cannot_be_read_is_not_passed_over_in_silence(tmp_path: Path, language: str) -> None:
    """The newest one is a directory's worth of permission away: the older is not restored as if it were the newest."""
    if os.geteuid() == 0:
        pytest.skip("root may read everything: see the tests with several users")
    (tmp_path / "t.json").write_text("{torn")
    (tmp_path / "t.json.1700000000.bak").write_text(OLD)
    (tmp_path / "t.json.1700000001.bak").write_text(OLD)
    (tmp_path / "t.json.1700000001.bak").chmod(0)
    done = HELPERS.call(language, "recover", "t.json", cwd=tmp_path)
    assert "1700000001" in done.out + done.err


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_backup_that_cannot_be_checked_is_not_taken_for_corrupt(tmp_path: Path, language: str) -> None:
    """An older one would be restored, and what came after it be lost."""
    (tmp_path / "t.json").write_text("{")
    for age_s, content in enumerate(("[" * 10_001 + "]" * 10_001, "[0]")):
        backup = tmp_path / f"t.json.{age_s}.bak"
        backup.write_text(content)
        os.utime(backup, (1_700_000_000 - age_s, 1_700_000_000 - age_s))
    done = HELPERS.call(language, "recover", "t.json", cwd=tmp_path)
    assert (done.code, done.refused, (tmp_path / "t.json").read_text()) == (74, True, "{"), done
    assert "t.json.0.bak" in done.err
    (tmp_path / "t.json").write_text("[" * 10_001 + "]" * 10_001)
    assert HELPERS.call(language, "recover", "t.json", cwd=tmp_path).err.startswith("atomicops: t.json: ")


def test_only_what_was_found_to_be_corrupt_is_corrupt(tmp_path: Path) -> None:
    (tmp_path / "t.json").write_text("{torn")
    with pytest.raises(CorruptFile):
        read_json(tmp_path / "t.json")
    assert safe_read_json(tmp_path / "t.json", {"d": 1}) == {"d": 1}
    with pytest.raises(OSError, match="directory"):
        safe_read_json(tmp_path, {"d": 1})
