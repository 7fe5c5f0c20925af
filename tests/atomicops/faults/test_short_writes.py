"""Writes that take only a part: normal near a quota or a file size limit, and no error; then the disk is full.

A library that is loaded before libc lets write(2) and copy_file_range(2) take 5 bytes at most, and fails them with
ENOSPC when so many have been taken.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.atomicops.both import LANGUAGES, Helpers
from tests.atomicops.faults.scene import OPERATIONS, READS, Scene

LIBRARY = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/types.h>
#define PART 5
static long room = -1;
/* How much of it goes; -1 when there is no room. Only regular files, and not the messages. */
static ssize_t part(int fd, size_t length) {
  struct stat status;
  if (fd == 2 || fstat(fd, &status) || !S_ISREG(status.st_mode)) return length;
  if (room == -1) room = getenv("ROOM") ? atol(getenv("ROOM")) : 1L << 40;
  if (room == 0 && length) { errno = ENOSPC; return -1; }
  ssize_t some = length < PART ? length : PART;
  if (some > room) some = room;
  room -= some;
  return some;
}
ssize_t write(int fd, const void *data, size_t length) {
  ssize_t some = part(fd, length);
  return some < 0 ? some : ((ssize_t (*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write"))(fd, data, some);
}
ssize_t copy_file_range(int from, off64_t *at, int to, off64_t *there, size_t length, unsigned flags) {
  ssize_t some = part(to, length);
  if (some < 0) return some;
  return ((ssize_t (*)(int, off64_t *, int, off64_t *, size_t, unsigned))dlsym(RTLD_NEXT, "copy_file_range"))(
      from, at, to, there, some, flags);
}
"""
WRITERS = [name for name in OPERATIONS if name not in (*READS, "prune", "sweep")]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler")
    folder = tmp_path_factory.mktemp("short")
    (folder / "short.c").write_text(LIBRARY)
    command = [compiler, "-shared", "-fPIC", "-w", "-o", "short.so", "short.c", "-ldl"]
    if subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode:
        pytest.skip("cannot compile a library to load before others")
    return folder / "short.so"


def run(scene: Scene, language: str, library: Path, **more: str) -> tuple[int, str]:
    helpers = Helpers(prefix=("env", f"LD_PRELOAD={library}", *(f"{name}={value}" for name, value in more.items())))
    operation = scene.operation
    command = [helpers.python, "-m", "atomicops", *operation.python]
    if language == "bash":
        command = ["bash", "-c", '. "$0/atomicops.sh"; "$@"; exit', str(helpers.shell), *operation.bash]
    done = helpers.run(command, cwd=scene.place, stdin=(scene.folder / "io" / "input").read_bytes())
    return done.code, done.err


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", WRITERS)
def test_a_short_write_goes_on(tmp_path: Path, library: Path, name: str, language: str) -> None:
    if language == "bash" and not OPERATIONS[name].bash:
        pytest.skip("Bash has no such operation")
    if name == "write, attributes" and os.geteuid() != 0:
        pytest.skip("to give a file to another user takes root")
    scene = Scene(tmp_path / "run", OPERATIONS[name])
    assert run(scene, language, library) == (0, "")
    assert scene.state() == "new"


@pytest.mark.parametrize("room", [0, 4, 12])
@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", WRITERS)
def test_a_disk_that_is_full_after_a_part(tmp_path: Path, library: Path, name: str, language: str, room: int) -> None:
    if language == "bash" and not OPERATIONS[name].bash:
        pytest.skip("Bash has no such operation")
    if name in ("create", "swap", "write through a link", "write, attributes") and room != 4:
        pytest.skip("as write")
    if name in ("recover", "update") and room > 6:
        pytest.skip("that is room for the evidence, or for the whole of it")
    if (name, language) == ("backup", "bash"):
        pytest.skip("Perl asks the kernel to copy without going through libc")
    scene = Scene(tmp_path / "run", OPERATIONS[name])
    code, message = run(scene, language, library, ROOM=str(room))
    if name == "update" and code == 65:
        assert "jq" in message  # whose output is short
    else:
        assert code == 74
        assert "free some space" in message
    assert scene.state() == "old"
    assert [one for one in os.listdir(scene.place) if one.endswith("-tmp")] == []
