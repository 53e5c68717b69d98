"""Clocks that differ: two instances, the worker, Redis. Honest callers meet no limit, and nothing is called expired.

libfaketime shifts what a process believes (Debian package libfaketime); without it these rows are skipped.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.resilience.deployment import Deployment
from tests.resilience.processes import Program, authsvc, free_port
from tests.resilience.registry import Doing, Run, fault
from tests.resilience.shifted_clock import shifted


def second_instance(deployment: Deployment, environ: dict[str, str]) -> tuple[Program, str]:
    port, admin = free_port(), free_port()
    addresses = {"AUTHSVC_BIND": f"127.0.0.1:{port}", "AUTHSVC_ADMIN_BIND": f"127.0.0.1:{admin}"}
    program = Program("second-serve", authsvc("serve"), deployment.folder, deployment.environ | addresses | environ)
    deployment.programs.append(program)
    deployment.await_ready(url=f"http://127.0.0.1:{port}")
    return program, f"http://127.0.0.1:{port}"


def _both(deployment: Deployment, url: str) -> None:
    """From now on callers of maple meet either instance. (The traffic under way holds the client of before.)"""
    deployment.clients["maple"] = replace(deployment.clients["maple"], urls=(deployment.url, url))


def _calls(run: Run, number: int = 120) -> dict[str, int]:
    """Far below every limit: 20 calls/s over both instances, of the 100 a second that a client may make."""
    client, found = run.deployment.clients["maple"], {}
    for place in range(number):
        url = client.urls[place % len(client.urls)]
        answer = replace(client, urls=(url,)).api("honest call", "GET", "patients/nobody")
        found[answer.seen] = found.get(answer.seen, 0) + 1
        time.sleep(0.05)
    return found


def _skewed(offset: str) -> Doing:
    def act(run: Run) -> Iterator[float]:
        deployment = run.deployment
        alone = deployment.clients["maple"]
        second, url = second_instance(deployment, shifted(offset))
        _both(deployment, url)
        seen = _calls(run)
        run.expect(not seen.get("429"), f"{seen.get('429')} of 120 honest calls were refused (429)")
        yield 0.1
        deployment.clients["maple"] = alone
        second.discard()

    act.__module__ = __name__
    return act


for _name, _offset in {"2s-ahead": "+2s", "2s-behind": "-2s", "2min-ahead": "+2m", "2min-behind": "-2m"}.items():
    fault(f"clock-instance-{_name}", f"a second instance whose clock is {_offset} off", own=True)(_skewed(_offset))


def _stepped(offset: str) -> Doing:
    def act(run: Run) -> Iterator[float]:
        deployment = run.deployment
        file = deployment.folder / "offset"
        environ = shifted("+0s", file)
        deployment.serve_program.stop()
        deployment.start_serve(environ=environ)
        deployment.await_ready()
        yield from _step(run, file, offset)

    act.__module__ = __name__
    return act


def _step(run: Run, file: Path, offset: str) -> Iterator[float]:
    time.sleep(1)
    file.write_text(offset)
    time.sleep(4)
    file.write_text("+0s")
    seen: dict[str, Any] = _calls(run, 60)
    run.expect(
        not seen.get("429"), f"{seen.get('429')} of 60 honest calls were refused (429) after the clock came back"
    )
    yield 0.1


fault("clock-stepped-forward", "serve's clock steps an hour forward and 4 s later back", own=True)(_stepped("+1h"))
fault("clock-stepped-back", "serve's clock steps an hour back and 4 s later forward", own=True)(_stepped("-1h"))


def _worker(offset: str) -> Doing:
    def act(run: Run) -> Iterator[float]:
        deployment = run.deployment
        environ = shifted(offset)
        deployment.worker_program.stop()
        deployment.start_worker(environ=environ)
        yield 5
        deployment.worker_program.stop()
        deployment.start_worker()

    act.__module__ = __name__
    return act


fault("clock-worker-2min-ahead", "the worker's clock is 2 min ahead", own=True)(_worker("+2m"))
fault("clock-worker-2min-behind", "the worker's clock is 2 min behind", own=True)(_worker("-2m"))


def _redis(offset: str) -> Doing:
    def act(run: Run) -> Iterator[float]:
        deployment = run.deployment
        environ = dict(os.environ) | shifted(offset)
        deployment.redis.running.stop()
        deployment.redis.start(environ=environ)
        seen = _calls(run, 60)
        run.expect(not seen.get("429"), f"{seen.get('429')} of 60 honest calls were refused (429)")
        yield 4

    act.__module__ = __name__
    return act


fault("clock-redis-2min-ahead", "Redis's clock is 2 min ahead of everybody's", own=True)(_redis("+2m"))
fault("clock-redis-2min-behind", "Redis's clock is 2 min behind everybody's", own=True)(_redis("-2m"))
