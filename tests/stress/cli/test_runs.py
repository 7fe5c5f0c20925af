"""The command from end to end: real runs, short ones, with targets of one's own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree

import pytest

STRESS = (sys.executable, "-m", "stress")

SOUND = """
import json, os, shutil, tempfile, time
def write(path, document):
    fd, name = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".tmp.")
    with open(fd, "w") as file:
        json.dump(document, file)
    shutil.copystat(path, name)
    os.replace(name, path)
def read(path):
    with open(path) as file:
        return json.load(file)
"""
BROKEN = SOUND.replace(
    "os.replace(name, path)",
    "os.remove(name); file = open(path, 'w'); time.sleep(0.005); json.dump(document, file); file.close()",
)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with a sound target and a broken one."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sound.py").write_text(SOUND)
    (tmp_path / "broken.py").write_text(BROKEN)
    (tmp_path / "files").mkdir()
    return tmp_path


def stress(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*STRESS, *argv], capture_output=True, text=True, timeout=120)


def test_a_violation_is_shown_and_can_be_shown_again(home: Path) -> None:
    done = stress(
        "run", "handoff", "--target", "broken.py", "--writers", "3", "--duration", "30s", "--stop-on-first",
        "--dir", "files", "--report", "json=r.json,junit=r.xml",
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "FAIL — torn-read ×" in done.stdout
    assert "garbage" in done.stdout, "the witness"
    assert "\x1b" not in done.stdout
    report = json.loads((home / "r.json").read_text())
    assert (report["verdict"], report["exit_code"]) == ("fail", 1)
    assert report["findings"][0]["witness"]
    assert set(report["operations"]) >= {"write", "read", "observe"}
    failures = ElementTree.parse(home / "r.xml").getroot()[0].get("failures")
    assert int(failures or 0) > 0
    assert json.loads(Path(report["run"], "result.json").read_text()) == report

    command = done.stdout.splitlines()[-1].removeprefix("Show it again: ").split()
    assert command[:2] == ["stress", "check"]
    again = stress(*command[1:], "--report", "json=again.json")
    assert again.returncode == 1
    repeated = json.loads((home / "again.json").read_text())
    assert repeated["findings"] == report["findings"]
    assert os.listdir(home / "files") == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_reports_what_was_done(home: Path, number: signal.Signals) -> None:
    tool = subprocess.Popen(
        [*STRESS, "run", "handoff", "--target", "sound.py", "--writers", "3", "--duration", "60s", "--dir", "files"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert tool.stdout is not None
    assert "3 writers" in tool.stdout.readline()
    deadline = time.monotonic() + 45
    while not any('"gate"' in events.read_text() for events in home.glob(".stress/*/events.jsonl")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(0.2)  # for something to be done
    tool.send_signal(number)
    out, err = tool.communicate(timeout=60)
    assert tool.returncode == 130, out + err
    assert "INTERRUPTED — " in out
    assert os.listdir(home / "files") == []
    assert err == ""


def test_a_directory_that_can_not_be_written_to(home: Path) -> None:
    done = stress("run", "handoff", "--target", "sound.py", "--dir", "nosuch/deep")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("stress: --dir: 'nosuch/deep'")
    assert len(done.stderr.splitlines()) == 1
