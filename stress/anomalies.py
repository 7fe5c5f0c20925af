"""The anomalies that checkers report: the name of each, what it means, and what most often lies behind it.

An anomaly is a value made here (or by a user's checker), so that one without an explanation can't be reported. They
stand in the order in which reports tell them: the worst first.
"""

from __future__ import annotations

from enum import IntEnum

from stress.registry import Registry


class Harm(IntEnum):
    """What an anomaly costs whose files they are; the worst first."""

    DATA = 0
    """Data is lost, torn, or seen as it never was."""
    RECOVERY = 1
    """What was to save the data does not."""
    REST = 2
    """Metadata, what is left behind, and who has to wait."""
    DOUBT = 3
    """Nothing is proven: the run says too little."""


class Anomaly(str):
    """The name of an anomaly; making one registers it. Raises ValueError if the name is taken, or ``about`` empty."""

    about: str
    """What it means, in a clause without a capital and a full stop."""
    cause: str
    """What most often lies behind it, for who has to mend it: a hint, never a verdict; empty where none is usual."""
    harm: Harm
    rank: tuple[int, int]
    """Where it stands in a report: by its harm, then in the order in which anomalies were made."""

    def __new__(cls, name: str, about: str, cause: str = "", harm: Harm = Harm.DATA) -> Anomaly:
        """Make the anomaly ``name``."""
        if not about.strip():
            raise ValueError(f"the anomaly {name!r} has no explanation; say what it means")
        anomaly = super().__new__(cls, name)
        anomaly.about, anomaly.cause, anomaly.harm = about, cause, harm
        anomaly.rank = harm, len(ANOMALIES)
        return ANOMALIES.add(name, anomaly)

    def __reduce__(self) -> tuple[object, ...]:
        """As a look-up: there is one of each name."""
        return _of_name, (str(self),)


ANOMALIES: Registry[Anomaly] = Registry("anomaly")


def _of_name(name: str) -> Anomaly:
    return ANOMALIES.get(name)


