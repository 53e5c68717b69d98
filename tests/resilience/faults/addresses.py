"""Settings that lead to the wrong place: a silent name server, TLS to a plain port and the reverse, nobody there.

serve or worker is started with such a setting, lives for some seconds, and is started again with the right one.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from tests.resilience.http_caller import call
from tests.resilience.patience import stretched
from tests.resilience.processes import free_port
from tests.resilience.redis_servers import PASSWORD, USER
from tests.resilience.registry import Doing, Run, fault
from tests.resilience.smtp_conversation import LOGIN, SECRET
from tests.resilience.smtp_host import SmtpHost

SILENT = "127.0.0.77"  # of loopback; a name server that hears and never answers
NAME = "nowhere.silent.example"
ENDS_WITHIN_S = 15.0


def _code(run: Run) -> str:
    client, patient = run.deployment.clients["maple"], f"addressed-{secrets.token_hex(4)}"
    email = f"{patient}@example.org"
    client.api("put", "PUT", f"patients/{patient}", email=email, portal_access=True)
    client.post("codes by mail", "codes", patient=patient)
    return email


def _worker_with(run: Run, mail_url: str, wrapper: tuple[str, ...] = (), lasts_s: float = 6.0) -> None:
    """The worker lives on this mail URL; afterwards the right one sends what has waited, once."""
    deployment = run.deployment
    deployment.worker_program.stop()
    worker = deployment.start_worker(wrapper=wrapper, environ={"AUTHSVC_MAIL_URL": mail_url})
    email = _code(run)
    time.sleep(lasts_s)
    run.expect(worker.runs, f"the worker ended: {worker.output()[-200:]}")
    took_s = worker.stop(stretched(20))
    run.expect(took_s < stretched(ENDS_WITHIN_S), f"the worker took {took_s:.0f} s to end")
    run.expect(not deployment.smtp.copies(email), "the mail went where it should not")
    deployment.start_worker()
    run.expect(deployment.smtp.mail_to(email, 40), "the code did not leave within 40 s")


def _serve_with(run: Run, redis_url: str, wrapper: tuple[str, ...] = ()) -> None:
    """serve lives on this Redis URL: alive, not ready, 503 within its time."""
    deployment = run.deployment
    deployment.serve_program.stop()
    serve = deployment.start_serve(wrapper=wrapper, environ={"AUTHSVC_REDIS_URL": redis_url})
    time.sleep(6)
    run.expect(serve.runs, f"serve ended: {serve.output()[-200:]}")
    for path, wanted in (("/livez", 200), ("/readyz", 503), ("/.well-known/jwks.json", 503)):
        answer = call("GET", deployment.url + path)
        run.expect(answer.status == wanted, f"{path} is {answer.seen}")
    started = deployment.clients["maple"].post("start meanwhile", "codes", email="a@example.org")
    run.expect(started.status == 503, f"a start is {started.seen}")
    run.expect(started.took_s < stretched(5), f"the 503 took {started.took_s:.1f} s")
    took_s = serve.stop(stretched(20))
    run.expect(took_s < stretched(ENDS_WITHIN_S), f"serve took {took_s:.0f} s to end")
    deployment.start_serve()


def _cli_says(run: Run, url: str, words: tuple[str, ...]) -> None:
    """`check --live` names the cause."""
    done = run.deployment.run_cli("check", "--live", redis_url=url)
    said = (done.stdout + done.stderr).lower()
    run.expect(done.returncode == 1, f"check --live ends with {done.returncode}")
    run.expect("internal error" not in said, "check --live: internal error")
    run.expect(any(word in said for word in words), f"check --live does not name the cause ({' / '.join(words)})")


def _redis(name: str, how: str, scheme: str, password: str, words: tuple[str, ...]) -> None:
    def act(run: Run) -> Iterator[float]:
        run.deployment.worker_program.stop()
        url = f"{scheme}://{USER}:{password}@127.0.0.1:{run.deployment.redis.port}/0"
        _cli_says(run, url, words)
        _serve_with(run, url)
        run.deployment.start_worker()
        yield 0.1

    act.__module__ = __name__
    fault(name, how, own=True, keys_always=False)(act)


_redis("redis-tls-to-plain-port", "rediss:// to a port without TLS", "rediss", PASSWORD, ("that port has none",))
_redis("redis-wrong-password-at-start", "another password in the settings", "redis", "wrong", ("password", "wrongpass"))


@fault("redis-nobody-there", "the settings name a port where nobody listens", own=True, keys_always=False)
def redis_nobody_there(run: Run) -> Iterator[float]:
    url = f"redis://127.0.0.1:{free_port()}/0"
    _cli_says(run, url, ("refused", "connect"))
    _serve_with(run, url)
    yield 0.1


def _mail(implicit: bool, scheme: str) -> Doing:
    def act(run: Run) -> Iterator[float]:
        deployment = run.deployment
        other = SmtpHost(deployment.authority.server_context() if implicit else None, implicit_tls=implicit)
        _worker_with(run, f"{scheme}://{LOGIN}:{SECRET}@127.0.0.1:{other.port}?ca={deployment.authority.ca}")
        run.expect(not other.taken, "a mail went out in the clear")
        other.discard()
        yield 0.1

    act.__module__ = __name__
    return act


fault("smtp-plain-to-tls-port", "smtp:// (STARTTLS) to a port that speaks TLS from the first byte")(_mail(True, "smtp"))
fault("smtp-tls-to-plain-port", "smtps:// to a port without TLS")(_mail(False, "smtps"))


def _silent_names(run: Run) -> tuple[socket.socket, tuple[str, ...]]:
    """A name server that never answers, for one process: a mount namespace with a resolv.conf of its own."""
    run.need(shutil.which("unshare") and os.getuid() == 0, "unshare as root, for a resolv.conf of one process")
    file = run.deployment.folder / "resolv.conf"
    file.write_text(f"nameserver {SILENT}\noptions timeout:20 attempts:2\n")
    script = f'mount --bind {file} {Path("/etc/resolv.conf").resolve()} && exec "$@"'
    wrapper = ("unshare", "-m", "sh", "-c", script, "sh")
    tried = subprocess.run([*wrapper, "true"], capture_output=True, text=True)
    run.need(tried.returncode == 0, f"a mount namespace ({tried.stderr.strip()})")
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        server.bind((SILENT, 53))
    except OSError as error:
        server.close()
        run.need(False, f"port 53 of {SILENT} ({error})")
    return server, wrapper


@fault("dns-silent-for-mail", "the mail host is a name, the name server never answers", own=True, timeout_s=300)
def dns_silent_mail(run: Run) -> Iterator[float]:
    server, wrapper = _silent_names(run)
    ca = run.deployment.authority.ca
    with suppress(OSError), server:
        _worker_with(run, f"smtp://{LOGIN}:{SECRET}@{NAME}:587?ca={ca}", wrapper, lasts_s=8)
    yield 0.1


@fault("dns-silent-for-redis", "Redis is a name, the name server never answers", own=True, keys_always=False)
def dns_silent_redis(run: Run) -> Iterator[float]:
    server, wrapper = _silent_names(run)
    with server:
        _serve_with(run, f"rediss://{USER}:{PASSWORD}@{NAME}:6379/0", wrapper)
    yield 0.1
