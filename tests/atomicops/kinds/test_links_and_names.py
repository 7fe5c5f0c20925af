"""The lock goes by name, the data by inode: links of both kinds, names of any length, scripts by another way."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from atomicops import _paths, atomic_append_text, atomic_write_text
from tests.atomicops.both import LANGUAGES, Helpers

HELPERS = Helpers()


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("operation", ["write", "append", "update"])
def test_a_file_of_several_names_is_not_replaced_in_silence(tmp_path: Path, language: str, operation: str) -> None:
    """The others would keep the old content: refused, and the message says how many names, and what to do."""
    path, other = tmp_path / "s.json", tmp_path / "other"
    path.write_text('{"n": 1}')
    other.hardlink_to(path)
    if operation == "update":
        done = HELPERS.increment(language, "s.json", tmp_path)
    else:
        done = HELPERS.call(language, operation, "2" if operation == "write" else " ", "s.json", cwd=tmp_path)
    assert (done.code, done.refused) == (73, True), done
    assert "link" in done.err
    assert path.read_text() == other.read_text() == '{"n": 1}'
    assert path.stat().st_ino == other.stat().st_ino


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_does_not_replace_it_goes_on(tmp_path: Path, language: str) -> None:
    (tmp_path / "s.json").write_text('{"n": 1}')
    (tmp_path / "other").hardlink_to(tmp_path / "s.json")
    for operation in ("read", "backup", "recover"):
        assert HELPERS.call(language, operation, "s.json", cwd=tmp_path).code == 0
    (backup,) = tmp_path.glob("*.bak")
    assert (backup.read_text(), backup.stat().st_nlink) == ('{"n": 1}', 1)


def test_in_place_under_two_names(tmp_path: Path) -> None:
    """Their locks are two; what is acknowledged under either is there, once."""
    (tmp_path / "a.log").write_text("")
    (tmp_path / "b.log").hardlink_to(tmp_path / "a.log")
    code = """if True:
        import sys, atomicops
        for n in range(60):
            atomicops.atomic_append_text(f"{sys.argv[1]} {n}\\n" * 40, sys.argv[1], in_place=True, durability="none")
        """
    children = [
        subprocess.Popen([HELPERS.python, "-c", code, name], cwd=tmp_path, env=HELPERS.environment())
        for name in ("a.log", "b.log", "a.log")
    ]
    assert [child.wait(60) for child in children] == [0, 0, 0]
    lines = (tmp_path / "a.log").read_text().splitlines()
    assert len(lines) == 3 * 60 * 40
    assert list(tmp_path.glob("*.corrupt")) == []
    for name, times in (("a.log", 2), ("b.log", 1)):
        assert all(lines.count(f"{name} {n}") == 40 * times for n in range(60))


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_symlink_leads_to_the_file_and_its_lock(tmp_path: Path, language: str) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link.json").symlink_to("second.json")
    (tmp_path / "second.json").symlink_to("real/s.json")
    assert HELPERS.call(language, "write", '{"n": 1}', "link.json", cwd=tmp_path).code == 0  # it dangles so far
    assert HELPERS.increment(language, "link.json", tmp_path).code == 0
    assert json.loads((tmp_path / "real" / "s.json").read_text()) == {"n": 2}
    assert (tmp_path / "link.json").is_symlink()
    assert {name for name in os.listdir(tmp_path) if name.endswith(".lock")} == set()
    assert (tmp_path / "real" / ".s.json.lock").exists()


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("length", [143, 180, 181, 255])
def test_a_long_name(tmp_path: Path, language: str, length: int) -> None:
    name = ("é" * length)[: (length - 5) // 2] + "x" * (length - 5 - 2 * ((length - 5) // 2)) + ".json"
    assert len(os.fsencode(name)) == length
    assert HELPERS.call(language, "write", '{"n": 1}', name, cwd=tmp_path).code == 0
    other = LANGUAGES[language == "python"]
    assert HELPERS.increment(other, name, tmp_path).code == 0
    assert json.loads((tmp_path / name).read_text()) == {"n": 2}
    locks = [one for one in os.listdir(tmp_path) if one.endswith(".lock")]
    assert len(locks) == 1, "the languages have different locks"
    done = HELPERS.call(language, "backup", name, "s", cwd=tmp_path)
    assert done.code == 0 or (length > 200 and done.refused), done


SHORT_NAMES = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
/* A file system whose names have 143 bytes at most, as eCryptfs. */
static int too_long(const char *path) {
  const char *slash = strrchr(path, '/');
  if (strlen(slash ? slash + 1 : path) <= 143) return 0;
  errno = ENAMETOOLONG;
  return 1;
}
#define REAL(name, ...) ((int (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name))
#define OPEN(name, parameters, types, arguments) \
  int name parameters { \
    va_list list; va_start(list, flags); int mode = va_arg(list, int); va_end(list); \
    return too_long(path) ? -1 : REAL(#name, types) arguments; \
  }
#define TWO(name, parameters, types, arguments) \
  int name parameters { return too_long(path) ? -1 : REAL(#name, types) arguments; }
#define TYPES(...) __VA_ARGS__
OPEN(openat64, (int at, const char *path, int flags, ...), TYPES(int, const char *, int, ...), (at, path, flags, mode))
OPEN(open64, (const char *path, int flags, ...), TYPES(const char *, int, ...), (path, flags, mode))
int openat(int, const char *, int, ...) __attribute__((alias("openat64")));
int open(const char *, int, ...) __attribute__((alias("open64")));
TWO(rename, (const char *from, const char *path), TYPES(const char *, const char *), (from, path))
TWO(link, (const char *from, const char *path), TYPES(const char *, const char *), (from, path))
TWO(renameat, (int a, const char *from, int b, const char *path), TYPES(int, const char *, int, const char *),
    (a, from, b, path))
TWO(linkat, (int a, const char *from, int b, const char *path, int f), TYPES(int, const char *, int, const char *, int),
    (a, from, b, path, f))
"""


