"""The project's own gate fails for helpers that are broken: each mutant is a copy with one thing wrong.

Two of them are run by default; all with ``STRESS_MUTANTS=all``, which takes some minutes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

MUTANTS = {
    "no loop over short writes": (
        "_replace.py",
        "    while left:\n        left = left[os.write(fd, left) :]\n",
        "",
    ),
    "rename before the content is written": (
        "_replace.py",
        "        name = self.make_temp(fill, like)\n        try:\n            self._rename(name)\n",
        "        name = self.make_temp(lambda fd: None, like)\n        try:\n            self._rename(name)\n"
        "            fd = os.open(self.place.name, os.O_WRONLY, dir_fd=self.place.fd)\n"
        "            fill(fd)\n            os.close(fd)\n",
    ),
    "no lock in Python": (
        "_lock.py",
        '    """Get the lock, or raise LockTimeout."""\n',
        '    """Get the lock, or raise LockTimeout."""\n    return\n',
    ),
    "no lock in Bash": (
        "shell/atomicops.sh",
        "    flock L, 6 or wait_for_lock();\n",
        "",
    ),
    "the lock file is unlinked on release": (
        "_lock.py",
        "            pass  # closing it will do\n        finally:\n",
        "            pass  # closing it will do\n        finally:\n"
        '            lock = os.readlink(f"/proc/self/fd/{fd}")\n'
        "            if os.path.exists(lock):\n                os.unlink(lock)\n",
    ),
    "an update reads before it has the lock": (
        "_json.py",
        "    with Writer(path, durability, timeout, make_parents=default is not _MISSING) as writer:\n"
        "        content = read_bytes(writer.place)\n",
        "    import pathlib\n    early = pathlib.Path(path).read_bytes()\n"
        "    with Writer(path, durability, timeout, make_parents=default is not _MISSING) as writer:\n"
        "        content = early\n",
    ),
    "append to whatever has the name, without the lock": (
        "_append.py",
        "    with Writer(target_path, durability, timeout) as writer:\n        _check(writer, data)\n",
        '    with open(target_path, "ab") as file:\n        file.write(data)\n    return\n'
        "    with Writer(target_path, durability, timeout) as writer:\n        _check(writer, data)\n",
    ),
    "a record is appended twice": (
        "_append.py",
        "    write_all(fd, data)\n\n\ndef _open",
        "    write_all(fd, data)\n    write_all(fd, data)\n\n\ndef _open",
    ),
    "the mode is lost": (
        "_replace.py",
        "                    _attributes.copy(place, fd, status, model)\n",
        "                    os.fchmod(fd, 0o600)\n",
    ),
    "temporary files stay after a failure": (
        "_replace.py",
        "        if not name:\n            return\n        try:\n            os.unlink",
        "        return\n        try:\n            os.unlink",
    ),
    "recovery takes the oldest backup": (
        "_recover.py",
        "    for copy in copies(writer.place, BACKUP_END):\n",
        "    for copy in reversed(copies(writer.place, BACKUP_END)):\n",
    ),
    "recovery does not keep the corrupt bytes": (
        "_recover.py",
        "    return os.fsdecode(writer.place.beside(keep_evidence(writer)))\n",
        '    return ""\n',
    ),
    "a read stops after 4 KiB": (
        "_replace.py",
        "    data = os.read(fd, size_hint + 1)\n",
        "    return os.read(fd, 4096)\n    data = os.read(fd, size_hint + 1)\n",
    ),
}
SMOKE = ("an update reads before it has the lock", "recovery takes the oldest backup")


def _gate(folder: Path, *more: str) -> tuple[subprocess.CompletedProcess[str], float]:
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "stress", "gate", "--config", str(ROOT / "pyproject.toml"), *more],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder / "lib"), "CI": "true"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return done, time.monotonic() - began


@pytest.mark.parametrize("name", MUTANTS if os.environ.get("STRESS_MUTANTS") == "all" else SMOKE)
def test_the_gate_fails_for_a_mutant(name: str, tmp_path: Path) -> None:
    path, old, new = MUTANTS[name]
    copy = tmp_path / "lib" / "atomicops"
    shutil.copytree(ROOT / "atomicops", copy, ignore=shutil.ignore_patterns("__pycache__"))
    text = (copy / path).read_text(encoding="utf-8")
    assert text.count(old) >= 1, "the mutant no longer fits the code"
    (copy / path).write_text(text.replace(old, new), encoding="utf-8")
    # The campaign that sees it is enough by default; the whole gate where all mutants are run.
    only = () if os.environ.get("STRESS_MUTANTS") == "all" else ("--only", "helpers")
    done, seconds = _gate(tmp_path, *only)
    assert done.returncode == 1, done.stdout + done.stderr
    failed = [line for line in done.stdout.splitlines() if line.startswith("FAIL  campaign")]
    assert failed, done.stdout
    print(f"{name}: {seconds:.1f} s: {failed[0]}")


def test_every_mutant_fits_the_code() -> None:
    for name, (path, old, _) in MUTANTS.items():
        assert (ROOT / "atomicops" / path).read_text(encoding="utf-8").count(old) >= 1, name
