"""`authsvc worker`, as a process and in parts."""

from __future__ import annotations

import base64
import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from authsvc import wiring, worker
from authsvc.cli import worker as command
from authsvc.config import load as config
from authsvc.errors import InvalidInput, Unavailable
from tests.cli.conftest import Authsvc
from tests.fakes import environ
from tests.harness.cli import run_command

PRODUCTION = {
    "AUTHSVC_ENV": "production",
    "AUTHSVC_PUBLIC_URL": "https://auth.maple.org",
    "AUTHSVC_MAIL_URL": "smtps://mail.maple.org",
    "AUTHSVC_MAIL_FROM": "no-reply@maple.org",
    "AUTHSVC_SECRET_KEYS": base64.urlsafe_b64encode(os.urandom(32)).decode(),
}
ENDS_WITHIN_S = 15.0
WITHIN_S = 20.0


@contextmanager
def working(settings: Mapping[str, str], *words: str) -> Iterator[subprocess.Popen[str]]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AUTHSVC_")}
    with subprocess.Popen(
        [sys.executable, "-m", "authsvc", "worker", *words],
        env={**environment, **settings},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait(ENDS_WITHIN_S)


def test_in_production_a_store_that_forgets_stops_the_worker_too(settings: dict[str, str]) -> None:
    with redis.Redis.from_url(settings["AUTHSVC_REDIS_URL"]) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        try:
            ran = run_command({**settings, **PRODUCTION}, "worker", "--json")
        finally:
            client.config_set("maxmemory-policy", "noeviction")
    assert ran.code == 1
    assert "set noeviction" in ran.document["error"]["detail"]


def test_the_worker_sends_seals_shows_figures_and_ends_on_sigterm(
    maple: Authsvc, settings: dict[str, str], tmp_path: Path
) -> None:
    maple("patients", "grant", "maple", "p_1", "--email", "anna@example.org")
    service = wiring.bootstrap(config.load(settings))
    service.codes.start(service.act(service.practices.known("maple"), None, actor="test"), patient="p_1")
    folder = tmp_path / "mail"
    with working({**settings, "AUTHSVC_MAIL_URL": f"file://{folder}"}, "--metrics", "[::1]:0", "--json") as process:
        said = json.loads("".join(_document(process)))
        until = time.monotonic() + WITHIN_S
        sealed = threading.Event()
        while not (
            list(folder.glob("*.eml"))
            and maple("audit", "verify", "maple", "--json").document["trails"][0]["sealed_to"]
        ):
            assert time.monotonic() < until
            sealed.wait(0.1)
        line = http.client.HTTPConnection(said["metrics"], timeout=10)
        for path, status, held in (
            ("/metrics", 200, b'authsvc_mails_total{kind="code",state="sent"} 1.0'),
            ("/metrics", 200, b'authsvc_outbox_waiting{queue="codes"}'),
            ("/", 404, b""),
        ):
            line.request("GET", path)
            answer = line.getresponse()
            assert answer.status == status
            assert held in answer.read()
            line.close()
        for ignored in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
            process.send_signal(ignored)
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(0.7)
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=ENDS_WITHIN_S)
        assert process.returncode == 0
        assert time.monotonic() - began < ENDS_WITHIN_S
    told = [json.loads(line)["event"] for line in err.splitlines()]
    assert told[0] == "working"
    assert sum(event.startswith("signal ignored") for event in told) == 3
    assert {"mail_sent", "stopping"} <= set(told)
    assert "anna@example.org" not in err


def _sealed_to(maple: Authsvc) -> int:
    (trail,) = maple("audit", "verify", "maple", "--json").document["trails"]
    return int(trail["sealed_to"])


def _document(process: subprocess.Popen[str]) -> Iterator[str]:
    """The lines of the one JSON document that a running command says."""
    assert process.stdout is not None
    for line in process.stdout:
        yield line
        if line.rstrip() == "}":
            return


def test_without_its_store_the_worker_waits_and_still_ends_on_sigterm(settings: dict[str, str]) -> None:
    with working({**settings, "AUTHSVC_REDIS_URL": "unix:///nonexistent/store"}) as process:
        assert process.stderr is not None
        events = (json.loads(line)["event"] for line in process.stderr)
        assert any("store is away" in event for event in events)
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.wait(ENDS_WITHIN_S) == 0
        assert time.monotonic() - began < ENDS_WITHIN_S


def test_wrong_settings_end_the_worker_at_once(settings: dict[str, str]) -> None:
    with working({**settings, "AUTHSVC_THREADS": "none"}) as process:
        _, err = process.communicate(timeout=WITHIN_S)
    assert (process.returncode, "AUTHSVC_THREADS" in err, "Traceback" in err) == (1, True, False)


def test_what_ends_the_work_ends_the_process_with_its_error(
    settings: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_service: wiring.Service, _stop: threading.Event) -> bool:
        raise Unavailable("gone_for_good")

    monkeypatch.setattr(worker, "work", broken)
    with pytest.raises(Unavailable, match="gone_for_good"):
        command.run(wiring.bootstrap(config.load(settings)))


def test_work_that_hangs_is_cut_off(
    settings: dict[str, str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    let_go = threading.Event()

    def hangs(_service: wiring.Service, stop: threading.Event) -> bool:
        os.kill(os.getpid(), signal.SIGTERM)
        return let_go.wait(WITHIN_S)

    monkeypatch.setattr(worker, "work", hangs)
    monkeypatch.setattr(command, "GRACE_S", 0.05)
    before = signal.getsignal(signal.SIGTERM)
    command.run(wiring.bootstrap(config.load(settings)))
    let_go.set()
    assert "cut off" in caplog.text
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_test_mail_to_no_address_is_refused() -> None:
    service = wiring.bootstrap(config.load(environ()))
    with pytest.raises(InvalidInput):
        worker.send_test(service, wiring.Practice(id="maple", name="Maple"), "nobody")


def test_probing_a_sink_says_that_nothing_leaves() -> None:
    assert "nothing leaves" in worker.probe(wiring.bootstrap(config.load(environ())))
