"""Back-channel logout calls: what a client is sent, what its answers mean, and that none of them holds anything up."""

from __future__ import annotations

import dataclasses
import socket
import ssl
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest
import redis

from authsvc.delivery.backchannel import BackchannelSender
from authsvc.delivery.http_sender import PAUSE_MS
from authsvc.delivery.outbox_worker import SWEEP_MS, Worker
from authsvc.delivery.run_workers import run_workers
from authsvc.errors import DeliveryDeferred, DeliveryRefused
from authsvc.model import Message, Practice
from authsvc.store.connection import Connection
from authsvc.store.outbox import LOGOUTS, Entry, Outbox, Recipient
from tests.delivery.logout_receiver import Client, serving
from tests.delivery.mail_hosts import Authority, scripted
from tests.delivery.messages import PRACTICE
from tests.delivery.messages import message as mail
from tests.fakes import FakeClock, SeededEntropy
from tests.outboxes import WEEK_MS, enqueue

BRIEF_S = 0.2  # the whole of a call where a test lets one hang


def logout(url: str, token: str = "to.ke-n_") -> Message:
    return dataclasses.replace(mail(), kind="logout", channel="backchannel", to="app", url=url, token=token, code="")


@pytest.fixture
def sender(clock: FakeClock) -> BackchannelSender:
    return BackchannelSender(clock, call_s=5)


# --- the call -----------------------------------------------------------------------------------------------------


def test_a_client_is_sent_the_token_as_a_form_and_nothing_else(sender: BackchannelSender) -> None:
    with serving() as client:
        assert sender.send(logout(f"{client.url}/out?tenant=maple")) == "200"
    (call,) = client.calls
    assert call.path == "/backchannel/out?tenant=maple"
    assert call.form == {"logout_token": ["to.ke-n_"]}
    assert call.headers == {
        "Host": f"127.0.0.1:{client.port}",
        "Content-Type": "application/x-www-form-urlencoded",
        "Accept": "*/*",
        "Accept-Encoding": "identity",
        "Content-Length": "21",
    }


def test_an_address_without_a_path_means_the_root(sender: BackchannelSender) -> None:
    with serving() as client:
        sender.send(logout(f"http://127.0.0.1:{client.port}"))
    assert client.calls[0].path == "/"


@pytest.mark.parametrize("status", [200, 202, 204])
def test_a_client_that_has_done_it_is_not_told_again(sender: BackchannelSender, status: int) -> None:
    with serving(Client(answers=[status])) as client:
        assert sender.send(logout(client.url)) == str(status)


@pytest.mark.parametrize("status", [400, 401, 404, 410])
def test_a_clients_no_is_final(sender: BackchannelSender, status: int) -> None:
    with serving(Client(answers=[status])) as client, pytest.raises(DeliveryRefused) as refusal:
        sender.send(logout(client.url))
    assert refusal.value.detail == str(status)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 503])
def test_a_client_in_trouble_is_asked_later(sender: BackchannelSender, status: int) -> None:
    with serving(Client(answers=[status])) as client, pytest.raises(DeliveryDeferred) as deferral:
        sender.send(logout(client.url))
    assert deferral.value.detail == str(status)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_carries_the_token_elsewhere(sender: BackchannelSender, status: int) -> None:
    with serving() as elsewhere, serving(Client(answers=[status], headers={"Location": elsewhere.url})) as client:
        with pytest.raises(DeliveryRefused):
            sender.send(logout(client.url))
    assert elsewhere.calls == []


def test_no_cookie_is_kept(sender: BackchannelSender) -> None:
    with serving(Client(headers={"Set-Cookie": "who=authsvc"})) as client:
        sender.send(logout(client.url))
        sender.send(logout(client.url))
    assert "Cookie" not in client.calls[1].headers


def test_a_flood_for_an_answer_is_not_read(sender: BackchannelSender) -> None:
    with serving(Client(body=b"x" * 50_000_000)) as client:
        assert sender.send(logout(client.url)) == "200"


# --- clients that are not there, or not who they should be ----------------------------------------------------------


def test_a_client_that_hangs_is_hung_up_on(clock: FakeClock) -> None:
    with serving(Client(answers=[0])) as client, pytest.raises(DeliveryDeferred, match="not reachable: TimeoutError"):
        BackchannelSender(clock, call_s=BRIEF_S).send(logout(client.url))


