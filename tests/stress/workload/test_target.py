"""Targets: a module, a file of Bash functions, a file of commands; each mistake is one line that says what would do."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from stress.execution.drivers.shell import environment, probe, write_commands
from stress.workload.target import TargetError, load


def _toml(tmp_path: Path, text: str) -> str:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("write = ", "not TOML"),
        (f"write = {'[' * 2000}", "not TOML"),
        (f"write = {'9' * 5000}", "not TOML"),
        ("", "no command"),
        ("wirte = 'x {path}'", "'wirte'"),
        ("write = 3", "command line in quotes"),
        ("write = 'tee file'", "{path}"),
        ("update = 'jq . {path}'", "{filter}"),
        ("write = 'tee {path}'\ndefinite_failures = [0]", "1 to 255"),
        ("write = 'tee {path}'\nresidue = 'x'", "list"),
        ("write = 'tee {path}'\nobserve = 1", "observe must be true, or false"),
        ("write = 'tee {path}'\nobserve = false", "where there is a read"),
    ],
)
def test_a_bad_file_of_commands_says_what_is_wrong(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(TargetError) as raised:
        load(_toml(tmp_path, text))
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)


def test_commands_may_say_that_the_file_is_not_the_document(tmp_path: Path) -> None:
    text = "write = 'gzip >{path}'\nread = 'gzip -dc {path}'\nobserve = false"
    assert not load(_toml(tmp_path, text)).observe


@pytest.mark.parametrize("name", ["nosuch", "no/such.py", "nosuch.toml", "atomic_ops", ""])
def test_an_unknown_target_is_told_with_what_there_is(name: str) -> None:
    with pytest.raises(TargetError):
        load(name)


def test_commands_become_functions_that_quote_what_they_are_given(tmp_path: Path) -> None:
    text = "write = 'true && cat >{path} && true'\nupdate = 'echo {filter} >{path}'\ndefinite_failures = [3, 75]"
    target = load(_toml(tmp_path, text))
    source = write_commands(target, tmp_path)
    assert source is not None
    operations, needs = probe(source, environment())
    assert operations == {"write", "update"}
    assert not needs
    content, program = tmp_path / "in", tmp_path / "filter"
    content.write_text("some bytes\n")
    program.write_text('. + {"a b": "$x `y`"}')
    odd = "odd * name; $(x)"
    script = 'source "$1"; target_write "$2" "$3"; target_update "$2.u" "$4"; echo "${TARGET_DEFINITE[@]}"'
    done = subprocess.run(
        ["bash", "-c", script, "bash", str(source), odd, str(content), str(program)],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert (tmp_path / odd).read_text() == "some bytes\n"
    assert (tmp_path / f"{odd}.u").read_text() == '. + {"a b": "$x `y`"}\n'
    assert done.stdout.split() == ["3", "75"]


def test_a_module_may_import_its_neighbours_and_says_what_it_expects(tmp_path: Path) -> None:
    (tmp_path / "neighbour_of_mine.py").write_text("VALUE = 'from next door'\n")
    path = tmp_path / "mine.py"
    path.write_text(
        "from neighbour_of_mine import VALUE as ABOUT\n"
        "EXPECTS = ('torn-read',)\nRESIDUE = ('*.x',)\ndef read(path): ...\n"
    )
    target = load(str(path))
    assert (target.name, target.about, target.expects) == ("mine", "from next door", ("torn-read",))
    assert target.operations == {"read"}
    assert target.is_residue("a.x")
    assert target.is_residue(".state.json.lock")
    assert not target.is_residue("state.json.tmp.Xy12")


def test_a_bash_file_that_cannot_be_sourced_is_told(tmp_path: Path) -> None:
    broken = tmp_path / "mine.bash"
    broken.write_text("target_write() {\n")
    with pytest.raises(TargetError, match="could not be sourced"):
        probe(broken, environment())


def test_a_store_whose_file_is_not_the_document_says_so_and_needs_a_reader(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("OBSERVE = False\ndef read(path): ...\ndef write(path, document): ...\n")
    assert not load(str(path)).observe
    other = tmp_path / "other.py"
    other.write_text("OBSERVE = False\ndef write(path, document): ...\n")
    with pytest.raises(TargetError, match=r"OBSERVE = False and has no read"):
        load(str(other))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("async def write(path, document): pass", "write is a coroutine"),
        ("def update(path, change): yield", "update is a generator"),
        ("def write(path, document): pass\ndef lock(path): yield", "contextlib.contextmanager"),
    ],
)
def test_an_operation_that_does_nothing_when_it_is_called_is_refused(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "mine.py"
    path.write_text(text)
    with pytest.raises(TargetError, match=words):
        load(str(path))


def test_of_a_store_only_temp_files_are_left_behind(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("OBSERVE = False\ndef read(path): pass")
    store = load(str(path))
    assert store.is_residue("a.json.shelf.dat")
    assert not store.is_residue(".tmp.a.json")
    path.write_text("def read(path): pass")
    assert not load(str(path)).is_residue("a.json.shelf.dat")


def test_a_module_that_stops_the_clock_is_refused_and_the_clock_goes_on(tmp_path: Path) -> None:
    clock = time.monotonic
    (tmp_path / "frozen.py").write_text("import time\ntime.monotonic = lambda: 0.0\n\ndef read(path): ...\n")
    with pytest.raises(TargetError, match=r"replaces time\.monotonic"):
        load(str(tmp_path / "frozen.py"))
    assert time.monotonic is clock
