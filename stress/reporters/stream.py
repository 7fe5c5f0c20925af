"""Standard output that whoever reads it may close: the run goes on to its verdict, and nothing more is shown."""

from __future__ import annotations

import os
import sys
from typing import TextIO

__all__ = ["PatientStream"]


class PatientStream:
    """A text stream that goes quiet at the first broken pipe; other errors are raised, as for a full disk."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    @property
    def encoding(self) -> str:
        """Of the stream."""
        return self._stream.encoding or "utf-8"

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return self._stream.isatty()

    def fileno(self) -> int:
        """Of the stream."""
        return self._stream.fileno()

    def write(self, text: str) -> int:
        """Write, or not, once nobody reads."""
        try:
            return self._stream.write(text)
        except BrokenPipeError:
            self._go_quiet()
            return len(text)

    def flush(self) -> None:
        """Flush, or not, once nobody reads."""
        try:
            self._stream.flush()
        except BrokenPipeError:
            self._go_quiet()

    def _go_quiet(self) -> None:
        # What is still in the stream's buffer goes to the null device, also at exit.
        if self._stream is sys.__stdout__ or self._stream is sys.stdout:
            null = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
            os.dup2(null, self._stream.fileno())
            os.close(null)
