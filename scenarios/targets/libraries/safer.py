"""The package safer: a temporary file, renamed when it is closed; no lock."""

from __future__ import annotations

from scenarios.targets.libraries._common import of, operations, read

ABOUT = "the package safer"

_open = of("safer", "open")


def _put(path: str, data: bytes) -> None:
    with _open(path, "wb", temp_file=True) as file:
        file.write(data)


write, update, append = operations(_put).values()

__all__ = ["append", "read", "update", "write"]
