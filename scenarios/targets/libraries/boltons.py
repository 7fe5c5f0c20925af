"""boltons.fileutils.atomic_save: a temporary file of a fixed name, renamed; no lock."""

from __future__ import annotations

from scenarios.targets.libraries._common import of, operations, read

ABOUT = "boltons.fileutils.atomic_save"

_atomic_save = of("boltons.fileutils", "atomic_save")


def _put(path: str, data: bytes) -> None:
    with _atomic_save(path) as file:
        file.write(data)


write, update, append = operations(_put).values()

__all__ = ["append", "read", "update", "write"]
