"""What a process is called: the same in the page, the trace and the text of a witness."""

from __future__ import annotations

from stress.history.history import ProcessFacts
from stress.history.record import End


def process_name(process: int) -> str:
    """``p7``: the name that its versions begin with."""
    return f"p{process}"


def about_process(facts: ProcessFacts) -> str:
    """``python writer``, and how it ended where it did not end as it should."""
    ended = f", {facts.end}" if facts.end in (End.KILLED, End.HUNG, End.DIED, End.STAYED) else ""
    part = f"signal handler in {process_name(facts.within)}" if facts.within else facts.role
    return f"{facts.language.label} {part}{ended}"
