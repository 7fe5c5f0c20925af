"""Make the fault table anew: ``python -m tests.atomicops.faults [--quick] [OPERATION|PROCESS…]``, from the project's
root.

Takes 20 minutes of processor time. Names of operations, or of processes (``python``, ``perl``, ``shell``), make only
their part anew; ``--quick`` tries six faults of each step and saves nothing. Ends with 1 where a promise is broken or
the languages differ without a reason.
"""

from __future__ import annotations

import signal
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

from tests.atomicops.faults.inject import PROCESSES, cannot_inject
from tests.atomicops.faults.scene import OPERATIONS, Broken
from tests.atomicops.faults.table import TABLE, Bench, Cell, cells, differences, load, reasons, save, ways

QUICK = ("ENOSPC", "EIO", "EINVAL", "EACCES", "EMFILE", "SIGTERM")
WIDTH = 3


def main(names: list[str]) -> int:
    if (why := cannot_inject()) is not None:
        print(why, file=sys.stderr)
        return 2
    quick = "--quick" in names
    names = [name for name in names if name != "--quick"]
    unknown = [name for name in names if name not in OPERATIONS and name not in PROCESSES]
    if unknown:
        print(f"no {unknown[0]!r}; there are: {', '.join((*OPERATIONS, *PROCESSES))}", file=sys.stderr)
        return 2
    operations = [name for name in names if name in OPERATIONS] or list(OPERATIONS)
    processes = [name for name in names if name in PROCESSES] or list(PROCESSES)
    table: dict[Cell, str] = {} if quick or not TABLE.exists() else load()
    table = {
        cell: outcome
        for cell, outcome in table.items()
        if cell.operation in OPERATIONS and not (cell.operation in operations and cell.process in processes)
    }
    undone = 0
    with tempfile.TemporaryDirectory() as base, Bench(Path(base), WIDTH) as bench:
        for name in operations:
            for process in filter(processes.__contains__, ways(OPERATIONS[name])):
                try:
                    steps = bench.learn(OPERATIONS[name], process)
                except Broken as broken:
                    undone += 1
                    print(f"{name} by {process}: {broken}", file=sys.stderr)
                    continue
                wanted_cells = cells(OPERATIONS[name], process, steps)
                found = bench.outcomes([one for one in wanted_cells if not quick or one[0].fault in QUICK])
                table.update(found)
                print(f"{name} by {process}: {len(steps)} steps, {len(found)} faults", flush=True)
            if not quick:
                save(table)
    return report(table) or undone > 0


def report(table: dict[Cell, str]) -> int:
    """Print what is wrong, alike things together; 1 if there is any."""
    known = reasons()
    broken: dict[str, list[str]] = defaultdict(list)
    apart: dict[str, list[str]] = defaultdict(list)
    for cell, outcome in table.items():
        if outcome.startswith("BROKEN"):
            broken[f"{cell.operation} by {cell.process}, {cell.step} {cell.nth}: {outcome[:200]}"].append(cell.fault)
    for found in differences(table):
        if not any(reason.explains(found) for reason in known):
            apart[str(found)].append(found.fault)
    for line, faults in (*sorted(broken.items()), *apart.items()):
        print(f"{line} [{' '.join(faults)}]")
    wrong, different = (sum(map(len, groups.values())) for groups in (broken, apart))
    print(f"{len(table)} faults; {wrong} break a promise; {different} differ without a reason")
    return 1 if wrong or different else 0


if __name__ == "__main__":
    signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # a script's background job has it ignored, and children would
    sys.exit(main(sys.argv[1:]))
