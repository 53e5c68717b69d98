"""`authsvc serve`, as a process: how it starts, where it answers, how it stops."""

from __future__ import annotations

import base64
import http.client
import json
import os
import runpy
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import redis

from authsvc.demo.embedded import StoreServer
from authsvc.server import gunicorn as server
from tests.cli.conftest import Authsvc
from tests.conftest import any_server, server_binary
from tests.fakes import environ
from tests.harness.cli import run_command
from tests.server.serving import STARTS_WITHIN_S, STOPS_WITHIN_S, Serving, select_nothing

ROOT = Path(__file__).parents[2]

Start = Callable[..., Serving]


@pytest.fixture
def start(settings: dict[str, str], tmp_path: Path) -> Iterator[Start]:
    """Starts a `serve`: `start("--workers", "2", AUTHSVC_THREADS="4")`. All are gone after the test."""
    with ExitStack() as stack:

        def begin(*words: str, command: tuple[str, ...] = (), **more: str) -> Serving:
            serving = Serving({**settings, **more}, tmp_path, *words, command=command)
            stack.callback(serving.end)
            return serving

        yield begin


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """One with two workers, for the tests that change nothing, on a store that no other test fills or empties."""
    store = StoreServer(server_binary(any_server()), append_only=False)
    store.start()
    serving = Serving(environ(store.url), tmp_path_factory.mktemp("running"), "--workers", "2")
    try:
        yield serving.answers().acts()
    finally:
        serving.end()
        store.discard()


# --- starting -----------------------------------------------------------------------------------------------------


def test_wrong_settings_end_the_start_before_a_socket_opens(start: Start) -> None:
    serving = start("--workers", "3", AUTHSVC_PUBLIC_URL="ftp://x", AUTHSVC_MAIL_FROM="nobody", AUTHSVC_WROKERS="2")
    assert serving.process.wait(STARTS_WITHIN_S) == 1
    told = serving.err.read_text()
    assert all(name in told for name in ("AUTHSVC_PUBLIC_URL", "AUTHSVC_MAIL_FROM", "AUTHSVC_WROKERS"))
    assert "Traceback" not in told
    with pytest.raises(ConnectionRefusedError):
        serving.get("/livez")


@pytest.mark.parametrize("bind", ["nowhere", "127.0.0.1:0", "127.0.0.1:9000000"])
def test_an_address_that_is_none_is_a_wrong_setting(bind: str) -> None:
    ran = run_command(environ(), "serve", "--bind", bind, "--json")
    assert (ran.code, ran.document["error"]["faults"][0]["setting"]) == (1, "AUTHSVC_BIND")


def test_a_public_address_that_is_taken_is_told_in_one_sentence(start: Start) -> None:
    one = start().answers()
    two = start(command=(sys.executable, "-m", "authsvc", "serve", "--bind", f"127.0.0.1:{one.port}"))
    assert two.process.wait(STARTS_WITHIN_S) == 1
    assert two.err.read_text().strip() == f"authsvc: 127.0.0.1:{one.port} is in use by another process."
    assert one.get("/livez")[0] == 200


def test_an_admin_address_that_was_chosen_must_be_free(start: Start) -> None:
    one = start().answers()
    two = start(AUTHSVC_ADMIN_BIND=f"127.0.0.1:{one.admin_port}")
    assert two.process.wait(STARTS_WITHIN_S) == 1
    assert f"{one.admin_port} is in use" in two.err.read_text()


def test_two_services_with_the_default_admin_address_live_side_by_side(start: Start) -> None:
    one, two = start("--workers", "1", AUTHSVC_ADMIN_BIND=""), start("--workers", "1", AUTHSVC_ADMIN_BIND="")
    for serving in (one, two):
        serving.answers()
        assert serving.get("/livez")[0] == 200
    assert "no admin address" in one.err.read_text() + two.err.read_text()


def test_without_its_store_the_service_starts_and_says_that_it_is_not_ready(start: Start) -> None:
    serving = start("--workers", "1", AUTHSVC_REDIS_URL="unix:///nonexistent/store").answers()
    assert serving.get("/livez")[0] == 200
    assert serving.get("/readyz")[0] == 503
    assert serving.get("/.well-known/jwks.json")[0] == 503


PRODUCTION = {
    "AUTHSVC_ENV": "production",
    "AUTHSVC_PUBLIC_URL": "https://auth.maple.org",
    "AUTHSVC_MAIL_URL": "smtps://mail.maple.org",
    "AUTHSVC_MAIL_FROM": "no-reply@maple.org",
    "AUTHSVC_SECRET_KEYS": base64.urlsafe_b64encode(os.urandom(32)).decode(),
}


