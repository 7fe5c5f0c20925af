"""Two users of one group, for scenarios in which agents of several people share a folder. They need root.

Nobody has to make an account: a process may have any numbers. These are none that distributions or systemd give out
(systemd's "Users, Groups, UIDs and GIDs").
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stress.host.process_tree import die_with_parent


@dataclass(frozen=True, slots=True)
class User:
    """Whom a worker's process belongs to."""

    uid: int
    gid: int
    umask: int


COLLEAGUES = (User(60601, 60600, 0o022), User(60602, 60600, 0o077))
"""They share files through their group; one of them keeps new files to himself, where nobody says otherwise."""


def become(user: User, parent: int) -> None:
    """To be called in a child of ``parent``: from now on it is ``user``'s, and still dies with its parent, which
    credentials(7) would undo. Raises OSError where that may not be.
    """
    os.setgroups([user.gid])
    os.setresgid(user.gid, user.gid, user.gid)
    os.setresuid(user.uid, user.uid, user.uid)
    os.umask(user.umask)
    die_with_parent(parent)


def why_not(directory: str = "/", files: Sequence[Path] = ()) -> str:
    """Why workers can't be `COLLEAGUES` in ``directory``, who have to read ``files`` and the harness's own; empty if
    they can. Tried in a child, as containers may forbid it.
    """
    if os.geteuid():
        return "it needs two users, and so root"
    parent, child = os.getpid(), os.fork()
    if not child:
        try:
            become(COLLEAGUES[0], parent)
        except OSError:
            os._exit(1)
        if not os.access(directory, os.X_OK):
            os._exit(2)
        os._exit(0 if all(os.access(file, os.R_OK) for file in (*files, Path(__file__))) else 3)
    unread = "other users can't read the target, or stress itself: install them where everybody can, not below /root"
    why = ("", "this container has no other users", f"other users can't reach {directory}", unread)
    return why[os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])]
