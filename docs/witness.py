"""The picture in the README: a witness of a real run.

``python docs/witness.py`` runs a target that is broken on purpose, takes the lost update that comes first, and writes
``docs/witness.svg``. Times are to scale, and those of that run.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import textwrap
from pathlib import Path
from xml.sax.saxutils import escape

from stress import Finding, Plan, Result, run
from stress.api import NO_VERSION, Kind, Operation

TARGET, SCENARIO, ANOMALY = "no-lock", "session_count", "lost-update"
WIDTH, LEFT, RIGHT, LANE, BAR = 840, 118, 24, 46, 26
CHARACTER = 7.3  # of 12 px monospace, a little more than it is

STYLE = """\
text { font: 12px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; fill: #1f2328; }
.said { font: 14px system-ui, -apple-system, 'Segoe UI', sans-serif; }
.head { font: 600 15px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; fill: #c4183c; }
.faint { fill: #59636e; }
.page { fill: #ffffff; stroke: #d1d9e0; }
.lane { stroke: #d1d9e0; }
.out { paint-order: stroke; stroke: #ffffff; stroke-width: 6px; }
.change { fill: #dbeafe; stroke: #2563eb; }
.look { fill: #e5e7eb; stroke: #6b7280; }
.lost { fill: #ffe0e6; stroke: #c4183c; stroke-width: 2; }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc; } .faint { fill: #9198a1; } .head { fill: #ff7b93; }
  .page { fill: #0d1117; stroke: #3d444d; } .lane { stroke: #3d444d; }
  .out { stroke: #0d1117; }
  .change { fill: #14305c; stroke: #6ea8ff; } .look { fill: #2a313a; stroke: #9198a1; }
  .lost { fill: #4d1220; stroke: #ff7b93; }
}"""


def draw(finding: Finding, result: Result) -> str:
    """The witness of a finding as SVG: a lane for each process, a bar for each operation."""
    names = result.names
    operations = finding.witness
    first, last = min(op.invoke for op in operations), max(op.ret for op in operations)
    scale = (WIDTH - LEFT - RIGHT) / max(1, last - first)
    lanes = {process: n for n, process in enumerate(dict.fromkeys(op.process for op in operations))}
    said = textwrap.wrap(finding.message, 112)
    top = 62 + 19 * len(said)
    bottom = top + LANE * len(lanes)
    parts = [
        f'<rect class="page" x=".5" y=".5" width="{WIDTH - 1}" height="{bottom + 43}" rx="6"/>',
        f'<text class="head" x="20" y="32">{escape(finding.anomaly)} in {escape(finding.file)}</text>',
        *(f'<text class="said" x="20" y="{58 + 19 * n}">{escape(line)}</text>' for n, line in enumerate(said)),
    ]
    for process, lane in lanes.items():
        y = top + LANE * lane + LANE / 2
        language = next(op.language.label for op in operations if op.process == process)
        parts.append(f'<line class="lane" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text x="20" y="{y + 4}">{escape(names.process(process))} {language}</text>')
    bars = [_bar(op, first, scale) for op in operations]
    taken = {
        process: [bar for op, bar in zip(operations, bars, strict=True) if op.process == process] for process in lanes
    }
    for op, (x, end) in zip(operations, bars, strict=True):
        y = top + LANE * lanes[op.process] + (LANE - BAR) / 2
        look = op.kind in (Kind.READ, Kind.OBSERVE)
        kind = "lost" if op == finding.focus else "look" if look else "change"
        parts.append(f'<rect class="{kind}" x="{x:.1f}" y="{y}" width="{end - x:.1f}" height="{BAR}" rx="4"/>')
        text = _label(op, result)
        room = len(text) * CHARACTER
        # Inside of the bar, after it, or before it; nowhere if there is something else.
        for at, space in ((x + 8, (x, end)), (end + 6, (end, WIDTH - RIGHT)), (x - 6 - room, (LEFT, x))):
            span = (at, at + room)
            others = [each for each in taken[op.process] if each != (x, end)]
            if space[0] <= span[0] and span[1] <= space[1] and not any(_meet(span, each) for each in others):
                taken[op.process].append(span)
                mark = "" if at == x + 8 else ' class="out"'
                parts.append(f'<text{mark} x="{at:.1f}" y="{y + 17}">{escape(text)}</text>')
                break
    for x, anchor, at in ((LEFT, "start", first), (WIDTH - RIGHT, "end", last)):
        moment = escape(names.moment(at))
        parts.append(f'<text class="faint" x="{x}" y="{bottom + 22}" text-anchor="{anchor}">{moment}</text>')
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {bottom + 44}" role="img"'
    title = f"<title>{escape(f'{finding.anomaly}: {finding.message}')}</title>"
    return "\n".join([f"{head}>", title, f"<style>{STYLE}</style>", *parts, "</svg>\n"])


def _bar(op: Operation, first: int, scale: float) -> tuple[float, float]:
    """From where to where it is drawn."""
    x = LEFT + (op.invoke - first) * scale
    return x, max(x + 4, LEFT + (op.ret - first) * scale)


def _meet(one: tuple[float, float], two: tuple[float, float]) -> bool:
    return one[0] < two[1] and two[0] < one[1]


def _label(op: Operation, result: Result) -> str:
    version, parent = (
        "" if number == NO_VERSION else result.names.version(number) for number in (op.version, op.parent)
    )
    if op.kind is Kind.UPDATE and parent:
        return f"update {parent} to {version}"
    return f"{op.kind.label} {version}".strip()


def main() -> int:
    """Run, and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("witness.svg"))
    out: Path = parser.parse_args().out
    with tempfile.TemporaryDirectory() as runs:
        result = run(Plan(scenarios=(SCENARIO,), target=TARGET, writers=4, stop_on_first=True, runs=runs))
    finding = next((each for each in result.findings if each.anomaly == ANOMALY), None)
    if finding is None:
        print(f"this run showed no {ANOMALY}: try again", file=sys.stderr)
        return 1
    out.write_text(draw(finding, result), "utf-8")
    print(out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
