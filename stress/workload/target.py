"""Targets: what is tested. A Python module that defines operations, a Bash file beside it, or commands in a TOML file.

A target that ships with scenarios is the same kind of file as a user's own; `load` takes either. The operations
and constants that a module may define are listed in `Target`.
"""

from __future__ import annotations

import fnmatch
import importlib
import importlib.util
import inspect
import os
import re
import shlex
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import tomllib

from stress import plugins
from stress.files import why_unreadable
from stress.history.kinds import is_label
from stress.registry import Registry, close_names
from stress.workload.catalog import target_folders
from stress.workload.module import TargetError as TargetError
from stress.workload.module import asked, execute, executed, one_line
from stress.workload.tree import is_temporary

T = TypeVar("T")

OPERATIONS = ("write", "read", "update", "append", "backup", "recover", "lock", "sweep")
"""What a target can do. ``lock`` and ``sweep`` are not operations of a scenario, but help to judge: see `Target`."""

BUILT_IN = ("python", "bash", "command")
"""Labels of languages that the harness has a side of its own for."""

_RESIDUE = ("*lock", "*locks", "*.lck", "*.bak", "*.corrupt")


class DefiniteFailure(Exception):
    """Raised by a target's operation that certainly changed nothing. Any other exception means: unknown."""


@dataclass(frozen=True)
class Target:
    """A target, loaded. In a Python module ``mine.py`` it is made of, each of them optional:

    - ``write(path, document)``, ``read(path) -> document`` (None or FileNotFoundError: there is none),
      ``update(path, change)`` with ``change(document) -> document``, ``append(path, text)``, ``backup(path) ->
      path``, ``recover(path)``;
    - ``lock(path)``, a context manager that excludes every other writer of ``path``: hold intervals are then checked;
    - ``sweep(directory)``, which removes what killed writers left behind;
    - constants ``ABOUT``, ``EXPECTS``, ``ALLOW``, ``FAULTS``, ``RESIDUE``, ``EXCLUSIVE``, ``OBSERVE``, ``SCENARIOS``:
      see the fields below;
    - ``WORKER`` and ``LANGUAGE``: a program in any language that does the operations too, as in a TOML file;
    - ``mine.bash`` beside it, with ``target_write PATH CONTENTFILE`` and so on.

    Paths are `str`, relative to the current directory; documents are JSON values. A target may keep fields of its own
    at the top of a document, under names that begin with ``_``.
    """

    name: str
    path: Path
    about: str = ""
    expects: tuple[str, ...] = ()
    """Anomalies that must be found in it: it is broken on purpose."""
    allow: tuple[str, ...] = ()
    """Anomalies that are known of it, and not judged."""
    faults: Mapping[str, str] = field(default_factory=dict)
    """Nemesis options without which they do not show, such as ``{"fill_every": "200ms", "pause_for": "6s"}``."""
    scenarios: tuple[str, ...] = ()
    """Where they show best; none: ``bridge``."""
    residue: tuple[str, ...] = _RESIDUE
    """Patterns (`fnmatch`) of base names that may stay after a clean run."""
    exclusive: bool = False
    """Whether ``update`` claims to hold a lock while its ``change`` runs."""
    observe: bool = True
    """Whether the file at a path is the document. If not (a database; a file that is only whole for who has its lock),
    outsiders read with the target's ``read`` too, and nobody opens the file itself.
    """
    module: Any = None
    """The object, or the module that ships with scenarios, whose attributes are the operations; None: none is here."""
    announced: frozenset[str] = frozenset()
    """The operations of a module of the user's, which whoever does them executes for himself: see `side`."""
    forgets: bool = False
    """Whether a module of the user's has a function ``forget``, which makes it as good as new between schedules."""
    bash: Path | None = None
    """The file of Bash functions, where there is one."""
    commands: Mapping[str, str] = field(default_factory=dict)
    """Operation → command line, from a TOML file."""
    worker: tuple[str, ...] = ()
    """The program that speaks the line protocol, with its arguments; none: there is no such side."""
    language: str = ""
    """What its worker is written in, for reports and ``--mix``."""

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that it is made of, as far as it is known: its module or commands, and its Bash functions."""
        return (self.path,) if self.bash is None else (self.path, self.bash)

    @property
    def operations(self) -> frozenset[str]:
        """The operations of the Python side."""
        return self.announced or _operations_of(self.module)

    def side(self) -> Any:
        """What has the operations as attributes; None: there is no Python side.

        A module of the user's is executed in the process that calls this, once. The tool does not: what a module opens,
        starts and replaces when it is imported, each worker has for itself, as programs have that import it, and
        nothing of it is done to the tool.
        """
        return executed(self.path) if self.announced else self.module

    def call(self, operation: str) -> Callable[..., Any] | None:
        """The Python function for ``operation``, or None: in a process that is to do it (see `side`)."""
        function = getattr(self.side(), operation, None) if operation in OPERATIONS else None
        return function if callable(function) else None

    def is_residue(self, base_name: str) -> bool:
        """Whether a file of that name may stay behind; of a target whose files are no documents, all but temp files
        may, for they are its store.
        """
        if not self.observe and not is_temporary(base_name):
            return True
        return any(fnmatch.fnmatchcase(base_name, pattern) for pattern in self.residue)

    def bash_source(self) -> str:
        """For a target of commands: the same as Bash functions, which is what a command worker runs.

        Each command line has a shell of its own, as one that an agent types has: what it does to its shell (``exit``,
        ``cd``, ``exec``, ``set -e``, ``trap``, ``kill $$``) ends with it.
        """
        operands = {"write": '<"$2"', "append": '<"$2"'}
        lines = [f"TARGET_DEFINITE=({' '.join(self.commands.get('definite_failures', '').split())})"]
        for operation in OPERATIONS:
            if operation in self.commands and operation != "lock":
                command = _with_operands(self.commands[operation])
                shell = f'bash --norc --noprofile -c {shlex.quote(_OPERANDS + command)} bash "$@"'
                lines.append(f"target_{operation}() {{\n{shell} {operands.get(operation, '</dev/null')}\n}}")
        return "\n".join(lines) + "\n"


_OPERANDS = "stress_path=$1 stress_filter=$2; "
"""Under names of their own: in a function of the command's, and after a ``shift``, ``$1`` is something else."""


