"""What the names of anomalies mean, in a line each, for ``stress list anomalies``."""

from __future__ import annotations

__all__ = ["ABOUT"]

ABOUT = {
    "torn-read": "a reader saw a part of a document, or parts of two",
    "garbage-read": "a reader saw bytes that nobody wrote",
    "missing-read": "a reader found no document where one had to be",
    "stale-read": "a reader saw an older version after a newer one was certainly in place",
    "future-read": "a reader saw a version before its write had begun",
    "aborted-read": "a reader saw a version whose write certainly failed",
    "phantom-read": "a reader saw a whole version that nobody wrote to that file in this run",
    "non-monotonic-read": "one process saw a version, and then an older one",
    "lost-update": "an update that was acknowledged was overwritten by one that had not seen it",
    "lost-write": "a write that was acknowledged is not to be found",
    "lost-append": "a record whose append was acknowledged is not in the log",
    "duplicate-append": "one append put its record into the log more than once",
    "reordered-append": "records of one writer are not in the order of their appends",
    "torn-append": "a record in the log is cut off, or mixed with another",
    "phantom-append": "a record in the log that nobody appended, or whose append certainly failed",
    "incompatible-orders": "two readers saw the records of a log in orders that can't both be",
    "bad-backup": "a backup is no complete version of its file, or its bytes changed later",
    "lost-backup": "a backup whose making was acknowledged is not there, or was overwritten",
    "bad-recovery": "a recovery put something other than the newest valid version in place",
    "lost-evidence": "a recovery destroyed the corrupt bytes that it found",
    "lock-overlap": "two processes held one lock at the same time",
    "leftover-temp": "temporary files or lock debris stayed after clean exits, or after a sweep",
    "metadata-lost": "mode, owner, extended attributes or a link's identity were not kept",
    "starvation": "one process got far less done than the others, or waited far too long",
    "hang": "an operation took longer than --op-limit",
    "worker-died": "a worker ended that nobody had killed",
    "no-overlap": "no operation overlapped another: nothing about concurrency was shown",
    "too-few-operations": "operations that the scenario is about were hardly done, or not at all",
    "not-judged": "a checker that a file names is not there, so nobody looked for what it finds",
    "unaccounted": "an operation has no end in any journal",
}
"""Anomaly → what it means."""
