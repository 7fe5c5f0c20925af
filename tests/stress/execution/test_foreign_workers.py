"""Workers in other languages: the examples of ``docs/protocol.md``, and workers that do not speak as it says."""

from __future__ import annotations

import functools
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import stress
from stress import Plan, Verdict
from stress.history.kinds import Language
from stress.history.record import version_of
from stress.resolve import resolve
from stress.workload.payload import Edit, apply_edits, document_of, edit_list, examine_document
from stress.workload.target import TargetError, load

EXAMPLES = Path(__file__).parents[3] / "docs" / "workers"
SLOW = "use Time::HiRes qw(sleep);"
"""What is looked for must be sure to strike, on any machine."""
PACKAGES = ("write-file-atomic", "proper-lockfile")

ECHO = """
import os, sys
print({hello!r}, flush=True)
for line in sys.stdin:
    seq, operation, path = line.split(" ", 2)
    print(seq, {status}, flush=True)
"""


def _example(name: str, folder: Path) -> Path:
    """The target of an example, in a folder of the test's, ready to run; skips where its language is not there."""
    shutil.copytree(EXAMPLES, folder, dirs_exist_ok=True)
    program = {"perl.toml": "perl", "c.toml": "cc"}.get(name, "node")
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not there")
    if name == "c.toml":
        subprocess.run(["cc", "-Wall", "-Werror", "-o", "worker", "worker.c"], cwd=folder, check=True, timeout=60)
    if name == "perl.toml" and subprocess.run(["perl", "-MJSON::PP", "-e1"], capture_output=True).returncode:
        pytest.skip("perl has no JSON::PP")
    if name == "packages.toml":
        script = f"for (const name of {json.dumps(PACKAGES)}) require.resolve(name)"
        if subprocess.run(["node", "-e", script], cwd=folder, capture_output=True).returncode:
            pytest.skip(f"node finds no {' and '.join(PACKAGES)}: npm install -g, and set NODE_PATH")
    return folder / name


def _run(target: Path, folder: Path, *scenarios: str, ops: int = 300) -> stress.Result:
    where = str(folder)
    plan = Plan(scenarios, str(target), writers=4, readers=2, ops=ops, duration_s=60, runs=where, directory=where)
    return stress.run(plan)


@pytest.mark.parametrize("name", ["plain.toml", "packages.toml", "perl.toml", "c.toml"])
def test_an_example_is_safe_and_is_shown_by_its_label(name: str, tmp_path: Path) -> None:
    target = _example(name, tmp_path / "mine")
    scenarios = ("handoff", "progress_log") if name == "c.toml" else ("handoff", "session_count", "feature_list")
    result = _run(target, tmp_path, *scenarios, ops=500)
    assert result.verdict is Verdict.PASS, result.findings
    label = {"perl.toml": "perl", "c.toml": "c"}.get(name, "node")
    assert result.stats.operations["write"].keys() == {label}
    assert all(language in ("", label) for counts in result.stats.operations.values() for language in counts)
    again = stress.check(result.run)
    assert (again.verdict, again.stats.operations) == (result.verdict, result.stats.operations)


def test_a_worker_that_writes_in_place_is_caught_and_named_by_its_label(tmp_path: Path) -> None:
    target = _example("perl.toml", tmp_path / "mine")
    worker = target.with_name("worker.pl")
    sound = "locked($file, sub { replace($file, slurp($ENV{STRESS_IN})) });"
    assert sound in worker.read_text()
    in_place = "my $new = slurp($ENV{STRESS_IN}); open(my $at, '>:raw', $file) or die; sleep(0.005); print {$at} $new;"
    worker.write_text(worker.read_text().replace(sound, in_place).replace("use warnings;", f"use warnings;\n{SLOW}"))
    target.write_text(target.read_text() + 'language = "perl-5"\n')
    result = _run(target, tmp_path, "handoff", ops=600)
    torn = next(finding for finding in result.findings if finding.anomaly == "torn-read")
    assert {operation.language.label for operation in torn.witness} == {"perl-5"}


def test_an_update_without_a_lock_is_caught_by_the_version_that_the_worker_tells(tmp_path: Path) -> None:
    target = _example("perl.toml", tmp_path / "mine")
    worker = target.with_name("worker.pl")
    unlocked = worker.read_text().replace("flock($lock, LOCK_EX)", "1")
    late = unlocked.replace("    rename($temp", "    sleep(0.005);\n    rename($temp").replace(
        "use warnings;", f"use warnings;\n{SLOW}"
    )
    assert late.count("sleep(0.005)") == 1
    worker.write_text(late)
    result = _run(target, tmp_path, "session_count", ops=600)
    assert "lost-update" in {finding.anomaly for finding in result.findings}


