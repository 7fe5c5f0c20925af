"""The Bash helpers, point by point of their contract. Perl warns here, and is strict; elsewhere they are as they are."""

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

SHELL = Path(__file__).parents[2] / "atomicops" / "shell"
SCRIPT = SHELL / "atomic-write.sh"
SHELL_FILES = sorted(path.name for path in SHELL.iterdir() if path.suffix in (".sh", ".pl"))
TEMP = re.compile(rb"\.(?s:.+)\.[0-9a-f]{32}\.atomicops-tmp")


class Shell:
    """Runs the script, and functions of the sourced file, in one directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith("ATOMICOPS_")}

    def run(
        self, *arguments: str | bytes, stdin: bytes = b"", **environment: Any
    ) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            arguments,
            input=stdin,
            capture_output=True,
            cwd=self.directory,
            env={**self.environment, **environment},
            timeout=100,
        )

    def write(
        self, *arguments: str | bytes, stdin: bytes = b"", **environment: Any
    ) -> subprocess.CompletedProcess[bytes]:
        return self.run("bash", str(SCRIPT), *arguments, stdin=stdin, **environment)

    def call(
        self, text: str, *arguments: str | bytes, stdin: bytes = b"", **environment: Any
    ) -> subprocess.CompletedProcess[bytes]:
        """Runs text, a script that has the functions and is as strict as scripts are."""
        program = f'set -euo pipefail\nsource "$HELPERS"\n{text}\n'
        return self.run(
            "bash", "-c", program, "test", *arguments, stdin=stdin, HELPERS=str(SHELL / "atomicops.sh"), **environment
        )

    def leftovers(self) -> list[bytes]:
        return [name for name in os.listdir(os.fsencode(self.directory)) if TEMP.fullmatch(name)]


@pytest.fixture
def shell(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    made = Shell(tmp_path)
    # A warning would be a line on standard error, where none, or one, is expected.
    programs = tmp_path_factory.mktemp("bin")
    (programs / "perl").write_text(f'#!/bin/sh\nexec {shutil.which("perl")} -w -Mstrict "$@"\n')
    (programs / "perl").chmod(0o755)
    made.environment["PATH"] = f"{programs}:{os.environ['PATH']}"
    yield made
    assert made.leftovers() == []


def ok(result: subprocess.CompletedProcess[bytes]) -> bytes:
    assert (result.returncode, result.stderr) == (0, b"")
    return result.stdout


def fails(result: subprocess.CompletedProcess[bytes], status: int) -> str:
    """The one line of a failure."""
    message = result.stderr.decode()
    assert result.returncode == status, message
    assert re.fullmatch(r"atomicops: .+: .+; .+\n", message), message
    return message


def test_what_the_files_of_perl_share_is_listed() -> None:
    """By its full name, which `strict` does not check; the list stands at the head of atomicops.pl."""
    texts = [(SHELL / name).read_text() for name in SHELL_FILES if name.endswith(".pl")]
    code = "\n".join(line for text in texts for line in text.splitlines() if not line.lstrip().startswith("#"))
    listed = set(re.findall(r"^# .*", (SHELL / "atomicops.pl").read_text().partition("# Calls that")[0], re.M))
    names = set(re.findall(r"[$@%]::(\w+)", " ".join(listed)))
    constants = {"AUTOLOAD", "CALL", "WRONLY", "RDWR", "CREAT", "EXCL", "NONBLOCK", "NOFOLLOW", "E"}
    assert set(re.findall(r"[$@%]::(\w+)", code)) == names | constants


# --- content --------------------------------------------------------------------------------------------------------


def test_an_argument_ends_in_one_newline_and_input_is_taken_byte_for_byte(shell: Shell) -> None:
    file = shell.directory / "status.txt"
    ok(shell.write("Hello World", "status.txt"))
    assert file.read_bytes() == b"Hello World\n"
    ok(shell.write("two\n\n", "status.txt"))
    assert file.read_bytes() == b"two\n\n\n"
    for content in (b"", b"no newline", b"\0\0a\0\n\n\0", bytes(range(256)) * 3):
        ok(shell.write("-", "status.txt", stdin=content))
        assert file.read_bytes() == content
        ok(shell.call('atomic_write - "$1"', "status.txt", stdin=content))
        assert file.read_bytes() == content


@pytest.mark.parametrize(
    "content", [b"", b"-n", b"--help", b"-e \\n", b"*", b"$(id)`id`\\", b"a\nb", b"\xff\xfe", b"%s%n", "é".encode()]
)
def test_odd_content_is_only_content(shell: Shell, content: bytes) -> None:
    ok(shell.write(content, "f"))
    assert (shell.directory / "f").read_bytes() == content + b"\n"
    ok(shell.call('atomic_append "$1" f', content))
    assert (shell.directory / "f").read_bytes() == (content + b"\n") * 2


@pytest.mark.parametrize(
    "name",
    [
        b"-f",
        b"--",
        b"a b",
        b"a\nb\n",
        b"*",
        b"[a]",
        b"\xff\xfe",
        "é".encode(),
        b"'",
        b'"',
        b"\\",
        b"~",
        b".hidden",
        b"$x",
    ],
)
def test_odd_names(shell: Shell, name: bytes) -> None:
    where = os.fsencode(shell.directory)
    ok(shell.write("one", name))
    ok(shell.call('atomic_append two "$1"', name))
    assert ok(shell.call('atomic_read "$1"', name)) == b"one\ntwo\n"
    made = ok(shell.call('atomic_backup "$1" x', name))
    assert made == name + b".x.bak\n"
    assert sorted(os.listdir(where)) == sorted([name, b"." + name + b".lock", name + b".x.bak"])


def test_a_callers_settings_of_perl_and_locale_change_nothing(shell: Shell) -> None:
    hostile: dict[str, Any] = {"PERL5OPT": "-Mno_such_module", "PERL_UNICODE": "SDA", "LC_ALL": "C.UTF-8"}
    for name in ("log.txt", "state.json"):
        ok(shell.write('"ü"', name, **hostile))
        assert (shell.directory / name).read_bytes() == '"ü"\n'.encode()


def test_names_up_to_the_limit_of_the_file_system(shell: Shell) -> None:
    for length in (45, 46, 180, 181, 255):
        name = "é" * (length // 2) + "x" * (length % 2)
        raw = name.encode()
        ok(shell.write("x", name))
        stem = raw if length <= 180 else raw[:160] + b"~" + hashlib.sha256(raw).hexdigest()[:16].encode()
        assert os.path.exists(os.fsencode(shell.directory) + b"/." + stem + b".lock")
    fails(shell.write("x", "x" * 256), 73)


def test_content_over_the_limit_of_an_argument(shell: Shell) -> None:
    content = b'["' + b"x" * 300_000 + b'"]'
    ok(shell.write("-", "f.json", stdin=content))
    assert (shell.directory / "f.json").read_bytes() == content
    ok(shell.call('atomic_write "$(atomic_read f.json)" g.json'))
    assert (shell.directory / "g.json").read_bytes() == content + b"\n"
    fails(shell.write("-", "f.json", stdin=content + b"\0"), 65)  # which to grep -z ends a record, and no more
    assert ok(shell.call("atomic_read f.json")) == content
    os.rename(shell.directory / "f.json", shell.directory / "f")
    assert ok(shell.call("atomic_read f")) == content


def test_what_is_read_is_what_was_written(shell: Shell) -> None:
    for size in (0, 1, 65535, 65536, 65537):
        content = (b"\0ab\n" * 20000)[:size]
        (shell.directory / "f").write_bytes(content)
        assert ok(shell.call("atomic_read f")) == content


# --- the file -------------------------------------------------------------------------------------------------------


def test_mode(shell: Shell) -> None:
    file = shell.directory / "f"
    ok(shell.run("bash", "-c", 'umask 027; bash "$0" new f', str(SCRIPT)))
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    for mode in (0o600, 0o644, 0o444, 0o755, 0o2750, 0o4711):
        file.chmod(mode)
        if not mode & 0o200 and os.geteuid():  # open(2) for writing refuses it, too
            assert shell.write("x", "f").returncode == 73
            continue
        ok(shell.write("x", "f"))
        assert stat.S_IMODE(file.stat().st_mode) == mode
        ok(shell.call("atomic_append x f"))
        assert stat.S_IMODE(file.stat().st_mode) == mode
        made = ok(shell.call("atomic_backup f")).decode().strip()
        assert stat.S_IMODE((shell.directory / made).stat().st_mode) == mode


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_owner(shell: Shell) -> None:
    file = shell.directory / "f"
    file.write_text("old\n")
    os.chown(file, 1234, 4321)
    ok(shell.write("x", "f"))
    assert (file.stat().st_uid, file.stat().st_gid) == (1234, 4321)


def test_extended_attributes(shell: Shell) -> None:
    file = shell.directory / "f"
    file.write_text("old\n")
    try:
        os.setxattr(file, "user.origin", b"somewhere\0else")
    except OSError:
        pytest.skip("no user attributes on this file system")
    ok(shell.write("new", "f"))
    ok(shell.call("atomic_append more f"))
    assert os.getxattr(file, "user.origin") == b"somewhere\0else"
    made = ok(shell.call("atomic_backup f")).decode().strip()
    assert os.getxattr(shell.directory / made, "user.origin") == b"somewhere\0else"


def test_a_symlink_is_followed(shell: Shell) -> None:
    (shell.directory / "sub").mkdir()
    (shell.directory / "sub" / "real.json").write_text("{}")
    (shell.directory / "link").symlink_to("sub/real.json")
    ok(shell.write("[1]", "link"))
    assert (shell.directory / "link").is_symlink()
    assert (shell.directory / "sub" / "real.json").read_text() == "[1]\n"
    fails(shell.write("not json", "link"), 65)  # the link's target is what counts
    (shell.directory / "dangling").symlink_to("sub/new\n")
    ok(shell.write("x", "dangling"))
    assert (shell.directory / "sub" / "new\n").read_text() == "x\n"
    assert sorted(p.name for p in (shell.directory / "sub").iterdir()) == [
        ".new\n.lock", ".real.json.lock", "new\n", "real.json"
    ]  # fmt: skip
    (shell.directory / "loop").symlink_to("loop")
    fails(shell.write("x", "loop"), 73)


def test_what_is_not_a_regular_file(shell: Shell) -> None:
    (shell.directory / "d").mkdir()
    os.mkfifo(shell.directory / "p")
    for name in ("d", "d/", ".", "p"):
        fails(shell.write("x", name), 73)
        fails(shell.call('atomic_append x "$1"', name), 73)
    assert list((shell.directory / "d").iterdir()) == []  # mv without -T would have moved into it
    fails(shell.write("x", "f/g/"), 73)
    (shell.directory / "f").write_text("a file\n")
    fails(shell.write("x", "f/g"), 73)


def test_parents_are_made(shell: Shell) -> None:
    for durability in ("full", "none"):
        ok(shell.write("x", f"{durability}/a b/f", ATOMICOPS_DURABILITY=durability))
        assert (shell.directory / durability / "a b" / "f").read_text() == "x\n"


def test_a_lock_that_may_only_be_read_is_a_lock(shell: Shell) -> None:
    (shell.directory / ".f.lock").symlink_to("elsewhere")
    fails(shell.write("x", "f"), 73)
    assert not (shell.directory / "elsewhere").exists()


# --- JSON -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "bad", [b"", b" \n", b"{", b"{}{}", b"NaN", b"\xef\xbb\xbf", b"{}\xef\xbb\xbf", b"{}\0", b"\0", b'"\xff"', b"01"]
)
def test_json_targets_get_json_or_nothing(shell: Shell, bad: bytes) -> None:
    file = shell.directory / "f.json"
    ok(shell.write('{"a": 1}', "f.json"))
    before = file.stat()
    fails(shell.write("-", "f.json", stdin=bad), 65)
    if b"\0" not in bad:
        fails(shell.write(bad, "f.json"), 65)
    fails(shell.call("atomic_append - f.json", stdin=bad + b"x"), 65)
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    ok(shell.write("-", "f.json.emergency", stdin=bad))
    ok(shell.write("-", "f.json", stdin=bad, ATOMICOPS_VALIDATE="no"))
    assert file.read_bytes() == bad
    fails(shell.call("atomic_read f.json"), 65)


def test_reads_tell_missing_from_unreadable(shell: Shell) -> None:
    fails(shell.call("atomic_read f.json"), 66)
    (shell.directory / "d.json").mkdir()
    assert shell.call("atomic_read d.json").returncode in (73, 74)
    assert ok(shell.call("atomic_read nothing 2>/dev/null || echo '{}'")) == b"{}\n"


def test_a_byte_order_mark_is_no_corruption(shell: Shell) -> None:
    file = shell.directory / "f.json"
    marked = b'\xef\xbb\xbf{"n": 1}'
    ok(shell.write("-", "f.json", stdin=marked))
    assert ok(shell.call("atomic_read f.json")) == marked
    assert b"valid" in ok(shell.call("atomic_recover f.json"))
    ok(shell.call("atomic_update f.json .n+=1 -c"))
    assert file.read_bytes() == b'{"n":2}\n'


def test_missing_programs_are_named_with_their_package(shell: Shell) -> None:
    programs = shell.directory / "bin"
    programs.mkdir()
    (programs / "bash").symlink_to("/bin/bash")
    ok(shell.write("{}", "f.json"))
    assert "package perl" in fails(shell.write("{}", "f.json", PATH=str(programs)), 69)
    assert "package perl" in fails(shell.call("atomic_read f.json", PATH=str(programs)), 69)
    (programs / "perl").symlink_to(shutil.which("perl") or "perl")
    assert "package jq" in fails(shell.call("atomic_update f.json .", PATH=str(programs)), 69)
    ok(shell.write("[]", "f.json", PATH=str(programs)))


def test_a_missing_module_of_perl_is_named(shell: Shell) -> None:
    """Debian's perl-base, which is all that its small images have, lacks it."""
    (shell.directory / "Time").mkdir()
    (shell.directory / "Time" / "HiRes.pm").write_text("die;")
    perl = Path(shell.environment["PATH"].partition(":")[0]) / "perl"
    perl.write_text(perl.read_text().replace('"$@"', f'-I{shell.directory} "$@"'))
    ok(shell.write("{}", "f.json"))
    assert "package perl" in fails(shell.call("atomic_backup f.json"), 69)