def test_in_production_a_store_that_forgets_stops_the_start(start: Start, settings: dict[str, str]) -> None:
    with redis.Redis.from_url(settings["AUTHSVC_REDIS_URL"]) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        try:
            serving = start(**PRODUCTION)
            assert serving.process.wait(STARTS_WITHIN_S) == 1
        finally:
            client.config_set("maxmemory-policy", "noeviction")
    assert "set noeviction" in serving.err.read_text()


def test_in_production_a_store_that_keeps_everything_will_do_and_so_will_one_that_is_away(start: Start) -> None:
    assert start("--workers", "1", **PRODUCTION).answers().get("/livez")[0] == 200
    away = start("--workers", "1", **{**PRODUCTION, "AUTHSVC_REDIS_URL": "unix:///nonexistent/store"}).answers()
    assert away.get("/readyz")[0] == 503


# --- two addresses ------------------------------------------------------------------------------------------------


def test_metrics_and_description_are_on_the_admin_address_only(running: Serving) -> None:
    for path in ("/metrics", "/openapi.json", "/docs"):
        assert running.get(path)[0] == 404, path
        assert running.get(path, admin=True)[0] == 200, path
    assert running.get("/.well-known/jwks.json", admin=True)[0] == 404


def test_no_header_leads_from_the_public_address_to_the_admins(running: Serving) -> None:
    admin = f"127.0.0.1:{running.admin_port}"
    forged = {
        "Host": admin,
        "X-Forwarded-Host": admin,
        "X-Forwarded-Port": str(running.admin_port),
        "X-Forwarded-Server": admin,
        "Forwarded": f"host={admin}",
        "SCRIPT_NAME": "/metrics",
        "SERVER_PORT": str(running.admin_port),
    }
    assert running.get("/metrics", headers=forged)[0] == 404
    assert running.get(f"http://{admin}/metrics", headers=forged)[0] == 404
    assert running.get("/livez", headers={"SCRIPT_NAME": "/livez"})[0] == 200


def test_a_gateway_gets_a_401_for_an_overlong_token_and_never_what_only_a_server_says(running: Serving) -> None:
    for length in (8_192, 16_000):
        overlong = {"Authorization": f"Bearer {'a' * length}"}
        assert running.get("/v1/forward-auth?practice=maple", headers=overlong)[0] == 401


def test_the_server_header_names_no_version(running: Serving) -> None:
    line = http.client.HTTPConnection("127.0.0.1", running.port, timeout=20)
    line.request("GET", "/livez")
    answer = line.getresponse()
    answer.read()
    line.close()
    assert not any(character.isdigit() for character in answer.headers.get("Server", ""))


def test_figures_are_the_sum_over_all_workers(running: Serving) -> None:
    sample = 'authsvc_requests_total{method="GET",route="/livez",status="200"}'
    before = running.figure(sample)
    for _ in range(40):  # a new connection each: the kernel deals them to both workers
        running.get("/livez")
    assert {running.figure(sample) for _ in range(8)} == {before + 40}


# --- stopping -----------------------------------------------------------------------------------------------------


