"""The page in a real browser: it is drawn, leads nowhere else, is readable by all, and its labels keep apart.

The browser is driven over a pipe by its DevTools protocol (https://chromedevtools.github.io/devtools-protocol/), for
which no library is needed.
"""

from __future__ import annotations

import dataclasses
import fcntl
import importlib.util
import json
import os
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from stress.reporters.html import as_html
from stress.result import Finding, Result

BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "chrome-headless-shell")
BROWSER = next((path for name in BROWSERS if (path := shutil.which(name))), None)
WAIT_S = 60
GOLDEN = ["torn-read-rest-of-a-longer-one", "lost-update", "stale-read-of-a-log"]

pytestmark = pytest.mark.skipif(
    BROWSER is None, reason="no browser to open the page in: apt-get install chromium-headless-shell"
)


class Tab:
    """A browser with one page, which is told what to do over a pipe."""

    def __init__(self, folder: Path) -> None:
        assert BROWSER is not None
        self.folder = folder
        pipes = os.pipe(), os.pipe()
        self._out, self._in = pipes[0][1], pipes[1][0]
        # Out of the way of 3 and 4, which the browser reads from and writes to.
        theirs_in, theirs_out = (fcntl.fcntl(fd, fcntl.F_DUPFD, 10) for fd in (pipes[0][0], pipes[1][1]))
        argv = [
            BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
            f"--user-data-dir={folder / 'profile'}", "--remote-debugging-pipe", "about:blank",
        ]  # fmt: skip
        shell = ["bash", "-c", f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}', "bash", *argv]
        self._process = subprocess.Popen(
            shell, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, pass_fds=(theirs_in, theirs_out),
            env={**os.environ, "HOME": str(folder), "TMPDIR": str(folder)}, start_new_session=True,
        )  # fmt: skip
        for fd in (theirs_in, theirs_out, pipes[0][0], pipes[1][1]):
            os.close(fd)
        self._unread = b""
        self._asked = 0
        self._session = ""
        self.said: list[str] = []
        """What went to the console, and what the browser itself complained of."""
        self.fetched: list[str] = []
        """The addresses that were asked for."""
        (page,) = [each for each in self._ask("Target.getTargets")["targetInfos"] if each["type"] == "page"]
        self._session = self._ask("Target.attachToTarget", targetId=page["targetId"], flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network", "Accessibility"):
            self._ask(f"{domain}.enable")

    def close(self) -> None:
        """End it, with all that it has started: they are in a process group of their own."""
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._process.wait()
        os.close(self._in)
        os.close(self._out)

    def open(self, text: str, *, width: int = 1280, dark: bool = False, scripts: bool = True) -> None:
        """Show a page, and wait until it has been drawn."""
        page = self.folder / "page.html"
        page.write_text(text, encoding="utf-8")
        self.said.clear()
        self.fetched.clear()
        self._ask("Emulation.setScriptExecutionDisabled", value=not scripts)
        self._ask("Emulation.setEmulatedMedia", features=[
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])  # fmt: skip
        self._ask(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 600
        )
        self._ask("Page.navigate", url=page.as_uri())
        self._until("Page.loadEventFired")
        if scripts:
            self.run("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def run(self, script: str) -> Any:
        """The value of an expression of JavaScript, which the page's own policy does not stop."""
        answer = self._ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def press(self, key: str) -> None:
        """Press a key, and let it go."""
        code = {"Tab": 9, "Enter": 13}.get(key, 0)
        text = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            self._ask("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code,
                      **(text if kind == "keyDown" else {}))  # fmt: skip

    def tree(self) -> list[tuple[str, str]]:
        """(role, name) of all that a screen reader meets, in order."""
        nodes = self._ask("Accessibility.getFullAXTree")["nodes"]
        return [
            (node["role"]["value"], str(node.get("name", {}).get("value", "")))
            for node in nodes
            if not node["ignored"] and "role" in node
        ]

    def _ask(self, method: str, **parameters: Any) -> Any:
        self._asked += 1
        message: dict[str, Any] = {"id": self._asked, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._out, data) :]
        while (answer := self._next()).get("id") != self._asked:
            self._take(answer)
        assert "error" not in answer, answer
        return answer["result"]

    def _until(self, event: str) -> None:
        while (message := self._next()).get("method") != event:
            self._take(message)

    def _take(self, message: dict[str, Any]) -> None:
        parameters = message.get("params", {})
        if message.get("method") == "Runtime.consoleAPICalled":
            self.said.append(str(parameters["args"]))
        if message.get("method") == "Runtime.exceptionThrown":
            self.said.append(str(parameters["exceptionDetails"]))
        if message.get("method") == "Log.entryAdded":
            self.said.append(parameters["entry"]["text"])
        if message.get("method") == "Network.requestWillBeSent":
            self.fetched.append(parameters["request"]["url"])

    def _next(self) -> dict[str, Any]:
        end = time.monotonic() + WAIT_S
        while b"\0" not in self._unread:
            ready, _, _ = select.select([self._in], [], [], max(0.0, end - time.monotonic()))
            assert ready, "the browser does not answer"
            data = os.read(self._in, 1 << 20)
            assert data, "the browser has gone"
            self._unread += data
        message, _, self._unread = self._unread.partition(b"\0")
        made: dict[str, Any] = json.loads(message)
        return made


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    """One browser for all tests of this file."""
    made = Tab(tmp_path_factory.mktemp("browser"))
    try:
        yield made
    finally:
        made.close()


def crowded(result: Result, golden: Callable[[str], Result]) -> Result:
    """``result`` with many findings that happened at nearly the same time, as where a helper is broken."""
    findings: list[Finding] = []
    for name in GOLDEN:
        findings += golden(name).findings
    (late,) = result.findings
    assert late.focus is not None
    for place in range(30):
        moved = dataclasses.replace(late.focus, ret=late.focus.ret + place * 10**6)
        findings.append(dataclasses.replace(late, focus=moved, file=f"state-{place}.json"))
    return dataclasses.replace(result, findings=tuple(findings))


@pytest.mark.parametrize(
    ("name", "label"),
    [("torn-read-rest-of-a-longer-one", "torn read"), ("lost-update", "update p")],
)
def test_the_witness_is_drawn(name: str, label: str, golden: Callable[[str], Result], tab: Tab) -> None:
    tab.open(as_html(golden(name)))
    assert tab.said == []
    (wrong,) = tab.run("[...document.querySelectorAll('.bar.bad.focus')].map(bar => bar.textContent)")
    assert label in wrong
    assert tab.run("document.querySelectorAll('.bar:is(.v0, .v1)').length") >= 1
    assert tab.run("document.querySelectorAll('.panel path').length") >= 4
    assert tab.run("[...document.querySelectorAll('.tools')].every(each => !each.hidden)")


def test_an_error_on_the_console_is_seen(golden: Callable[[str], Result], tab: Tab) -> None:
    # A script of somebody else's: the content security policy stops it, and says so.
    text = as_html(golden("stale-read"))
    tab.open(text.replace("</main>", "<script>document.title = 'theirs'</script></main>"))
    assert len(tab.said) == 1
    assert "Content Security Policy" in tab.said[0]
    assert tab.run("document.title") != "theirs"


ELSEWHERE = """
[...document.querySelectorAll('*')].flatMap(each => [...each.attributes]
  .filter(({name, value}) =>
    /^(.*:)?(href|src|srcset|action|formaction|data|poster|ping|background|manifest)$/i.test(name)
    && !/^#[\\w-]+$/.test(value) && value !== 'data:,')
  .map(({name, value}) => `${each.tagName} ${name}=${value}`))
  .concat([...document.querySelectorAll('form, iframe, object, embed, base, meta[http-equiv=refresh]')]
    .map(each => each.tagName))
"""


def test_nothing_leads_elsewhere(busy: Callable[[int], Result], golden: Callable[[str], Result], tab: Tab) -> None:
    text = as_html(crowded(busy(5000), golden))
    tab.open(text)
    assert tab.run(ELSEWHERE) == []
    # Each button, field and link is pressed: the page stays where it is, and asks for nothing.
    tab.run("document.querySelectorAll('button, input, select, summary, a').forEach(each => each.click())")
    tab.run("new Promise(done => setTimeout(done, 50))")
    assert tab.run("location.pathname").endswith("/page.html")
    assert [address for address in tab.fetched if not address.startswith(("file:", "data:,"))] == []
    assert len({address.partition("#")[0] for address in tab.fetched if address.startswith("file:")}) == 1
    assert tab.said == []
    for wrong in ('<a href="https://example.org/">x</a>', '<form action="/x"></form>', '<img src="x.png">'):
        tab.open(text.replace("</main>", f"{wrong}</main>"))
        assert len(tab.run(ELSEWHERE)) >= 1, wrong


def test_from_the_red_line_to_the_finding_and_back(golden: Callable[[str], Result], tab: Tab) -> None:
    result = golden("torn-read-cut-off")
    tab.open(as_html(result))
    tab.run("document.querySelector('.run a.line').click()")
    assert tab.run("location.hash") == "#finding-1"
    tab.run("document.querySelector('#finding-1 a.back').click()")
    assert tab.run("location.hash") == "#moment-1"
    tab.run("document.getElementById('moment-1').focus()")
    tab.press("Enter")
    assert tab.run("location.hash") == "#finding-1"
    tab.press("Tab")  # and on within the finding
    assert tab.run("document.activeElement.className") == "back"


OVERLAPS = """
(() => {
  const boxes = [...document.querySelectorAll('.canvas svg text, .ticks span, .moment')]
    .filter(each => each.textContent)
    .map(each => ({text: each.textContent, group: each.closest('.run, .canvas'), box: each.getBoundingClientRect()}))
    .filter(each => each.box.width > 0);
  const found = [];
  for (let one = 0; one < boxes.length; one++) for (let two = one + 1; two < boxes.length; two++) {
    const a = boxes[one].box, b = boxes[two].box;
    if (boxes[one].group !== boxes[two].group) continue;
    const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
    const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
    if (wide > 1 && high > 4) found.push(`${boxes[one].text} / ${boxes[two].text}: ${wide} × ${high}`);
  }
  return found;
})()
"""


@pytest.mark.parametrize("width", [400, 1280])
def test_labels_keep_apart(
    width: int, busy: Callable[[int], Result], golden: Callable[[str], Result], tab: Tab
) -> None:  # fmt: skip
    result = crowded(busy(20_000), golden)
    assert result.history is not None
    # Each writer is followed by four more in its place, whose names are all told.
    replaced = tuple(dataclasses.replace(facts, worker=facts.process % 4) for facts in result.history.processes)
    result = dataclasses.replace(result, history=dataclasses.replace(result.history, processes=replaced))
    tab.open(as_html(dataclasses.replace(result, plan={**result.plan, "dir": "/a/long/name" * 20})), width=width)
    assert tab.run("document.querySelectorAll('.canvas svg text').length") > 20
    assert tab.run(OVERLAPS) == []
    tab.run("document.querySelectorAll('[data-scale=time]').forEach(each => each.click())")
    assert tab.run(OVERLAPS) == []
    tab.run("document.querySelectorAll('details').forEach(each => { each.open = true; })")
    assert tab.run("document.documentElement.scrollWidth") <= width
    tab.run("document.querySelector('.ticks span').style.left = '25%'")
    assert width > 400 or tab.run(OVERLAPS) != []  # two labels in one place are seen


def test_without_scripts_the_witness_is_text(golden: Callable[[str], Result], tab: Tab) -> None:
    result = golden("lost-update")
    tab.open(as_html(result), scripts=False, width=400)
    names = [name for _, name in tab.tree()]
    said = " ".join(names)
    assert "├" in said
    assert "order is exact" in said
    assert "Zoom in" not in said  # nothing is offered that does not work
    assert "Finding 1" in said


def test_a_screen_reader_meets_every_operation_of_the_witness(golden: Callable[[str], Result], tab: Tab) -> None:
    result = golden("lost-update")
    tab.open(as_html(result))
    tree = tab.tree()
    operations = [name for role, name in tree if role in ("image", "img") and name.startswith("p")]
    (finding,) = [each for each in result.findings if each.anomaly == "lost-update"]
    assert len(operations) >= len(finding.witness)
    for op in finding.witness:
        assert any(name.startswith(f"p{op.process} (") and "outcome: " in name for name in operations)
    assert ("heading", "FAIL") in tree
    assert any(role == "link" and name.startswith("Finding 1, lost-update") for role, name in tree)
    assert any(role in ("image", "img") and "per second" in name for role, name in tree)


def axe() -> Path | None:
    """The script of axe-core, of the package ``axe-core-python``; or what ``AXE_CORE`` names."""
    if named := os.environ.get("AXE_CORE"):
        return Path(named)
    spec = importlib.util.find_spec("axe_core_python")
    return Path(spec.origin).with_name("axe.min.js") if spec is not None and spec.origin else None


@pytest.mark.skipif(axe() is None, reason="axe-core is not there: pip install axe-core-python")
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [400, 1280])
def test_axe_finds_nothing(width: int, dark: bool, golden: Callable[[str], Result], tab: Tab) -> None:
    script = axe()
    assert script is not None
    result = golden(GOLDEN[0])
    result = dataclasses.replace(result, findings=tuple(golden(name).findings[0] for name in GOLDEN))
    tab.open(as_html(result), width=width, dark=dark)
    tab.run("document.querySelectorAll('details').forEach(each => { each.open = true; })")
    tab.run(script.read_text("utf-8") + "; 0")
    found = tab.run(
        "axe.run().then(found => found.violations.flatMap(each => each.nodes.slice(0, 5).map(node => "
        "`${each.id}: ${node.html.slice(0, 160)} ${node.failureSummary.slice(0, 300)}`)))"
    )
    assert found == []
    tab.run("document.querySelector('main').replaceChildren(document.createElement('input'))")
    assert tab.run("axe.run().then(found => found.violations.length)") >= 1  # a field without a label is seen
