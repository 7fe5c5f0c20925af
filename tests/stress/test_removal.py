"""Directories that are done with are removed, whatever there is no more of."""

from __future__ import annotations

import os
from pathlib import Path

from stress.host.interrupts import remove_tree


def test_a_directory_is_removed_where_no_file_descriptor_is_left(tmp_path: Path) -> None:
    deep = tmp_path / "gone" / "within" / "it"
    deep.mkdir(parents=True)
    (deep / "file").touch()
    if not (child := os.fork()):
        try:
            while True:
                os.open(os.devnull, os.O_RDONLY)
        except OSError:
            remove_tree(tmp_path / "gone")
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert list(tmp_path.iterdir()) == []
