"""What steps touched: which of them conflict, and which calls only poll."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from enum import Enum

from stress.syscalls.calls import Access, Call, Step

What = tuple[Hashable, ...]


class Mode(Enum):
    """How a step used a thing. Two steps commute if both read, or both share; else they conflict."""

    READ = "read"
    SHARE = "share"
    """Took or freed a shared lock."""
    WRITE = "write"


Effect = Mapping[What, Mode]
"""What a step touched → how."""

ORDER: What = ("order",)
"""What was over before what began: operations that begin commute, and so do those that end."""
_EDGES = {"begins": Mode.READ, "ends": Mode.SHARE, "both": Mode.WRITE}


def conflict(one: Effect, other: Effect) -> bool:
    """Whether two steps of different agents depend on each other."""
    if len(other) < len(one):
        one, other = other, one
    return any(what in other and clash(mode, other[what]) for what, mode in one.items())


def clash(one: Mode, other: Mode) -> bool:
    """Whether two uses of the same thing do not commute."""
    return one is not other or one is Mode.WRITE


def effects(trace: Sequence[Step], known: Sequence[Effect] = ()) -> list[Effect]:
    """The effect of each step; the first ones may be ``known``.

    A sleep that polls reads what its loop read: a change of that wakes it.
    """
    done = list(known)
    for index in range(len(done), len(trace)):
        step = trace[index]
        if _sleeps(step.call):
            loop = _loop(step.call.agent, trace[:index], done)
            effect = {} if loop is None else {what: Mode.READ for _, what in loop}
        else:
            effect = _effect(step, trace[:index])
        effect["life", step.call.agent] = Mode.WRITE  # its processes begin and end between its steps
        if step.edge:
            effect[ORDER] = _EDGES[step.edge]
        done.append(effect)
    return done


def besides_life(effect: Effect, agent: int) -> Iterator[tuple[What, Mode]]:
    """What a step of the agent touched, besides what every step may: its processes go on, operations begin or end."""
    return ((what, mode) for what, mode in effect.items() if what not in (ORDER, ("life", agent)))


def awake(enabled: Sequence[Call], trace: Sequence[Step], done: Sequence[Effect]) -> list[int]:
    """Indices of the enabled calls that are not futile; of all, if all are: time goes on, and polling ends by it.

    A try-lock is futile if the same one failed before, a sleep if its loop went round once; and nobody else has changed
    the lock, or anything that the loop read, since.

    Args:
        enabled: Calls that could be done now.
        trace: Steps so far.
        done: Their `effects`.
    """
    return [index for index, call in enumerate(enabled) if not _futile(call, trace, done)] or list(range(len(enabled)))


def _effect(step: Step, trace: Sequence[Step]) -> dict[What, Mode]:
    effect: dict[What, Mode] = {}
    nothing = failed(step)
    for access in step.call.accesses:
        mode = Mode.WRITE if access.writes and not nothing else Mode.READ
        if access.what[0] == "lock" and step.call.lock and not nothing:
            mode = Mode.SHARE if _shares(step.call, access, trace) else Mode.WRITE
        if effect.get(access.what, mode) is not mode:
            mode = Mode.WRITE
        effect[access.what] = mode
    return effect


def _shares(call: Call, access: Access, trace: Sequence[Step]) -> bool:
    """Whether the call takes or frees a shared lock. To make an exclusive one shared is a change for all."""
    held = _held(call.agent, access.what, trace)
    if call.lock == "frees":
        return held is Mode.SHARE
    return not access.writes and held is not Mode.WRITE


def _held(agent: int, what: What, trace: Sequence[Step]) -> Mode | None:
    """How the agent holds the lock after the trace."""
    for step in reversed(trace):
        if step.call.agent == agent and step.call.lock and not failed(step):
            for access in step.call.accesses:
                if access.what == what:
                    return None if step.call.lock == "frees" else Mode.WRITE if access.writes else Mode.SHARE
    return None


def failed(step: Step) -> bool:
    """Whether the step changed nothing."""
    return step.result is not None and step.result < 0


def _sleeps(call: Call) -> bool:
    return call.spins and not call.accesses


def _loop(agent: int, trace: Sequence[Step], done: Sequence[Effect]) -> list[tuple[int, What]] | None:
    """What the agent read since its sleep before, as (step, what).

    None if it did not sleep before, or changed something since. Locks that it took meanwhile are left out: they are
    free again, or it would not poll.
    """
    reads: list[tuple[int, What]] = []
    for index in range(len(trace) - 1, -1, -1):
        call = trace[index].call
        if call.agent != agent:
            continue
        if _sleeps(call):
            return reads
        for what, mode in besides_life(done[index], agent):
            if what[0] != "lock":
                if mode is Mode.WRITE:
                    return None
                reads.append((index, what))
            elif call.lock == "tries" and failed(trace[index]):
                reads.append((index, what))
    return None


def _futile(call: Call, trace: Sequence[Step], done: Sequence[Effect]) -> bool:
    if not call.spins:
        return False
    if _sleeps(call):
        reads = _loop(call.agent, trace, done)
        return reads is not None and not any(
            done[later].get(what, Mode.READ) is not Mode.READ
            for index, what in reads
            for later in range(index + 1, len(trace))
        )
    for index in range(len(trace) - 1, -1, -1):
        step = trace[index]
        shared = [access.what for access in call.accesses if access.what in done[index]]
        if any(done[index][what] is not Mode.READ for what in shared):
            return False
        if shared and step.call.agent == call.agent and step.call.lock == "tries" and failed(step):
            return True
    return False
