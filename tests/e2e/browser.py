"""browser.py - Chromium without a window, driven by its DevTools protocol over two pipes. Loopback only."""
import fcntl
import json
import os
import subprocess
import tempfile

from e2e import LIMIT, SANITIZED, Skip, die_with_us, need

FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--mute-audio", "--disable-sync",
         "--disable-background-networking", "--disable-component-update", "--disable-default-apps",
         "--disable-extensions", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1")


def need_browser():
    need("chromium")
    if SANITIZED:
        raise Skip("it says nothing about the build")


class Browser:
    """One page. `events` holds what the browser told, as (method, params)."""

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)   # it may still be writing there
        theirs_in, ours_out = os.pipe()
        ours_in, theirs_out = os.pipe()
        # It takes 3 and 4: nothing else may stand there when they are put in their place.
        high = [fcntl.fcntl(fd, fcntl.F_DUPFD, 10) for fd in (theirs_in, theirs_out)]
        self.process = subprocess.Popen(
            ["bash", "-c", f'exec "$@" 3<&{high[0]} 4>&{high[1]}', "chromium", "chromium", *FLAGS,
             "--remote-debugging-pipe", f"--user-data-dir={self.folder.name}", "about:blank"], pass_fds=high,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=die_with_us)
        for fd in (theirs_in, theirs_out, *high):
            os.close(fd)
        self.out, self.input = os.fdopen(ours_out, "wb"), os.fdopen(ours_in, "rb")
        self.events, self.calls, self.rest, self.session = [], 0, b"", None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(domain + ".enable")

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        try:
            if kind is None:
                self.session = None
                self.call("Browser.close")
                self.process.wait(LIMIT / 2)
        finally:
            if self.process.poll() is None:
                self.process.kill()
            self.process.wait()
            self.out.close()
            self.input.close()
            self.folder.cleanup()

    def receive(self):
        while b"\0" not in self.rest:
            chunk = self.input.read1(1 << 16)
            assert chunk, "the browser ended"
            self.rest += chunk
        text, self.rest = self.rest.split(b"\0", 1)
        message = json.loads(text)
        if "method" in message:
            self.events.append((message["method"], message["params"]))
        return message

    def call(self, method, **params):
        self.calls += 1
        request = {"id": self.calls, "method": method, "params": params}
        if self.session:
            request["sessionId"] = self.session
        self.out.write(json.dumps(request).encode() + b"\0")
        self.out.flush()
        while (answer := self.receive()).get("id") != self.calls:
            pass
        assert "error" not in answer, (method, answer)
        return answer["result"]

    def load(self, method, **params):
        """Goes somewhere, until all of it is there; events are those of the way."""
        self.events.clear()
        self.call(method, **params)
        self.wait(lambda: self.told("Page.loadEventFired"))

    def wait(self, condition):
        """Until what it tells makes it so: events of the network are in no order with others."""
        while not condition():
            self.receive()

    def evaluate(self, expression):
        """The value of an expression, or of the promise that it is."""
        result = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def told(self, method):
        return [params for name, params in self.events if name == method]
