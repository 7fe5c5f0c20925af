"""Programs and functions of one's own: `stress.explore`, and the fixture."""

from __future__ import annotations

import os
import re
import shlex
import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import stress
from stress.exploring.agents import _takes_ran, last_words
from stress.exploring.explore import replay
from stress.plan import UsageError
from stress.result import Result, Verdict
from stress.schedulers.saved import SavedSchedule
from stress.syscalls import Supervisor

ADD = "read -r n <count; echo $((n + 1)) >count.$$; mv count.$$ count"
LOCKED_ADD = f"exec 9>lock; flock 9; {ADD}"


pytestmark = pytest.mark.usefixtures("needs_scheduling")


def is_two(shared: Path) -> bool:
    return (shared / "count").read_text().strip() == "2"


def add() -> None:
    number = int(Path("count").read_text())
    Path(f"count.{os.getpid()}").write_text(str(number + 1))
    os.rename(f"count.{os.getpid()}", "count")


def add_in_place() -> None:
    number = int(Path("count").read_text())
    Path("count").write_text(str(number + 1))


def laid_out(folder: Path) -> Path:
    shared = folder / "shared"
    shared.mkdir(exist_ok=True)
    (shared / "count").write_text("0")
    return shared


def explored(folder: Path, agents: Any, **options: Any) -> Result:
    return stress.explore(agents, laid_out(folder), is_two, runs=folder / "kept", **options)


def test_a_lost_update_of_two_scripts_is_found_shrunk_kept_and_replayed(tmp_path: Path) -> None:
    result = explored(tmp_path, [["sh", "-c", ADD]] * 2, schedules=20)
    assert result.verdict is Verdict.FAIL
    assert [str(finding.anomaly) for finding in result.findings] == ["check-failed"]
    exploration = result.exploration
    assert exploration is not None
    assert exploration.found_after <= 10
    assert "came between" in exploration.critical
    assert (tmp_path / "shared" / "count").read_text() == "0"  # put back
    assert sorted(path.name for path in (tmp_path / "shared").iterdir()) == ["count"]
    tables = []
    for _ in range(2):
        again = explored(tmp_path, [["sh", "-c", ADD]] * 2, replay=exploration.file)
        assert again.verdict is Verdict.FAIL
        assert again.exploration is not None
        tables.append(again.exploration.table)
    assert tables == [exploration.table] * 2, "with the steps that it needs marked"


def test_what_an_update_in_place_needs_is_said(tmp_path: Path) -> None:
    """Torn, it fails too: no two steps have only to be exchanged."""
    result = explored(tmp_path, [add_in_place] * 2, schedules=20)
    assert result.exploration is not None
    assert re.fullmatch(
        r"(agent\d)'s `write 1 bytes to count` came between (agent\d)'s `read count` and \2's `open count to write.*",
        result.exploration.critical,
    )


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("Traceback (most recent call last):\n  File …\nValueError: no\n", "ValueError: no"),
        ("f:1.1: Document is empty\n\n^\n", "f:1.1: Document is empty / ^"),
        ("x" * 1000, "…" + "x" * 300),
    ],
)
def test_what_a_program_that_failed_said_is_told_in_a_line(said: str, told: str) -> None:
    assert last_words(said.encode()) == told


@pytest.mark.parametrize(
    ("asks", "says"),
    [
        ("os.listdir('/proc/')", "lists the processes of the machine, as ps and pgrep do"),
        ("os.pidfd_open(os.getpid())", "opens a process by the pid that it was told (pidfd_open)"),
    ],
)
def test_who_asks_for_processes_by_what_nobody_can_answer_is_not_judged(tmp_path: Path, asks: str, says: str) -> None:
    """The kernel knows them by other pids than they are told: who asks for an owner so would take him for dead."""
    script = f"import os; print(os.path.isdir('/proc'), {asks})"
    result = stress.explore([["python3", "-c", script], ["cat", "count"]], laid_out(tmp_path), schedules=3)
    assert result.verdict is Verdict.UNKNOWN
    assert says in result.findings[0].message


@pytest.mark.parametrize("scheduler", ["random", "dpor"])
def test_a_lock_that_lies_elsewhere_goes_to_each_of_them_first(tmp_path: Path, scheduler: str) -> None:
    """It would else be the first agent's in every schedule, and the order of the two never another."""
    lock = f"exec 9>{shlex.quote(str(tmp_path / 'lock'))}; flock 9;"
    agents = [["bash", "-c", f"{lock} echo 1 >>count"], ["bash", "-c", f"{lock} grep -q 1 count || : >early"]]
    shared = laid_out(tmp_path)
    result = stress.explore(
        agents, shared, check=lambda left: not (left / "early").exists(), schedules=30, scheduler=scheduler, seed=1
    )
    assert result.verdict is Verdict.FAIL
    assert result.exploration is not None
    assert " lock /" in " ".join(" ".join(result.exploration.table).split())