def _with_operands(command: str) -> str:
    """A command line with its operands in place of ``{path}`` and ``{filter}``, whatever quotes it has around them."""
    made, quote = list[str](), ""
    for part in re.split(r"(\\.|['\"]|\{path\}|\{filter\})", command, flags=re.DOTALL):
        if operand := {"{path}": "$stress_path", "{filter}": '$(<"$stress_filter")'}.get(part):
            made.append(operand if quote == '"' else f'{quote}"{operand}"{quote}')
            continue
        if part in ("'", '"') and quote in ("", part):
            quote = "" if quote else part
        elif part == "\\'" and quote == "'":  # a backslash is one there
            quote = ""
        made.append(part)
    return "".join(made)


def names() -> list[str]:
    """The names of the targets that ship with scenarios, that somebody announces, and that are registered."""
    return sorted({*shipped(), *TARGETS, *plugins.targets()})


def origin(name: str) -> str:
    """Who brought the target of that name; empty: it comes with the harness."""
    if name in TARGETS:
        return TARGETS.origin(name)
    announced = plugins.targets()
    return plugins.origin_of(announced[name]) if name in announced else ""


def shipped() -> list[str]:
    """The names of the targets that ship with scenarios."""
    return sorted(path.stem.replace("_", "-") for folder in target_folders() for path in folder.glob("[!_]*.py"))


def libraries() -> list[str]:
    """The names of other people's libraries that are there as targets; each needs its package."""
    return sorted(path.stem for folder in target_folders() for path in (folder / "libraries").glob("[!_]*.py"))


TARGETS: Registry[object] = Registry("target")


def target(name: str) -> Callable[[T], T]:
    """Register the decorated class, object or module, which has the operations of a target as attributes, for
    ``--target NAME``; raises ValueError if that is taken.
    """

    def register(thing: T) -> T:
        TARGETS.add(name, thing)
        return thing

    return register


_adopted: dict[str, Target] = {}


def adopt(thing: object) -> str:
    """Make a target of an object, a class (which is called, without arguments) or a module that has the operations of
    one as attributes; returns the name by which `load` finds it in this process. Raises `TargetError`.

    The name is ``module:qualname`` where there is one, and `load` finds it by that in other processes too, if it can be
    imported there.
    """
    qualname = getattr(thing, "__qualname__", None) or getattr(thing, "__name__", None) or type(thing).__qualname__
    if isinstance(thing, ModuleType):
        name = f"{thing.__name__}:"
    else:
        name = f"{getattr(thing, '__module__', None) or '?'}:{qualname}"
    _adopted[name] = _from_object(name, thing)
    return name


def load(name: str) -> Target:
    """The target of that name, in the file of that path (``.py`` or ``.toml``), or at that place (``module:Class``);
    raises `TargetError`.
    """
    if name in _adopted:
        return _adopted[name]
    if name in TARGETS:
        _adopted[name] = _from_object(name, TARGETS.get(name))
        return _adopted[name]
    key = os.path.realpath(name) if os.path.isfile(name) else name
    if key not in _loaded or _loaded[key][0] != _stamp(_loaded[key][1].path):
        target = _load(name)
        _loaded[key] = _stamp(target.path), target
    return _loaded[key][1]


