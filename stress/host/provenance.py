"""Where, when and with what a run was made: what a report says so that who reads it can judge what it is worth."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import os
import platform
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from stress.host.machine import cores, file_system, version_of_tool

TOOLS = ("bash", "jq", "perl", "flock")
"""Programs that targets are made of, as a rule."""
_DISTRIBUTION = "atomicops-stress"


def provenance(directory: str, target_files: Iterable[Path]) -> dict[str, str]:
    """What is known of this machine and of the target, as name → text; what is not there is ``missing``.

    ``directory`` is the one under test. The hash is SHA-256 over the target's files, each with its base name.
    """
    under = file_system(directory)
    return {
        "date": time.strftime("%Y-%m-%d %H:%M:%S %z"),
        "host": platform.node() or "unknown",
        "kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
        "file system": "unknown" if under is None else f"{under.type} on {under.mount} ({under.options})",
        "cores": str(cores()),
        "python": platform.python_version(),
        "stress": _own_version(),
        **{tool: _version(tool, os.environ.get("PATH", "")) for tool in TOOLS},
        "target": _hash(target_files),
    }


def in_a_line(known: Mapping[str, str]) -> str:
    """The same in one line for people, without what only machines compare."""
    if not known:
        return ""
    place = known.get("file system", "unknown").partition(" ")[0]
    tools = ", ".join(f"{name} {known[name]}" for name in ("python", *TOOLS, "stress") if name in known)
    cores = known.get("cores", "?")
    return (
        f"{known.get('date', '')} on {known.get('host', '')}: {known.get('kernel', '')}, {place}, "
        f"{cores} {'core' if cores == '1' else 'cores'}; {tools}"
    )


def _own_version() -> str:
    try:
        return importlib.metadata.version(_DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


@functools.lru_cache(64)
def _version(tool: str, path: str) -> str:
    """By ``path`` too, the value of PATH: what is found depends on it."""
    version = version_of_tool(tool)
    return "missing" if version is None else version or "of no version"


def _hash(files: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    found = False
    for file in files:
        try:
            content = file.read_bytes()
        except OSError:
            continue
        digest.update(f"{file.name}\0{len(content)}\0".encode("utf-8", "surrogateescape") + content)
        found = True
    return f"sha256 {digest.hexdigest()}" if found else "unknown"