def test_a_lock_elsewhere_that_is_handed_on_is_free_when_its_last_descriptor_is_closed(tmp_path: Path) -> None:
    """flock(1) takes it through a descriptor of its parent, who gives it back by a close, and goes on."""
    lock = shlex.quote(str(tmp_path / "lock"))
    script = f"exec 9>{lock}; flock 9; n=$(<count); echo $((n + 1)) >count; exec 9>&-; : >>own$0; : >>own$0"
    agents = [["bash", "-c", script, str(number)] for number in range(2)]
    shared = laid_out(tmp_path)
    result = stress.explore(agents, shared, check=lambda left: (left / "count").read_text() == "2\n", schedules=60)
    assert result.verdict is Verdict.PASS
    assert result.exploration is not None
    assert result.exploration.interleavings > 20


@pytest.mark.parametrize("making", ["mkdir {}", "set -C; : >{}", "ln -s x {}", "ln count {}"])
def test_what_two_make_elsewhere_is_a_lock_that_nobody_sees_so_it_is_not_judged(tmp_path: Path, making: str) -> None:
    made = tmp_path / "made"
    script = (
        f"until ({making.format(shlex.quote(str(made)))}) 2>/dev/null; do sleep 1; done; echo 1 >>count; rm -r {made}"
    )
    result = stress.explore([["bash", "-c", script]] * 2, laid_out(tmp_path), schedules=3)
    assert result.verdict is Verdict.UNKNOWN
    assert f"agent 2 makes '{made}' as agent 1 does" in result.findings[0].message


def test_what_each_tries_once_to_make_elsewhere_is_a_lock_too(tmp_path: Path) -> None:
    script = f"mkdir {tmp_path}/made 2>/dev/null && echo 1 >>count; :"
    result = stress.explore([["bash", "-c", script]] * 2, laid_out(tmp_path), schedules=3)
    assert result.verdict is Verdict.UNKNOWN
    assert "agent 2 makes" in result.findings[0].message


def test_what_one_of_them_makes_elsewhere_in_each_schedule_is_no_lock(tmp_path: Path) -> None:
    """Whoever is first makes it, and that is another one in another schedule."""
    script = f"ln count first 2>/dev/null && mkdir {tmp_path}/made && rmdir {tmp_path}/made; :"
    result = stress.explore([["bash", "-c", script]] * 2, laid_out(tmp_path), schedules=20, seed=1)
    assert result.verdict is Verdict.PASS


@pytest.mark.parametrize("kind", ["flock", "lockf"])
def test_a_lock_elsewhere_is_free_from_its_close_on(tmp_path: Path, kind: str) -> None:
    """Of a process that has nothing of the shared directory yet, whose closes would else not be looked at."""
    begin = (
        f"import fcntl, os; os.chdir({str(tmp_path)!r}); file = open('lock', 'r+b'); fcntl.{kind}(file, fcntl.LOCK_EX);"
    )
    first = f"{begin} os.mkdir('shared/m'); file.close(); os.mkdir('shared/own')"
    seen = "os.path.exists('shared/m') and not os.path.exists('shared/own')"
    second = f"{begin} {seen} and os.mkdir('shared/between')"
    (tmp_path / "lock").touch()
    shared = laid_out(tmp_path)
    agents = [["python3", "-ISc", first], ["python3", "-ISc", second]]

    result = stress.explore(agents, shared, check=lambda left: not (left / "between").exists(), seed=1)
    assert result.verdict is Verdict.FAIL


