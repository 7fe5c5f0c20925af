"""What a step touches, and who polls in vain."""

from __future__ import annotations

from collections.abc import Sequence

from stress.schedulers.effects import Mode, awake, effects
from stress.syscalls.calls import Access, Call, Step

LOCK, FILE, ENTRY = ("lock", "l", "flock"), ("inode", "f"), ("entry", ".", "f")


def step(agent: int, *accesses: tuple[tuple[str, ...], bool], lock: str = "", result: int | None = None) -> Step:
    """A call with these accesses, (what, whether it writes); one of nothing is a sleep."""
    made = tuple(Access(what, writes) for what, writes in accesses)
    return Step(0, Call(agent, 0, "call", "call", made, spins=not made, lock=lock), result)


def polls(trace: Sequence[Step], call: Step) -> bool:
    """Whether the call is not picked beside another, as it polls in vain."""
    other = Call(9, 0, "stat", "stat", (Access(("entry", ".", "other"), False),))
    return awake([call.call, other], trace, effects(trace)) == [1]


def test_what_a_call_both_looks_at_and_changes_is_changed_in_whichever_order_it_says_so() -> None:
    """As does a rename of a symlink to what it leads to."""
    both = [step(0, (LOCK, True), (LOCK, False), lock="frees"), step(0, (ENTRY, True), (ENTRY, False))]
    assert [effect.popitem()[1] for effect in map(dict, effects(both))] == [Mode.WRITE, Mode.WRITE]


def test_who_sleeps_for_what_nobody_has_changed_polls_in_vain() -> None:
    asleep, looks = step(0), step(0, (ENTRY, False))
    assert polls([asleep, looks], asleep)
    assert not polls([looks], asleep), "it may be the first sleep of many"
    assert not polls([asleep, looks, step(1, (ENTRY, True))], asleep)
    assert polls([asleep, looks, step(1, (ENTRY, True), result=-2)], asleep)


def test_who_changes_something_before_each_sleep_does_not_poll() -> None:
    asleep = step(0)
    assert not polls([asleep, step(0, (FILE, True)), step(0, (ENTRY, False))], asleep)
