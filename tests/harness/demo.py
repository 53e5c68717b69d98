"""`authsvc demo` as real processes, and the way to its first page."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

from tests.harness.browsing import Browser, Page, http_transport

STARTS_WITHIN_S = 60
ENDS_WITHIN_S = 15
ARRIVES_WITHIN_S = 20

LINK = r'href="(http://[^"]+/p/maple/l/[^"]+)"'
CODE = r"(?m)^(\d{6})$"
"""How an emailed link and a code look on the inbox page."""

CARD = {"name": "Mastercard", "last4": "5454", "expires": "01/30"}


class Demo:
    """A running `authsvc demo`."""

    def __init__(self, folder: Path, *, port: int | None = None, **settings: str) -> None:
        folder.mkdir(exist_ok=True)  # where TMPDIR isn't a folder, Python takes another one
        environ = {name: value for name, value in os.environ.items() if not name.startswith("AUTHSVC_")}
        environ |= {"TMPDIR": str(folder), "AUTHSVC_LOG_LEVEL": "no such level"} | settings  # a stray one is let be
        command = [sys.executable, "-m", "authsvc", "demo", *(["--port", str(port)] if port else [])]
        self.process = subprocess.Popen(
            command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        watch = threading.Timer(STARTS_WITHIN_S, self.process.kill)
        watch.start()
        self.output = ""
        for line in self.process.stdout or ():
            self.output += line
            if "Ctrl-C" in line:
                break
        watch.cancel()
        found = re.search(r"Open this page: +(http://\S+)", self.output)
        assert found, self.output
        self.url = found.group(1)
        self.service_url = re.findall(r"the service +(http://\S+)", self.output)[0]
        self.env = next(folder.glob("authsvc-demo-*/env"))

    def browser(self) -> Browser:
        browser = Browser(http_transport())
        browser.open(self.url)
        return browser

    def inbox(self) -> str:
        """The HTML of the inbox page."""
        return Page(self.url, http_transport()("GET", f"{self.url}inbox?still", {}, b"")).html

    def family(self) -> set[int]:
        """The demo's process and all that descend from it, supervisors' children too."""
        parents = {}
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                pid, _, rest = stat.read_text().partition(" (")
            except OSError:
                continue  # gone meanwhile
            parents[int(pid)] = int(rest.rpartition(") ")[2].split()[1])
        found, size = {self.process.pid}, 0
        while size != len(found):
            size = len(found)
            found |= {pid for pid, parent in parents.items() if parent in found}
        return found

    def __enter__(self) -> Demo:
        return self

    def __exit__(self, *_: object) -> None:
        """However the test went, nothing stays."""
        if self.process.poll() is None:
            self.end(signal.SIGTERM)
        if self.process.stdout:
            self.process.stdout.close()

    def end(self, how: signal.Signals) -> str:
        self.process.send_signal(how)
        rest, _ = self.process.communicate(timeout=ENDS_WITHIN_S)
        return rest


def arrived(demo: Demo, pattern: str, seen: set[str]) -> str:
    """What the inbox page shows for this pattern and didn't before."""
    waiting = threading.Event()
    for _ in range(ARRIVES_WITHIN_S * 10):
        fresh = [found for found in re.findall(pattern, demo.inbox()) if found not in seen]
        if fresh:
            seen.update(fresh)
            return str(fresh[0])
        waiting.wait(0.1)
    raise AssertionError(f"no {pattern} came to the inbox")
