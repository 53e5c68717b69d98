"""What every benchmark runs on: a Redis, the service in front of it, a practice, a client and patients.

All settings are the shipped defaults. The limits are raised through the limits file, not removed: every act counts
against its limits as ever. Audit and metrics are on.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from types import TracebackType

from bench import load, processes, redis_stats
from bench.acts import PERMISSIONS, Caller, basic, keys

POLICIES = (
    *("issue-address", "issue-patient", "issue-network", "verify-network", "exchange-network", "client-calls"),
    *("auth-failures", "mails-practice", "mails-all", "link-resend"),
)
PRACTICE = "maple"
ATTEMPTS = 10
TOLERATED = 0.02  # share of requests that may be refused: a code, say, that was spent by an attempt without answer
CPUS = os.cpu_count() or 1


class Stack:
    """A folder, a Redis, and what is started on it; everything ends, and the folder goes, with the `with` block."""

    def __init__(
        self,
        root: Path = processes.ROOT,
        *,
        generators: int = 1,
        cluster: str = "",
        mail: tuple[str, int] = ("127.0.0.1", 2525),
    ) -> None:
        self.root = root  # of the checkout whose service is measured
        self.folder = Path(tempfile.mkdtemp(prefix="authsvc-bench-"))
        self._pool = ProcessPoolExecutor(generators, mp_context=get_context("spawn"))
        self._programs: list[processes.HttpServer | processes.RedisServer | processes.Program] = []
        self._mail_url = f"smtp://{mail[0]}:{mail[1]}"
        self._secret_keys = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
        limits = self.folder / "limits.toml"
        raised = "".join(f'{name} = "80,000,000 per d"\n' for name in POLICIES)
        limits.write_text(f"[policies]\n{raised}", encoding="utf-8")
        self.url = cluster
        self.practices: list[str] = []

    def __enter__(self) -> Stack:
        try:
            if not self.url:
                self.redis = processes.RedisServer(self.folder / "redis")
                self._programs.append(self.redis)
                self.url = self.redis.url
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
        for program in reversed(self._programs):
            program.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    # --- programs ---------------------------------------------------------------------------------------------------

    def environ(self, redis_url: str = "") -> dict[str, str]:
        own = {name: value for name, value in os.environ.items() if not name.startswith("AUTHSVC_")}
        if self.root != processes.ROOT:
            own["PYTHONPATH"] = str(self.root)
        return own | {
            "AUTHSVC_ENV": "development",  # so that mail may go to a host on loopback without TLS
            "AUTHSVC_PUBLIC_URL": "http://127.0.0.1:8000",
            "AUTHSVC_REDIS_URL": redis_url or self.url,
            "AUTHSVC_SECRET_KEYS": self._secret_keys,
            "AUTHSVC_MAIL_URL": self._mail_url,
            "AUTHSVC_MAIL_FROM": "no-reply@bench.example",
            "AUTHSVC_LIMITS_FILE": str(self.folder / "limits.toml"),
        }

    def serve(self, redis_url: str = "", workers: int = 2) -> processes.HttpServer:
        server = processes.serve(self.environ(redis_url), self.folder / "serve.log", self.root, workers)
        self._programs.append(server)
        return server

    def serve_bare(self, application: str, workers: int = 2) -> processes.HttpServer:
        server = processes.serve_bare(application, self.folder / f"{application}.log", workers)
        self._programs.append(server)
        return server

    def worker(self) -> processes.Program:
        program = processes.Program(processes.authsvc("worker"), self.folder / "worker.log", self.environ(), self.root)
        self._programs.append(program)
        return program

    def command(self, *arguments: str) -> str:
        """Run a command of the service; what it wrote to stdout. Raises CalledProcessError with its messages."""
        run = subprocess.run(
            processes.authsvc(*arguments), cwd=self.root, env=self.environ(), capture_output=True, text=True
        )
        if run.returncode:
            raise processes.DidNotStart(run.stderr)
        return run.stdout

    # --- who is there -----------------------------------------------------------------------------------------------

    def callers(self, practices: Sequence[str] = (PRACTICE,)) -> list[Caller]:
        """Practices, and one client that may do everything at all of them."""
        for practice in practices:
            self.command("practices", "add", practice, "--name", "Maple Clinic", "--json")
        allowed = [word for permission in PERMISSIONS for word in ("--allow", permission)]
        added = json.loads(self.command("clients", "add", "bench", "--practice", "*", *allowed, "--json"))
        authorization = basic(added["client_id"], added["client_secret"])
        return [Caller(practice, authorization) for practice in practices]

    def register(self, server: processes.HttpServer, caller: Caller, count: int, prefix: str = "p") -> list[str]:
        """Put so many patients on file."""
        names = [f"{prefix}{number:06d}" for number in range(count)]
        self.batch(server, caller.put_patients(names))
        return names

    # --- load -------------------------------------------------------------------------------------------------------

    def run(self, job: load.Closed | load.Open) -> load.Outcome:
        return self._pool.submit(load.run, job).result()

    def run_together(self, *jobs: load.Closed | load.Open) -> list[load.Outcome]:
        """Each in a load generator of its own, at the same time."""
        return [running.result() for running in [self._pool.submit(load.run, job) for job in jobs]]

    def batch(self, server: processes.HttpServer, requests: Sequence[bytes], connections: int = 16) -> list[bytes]:
        """Send all of these once; the bodies of the answers. Not measured.

        On a machine that is busy otherwise some may get 503, and are sent again. Raises RuntimeError if more than a few
        are refused in the end."""
        bodies: list[bytes] = []
        refused: Counter[int] = Counter()
        left = requests
        for _ in range(ATTEMPTS):
            job = load.Closed(server.address, left, connections, seconds=600.0, keep_bodies=True, pids=server.pids)
            outcome = self.run(job)
            bodies += outcome.bodies
            refused += Counter({status: n for status, n in outcome.statuses.items() if 400 <= status != 503})
            left = outcome.undecided
            if not left:
                break
            time.sleep(1.0)
        if len(requests) - len(bodies) > max(2, len(requests) * TOLERATED):
            raise RuntimeError(f"{len(left)} of {len(requests)} requests were not decided; refused: {dict(refused)}")
        return bodies


def warm_up(stack: Stack, server: processes.HttpServer, caller: Caller, patients: Sequence[str], count: int) -> None:
    """Every act a few times, so that code, scripts and keys are loaded in every process."""
    started = stack.batch(server, caller.start(patients, count, delivery="caller"))
    granted = stack.batch(server, caller.verify(started))
    issued = stack.batch(server, caller.issue_links(patients, count))
    stack.batch(server, caller.start(patients, count) + caller.refresh(granted) + caller.introspect(granted))
    stack.batch(server, caller.forward_auth(granted) + caller.exchange(issued) + keys() * count)


def redis_counters(stack: Stack) -> redis_stats.Counters:
    return redis_stats.Counters.read(stack.redis.client)
