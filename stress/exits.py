"""The exit codes that are no verdict's; those of verdicts are in `stress.result.Verdict`."""

from __future__ import annotations

EXIT_USAGE = 2
EXIT_HARNESS = 4
EXIT_INTERRUPTED = 130
