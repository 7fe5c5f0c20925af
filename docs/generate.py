"""The generated parts of the reference: from docstrings, from the command line's own description, from the fault table.

In a page, what stands between ``<!-- generated: NAME -->`` and ``<!-- end -->`` is made here. A test compares; it is
written anew by ``pytest -m golden --renew tests/test_docs.py``.
"""

from __future__ import annotations

import argparse
import inspect
import re
import sys
import textwrap
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import click

ROOT = Path(__file__).parent.parent
PART = re.compile(r"(?<=<!-- generated: )([\w-]+)( -->\n).*?(?=<!-- end -->)", re.S)


def render(page: str) -> str:
    """The page with its generated parts made anew."""
    return PART.sub(lambda part: f"{part[1]}{part[2]}\n{PARTS[part[1]]().strip()}\n\n", page)


# Docstrings, which are plain text with a little of reStructuredText.


def _inline(text: str) -> str:
    text = re.sub(r":\w+:`~?([^`]+)`", r"``\1``", text)
    text = re.sub(r"(?<!`)`([^`]+)`(?!`)", r"``\1``", text)
    return text.replace("``", "`")


def _paragraphs(doc: str) -> Iterator[list[str]]:
    lines: list[str] = []
    for line in [*doc.splitlines(), ""]:
        if line.strip():
            lines.append(line)
        elif lines:
            yield lines
            lines = []


def _items(lines: list[str]) -> str:
    """The items of a section, ``name: what it is``, as a list."""
    items: list[list[str]] = []
    for line in textwrap.dedent("\n".join(lines)).splitlines():
        if not items or not line.startswith(" "):
            items.append([])
        items[-1].append(line.strip())
    text = []
    for item in items:
        name, _, what = " ".join(item).partition(": ")
        named = what and re.fullmatch(r"[\w*, ]+", name)
        text.append(f"- **{name}**: {_inline(what)}" if named else f"- {_inline(' '.join(item))}")
    return "\n".join(text)


def markdown(doc: str) -> str:
    """A docstring as Markdown."""
    text, code = [], False
    for lines in _paragraphs(inspect.cleandoc(doc)):
        head = lines[0].strip()
        if re.fullmatch(r"(Args|Arguments|Returns|Raises|Attributes):", head):
            body = lines[1:]
            text.append(f"**{head[:-1]}**\n\n" + (_items(body) if head != "Returns:" else _inline(_joined(body))))
        elif code and lines[0].startswith(" "):
            text.append("```text\n" + textwrap.dedent("\n".join(lines)) + "\n```")
        elif lines[0].startswith("- "):
            text.append(_inline("\n".join(lines)))
        elif head != "::":
            text.append(_inline(re.sub(r"\s*::$", ":", _joined(lines))))
        code = lines[-1].rstrip().endswith("::") or (code and lines[0].startswith(" "))
    return "\n\n".join(text)


def _joined(lines: Iterable[str]) -> str:
    return " ".join(line.strip() for line in lines)


def _signature(name: str, function: object) -> str:
    signature = inspect.signature(function)  # type: ignore[arg-type]
    parameters = [_parameter(each) for each in signature.parameters.values() if each.name != "self"]
    if (star := _star(signature)) is not None:
        parameters.insert(star, "*")
    returns = signature.return_annotation
    arrow = "" if returns is signature.empty else f" -> {returns}"
    line = f"{name}({', '.join(parameters)}){arrow}"
    if len(line) > 100:
        line = f"{name}(\n" + "".join(f"    {each},\n" for each in parameters) + f"){arrow}"
    return f"```text\n{line}\n```"


def _parameter(each: inspect.Parameter) -> str:
    star = "**" if each.kind is each.VAR_KEYWORD else "*" if each.kind is each.VAR_POSITIONAL else ""
    default = "" if each.default is each.empty else f" = {each.default!r}"
    return f"{star}{each.name}: {each.annotation}{default}"


def _star(signature: inspect.Signature) -> int | None:
    kinds = [each.kind for each in signature.parameters.values() if each.name != "self"]
    keyword = inspect.Parameter.KEYWORD_ONLY
    return kinds.index(keyword) if keyword in kinds and inspect.Parameter.VAR_POSITIONAL not in kinds else None


def _cell(text: str) -> str:
    return _inline(re.sub(r"\s+", " ", text)).strip()


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    escaped = ([cell.replace("|", r"\|") for cell in line] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in escaped)


# The helpers.


