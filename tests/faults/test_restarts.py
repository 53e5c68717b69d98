"""Processes end: by plan or by a power cut between any two steps of a sign-in, or at the worst moment within one. The
patient notices nothing.
"""

from __future__ import annotations

import asyncio
import json
import signal
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import pytest
from aiosmtpd.smtp import Envelope, Session

from authsvc.delivery.jobs import LEASE_MS
from tests.delivery.mail_hosts import MailHost
from tests.harness.deployment import Client, Deployment, find_code, find_link, token_of, wrong
from tests.harness.processes import PATIENCE_S, Answer, Process, reachable, until

pytestmark = pytest.mark.fault


# --- a mail in doubt, begun here; the tests go on until the lease of its worker has run out --------------------------


class SlowHost(MailHost):
    """Takes the first mail to the last byte and then says nothing, which leaves the sender in doubt."""

    def __init__(self) -> None:
        super().__init__()
        self.in_doubt = False

    async def handle_DATA(self, server: Any, session: Session, envelope: Envelope) -> str:  # noqa: N802
        said = await super().handle_DATA(server, session, envelope)
        if not self.in_doubt:
            self.in_doubt = True
            await asyncio.Event().wait()  # for ever: until the connection is lost
        return said


@dataclass
class InDoubt:
    """A sign-in whose code the mail host has, though no worker knows."""

    deployment: Deployment
    host: SlowHost
    serve: Process
    portal: Client
    challenge: str


@pytest.fixture(scope="module")
def in_doubt(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InDoubt]:
    """The worker is killed while the host still holds its answer back; another worker starts. The tests of this file
    go on meanwhile, until the lease of the first has run out."""
    host = SlowHost()
    with Deployment(tmp_path_factory.mktemp("mail"), host) as deployment:
        deployment.store.start()
        deployment.add_practice()
        serve = deployment.serve()
        portal = deployment.add_client("portal")
        portal.register("eve", "eve@example.org")
        worker = deployment.work()
        started = portal.post("codes", patient="eve")
        assert started.status == 202
        until(lambda: host.in_doubt, why=worker.output)
        worker.kill()
        deployment.work()
        yield InDoubt(deployment, host, serve, portal, started.json["challenge"])


def test_a_worker_killed_in_mid_send_leaves_the_mail_in_the_outbox(in_doubt: InDoubt) -> None:
    (row,) = in_doubt.portal.call("GET", "patients/eve/deliveries").json["deliveries"]
    assert (row["kind"], row["state"], row["attempts"]) == ("code", "queued", 1)


# --- between two steps ------------------------------------------------------------------------------------------------

Between = Callable[[], None]
"""What happens between two steps."""

TOO_YOUNG = 256 - signal.SIGTERM  # the exit code of a process that was stopped before it had begun


@pytest.fixture
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with Deployment(tmp_path_factory.mktemp("deployment")) as deployment:
        deployment.store.start()
        deployment.add_practice()
        yield deployment


def journey(deployment: Deployment, portal: Client, between: Between) -> None:
    """From the access link to the sign-out, on a mailbox that two patients share, with `between` in every gap."""
    email = "ann@example.org"
    portal.register("ann", email, label="Ann")
    portal.register("ben", email, label="Ben")
    assert portal.post_with_retry("links", patient="ann", workflow="portal", delivery="email").status == 201
    between()
    link = token_of(find_link(deployment.mailed(email)))
    by_link = portal.post_with_retry("links/exchange", token=link)
    assert by_link.status == 202
    typed = portal.post_with_retry("codes", email=email)
    assert typed.status == 202
    between()
    codes = {find_code(deployment.mailed(email, 2)), find_code(deployment.mailed(email, 3))}
    assert len(codes) in (1, 2)  # two codes may be alike, once in a million
    missed = portal.post_with_retry("codes/verify", challenge=typed.json["challenge"], code=_neither(codes))
    assert (missed.status, missed.json["attempts_left"]) == (400, 4)
    between()
    choice, left = _first_that_fits(portal, typed.json["challenge"], codes)
    assert [row["patient"] for row in choice.json["choose"]] == ["ann", "ben"]
    between()
    chosen = portal.post_with_retry("codes/choose", challenge=typed.json["challenge"], patient="ben")
    assert (chosen.status, chosen.json["patient"]) == (200, "ben")
    between()
    granted = portal.post_with_retry("codes/verify", challenge=by_link.json["challenge"], code=left)
    assert (granted.status, granted.json["patient"]) == (200, "ann")
    spent = portal.post_with_retry("codes/choose", challenge=typed.json["challenge"], patient="ann")
    assert spent.status == 410, "what was consumed stays consumed"
    between()
    fresh = _patiently(lambda: portal.refreshed(chosen.json["refresh_token"]))
    assert (fresh.status, fresh.json["session"]) == (200, chosen.json["session"])
    between()
    access = fresh.json["access_token"]
    assert _patiently(lambda: deployment.forward_auth(access, scope="invoices:view", acr="extra")).status == 200
    assert _patiently(lambda: portal.call("DELETE", "patients/ben/sessions")).status == 204
    between()
    assert _patiently(lambda: deployment.forward_auth(access, scope="invoices:view", acr="extra")).status == 401
    assert _patiently(lambda: portal.refreshed(fresh.json["refresh_token"])).status == 400
    assert _patiently(lambda: deployment.forward_auth(chosen.json["access_token"], scope="invoices:view")).status == 401
    assert (
        _patiently(lambda: deployment.forward_auth(granted.json["access_token"], scope="invoices:view")).status == 200
    )


