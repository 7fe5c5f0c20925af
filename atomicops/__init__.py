# Copyright (c) the atomicops developers. SPDX-License-Identifier: MIT
"""Small shared files that several processes can replace, append to, update, back up and recover without losing data.

The helpers of the Bash file ``shell/atomicops.sh`` follow the same contract: the same locks, temp files and backups.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._append import atomic_append_text
    from ._backup import create_backup, list_backups, prune_backups
    from ._errors import CannotCheck, CommittedNotDurable, CorruptFile, LockLost, LockTimeout, VersionConflict
    from ._json import Snapshot, atomic_write_json, read_json, safe_read_json, update_json
    from ._lock import file_lock
    from ._recover import Recovery, recover
    from ._replace import ABSENT
    from ._sweep import Swept, sweep_orphans
    from ._write import atomic_write_bytes, atomic_write_text

__version__ = "0.2.0"
__all__ = [
    "ABSENT",
    "CannotCheck",
    "CommittedNotDurable",
    "CorruptFile",
    "LockLost",
    "LockTimeout",
    "Recovery",
    "Snapshot",
    "Swept",
    "VersionConflict",
    "atomic_append_text",
    "atomic_write_bytes",
    "atomic_write_json",
    "atomic_write_text",
    "create_backup",
    "file_lock",
    "list_backups",
    "prune_backups",
    "read_json",
    "recover",
    "safe_read_json",
    "sweep_orphans",
    "update_json",
]

# Each name is imported when it is first asked for: a script that only reads does not pay for recovery.
_HOME = {
    "ABSENT": "_replace",
    "CannotCheck": "_errors",
    "CommittedNotDurable": "_errors",
    "CorruptFile": "_errors",
    "LockLost": "_errors",
    "LockTimeout": "_errors",
    "Recovery": "_recover",
    "Snapshot": "_json",
    "Swept": "_sweep",
    "VersionConflict": "_errors",
    "atomic_append_text": "_append",
    "atomic_write_bytes": "_write",
    "atomic_write_json": "_json",
    "atomic_write_text": "_write",
    "create_backup": "_backup",
    "file_lock": "_lock",
    "list_backups": "_backup",
    "prune_backups": "_backup",
    "read_json": "_json",
    "recover": "_recover",
    "safe_read_json": "_json",
    "sweep_orphans": "_sweep",
    "update_json": "_json",
}


def __getattr__(name: str) -> object:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
