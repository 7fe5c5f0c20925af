"""``stress bench harness``: what recording costs, and how fast histories are checked.

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
