"""Headless Chromium, told what to do by the protocol of its developer tools."""

import base64
import json
import re
import shutil
import subprocess
import time
from contextlib import contextmanager

CHROMIUM = shutil.which("chromium")
OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--no-first-run",
    "--remote-debugging-port=0",
    "--remote-allow-origins=*",
    "--disable-background-networking",
    "--mute-audio",
    "--proxy-server=127.0.0.1:1",
)
"""The last one lets nothing leave the machine: what a page asks for elsewhere fails, and stands in the console."""


class Page:
    """A page in a browser: calls of the protocol, and what the console has said."""

    def __init__(self, socket):
        self._socket = socket
        self._number = 0
        self.said = []

    def call(self, method, **arguments):
        """Calls a method and returns its result; what happens meanwhile is kept."""
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": arguments}))
        while True:
            message = json.loads(self._socket.recv())
            if message.get("id") == self._number:
                assert "error" not in message, message["error"]
                return message["result"]
            self._keep(message)

    def wait(self, method):
        """Waits for an event."""
        while True:
            message = json.loads(self._socket.recv())
            self._keep(message)
            if message.get("method") == method:
                return message["params"]

    def _keep(self, message):
        parts = message.get("params", {})
        if message.get("method") == "Runtime.consoleAPICalled":
            self.said.append(str([part.get("value", part.get("description")) for part in parts["args"]]))
        elif message.get("method") == "Runtime.exceptionThrown":
            self.said.append(parts["exceptionDetails"].get("exception", {}).get("description", "an exception"))
        elif message.get("method") == "Log.entryAdded":
            self.said.append(parts["entry"]["text"])

    def open(self, url):
        """Opens an address and waits until it is loaded; anew, also where only its anchor is another."""
        self.call("Page.navigate", url="about:blank")
        self.wait("Page.loadEventFired")
        self.call("Page.navigate", url=url)
        self.wait("Page.loadEventFired")

    def show(self, width, height=900, dark=False, media="screen"):
        """Sets the size of the window and the colours that are preferred."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.call("Emulation.setEmulatedMedia", media=media, features=features)

    def evaluate(self, script):
        """The value of an expression of JavaScript; promises are waited for."""
        reply = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in reply, reply["exceptionDetails"]
        return reply["result"].get("value")

    def wait_until(self, script, seconds=60):
        """Waits until an expression of JavaScript is true."""
        end = time.monotonic() + seconds
        while not self.evaluate(script):
            assert time.monotonic() < end, f"never true: {script}"
            time.sleep(0.05)

    def picture(self, path, whole=True):
        """A picture of the window, or of the whole page."""
        reply = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole, **self._clip(whole))
        path.write_bytes(base64.b64decode(reply["data"]))

    def _clip(self, whole):
        if not whole:
            return {}
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        return {"clip": {"x": 0, "y": 0, "width": size["width"], "height": min(size["height"], 14_000), "scale": 1}}


@contextmanager
def browser(folder):
    """A page in a Chromium of its own, whose profile is kept in a folder."""
    import websocket

    process = subprocess.Popen(
        [CHROMIUM, *OPTIONS, f"--user-data-dir={folder}", "about:blank"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        line = ""
        while not (match := re.search(r"ws://[^/]+", line)):
            line = process.stderr.readline()
            assert line, "Chromium ended"
        socket = websocket.create_connection(f"{match[0]}/devtools/page/{_first_page(match[0])}", timeout=120)
        try:
            page = Page(socket)
            for domain in ("Page", "Runtime", "Log"):
                page.call(f"{domain}.enable")
            yield page
        finally:
            socket.close()
    finally:
        process.terminate()
        process.communicate()


def _first_page(address):
    """The identifier of the page that a browser has opened."""
    from urllib.request import ProxyHandler, build_opener

    opener = build_opener(ProxyHandler({}))
    end = time.monotonic() + 60
    while time.monotonic() < end:
        with opener.open(f"{address.replace('ws:', 'http:')}/json/list", timeout=60) as answer:
            pages = [each for each in json.load(answer) if each["type"] == "page"]
        if pages:
            return pages[0]["id"]
        time.sleep(0.05)
    raise AssertionError("Chromium has opened no page")