def test_a_client_that_drips_its_answer_is_hung_up_on_as_well(clock: FakeClock) -> None:
    ended = threading.Event()

    def drip(peer: socket.socket) -> None:
        peer.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while not ended.wait(BRIEF_S / 10):
            peer.sendall(b"s")

    with scripted(drip) as port, pytest.raises(DeliveryDeferred, match="not reachable: TimeoutError"):
        try:
            BackchannelSender(clock, call_s=BRIEF_S).send(logout(f"http://127.0.0.1:{port}/"))
        finally:
            ended.set()


def test_a_client_that_never_ends_its_hand_shake_is_hung_up_on_as_well(clock: FakeClock) -> None:
    ended = threading.Event()

    def wait(_: socket.socket) -> None:
        ended.wait(10)

    with scripted(wait) as port, pytest.raises(DeliveryDeferred, match="not reachable: TimeoutError"):
        try:
            BackchannelSender(clock, call_s=BRIEF_S).send(logout(f"https://127.0.0.1:{port}/"))
        finally:
            ended.set()


def test_something_that_speaks_no_http_is_tried_later(sender: BackchannelSender) -> None:
    def greet(peer: socket.socket) -> None:
        peer.recv(4096)
        peer.sendall(b"220 mail.example ESMTP\r\n")

    with scripted(greet) as port:
        with pytest.raises(DeliveryDeferred, match="not reachable: BadStatusLine"):
            sender.send(logout(f"http://127.0.0.1:{port}/"))


