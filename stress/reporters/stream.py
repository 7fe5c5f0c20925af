"""Standard output and error that may be closed, or full: the run goes on to its verdict and its reports."""

from __future__ import annotations

import os
import sys
from typing import Any, TextIO


def is_watched(stream: TextIO) -> bool:
    """Whether a person looks on: at a terminal, and not one that CI has made."""
    return stream.isatty() and os.environ.get("CI", "").lower() not in ("true", "1", "yes")


class PatientStream:
    """A text stream that goes quiet at the first error. ``error`` remembers it, but for a broken pipe: whoever closes
    one has read enough.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._quiet = False
        self.error: OSError | None = None

    def __getattr__(self, name: str) -> Any:
        """All else is the stream's."""
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write, unless it has gone quiet."""
        if not self._quiet:
            try:
                self._stream.write(text)
            except OSError as error:
                self._go_quiet(error)
        return len(text)

    def flush(self) -> None:
        """Flush, unless it has gone quiet."""
        if not self._quiet:
            try:
                self._stream.flush()
            except OSError as error:
                self._go_quiet(error)

    def _go_quiet(self, error: OSError) -> None:
        self._quiet = True
        if not isinstance(error, BrokenPipeError):
            self.error = error
        if self._stream in (sys.__stdout__, sys.__stderr__):
            # What is still in the stream's buffer goes to the null device, also at exit.
            null = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
            os.dup2(null, self._stream.fileno())
            os.close(null)
