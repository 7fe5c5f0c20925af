"""Root of a container sees owners and groups that have no number there as 65534: what it replaces must stay theirs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.atomicops.both import LANGUAGES, PACKAGE
from tests.atomicops.users.people import ALICE, BOB, SHARED, Installed, acl

FIRST = 100_000
"""What the namespace calls 0 is this outside, and so on."""
NOBODY = FIRST + 65_534
LISTED = 0o10000
"""With a mode: somebody has an entry in a list beside it."""
AS_ROOT_OF_A_NAMESPACE = f"""
import ctypes, os, sys
from atomicops import update_json
import pwd
language, folder, group = sys.argv[1:]
(ready, tell), (mapped, go) = os.pipe(), os.pipe()
child = os.fork()
if child == 0:
    os.setgroups([int(group)])
    if ctypes.CDLL(None).unshare(0x10000000) != 0:  # CLONE_NEWUSER
        os._exit(99)
    os.write(tell, b"1")
    os.read(mapped, 1)
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    if language == "bash":
        os.execvp("bash", ["bash", "-c", '. "$0/atomicops.sh"; atomic_update s.json .n+=1', folder])
    try:
        update_json("s.json", lambda document: {{"n": document["n"] + 1}})
    except PermissionError as error:
        print(error, file=sys.stderr)
        os._exit(73)
    os._exit(0)
os.close(tell)
if os.read(ready, 1):
    for what in "ug":
        with open(f"/proc/{{child}}/{{what}}id_map", "w") as file:
            file.write("0 {FIRST} 65536")
    os.write(go, b"1")
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    ("owner", "group", "mode", "directory_mode", "code"),
    [
        (ALICE.uid, SHARED, 0o664, 0o777, 73),
        (ALICE.uid, SHARED, 0o666, 0o777, 0),
        (FIRST, SHARED, 0o660, 0o777, 73),
        (FIRST, SHARED, 0o604, 0o777, 73),
        (FIRST, SHARED, 0o600, 0o777, 0),
        (FIRST, SHARED, 0o660, 0o2777, 0),
        (NOBODY, NOBODY, 0o640, 0o777, 0),
        (ALICE.uid, SHARED, 0o666 | LISTED, 0o777, 73),
    ],
    ids=[
        "another's",
        "everybody's",
        "a group's",
        "not a group's",
        "its own",
        "by the folder",
        "nobody's",
        "with a list",
    ],
)
def test_who_has_no_number_there_keeps_his_rights(
    installed: Installed, place: Path, language: str, owner: int, group: int, mode: int, directory_mode: int, code: int
) -> None:
    folder, path = place / "d", place / "d" / "s.json"
    folder.mkdir()
    os.chown(folder, 0, SHARED)
    folder.chmod(directory_mode)
    path.write_text('{"n": 1}')
    os.chown(path, owner, group)
    path.chmod(mode & 0o777)
    if mode & LISTED and not acl(path, f"u:{BOB.uid}:---"):
        pytest.skip("there are no lists of access")
    mode = path.stat().st_mode & 0o777
    done = subprocess.run(
        [sys.executable, "-c", AS_ROOT_OF_A_NAMESPACE, language, str(installed.folder), str(SHARED)],
        cwd=folder, env={**os.environ, "PYTHONPATH": str(PACKAGE.parent)},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    if done.returncode == 99:
        pytest.skip("this container has no user namespaces")
    assert done.returncode == code, done
    status = path.stat()
    assert status.st_mode & 0o777 == mode
    if code:
        assert "user namespace" in done.stderr
        assert (path.read_text(), status.st_uid, status.st_gid) == ('{"n": 1}', owner, group)
        assert (folder / ".s.json.lock").stat().st_mode & 0o777 == 0o666  # nobody is locked out
    else:
        assert status.st_uid == (FIRST if owner == ALICE.uid else owner)
        assert status.st_gid == group or mode >> 3 & 7 == mode & 7
