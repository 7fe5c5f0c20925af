"""A store whose file is a database: the document is a row, and SQLite has the locks."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

SCENARIOS = ("handoff", "session_count")
OBSERVE = False  # the file is no document
ALLOW = ("starvation",)  # who waits for a database looks again and again, ever more seldom
RESIDUE = ("*.db", "*.db-*")


def _open(path: str) -> sqlite3.Connection:
    made = sqlite3.connect(path + ".db", timeout=30, isolation_level=None)
    made.execute("create table if not exists document (id integer primary key check (id = 1), text)")
    return made


def _read(store: sqlite3.Connection, path: str) -> Any:
    row = store.execute("select text from document").fetchone()
    if row is not None:
        return json.loads(row[0])
    return json.loads(Path(path).read_text()) if os.path.exists(path) else None  # what was there before


def read(path: str) -> Any:
    store = _open(path)
    try:
        return _read(store, path)
    finally:
        store.close()


def write(path: str, document: Any) -> None:
    update(path, lambda _: document)


def update(path: str, change: Callable[[Any], Any]) -> None:
    store = _open(path)
    try:
        store.execute("begin immediate")
        text = json.dumps(change(_read(store, path)))
        store.execute("insert or replace into document values (1, ?)", (text,))
        store.execute("commit")
    finally:
        store.close()
