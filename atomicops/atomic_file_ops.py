# Copyright (c) the atomicops developers. SPDX-License-Identifier: MIT
"""The helpers under the name that scripts import them by: ``from atomic_file_ops import atomic_write_json``.

It lies beside the package ``atomicops`` in a vendored folder, and needs nothing but that.
"""

from __future__ import annotations

import os
import sys

if os.path.isdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), "atomicops")):
    _here = os.path.dirname(os.path.abspath(__file__))
    if _here not in sys.path:  # loaded by its path alone, or as a part of a package
        sys.path.append(_here)

from atomicops import (
    ABSENT,
    CannotCheck,
    CommittedNotDurable,
    CorruptFile,
    LockLost,
    LockTimeout,
    Recovery,
    Snapshot,
    Swept,
    VersionConflict,
    atomic_append_text,
    atomic_write_bytes,
    atomic_write_json,
    atomic_write_text,
    create_backup,
    file_lock,
    list_backups,
    prune_backups,
    read_json,
    recover,
    safe_read_json,
    sweep_orphans,
    update_json,
)

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
