"""What most often lies behind an anomaly: a hint for who has to mend it, never a verdict."""

from __future__ import annotations

__all__ = ["CAUSES"]

CAUSES = {
    "torn-read": "the file is written in place, so that readers meet half of it; a temporary file beside it, renamed "
    "over it, is seen whole or not at all",
    "missing-read": "the file is removed or emptied for a moment while it is replaced; rename(2) leaves no such moment",
    "stale-read": "a cache, or a writer that put back an older copy of the whole file",
    "non-monotonic-read": "a writer put back an older copy of the whole file",
    "lost-update": "read, change and write are three steps without one lock around all of them",
    "lost-write": "a writer put back an older copy of the whole file",
    "lost-append": "the log is read, added to and put back as a whole, without a lock around all three; what another "
    "process appended meanwhile is overwritten",
    "duplicate-append": "an append is tried again after an error though the first try had taken effect",
    "torn-append": "a record takes more than one write(2), or O_APPEND is missing, or a short write is not noticed",
    "bad-backup": "the backup is copied while the file is being written, or without the lock",
    "lost-backup": "backups are named by the second, and two in one second have one name",
    "lock-overlap": "the lock file is unlinked or replaced while it is held, so that two processes lock two files; or "
    "a lock is broken by its age",
    "leftover-temp": "the temporary file is not removed where a write fails, or its writer is killed",
    "metadata-lost": "the file is replaced by a new one that does not take over mode, owner, attributes or the link",
}
"""Anomaly → its usual cause, a sentence without its first capital and its full stop."""
