# Copyright (c) the atomicops developers. SPDX-License-Identifier: MIT
"""Copy a file's content inside the kernel: a reflink, else copy_file_range(2), else a loop."""

from __future__ import annotations

import fcntl
import os
import sys

_FICLONE = 0x40049409  # ioctl_ficlone(2)
_CHUNK_BYTES = 1 << 20
_RANGE_BYTES = 1 << 30


def copy_content(source: int, target: int) -> None:
    """Copy everything of ``source``, from its start, to the empty ``target``, and leave target's offset at the end."""
    if sys.platform.startswith("linux"):
        try:
            fcntl.ioctl(target, _FICLONE, source)
            os.lseek(target, 0, os.SEEK_END)
            return
        except OSError:
            pass  # another file system, or one without reflinks: ext4, tmpfs
    done = _copy_range(source, target)
    # The loop also finishes what the kernel gave up, or took for the end: /proc and FUSE files report size 0.
    os.lseek(source, done, os.SEEK_SET)
    while chunk := os.read(source, _CHUNK_BYTES):
        left = memoryview(chunk)
        while left:
            left = left[os.write(target, left) :]


def _copy_range(source: int, target: int) -> int:
    done = 0
    if hasattr(os, "copy_file_range"):
        os.lseek(source, 0, os.SEEK_SET)
        try:
            while copied := os.copy_file_range(source, target, _RANGE_BYTES):
                done += copied
        except OSError:
            pass  # whatever it was (no such call, a full disk), the loop goes on from here and meets what is real
    return done
