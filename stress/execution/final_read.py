"""What the shared documents hold at the end, for a target whose file is not the document: its own reader says it."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from stress.execution.drivers.observe import document_observation
from stress.history.history import FileFacts, FinalFile
from stress.history.notes import data_of
from stress.history.record import ABSENT, NO_VERSION
from stress.host.child import in_child
from stress.host.interrupts import make_temporary_files_in
from stress.workload.target import Target


def final_by_reader(
    target: Target,
    directory: Path,
    facts: Sequence[FileFacts],
    final: Sequence[FinalFile],
    limit_s: float,
    temporary: Path | None = None,
) -> tuple[FinalFile, ...]:
    """``final`` with what the target's ``read`` returns of each document, in a child that may take ``limit_s``.

    It is asked where the workers were: in ``directory``, with their ``temporary`` files where these have a place of
    their own.

    What it can't read, or not in time, has no version: nothing is claimed of it. Nor of any where only a command or a
    foreign worker reads.
    """
    documents = [index for index, each in enumerate(facts) if each.form.is_document]
    with tempfile.TemporaryFile("w+", encoding="utf-8") as answers:  # and no pipe, which holds only so much

        def body() -> None:
            reader = target.call("read")
            assert reader is not None
            os.chdir(directory)
            if temporary is not None:
                make_temporary_files_in(temporary)
            for index in documents:
                try:
                    seen = document_observation(reader(facts[index].path))
                except FileNotFoundError:
                    seen = document_observation(None)
                except Exception:  # whatever a target raises
                    continue
                line = [index, seen.version, seen.parent, data_of(seen.note).decode("latin-1")]
                answers.write(json.dumps(line) + "\n")
                answers.flush()

        if "read" in target.operations:
            in_child(body, "stress-final-read", limit_s)
        answers.seek(0)
        lines = [json.loads(line) for line in answers if line.endswith("\n")]
    read = {index: (version, before, content.encode("latin-1")) for index, version, before, content in lines}
    made = list(final)
    for index in documents:
        version, before, content = read.get(index, (NO_VERSION, NO_VERSION, b""))
        made[index] = replace(final[index], exists=version != ABSENT, version=version, parent=before, content=content)
    return tuple(made)
