"""What holds for every test."""

from __future__ import annotations

import signal

import pytest
from hypothesis import settings

settings.register_profile("calm", deadline=None)  # no test judges by the clock: machines stand still at times
settings.load_profile("calm")


def pytest_configure() -> None:
    """Whatever started the tests (nohup, a script's background job) may ignore these, and children would inherit it."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


@pytest.fixture(autouse=True)
def outside_of_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    In a job of GitHub's the violations that tests provoke must not become the job's own annotations and summary, and
    where these are set pytest itself prints the summary of a failed test in full.
    """
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "CI", "BUILD_NUMBER"):
        monkeypatch.delenv(name, raising=False)
