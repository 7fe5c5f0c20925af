"""What the shared documents hold at the end, for a target whose file is not the document: its own reader says it."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import multiprocess

from stress.execution.drivers.observe import document_observation
from stress.execution.loop import quieten
from stress.history.history import FileFacts, FinalFile
from stress.history.notes import data_of
from stress.history.record import ABSENT, NO_VERSION
from stress.host import process_tree
from stress.workload.target import Target

__all__ = ["final_by_reader"]

_FORK = multiprocess.get_context("fork")


def final_by_reader(
    target: Target, directory: Path, facts: Sequence[FileFacts], final: Sequence[FinalFile], limit_s: float
) -> tuple[FinalFile, ...]:
    """``final`` with what the target's ``read`` returns of each document, in a child that may take ``limit_s``.

    What it can't read, or not in time, has no version: nothing is claimed of it.
    """
    reader = target.call("read")
    assert reader is not None, "looked at when the target was loaded"
    read_end, write_end = os.pipe()
    parent = os.getpid()

    def body() -> None:
        os.setsid()
        process_tree.die_with_parent(parent)
        quieten()
        os.chdir(directory)
        with open(write_end, "w", encoding="utf-8") as answers:
            for index, each in enumerate(facts):
                if not each.form.is_document:
                    continue
                try:
                    seen = document_observation(reader(each.path))
                except FileNotFoundError:
                    seen = document_observation(None)
                except Exception:  # whatever a target raises
                    continue
                line = [index, seen.version, seen.parent, data_of(seen.note).decode("latin-1")]
                answers.write(json.dumps(line) + "\n")
        os._exit(0)

    process = _FORK.Process(target=body, name="stress-final-read")
    process.start()
    os.close(write_end)
    read = {}
    with open(read_end, encoding="utf-8") as answers:
        process.join(limit_s)
        if process.is_alive():
            process_tree.end_group(process.pid, process.join)
        else:
            process_tree.end_remains(process.pid)
        for line in answers:
            if line.endswith("\n"):
                index, version, before, content = json.loads(line)
                read[index] = (version, before, content.encode("latin-1"))
    made = []
    for index, (each, file) in enumerate(zip(facts, final, strict=True)):
        if not each.form.is_document:
            made.append(file)
            continue
        version, before, content = read.get(index, (NO_VERSION, NO_VERSION, b""))
        made.append(replace(file, exists=version != ABSENT, version=version, parent=before, content=content))
    return tuple(made)