def test_edits_do_what_the_harness_does_itself() -> None:
    """`edit_list`, carried out as the page says, makes the document that `apply_edits` makes, but for its checksum."""
    before, version = version_of(1, 2), version_of(3, 4)
    for form, shape, edits in (
        ("object", {"n": 1, "deep": {}}, [Edit(("n",), add=2), Edit(("deep", "x", "y"), set=[1]), Edit(("m",), add=1)]),
        ("list", [{"n": 1}, {"n": 2}], [Edit((1, "n"), add=5), Edit((7, "n"), set=0)]),
    ):
        document = document_of(before, 50, shape)
        expected = apply_edits(document, before, version, 60, edits)
        made = json.loads(json.dumps(document))
        for edit in json.loads(edit_list(version, 60, edits, form=form)):
            _carry_out(made, edit)
        assert examine_document(made) == (version, before, False)
        (expected if form == "object" else expected[0])["stress"]["body"] = None
        assert made == expected


def _carry_out(document: Any, edit: dict[str, Any]) -> None:
    at, (*names, last) = document, edit["path"]
    for name in names:
        if isinstance(at, list) and name >= len(at):
            return
        at = at[name] if isinstance(at, list) else at.setdefault(name, {})
    if "copy" in edit:
        at[last] = functools.reduce(lambda inner, name: inner[name], edit["copy"], document)
    elif "add" in edit:
        at[last] = (at.get(last) or 0) + edit["add"]
    else:
        at[last] = edit["set"]


def _toml(folder: Path, hello: str = "hello 1 write read", status: int = 0, more: str = "") -> str:
    (folder / "worker.py").write_text(ECHO.format(hello=hello, status=status))
    (folder / "mine.toml").write_text(f"worker = [{json.dumps(sys.executable)}, 'worker.py']\n{more}")
    return str(folder / "mine.toml")


@pytest.mark.parametrize(
    ("hello", "more", "said"),
    [
        ("good day", "", "it began with 'good day'"),
        ("hello 2 write", "", "it began with 'hello 2 write'"),
        ("hello 1 writes", "", "it began with 'hello 1 writes'"),
        ("hello 1 write", 'language = "python"', "'python' is no language of a worker"),
        ("hello 1 write", 'language = "my own language"', "is no language of a worker"),
        ("hello 1 write", "write = 'x {path}'", "has a command and a worker"),
        ("hello 1 write", "allow = 'x'", "allow must be a list of anomalies"),
    ],
)
def test_what_is_no_worker_is_refused_in_one_line(hello: str, more: str, said: str, tmp_path: Path) -> None:
    with pytest.raises((stress.UsageError, TargetError)) as caught:
        resolve(Plan(("handoff",), _toml(tmp_path, hello, more=more)))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("argv", ['["no-such-program"]', '["./mine"]'])
def test_a_program_that_is_not_there_is_named(argv: str, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(f"worker = {argv}\n")
    with pytest.raises(stress.UsageError, match=r"no-such-program|mine"):
        resolve(Plan(("handoff",), str(tmp_path / "mine.toml")))


def test_a_worker_that_ends_before_it_is_ready_is_told_with_its_last_words(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("worker = ['perl', '-e', 'die qq{no such module\\\\n}']\n")
    with pytest.raises(stress.UsageError, match="no such module"):
        resolve(Plan(("handoff",), str(tmp_path / "mine.toml")))


def test_a_module_may_have_a_worker_beside_its_functions(tmp_path: Path) -> None:
    _toml(tmp_path)
    target = tmp_path / "mine.py"
    target.write_text(
        f"WORKER = [{sys.executable!r}, 'worker.py']\nLANGUAGE = 'other'\ndef write(path, document): ...\n"
    )
    cast = resolve(Plan(("handoff",), str(target), writers=4))
    assert {spec.language.label for spec in cast.workers} == {"python", "other"}
    assert load(str(target)).worker[1] == str(tmp_path / "worker.py")


def test_a_status_that_the_worker_called_definite_changed_nothing(tmp_path: Path) -> None:
    result = _run(
        Path(_toml(tmp_path, "hello 1 write definite=7,9", 7, "language = 'mine'")), tmp_path, "handoff", ops=60
    )
    assert set(result.stats.operations["write"]["mine"]) == {"fail"}


def test_languages_have_labels_of_their_own() -> None:
    perl = Language.named("perl")
    assert perl is Language.named("perl") is Language(int(perl))
    assert perl not in (Language.PYTHON, Language.BASH, Language.COMMAND, Language.UNKNOWN)
    for label in ("a b", "x" * 17, "8bit", "é"):
        with pytest.raises(ValueError, match="no label"):
            Language.named(label)
    with pytest.raises(ValueError, match="no language"):
        Language(200)
