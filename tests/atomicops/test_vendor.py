"""A vendored folder: works with nothing installed, on every interpreter there is, as the users' guide shows it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from glob import glob
from pathlib import Path

import pytest

import atomicops
from atomicops import _vendor, atomic_file_ops
from tests.atomicops.both import Helpers

CANDIDATES = [
    sys.executable,
    *(f"/usr/bin/python3.{minor}" for minor in range(10, 16)),
    "/usr/bin/python3",
    *sorted(glob(os.path.expanduser("~/.pyenv/versions/3.1[0-9]*/bin/python"))),
]


def interpreters() -> list[str]:
    """Those that start here and are new enough, one of each minor version."""
    found: dict[str, str] = {}
    for path in CANDIDATES:
        try:
            code = "import sys; print('%d.%d' % sys.version_info[:2], sys.version_info >= (3, 10))"
            done = subprocess.run([path, "-S", "-c", code], capture_output=True, text=True, check=False)
        except OSError:
            continue
        version, _, new_enough = done.stdout.strip().partition(" ")
        if new_enough == "True":
            found.setdefault(version, path)
    return list(found.values())


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project that has the helpers in ``scripts``, and a state file."""
    written = _vendor.vendor(tmp_path / "scripts")
    assert all(os.path.isfile(name) for name in written)
    (tmp_path / ".claude").mkdir()
    return tmp_path


