"""Exit codes that are no verdict's, and the mistake that has one; those of verdicts: `stress.result.Verdict`."""

from __future__ import annotations

import re

EXIT_USAGE = 2
EXIT_HARNESS = 4
EXIT_INTERRUPTED = 130


class UsageError(ValueError):
    """A mistake in an option or its value, made by the person who runs the tool. Its text is one line; exit code 2."""

    def __init__(self, option: str, value: str, advice: str = "") -> None:
        """The text is ``option``, ``value`` and ``advice``, in this order.

        Args:
            option: The name as it is typed (``--duration``).
            value: The value that was given; without ``advice`` the whole message.
            advice: What is wrong with the value and what to give instead (``is not a duration; give …``).
        """
        self.option = option
        self.value = value
        self.advice = advice
        said = f"{value!r} {advice}" if advice else value
        super().__init__(re.sub(r"\s+", " ", f"{option}: {said}").strip())