LOST_UPDATE = Anomaly(
    "lost-update",
    "an update that was acknowledged was overwritten by one that had not seen it",
    "read, change and write are three steps without one lock around all of them",
)
LOST_FIELD = Anomaly(
    "lost-field",
    "a document was whole, but its fields were not those that had been written",
    "an encoder that drops or rounds some values (false, null, an empty list, 0.1234567), or a merge with an older "
    "copy; fields that a target adds for itself are not looked at if their names begin with _",
)
LOST_WRITE = Anomaly(
    "lost-write",
    "a write that was acknowledged is not to be found",
    "a writer put back an older copy of the whole file",
)
LOST_APPEND = Anomaly(
    "lost-append",
    "a record whose append was acknowledged is not in the log",
    "the log is read, added to and put back as a whole, without a lock around all three; what another process "
    "appended meanwhile is overwritten",
)
TORN_READ = Anomaly(
    "torn-read",
    "a reader saw a part of a document, or parts of two",
    "the file is written in place, so that readers meet half of it, or two writers share one temporary file; a "
    "temporary file of its own for each write, renamed over the file, is seen whole or not at all",
)
TORN_APPEND = Anomaly(
    "torn-append",
    "a record in the log is cut off, or mixed with another",
    "a record takes more than one write(2), or O_APPEND is missing, or a short write is not noticed; or a reader "
    "without a lock meets a write that is under way, which O_APPEND does not keep it from; or the record is "
    "interpreted on its way (echo -e, printf with it as the format, read without -r)",
)
MISSING_READ = Anomaly(
    "missing-read",
    "a reader found no document where one had to be",
    "the file is removed or emptied for a moment while it is replaced; rename(2) leaves no such moment",
)
GARBAGE_READ = Anomaly("garbage-read", "a reader saw bytes that nobody wrote")
DUPLICATE_APPEND = Anomaly(
    "duplicate-append",
    "one append put its record into the log more than once",
    "an append is tried again after an error though the first try had taken effect",
)
DUPLICATE_UPDATE = Anomaly(
    "duplicate-update",
    "the change of one update was made more than once",
    "an update is tried again after an error though the first try had taken effect",
)
LOCK_OVERLAP = Anomaly(
    "lock-overlap",
    "two processes held one lock at the same time",
    "the lock file is unlinked or replaced while it is held, so that two processes lock two files; or a lock is "
    "broken by its age",
)
STALE_READ = Anomaly(
    "stale-read",
    "a reader saw an older version after a newer one was certainly in place",
    "a cache, or a writer that put back an older copy of the whole file",
)
NON_MONOTONIC_READ = Anomaly(
    "non-monotonic-read",
    "one process saw a version, and then an older one",
    "a writer put back an older copy of the whole file",
)
ABORTED_READ = Anomaly("aborted-read", "a reader saw a version whose write certainly failed")
FUTURE_READ = Anomaly("future-read", "a reader saw a version before its write had begun")
PHANTOM_READ = Anomaly("phantom-read", "a reader saw a whole version that nobody wrote to that file in this run")
PHANTOM_APPEND = Anomaly("phantom-append", "a record in the log that nobody appended, or whose append certainly failed")
REORDERED_APPEND = Anomaly("reordered-append", "records of one writer are not in the order of their appends")
INCOMPATIBLE_ORDERS = Anomaly(
    "incompatible-orders", "two readers saw the records of a log in orders that can't both be"
)
BAD_RECOVERY = Anomaly(
    "bad-recovery", "a recovery put something other than the newest valid version in place", harm=Harm.RECOVERY
)
LOST_EVIDENCE = Anomaly("lost-evidence", "a recovery destroyed the corrupt bytes that it found", harm=Harm.RECOVERY)
LOST_BACKUP = Anomaly(
    "lost-backup",
    "a backup whose making was acknowledged is not there, or was overwritten",
    "backups are named by the second, and two in one second have one name",
    harm=Harm.RECOVERY,
)
BAD_BACKUP = Anomaly(
    "bad-backup",
    "a backup is no complete version of its file, or its bytes changed later",
    "the backup is copied while the file is being written, or without the lock",
    harm=Harm.RECOVERY,
)
METADATA_LOST = Anomaly(
    "metadata-lost",
    "mode, owner, extended attributes or a link's identity were not kept",
    "the file is replaced by a new one that does not take over mode, owner, attributes or the link",
    harm=Harm.REST,
)
LEFTOVER_TEMP = Anomaly(
    "leftover-temp",
    "temporary files or lock debris stayed after clean exits, or after a sweep",
    "the temporary file is not removed where a write fails, or its writer is killed",
    harm=Harm.REST,
)
HANG = Anomaly("hang", "an operation took longer than --op-limit", harm=Harm.REST)
STARVATION = Anomaly(
    "starvation", "one process got far less done than the others, or waited far too long", harm=Harm.REST
)
WORKER_DIED = Anomaly("worker-died", "a worker ended that nobody had killed", harm=Harm.DOUBT)
WORKER_STAYED = Anomaly(
    "worker-stayed",
    "a worker had done all that it had to, and a thread that the target had started kept its process from ending",
    "a thread is started that is no daemon and that nobody joins; what it still had to do was not judged",
    harm=Harm.DOUBT,
)
DEADLOCK = Anomaly(
    "deadlock",
    "processes wait for each other's locks, and none can go on",
    "two locks are taken in different orders, or a process waits for a lock that it holds itself",
    harm=Harm.REST,
)
LIVELOCK = Anomaly(
    "livelock",
    "processes go on and on without coming to an end",
    "a loop that tries again has no bound, or waits for something that nobody will do",
    harm=Harm.REST,
)
READABLE = Anomaly(
    "readable",
    "a file could be read, for a moment, by users who could not read it before",
    "the new file is created with the default mode, and gets that of the old one afterwards",
    harm=Harm.DATA,
)
CHECK_FAILED = Anomaly("check-failed", "the given check says that what was left is wrong", harm=Harm.DATA)
AGENT_FAILED = Anomaly("agent-failed", "a process ended with an exit status that says that it failed", harm=Harm.REST)
TOO_FEW_OPERATIONS = Anomaly(
    "too-few-operations", "operations that the scenario is about were hardly done, or not at all", harm=Harm.DOUBT
)
NO_OVERLAP = Anomaly(
    "no-overlap", "no operation overlapped another: nothing about concurrency was shown", harm=Harm.DOUBT
)
UNACCOUNTED = Anomaly("unaccounted", "an operation has no end in any journal", harm=Harm.DOUBT)
NOT_JUDGED = Anomaly(
    "not-judged",
    "nobody could look for what is wrong: a checker is not there, the file is not the document, or a reader tripped",
    harm=Harm.DOUBT,
)
