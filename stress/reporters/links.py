"""Which operations of a witness belong together: who made a version, and who saw it or went on from it."""

from __future__ import annotations

from stress.anomalies import LOST_APPEND
from stress.history.kinds import CHANGES, Kind
from stress.history.notes import data_of
from stress.history.record import GARBAGE, INITIAL, Operation, format_version
from stress.result import Finding
from stress.workload.payload import writers_in

_EXAMINED = 1 << 20  # bytes


def version_shown(op: Operation, finding: Finding) -> int:
    """The version that an operation made or saw. A look at a log has none of its own; that beside an append which was
    lost is there as it saw that one.
    """
    if finding.anomaly is LOST_APPEND and finding.focus is not None and op.kind in (Kind.READ, Kind.OBSERVE):
        return finding.focus.version
    return op.version


def links(finding: Finding) -> list[tuple[Operation, Operation]]:
    """Pairs of operations of the witness: the first made the version that the second saw, or started from."""
    makers = {op.version: op for op in finding.witness if op.kind in CHANGES and op.version > INITIAL}
    names = {format_version(version): op for version, op in makers.items()}
    made: list[tuple[Operation, Operation]] = []
    for op in finding.witness:
        if op.kind in CHANGES:
            sources = [makers[op.parent]] if op.parent in makers else []
        elif op.version == GARBAGE and op == finding.focus:
            sources = [names[name] for name, _, _ in writers_in(data_of(op.note)[:_EXAMINED]) if name in names]
        else:
            version = version_shown(op, finding)
            sources = [makers[version]] if version in makers else []
        made += [(source, op) for source in sources if source != op]
    return made
