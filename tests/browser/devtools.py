"""Headless Chromium over the DevTools protocol (https://chromedevtools.github.io/devtools-protocol/), by a pipe: no port is
open, and no library is needed. Used by check.py and performance.py beside it."""

import base64
import fcntl
import itertools
import json
import os
import pathlib
import select
import shutil
import subprocess
import sys
import tempfile
import time

PATIENCE = 120
"""Seconds until an answer of the browser counts as missing."""
MISSING = "chromium is missing; install it with: apt-get install -y chromium"


class Browser:
    """One browser with a profile of its own, which goes with it."""

    def __init__(self):
        program = shutil.which("chromium") or sys.exit(MISSING)
        self.profile = tempfile.TemporaryDirectory(prefix="upledger-browser-", ignore_cleanup_errors=True)
        reads, self.to = pipe()
        self.out, writes = pipe()

        def hand_over():
            # Chromium reads commands from 3 and writes answers to 4.
            os.dup2(reads, 3)
            os.dup2(writes, 4)

        options = [
            "--headless", "--remote-debugging-pipe", f"--user-data-dir={self.profile.name}", "--no-first-run",
            "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking", "--disable-component-update",
            "--disable-extensions", "--disable-sync", "--no-default-browser-check", "--hide-scrollbars",
            "--force-color-profile=srgb", "--enable-precise-memory-info",
        ]
        if os.geteuid() == 0:
            # Its sandbox does not work as root. The pages are this program's own.
            options.append("--no-sandbox")
        self.log = open(os.path.join(self.profile.name, "stderr"), "w+b")
        self.child = subprocess.Popen(
            [program, *options, "about:blank"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self.log,
            close_fds=False, preexec_fn=hand_over, env=dict(os.environ, HOME=self.profile.name),
        )
        os.close(reads)
        os.close(writes)
        self.numbers = itertools.count(1)
        self.rest = b""
        self.events = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.child.kill()
        self.child.wait()
        self.log.close()
        self.profile.cleanup()

    def version(self):
        return self.call("Browser.getVersion")["product"]

    def call(self, method, session=None, **params):
        """Calls a method and returns its result; what the browser says meanwhile is kept in `events`."""
        number = next(self.numbers)
        message = {"id": number, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        rest = memoryview(json.dumps(message).encode() + b"\0")
        while rest:
            rest = rest[os.write(self.to, rest):]
        return self.take(lambda m: m.get("id") == number, method)

    def take(self, wanted, what):
        """Reads until a message is the wanted one."""
        end = time.monotonic() + PATIENCE
        while True:
            while b"\0" in self.rest:
                one, self.rest = self.rest.split(b"\0", 1)
                message = json.loads(one)
                if "id" not in message:
                    self.events.append(message)
                if wanted(message):
                    if "error" in message:
                        raise RuntimeError(f"{what}: {message['error']}")
                    return message.get("result", message.get("params"))
            ready, _, _ = select.select([self.out], [], [], max(0, end - time.monotonic()))
            piece = os.read(self.out, 1 << 20) if ready else b""
            if not piece:
                self.log.seek(0)
                said = self.log.read()[-2000:].decode(errors="replace")
                raise RuntimeError(f"no answer to {what}; the browser said: {said}")
            self.rest += piece


class Page:
    """A tab; `told` are its messages: console, log, requests, dialogs."""

    TOLD = (
        "Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded", "Network.requestWillBeSent",
        "Network.webSocketCreated", "Page.javascriptDialogOpening", "Audits.issueAdded",
    )

    def __init__(self, browser, width, height=900, scheme="light"):
        self.browser = browser
        target = browser.call("Target.createTarget", url="about:blank")["targetId"]
        self.target = target
        self.session = browser.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network", "Audits"):
            self.call(f"{domain}.enable")
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500
        )
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.browser.call("Target.closeTarget", targetId=self.target)

    def call(self, method, **params):
        return self.browser.call(method, self.session, **params)

    def open(self, path):
        self.url = pathlib.Path(path).resolve().as_uri()
        self.browser.events.clear()
        self.call("Page.navigate", url=self.url)
        loaded = lambda m: m.get("method") == "Page.loadEventFired" and m.get("sessionId") == self.session
        if not any(map(loaded, self.browser.events)):
            self.browser.take(loaded, "the page is loaded")

    def told(self):
        mine = [m for m in self.browser.events if m.get("sessionId") == self.session]
        return [(m["method"], m["params"]) for m in mine if m["method"] in self.TOLD]

    def ask(self, script):
        """The value of a script, which may be a promise."""
        answer = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{script[:200]}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def screenshot(self, path, height=None):
        """The page from its beginning to its end, or to a height."""
        # What is far from the window is drawn all the same.
        self.ask("document.querySelectorAll('li').forEach(l => { l.style.contentVisibility = 'visible' })")
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": height or size["height"], "scale": 1}
        data = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)["data"]
        pathlib.Path(path).write_bytes(base64.b64decode(data))

    def pdf(self):
        answer = self.call("Page.printToPDF", printBackground=False, preferCSSPageSize=True, paperWidth=8.27, paperHeight=11.69)
        return base64.b64decode(answer["data"])


def pipe():
    """The two ends of a pipe, with numbers that nothing else wants."""
    ends = os.pipe()
    high = tuple(fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 64) for end in ends)
    for end in ends:
        os.close(end)
    return high