def test_a_missing_part_is_named(plugin: Shell) -> None:
    scripts = plugin.directory / "plugin" / "scripts"
    for part in ("atomicops-seldom.pl", "atomicops-operations.pl"):
        (scripts / part).rename(scripts / "away")
        assert part in fails(plugin.run("bash", f"{scripts}/atomic-write.sh", "x", "f"), 69)
        (scripts / "away").rename(scripts / part)
    (scripts / "atomicops.pl").unlink()
    assert "atomicops.pl" in fails(plugin.run("bash", f"{scripts}/atomic-write.sh", "x", "f"), 69)
    (scripts / "atomicops.sh").unlink()
    assert "atomicops.sh" in fails(plugin.run("bash", f"{scripts}/atomic-write.sh", "x", "f"), 69)


@pytest.mark.parametrize("setting", ["DURABILITY=none", "DURABILITY=file", "LOCK_TIMEOUT=5", "VALIDATE=no"])
def test_usual_settings_need_no_other_part(plugin: Shell, setting: str) -> None:
    """To compile them takes longer than to write: who asks for no sync waited longer than who asked for one."""
    scripts = plugin.directory / "plugin" / "scripts"
    plugin.environment["ATOMICOPS_" + setting.partition("=")[0]] = setting.partition("=")[2]
    ok(plugin.run("bash", f"{scripts}/atomic-write.sh", "[1]", "f.json"))  # makes the lock
    (scripts / "atomicops-seldom.pl").write_text("die;")
    assert ok(plugin.run("bash", "-c", f". {scripts}/atomicops.sh; atomic_read f.json")) == b"[1]\n"
    (scripts / "atomicops-operations.pl").write_text("die;")
    ok(plugin.run("bash", f"{scripts}/atomic-write.sh", "[2]", "f.json"))
    assert (plugin.directory / "f.json").read_text() == "[2]\n"