@pytest.fixture(scope="module")
def short_names(tmp_path_factory: pytest.TempPathFactory) -> Helpers:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler")
    folder = tmp_path_factory.mktemp("shim")
    (folder / "shim.c").write_text(SHORT_NAMES)
    command = [compiler, "-shared", "-fPIC", "-w", "-o", "shim.so", "shim.c", "-ldl"]
    if subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode:
        pytest.skip("cannot compile a library to load before others")
    return Helpers(prefix=("env", f"LD_PRELOAD={folder}/shim.so"))


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("length", [120, 143])
def test_a_file_system_of_short_names(tmp_path: Path, short_names: Helpers, language: str, length: int) -> None:
    name = "a" * (length - 5) + ".json"
    (tmp_path / name).write_text('{"n": 1}')
    assert short_names.increment(language, name, tmp_path).code == 0
    assert short_names.increment(LANGUAGES[language == "python"], name, tmp_path).code == 0
    assert json.loads((tmp_path / name).read_text()) == {"n": 3}
    log = name.replace(".json", ".logs")
    assert short_names.call(language, "append", "x", log, cwd=tmp_path).code == 0
    locks = [one for one in os.listdir(tmp_path) if one.endswith(".lock")]
    assert len(locks) == 2, locks
    done = short_names.call(language, "backup", name, cwd=tmp_path)
    assert done.code == 0 or (length > 130 and done.refused), done
    assert [one for one in os.listdir(tmp_path) if one.endswith("-tmp")] == []


@pytest.mark.parametrize("way", ["a symlink", "a symlink to a symlink", "a linked folder", "PATH", "its own folder"])
def test_the_script_by_another_way(tmp_path: Path, way: str) -> None:
    script = HELPERS.shell / "atomic-write.sh"
    link = tmp_path / "bin" / "atomic-write"
    link.parent.mkdir()
    cwd, command, env = tmp_path, [str(link)], None
    if way == "a linked folder":
        (tmp_path / "folder").symlink_to(HELPERS.shell)
        command = ["bash", "folder/atomic-write.sh"]
    elif way == "its own folder":
        command = ["bash", "-c", f'cd "{HELPERS.shell}" && exec bash atomic-write.sh "$1" "{tmp_path}/$2"', "x"]
    else:
        link.symlink_to(script if way != "a symlink to a symlink" else "again")
        (link.parent / "again").symlink_to(script)
    if way == "PATH":
        command, env = ["atomic-write"], {"PATH": f"{link.parent}:{os.environ['PATH']}"}
    for name in ("t.txt", "t.json"):
        done = HELPERS.run([*command, '{"n":1}', name], cwd=cwd, env=env)
        assert (done.code, done.err) == (0, ""), done
        assert (tmp_path / name).read_text() == '{"n":1}\n'


@pytest.mark.parametrize("way", ["symlink", "cd"])
def test_the_functions_by_another_way(tmp_path: Path, way: str) -> None:
    """Sourced by a relative name or a symlink, and used after a change of directory."""
    (tmp_path / "lib.sh").symlink_to(HELPERS.shell / "atomicops.sh")
    (tmp_path / "work").mkdir()
    source = ". ./lib.sh" if way == "symlink" else f'cd "{HELPERS.shell}"; . ./atomicops.sh; cd "$OLDPWD"'
    done = HELPERS.bash(f"{source}; cd work; atomic_write '{{}}' s.json && atomic_recover s.json", cwd=tmp_path)
    assert done.code == 0, done
    assert (tmp_path / "work" / "s.json").read_text() == "{}\n"