def _public() -> dict[str, object]:
    import atomicops

    return {name: getattr(atomicops, name) for name in atomicops.__all__}


def functions() -> str:
    """Every function of the helpers."""
    found = {name: value for name, value in _public().items() if inspect.isfunction(value)}
    return "\n\n".join(f"### {n}\n\n{_signature(n, f)}\n\n{markdown(f.__doc__ or '')}" for n, f in found.items())


def values() -> str:
    """What the helpers return."""
    found = {n: v for n, v in _public().items() if isinstance(v, type) and not issubclass(v, BaseException)}
    return "\n\n".join(f"### {name}\n\n{markdown(value.__doc__ or '')}" for name, value in sorted(found.items()))


def errors() -> str:
    """What they raise."""
    rows = [
        (f"`{name}`", ", ".join(f"`{base.__name__}`" for base in value.__bases__), _cell(value.__doc__ or ""))
        for name, value in _public().items()
        if isinstance(value, type) and issubclass(value, BaseException)
    ]
    return _table(("error", "is a", "means"), rows)


def helpers_commands() -> str:
    """``python -m atomicops``."""
    from atomicops import _cli

    parser, _ = _cli._parser()
    (subparsers,) = (each for each in parser._actions if isinstance(each, argparse._SubParsersAction))
    text = []
    for name, command in subparsers.choices.items():
        places = [each for each in command._actions if not each.option_strings]
        usage = " ".join(str(each.metavar or each.dest) for each in places)
        text.append(f"### {name}\n\n`python -m atomicops {name} {usage}`: {_cell(command.description or '')}")
        rows = [
            (f"`{each.option_strings[-1]}{_argument(each)}`", _cell(each.help or ""))
            for each in command._actions
            if each.option_strings and each.dest != "help"
        ]
        text += [_table(("option", ""), rows)] if rows else []
        examples = re.findall(r"^  (python -m atomicops .*|.*\| python -m atomicops .*)$", command.epilog or "", re.M)
        text += ["```text\n" + "\n".join(examples) + "\n```"] if examples else []
    return "\n\n".join(text)


def _argument(action: argparse.Action) -> str:
    if action.nargs == 0:
        return ""
    return " " + str(action.metavar or "{" + ",".join(map(str, action.choices or ())) + "}")


def exit_codes() -> str:
    """Of the helpers, in both languages."""
    from atomicops import _cli

    rows = re.findall(r"^  (\d+) +(.*)$", _cli._EXITS, re.M)
    return _table(("exit code", ""), [(code, _cell(what)) for code, what in rows])


def bash() -> str:
    """The head of ``atomicops.sh``, which is its manual."""
    lines = (ROOT / "atomicops" / "shell" / "atomicops.sh").read_text("utf-8").splitlines()
    head = []
    for line in lines[1:]:
        if not line.startswith("#"):
            break
        head.append(line.removeprefix("#").removeprefix(" "))
    return "```text\n" + "\n".join(head) + "\n```"


def _faults() -> list[tuple[str, str, str, str, str]]:
    """The cells of the fault table: fault, step, state of the file, how it ended, advice."""
    sys.path.insert(0, str(ROOT))
    from tests.atomicops.faults.table import load

    cells = []
    for cell, outcome in load().items():
        result, _, advice = outcome.partition(" | ")
        state, _, end = result.partition(" ")
        cells.append((cell.fault, cell.step, state, end, advice.replace("directory . ", "directory ")))
    return cells


def faults() -> str:
    """The fault table, summed up by fault."""
    cells = _faults()
    rows = []
    for fault in dict.fromkeys(cell[0] for cell in cells):
        those = [cell for cell in cells if cell[0] == fault]
        told = [end for _, _, state, end, _ in those if state == "new" and "not-durable" in end]
        columns = (
            [1 for _, _, state, _, _ in those if state == "old"],
            [1 for _, _, state, end, _ in those if state == "new" and end == "0"],
            [1 for _, _, state, end, _ in those if state == "new" and end != "0" and "not-durable" not in end],
            told,
            [1 for _, _, state, _, _ in those if state == "part"],
            [1 for *_, end, _ in those if "left:temp" in end],
        )
        advice = Counter(advice for *_, advice in those if advice).most_common(1)
        counts = (f"{len(column):,}" if column else "" for column in columns)
        rows.append((f"`{fault}`", *counts, advice[0][0] if advice else ""))
    head = ("fault", "unchanged", "done", "done, and told", "done, maybe not durable", "in part", "temp left", "advice")
    return f"{len(cells):,} faults, 13 operations, both languages.\n\n" + _table(head, rows)