def run(interpreter: str, project: Path, code: str) -> subprocess.CompletedProcess[str]:
    """A script of the project, with nothing but the standard library and its own folder to import from."""
    script = project / "scripts" / "harness.py"
    script.write_text(code)
    environment = {"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1", "CLAUDE_PLUGIN_ROOT": str(project)}
    return subprocess.run(
        [interpreter, "-E", "-s", "-S", str(script)],
        cwd=project, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


EVERY_HELPER = """
import atomic_file_ops, atomicops, os, sys
here = os.path.dirname(os.path.abspath(__file__))
assert os.path.dirname(os.path.dirname(os.path.abspath(atomicops.__file__))) == here, atomicops.__file__
from atomic_file_ops import *
atomic_write_json({"n": 1}, "x.json")
with file_lock("x.json"):
    update_json("x.json", lambda d: {"n": d["n"] + 1})
data, version = read_json("x.json")
atomic_write_json(data, "x.json", if_version=version)
atomic_append_text("a\\n", "log")
atomic_append_text("b\\n", "log", in_place=True)
atomic_write_text("t", "t"), atomic_write_bytes(b"b", "b")
assert create_backup("x.json", "1") == "x.json.1.bak"
assert list_backups("x.json") == ["x.json.1.bak"]
open("x.json", "w").close()
assert recover("x.json").status == "restored"
assert safe_read_json("x.json") == {"n": 2}
assert prune_backups("x.json", keep=0) == ["x.json.1.bak"]
assert sweep_orphans(".").removed == ()
print(sorted(name for name in sys.modules if name in ("typing", "dataclasses", "pathlib", "tempfile", "threading")))
"""


def test_every_helper_works_on_every_interpreter(project: Path) -> None:
    found = interpreters()
    assert found
    for interpreter in found:
        done = run(interpreter, project, EVERY_HELPER)
        assert (done.returncode, done.stderr) == (0, ""), interpreter
        for name in ("x.json", "log"):
            (project / name).unlink()
        done = subprocess.run(
            [interpreter, "-S", "-m", "atomicops", "vendor", "again"],
            cwd=project / "scripts", capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, ""), interpreter
    assert sorted(os.listdir(project / "scripts" / "again")) == sorted(
        [*_vendor.SHELL, "atomic_file_ops.py", "atomicops"]
    )


def test_the_package_may_lie_in_a_zip_file(project: Path) -> None:
    """As a zipapp has it: what is written comes out of the archive, and so do the shell's files."""
    archive = shutil.make_archive(str(project / "packed"), "zip", project / "scripts", "atomicops")
    for words in (["write", "1", "one.json"], ["vendor", "unpacked"]):
        done = subprocess.run(
            [sys.executable, "-S", "-m", "atomicops", *words],
            cwd=project, env=os.environ | {"PYTHONPATH": archive}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
    for name in (*_vendor.SHELL, "atomic_file_ops.py", "atomicops/_lock.py", "atomicops/py.typed"):
        assert (project / "unpacked" / name).read_bytes() == (project / "scripts" / name).read_bytes()


def test_the_front_offers_what_the_package_offers() -> None:
    assert atomic_file_ops.__all__ == atomicops.__all__ == sorted(atomicops.__all__)
    for name in atomicops.__all__:
        assert getattr(atomic_file_ops, name) is getattr(atomicops, name)
    assert dir(atomicops) == atomicops.__all__
    with pytest.raises(AttributeError, match="no attribute 'bogus'"):
        atomicops.bogus  # noqa: B018


def test_the_shell_files_may_be_executed_and_are_the_same(project: Path) -> None:
    source = Path(atomicops.__file__).with_name("shell")
    for name in _vendor.SHELL:
        copy = project / "scripts" / name
        assert copy.read_bytes() == (source / name).read_bytes()
        assert os.access(copy, os.X_OK)
    assert not [name for name in os.listdir(project / "scripts") if name.startswith(".") or name.endswith(".new")]


def test_each_file_says_whose_it_is_and_under_which_licence(project: Path) -> None:
    """A copy is licensed by itself, wherever it gets to."""
    named = [path for path in (project / "scripts").rglob("*") if path.is_file() and path.name != "py.typed"]
    assert len(named) > 30
    line = "# Copyright (c) the atomicops developers. SPDX-License-Identifier: MIT"
    assert [path for path in named if line not in path.read_text().splitlines()[:2]] == []


def test_vendoring_again_replaces_and_leaves_the_rest(project: Path) -> None:
    (project / "scripts" / "mine.py").write_text("mine")
    (project / "scripts" / "atomic_file_ops.py").write_text("old")
    _vendor.vendor(str(project / "scripts"))
    assert (project / "scripts" / "mine.py").read_text() == "mine"
    assert "from atomicops import" in (project / "scripts" / "atomic_file_ops.py").read_text()


def test_it_can_be_loaded_by_its_path_alone(project: Path) -> None:
    code = f"""if True:
        import importlib.util
        spec = importlib.util.spec_from_file_location("helpers", {str(project / "scripts" / "atomic_file_ops.py")!r})
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        print(module.safe_read_json("no", default=[1]))
        """
    done = subprocess.run([sys.executable, "-S", "-c", code], cwd=project, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[1]\n", "")


def test_it_can_be_a_part_of_a_package(project: Path) -> None:
    (project / "main.py").write_text("from scripts.atomic_file_ops import safe_read_json as read\nprint(read('no'))\n")
    command = [sys.executable, "-E", "-s", "-S", "main.py"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("{}\n", "")


# --- what the users' guide promises, in other words ------------------------------------------------------------------

HEAD = """
import sys
from datetime import datetime, timezone
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from atomic_file_ops import atomic_append_text, atomic_write_json, create_backup, safe_read_json
"""


def guide(project: Path, code: str) -> str:
    done = run(sys.executable, project, HEAD + code)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_a_session_counter_and_a_completion_signal(project: Path) -> None:
    code = """
state = ".claude/handoff-context.json"
for _ in range(2):
    context = safe_read_json(state, default={})
    context["session_count"] = context.get("session_count", 0) + 1
    context["last_update"] = datetime.now(timezone.utc).isoformat()
    atomic_write_json(context, state)
atomic_write_json({"reason": "all_features_passing", "session_count": 15}, ".claude/sdk_complete.json")
"""
    guide(project, code)
    assert json.loads((project / ".claude" / "handoff-context.json").read_text())["session_count"] == 2
    assert json.loads((project / ".claude" / "sdk_complete.json").read_text())["session_count"] == 15


def test_progress_and_error_logs(project: Path) -> None:
    code = """
for number in (1, 2):
    atomic_append_text(f\"\"\"
=== Session {number} ===
Status: done
\"\"\", "claude-progress.txt")
    atomic_append_text(f"[{datetime.now()}] ERROR: {number}\\n", ".claude/sdk-bridge.log")
"""
    guide(project, code)
    progress = (project / "claude-progress.txt").read_text()
    assert progress == "\n=== Session 1 ===\nStatus: done\n\n=== Session 2 ===\nStatus: done\n"
    assert len((project / ".claude" / "sdk-bridge.log").read_text().splitlines()) == 2


def test_configuration_and_feature_lists_fall_back_to_their_defaults(project: Path) -> None:
    (project / ".claude" / "sdk-bridge.local.md").write_text("---\nnot: json\n---\n")
    (project / "feature_list.json").write_text('[{"description": "log in", "passes": false}, {"passes": true}]')
    code = """
print(safe_read_json(".claude/sdk-bridge.local.md", default={"enabled": False}))
print(safe_read_json(".claude/config.json", default={}))
for feature in safe_read_json("feature_list.json", default=[]):
    if not feature.get("passes", False):
        print("TODO:", feature["description"])
"""
    assert guide(project, code) == "{'enabled': False}\n{}\nTODO: log in\n"


def test_a_backup_before_a_change(project: Path) -> None:
    (project / ".claude" / "handoff-context.json").write_text('{"session_count": 4}')
    (project / "feature_list.json").write_text("[]")
    code = """
state = ".claude/handoff-context.json"
print(create_backup(state))
context = safe_read_json(state)
context["session_count"] += 1
atomic_write_json(context, state)
print(create_backup("feature_list.json", backup_suffix="before-session-5"))
"""
    first, second = guide(project, code).splitlines()
    assert json.loads((project / first).read_text()) == {"session_count": 4}
    assert json.loads((project / ".claude" / "handoff-context.json").read_text()) == {"session_count": 5}
    assert second == "feature_list.json.before-session-5.bak"
    assert (project / second).read_text() == "[]"


def test_errors_are_caught_as_the_guide_catches_them(project: Path) -> None:
    (project / ".claude" / "handoff-context.json").mkdir()
    code = """
state = ".claude/handoff-context.json"
for data in ({"a": 1}, {"a": {1, 2}}):
    try:
        atomic_write_json(data, state)
    except IOError as error:
        print("io", type(error).__name__)
        atomic_write_json(data, state + ".emergency")
    except ValueError:
        print("value")
"""
    assert guide(project, code) == "io IsADirectoryError\nvalue\n"
    assert json.loads((project / ".claude" / "handoff-context.json.emergency").read_text()) == {"a": 1}
    assert not [name for name in os.listdir(project / ".claude") if "tmp" in name]


@pytest.mark.parametrize("taken", ["atomicops", "file", "atomicops.sh"])
def test_a_taken_name_is_told_with_what_to_do(tmp_path: Path, taken: str) -> None:
    target = tmp_path / "d"
    target.mkdir()
    if taken == "atomicops.sh":
        (target / taken).mkdir()
    else:
        (target / taken).touch()
    done = Helpers().call("python", "vendor", target / "file" if taken == "file" else target, cwd=tmp_path)
    assert (done.code, done.refused, "choose another directory" in done.err) == (73, True, True), done
    assert list(tmp_path.rglob("*.new")) == []
