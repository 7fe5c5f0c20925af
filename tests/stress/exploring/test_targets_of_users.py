"""Targets as users bring them: of whatever make, a few lines long, wrong in more than one way."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from stress.exploring import batch, search
from stress.exploring.explore import Progress, explore
from stress.exploring.plan import ExplorePlan
from stress.result import Result, Verdict
from stress.schedulers.replay import TolerantReplay
from stress.syscalls import Forked, Supervisor

READ = """
import fcntl, json, os, time
def forget():
    pass
def read(path):
    with open(path) as file:
        return json.load(file)
def put(document, path):
    with open(f"{path}.{os.getpid()}.tmp", "w") as file:
        json.dump(document, file)
    os.replace(file.name, path)
"""
BY_CHECK = """
def update(path, change):
    while os.path.exists(path + ".busy"):
        time.sleep(0.001)
    open(path + ".busy", "w").close()
    put(change(read(path)), path)
    os.path.exists(path + ".busy") and os.unlink(path + ".busy")
"""
LOCKED = """
def update(path, change):
    with open(path + ".lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        put(change(read(path)), path)
"""
IN_A_CHILD = """
def update(path, change):
    with open(path + ".lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (pid := os.fork()) == 0:
            put(change(read(path)), path)
            os._exit(0)
        os.waitpid(pid, 0)
"""
OPENED_AT_IMPORT = """
held = open(__file__ + ".lock", "a")
def update(path, change):
    fcntl.flock(held, fcntl.LOCK_EX)
    put(change(read(path)), path)
    fcntl.flock(held, fcntl.LOCK_UN)
"""
BESIDE = """
here, there = read, put
def read(path):
    return here(path + ".store" if os.path.exists(path + ".store") else path)
def put(document, path):
    there(document, path + ".store")
"""
MODES = ("metadata-lost", "readable")

pytestmark = pytest.mark.usefixtures("needs_scheduling")


@pytest.fixture(autouse=True)
def shrink_little(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "_SHRINK_RUNS", 3)
    monkeypatch.setattr(search, "_CRITICAL_RUNS", 3)


def explored(tmp_path: Path, text: str, *, schedules: int = 10, allow: tuple[str, ...] = (), seed: int = 6) -> Result:
    (tmp_path / "mine.py").write_text(text)
    plan = ExplorePlan(
        scenarios=("session_count",), target=str(tmp_path / "mine.py"), seed=seed, schedules=schedules, jobs=1,
        allow=allow,
    )  # fmt: skip
    return explore(plan, folder=str(tmp_path / "kept"))


def test_what_shows_in_every_schedule_does_not_hide_what_shows_in_few(tmp_path: Path) -> None:
    result = explored(tmp_path, READ + BY_CHECK, schedules=100)
    names = [str(finding.anomaly) for finding in result.findings]
    assert names[0] == "lost-update"
    assert set(MODES) < set(names)
    assert result.exploration is not None
    assert 1 < result.exploration.found_after == result.exploration.schedules


def test_where_there_is_no_worse_it_is_found_in_the_end(tmp_path: Path) -> None:
    result = explored(tmp_path, READ + LOCKED, schedules=4)
    assert {str(finding.anomaly) for finding in result.findings} == set(MODES)
    assert result.exploration is not None
    assert (result.exploration.found_after, result.exploration.failing, result.exploration.schedules) == (1, 4, 4)
    assert result.exploration.file


@pytest.mark.parametrize("when", ["while it searches", "when it is about to shrink", "while it shrinks"])
def test_who_interrupts_is_not_kept_waiting_for_a_simpler_schedule(
    when: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(progress: Progress) -> None:
        if when == "while it searches" or (when == "when it is about to shrink" and "simpler" in progress.reached):
            raise KeyboardInterrupt

    def shrunk(*_: object) -> None:
        assert when == "while it shrinks"
        raise KeyboardInterrupt

    monkeypatch.setattr(batch, "shrunk", shrunk)
    (tmp_path / "mine.py").write_text(READ + LOCKED)
    plan = ExplorePlan(target=str(tmp_path / "mine.py"), seed=1, jobs=1, schedules=2)
    result = explore(plan, interrupt, folder=str(tmp_path / "kept"))
    assert result.interrupted
    assert {str(finding.anomaly) for finding in result.findings} == set(MODES)
    assert [skipped.name for skipped in result.skipped] == ["bash"], "what is not explored is said"


def test_a_change_that_is_made_in_a_child_is_seen(tmp_path: Path) -> None:
    assert explored(tmp_path, READ + IN_A_CHILD, allow=MODES, schedules=4).verdict is Verdict.PASS


def test_documents_that_are_kept_elsewhere_are_judged_by_their_reader_or_not_at_all(tmp_path: Path) -> None:
    result = explored(tmp_path, READ + BESIDE + LOCKED)
    assert result.verdict is Verdict.UNKNOWN
    assert "stays as it was" in result.findings[0].message
    assert "OBSERVE = False" in result.findings[0].message
    said = "\nOBSERVE = False\n"
    assert explored(tmp_path, READ + BESIDE + LOCKED + said, schedules=4).verdict is Verdict.PASS
    lost = explored(tmp_path, READ + BESIDE + BY_CHECK + said, schedules=100)
    assert [str(finding.anomaly) for finding in lost.findings] == ["lost-update"]


def test_a_backup_is_found_by_the_last_line_that_its_command_prints_be_it_an_absolute_path(tmp_path: Path) -> None:
    made = 'made=$(mktemp "$PWD/"{path}.XXXXXX.bak) && cat -- {path} >"$made" && printf "%s\\n" done "$made"'
    write = 'new=$(mktemp {path}.tmp.XXXXXX) && cat >"$new" && mv -- "$new" {path}'
    (tmp_path / "mine.toml").write_text(f"write = {write!r}\nbackup = {made!r}\n".replace("\\\\", "\\"))
    plan = ExplorePlan(
        scenarios=("backups",), target=str(tmp_path / "mine.toml"), languages=("command",), processes=2, schedules=3,
        seed=6, jobs=1, allow=MODES,
    )  # fmt: skip
    result = explore(plan, folder=str(tmp_path))
    assert result.verdict is not Verdict.FAIL, result.findings
    assert result.operations["backup"]["command"]["ok"]


def test_why_nothing_succeeded_is_said_in_the_words_of_the_target(tmp_path: Path) -> None:
    result = explored(tmp_path, READ + "def update(path, change):\n    raise KeyError('no such field')\n")
    (said,) = [finding.message for finding in result.findings]
    assert said.endswith("no update succeeded (KeyError: 'no such field').")


def test_what_never_comes_to_its_end_is_tried_three_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "Supervisor", partial(Supervisor, stuck_s=0.1))
    result = explored(tmp_path, READ + "def update(path, change):\n    while True: pass\n", schedules=1000)
    assert result.verdict is Verdict.UNKNOWN
    assert result.exploration is not None
    assert result.exploration.schedules == 3


def test_who_polls_does_not_poll_for_ever_where_a_schedule_says_no_more(tmp_path: Path) -> None:
    def holds() -> None:
        Path("mine").touch()
        Path("lock").hardlink_to("mine")
        Path("data").touch()
        Path("lock").unlink()

    def polls() -> None:
        import time

        while True:
            try:
                return Path("lock").hardlink_to("data")
            except FileExistsError:
                time.sleep(0.001)

    (tmp_path / "data").touch()
    scheduler = TolerantReplay([0, 0, 0, 1, 1])
    scheduler.begin()
    with Supervisor(tmp_path, steps_max=100) as supervisor:
        assert supervisor.run([Forked(holds), Forked(polls)], scheduler).ending == "done"


def test_a_lock_file_that_is_opened_at_import_is_opened_by_each_process(tmp_path: Path) -> None:
    text = READ.replace("def forget():\n    pass\n", "") + OPENED_AT_IMPORT
    result = explored(tmp_path, text, schedules=20, allow=MODES)
    assert result.verdict is Verdict.PASS, result.findings