_loaded: dict[str, tuple[tuple[int, ...], Target]] = {}
"""Name or path → (`_stamp`, target): a module of the user's is executed once in a process, unless its file changes."""


def _stamp(path: Path) -> tuple[int, ...]:
    try:
        status = path.stat()
    except OSError:
        return ()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _load(name: str) -> Target:
    if name.endswith((".py", ".toml")) or "/" in name:
        path = Path(name)
        if why := why_unreadable(name):
            raise TargetError(f"{name!r}: {why}")
        if path.suffix == ".toml":
            return _from_toml(path)
        if path.suffix != ".py":
            raise TargetError(f"{name!r} is neither a Python module (.py) nor a file of commands (.toml)")
        return _from_module(path.stem, path)
    if name in (announced := plugins.targets()):
        try:
            return _from_object(name, announced[name].load())
        except TargetError:
            raise
        except (Exception, SystemExit) as error:
            where = f"of {plugins.origin_of(announced[name])}"
            raise TargetError(f"{name!r} {where} could not be loaded: {plugins.reason(error)}") from error
    if ":" in name:
        return _from_object(name, _imported(name))
    for folder in target_folders():
        for path in (folder / f"{name.replace('-', '_')}.py", folder / "libraries" / f"{name}.py"):
            if "_" not in name and path.is_file():
                return _from_module(name, path)
    raise TargetError(
        f"{name!r} is no target{close_names(name, names() + libraries())}; or give a path to your own .py or .toml file"
    )


def _from_module(name: str, path: Path) -> Target:
    real, bash = path.resolve(), path.with_suffix(".bash")
    beside: dict[str, Any] = {"name": name, "path": real, "bash": bash.resolve() if bash.is_file() else None}
    # Those of the targets that ship with scenarios are known, and take time to import.
    if (shipped := plugins.owner(real)) is not None:
        with shipped.first():
            module = execute(real, str(path))
        return Target(module=module, **beside, **_told(module, str(path), real.parent))

    def told(module: ModuleType) -> dict[str, Any]:
        own = {"announced": sorted(_operations_of(module)), "forgets": hasattr(module, "forget")}
        return _told(module, str(path), real.parent) | own

    said = asked(real, str(path), told)
    fields = {key: tuple(value) if isinstance(value, list) else value for key, value in said.items()}
    return Target(**beside, **fields | {"announced": frozenset(fields["announced"])})


def _told(thing: Any, called: str, folder: Path) -> dict[str, Any]:
    """The fields of `Target` that a module or an object says of itself; raises `TargetError` for what can't be."""
    told = {
        "about": one_line(getattr(thing, "ABOUT", "") or (thing.__doc__ or "").strip().partition("\n")[0]),
        "expects": _texts(thing, "EXPECTS", called),
        "allow": _texts(thing, "ALLOW", called),
        "faults": _constant(thing, "FAULTS", {}, called, 'a table such as {"kill_every": "200ms"}'),
        "scenarios": _texts(thing, "SCENARIOS", called),
        "residue": (*_RESIDUE, *_texts(thing, "RESIDUE", called)),
        "exclusive": _constant(thing, "EXCLUSIVE", False, called, "True or False"),
        "observe": (observe := _constant(thing, "OBSERVE", True, called, "True or False")),
        **(worker := _worker(getattr(thing, "WORKER", None), getattr(thing, "LANGUAGE", None), called, folder)),
    }
    operations = _operations_of(thing)
    for operation in operations:
        function = getattr(thing, operation)
        if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
            raise TargetError(
                f"{called!r}: {operation} is a coroutine, which nobody here awaits; give a plain function, such as "
                f"def {operation}(*args): return asyncio.run(...)"
            )
        if inspect.isgeneratorfunction(function):
            cure = "decorate it with contextlib.contextmanager" if operation == "lock" else "have it return, not yield"
            raise TargetError(f"{called!r}: {operation} is a generator, which does nothing when it is called; {cure}")
    if not operations and not worker:
        raise TargetError(
            f"{called!r} defines none of the operations {', '.join(OPERATIONS[:6])}; see `stress run --help`"
        )
    if not observe and "read" not in operations:
        raise TargetError(f"{called!r} says OBSERVE = False and has no read: nobody could look at what it writes")
    return told


def _operations_of(thing: Any) -> frozenset[str]:
    return frozenset(name for name in OPERATIONS if callable(getattr(thing, name, None)))


def _constant(thing: Any, name: str, default: T, called: str, wanted: str) -> T:
    value = getattr(thing, name, default)
    if not isinstance(value, type(default)):
        raise TargetError(f"{called!r}: {name} = {value!r} is not {wanted}")
    return value