def test_what_each_makes_for_itself_elsewhere_and_what_was_there_is_no_lock(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    script = f"mkdir -p {tmp_path}/cache; mktemp {tmp_path}/XXXXXXXX; echo 1 >>count"
    result = stress.explore([["bash", "-c", script]] * 2, laid_out(tmp_path), schedules=3)
    assert result.verdict is Verdict.PASS


def test_what_is_put_back_is_what_was_there(tmp_path: Path) -> None:
    """Also what is no plain file, and what has another owner."""
    shared = tmp_path / "shared"
    (shared / "inner").mkdir(parents=True)
    (shared / "inner" / "a b\n☃").write_text("0")
    os.link(shared / "inner" / "a b\n☃", shared / "second")
    os.symlink("nowhere", shared / "dangling")
    os.mkfifo(shared / "fifo", 0o640)
    os.chmod(shared / "second", 0o400)
    if os.geteuid() == 0:
        os.chown(shared / "second", 12, 34)
        os.chown(shared / "inner", 12, 34)
    before = told(shared)
    script = "read -r x <fifo & echo hi >fifo; wait; rm -r inner; chmod 777 .; ln -sf x dangling"
    result = stress.explore([script, "cat second"], shared, schedules=2)
    assert result.verdict is Verdict.PASS
    assert told(shared) == before


@pytest.mark.parametrize("instead", [":", 'ln -s / "$old"'])
def test_a_directory_that_an_agent_removes_is_put_back(tmp_path: Path, instead: str) -> None:
    shared = laid_out(tmp_path)
    before = told(shared)
    agents = [["bash", "-c", f"old=$PWD; rm -r $old; cd /; {instead}"], ["cat", "count"]]
    result = stress.explore(agents, shared, schedules=1, may_fail=True)
    assert result.verdict is Verdict.PASS
    assert told(shared) == before


def told(directory: Path) -> dict[str, Any]:
    """Type, mode, owner, number of names and content of all that is in a directory."""
    found = {}
    for path in [directory, *directory.rglob("*")]:
        status = path.lstat()
        content = path.read_text() if path.is_file() else os.readlink(path) if path.is_symlink() else None
        names = 0 if path.is_dir() else status.st_nlink
        found[str(path)] = (status.st_mode, status.st_uid, status.st_gid, names, status.st_mtime_ns, content)
    return found


def test_what_cannot_be_put_back_is_refused(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.path.relpath(tmp_path / "here.sock"))
        with pytest.raises(UsageError, match="be copied"):
            stress.explore([add], tmp_path)


@pytest.mark.parametrize(
    ("agents", "said"),
    [(["echo 1", "true"], "none of them touched"), (["true", "cat count | cat"], "none but agent2 touched")],
)
def test_where_no_two_agents_touched_the_directory_nothing_was_shown(
    tmp_path: Path, agents: list[str], said: str
) -> None:
    result = stress.explore(agents, laid_out(tmp_path), schedules=2)
    assert result.verdict is Verdict.UNKNOWN
    assert said in result.findings[0].message


def test_a_line_of_a_shell_is_done_by_one(tmp_path: Path) -> None:
    outputs = []
    lines = ["cat count | tr 0 1; echo $((1 + 1))", r"printf %s\\n 'a;b' \> count"]
    stress.explore(lines, laid_out(tmp_path), lambda _, ran: outputs.extend(ran.outputs), schedules=1)
    assert outputs == [(b"12\n", b""), (b"a;b\n>\ncount\n", b"")]
    with pytest.raises(UsageError, match="no closing quotation"):
        stress.explore(['echo "'], tmp_path / "shared")


def test_a_name_that_is_no_text_is_told_as_one(tmp_path: Path) -> None:
    shared = laid_out(tmp_path)
    (shared / os.fsdecode(b"\xff\n\x1b")).write_text("0")
    result = stress.explore(["for f in *; do echo 1 >$f; done"] * 2, shared, lambda _: False, runs=tmp_path / "kept")
    assert result.exploration is not None
    assert r"\udcff\n\x1b" in "".join("".join(result.exploration.table).split())


def test_a_replay_of_other_programs_diverges_and_is_unknown(tmp_path: Path) -> None:
    result = explored(tmp_path, [add, add], schedules=20)
    assert result.exploration is not None
    with pytest.raises(UsageError, match="the test that explores these shows it"):
        replay(SavedSchedule.from_json(Path(result.exploration.file).read_text()))
    other = explored(tmp_path, [["sh", "-c", "cat count"]] * 2, replay=result.exploration.file)
    assert other.verdict is Verdict.UNKNOWN
    assert "expected" in other.findings[0].message


def test_what_is_locked_is_proved(tmp_path: Path) -> None:
    result = explored(tmp_path, [["sh", "-c", LOCKED_ADD]] * 2, scheduler="dpor", schedules=None)
    assert result.verdict is Verdict.PASS
    assert result.exploration is not None
    assert result.exploration.proved
    assert result.exploration.cases[0][1].startswith("proved: ")
    assert "gave up" not in result.exploration.cases[0][1]


def test_a_proof_says_that_nobody_who_polls_gave_up(tmp_path: Path) -> None:
    """The lock is broken after three looks: no order that dpor executes shows it."""
    lock = "i=0; until mkdir L; do sleep 0.1; i=$((i + 1)); [ $i -lt 3 ] || rmdir L; done 2>/dev/null"
    result = explored(tmp_path, [["sh", "-c", f"{lock}; {ADD}; rmdir L; :"]] * 2, scheduler="dpor", schedules=None)
    assert result.exploration is not None
    assert result.exploration.proved
    assert result.exploration.cases[0][1].endswith("so nobody gave up")


def test_an_agent_that_never_stops_is_said_to_be_stuck(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stress.exploring.agents.Supervisor", partial(Supervisor, stuck_s=0.05))
    result = explored(tmp_path, ["while :; do :; done", "true"], schedules=1000)
    assert result.verdict is Verdict.UNKNOWN
    assert result.findings[0].message == "agent 1: no syscall, and no wait for anything, in 0.05 s"
    assert result.exploration is not None
    assert result.exploration.schedules == 3


def test_an_agent_of_more_syscalls_than_are_executed_is_not_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stress.exploring.agents.Supervisor", partial(Supervisor, steps_max=50))
    result = explored(tmp_path, ["for i in $(seq 99); do echo >>log; done", "cat count"])
    assert result.verdict is Verdict.UNKNOWN
    assert result.findings[0].message == "no end after 50 file syscalls"
    assert result.exploration is not None
    assert result.exploration.schedules == 3


def test_a_check_may_fail_as_a_test_does(tmp_path: Path) -> None:
    result = stress.explore([add, add], laid_out(tmp_path), lambda _: pytest.fail("no"), runs=tmp_path, schedules=1)
    assert result.findings[0].message == "the check raised Failed: no"


def test_a_wait_for_a_lock_whose_time_runs_out_is_shown(tmp_path: Path) -> None:
    agents = ["exec 9>l; flock 9; sleep 5; echo >count", "exec 9>l; flock -w 1 9; cat count"]
    shared = laid_out(tmp_path)
    result = stress.explore(agents, shared, lambda _, ran: not ran.interrupted, schedules=50, runs=tmp_path / "kept")
    assert result.exploration is not None
    assert "lock l: a signal ends the wait" in " ".join("".join(result.exploration.table).split())


@pytest.mark.parametrize(
    ("check", "takes"),
    [
        (lambda shared: True, False),
        (lambda shared, ran: True, True),
        (lambda shared, ran=None: True, True),
        (lambda *all: True, False),
        (lambda shared, *more: True, True),
        (lambda shared, strict=True: True, False),
        (lambda shared, *, strict=True: True, False),
        (partial(lambda limit, shared: True, 3), False),
        (os.path.isdir, False),
        (bool, False),
    ],
)
def test_a_check_is_given_what_it_takes(check: Callable[..., object], takes: bool) -> None:
    assert _takes_ran(check) is takes


def test_functions_are_explored_too(tmp_path: Path) -> None:
    assert explored(tmp_path, [add, add], schedules=20).verdict is Verdict.FAIL


def test_an_exit_status_is_a_finding_unless_it_may_be(tmp_path: Path) -> None:
    agents = [["bash", "-c", LOCKED_ADD], ["bash", "-c", f"{LOCKED_ADD}; echo no >&2; exit 3"]]
    result = explored(tmp_path, agents, schedules=1)
    assert [finding.message for finding in result.findings] == ["agent2 ended with 3: no"]
    assert explored(tmp_path, agents, schedules=1, may_fail=True).verdict is Verdict.PASS


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"scheduler": "luck"}, "is no scheduler"),
        ({"schedules": None}, "would have no end"),
        ({"depth": 0}, "--depth"),
        ({"duration": "soon"}, "duration: 'soon' is not a duration"),
        ({"check": "two"}, "is no function"),
        ({"replay": "nowhere"}, "can't be read"),
        ({"replay": __file__}, "is no JSON"),
        ({"agents": [5]}, "is no program"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    given: dict[str, Any] = {"agents": [add, add], "check": is_two, **options}
    with pytest.raises(UsageError, match=said):
        stress.explore(shared=laid_out(tmp_path), **given)


def test_the_fixture(explore: Callable[..., Result]) -> None:
    explore([["sh", "-c", LOCKED_ADD]] * 2, shared={"count": "0"}, check=is_two, schedules=3)
    with pytest.raises(pytest.fail.Exception, match="check-failed"):
        explore([add, add], shared={"count": "0"}, check=is_two, schedules=20)