def test_sigterm_lets_a_request_under_way_finish_and_silent_clients_hold_nothing_up(
    start: Start, maple: Authsvc
) -> None:
    maple("patients", "grant", "maple", "p_1", "--email", "anna@example.org")
    made = maple("clients", "add", "desk", "--practice", "maple", "--allow", "codes:issue", "--json").document
    serving = start("--workers", "2").answers()
    silent = [socket.create_connection(("127.0.0.1", serving.port)) for _ in range(20)]
    kept = http.client.HTTPConnection("127.0.0.1", serving.port, timeout=20)
    kept.request("GET", "/livez")
    kept.getresponse().read()

    body = b'{"patient": "p_1"}'
    login = base64.b64encode(f"{made['client_id']}:{made['client_secret']}".encode()).decode()
    head = (
        "POST /v1/practices/maple/codes HTTP/1.1\r\nHost: x\r\n"
        f"Authorization: Basic {login}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    under_way = socket.create_connection(("127.0.0.1", serving.port), timeout=20)
    under_way.sendall(head.encode() + body[:5])
    select_nothing(0.5)  # so that a thread has it in hand
    began = time.monotonic()
    serving.process.send_signal(signal.SIGTERM)
    until = began + 5
    while time.monotonic() < until:  # soon nobody else is let in, rather than kept waiting
        try:
            socket.create_connection(("127.0.0.1", serving.port), timeout=1).close()
        except OSError:
            break
        select_nothing(0.05)
    else:
        pytest.fail("a stopping service still takes connections")
    under_way.sendall(body[5:])
    answer = under_way.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 202 ")
    assert b'"challenge"' in answer
    assert serving.process.wait(STOPS_WITHIN_S) == 0
    assert time.monotonic() - began < STOPS_WITHIN_S
    for line in (*silent, under_way, kept):
        line.close()
    told = serving.err.read_text()
    assert "worker stopped" in told
    assert "Traceback" not in told


def test_a_request_that_never_ends_is_cut_off_in_time(start: Start) -> None:
    serving = start("--workers", "1").answers()
    with socket.create_connection(("127.0.0.1", serving.port), timeout=20) as dripping:
        dripping.sendall(
            b"POST /oauth2/token HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        )
        select_nothing(0.3)
        assert serving.stop() < STOPS_WITHIN_S


def test_ctrl_c_ends_at_once_and_leaves_no_figures_behind(start: Start, tmp_path: Path) -> None:
    parent = tmp_path / "figures"
    parent.mkdir()
    serving = start("--workers", "1", PROMETHEUS_MULTIPROC_DIR=str(parent)).answers()
    serving.get("/livez")
    assert len(list(parent.iterdir())) == 1
    assert serving.stop(signal.SIGINT) < STOPS_WITHIN_S
    assert list(parent.iterdir()) == []


# --- logs ---------------------------------------------------------------------------------------------------------


def test_logs_are_json_on_stderr_the_trail_on_stdout_and_neither_holds_a_secret(start: Start, maple: Authsvc) -> None:
    maple("patients", "grant", "maple", "p_1", "--email", "anna@example.org")
    made = maple("clients", "add", "desk", "--practice", "maple", "--allow", "codes:issue", "--json").document
    serving = start("--workers", "1", AUTHSVC_LOG_LEVEL="debug").answers()
    login = base64.b64encode(f"{made['client_id']}:{made['client_secret']}".encode()).decode()
    line = http.client.HTTPConnection("127.0.0.1", serving.port, timeout=20)
    headers = {"Authorization": f"Basic {login}", "Content-Type": "application/json", "X-Request-Id": "evil;id"}
    line.request("POST", "/v1/practices/maple/codes", b'{"email": "anna@example.org"}', headers)
    challenge = json.loads(line.getresponse().read())["challenge"]
    line.close()
    serving.get(f"/p/maple/l/al_{'x' * 43}")
    assert serving.stop() < STOPS_WITHIN_S
    err, out = serving.err.read_text(), serving.out.read_text()
    assert all(json.loads(each)["at"] for each in err.splitlines())
    assert [json.loads(each)["event"] for each in out.splitlines()][-1:] == ["code.started"]
    for secret in (
        challenge,
        made["client_secret"],
        login,
        "anna@example.org",
        "x" * 43,
        environ()["AUTHSVC_SECRET_KEYS"],
    ):
        assert secret not in err + out


def test_with_json_stdout_is_one_document_that_says_where(start: Start) -> None:
    serving = start("--workers", "1", "--json").answers()
    serving.stop()
    said = json.loads(serving.out.read_text())
    assert said["address"] == f"127.0.0.1:{serving.port}"
    assert said["admin_address"] == f"127.0.0.1:{serving.admin_port}"


# --- gunicorn on its own ------------------------------------------------------------------------------------------


def test_the_configuration_for_gunicorn_says_what_serve_does() -> None:
    said = runpy.run_path(str(ROOT / "config/gunicorn.conf.py"))
    assert {name: said[name] for name in server.SETTINGS} == server.SETTINGS
    assert said["on_starting"] is said["on_reload"] is server.starting
    assert (said["post_worker_init"], said["worker_exit"], said["child_exit"]) == (
        server.started,
        server.stopped,
        server.gone,
    )


def test_gunicorn_on_its_own_serves_the_same(start: Start) -> None:
    gunicorn = shutil.which("gunicorn", path=str(Path(sys.executable).parent)) or "gunicorn"
    command = (gunicorn, "-c", str(ROOT / "config/gunicorn.conf.py"), "-b", "127.0.0.1:PORT", "authsvc.wsgi:app()")
    serving = start(command=command).answers()
    assert serving.get("/.well-known/jwks.json")[0] == 200
    assert serving.get("/metrics")[0] == 404
    assert serving.stop() < STOPS_WITHIN_S
