"""The processes of one deployment: a Redis server of its own, `authsvc serve`, `authsvc worker`, and single commands.

Everything listens on 127.0.0.1 or on a unix socket in a private folder, and is ended by its own process id.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

PATIENCE_S = 300.0  # on a machine that does other work too
LOOK_EVERY_S = 0.05
SECRET_KEY = "d2lyZS1yZWNvcmRlci1tYXN0ZXItc2VjcmV0LW9mLTMyLWJ5dGVzLW9yLW1vcmU"

T = TypeVar("T")


class NotInTimeError(Exception):
    """Something that was waited for did not happen."""


def until(look: Callable[[], T | None], what: str, within_s: float = PATIENCE_S) -> T:
    """What `look` returns as soon as that is true."""
    deadline = time.monotonic() + within_s
    while not (found := look()):
        if time.monotonic() > deadline:
            raise NotInTimeError(what)
        time.sleep(LOOK_EVERY_S)
    return found


def bytecode() -> Path:
    """Where Python keeps what it has compiled, from one recording to the next: never beside the code."""
    path = Path(tempfile.gettempdir()) / f"authsvc-wire-bytecode-{os.getuid()}"
    path.mkdir(mode=0o700, exist_ok=True)
    if path.stat().st_uid != os.getuid():
        raise SystemExit(f"{path} is somebody else's")
    return path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Ran:
    """One command that has ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


@dataclass
class Program:
    """One running process; stdout and stderr go to files."""

    name: str
    process: subprocess.Popen[bytes]
    out: Path
    err: Path

    def lines(self, stream: str) -> list[str]:
        path = self.out if stream == "stdout" else self.err
        return path.read_text(errors="replace").splitlines()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Its exit code, after a signal."""
        if self.process.poll() is None:
            os.kill(self.process.pid, number)
        try:
            return self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise NotInTimeError(f"{self.name} did not end within {PATIENCE_S:.0f} s") from None

    def kill(self) -> None:
        if self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()


@dataclass
class Call:
    """One request that a client's own server was sent."""

    method: str
    path: str
    headers: list[tuple[str, str]]
    body: bytes


