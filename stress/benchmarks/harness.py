"""``stress bench harness``: what recording costs, and how fast histories are checked.

The parts are modules beside this one with ``sheets(setting)``, in the order in which they are shown.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterator

from stress.bench import LeftOut, Setting, Sheet, benchmark

PARTS = ("_recording", "_checking")


@benchmark("harness")
def harness(setting: Setting) -> Iterator[Sheet | LeftOut]:
    """Recording, start-up and checking, as figures of this machine."""
    for part in PARTS:
        name = f"stress.benchmarks.{part}"
        if importlib.util.find_spec(name) is not None:
            yield from importlib.import_module(name).sheets(setting)
