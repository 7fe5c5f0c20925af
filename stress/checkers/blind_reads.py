"""Readers that can't read: what a target's reader never once found, though outsiders did, says nothing of the file.

Such a reader answers nothing, or something else than a document, or looks elsewhere, or raises: its own fault, and no
torn or missing read. Its reads count as failed, so that ``vacuity`` doubts the run and says why.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from stress.checkers._columns import Rows
from stress.history.history import History
from stress.history.kinds import Kind, Outcome

TRIES = 3
"""Reads of one file in one language, and looks of outsiders at it, from which on the reader is blamed; of one that
never found anything anywhere, for its reads of other files as well.
"""


def without_blind_reads(history: History, tries: int = TRIES) -> History:
    """The history with the outcome of such reads unknown; the same one where there are none. ``tries``: see `TRIES`."""
    blind: list[Rows] = []
    nowhere: dict[int, list[Rows]] = {}  # language → its reads in vain, of files too little read to tell
    able: set[int] = set()
    for index, facts in enumerate(history.files):
        if not facts.form.is_document:
            continue
        looks = history.rows(index, Kind.OBSERVE, outcome=Outcome.OK)
        there = np.count_nonzero(history.ops["version"][looks] >= 0)
        reads = history.rows(index, Kind.READ, outcome=Outcome.OK)
        version, language = history.ops["version"][reads], history.ops["language"][reads]
        for each in np.unique(language).tolist():
            own = language == each
            if (version[own] >= 0).any():
                able.add(each)
            elif own.sum() >= tries <= there:
                blind.append(reads[own])
            else:
                nowhere.setdefault(each, []).append(reads[own])
    told = set(history.ops["language"][np.concatenate(blind)].tolist()) if blind else set()
    blind += [rows for each in told - able for rows in nowhere.get(each, ())]
    if not blind:
        return history
    ops = history.ops.copy()
    ops["outcome"][np.concatenate(blind)] = Outcome.INFO
    return replace(history, ops=ops)