@pytest.mark.parametrize("host", ["127.0.0.1", "a" * 64 + ".example"])
def test_a_client_that_is_not_there_is_tried_later(sender: BackchannelSender, host: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(DeliveryDeferred, match="not reachable"):
        sender.send(logout(f"http://{host}:{port}/"))


def test_the_certificate_is_checked(clock: FakeClock, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    with serving(tls=authority.context()) as client:
        trusting = BackchannelSender(clock, tls=ssl.create_default_context(cafile=authority.ca))
        assert trusting.send(logout(client.url)) == "200"
        with pytest.raises(DeliveryDeferred, match="certificate not trusted"):
            BackchannelSender(clock).send(logout(client.url))
    assert len(client.calls) == 1


def test_a_certificate_for_another_host_is_not_good_enough(clock: FakeClock, tmp_path: Path) -> None:
    authority = Authority(tmp_path, "portal.maple.example")
    with serving(tls=authority.context()) as client, pytest.raises(DeliveryDeferred, match="not trusted"):
        BackchannelSender(clock, tls=ssl.create_default_context(cafile=authority.ca)).send(logout(client.url))


# --- a client in trouble and all the others -------------------------------------------------------------------------


def test_a_client_in_trouble_is_left_alone_for_a_while_and_the_others_are_not(
    sender: BackchannelSender, clock: FakeClock
) -> None:
    with serving(Client(answers=[503])) as client, serving() as other:
        with pytest.raises(DeliveryDeferred):
            sender.send(logout(client.url))
        clock.advance_ms(PAUSE_MS - 1)
        with pytest.raises(DeliveryDeferred, match="a moment ago") as deferral:
            sender.send(logout(client.url))
        assert deferral.value.retry_after_s == 1
        assert sender.send(logout(other.url)) == "200"
        assert len(client.calls) == 1
        clock.advance_ms(1)
        assert sender.send(logout(client.url)) == "200"


class Harness:
    """Mails and logouts of maple, and workers for both on one store."""

    def __init__(self, store: Connection, client: redis.Redis, clock: FakeClock) -> None:
        self.store, self.client, self.clock = store, client, clock
        self.events: list[tuple[str, Mapping[str, str | int]]] = []

    def queue(self, sid: str, url: str) -> None:
        """Queue a logout as a script does; the client's id is its address here."""
        until = self.clock.now_ms() + 3_600_000
        enqueue(
            self.client,
            sid,
            now_ms=self.clock.now_ms(),
            queue=LOGOUTS,
            kind="logout",
            channel="backchannel",
            address=url,
            body=sid,
            locale="",
            until=until,
        )

    def worker(self, sender: BackchannelSender) -> Worker:
        return Worker(
            Outbox(self.store, self.clock, WEEK_MS // 1000),
            {"backchannel": sender},
            lambda _, entry, recipient: logout(recipient.address, entry.body),
            {"maple": PRACTICE}.get,
            self.clock,
            SeededEntropy("logouts"),
            on_event=lambda name, facts: self.events.append((name, facts)),
            carries="logout",
            queues=(LOGOUTS,),
        )

    def left(self) -> int:
        left: int = self.client.xlen("authsvc:{maple}:logouts")
        return left


@pytest.fixture
def harness(store: Connection, redis_client: redis.Redis, clock: FakeClock) -> Harness:
    return Harness(store, redis_client, clock)


def test_a_logout_is_sent_told_and_leaves_nothing_behind(harness: Harness, sender: BackchannelSender) -> None:
    with serving() as client:
        harness.queue("s1", client.url)
        harness.clock.advance_ms(70)
        assert harness.worker(sender).step() == 1
    assert client.tokens == ["s1"]
    facts = {"practice": "maple", "patient": "pat_1", "kind": "logout", "channel": "backchannel", "message_id": "s1"}
    assert harness.events == [("logout_sent", {**facts, "attempts": 1, "waited_ms": 70})]
    kept = sorted(harness.client.keys("authsvc:{maple}:*"))
    assert kept == ["authsvc:{maple}:logouts", "authsvc:{maple}:logouts:cursor", "authsvc:{maple}:patient:pat_1"]


def test_a_client_that_was_down_is_told_when_it_is_back(harness: Harness, sender: BackchannelSender) -> None:
    worker = harness.worker(sender)
    with serving(Client(answers=[503])) as client:
        harness.queue("s1", client.url)
        worker.step()
        for _ in range(PAUSE_MS // SWEEP_MS + 1):
            harness.clock.advance_ms(SWEEP_MS)
            worker.step()
    assert client.tokens == ["s1", "s1"]
    assert [(name, facts["attempts"]) for name, facts in harness.events][-1][0] == "logout_sent"
    assert harness.left() == 0


def test_a_client_that_stays_away_is_given_up_when_the_session_would_have_ended(
    harness: Harness, sender: BackchannelSender
) -> None:
    worker = harness.worker(sender)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    harness.queue("s1", f"http://127.0.0.1:{port}/")
    harness.clock.advance_s(3_599)
    worker.step()
    harness.clock.advance_ms(SWEEP_MS)
    worker.step()
    assert [name for name, _ in harness.events] == ["logout_deferred", "logout_too_late"]
    assert harness.left() == 0


def test_logouts_are_no_mails_in_anybodys_count(harness: Harness, sender: BackchannelSender) -> None:
    with serving() as client:
        for number in range(5):
            harness.queue(f"s{number}", client.url)
        harness.worker(sender).step()
    assert harness.client.exists("authsvc:{maple}:mails", "authsvc:{@site}:mails") == 0
    assert Outbox(harness.store, harness.clock, 60).deliveries("maple", "pat_1") == []


def test_many_logouts_for_a_client_that_hangs_cost_one_wait(harness: Harness, clock: FakeClock) -> None:
    with serving(Client(answers=[0] * 50)) as dead, serving() as other:
        for number in range(49):
            harness.queue(f"dead{number}", dead.url)
        harness.queue("other", other.url)
        worker = harness.worker(BackchannelSender(clock, call_s=BRIEF_S))
        while not other.calls:
            assert worker.step()
    assert len(dead.calls) == 1
    assert harness.left() == 49


@pytest.mark.race
def test_a_client_that_hangs_delays_no_code(harness: Harness, clock: FakeClock) -> None:
    stop, sent = threading.Event(), threading.Event()

    class Mailbox:
        def send(self, message: Message) -> str:
            sent.set()
            return "250"

    def open_mail(practice: Practice, entry: Entry, recipient: Recipient) -> Message:
        return mail(id=entry.message_id)

    outbox = Outbox(harness.store, clock, WEEK_MS // 1000)
    mails = Worker(outbox, {"email": Mailbox()}, open_mail, {"maple": PRACTICE}.get, clock, SeededEntropy("mails"))
    with serving(Client(answers=[0] * 50)) as dead:
        for number in range(50):
            harness.queue(f"s{number}", dead.url)
        teller = harness.worker(BackchannelSender(clock, call_s=20))
        running = threading.Thread(target=run_workers, args=([mails, teller], stop), daemon=True)
        running.start()
        assert dead.called.wait(10), "the first logout hangs now"
        enqueue(harness.client, "code", now_ms=clock.now_ms())
        outbox.wake_worker(["maple"])
        assert sent.wait(10), "and the code leaves all the same"
        assert (len(dead.calls), harness.left()) == (1, 50)
        stop.set()
        dead.ended.set()
        running.join(15)
    assert not running.is_alive()
