"""What the kernel, or the container, does not allow."""

from __future__ import annotations


class Denied(Exception):
    """Syscalls cannot be scheduled here.

    Attributes:
        what: What was denied.
        cure: What would allow it.
    """

    def __init__(self, what: str, cure: str) -> None:
        super().__init__(what, cure)
        self.what = what
        self.cure = cure

    def __str__(self) -> str:
        """Both, in one line."""
        return f"{self.what}: {self.cure}"


class Undecided(Exception):
    """What a program does has an order that nobody decides, or an answer that is not true, so its execution is not
    judged. In words.
    """
