"""The store is away or hangs: nothing is decided, nobody is signed out, and what needs no store goes on."""

from __future__ import annotations

import os
import signal
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from http.client import HTTPConnection

import pytest

from authsvc.verifier import Verifier
from tests.harness.deployment import Client, Deployment
from tests.harness.processes import Answer, Process, ask, until

pytestmark = pytest.mark.fault

JWKS = "/.well-known/jwks.json"
METADATA = "/.well-known/oauth-authorization-server"
AT_ONCE_S = 0.7  # far below the 2 s that a call may go on trying, far above what a busy machine needs
BOUND_S = 8.0  # the longest that a call may take while the store hangs: its 2 s, and some for a busy machine


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with Deployment(tmp_path_factory.mktemp("deployment")) as deployment:
        deployment.store.start()
        deployment.add_practice()
        yield deployment


@pytest.fixture(scope="module")
def serve(deployment: Deployment) -> Process:
    return deployment.serve()


@pytest.fixture(scope="module")
def portal(deployment: Deployment, serve: Process) -> Client:
    return deployment.add_client("portal")


@contextmanager
def store_stopped(deployment: Deployment) -> Iterator[None]:
    deployment.store.stop()
    try:
        yield
    finally:
        deployment.store.start()


@contextmanager
def store_hanging(deployment: Deployment) -> Iterator[None]:
    """It has every connection still, and answers on none."""
    os.kill(deployment.store.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(deployment.store.pid, signal.SIGCONT)


def stranger(deployment: Deployment) -> Client:
    """Somebody who made a client's secret up."""
    return Client(deployment.url, "maple", "portal", "acs_" + "A" * 43)


def guarded(
    deployment: Deployment, portal: Client, session: dict[str, str], link: str
) -> dict[str, Callable[[], Answer]]:
    """Everything that needs the store, by name."""
    challenge = "ach_" + "A" * 43
    return {
        "codes": lambda: portal.post("codes", email="sam@example.org"),
        "resend": lambda: portal.post("codes/resend", challenge=challenge),
        "verify": lambda: portal.post("codes/verify", challenge=challenge, code="123456"),
        "choose": lambda: portal.post("codes/choose", challenge=challenge, patient="sam"),
        "links": lambda: portal.post("links", workflow="update-payment-info", patient="sam"),
        "exchange": lambda: portal.post("links/exchange", token=link),
        "link resend": lambda: portal.post("links/resend", token=link),
        "list links": lambda: portal.call("GET", "links?patient=sam"),
        "revoke links": lambda: portal.call("DELETE", "links?patient=sam"),
        "put patient": lambda: portal.call("PUT", "patients/sam", email="sam@example.org", portal_access=True),
        "get patient": lambda: portal.call("GET", "patients/sam"),
        "delete patient": lambda: portal.call("DELETE", "patients/sam"),
        "sessions": lambda: portal.call("GET", "patients/sam/sessions"),
        "sign out": lambda: portal.call("DELETE", "patients/sam/sessions"),
        "deliveries": lambda: portal.call("GET", "patients/sam/deliveries"),
        "token": lambda: portal.refreshed(session["refresh_token"]),
        "revoke": lambda: portal.oauth("revoke", token=session["refresh_token"]),
        "introspect": lambda: portal.oauth("introspect", token=session["access_token"]),
        "forward-auth": lambda: deployment.forward_auth(session["access_token"], scope="invoices:view"),
        "wrong client secret": lambda: stranger(deployment).post("codes", email="sam@example.org"),
        "readyz": lambda: ask("GET", f"{deployment.url}/readyz"),
    }  # fmt: skip


def test_without_the_store_nothing_is_decided_and_nobody_is_signed_out(
    deployment: Deployment, serve: Process, portal: Client
) -> None:
    portal.register("sam", "sam@example.org")
    session = portal.signed_in("sam")
    link = portal.link("pay-invoice", "sam", resource="invoice:inv_1")
    published = ask("GET", f"{deployment.url}{JWKS}")
    acts = guarded(deployment, portal, session, link)

    with store_stopped(deployment):
        for name, act in acts.items():
            answer = act()
            assert answer.status == 503, (name, answer)
            assert int(answer.header("Retry-After")) >= 1, (name, answer)
            assert answer.header("Cache-Control") == "no-store", (name, answer)
            if name in ("token", "revoke", "introspect"):
                assert answer.json["error"] == "temporarily_unavailable"
            else:
                assert answer.json["type"] == f"{deployment.url}/problems/unavailable", (name, answer)

        took_s = [_took_s(acts["verify"]) for _ in range(12)]
        assert statistics.median(took_s) < AT_ONCE_S, "after a second of failures nobody waits any more"

        page = ask("GET", f"{deployment.url}/p/maple/l/{link}")
        assert (page.status, page.header("Content-Type")) == (503, "text/html; charset=utf-8")

        what_needs_no_store_goes_on(deployment, published, session["access_token"])

    until(lambda: ask("GET", f"{deployment.url}/readyz").status == 200)
    assert serve.runs
    fresh = until(lambda: answer if (answer := portal.refreshed(session["refresh_token"])).status != 503 else None)
    assert fresh.status == 200
    assert portal.post_with_retry("links/exchange", token=link).status == 200


def what_needs_no_store_goes_on(deployment: Deployment, published: Answer, token: str) -> None:
    """Keys, metadata, `/livez`, and every verifier, even one that starts just now."""
    answer = ask("GET", f"{deployment.url}{JWKS}")
    assert (answer.status, answer.body, answer.header("Cache-Control")) == (
        200,
        published.body,
        "public, max-age=300",
    )
    assert ask("GET", f"{deployment.url}{JWKS}", {"If-None-Match": published.header("ETag")}).status == 304
    assert ask("GET", f"{deployment.url}{METADATA}").json["issuer"] == deployment.url
    kid = published.json["keys"][0]["kid"]
    assert ask("GET", f"{deployment.url}/keys/{kid}.pem").body.startswith(b"-----BEGIN PUBLIC KEY-----")
    assert ask("GET", f"{deployment.url}/livez").status == 200
    verifier = Verifier(deployment.url, audience="practice-services", practice="maple")
    assert verifier.verify(token)["patient"] == "sam"


def test_a_store_that_hangs_leaves_keys_and_livez_answering(
    deployment: Deployment, serve: Process, portal: Client
) -> None:
    portal.register("sam", "sam@example.org")
    session = portal.signed_in("sam")
    published = ask("GET", f"{deployment.url}{JWKS}")
    lines = deployment.connection_to_each_worker(serve)
    acts = [lambda: portal.post("codes", patient="sam"), lambda: deployment.forward_auth(session["access_token"])]

    with store_hanging(deployment), ThreadPoolExecutor(32) as crowd:
        waiting = [crowd.submit(_timed, acts[number % 2]) for number in range(32)]
        asked = [_took_s(partial(_keys_and_livez, deployment, line)) for line in lines.values() for _ in range(10)]
        assert statistics.median(asked) < AT_ONCE_S
        for answer, took_s in (each.result() for each in waiting):
            assert (answer.status, int(answer.header("Retry-After")) >= 1) == (503, True), answer
            assert took_s < BOUND_S
        what_needs_no_store_goes_on(deployment, published, session["access_token"])

    until(lambda: ask("GET", f"{deployment.url}/readyz").status == 200)
    assert portal.post_with_retry("codes", patient="sam", delivery="caller").status == 202
    assert serve.runs


def test_a_service_that_starts_without_its_store_says_so_and_is_there_when_it_comes(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with Deployment(tmp_path_factory.mktemp("early")) as deployment:
        serve = deployment.serve(ready=False)
        assert ask("GET", f"{deployment.url}/livez").status == 200
        for path in ("/readyz", JWKS, "/keys/AAAA.pem"):
            answer = ask("GET", f"{deployment.url}{path}")
            assert (answer.status, answer.header("Cache-Control")) == (503, "no-store"), (path, answer)
            assert int(answer.header("Retry-After")) >= 1
        assert ask("GET", f"{deployment.url}{METADATA}").status == 200
        early = stranger(deployment).post("codes", email="sam@example.org")
        assert early.status == 503, "who calls can't be known yet, and that is not said to be the caller's fault"

        deployment.store.start()
        lines = deployment.connection_to_each_worker(serve)
        for line in lines.values():
            until(partial(_ready, deployment, line), why=serve.output)
        sets = {ask("GET", f"{deployment.url}{JWKS}", over=line).body for line in lines.values()}
        assert len(sets) == 1, "however many processes began at once, there is one ring"
        deployment.add_practice()
        portal = deployment.add_client("portal")
        portal.register("sam", "sam@example.org")
        assert deployment.forward_auth(portal.signed_in("sam")["access_token"]).status == 200


def _ready(deployment: Deployment, line: HTTPConnection) -> bool:
    return ask("GET", f"{deployment.url}/readyz", over=line).status == 200


def _keys_and_livez(deployment: Deployment, line: HTTPConnection) -> Answer:
    for path in (JWKS, "/livez"):
        answer = ask("GET", f"{deployment.url}{path}", over=line)
        assert answer.status == 200, answer
    return answer


def _took_s(act: Callable[[], Answer]) -> float:
    return _timed(act)[1]


def _timed(act: Callable[[], Answer]) -> tuple[Answer, float]:
    began = time.monotonic()
    return act(), time.monotonic() - began
