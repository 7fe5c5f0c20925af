"""What the kernel, or the container, does not allow."""

from __future__ import annotations


class Denied(Exception):
    """Syscalls cannot be scheduled here.

    Attributes:
        what: What was denied.
        cure: What would allow it.
    """

    def __init__(self, what: str, cure: str) -> None:
        super().__init__(f"{what}: {cure}")
        self.what = what
        self.cure = cure
