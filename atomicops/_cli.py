# Copyright (c) the atomicops developers. SPDX-License-Identifier: MIT
"""The command line: what each subcommand takes and does. How errors end is in ``_exits``."""

from __future__ import annotations

import argparse
import os
import sys

from . import __version__, _exits
from ._cli_edit import ACTIONS, Edit, Filter, apply_edits
from ._errors import display

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import NoReturn

_EXITS = """\
exit codes:
  0   done, and as durable as asked
  64  usage
  65  invalid data, or nothing valid to restore; the file is unchanged
  66  no such file
  69  a needed program is missing
  73  the file cannot be made or replaced there
  74  I/O error, could not check, or committed but not durable: the message says which
  75  somebody else held the lock all the time, or it was lost before anything was changed
  76  the file no longer has the expected version
"""


_WRITE = """\
examples:
  python -m atomicops write '{"status": "running"}' state.json
  make-report | python -m atomicops write - report.txt
  python -m atomicops write --if-version absent "$HOSTNAME" leader    # only the first one gets to make it"""
_APPEND = """\
examples:
  python -m atomicops append "$(date): started" progress.txt
  run-tests 2>&1 | python -m atomicops append --in-place - test.log"""
_READ = """\
Takes no lock and never waits: writers replace files as a whole.

examples:
  python -m atomicops read state.json
  python -m atomicops read --default '{}' state.json
  version=$(python -m atomicops read --version state.json)"""
_UPDATE = """\
PATH is keys joined by dots, as in counts.tests or features.0.passes; for keys that hold dots, a JSON Pointer
(RFC 6901), as in /features/0/passes. Edits are made in the order given. Or, after '--', give a command that reads
the document from standard input and prints the new one; it runs under the lock.

examples:
  python -m atomicops update state.json --increment session_count --set status='"running"'
  python -m atomicops update state.json --default '{}' --append log='{"event": "start"}'
  python -m atomicops update state.json -- jq '.features |= map(select(.passes | not))'"""
_RECOVER = """\
Says what it found, which backup the content came from, and where the corrupt bytes are kept
(FILE.SECONDS.corrupt). Restores the newest backup that is valid itself. A missing file is reported (exit 66), and
restored only with --restore-missing: it may be missing on purpose."""
_SWEEP = """\
A killed writer leaves its temp file (.NAME.<32 hex digits>.atomicops-tmp) behind. It is removed only while holding
its lock and that of its target, which its writer would hold if it were alive; else it is left "in use"."""
_VENDOR = """\
then, from Python:   sys.path.insert(0, "DIR"); from atomic_file_ops import atomic_write_json
and from Bash:       bash DIR/atomic-write.sh "$CONTENT" FILE      or      source DIR/atomicops.sh"""


_DASHES = "\0--"  # a word that follows "--"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        _exits.say(f"atomicops: {self.prog}: {message}; try '{self.prog} --help'")
        sys.exit(_exits.USAGE)

    def _print_message(self, message: str, file: object = None) -> None:
        """Help and version: where they can't be written that is said, which not every version of argparse does."""

        def write() -> int:
            _exits.write_out(message.encode())
            return 0

        if code := _exits.guarded(write, None):
            sys.exit(code)


def main(argv: Sequence[str]) -> int:
    """Run one subcommand and return its exit code."""
    command: list[str] = []
    if "--" in argv and argv[:1] == ["update"]:
        cut = list(argv).index("--")
        argv, command = argv[:cut], list(argv[cut + 1 :])
    elif "--" in argv:  # argparse would drop each, and no argument of a process can hold a NUL
        cut = list(argv).index("--") + 1
        argv = [*argv[:cut], *(_DASHES if word == "--" else word for word in argv[cut:])]
    parser, commands = _parser()
    if argv and argv[0] not in commands and not argv[0].startswith("-"):
        parser.error(f"no command {argv[0]!r}{_meant(argv[0], commands)}")
    arguments, unknown = parser.parse_known_args(list(argv))
    if unknown:
        options = [option for action in commands[argv[0]]._actions for option in action.option_strings]
        parser.error(
            f"unknown argument {unknown[0].lstrip(_DASHES[0])!r}{_meant(unknown[0].partition('=')[0], options)}"
        )
    vars(arguments).update(dict.fromkeys((name for name, value in vars(arguments).items() if value == _DASHES), "--"))
    if getattr(arguments, "file", None) == "":
        return _exits.complain(_exits.USAGE, "''", "an empty path", "name a file")
    arguments.command = command
    run: Callable[[argparse.Namespace], int] = arguments.run
    return _exits.guarded(lambda: run(arguments), getattr(arguments, "file", None))


