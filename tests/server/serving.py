"""One `authsvc serve` as a process, for tests of the server itself."""

from __future__ import annotations

import http.client
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

STARTS_WITHIN_S = 30.0  # on a machine that runs everything else as well
STOPS_WITHIN_S = 15.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Serving:
    """One running `serve`."""

    def __init__(
        self,
        settings: Mapping[str, str],
        folder: Path,
        *words: str,
        command: tuple[str, ...] = (),
        pass_fds: tuple[int, ...] = (),
    ) -> None:
        self.port, self.admin_port = free_port(), free_port()
        self.out, self.err = folder / f"{self.port}.out", folder / f"{self.port}.err"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("AUTHSVC_")}
        environment |= {"AUTHSVC_ADMIN_BIND": f"127.0.0.1:{self.admin_port}", **settings}
        environment = {name: value for name, value in environment.items() if value}
        program = command or (sys.executable, "-m", "authsvc", "serve", "--bind", f"127.0.0.1:{self.port}", *words)
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen(
                [part.replace("PORT", str(self.port)) for part in program],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                pass_fds=pass_fds,
            )

    def answers(self) -> Serving:
        until = time.monotonic() + STARTS_WITHIN_S
        while True:
            assert self.process.poll() is None, self.err.read_text()
            try:
                self.get("/livez")
            except OSError:
                assert time.monotonic() < until, self.err.read_text()
                select_nothing(0.02)
            else:
                return self

    def acts(self) -> Serving:
        """Once it answers and every worker has the keys."""
        until = time.monotonic() + STARTS_WITHIN_S
        good = 0
        while good < 8:  # a new connection each, so that every worker is asked
            good = good + 1 if self.get("/readyz")[0] == 200 else 0
            assert time.monotonic() < until, self.err.read_text()
            if not good:
                select_nothing(0.02)
        return self

    def get(self, path: str, *, admin: bool = False, headers: Mapping[str, str] | None = None) -> tuple[int, bytes]:
        """Status and body, over a connection of its own."""
        line = http.client.HTTPConnection("127.0.0.1", self.admin_port if admin else self.port, timeout=20)
        try:
            line.request("GET", path, headers=dict(headers or {}))
            answer = line.getresponse()
            return answer.status, answer.read()
        finally:
            line.close()

    def figure(self, sample: str) -> float:
        """One sample of /metrics; 0 when it isn't there yet."""
        _, body = self.get("/metrics", admin=True)
        found = [line.rpartition(" ")[2] for line in body.decode().splitlines() if line.startswith(sample)]
        return float(found[0]) if found else 0.0

    def end(self) -> None:
        """If the test left it running."""
        if self.process.poll() is None:
            self.stop(signal.SIGINT)

    def stop(self, number: int = signal.SIGTERM) -> float:
        """Seconds from the signal to the end."""
        began = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(STOPS_WITHIN_S + 5)
        return time.monotonic() - began


def select_nothing(seconds: float) -> None:
    """A pause between two looks at a process that is starting."""
    select.select([], [], [], seconds)