def _neither(codes: set[str]) -> str:
    guess = wrong(min(codes))
    return wrong(guess) if guess in codes else guess


def _first_that_fits(portal: Client, challenge: str, codes: set[str]) -> tuple[Answer, str]:
    """Two mails with a code are on their way at once, and either may be first: try both, as a patient would."""
    for code in codes:
        answer = portal.post_with_retry("codes/verify", challenge=challenge, code=code)
        if answer.status == 200:
            return answer, next(iter(codes - {code}), code)
    raise AssertionError(answer)


def _patiently(call: Callable[[], Answer]) -> Answer:
    return until(lambda: answer if (answer := call()).status != 503 else None)


def test_a_sign_in_survives_a_deployment_between_any_two_steps(deployment: Deployment) -> None:
    running = [deployment.work(), deployment.serve()]
    portal = deployment.add_client("portal")

    def deploy() -> None:
        """Both are stopped and started (the worker as long as it has anything to do); meanwhile nobody answers."""
        mails_to_come = len(deployment.mail.envelopes) < 3
        ending = running if mails_to_come else running[1:]
        for program in ending:
            program.send_signal(signal.SIGTERM)
        assert all(program.ended() in (0, TOO_YOUNG) for program in ending)
        running[:] = [deployment.work() if mails_to_come else running[0], deployment.serve()]

    journey(deployment, portal, deploy)


def test_a_sign_in_survives_a_restart_or_a_power_cut_of_the_store_between_any_two_steps(deployment: Deployment) -> None:
    running = [deployment.work(), deployment.serve()]
    portal = deployment.add_client("portal")
    ways = cycle((deployment.store.kill, deployment.store.stop))

    def restart() -> None:
        next(ways)()
        deployment.store.start()

    journey(deployment, portal, restart)
    assert all(program.runs for program in running), "nothing else was restarted for it"


# --- within one -------------------------------------------------------------------------------------------------------


def test_sigterm_during_a_request_lets_it_finish(in_doubt: InDoubt) -> None:
    deployment, serve, portal = in_doubt.deployment, in_doubt.serve, in_doubt.portal
    portal.register("dan", "dan@example.org")
    body = json.dumps({"patient": "dan", "delivery": "caller"}).encode()
    with socket.create_connection(("127.0.0.1", deployment.port), timeout=PATIENCE_S) as line:
        line.sendall(
            b"POST /v1/practices/maple/codes HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Expect: 100-continue\r\nAuthorization: %s\r\nContent-Length: %d\r\n\r\n"
            % (portal.authorization.encode(), len(body))
        )
        assert line.recv(64).startswith(b"HTTP/1.1 100 "), "the request is being worked on"
        serve.send_signal(signal.SIGTERM)
        until(lambda: reachable(deployment.url) is None, why=serve.output)  # new connections are refused: go elsewhere
        assert serve.runs
        line.sendall(body)
        answer = b""
        while part := line.recv(4096):
            answer += part
    assert answer.startswith(b"HTTP/1.1 202 "), answer
    assert serve.ended() == 0

    # The answer was no empty promise: the next process takes the code.
    deployment.serve()
    started = json.loads(answer.partition(b"\r\n\r\n")[2])
    done = portal.post("codes/verify", challenge=started["challenge"], code=started["code"])
    assert (done.status, done.json["patient"]) == (200, "dan")


def test_a_mail_in_doubt_is_sent_again_as_the_same_mail_and_its_code_works(in_doubt: InDoubt) -> None:
    host = in_doubt.host
    until(lambda: len(host.envelopes) == 2, within_s=LEASE_MS / 1000 + PATIENCE_S)
    first, second = host.mails
    assert first["Message-ID"] == second["Message-ID"], "a mailbox shows the two as one"
    assert first.as_bytes() == second.as_bytes()
    granted = in_doubt.portal.post(
        "codes/verify", challenge=in_doubt.challenge, code=find_code(in_doubt.deployment.mailed("eve@example.org", 2))
    )
    assert granted.status == 200

    def noted() -> bool:
        (row,) = in_doubt.portal.call("GET", "patients/eve/deliveries").json["deliveries"]
        return (row["state"], row["attempts"]) == ("sent", 2)

    until(noted)
