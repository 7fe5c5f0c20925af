"""What holds for every test."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def outside_of_github(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a job of GitHub's the violations that tests provoke must not become the job's own annotations and summary."""
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)
