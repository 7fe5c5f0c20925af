"""``stress bench harness``: what recording costs, and how fast histories are checked; ``stress bench explore``.

The parts are modules of this package with ``sheets(setting)``.
"""

from __future__ import annotations

from collections.abc import Iterator

from stress.bench.measure import LeftOut, Setting, Sheet, benchmark


@benchmark("harness")
def harness(setting: Setting) -> Iterator[Sheet | LeftOut]:
    """Recording, start-up and checking, as figures of this machine, in this order."""
    from stress.bench.harness import checking, recording  # only `stress bench harness` itself pays for these

    for part in (recording, checking):
        yield from part.sheets(setting)


@benchmark("explore")
def explore(setting: Setting) -> Iterator[Sheet | LeftOut]:
    """What a schedule costs, by kind of process, as figures of this machine."""
    from stress.bench.harness import exploring

    yield from exploring.sheets(setting)
