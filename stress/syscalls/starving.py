"""Starvation: an agent wants a lock, has its turns or can have none, and others get the lock again and again.

Who waits in the kernel and could go on, but was not picked, does not starve: that is the scheduler's choice, and not
the program's. The measure is known as bounded bypass: how often others overtake. Of flock alone, as only there whoever
takes a lock takes all of it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence

from stress.syscalls.calls import Call, Step

BYPASSES_MAX = 20
"""So often may others get a lock while an agent wants it."""


def starving(trace: Sequence[Step], blocked: Sequence[Call] = (), most: int = BYPASSES_MAX) -> str | None:
    """Which agent starves in an execution, in words; None where none does.

    Args:
        blocked: Calls that still wait for a lock at its end.
    """
    holders: dict[Hashable, set[int]] = defaultdict(set)
    runs: dict[Hashable, list[list[int]]] = defaultdict(list)  # steps that took a lock; in one run it never was free
    tries: dict[tuple[int, Hashable], int] = {}  # the first of those in vain
    last: dict[tuple[int, int], int] = {}

    def overtaken(call: Call) -> int:
        """How often others have got the lock since this call was due, without its having been free."""
        since = last.get((call.agent, call.task), -1)
        return max((sum(at > since for at in run) for lock in _locks(call) for run in runs[lock]), default=0)

    def said(call: Call, times: int) -> str:
        return f"agent {call.agent + 1} was to {call.text}, and others got that lock {times} times meanwhile"

    for step in trace:
        call = step.call
        if not call.lock:
            last[call.agent, call.task] = step.index
            continue
        if call.lock == "waits" and _is_exclusive(call) and (times := overtaken(call)) > most:
            return said(call, times)
        for lock in _locks(call):
            key = call.agent, lock
            if call.lock == "frees":
                holders[lock].discard(call.agent)
            elif call.spins:
                since = tries.setdefault(key, step.index)
                times = sum(at > since for run in runs[lock] for at in run)
                if times > most:
                    return said(call, times)
            else:
                tries.pop(key, None)
                if not holders[lock]:
                    runs[lock].append([])
                runs[lock][-1].append(step.index)
                holders[lock].add(call.agent)
        last[call.agent, call.task] = step.index
    waits = [call for call in blocked if _is_exclusive(call) and overtaken(call) > most]
    return said(waits[0], overtaken(waits[0])) if waits else None


def _locks(call: Call) -> Iterator[Hashable]:
    if call.lock:
        yield from (access.what for access in call.accesses if access.what[0] == "lock" and access.what[2] == "flock")


def _is_exclusive(call: Call) -> bool:
    return any(access.writes for access in call.accesses if access.what[0] == "lock")