def test_a_folder_that_is_renamed_meanwhile(tmp_path: Path) -> None:
    """All steps of an operation are in one directory, whatever it is called by now."""
    folder = tmp_path / "a"
    folder.mkdir()
    atomic_write_text("[]", folder / "s.json")
    from atomicops import update_json

    def change(document: list[int]) -> list[int]:
        folder.rename(tmp_path / "b")
        folder.mkdir()
        return [1]

    try:
        update_json(folder / "s.json", change)
    except OSError:
        assert (tmp_path / "b" / "s.json").read_text() == "[]"
    else:
        assert json.loads((tmp_path / "b" / "s.json").read_text()) == [1]
    assert os.listdir(folder) == []
    assert [name for name in os.listdir(tmp_path / "b") if name.endswith("-tmp")] == []
    atomic_append_text("x", tmp_path / "b" / "log")


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("operation", ["write", "append", "backup"])
@pytest.mark.parametrize("name", [".s.json.lock", f".s.json.{'0123456789abcdef' * 2}.atomicops-tmp"])
def test_what_the_helpers_made_is_no_target(tmp_path: Path, language: str, operation: str, name: str) -> None:
    """A lock that is replaced excludes nobody; and what is named as a temp file, the next sweep deletes."""
    (tmp_path / "s.json").write_text("{}")
    (tmp_path / name).touch()
    before = (tmp_path / name).stat()
    done = HELPERS.call(language, operation, *(["2"] if operation != "backup" else []), name, cwd=tmp_path)
    assert (done.code, done.refused) == (73, True), done
    after = (tmp_path / name).stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    assert sorted(os.listdir(tmp_path)) == sorted(["s.json", name])


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", [".app.lock", ".env", ".s.json.lock.old", ".s.json.0123456789abcdef.atomicops-tmp"])
def test_what_only_looks_alike_is_one(tmp_path: Path, language: str, name: str) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "s.json").write_text("{}")
    assert HELPERS.call(language, "write", "2", name, cwd=tmp_path).code == 0
    assert (tmp_path / name).read_text().strip() == "2"


def test_a_directory_with_a_path_that_no_call_takes(tmp_path: Path) -> None:
    """A file is named from where one is. Only what the shell is to open again needs the whole path: refused."""
    script = """
        . "$0/atomicops.sh"
        for _ in {1..20}; do mkdir "$1" && cd "$1" || exit 99; done
        "$2" -m atomicops write 1 s.json || exit 98
        atomic_update s.json '. + 1' || exit 97
        with_lock s.json true
        echo $?
        cat s.json
        ls -A
        """
    done = HELPERS.bash(script, "d" * 250, HELPERS.python, cwd=tmp_path, env={"ATOMICOPS_DURABILITY": "none"})
    assert done.out == "73\n2\n.s.json.lock\ns.json\n", done
    assert done.err.count("\n") == 1


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("operation", ["write", "append", "backup"])
@pytest.mark.parametrize("what", ["a deleted file", "a pipe"])
def test_what_has_no_name_is_no_target(tmp_path: Path, language: str, operation: str, what: str) -> None:
    """The link in /proc tells of one, and a file of that name would be another file: `x.json (deleted)`."""
    if what == "a pipe":
        ends = os.pipe()
    else:
        ends = (os.open(tmp_path / "x", os.O_RDWR | os.O_CREAT), os.open(tmp_path / "x", os.O_RDWR))
        (tmp_path / "x").unlink()
    try:
        (tmp_path / "link").symlink_to(f"/proc/{os.getpid()}/fd/{ends[-1]}")
        arguments = ["link"] if operation == "backup" else ["1", "link"]
        done = HELPERS.call(language, operation, *arguments, cwd=tmp_path)
        assert (done.code, done.refused) == (73, True), done
        assert "without a name" in done.err if what == "a deleted file" else "not a regular file" in done.err
    finally:
        for fd in ends:
            os.close(fd)
    assert os.listdir(tmp_path) == ["link"]


def test_what_a_link_leads_to_is_made_by_another_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look that does not find it and the one that asks whether it has a name."""
    link = tmp_path / "link"
    link.symlink_to("x")
    stat = os.stat

    def make(path: Any, *arguments: Any, **options: Any) -> os.stat_result:
        if path == str(link):
            (tmp_path / "x").write_text("another's")
        return stat(path, *arguments, **options)

    monkeypatch.setattr(os, "stat", make)
    atomic_write_text("ours", link)
    assert (tmp_path / "x").read_text() == "ours"


def test_the_root_directory_is_called_so() -> None:
    with _paths.locate("/no such file") as place:
        assert place.show() == "/"
