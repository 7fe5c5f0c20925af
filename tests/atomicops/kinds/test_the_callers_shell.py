"""Nothing in the caller's shell alters what the helpers do, and they alter nothing of the caller's."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from tests.atomicops.both import LIMIT_S, Helpers

HELPERS = Helpers()

WORK = """
work() {
  atomic_write '{"n": 1}' s.json && atomic_update s.json '.n += 1' && atomic_append 'a line' log &&
    atomic_backup s.json mark >/dev/null && atomic_write - s.json <valid && atomic_read s.json >/dev/null &&
    atomic_version s.json >/dev/null && with_lock s.json inner && atomic_sweep . >/dev/null && cp torn s.json &&
    atomic_recover s.json >/dev/null
}
inner() { atomic_append 'another' log; }
"""
"""All operations one after the other; afterwards s.json is what its backup had, and log has two lines."""

STATE = """
state() {
  set +o; shopt; trap; declare -f work inner; alias
  printf '%s\\n' "$IFS" "$PWD" "${LC_ALL-unset}" "$-" "$(umask)" "$(ulimit -a)"
  ls /proc/$$/fd
}
"""

SETTINGS = {
    "nothing": ":",
    "set -f": "set -f",
    "failglob": "shopt -s failglob",
    "globbing": "shopt -s nullglob dotglob globstar extglob nocaseglob nocasematch; GLOBIGNORE='*'",
    "set -euo pipefail": "set -euo pipefail; shopt -s inherit_errexit",
    "traps of the shell": "set -ET; trap ': e' ERR; trap ': d' DEBUG; trap ': r' RETURN; trap ': >left' EXIT",
    "traps that print": "set -ET; trap 'echo e' ERR; trap 'echo d' DEBUG; trap 'echo r' RETURN",
    "traces on standard output": "BASH_XTRACEFD=1; set -x",
    "traps of signals": "trap ': int' INT; trap '' HUP; trap ': term' TERM; trap '' PIPE",
    "set -C, -a, -k": "set -C -a -k",
    "posix": "set -o posix",
    "POSIXLY_CORRECT": "export POSIXLY_CORRECT=1",
    "IFS": "IFS='0123456789/._ae'",
    "IFS unset": "unset IFS",
    "a locale": "export LC_ALL=de_DE.UTF-8 LANG=tr_TR.UTF-8",
    "a locale that stays": "LC_ALL=C.UTF-8; readonly LC_ALL",
    "set +h": "set +h",
    "no locale": "unset LC_ALL LANG; export LC_NUMERIC=de_DE.UTF-8",
    "variables": "export HOSTTYPE=vax CDPATH=/tmp:/ TMPDIR=/none BASH_ENV=/none ENV=/none; umask 077; unset HOME",
    "aliases": "shopt -s expand_aliases; alias perl=false jq=false printf=false local=false cat=false command=false",
    "functions like programs": "perl() { echo mine; }; jq() { echo mine; }; flock() { :; }; export -f perl flock",
    "functions like builtins": "printf() { :; }; local() { :; }; command() { :; }; builtin() { :; }; hash() { :; }",
    "more functions like builtins": "exec() { :; }; read() { :; }; shift() { :; }; return() { :; }; trap() { :; }; "
    "kill() { :; }; declare() { :; }; unset() { :; }; eval() { :; }; set() { :; }; test() { :; }; export() { :; }",
    "functions that fail": "for f in printf true hash type readlink shopt declare command; do "
    'eval "$f() { return 1; }"; done',
    "Perl's variables": "export PERL5OPT=-MNoSuchModule PERL5LIB=/none PERL_UNICODE=63 PERLIO=:crlf PERL5DB=1 "
    "PERL_SIGNALS=unsafe PERL_HASH_SEED=0 PERL_HASH_SEED_DEBUG=1",
    "Perl's variables, and they stay": "export PERL5OPT=-MNoSuchModule PERL5LIB=/none PERL_UNICODE=63; "
    "readonly PERL5OPT PERL5LIB PERL_UNICODE",
    "no braces": "set +B",
    "variables like ours": "fd=x lock=x path=x file=x status=x name=x; readonly fd lock path file status name",
    "lastpipe": "shopt -s lastpipe; set +m",
    "job control": "set -m",
    "descriptors in use": "exec 3</dev/null 4</dev/null 8</dev/null 9</dev/null 10</dev/null 11</dev/null",
    "other options": "shopt -s execfail checkjobs extdebug xpg_echo compat43",
}


def lay_out(folder: Path) -> None:
    (folder / "valid").write_text('{"n": 2}')
    (folder / "torn").write_text("{")


RENAMED = (
    "functions that fail",
    "more functions like builtins",
    "functions like builtins",
    "aliases",
    "globbing",
    "IFS",
)
"""With these the shell cannot print its own state as before."""


@pytest.mark.parametrize("setting", SETTINGS)
def test_all_operations_under_a_setting(tmp_path: Path, setting: str) -> None:
    """They do what they do, and options, traps, aliases, descriptors, IFS, umask, limits and folder are as before."""
    look = ":" if setting in RENAMED else "state"
    script = f"""
    . "$0/atomicops.sh"
    {WORK}
    {STATE}
    {{ {SETTINGS[setting]}; }} >/dev/null 2>&1
    {look} >|before
    work
    code=$?
    {look} >|after
    exit "$code"
    """
    lay_out(tmp_path)
    done = HELPERS.bash(script, cwd=tmp_path)
    assert (done.code, done.err) == (0, ""), done
    assert "".join((tmp_path / "s.json").read_text().split()) == '{"n":2}'
    assert (tmp_path / "log").read_text() == "a line\nanother\n"
    left = {name for name in os.listdir(tmp_path) if not name.endswith((".lock", ".bak", ".corrupt"))}
    assert left - {"left"} == {"s.json", "log", "valid", "torn", "before", "after"}
    assert (tmp_path / "left").exists() == (setting == "traps of the shell")
    assert (tmp_path / ".s.json.lock").stat().st_size == 0
    assert (tmp_path / "after").read_text() == (tmp_path / "before").read_text()
    assert (tmp_path / "before").read_text() or look == ":"


@pytest.mark.parametrize(
    "setting", [name for name in SETTINGS if name not in ("traps that print", "traces on standard output")]
)
def test_nothing_else_is_printed_under_a_setting(tmp_path: Path, setting: str) -> None:
    (tmp_path / "s.json").write_text("[1]")
    script = f'. "$0/atomicops.sh"; {{ {SETTINGS[setting]}; }} >/dev/null 2>&1; atomic_read s.json; atomic_read none'
    done = HELPERS.bash(script, cwd=tmp_path)
    assert (done.code, done.out, done.err) == (66, "[1]", "atomicops: none: no such file; check the name\n")


@pytest.mark.parametrize(
    "setting", ["nothing", "set -f", "failglob", "traps of signals", "posix", "descriptors in use"]
)
def test_a_failure_alters_nothing_either(tmp_path: Path, setting: str) -> None:
    script = f"""
    . "$0/atomicops.sh"
    {WORK}
    {STATE}
    {{ {SETTINGS[setting]}; }} >/dev/null
    state >before
    mkdir .s.json.lock
    work 2>/dev/null && echo strange
    atomic_read none 2>/dev/null; with_lock s.json true 2>/dev/null
    state >after
    """
    lay_out(tmp_path)
    assert HELPERS.bash(script, cwd=tmp_path).out == ""
    assert (tmp_path / "after").read_text() == (tmp_path / "before").read_text() != ""


CALLS = {
    "write": "atomic_write '{\"n\": 1}' s.json",
    "append": "atomic_append x s.json.log",
    "update": "atomic_update s.json '.n += 1'",
    "backup": "atomic_backup s.json",
    "read": "atomic_read s.json",
    "recover": "atomic_recover s.json",
    "with_lock": "with_lock s.json true",
}


FROM_STANDARD_INPUT = r"""
. "$DIR/atomicops.sh"
f() {
  read=$(atomic_read s.json) && ( atomic_update s.json .n+=1 ) || exit
  x=$(with_lock s.json atomic_update s.json .n+=1) && atomic_update s.json .n+=1
}
read=$(atomic_read s.json) && [ "$read" = '{"n": 0}' ] && version=$(atomic_version s.json) &&
  kept=$(atomic_backup s.json) && [ -e "$kept" ] && with_lock s.json f && x=$(with_lock s.json f) && echo "done"