def _texts(thing: Any, name: str, called: str) -> tuple[str, ...]:
    value = getattr(thing, name, ())
    texts = (value,) if isinstance(value, str) else value
    if not isinstance(texts, (tuple, list, set, frozenset)) or not all(isinstance(text, str) for text in texts):
        raise TargetError(f"{called!r}: {name} = {value!r} is not a list of texts")
    return tuple(texts)


def _from_object(name: str, thing: Any) -> Target:
    if isinstance(thing, type):
        try:
            thing = thing()
        except Exception as error:
            raise TargetError(f"{name!r} could not be made: {type(error).__name__}: {one_line(error)}") from error
    path = Path(getattr(sys.modules.get(getattr(thing, "__module__", "") or ""), "__file__", None) or name)
    return Target(name=name, path=path, module=thing, **_told(thing, name, path.parent))


def _imported(name: str) -> Any:
    module, _, qualname = name.partition(":")
    try:
        thing: Any = importlib.import_module(module)
        for part in filter(None, qualname.split(".")):
            thing = getattr(thing, part)
    except Exception as error:
        raise TargetError(
            f"{name!r} could not be imported: {type(error).__name__}: {one_line(error)}; give module:Class"
        ) from error
    return thing


def _from_toml(path: Path) -> Target:
    called = repr(str(path))
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise TargetError(f"{called} is not TOML: {one_line(error)}") from error
    known = {*OPERATIONS, "about", "residue", "definite_failures", "worker", "language", "allow", "observe"} - {"lock"}
    for key, value in content.items():
        if key not in known:
            raise TargetError(f"{called} has an unknown key {key!r}; there are: {', '.join(sorted(known))}")
        if key in OPERATIONS and not isinstance(value, str):
            raise TargetError(f'{called}: {key} must be a command line in quotes, such as {key} = "mytool {{path}}"')
    commands = {key: value for key, value in content.items() if key in OPERATIONS}
    worker = _worker(content.get("worker"), content.get("language"), str(path), path.resolve().parent)
    if bool(commands) == bool(worker):
        both = "a command and a worker" if worker else "no command"
        raise TargetError(
            f"{called} has {both}; give one for any of {', '.join(OPERATIONS[:6])}, or a worker that does them all"
        )
    for operation, command in commands.items():
        if "{path}" not in command:
            raise TargetError(f"{called}: {operation} = {command!r} has no {{path}}; say where the file's path goes")
    if "update" in commands and "{filter}" not in commands["update"]:
        raise TargetError(f"{called}: update = {commands['update']!r} has no {{filter}}; say where the jq filter goes")
    codes = content.get("definite_failures", [])
    if not isinstance(codes, list) or not all(isinstance(code, int) and 0 < code < 256 for code in codes):
        raise TargetError(f"{called}: definite_failures must be a list of exit codes from 1 to 255")
    observe = content.get("observe", True)
    if not isinstance(observe, bool) or (not observe and commands and "read" not in commands):
        raise TargetError(
            f"{called}: observe must be true, or false where there is a read, which outsiders then use too"
        )
    for key, of in (("residue", "file name patterns"), ("allow", "anomalies")):
        texts = content.setdefault(key, [])
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise TargetError(f"{called}: {key} must be a list of {of}")
    return Target(
        name=path.stem,
        path=path.resolve(),
        about=one_line(content.get("about", "")),
        allow=tuple(content["allow"]),
        residue=(*_RESIDUE, *content["residue"]),
        observe=observe,
        commands={**commands, "definite_failures": " ".join(map(str, codes))} if commands else {},
        **worker,
    )


def _worker(argv: object, label: object, called: str, folder: Path) -> dict[str, Any]:
    """The fields of `Target` that say how a foreign worker is started; none where there is no worker."""
    if argv is None:
        if label is not None:
            raise TargetError(f"{called!r} has a language and no worker; give what starts it")
        return {}
    if not isinstance(argv, (list, tuple)) or not argv or not all(isinstance(word, str) and word for word in argv):
        raise TargetError(f'{called!r}: worker must be a list of words, such as ["node", "mine.js"]')
    # Words that are files beside the target are meant so: the worker's own directory is the one under test.
    found = [str(folder / word) if at or "/" in word else word for at, word in enumerate(argv)]
    words = [full if os.path.exists(full) else word for full, word in zip(found, argv, strict=True)]
    name = re.sub(r"[^A-Za-z0-9+#._-]", "", Path(argv[0]).name)[:9]
    label = label if label is not None else f"{name}-worker" if name in BUILT_IN else name
    if not isinstance(label, str) or not is_label(label) or label in BUILT_IN:
        raise TargetError(
            f"{called!r}: {label!r} is no language of a worker; give at most 16 letters, digits and +#._-, a letter "
            f'first, and none of {", ".join(BUILT_IN)}, such as language = "node"'
        )
    return {"worker": tuple(words), "language": label}
