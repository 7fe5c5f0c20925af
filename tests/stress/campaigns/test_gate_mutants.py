"""The project's own gate fails for helpers that are broken: each mutant is a copy with one thing wrong.

One of them is run by default; all with ``STRESS_MUTANTS=all``, which takes some minutes.
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
        "            self.with_temp(content, target, self._rename)\n",
        "            self.with_temp(b'', target, self._rename)\n"
        "            fd = os.open(self.place.name, os.O_WRONLY, dir_fd=self.place.fd)\n"
        "            content(fd) if callable(content) else os.write(fd, content)\n            os.close(fd)\n",
    ),
    "no lock in Python": ("_lock.py", "                fcntl.flock(hold.fd, _TRY)\n", "                pass\n"),
    "no lock in Bash": ("shell/atomicops.pl", "(flock(L, 6) || lock_busy()) ? stat L", "1 ? stat L"),
    "the lock is given back before the rename": (
        "_replace.py",
        "        self.hold.prove(place)\n",
        "        self.hold.prove(place)\n        unlock(self.hold.fd)\n",
    ),
    "an update reads before it has the lock": (
        "_json.py",
        "    with Writer(path, durability, timeout, make_parents=not is_needed, must_exist=is_needed) as writer:\n"
        "        content = writer.read()\n",
        "    import pathlib\n    early = pathlib.Path(path).read_bytes()\n"
        "    with Writer(path, durability, timeout, make_parents=not is_needed, must_exist=is_needed) as writer:\n"
        "        content = early\n",
    ),
    "append to whatever has the name, without the lock": (
        "_append.py",
        "    with Writer(target_path, durability, timeout) as writer:\n        _check(writer, data, in_place)\n",
        '    with open(target_path, "ab") as file:\n        file.write(data)\n    return\n'
        "    with Writer(target_path, durability, timeout) as writer:\n        _check(writer, data, in_place)\n",
    ),
    "a record is appended twice": (
        "_append.py",
        "    write_all(fd, data)\n\n\ndef _check",
        "    write_all(fd, data)\n    write_all(fd, data)\n\n\ndef _check",
    ),
    "the mode is lost": (
        "_replace.py",
        "copy_attributes(self.given, fd, mine, source.fileno(), status, names)\n",
        "os.fchmod(fd, 0o600)\n",
    ),
    "temporary files stay after a failure": (
        "_replace.py",
        "                    os.unlink(name, dir_fd=place.fd)\n",
        "                    pass\n",
    ),
    "recovery takes the oldest backup": (
        "_recover.py",
        "    for copy in there:\n",
        "    for copy in reversed(there):\n",
    ),
    "recovery does not keep the corrupt bytes": (
        "_recover.py",
        "    return os.fsdecode(writer.place.beside(keep_evidence(writer)))\n",
        '    return ""\n',
    ),
    "a read stops after 4 KiB": (
        "_replace.py",
        "    data = os.read(fd, size + 1)\n",
        "    return os.read(fd, 4096)\n    data = os.read(fd, size + 1)\n",
    ),
}
SMOKE = ("an update reads before it has the lock",)


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
