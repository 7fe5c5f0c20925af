"""Replace a file as a whole: a temp file beside it, made complete and durable, then renamed over it."""

from __future__ import annotations

import errno
import os
import stat as st

from . import _attributes
from ._errors import CommittedNotDurable, drop, put_name, version_conflict
from ._lock import TIMEOUT_S, acquire, release
from ._paths import Place, locate, temp_name
from ._sync import FULL, NONE, check_durability, sync_directory, sync_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ._errors import Path

_TEMP = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
ABSENT = "absent"


def write_all(fd: int, data: bytes | memoryview) -> None:
    """Write everything. A short write is normal, at a quota or a file-size limit; the next one tells the reason."""
    written = os.write(fd, data)
    if written == len(data):
        return
    left = memoryview(data)[written:]
    while left:
        left = left[os.write(fd, left) :]


class Writer:
    """A target located and locked, ready to be replaced. Leaving it releases both."""

    __slots__ = ("durability", "given", "hold", "place")

    def __init__(
        self,
        path: Path,
        durability: str = FULL,
        timeout: float | None = TIMEOUT_S,
        make_parents: bool = True,
    ) -> None:
        check_durability(durability)
        self.durability = durability
        full = durability == FULL
        self.place = locate(path, make_parents=make_parents, durable=full, must_sync=full)
        self.given = self.place.given
        try:
            self.hold = acquire(self.place, timeout)
        except BaseException:
            self.place.close()
            raise

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, _: object, error: object, __: object) -> None:
        try:
            release(self.hold)
        finally:
            self.place.close()
            put_name(error, self.given)

    def expect(self, if_version: str | None) -> None:
        """Raise VersionConflict unless the target has this version."""
        if if_version is not None:
            found = version(read_bytes(self.place))
            if found != if_version:
                raise version_conflict(self.given, if_version, found)

    def replace(self, fill: Callable[[int], None], like: bytes | None = None) -> None:
        """Make the target what ``fill`` writes to the descriptor it is given; old or new, never in between.

        It keeps the attributes of the target or, where that is missing, takes those of ``like`` beside it.
        """
        name = self.make_temp(fill, like)
        try:
            self._rename(name)
        except BaseException:
            self.discard(name)
            raise
        self.sync_directory()

    def make_temp(self, fill: Callable[[int], None], like: bytes | None = None) -> bytes:
        """A finished temp file: content, attributes, synced. Returns its name."""
        place = self.place
        status, model = place.stat(), place.name
        if status is None and like is not None:
            status, model = os.stat(like, dir_fd=place.fd, follow_symlinks=False), like
        name = b""
        try:
            name = temp_name(place.name)
            mode = 0o666 if status is None else st.S_IMODE(status.st_mode) & 0o777
            fd = os.open(name, _TEMP, mode, dir_fd=place.fd)
            try:
                if status is not None:
                    _attributes.copy(place, fd, status, model)
                fill(fd)
                if self.durability != NONE:
                    sync_file(fd)
            finally:
                os.close(fd)  # and before the rename: NFS reports a full quota here
        except BaseException as error:
            self.discard(name)
            if isinstance(error, OSError):
                error.filename = self.given
            raise
        return name

    def discard(self, name: bytes) -> None:
        if not name:
            return
        try:
            os.unlink(name, dir_fd=self.place.fd)
        except OSError:
            pass  # the error on its way out matters more, and a sweep knows the file

    def sync_directory(self) -> None:
        if self.durability == FULL:
            try:
                sync_directory(self.place.fd)
            except OSError as error:
                raise CommittedNotDurable(
                    error.errno or errno.EIO,
                    f"changed, but may not survive a power loss: {error.strerror}",
                    self.given,
                ) from error

    def _rename(self, name: bytes) -> None:
        fd = self.place.fd
        try:
            os.rename(name, self.place.name, src_dir_fd=fd, dst_dir_fd=fd)
        except OSError as error:
            # Over a network the answer can be lost and the deed done. Nobody else may touch our temp file while we have
            # the lock: if it is gone, it has become the target.
            if self._is_there(name):
                error.filename, error.filename2 = self.given, None
                raise

    def _is_there(self, name: bytes) -> bool:
        try:
            os.stat(name, dir_fd=self.place.fd, follow_symlinks=False)
        except FileNotFoundError:
            return False
        except OSError:
            pass
        return True


def read_bytes(place: Place) -> bytes | None:
    """The target's bytes, ``None`` where it is missing."""
    found = place.stat()
    if found is None:
        return None
    try:
        fd = os.open(place.name, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=place.fd)
    except FileNotFoundError:
        return None
    try:
        return read_all(fd, found.st_size)
    except OSError as error:
        error.filename = place.given
        raise
    finally:
        drop(fd)


def read_all(fd: int, size_hint: int = 8192) -> bytes:
    data = os.read(fd, size_hint + 1)
    if len(data) > size_hint:  # once more from the start, all at one go: to put parts together costs more
        size = os.fstat(fd).st_size
        if size > size_hint:
            os.lseek(fd, 0, os.SEEK_SET)
            data = os.read(fd, size + 1)
            if len(data) == size:
                return data
    if len(data) <= size_hint:
        more = os.read(fd, 65536) if data else b""
        if not more:
            return data
        parts = [data, more]
    else:
        parts = [data]
    while chunk := os.read(fd, 1 << 20):
        parts.append(chunk)
    return b"".join(parts)


def version(data: bytes | None) -> str:
    """The version of these bytes, as ``if_version`` takes it: a hash, so that a re-created file is not mistaken."""
    if data is None:
        return ABSENT
    from hashlib import sha256

    return "sha256-" + sha256(data).hexdigest()
