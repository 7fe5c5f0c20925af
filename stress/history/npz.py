"""A history as columns in one compressed file, for other tools: NumPy's ``.npz``.

An archive with one array for each column, all of one length, a row an operation, in order of invocation:

======================================  ===============================================================================
``process``, ``seq``                    who, and the how-manieth of its operations, from 1
``kind``, ``outcome``, ``language``     numbers: their names are in ``kinds``, ``outcomes``, ``languages``, by index
``scenario``, ``path``                  indices into ``scenarios`` and ``files``
``version``, ``parent``                 what was written or seen, and what it was made from: process << 32 | seq;
                                        0 what was there before, -1 no file, -2 no whole document, -3 none or not known
``invoke``, ``return``                  when it began and was over, ns of CLOCK_MONOTONIC
``held_from``, ``held_to``              when it had the lock; 0: it claimed none
``size``, ``digest``                    bytes, and the CRC-32 of what was seen of a log; -1: none
======================================  ===============================================================================

Besides: ``files``, ``scenarios``, ``kinds``, ``outcomes``, ``languages`` (texts), ``began``, ``ended`` (ns), and
``schema``, which is 1.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stress.history.history import History
from stress.history.kinds import Kind, Language, Outcome
from stress.history.record import RECORD

SCHEMA = 1
_OURS = ("note_at", "note_size", "reserved")  # places in files of the run directory
_COLUMN = {"file": "path"}  # where it is called otherwise: NumPy's own argument is called file
_NAMES = [name for name in RECORD.names or () if name not in _OURS]


def save_columns(path: str, history: History) -> None:
    """Write the columns of ``history``; a reader of ``path`` sees the old file or the new one. Raises OSError."""
    columns: dict[str, Any] = {_COLUMN.get(name, name): history.ops[name] for name in _NAMES}
    beside = Path(f"{path}.{os.getpid()}.npz")
    try:
        np.savez_compressed(
            beside,
            schema=np.int64(SCHEMA),
            files=np.array([facts.path for facts in history.files]),
            scenarios=np.array(history.scenarios),
            kinds=_labels(tuple(Kind)),
            outcomes=_labels(tuple(Outcome)),
            languages=_labels(Language.all()),
            began=np.int64(history.began),
            ended=np.int64(history.ended),
            **columns,
        )
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def _labels(labels: Sequence[Kind | Outcome | Language]) -> np.ndarray[tuple[int], np.dtype[np.str_]]:
    made = [""] * (max(labels) + 1)
    for label in labels:
        made[label] = label.label
    return np.array(made)
