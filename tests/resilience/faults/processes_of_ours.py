"""Our own processes: killed in the middle of something, told by a signal, without readers, without descriptors."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress

from tests.resilience.deployment import Deployment
from tests.resilience.patience import stretched
from tests.resilience.processes import children, until
from tests.resilience.registry import Doing, Run, fault
from tests.resilience.smtp_conversation import Step

LEASE_S = 40.0  # a mail that a vanished worker had in hand is taken up by the next one


def _code(run: Run) -> str:
    client, patient = run.deployment.clients["maple"], f"held-{secrets.token_hex(4)}"
    client.api("put", "PUT", f"patients/{patient}", email=f"{patient}@example.org", portal_access=True)
    client.post("codes by mail", "codes", patient=patient)
    return f"{patient}@example.org"


def _killed_at(step: str, what: Step) -> Doing:
    def act(run: Run) -> Iterator[float]:
        deployment = run.deployment
        host = deployment.smtp
        host.plan[step] = what
        before = host.seen.get(step, 0)
        email = _code(run)
        until(lambda: host.seen.get(step, 0) > before, 10, f"the worker reaches {step}")
        time.sleep(0.3)
        deployment.worker_program.kill()
        host.well()
        deployment.start_worker()
        started = time.monotonic()
        run.expect(host.mail_to(email, LEASE_S), f"the code did not leave within {LEASE_S:g} s")
        run.notes.append(f"the mail in hand left after {time.monotonic() - started:.0f} s")
        yield 0.1

    act.__module__ = __name__
    return act


fault("worker-killed-before-the-dot", "SIGKILL while the host thinks about DATA", own=True)(
    _killed_at("data", Step(delay_s=5))
)
fault(
    "worker-killed-after-the-dot", "SIGKILL between the dot and its answer: in doubt, twice at most", copies=2, own=True
)(_killed_at("dot", Step(delay_s=5)))


@fault("worker-restarted", "SIGTERM, started again after 1 s")
def worker_restarted(run: Run) -> Iterator[float]:
    took_s = run.deployment.worker_program.stop()
    run.expect(took_s < stretched(15), f"the worker took {took_s:.0f} s to end")
    yield 1
    run.deployment.start_worker()


@fault("worker-restarted-while-sending", "SIGTERM while the host takes 4 s for the dot's answer")
def worker_restarted_sending(run: Run) -> Iterator[float]:
    host = run.deployment.smtp
    host.plan["dot"] = Step(delay_s=4)
    before = host.seen.get("dot", 0)
    _code(run)
    until(lambda: host.seen.get("dot", 0) > before, 10, "the worker sends")
    took_s = run.deployment.worker_program.stop(stretched(20))
    run.expect(took_s < stretched(15), f"the worker took {took_s:.0f} s to end")
    host.well()
    run.deployment.start_worker()
    yield 0.1


@fault("worker-paused", "SIGSTOP for 5 s")
def worker_paused(run: Run) -> Iterator[float]:
    run.deployment.worker_program.pause()
    yield 5
    run.deployment.worker_program.resume()


@fault(
    "worker-paused-beyond-its-lease", "SIGSTOP in the middle of a mail for 36 s, a second worker runs", timeout_s=300
)
def worker_paused_long(run: Run) -> Iterator[float]:
    host = run.deployment.smtp
    host.plan["data"] = Step(delay_s=3, times=1)
    before = host.seen.get("data", 0)
    email = _code(run)
    until(lambda: host.seen.get("data", 0) > before, 10, "the worker sends")
    run.deployment.worker_program.pause()
    second = run.deployment.start_worker("second-worker")
    time.sleep(36)
    run.deployment.worker_program.resume()
    yield 4
    run.expect(host.copies(email) == 1, f"{host.copies(email)} copies of the mail in hand")
    second.stop()


def _signalled(which: str, number: signal.Signals) -> Doing:
    def act(run: Run) -> Iterator[float]:
        program = run.deployment.worker_program if which == "worker" else run.deployment.serve_program
        program.signal(number)
        yield 3
        if not program.runs:
            code = program.popen.wait()
            run.expect(code == 0, f"{which} died of {number.name} ({code}), nothing was said")
            run.notes.append(f"{which} ended at {number.name}")
            (run.deployment.start_worker if which == "worker" else run.deployment.start_serve)()

    act.__module__ = __name__
    return act


SIGNALS = (
    *(signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH, signal.SIGPIPE, signal.SIGALRM),
    *(signal.SIGQUIT, signal.SIGVTALRM, signal.SIGPROF, signal.SIGIO, signal.SIGPWR, signal.SIGXCPU),
)
for _which in ("worker", "serve"):
    for _number in SIGNALS:
        fault(f"{_which}-{_number.name.lower()}", f"{_number.name} to {_which}")(_signalled(_which, _number))


@fault("serve-child-killed", "SIGKILL of one of serve's processes, three times")
def child_killed(run: Run) -> Iterator[float]:
    for _ in range(3):
        found = children(run.deployment.serve_program.pid)
        if found:
            os.kill(found[0], signal.SIGKILL)
        time.sleep(1)
    yield 0.1


@fault("serve-child-paused", "SIGSTOP of one of serve's two processes for 5 s")
def child_paused(run: Run) -> Iterator[float]:
    found = children(run.deployment.serve_program.pid)
    os.kill(found[0], signal.SIGSTOP)
    yield 5
    with suppress(ProcessLookupError):
        os.kill(found[0], signal.SIGCONT)


@fault("serve-killed", "SIGKILL of serve and all its processes, started again at once")
def serve_killed(run: Run) -> Iterator[float]:
    run.deployment.serve_program.discard()
    run.deployment.start_serve()
    yield 0


@fault("serve-restarted", "SIGTERM, started again at once")
def serve_restarted(run: Run) -> Iterator[float]:
    took_s = run.deployment.serve_program.stop()
    run.expect(took_s < stretched(15), f"serve took {took_s:.0f} s to end")
    run.deployment.start_serve()
    yield 0


def _unread(which: str, stream: str) -> Doing:
    def act(run: Run) -> Iterator[float]:
        deployment, (read_end, write_end) = run.deployment, os.pipe()
        with suppress(ImportError, OSError):
            import fcntl

            fcntl.fcntl(write_end, 1031, 4096)  # F_SETPIPE_SZ: a page, so that it is full soon
        program = deployment.worker_program if which == "worker" else deployment.serve_program
        start = deployment.start_worker if which == "worker" else deployment.start_serve
        program.stop()
        start(**{stream: write_end})
        os.close(write_end)
        deployment.await_ready()
        run.spared_from = time.monotonic()
        if which == "worker":
            for _ in range(60):
                _code(run)
        yield 8
        os.close(read_end)
        (deployment.worker_program if which == "worker" else deployment.serve_program).discard()
        start()

    act.__module__ = __name__
    return act


for _which in ("serve", "worker"):
    for _stream in ("stdout", "stderr"):
        fault(
            f"{_which}-{_stream}-unread",
            f"nobody reads the {_stream} of {_which} for 8 s",
            own=True,
            spared=("maple", "birch") if _which == "serve" else (),
        )(_unread(_which, _stream))


@fault("serve-output-on-a-full-disk", "stdout and stderr lead to a device that is full", own=True, spared=("maple",))
def full_disk(run: Run) -> Iterator[float]:
    run.deployment.serve_program.stop()
    with open("/dev/full", "ab") as full:
        run.deployment.start_serve(stdout=full, stderr=full)
    run.deployment.await_ready()
    run.spared_from = time.monotonic()
    yield 4


@fault("serve-few-descriptors", "64 descriptors a process, 100 connections held open for 5 s", own=True)
def few_descriptors(run: Run) -> Iterator[float]:
    serve = run.deployment.serve_program
    before = children(serve.pid)
    for pid in [serve.pid, *before]:
        subprocess.run(["prlimit", "--pid", str(pid), "--nofile=64:64"], check=True)
    held = _held(run.deployment, 100)
    yield 5
    run.expect(children(serve.pid) == before, "a process of serve died of it")
    for line in held:
        line.close()


def _held(deployment: Deployment, number: int) -> list[socket.socket]:
    held = []
    for _ in range(number):
        line = socket.socket()
        line.settimeout(1)
        with suppress(OSError):
            line.connect(("127.0.0.1", deployment.port))
        held.append(line)
    return held


@fault("redis-away-at-start", "serve and worker are started before Redis is", own=True, keys_always=False)
def away_at_start(run: Run) -> Iterator[float]:
    deployment = run.deployment
    deployment.redis.running.stop()
    deployment.serve_program.stop()
    deployment.worker_program.stop()
    deployment.start_serve()
    deployment.start_worker()
    yield 5
    for program in (deployment.serve_program, deployment.worker_program):
        run.expect(program.runs, f"{program.name} ended: {program.output()[-200:]}")
    deployment.redis.start()