"""


@pytest.mark.parametrize("way", ["bash <script", "cat script | bash", "bash script"])
def test_a_script_that_bash_reads_from_standard_input(tmp_path: Path, way: str) -> None:
    """As `ssh host bash <script` has it, and `curl | bash`: to copy that descriptor for reading, where the output of a
    command is taken, ends bash 5.2 by SIGSEGV.
    """
    (tmp_path / "s.json").write_text('{"n": 0}\n')
    (tmp_path / "script").write_text(FROM_STANDARD_INPUT)
    done = HELPERS.run(["sh", "-c", way], cwd=tmp_path, env={"DIR": str(HELPERS.shell)})
    assert (done.code, done.out, done.err) == (0, "done\n", "")
    assert json.loads((tmp_path / "s.json").read_text()) == {"n": 6}


@pytest.mark.parametrize("shell", ["dash", "zsh", "ksh", "busybox"])
def test_another_shell_is_told_so(tmp_path: Path, shell: str) -> None:
    """In one line: `sh atomic-write.sh` is soon typed, and other shells read neither file to its end."""
    if not shutil.which(shell):
        pytest.skip(f"{shell} is missing")
    command = [shell, "sh"] if shell == "busybox" else [shell]
    script = HELPERS.shell / "atomic-write.sh"
    for arguments in ([script, "x", "f"], ["-c", f". '{HELPERS.shell}/atomicops.sh'"]):
        done = HELPERS.run([*command, *map(str, arguments)], cwd=tmp_path)
        assert (done.code, done.refused, os.listdir(tmp_path)) == (69, True, []), done
        assert "use bash" in done.err


@pytest.mark.parametrize(
    ("version", "code"),
    [("3.2.57(1)-release", 69), ("4.3.48(1)-release", 69), ("4.4.0(1)-release", 0), ("10.0.1(1)-release", 0)],
)
def test_which_versions_of_bash_are_refused(tmp_path: Path, version: str, code: int) -> None:
    done = HELPERS.bash(f'BASH_VERSION="{version}"; . "$0/atomicops.sh"', cwd=tmp_path)
    assert (done.code, done.refused) == (code, code != 0), done
    # The script says no more than that.
    (tmp_path / "older").write_text(f'BASH_VERSION="{version}"')
    command = ["bash", str(HELPERS.shell / "atomic-write.sh"), "x", "f"]
    done = HELPERS.run(command, cwd=tmp_path, env={"BASH_ENV": str(tmp_path / "older")})
    assert (done.code, done.refused, (tmp_path / "f").exists()) == (code, code != 0, code == 0), done


def test_a_restricted_bash_is_refused(tmp_path: Path) -> None:
    """It finds the file by PATH: a name with a slash is refused by bash itself."""
    done = HELPERS.run(["bash", "-rc", ". atomicops.sh"], cwd=tmp_path, env={"PATH": f"{HELPERS.shell}:/usr/bin:/bin"})
    assert (done.code, done.refused, "without -r" in done.err) == (69, True, True), done


def test_no_status_is_asked_for_beside_a_command_substitution() -> None:
    """In POSIX mode `f "$(command)" "$?"` passes on the status of the command before, since bash 5.3."""
    for script in HELPERS.shell.glob("*.sh"):
        for line in script.read_text().splitlines():
            assert not re.search(r"\$\([^(].*\$\?", line), line


@pytest.mark.parametrize("closed", ["<&- >&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("call", CALLS)
def test_closed_descriptors(tmp_path: Path, call: str, closed: str) -> None:
    """Nothing that the helpers open becomes standard output, or error, by its number."""
    (tmp_path / "s.json").write_text('{"n": 1}')
    done = HELPERS.bash(f'. "$0/atomicops.sh"; {CALLS[call]} {closed}', cwd=tmp_path)
    assert done.code in (0, 74), done
    assert done.code == 0 or call in ("backup", "read", "recover"), done
    for lock in tmp_path.glob(".*.lock"):
        assert lock.read_bytes() == b""
    assert "".join((tmp_path / "s.json").read_text().split()) in ('{"n":1}', '{"n":2}')
    assert all(copy.read_text() == '{"n": 1}' for copy in tmp_path.glob("*.bak"))


@pytest.mark.parametrize(
    "call", ["atomic_read u", "with_lock f/x true", "atomic_write 1 f/x", "atomic_backup u", "atomic_recover u"]
)
@pytest.mark.parametrize("setting", ["export POSIXLY_CORRECT=1", "set -o posix", "shopt -s failglob", "set -C"])
def test_a_failure_does_not_end_the_caller(tmp_path: Path, call: str, setting: str) -> None:
    (tmp_path / "u").mkdir()
    (tmp_path / "f").write_text("")
    done = HELPERS.bash(f'. "$0/atomicops.sh"; {setting}; {call}; echo "survived with $?"', cwd=tmp_path)
    assert done.out in ("survived with 73\n", "survived with 66\n"), done
    assert done.err.count("\n") == 1, done


def test_a_function_in_with_lock_may_change_its_shell(tmp_path: Path) -> None:
    """It is the caller's own function, in the caller's own shell."""
    script = """
    . "$0/atomicops.sh"
    f() { x=changed; trap 'echo mine' USR1; cd /; set -f; return 3; }
    with_lock s.json f
    echo "$? $x $PWD"; trap -p USR1; [[ $- == *f* ]] && echo f
    """
    done = HELPERS.bash(script, cwd=tmp_path)
    assert done.out.split("\n")[:3] == ["3 changed /", "trap -- 'echo mine' SIGUSR1", "f"], done


@pytest.mark.parametrize("name", ["command", "readlink", "printf", "builtin", "unset", "perl"])
@pytest.mark.parametrize("call", ["bash links/atomic-write.sh {} f", ". links/atomicops.sh; atomic_write {} f"])
def test_a_function_of_the_callers_hides_no_program_by_way_of_a_link(tmp_path: Path, call: str, name: str) -> None:
    (tmp_path / "links").mkdir()
    for file in ("atomic-write.sh", "atomicops.sh"):
        (tmp_path / "links" / file).symlink_to(HELPERS.shell / file)
    done = HELPERS.bash(f"{name}() {{ echo mine; }}; export -f {name}; {call}", cwd=tmp_path)
    assert (done.code, done.out, done.err, (tmp_path / "f").read_text()) == (0, "", "", "{}\n")


def test_an_alias_of_the_callers_hides_no_command_of_the_script(tmp_path: Path) -> None:
    """A file that BASH_ENV names is read before it, and may have them expanded."""
    names = "command printf readlink unset exit exec hash true perl . source"
    (tmp_path / "aliases").write_text(
        "shopt -s expand_aliases\n" + "".join(f"alias {n}=false\n" for n in names.split())
    )
    (tmp_path / "link").symlink_to(HELPERS.shell / "atomic-write.sh")
    env = {"BASH_ENV": str(tmp_path / "aliases")}
    done = HELPERS.run(["bash", str(tmp_path / "link"), "{}", "f"], cwd=tmp_path, env=env)
    assert (done.code, done.err, (tmp_path / "f").read_text()) == (0, "", "{}\n")
    assert HELPERS.run(["bash", str(tmp_path / "link"), "--help"], cwd=tmp_path, env=env).out.startswith("usage:")


def test_a_function_in_with_lock_may_source_the_helpers_again(tmp_path: Path) -> None:
    """As a library does that is loaded when it is needed: what the shell holds is not forgotten."""
    script = '. "$0/atomicops.sh"; f() { . "$0/atomicops.sh"; atomic_append x log; }; with_lock log f'
    done = HELPERS.bash(script, cwd=tmp_path, env={"ATOMICOPS_LOCK_TIMEOUT": "1"})
    assert (done.code, done.err, (tmp_path / "log").read_text()) == (0, "", "x\n")


@pytest.mark.parametrize(
    "call",
    [
        'atomic_update s.json "$long"',
        'atomic_update --default "$long" s.json .',
        'atomic_write --if-version "$long" x s.json',
        'atomic_write "$long"',
        'with_lock "$long" true',
    ],
)
def test_what_no_program_takes_as_an_argument(tmp_path: Path, call: str) -> None:
    """Bash would say so twice, and end with 126."""
    (tmp_path / "s.json").write_text("1")
    script = f'. "$0/atomicops.sh"; long=é; for i in {{1..16}}; do long+=$long; done; {call}'
    for locale in ("C", "C.UTF-8"):
        done = HELPERS.bash(script, cwd=tmp_path, env={"LC_ALL": locale})
        assert (done.code, done.refused, "131072 bytes" in done.err) == (64, True, True), done


@pytest.mark.parametrize("variable", ["PERL5LIB", "PERLLIB"])
def test_no_module_of_the_callers_is_loaded(tmp_path: Path, variable: str) -> None:
    """PERLLIB counts where PERL5LIB is not there."""
    for module in ("Digest/SHA.pm", "Time/HiRes.pm", "Cwd.pm"):
        (tmp_path / "lib" / module).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "lib" / module).write_text("print STDERR qq(mine\\n); exit 3;")
    (tmp_path / "s.json").write_text("1")
    call = "atomic_version s.json && atomic_backup s.json x && with_lock s.json true"
    script = f'unset PERL5LIB PERLLIB; export {variable}="$PWD/lib"; . "$0/atomicops.sh"; {call}'
    done = HELPERS.bash(script, cwd=tmp_path)
    assert (done.code, done.err) == (0, ""), done


def test_a_message_is_written_in_one_piece(tmp_path: Path) -> None:
    """Beside others on the same terminal: a socket tells what is written at once."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with ours, theirs:
        command = ["bash", "-c", '. "$0/atomicops.sh"; atomic_read none', str(HELPERS.shell)]
        done = subprocess.run(command, cwd=tmp_path, stderr=theirs.fileno(), env=HELPERS.environment(), timeout=LIMIT_S)
        assert (done.returncode, ours.recv(1000)) == (66, b"atomicops: none: no such file; check the name\n")


def test_names_of_all_kinds(tmp_path: Path) -> None:
    for name in (
        "a b",
        "-n",
        "*",
        "a\nb",
        "~$(x)'\"\\;%s",
        "é",
        "a" * 200,
        "[x]{a,b}.json",
        "-",
    ):
        script = """
        . "$0/atomicops.sh"
        atomic_write '{"n": 1}' "$1" && atomic_update "$1" '.n += 1' && atomic_backup "$1" '*' >/dev/null &&
          printf %s "$(atomic_read "$1")" && with_lock "$1" true && atomic_recover "$1" >/dev/null
        """
        done = HELPERS.bash(script, f"./{name}" if name == "-" else name, cwd=tmp_path)
        assert (done.code, done.err) == (0, ""), (name, done)
        assert "".join((tmp_path / name).read_text().split()) == '{"n":2}', name
        assert "".join(done.out.split()) == '{"n":2}', name
