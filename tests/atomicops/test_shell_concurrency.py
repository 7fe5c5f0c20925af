"""Several writers at once, of both languages: every acknowledged change is there, once, and readers see whole files."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHELL = ROOT / "atomicops" / "shell"


def environment() -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("ATOMICOPS_")}
    return {
        **kept,
        "ATOMICOPS_LOCK_TIMEOUT": "100",
        "ATOMICOPS_DURABILITY": "none",
        "PYTHONPATH": str(ROOT),
    }


def bash(text: str, *arguments: str, directory: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        ["bash", "-c", f"set -eu; source '{SHELL}/atomicops.sh'; {text}", "test", *arguments],
        cwd=directory, env=environment(), stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def python(text: str, *arguments: str, directory: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", text, *arguments],
        cwd=directory, env=environment(), stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def acknowledged(processes: list[subprocess.Popen[str]]) -> list[str]:
    said = [process.communicate(timeout=110)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes)
    return [line for text in said for line in text.splitlines()]


APPEND = 'for ((i = 0; i < $2; i++)); do atomic_append "$1 $i" log && echo "$1 $i"; done'
COUNT = "for ((i = 0; i < $1; i++)); do atomic_update n.json .n+=1 && echo; done"


def test_every_acknowledged_append_survives_once(tmp_path: Path) -> None:
    writers = [bash(APPEND, f"w{k}", "8", directory=tmp_path) for k in range(6)]
    said = acknowledged(writers)
    assert len(said) == 48
    assert sorted((tmp_path / "log").read_text().splitlines()) == sorted(said)


def test_every_acknowledged_increment_counts(tmp_path: Path) -> None:
    (tmp_path / "n.json").write_text('{"n": 0}')
    said = acknowledged([bash(COUNT, "5", directory=tmp_path) for k in range(6)])
    assert json.loads((tmp_path / "n.json").read_text()) == {"n": 30}
    assert len(said) == 30


def test_bash_and_python_share_the_lock(tmp_path: Path) -> None:
    (tmp_path / "n.json").write_text('{"n": 0}')
    increment = (
        "import sys, atomicops\n"
        "def more(data):\n    data['n'] += 1\n    return data\n"
        "for _ in range(int(sys.argv[1])):\n    atomicops.update_json('n.json', more, durability='none')\n    print()\n"
    )
    append = (
        "import sys, atomicops\n"
        "for i in range(int(sys.argv[2])):\n"
        "    line = f'{sys.argv[1]} {i}'\n"
        "    atomicops.atomic_append_text(line + '\\n', 'log', durability='none')\n    print(line)\n"
    )
    counters = [python(increment, "40", directory=tmp_path) for _ in range(2)]
    counters += [bash(COUNT, "6", directory=tmp_path) for _ in range(2)]
    assert len(acknowledged(counters)) == 92
    assert json.loads((tmp_path / "n.json").read_text()) == {"n": 92}
    writers = [python(append, f"p{k}", "40", directory=tmp_path) for k in range(2)]
    writers += [bash(APPEND, f"b{k}", "8", directory=tmp_path) for k in range(2)]
    said = acknowledged(writers)
    assert len(said) == 96
    assert sorted((tmp_path / "log").read_text().splitlines()) == sorted(said)


def test_of_many_that_compare_and_swap_one_wins(tmp_path: Path) -> None:
    text = 'atomic_write --if-version absent "$1" f 2>/dev/null && echo "$1" || [[ $? == 76 ]]'
    said = acknowledged([bash(text, str(k), directory=tmp_path) for k in range(8)])
    assert len(said) == 1
    assert (tmp_path / "f").read_text() == said[0] + "\n"


def test_two_recoveries_at_once_agree(tmp_path: Path) -> None:
    (tmp_path / "f.json").write_text("{")
    (tmp_path / "f.json.5.bak").write_text("[5]")
    acknowledged([bash("atomic_recover f.json", directory=tmp_path) for _ in range(4)])
    assert (tmp_path / "f.json").read_text() == "[5]"
    assert len(list(tmp_path.glob("f.json.*.corrupt"))) == 1


def test_readers_see_whole_documents(tmp_path: Path) -> None:
    text = 'for k in 1 2 3 4 5 6; do printf -v long "%0*d" $((k * 9000)) 0; atomic_write "[\\"$long\\"]" f.json; done'
    (tmp_path / "f.json").write_text("[0]")
    writers = [bash(text, directory=tmp_path) for _ in range(3)]
    reads = 0
    while any(writer.poll() is None for writer in writers):
        json.loads((tmp_path / "f.json").read_bytes())
        reads += 1
    acknowledged(writers)
    assert reads > 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [".f.json.lock", "f.json"]


@pytest.mark.parametrize(
    ("inode", "start", "length", "is_torn"),
    [(0, 6, 5, True), (0, 6, 3, True), (0, 6, 2, False), (0, 8, 5, False), (0, 9, 5, False), (1, 6, 5, False)],
)
def test_a_torn_end_of_pythons_append_in_place_is_cut_off(
    tmp_path: Path, inode: int, start: int, length: int, is_torn: bool
) -> None:
    """And nothing else is: a write that was finished, or not begun, or the mark of a file that this is a copy of."""
    log = tmp_path / "log"
    log.write_bytes(b"whole\nto")
    mark = (log.stat().st_ino + inode, start, length)
    try:
        os.setxattr(log, "user.atomicops.append", b"".join(n.to_bytes(8, "big") for n in mark))
    except OSError:
        pytest.skip("no user attributes on this file system")
    acknowledged([bash("atomic_append next log", directory=tmp_path)])
    assert log.read_bytes() == (b"whole\nnext\n" if is_torn else b"whole\ntonext\n")
    assert os.listxattr(log) == []
    kept = tmp_path.glob("log.*.corrupt")  # in case somebody without the lock wrote it
    assert [path.read_bytes() for path in kept] == ([b"to"] if is_torn else [])


def test_a_torn_end_of_json_is_cut_off_before_it_is_checked(tmp_path: Path) -> None:
    file = tmp_path / "s.json"
    file.write_bytes(b"[1]\nx")
    try:
        os.setxattr(file, "user.atomicops.append", b"".join(n.to_bytes(8, "big") for n in (file.stat().st_ino, 4, 5)))
    except OSError:
        pytest.skip("no user attributes on this file system")
    acknowledged([bash("atomic_append '' s.json", directory=tmp_path)])
    assert file.read_bytes() == b"[1]\n\n"
