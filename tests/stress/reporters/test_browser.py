"""The page in a real browser: the timeline and the charts are drawn, and nothing is said on the console."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from stress.reporters.html import as_html
from stress.result import Result

BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "chrome-headless-shell")
BROWSER = next((path for name in BROWSERS if (path := shutil.which(name))), None)

pytestmark = pytest.mark.skipif(
    BROWSER is None, reason="no browser to open the page in: apt-get install chromium-headless-shell"
)


def opened(page: Path, folder: Path) -> tuple[str, list[str]]:
    """What the page has become once its scripts have run, and what they said on the console."""
    assert BROWSER is not None
    argv = [
        BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1280,900",
        f"--user-data-dir={folder / 'profile'}", "--enable-logging=stderr", "--virtual-time-budget=2000",
        "--run-all-compositor-stages-before-draw", "--dump-dom", page.as_uri(),
    ]  # fmt: skip
    environment = {**os.environ, "HOME": str(folder), "TMPDIR": str(folder)}
    browser = subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True
    )
    try:
        text, said = browser.communicate(timeout=60)
    finally:
        try:
            os.killpg(browser.pid, signal.SIGKILL)  # its own group: the helpers that it has started are in it
        except ProcessLookupError:
            pass
        browser.wait()
    assert browser.returncode == 0, said
    return text, [line for line in said.splitlines() if ":CONSOLE" in line]


@pytest.mark.parametrize(
    ("name", "label"),
    [("torn-read-rest-of-a-longer-one", "torn read"), ("lost-update", "update p")],
)
def test_the_witness_is_drawn(name: str, label: str, golden: Callable[[str], Result], tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    page.write_text(as_html(golden(name)), encoding="utf-8")
    text, console = opened(page, tmp_path)
    assert console == []
    (wrong,) = re.findall(r'<g class="bar bad focus[^"]*"[^>]*>(.*?)</g>', text, re.S)
    assert label in wrong
    assert re.findall(r'<g class="bar v\d', text)
    assert text.count('class="main-svg"') >= 4  # Plotly has drawn its charts
    assert "<option" in text  # the kinds of operation whose latency can be chosen


def test_an_error_on_the_console_is_seen(golden: Callable[[str], Result], tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    text = as_html(golden("stale-read"))
    # A script of somebody else's: the content security policy stops it, and says so.
    page.write_text(text.replace("</main>", "<script>document.title = 'theirs'</script></main>"), encoding="utf-8")
    text, console = opened(page, tmp_path)
    assert len(console) == 1
    assert "Content Security Policy" in console[0]
    assert "theirs</title>" not in text
