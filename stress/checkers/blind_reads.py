"""Readers that can't read: what a target's reader never once found, though outsiders did, says nothing of the file.

Such a reader answers nothing, or something else than a document, or looks elsewhere, or raises: its own fault, and no
torn or missing read. Its reads count as failed, so that ``vacuity`` doubts the run and says why.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from stress.history.history import History
from stress.history.record import Kind, Outcome

__all__ = ["without_blind_reads"]

TRIES = 10
"""Reads of one file in one language, and looks of outsiders at it, from which on the reader is blamed."""


def without_blind_reads(history: History) -> History:
    """The history with the outcome of such reads unknown; the same one where there are none."""
    blind = []
    for index, facts in enumerate(history.files):
        looks = history.rows(index, Kind.OBSERVE, outcome=Outcome.OK)
        if not facts.form.is_document or np.count_nonzero(history.ops["version"][looks] >= 0) < TRIES:
            continue
        reads = history.rows(index, Kind.READ, outcome=Outcome.OK)
        version, language = history.ops["version"][reads], history.ops["language"][reads]
        for each in np.unique(language):
            own = language == each
            if own.sum() >= TRIES and not (version[own] >= 0).any():
                blind.append(reads[own])
    if not blind:
        return history
    ops = history.ops.copy()
    ops["outcome"][np.concatenate(blind)] = Outcome.INFO
    return replace(history, ops=ops)
