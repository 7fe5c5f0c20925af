"""The plugin, in projects of users that are made for it: what passes, fails and is skipped, and what it says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

OURS = """
import json
import time
from pathlib import Path

import atomicops
from stress.pytest_plugin import tortured


def save(path, document):
    with open(path, "w") as file:
        time.sleep(0.005)  # it is empty for long enough that somebody is sure to see it so
        file.write(json.dumps(document))


def load(path):
    return json.loads(Path(path).read_text())


class Naive:
    write, read = staticmethod(save), staticmethod(load)


class Sound:
    def write(self, path, document):
        atomicops.atomic_write_json(document, path)

    def read(self, path):
        return atomicops.safe_read_json(path, default=None)
"""


def _pytest(folder: Path, tests: str, *options: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_mine.py").write_text(OURS + tests, encoding="utf-8")
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--basetemp={folder}/tmp", *options],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": "", "PYTEST_ADDOPTS": "", "PYTEST_XDIST_WORKER_COUNT": "2"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def _outcomes(done: subprocess.CompletedProcess[str]) -> str:
    return re.sub(r" in .*", "", done.stdout.strip().splitlines()[-1])


def test_what_tears_fails_with_the_witness_and_what_does_not_passes(tmp_path: Path) -> None:
    done = _pytest(
        tmp_path,
        """
def test_naive(torture):
    torture(write=save, read=load, scenario="handoff", duration="20s", stop_on_first=True)

@tortured(scenario="handoff", duration="20s", stop_on_first=True)
def test_decorated(tmp_path):
    assert tmp_path.is_dir()
    return Naive

def test_sound(torture):
    result = torture(Sound, scenario="handoff", ops=300)
    assert result.stats.total > 0

@tortured(scenario="handoff", ops=300)
def test_sound_and_decorated():
    return Sound
""",
        "--junitxml=report.xml",
    )
    assert _outcomes(done) == "2 failed, 2 passed", done.stdout
    assert len(re.findall(r"^torn-read .*\(checker torn, scenario handoff\)$", done.stdout, re.M)) == 2
    assert "Show it again: stress check " in done.stdout
    assert "Traceback" not in done.stdout
    assert "pytest_plugin.py" not in done.stdout
    assert 'name="stress_run"' in (tmp_path / "report.xml").read_text()


def test_a_run_that_proves_nothing_skips_or_with_strict_fails(tmp_path: Path) -> None:
    tests = "\n\ndef test_it(torture):\n    torture(Sound, scenario='handoff', writers=1, readers=0, duration='0.3s')\n"
    assert _outcomes(done := _pytest(tmp_path, tests, "-rs")) == "1 skipped", done.stdout
    assert "UNKNOWN" in done.stdout
    assert _outcomes(_pytest(tmp_path, tests, "--stress-strict")) == "1 failed"


def test_a_mistake_is_one_line(tmp_path: Path) -> None:
    done = _pytest(
        tmp_path,
        """
def test_argument(torture):
    torture(Sound, writerz=3)

def test_operation(torture):
    torture(wirte=print, read=print)

def test_scenario(torture):
    torture(Sound, scenario="handof")

def test_duration(torture):
    torture(Sound, duration="-1s")

def test_target(torture):
    torture("no-such")

def test_nothing(torture):
    torture()

def test_object(torture):
    torture(object())
""",
    )
    assert _outcomes(done) == "7 failed"
    for said in (
        "wirte: is no operation (did you mean 'write'?)",
        "writerz: is no option of a run (did you mean 'writers'?)",
        "did you mean 'handoff'",
        "--duration: '-1s' is not a duration",
        "'no-such' is no target",
        "torture: give it one target",
        "defines none of the operations",
    ):
        assert done.stdout.partition("short test summary")[0].count(said) == 1, said
    assert "Traceback" not in done.stdout


@pytest.mark.long
def test_the_command_lines_options_win(tmp_path: Path) -> None:
    done = _pytest(
        tmp_path,
        """
def test_it(torture):
    plan = torture(Sound, scenario="handoff", writers=8, duration="60s").plan
    assert (plan["writers"], plan["duration_s"]) == (4, 1.0)
    assert plan["target"].endswith("test_mine:Sound")
""",
        "--stress-seconds=1",
        "--stress-writers=4",
    )
    assert _outcomes(done) == "1 passed", done.stdout


def test_it_can_be_switched_off(tmp_path: Path) -> None:
    done = _pytest(tmp_path, "\n\ndef test_it(torture):\n    pass\n", "-p", "no:stress")
    assert "fixture 'torture' not found" in done.stdout


def test_loading_it_loads_nothing_of_the_harness() -> None:
    code = (
        "import sys, stress.pytest_plugin\n"
        "print([name for name in ('numpy', 'multiprocess', 'stress.engine', 'rich', 'click') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_target_is_found_by_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from stress.workload.target import TargetError, adopt, load

    (tmp_path / "stores_of_mine.py").write_text("class Store:\n    def write(self, path, document): pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert load("stores_of_mine:Store").operations == {"write"}
    with pytest.raises(TargetError, match="could not be imported"):
        load("stores_of_mine:Shop")

    class Local:
        """Kept where only this process can find it."""

        @staticmethod
        def append(path: str, text: str) -> None: ...

    name = adopt(Local)
    assert load(name).operations == {"append"}
    assert load(name).about == "Kept where only this process can find it."
