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