class Commands:
    """Runs single commands, one after the other: each in a process of its own that is forked from a prepared one."""

    def __init__(self, authsvc: Path, folder: Path) -> None:
        self._authsvc = authsvc
        self._out, self._err = folder / "command.out", folder / "command.err"
        first = authsvc.read_bytes().partition(b"\n")[0].decode()
        interpreter = first.removeprefix("#!").strip()
        if not first.startswith("#!") or "python" not in interpreter:
            raise SystemExit(f"{authsvc} is no Python program")
        self._lock = threading.Lock()
        kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "TMPDIR")}
        self.process = subprocess.Popen(
            [interpreter, str(Path(__file__).with_name("forking.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=folder,
            env=kept | {"LC_ALL": "C.UTF-8", "PYTHONPYCACHEPREFIX": str(bytecode())},
            text=True,
            start_new_session=True,
        )

    def run(self, words: tuple[str, ...], folder: Path, environ: Mapping[str, str], stdin: str | None) -> Ran:
        asked = {"argv": [str(self._authsvc), *words], "environ": dict(environ), "folder": str(folder), "stdin": stdin}
        with self._lock:
            if self.process.stdin is None or self.process.stdout is None:
                raise TypeError("the process has pipes")
            self.process.stdin.write(json.dumps({**asked, "out": str(self._out), "err": str(self._err)}) + "\n")
            self.process.stdin.flush()
            code = int(self.process.stdout.readline())
            return Ran(code, *(path.read_text(errors="replace") for path in (self._out, self._err)))

    def kill(self) -> None:
        """End it with the command that it may be running: they are a process group of their own."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


class Receiver:
    """A loopback server that keeps what it is sent: the address for back-channel log-out."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        calls = self.calls

        class Keep(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                calls.append(Call(self.command, self.path, list(self.headers.items()), body))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the base class
                """No output."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Keep)
        self.url = f"http://127.0.0.1:{self._server.server_port}/ended"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@dataclass
class Deployment:
    """One installation of the service with its own store, settings and mail folder. A context manager.

    `authsvc` is the program to record; `settings` are environment variables over the ones that every deployment has.
    """

    authsvc: Path
    folder: Path
    public_url: str = "http://auth.wire.test:8000"
    settings: Mapping[str, str] = field(default_factory=dict)
    limits: str = ""

    def __post_init__(self) -> None:
        self.port, self.admin_port, self.worker_port = free_port(), free_port(), free_port()
        self.mails = self.folder / "mail"
        self.programs: dict[str, Program] = {}
        self._stack = ExitStack()
        self._commands: Commands | None = None
        self._ended = False
        self.folder.mkdir(parents=True)
        self.mails.mkdir()
        socket_path = self.folder / "r.sock"
        kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TMPDIR")}
        self.environ = kept | {
            "LC_ALL": "C.UTF-8",
            "PYTHONPYCACHEPREFIX": str(bytecode()),
            "AUTHSVC_ENV": "development",
            "AUTHSVC_PUBLIC_URL": self.public_url,
            "AUTHSVC_BIND": f"127.0.0.1:{self.port}",
            "AUTHSVC_ADMIN_BIND": f"127.0.0.1:{self.admin_port}",
            "AUTHSVC_WORKERS": "1",
            "AUTHSVC_REDIS_URL": f"unix://{socket_path}",
            "AUTHSVC_SECRET_KEYS": SECRET_KEY,
            "AUTHSVC_MAIL_URL": f"file://{self.mails}",
            "AUTHSVC_MAIL_FROM": "Maple Practice <no-reply@maple.example>",
            "AUTHSVC_TRUSTED_PROXIES": "127.0.0.0/8",
            "AUTHSVC_REDIS_TIMEOUT_S": "3",  # a busy machine is no store that is away
            "AUTHSVC_REDIS_DEADLINE_S": "6",
        }
        if self.limits:
            limits = self.folder / "limits.toml"
            limits.write_text(self.limits)
            self.environ["AUTHSVC_LIMITS_FILE"] = str(limits)
        self.environ |= self.settings

    def __enter__(self) -> Deployment:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        self._stack.close()

    def kill(self) -> None:
        """End whatever still runs, and start nothing more."""
        self._ended = True
        for program in reversed(list(self.programs.values())):
            program.kill()
        if self._commands is not None:
            self._commands.kill()

    # --- processes --------------------------------------------------------------------------------------------------

    def start(self, name: str, command: list[str], environ: Mapping[str, str] | None = None) -> Program:
        if self._ended:
            raise InterruptedError(name)
        out, err = self.folder / f"{name}.out", self.folder / f"{name}.err"
        with out.open("wb") as stdout, err.open("wb") as stderr:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                cwd=self.folder,
                env=self.environ if environ is None else environ,
                start_new_session=True,
            )
        program = Program(name, process, out, err)
        self.programs[name] = program
        return program

    def start_store(self) -> None:
        binary = shutil.which("redis-server") or shutil.which("valkey-server")
        if binary is None:
            raise SystemExit("no redis-server and no valkey-server on PATH")
        path = self.folder / "r.sock"
        options = ["--port", "0", "--unixsocket", str(path), "--unixsocketperm", "700", "--save", "", "--dir"]
        self.start("redis", [binary, *options, str(self.folder), "--maxmemory-policy", "noeviction"])
        until(path.exists, "the store's socket")

    def start_serve(self, *words: str) -> Program:
        """`authsvc serve --json`, once it is ready."""
        program = self.start("serve", [str(self.authsvc), "serve", "--json", *words])
        until(lambda: program.out.stat().st_size or program.process.poll() is not None, "serve to start")
        until(lambda: self._answers("/readyz", self.port) == 200 or program.process.poll() is not None, "readiness")
        return program

    def start_worker(self) -> Program:
        command = [str(self.authsvc), "worker", "--json", "--metrics", f"127.0.0.1:{self.worker_port}"]
        program = self.start("worker", command)
        until(lambda: program.out.stat().st_size or program.process.poll() is not None, "the worker to start")
        return program

    def receiver(self) -> Receiver:
        receiver = Receiver()
        self._stack.callback(receiver.close)
        return receiver

    def run(self, *words: str, stdin: str | None = None, environ: Mapping[str, str | None] | None = None) -> Ran:
        """One command. A variable of `environ` that is None is taken away."""
        merged: dict[str, str | None] = {**self.environ, **(environ or {})}
        given = {name: value for name, value in merged.items() if value is not None}
        if self._ended:
            raise InterruptedError(" ".join(words))
        if self._commands is None:
            self._commands = Commands(self.authsvc, self.folder)
        return self._commands.run(words, self.folder, given, stdin)

    @staticmethod
    def _answers(path: str, port: int) -> int | None:
        line = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            line.request("GET", path)
            return line.getresponse().status
        except OSError:
            return None
        finally:
            line.close()