def fault_advice() -> str:
    """Where the advice is that of the step, and not that of the error."""
    cells = [cell for cell in _faults() if cell[4]]
    usual = {
        fault: Counter(cell[4] for cell in cells if cell[0] == fault).most_common(1)[0][0]
        for fault in {cell[0] for cell in cells}
    }
    found: defaultdict[str, tuple[Counter[str], Counter[str]]] = defaultdict(lambda: (Counter(), Counter()))
    for fault, step, _, _, advice in cells:
        if advice not in usual.values():
            found[advice][0][step] += 1
            found[advice][1][fault] += 1
    rows = [(advice, ", ".join(sorted(steps)), ", ".join(errors)) for advice, (steps, errors) in sorted(found.items())]
    return _table(("advice", "where it fails", "with"), rows)


def fault_reasons() -> str:
    """Where the languages may differ, and why."""
    sys.path.insert(0, str(ROOT))
    from tests.atomicops.faults.table import reasons

    head = ("operation", "step", "fault", "why the languages may differ")
    return _table(head, [tuple(_cell(value) for value in reason) for reason in reasons()])


# The harness.


def stress_commands() -> str:
    """Every command of ``stress``, from what click knows of it."""
    from stress.cli._group import group

    context = click.Context(group, info_name="stress")
    text = []
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        places = " ".join(each.make_metavar(context) for each in command.params if isinstance(each, click.Argument))
        text.append(f"## stress {name}\n\n`stress {name} [OPTIONS] {places}`".replace(" `", "`"))
        text.append(markdown((command.help or "").replace("\b", "")))
        options = [each for each in command.params if isinstance(each, click.Option) and not each.hidden]
        rows = [(f"`{_option(each, context)}`", _cell(each.help or "")) for each in options]
        text += [_table(("option", ""), rows)] if rows else []
        epilog = inspect.cleandoc((command.epilog or "").replace("\b", ""))
        text += [f"```text\n{epilog}\n```"] if epilog else []
    return "\n\n".join(text)


def _option(option: click.Option, context: click.Context) -> str:
    names = ", ".join(option.opts)
    return names if option.is_flag else f"{names} {option.make_metavar(context)}"


def plan() -> str:
    """What a plan is made of."""
    from stress import Plan
    from stress.options import OPTIONS

    rows = []
    for name, option in OPTIONS.items():
        typed = f"--{name} {option.metavar}".strip()
        about, default = _cell(option.about), _cell(option.default)
        rows.append((f"`{name.replace('-', '_')}`", f"`{typed}`", f"`{option.field}`", about, default))
    table = _table(("argument", "on the command line", "field", "what it is", "default"), rows)
    return markdown(Plan.__doc__ or "") + "\n\n" + table


def target() -> str:
    """What a target may define."""
    from stress.workload.target import Target

    return markdown(Target.__doc__ or "")


def torture() -> str:
    """The fixture."""
    from stress.pytest_plugin import Torture

    return _signature("torture", Torture.__call__) + "\n\n" + markdown(Torture.__call__.__doc__ or "")


def explore() -> str:
    """The function."""
    from stress import explore as function

    return _signature("explore", function) + "\n\n" + markdown(function.__doc__ or "")


def json_schema() -> str:
    """Of ``--report json=FILE``."""
    import stress.reporters.json as module

    return markdown(module.__doc__.partition("\n\n")[2] if module.__doc__ else "")


def anomalies() -> str:
    """All that can be found."""
    from stress.anomalies import ANOMALIES

    found = [(name, ANOMALIES.get(name)) for name in ANOMALIES]
    rows = [(f"`{name}`", _cell(each.about), _cell(each.cause)) for name, each in found]
    return _table(("anomaly", "what was seen", "usual cause"), rows)


def scenarios() -> str:
    """Those that ship."""
    from stress.workload import catalog

    catalog.load()
    rows = [(f"`{name}`", _cell(catalog.SCENARIOS.get(name).about)) for name in catalog.SCENARIOS]
    return _table(("scenario", ""), rows)


PARTS: dict[str, Callable[[], str]] = {
    name.replace("_", "-"): part
    for name, part in list(globals().items())
    if inspect.isfunction(part) and not name.startswith("_") and name not in ("render", "markdown")
}
"""Name of a part → what makes it."""
