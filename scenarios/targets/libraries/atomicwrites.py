"""The package atomicwrites: a temporary file, synced and renamed; no lock."""

from __future__ import annotations

from scenarios.targets.libraries._common import of, operations, read

ABOUT = "the package atomicwrites"

_atomic_write = of("atomicwrites", "atomic_write")


def _put(path: str, data: bytes) -> None:
    with _atomic_write(path, mode="wb", overwrite=True) as file:
        file.write(data)


write, update, append = operations(_put).values()

__all__ = ["append", "read", "update", "write"]