def _meant(word: str, known: Iterable[str]) -> str:
    from difflib import get_close_matches

    close = get_close_matches(word, list(known), 1)
    return f", did you mean {close[0]!r}?" if close else ""


def _parser() -> tuple[_Parser, Mapping[str, argparse.ArgumentParser]]:
    parser = _Parser(
        prog="python -m atomicops",
        description="Replace, append to, update, back up and recover small files that several processes share.",
        epilog=_EXITS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"atomicops {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=_Parser)

    def add(name: str, run: Callable[[argparse.Namespace], int], summary: str, more: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(
            name,
            help=summary,
            description=f"{summary[0].upper()}{summary[1:]}.",
            epilog=f"{more}\n\n{_EXITS}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        sub.set_defaults(run=run)
        return sub

    write = add("write", _write, "replace a file: readers see the old or the new content, never a part", _WRITE)
    write.add_argument(
        "content", metavar="CONTENT|-", help="the text, to which a newline is added; '-' reads stdin as is"
    )
    write.add_argument("file", metavar="FILE", help="the file; missing parent directories are made")
    write.add_argument(
        "--if-version", metavar="V", help="only if the file has this version ('read --version'); 'absent'"
    )
    write.add_argument("--no-validate", action="store_true", help="do not check that a .json file gets one JSON value")
    _common(write)

    append = add("append", _append, "append text under the file's lock: no append is lost or doubled", _APPEND)
    append.add_argument("text", metavar="TEXT|-", help="the text, to which a newline is added; '-' reads stdin as is")
    append.add_argument("file", metavar="FILE")
    append.add_argument("--in-place", action="store_true", help="for logs: write at the end, whatever the file's size")
    _common(append)

    read = add("read", _read, "print a file; a .json one only if it is valid", _READ)
    read.add_argument("file", metavar="FILE")
    read.add_argument("--json", action="store_true", help="expect JSON whatever the file is called")
    read.add_argument("--default", metavar="TEXT", help="print this if the file is missing or corrupt")
    read.add_argument("--version", action="store_true", help="print the version instead, for 'write --if-version'")

    update = add("update", _update, "read, change and replace a JSON file in one step, under its lock", _UPDATE)
    update.add_argument("file", metavar="FILE")
    update.add_argument("--default", metavar="JSON", help="what to start from if the file is missing")
    for option, form, what in (
        ("set", "PATH=JSON", "set a value; objects on the way are made"),
        ("increment", "PATH[=N]", "add N (1) to a number; a missing one counts as 0"),
        ("append", "PATH=JSON", "append to an array; a missing one is made"),
        ("delete", "PATH", "remove a key or an element; a missing one is fine"),
    ):
        update.add_argument(f"--{option}", dest="edits", metavar=form, help=what, action="append", type=ACTIONS[option])
    _common(update)

    backup = add("backup", _backup, "copy a file to FILE.SUFFIX.bak, whole and never over another; print the path", "")
    backup.add_argument("file", metavar="FILE")
    backup.add_argument("suffix", metavar="SUFFIX", nargs="?", help="default: the seconds since 1970")
    _common(backup)

    listing = add("list-backups", _list, "print the paths of a file's backups, newest first", "")
    listing.add_argument("file", metavar="FILE")

    prune = add("prune", _prune, "delete all but the newest backups of a file; print what was deleted", "")
    prune.add_argument("file", metavar="FILE")
    prune.add_argument("--keep", metavar="N", type=_count, required=True, help="how many to keep")
    _timeout(prune)

    recover = add(
        "recover", _recover, "validate a JSON file; if it is corrupt, restore the newest valid backup", _RECOVER
    )
    recover.add_argument("file", metavar="FILE")
    recover.add_argument("--restore-missing", action="store_true", help="restore also if the file is not there")
    recover.add_argument("--backup", action="store_true", help="make a backup of the valid or restored file too")
    recover.add_argument("--any", action="store_true", help="not a JSON file: anything but an empty one is valid")
    _common(recover)

    sweep = add("sweep", _sweep, "remove temp files whose writer is provably gone", _SWEEP)
    sweep.add_argument("file", metavar="DIR", help="the directory; those below it are left alone")

    vendor = add("vendor", _vendor, "copy the helpers into a folder, to be used with nothing installed", _VENDOR)
    vendor.add_argument("file", metavar="DIR", help="made if it is missing; files of the same names are replaced")
    return parser, commands.choices


def _common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--durability",
        choices=("full", "file", "none"),
        default="full",
        help="sync the file and its directory (full, the default), the file, or nothing",
    )
    _timeout(parser)


def _timeout(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--timeout", metavar="S", type=_seconds, default=30.0, help="seconds to wait for the lock (30), or 'none'"
    )


def _seconds(text: str) -> float | None:
    if text in ("none", ""):
        return None
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e9:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds like 30 or 0.5, nor none")
    return value


def _count(text: str) -> int:
    if not text.isdecimal() or len(text) > 18:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number, 0 or more")
    return int(text)


def _content(text: str) -> bytes:
    return _exits.read_in() if text == "-" else os.fsencode(text) + b"\n"


def _write(a: argparse.Namespace) -> int:
    from ._write import atomic_write_bytes

    atomic_write_bytes(
        _content(a.content),
        a.file,
        durability=a.durability,
        if_version=a.if_version,
        timeout=a.timeout,
        validate=not a.no_validate,
    )
    return 0


def _append(a: argparse.Namespace) -> int:
    from ._append import append_bytes

    append_bytes(_content(a.text), a.file, a.in_place, a.durability, a.timeout)
    return 0


def _read(a: argparse.Namespace) -> int:
    from ._json import why_not_json
    from ._paths import locate
    from ._replace import read_bytes, version

    data, name = None, b""
    try:
        with locate(a.file) as place:
            data, name = read_bytes(place), place.name
    except (FileNotFoundError, NotADirectoryError):
        pass
    if a.version:
        _exits.show(version(data))
        return 0
    is_json = a.json or a.file.endswith(".json") or name.endswith(b".json")
    reason = "no such file" if data is None else why_not_json(data) if is_json else None
    if reason is not None or data is None:
        if a.default is None:
            if data is None:
                return _exits.complain(_exits.MISSING, a.file, "no such file or directory", "check the name")
            todo = "recover it from its newest valid backup"
            return _exits.complain(_exits.DATA, a.file, f"corrupt: {reason}", todo)
        data = os.fsencode(a.default) + b"\n"
    _exits.write_out(data)
    return 0


def _update(a: argparse.Namespace) -> int:
    from ._json import update_json

    edits: list[Edit] = a.edits or []
    if bool(edits) == bool(a.command):
        why = "give either edits or, after '--', a command" if edits else "nothing to do: no edit and no command"
        return _exits.complain(_exits.USAGE, "update", why, "try 'python -m atomicops update --help'")
    default = {} if a.default is None else {"default": _exits.json_argument(a.default)}
    if a.command:
        return Filter(a.command).run(a.file, a.default, a.durability, a.timeout)
    update_json(a.file, lambda data: apply_edits(data, edits), **default, durability=a.durability, timeout=a.timeout)
    return 0


def _backup(a: argparse.Namespace) -> int:
    from ._backup import check_suffix, create_backup

    if a.suffix is not None:
        try:
            check_suffix(a.suffix)
        except ValueError as error:
            return _exits.complain(_exits.USAGE, a.file, str(error), "choose another suffix")
    _exits.show(create_backup(a.file, a.suffix, durability=a.durability, timeout=a.timeout))
    return 0


def _list(a: argparse.Namespace) -> int:
    from ._backup import list_backups

    _exits.show(*list_backups(a.file))
    return 0


def _prune(a: argparse.Namespace) -> int:
    from ._backup import prune_backups

    _exits.show(*prune_backups(a.file, a.keep, timeout=a.timeout))
    return 0


def _recover(a: argparse.Namespace) -> int:
    from ._recover import recover

    done = recover(
        a.file,
        validate=(lambda data: bool(data)) if a.any else None,
        restore_missing=a.restore_missing,
        backup=a.backup,
        durability=a.durability,
        timeout=a.timeout,
    )
    _exits.show(done.report())
    if done.ok:
        return 0
    if done.status != "missing":
        return _exits.complain(_exits.DATA, a.file, "corrupt, and no valid backup (unchanged)", "write it anew")
    if done.restored_from is None:
        return _exits.complain(_exits.MISSING, a.file, "missing, and no valid backup", "check the name")
    return _exits.complain(_exits.MISSING, a.file, "missing (unchanged)", "restore it with --restore-missing")


def _sweep(a: argparse.Namespace) -> int:
    from ._sweep import sweep_orphans

    swept = sweep_orphans(a.file)
    found = [("removed", name) for name in swept.removed] + [("in use", name) for name in swept.in_use]
    _exits.show(*(f"{state} {display(name)}" for state, name in found))
    return 0


def _vendor(a: argparse.Namespace) -> int:
    from ._vendor import vendor

    try:
        _exits.show(*vendor(a.file))
    except PermissionError as error:
        vars(error)["todo"] = "choose a directory that you may write to"
        raise
    return 0