# --- locks ----------------------------------------------------------------------------------------------------------


def test_the_lock_is_flock_on_the_sidecar_file(shell: Shell) -> None:
    descriptor = os.open(shell.directory / ".f.lock", os.O_CREAT | os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    for timeout in ("0", "0.05", "00.1"):
        fails(shell.write("x", "f", ATOMICOPS_LOCK_TIMEOUT=timeout), 75)
        for function in ("atomic_append x f", "with_lock f true", "atomic_update --default 1 f ."):
            fails(shell.call(function, ATOMICOPS_LOCK_TIMEOUT=timeout), 75)
    assert not (shell.directory / "f").exists()
    for timeout in ("none", "", "30"):
        waiting = subprocess.Popen(
            ["bash", str(SCRIPT), timeout, "f"],
            cwd=shell.directory,
            env={**shell.environment, "ATOMICOPS_LOCK_TIMEOUT": timeout},
        )
        wait_until_waiting(shell.directory / ".f.lock")
        assert waiting.poll() is None
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        assert waiting.wait(timeout=60) == 0
        assert (shell.directory / "f").read_text() == timeout + "\n"
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    os.close(descriptor)


def wait_until_waiting(lock: Path, wanted: bool = True) -> None:
    """Until the kernel lists someone who is blocked on that lock, or nobody."""
    inode = f":{lock.stat().st_ino} "
    for _ in range(3000):
        if wanted == any("->" in line and inode in line for line in Path("/proc/locks").read_text().splitlines()):
            return
        time.sleep(0.01)
    raise AssertionError("nobody waits for the lock" if wanted else "somebody still waits for the lock")


def test_with_lock_excludes_flock_and_passes_the_lock_to_nobody(shell: Shell) -> None:
    text = """
    busy() { flock -n .f.lock true && echo free || echo busy; }
    with_lock f busy
    with_lock f bash -c 'flock -n .f.lock true && echo free || echo busy'
    with_lock f bash -c 'for x in /proc/$$/fd/*; do [[ ! $x -ef .f.lock ]] || echo leaked; done'
    leaks() { bash -c 'for x in /proc/$$/fd/*; do [[ ! $x -ef .f.lock ]] || echo leaked; done'; }
    with_lock f leaks
    later() { sleep 100 & ( read -r _ <&8 || : ) & }
    exec 8<>pipe
    with_lock f later
    busy
    with_lock f true && busy
    echo >&8; kill %1; wait
    """
    os.mkfifo(shell.directory / "pipe")
    assert ok(shell.call(text)).split() == [b"busy", b"busy", b"free", b"free"]


def test_with_lock_gives_its_commands_status(shell: Shell) -> None:
    assert shell.call("with_lock f bash -c 'exit 7'").returncode == 7
    assert ok(shell.call("f() { return 3; }; with_lock f f || echo $?; with_lock f true; echo $?")) == b"3\n0\n"
    stops = shell.call("f() { false; echo went on; }; with_lock f f; echo not reached")
    assert (stops.returncode, stops.stdout) == (1, b"")


def test_helpers_nest_in_with_lock(shell: Shell) -> None:
    text = """
    all() {
      atomic_write one f
      atomic_read f | sed s/one/two/ | atomic_append - f
      with_lock f atomic_append three f
      backup=$(atomic_backup f x)
      atomic_append "$backup" f
      flock -n .f.lock true || echo still locked
    }
    with_lock f all
    atomic_write --if-version "$(atomic_version f)" "$(cat f)" f
    atomic_append end f
    """
    assert ok(shell.call(text, ATOMICOPS_LOCK_TIMEOUT="5")) == b"still locked\n"
    assert (shell.directory / "f").read_text() == "one\ntwo\nthree\nf.x.bak\nend\n"


def test_a_program_under_with_lock_has_not_the_lock_and_says_so(shell: Shell) -> None:
    result = shell.call(f"with_lock f bash '{SCRIPT}' x f", ATOMICOPS_LOCK_TIMEOUT="0.1")
    fails(result, 75)
    assert not (shell.directory / "f").exists()


def test_a_killed_writers_lock_is_free_and_its_temp_file_is_swept(shell: Shell) -> None:
    holder = subprocess.Popen(
        ["bash", "-c", f"source '{SHELL}/atomicops.sh'; hold() {{ echo; sleep 100; }}; with_lock f hold"],
        cwd=shell.directory,
        env=shell.environment,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert holder.stdout
    holder.stdout.readline()
    orphan = shell.directory / f".f.{'0' * 32}.atomicops-tmp"
    orphan.write_text("half")
    others = [f".f.{'0' * 31}.atomicops-tmp", f".f.{'G' * 32}.atomicops-tmp", "f.atomicops-tmp", f"f.{'0' * 32}.tmp"]
    for name in others:
        (shell.directory / name).write_text("not ours")
    assert ok(shell.call("atomic_sweep .")) == b"in use %s\n" % orphan.name.encode()
    holder.kill()  # the shell alone: its child lives on, and has not the lock
    holder.wait()
    removed = b"removed %s\n" % orphan.name.encode()
    # On a busy machine the child may not have come to its exec yet, and until then it has the shell's descriptors.
    assert any(ok(shell.call("atomic_sweep .")) == removed for _ in range(100))
    assert ok(shell.call('atomic_sweep "$1"', str(shell.directory))) == b""
    assert all((shell.directory / name).exists() for name in others)
    ok(shell.write("x", "f", ATOMICOPS_LOCK_TIMEOUT="0"))
    with contextlib.suppress(ProcessLookupError):  # a machine that stood still meanwhile
        os.killpg(holder.pid, signal.SIGKILL)
    holder.stdout.close()


@pytest.mark.parametrize(
    ("locked", "held"), [(True, None), (False, None), (True, "lock"), (True, "temp"), (False, "temp")]
)
def test_a_temp_file_is_swept_with_both_locks_or_without_a_lock_file(
    shell: Shell, locked: bool, held: str | None
) -> None:
    """Who lost his lock to a cleaner has his temp file's still."""
    lock, temp = shell.directory / ".f.lock", shell.directory / f".f.{'0' * 32}.atomicops-tmp"
    temp.write_text("half")
    if locked:
        lock.touch()
    with contextlib.ExitStack() as stack:
        if held:
            fcntl.flock(stack.enter_context((lock if held == "lock" else temp).open()), fcntl.LOCK_EX)
        said = ok(shell.call("atomic_sweep ."))
        assert said == b"%s %s\n" % (b"in use" if held else b"removed", temp.name.encode())
        assert (temp.exists(), lock.exists()) == (held is not None, locked)
    temp.unlink(missing_ok=True)


def test_a_callers_traps_options_and_descriptors_stay(shell: Shell) -> None:
    text = """
    trap 'echo exit' EXIT
    trap 'echo int' INT
    shopt -s failglob nullglob
    set -fC
    IFS=xyz
    traps=$(trap) options=$-$(shopt -p) descriptors=$(echo /proc/$$/fd/*)
    atomic_write '{"n": 1}' f.json
    atomic_append '' f.json
    atomic_update f.json .n+=1 -c
    atomic_read f.json
    b=$(atomic_backup f.json)
    atomic_recover f.json >|/dev/null
    atomic_sweep .
    atomic_write '{' f.json 2>|/dev/null || echo refused
    [[ $traps == "$(trap)" && $options == "$-$(shopt -p)" && $descriptors == "$(echo /proc/$$/fd/*)" && $IFS == xyz ]]
    """
    assert ok(shell.call(text)) == b'{"n":2}\nrefused\nexit\n'


@pytest.mark.parametrize("to", [os.kill, os.killpg])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_while_waiting_leaves_nothing(
    shell: Shell, number: signal.Signals, to: Callable[[int, int], None]
) -> None:
    """No file, and no child that waits."""
    descriptor = os.open(shell.directory / ".f.lock", os.O_CREAT | os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    waiting = subprocess.Popen(
        ["bash", str(SCRIPT), "x", "f"], cwd=shell.directory, env=shell.environment, start_new_session=True
    )
    wait_until_waiting(shell.directory / ".f.lock")
    to(waiting.pid, number)
    assert waiting.wait(timeout=60) in (-number, 128 + number)
    wait_until_waiting(shell.directory / ".f.lock", wanted=False)
    assert sorted(p.name for p in shell.directory.iterdir()) == [".f.lock"]
    os.close(descriptor)


# --- update ---------------------------------------------------------------------------------------------------------


def test_update(shell: Shell) -> None:
    ok(shell.call("atomic_update --default '{}' f.json '.n += 1' -c"))
    ok(shell.call("atomic_update --default '{}' f.json '.n += $by | .s = \"é\"' -c --argjson by 41"))
    assert (shell.directory / "f.json").read_text() == '{"n":42,"s":"é"}\n'
    ok(shell.call("atomic_update f.json '-.n'"))
    assert (shell.directory / "f.json").read_text() == "-42\n"
    fails(shell.call("atomic_update g.json ."), 66)


@pytest.mark.parametrize(
    ("before", "filter_", "kept"),
    [
        ('{"n": 1}', ".n =", False),
        ('{"n": 1}', "empty", False),
        ('{"n": 1}', ".n, .n", False),
        ("", ".", False),
        ('{"n": NaN}', ".", False),
        ("{}\0", ".", False),
        ("{} {}", ".", False),
        ('{"n": 9007199254740993}', ".", False),
        ('{"n": -12345678901234567890}', ".", False),
        ('{"n": 1.2345678901234567890}', ".", False),
        ('{"n": 1e400}', ".", False),
        ('{"n": 1}', ".n = 9007199254740993", False),
        ('{"n": "12345678901234567890"}', ".", True),
        ('{"n": 0.30000000000000004}', ".", True),
        ('{"n": 1704985200.1234567}', ".", True),
        ('{"n": 9006999999999999}', ".", True),
        ('{"n": [0, -0.5, 1e5, 2E-7, 0e0, 123456789012345]}', ".", True),
    ],
)
def test_update_never_rounds_or_ruins(shell: Shell, before: str, filter_: str, kept: bool) -> None:
    file = shell.directory / "f.json"
    file.write_text(before)
    result = shell.call('atomic_update f.json "$1"', filter_)
    if kept:
        ok(result)
        assert json.loads(file.read_text()) == json.loads(before)
    else:
        assert result.returncode == 65
        assert file.read_text() == before


# --- versions -------------------------------------------------------------------------------------------------------


def test_compare_and_swap(shell: Shell) -> None:
    assert ok(shell.call("atomic_version f")) == b"absent\n"
    ok(shell.write("--if-version", "absent", "one", "f"))
    fails(shell.write("--if-version", "absent", "two", "f"), 76)
    version = "sha256-" + hashlib.sha256(b"one\n").hexdigest()
    assert ok(shell.call("atomic_version f")).decode().strip() == version
    ok(shell.write("--if-version", version, "-", "f", stdin=b"two"))
    fails(shell.write("--if-version", version, "three", "f"), 76)
    assert (shell.directory / "f").read_bytes() == b"two"


# --- backups, recovery ----------------------------------------------------------------------------------------------


def test_backups(shell: Shell) -> None:
    fails(shell.call("atomic_backup f"), 66)
    (shell.directory / "f").write_bytes(b"\0\xffold")
    made = [ok(shell.call("atomic_backup f 7")).decode() for _ in range(3)]
    assert made == ["f.7.bak\n", "f.7.1.bak\n", "f.7.2.bak\n"]
    assert (shell.directory / "f.7.2.bak").read_bytes() == b"\0\xffold"
    assert re.fullmatch(rb"f\.\d{10,}\.bak\n", ok(shell.call("atomic_backup f")))
    for suffix in ("", "a/b"):
        fails(shell.call('atomic_backup f "$1"', suffix), 64)


def test_recover_takes_the_newest_valid_backup_and_keeps_the_evidence(shell: Shell) -> None:
    file = shell.directory / "f.json"
    file.write_text("{}")
    assert b"valid" in ok(shell.call("atomic_recover f.json"))
    first, second = "1700000100", "1700000200"
    made = {"20991231": "[8]", "99": "[9]", first: "[1]", f"{first}.2": "[2]", f"{first}.10": "[10]", "x": "no"}
    for age, (suffix, content) in enumerate(made.items()):
        backup = shell.directory / f"f.json.{suffix}.bak"
        backup.write_text(content)
        os.utime(backup, (50 + age, 50 + age))  # in the order in which they were made, whatever they are called
    file.write_bytes(b'{"half": \0')
    file.chmod(0o640)
    said = ok(shell.call("atomic_recover f.json")).decode()
    assert file.read_text() == "[10]"
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    (evidence,) = shell.directory.glob("f.json.*.corrupt")
    assert re.fullmatch(r"f\.json\.\d{10,}\.corrupt", evidence.name)
    assert evidence.read_bytes() == b'{"half": \0'
    for word in ("corrupt", evidence.name, f"f.json.{first}.10.bak", "f.json.x.bak"):
        assert word in said
    assert b"valid" in ok(shell.call("atomic_recover f.json"))
    # Copies that all have one time, as from a checkout, are told apart by the times that are in their names.
    file.write_text("{")
    (shell.directory / f"f.json.{second}.bak").write_text("[200]")
    for backup in shell.directory.glob("*.bak"):
        os.utime(backup, (50, 50))
    assert "newest by its name" in ok(shell.call("atomic_recover f.json")).decode()
    assert file.read_text() == "[200]"


def test_recover_without_a_valid_backup(shell: Shell) -> None:
    file = shell.directory / "state"
    assert shell.call("atomic_recover state").returncode == 66
    file.write_text("{")
    (shell.directory / "state.5.bak").write_text("[")
    for _ in range(2):  # the evidence is kept once
        assert shell.call("atomic_recover state").returncode == 65
        assert file.read_text() == "{"
        assert len(list(shell.directory.glob("state.*.corrupt"))) == 1


def test_recover_restores_a_missing_file_only_if_told(shell: Shell) -> None:
    backup = shell.directory / "state.5.bak"
    backup.write_text("[5]")
    backup.chmod(0o600)
    assert b"state.5.bak" in shell.call("atomic_recover state").stdout
    assert sorted(path.name for path in shell.directory.iterdir()) == ["state.5.bak"]  # and no lock
    assert not (shell.directory / "state").exists()
    ok(shell.call("atomic_recover state --restore-missing"))
    assert (shell.directory / "state").read_text() == "[5]"
    assert stat.S_IMODE((shell.directory / "state").stat().st_mode) == 0o600


# --- usage, and the guide -------------------------------------------------------------------------------------------


def test_usage(shell: Shell) -> None:
    assert b"usage: atomic-write.sh" in ok(shell.write("--help"))
    for arguments in ([], ["x"], ["a", "b", "c"], ["--if-version", "a", "b"], ["x", ""]):
        fails(shell.write(*arguments), 64)
    for function in ("atomic_write", "atomic_append", "atomic_update", "atomic_read", "atomic_version", "atomic_backup",
                     "atomic_recover", "atomic_sweep", "with_lock"):  # fmt: skip
        fails(shell.call(function), 64)
    for name, value in (("DURABILITY", "some"), ("LOCK_TIMEOUT", "1s"), ("LOCK_TIMEOUT", "."), ("VALIDATE", "maybe")):
        setting: dict[str, Any] = {f"ATOMICOPS_{name}": value}
        fails(shell.write("x", "f", **setting), 64)
    assert list(shell.directory.iterdir()) == []


@pytest.fixture
def plugin(shell: Shell) -> Shell:
    scripts = shell.directory / "plugin" / "scripts"
    scripts.mkdir(parents=True)
    for name in SHELL_FILES:
        (scripts / name).write_bytes((SHELL / name).read_bytes())
    (shell.directory / ".claude").mkdir()
    shell.environment["CLAUDE_PLUGIN_ROOT"] = str(scripts.parent)
    return shell


def test_guide_session_count_recipe_ends_in_an_error_and_loses_nothing(plugin: Shell) -> None:
    state = plugin.directory / ".claude" / "handoff-context.json"
    state.write_text('{"session_count": 4}\n')
    recipe = r"""
    HANDOFF_FILE=".claude/handoff-context.json"
    CURRENT=$(cat "$HANDOFF_FILE")
    UPDATED=$(echo "$CURRENT" | jq '.session_count += 1 | .last_update = now | strftime("%Y-%m-%dT%H:%M:%SZ")')
    bash "${CLAUDE_PLUGIN_ROOT}/scripts/atomic-write.sh" "$UPDATED" "$HANDOFF_FILE"
    """
    result = plugin.run("bash", "-c", recipe)
    assert result.returncode == 65
    assert b"it is empty" in result.stderr or b"only white space" in result.stderr
    assert state.read_text() == '{"session_count": 4}\n'
    mended = recipe.replace('now | strftime("%Y-%m-%dT%H:%M:%SZ")', '(now | strftime("%Y-%m-%dT%H:%M:%SZ"))')
    ok(plugin.run("bash", "-c", mended))
    assert re.fullmatch(
        r'\{\s+"session_count": 5,\s+"last_update": "\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"\s+\}\n', state.read_text()
    )


def test_guide_writes_and_monitor(plugin: Shell) -> None:
    (plugin.directory / "feature_list.json").write_text('[{"passes": true}, {"passes": true}]')
    text = r"""
    set -euo pipefail
    WRITE="${CLAUDE_PLUGIN_ROOT}/scripts/atomic-write.sh"
    bash "$WRITE" "Hello World" ".claude/status.txt"
    CONTENT=$(jq -n '{status: "running", session: 5}')
    bash "$WRITE" "$CONTENT" ".claude/handoff-context.json"
    TOTAL=$(jq length feature_list.json)
    PASSING=$(jq '[.[] | select(.passes==true)] | length' feature_list.json)
    if [ "$PASSING" -eq "$TOTAL" ]; then
      DONE=$(jq -n --arg reason all_features_passing '{reason: $reason}')
      bash "$WRITE" "$DONE" .claude/sdk_complete.json
    fi
    """
    ok(plugin.run("bash", "-c", text))
    folder = plugin.directory / ".claude"
    assert (folder / "status.txt").read_text() == "Hello World\n"
    assert (folder / "handoff-context.json").read_text() == '{\n  "status": "running",\n  "session": 5\n}\n'
    assert (folder / "sdk_complete.json").read_text() == '{\n  "reason": "all_features_passing"\n}\n'
    ok(plugin.run("env", "-C", "plugin/scripts", "bash", "atomic-write.sh", "x", "../../f"))
    ok(plugin.run("bash", "plugin/scripts/atomic-write.sh", "x", "f"))


def test_shellcheck_finds_nothing() -> None:
    found = subprocess.run(
        [Path(sys.executable).parent / "shellcheck", "-x", "atomic-write.sh", "atomicops.sh"],
        cwd=SHELL, capture_output=True, text=True,
    )  # fmt: skip
    assert (found.stdout, found.returncode) == ("", 0)


@pytest.mark.parametrize("name", [name for name in SHELL_FILES if name.endswith(".pl")])
def test_perl_finds_nothing(name: str) -> None:
    """With strict and warnings; each file may use the functions of the others."""
    found = subprocess.run(
        ["perl", "-Mstrict", "-Mwarnings", "-cw", name, "x86_64-pc-linux-gnu"],
        cwd=SHELL,
        capture_output=True,
        text=True,
    )
    # A file need not use twice what it shares with the others.
    said = [line for line in found.stderr.splitlines() if "used only once" not in line]
    assert (said, found.returncode) == ([f"{name} syntax OK"], 0)


PERLCRITIC = shutil.which("perlcritic")


@pytest.mark.skipif(PERLCRITIC is None, reason="perlcritic is missing: Debian's package libperl-critic-perl")
def test_perlcritic_finds_nothing() -> None:
    """Severity 5 (gentle), but for what perlcriticrc says, with reasons."""
    assert PERLCRITIC
    profile = Path(__file__).with_name("perlcriticrc")
    names = [name for name in SHELL_FILES if name.endswith(".pl")]
    found = subprocess.run(
        [PERLCRITIC, "--severity", "5", "--profile", str(profile), *names], cwd=SHELL, capture_output=True, text=True
    )
    assert (found.stdout.splitlines(), found.returncode) == ([f"{name} source OK" for name in names], 0)
