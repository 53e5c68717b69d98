"""`authsvc demo`: it starts, shows its pages, and ends with its children."""

from __future__ import annotations

import re
import signal

from tests.wire.processes import free_port, until
from tests.wire.recorder import Recorder


def demo(r: Recorder) -> None:
    deployment = r.deployment
    environ = {name: value for name, value in deployment.environ.items() if not name.startswith("AUTHSVC_")}
    program = deployment.start("demo", [str(deployment.authsvc), "demo", "--port", str(free_port())], environ)

    def ready() -> bool:
        return "Ctrl-C" in program.out.read_text() or program.process.poll() is not None

    until(ready, "the demo to start")
    told = re.sub(r"[^ ]*/authsvc-demo-[A-Za-z0-9_]+", "<demo folder>", program.out.read_text())
    r.note("what it says", [r.values.text(line.rstrip()) for line in told.splitlines()])
    port = int(re.findall(r"Open this page:  http://127\.0\.0\.1:([0-9]+)/", told)[0])  # another, if it was taken
    for path in ("/", "/inbox", "/billing", "/portal", "/nothing"):
        r.ask(f"GET {path}", "GET", path, port=port)
    code = program.stop(signal.SIGINT)
    last = [r.values.text(line) for line in program.out.read_text().splitlines()[-1:]]
    r.note("its end", {"exit": code, "last words": last})
