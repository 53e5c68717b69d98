"""Messages by webhook: signed as Standard Webhooks says, to nowhere but where they may go."""

from __future__ import annotations

import errno
import json
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from authsvc.delivery import lookup
from authsvc.delivery.http_sender import PAUSE_MS
from authsvc.delivery.webhook import WebhookSender, sign
from authsvc.errors import DeliveryDeferred, DeliveryRefused
from authsvc.model import Practice, WebhookTarget
from tests.delivery.mail_hosts import Authority
from tests.delivery.messages import QUEUED_MS, URL, message
from tests.delivery.webhook_receiver import Receiver, leads_to, library_clock, receiving
from tests.fakes import FakeClock

SECRET, OLD_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_" + "T2xk" * 8


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def receiver(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with receiving(authority.context()) as found:
        leads_to(monkeypatch, "127.0.0.1", found.port)
        yield found


Make = Callable[..., WebhookSender]


@pytest.fixture
def sender_to(clock: FakeClock, authority: Authority) -> Make:
    def make(url: str, *secrets: str, development: bool = True) -> WebhookSender:
        target = WebhookTarget(url, secrets or (SECRET,))
        tls = ssl.create_default_context(cafile=authority.ca)
        return WebhookSender(clock, lambda _: target, development=development, tls=tls)

    return make


# --- a lease that ran out -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("calls_before", [0, 1])
def test_fault_worker_paused_beyond_its_lease_posts_nothing(
    receiver: Receiver, sender_to: Make, calls_before: int
) -> None:
    """Over a new connection and over one that was kept: it stands, and nothing is sent on it."""

    def ran_out() -> None:
        raise DeliveryDeferred("not sent: its lease ran out on the way", cause="ours")

    sender = sender_to(receiver.url)
    for _ in range(calls_before):
        sender.send(message(channel="webhook", to="pat_1"))
    with pytest.raises(DeliveryDeferred, match="lease"):
        sender.send(message(channel="webhook", to="pat_1", before_sending=ran_out))
    assert len(receiver.calls) == calls_before
    assert sender.send(message(channel="webhook", to="pat_1")) == "204", "its destination isn't paused for that"


def test_fault_few_descriptors_is_a_fault_of_ours_and_no_destination_is_left_alone_for_it(
    receiver: Receiver, sender_to: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    sender = sender_to(receiver.url)
    with monkeypatch.context() as patch, pytest.raises(DeliveryDeferred) as deferred:
        patch.setattr(lookup, "connect", _without_descriptors)
        sender.send(message(channel="webhook", to="pat_1"))
    assert deferred.value.cause == "ours"
    assert sender.send(message(channel="webhook", to="pat_1")) == "204"


def _without_descriptors(*_: object) -> None:
    raise OSError(errno.EMFILE, "Too many open files")


# --- what is sent -------------------------------------------------------------------------------------------------


def test_a_code_is_posted_with_all_that_a_provider_needs(receiver: Receiver, sender_to: Make) -> None:
    assert sender_to(receiver.url).send(message(to="pat_1", locale="es")) == "204"
    ((_, body),) = receiver.calls
    assert json.loads(body) == {
        "type": "code",
        "timestamp": "2030-01-07T09:00:00Z",
        "data": {
            "message": message().id,
            "patient": "pat_1",
            "locale": "es",
            "expires_at": "2030-01-07T09:10:00Z",
            "code": "042917",
        },
    }


@pytest.mark.parametrize(
    "kind, event",
    [("access-link", "access-link"), ("link", "link"), ("new-link", "link"), ("address-changed", "notice")],
)
def test_every_kind_has_its_word(receiver: Receiver, sender_to: Make, kind: str, event: str) -> None:
    sender_to(receiver.url).send(message(kind, to="pat_1"))
    document = json.loads(receiver.calls[0][1])
    assert document["type"] == event
    assert document["data"].get("url") == (URL if "link" in kind else None)
    assert "code" not in document["data"]


def test_the_known_answer_of_the_scheme() -> None:
    """Standard Webhooks' own example, as its Python library signs it."""
    signed = sign(SECRET, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, b'{"test": 2432232314}')
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_exact_bytes_are_signed_and_during_a_rotation_with_both_secrets(
    receiver: Receiver, sender_to: Make, clock: FakeClock
) -> None:
    sender_to(receiver.url, SECRET, OLD_SECRET).send(message(to="pat_1"))
    ((fields, body),) = receiver.calls
    second = clock.now_ms() // 1000
    assert fields["webhook-id"] == message().id
    assert fields["webhook-timestamp"] == str(second)
    assert fields["webhook-signature"].split(" ") == [
        sign(secret, message().id, second, body) for secret in (SECRET, OLD_SECRET)
    ]


def test_a_repeated_try_has_the_same_id_and_body_and_a_new_timestamp(
    receiver: Receiver, sender_to: Make, clock: FakeClock
) -> None:
    receiver.answers = [(503, "")]
    sender = sender_to(receiver.url)
    with pytest.raises(DeliveryDeferred, match=r"^503$"):
        sender.send(message(to="pat_1"))
    clock.advance_ms(PAUSE_MS)
    sender.send(message(to="pat_1"))
    (first, first_body), (second, second_body) = receiver.calls
    assert (first["webhook-id"], first_body) == (second["webhook-id"], second_body)
    assert int(second["webhook-timestamp"]) - int(first["webhook-timestamp"]) == PAUSE_MS // 1000
    assert clock.now_ms() - PAUSE_MS == QUEUED_MS


def test_standard_webhooks_own_library_verifies_it_with_either_secret(
    receiver: Receiver, sender_to: Make, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    sender_to(receiver.url, SECRET, OLD_SECRET).send(message(to="pat_1"))
    ((fields, body),) = receiver.calls
    library_clock(clock, monkeypatch)
    for secret in (SECRET, OLD_SECRET):
        assert Webhook(secret).verify(body, fields)["data"]["code"] == "042917"
    with pytest.raises(WebhookVerificationError):
        Webhook("whsec_" + "QmFk" * 8).verify(body, fields)
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(body.replace(b"042917", b"042918"), fields)


# --- what the answers mean ----------------------------------------------------------------------------------------


def test_410_is_final(receiver: Receiver, sender_to: Make) -> None:
    receiver.answers = [(410, "")]
    with pytest.raises(DeliveryRefused, match=r"^410$"):
        sender_to(receiver.url).send(message(to="pat_1"))


@pytest.mark.parametrize("status", [400, 401, 404, 409, 422, 429, 500, 503])
def test_anything_else_is_tried_again(receiver: Receiver, sender_to: Make, status: int) -> None:
    receiver.answers = [(status, "")]
    with pytest.raises(DeliveryDeferred):
        sender_to(receiver.url).send(message(to="pat_1"))


def test_what_a_provider_says_of_one_message_doesnt_hold_up_the_next(receiver: Receiver, sender_to: Make) -> None:
    """422 for a patient without a phone number, say."""
    receiver.answers = [(422, "")]
    sender = sender_to(receiver.url)
    with pytest.raises(DeliveryDeferred, match=r"^422$"):
        sender.send(message(to="pat_1"))
    assert sender.send(message(to="pat_2")) == "204"


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_provider_that_asks_for_patience_is_left_alone_for_a_while(
    receiver: Receiver, sender_to: Make, clock: FakeClock, status: int
) -> None:
    receiver.answers = [(status, "")]
    sender = sender_to(receiver.url)
    for _ in range(2):
        with pytest.raises(DeliveryDeferred):
            sender.send(message(to="pat_1"))
    assert len(receiver.calls) == 1
    clock.advance_ms(PAUSE_MS)
    assert sender.send(message(to="pat_1")) == "204"


def test_attack_one_practices_failures_dont_hold_up_another_at_the_same_provider(
    receiver: Receiver, sender_to: Make
) -> None:
    receiver.answers = [(503, "")]
    sender = sender_to(receiver.url)
    with pytest.raises(DeliveryDeferred):
        sender.send(message(to="pat_1"))
    assert sender.send(message(to="pat_1", practice=Practice(id="oak", name="Oak"))) == "204"


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_attack_a_redirect_carries_no_code_elsewhere(
    receiver: Receiver, sender_to: Make, authority: Authority, status: int
) -> None:
    with receiving(authority.context()) as elsewhere:
        receiver.answers = [(status, elsewhere.url)]
        with pytest.raises(DeliveryDeferred):
            sender_to(receiver.url).send(message(to="pat_1"))
    assert elsewhere.calls == []


# --- where it may go ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1",
        "fe80::1%eth0",
        "fc00::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "2002:7f00:1::",
        "2002:a00:1::",
        "64:ff9b::a00:1",
        "64:ff9b::7f00:1",
    ],
)
def test_attack_a_name_that_leads_inside_is_not_called(
    sender_to: Make, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    leads_to(monkeypatch, address, 443)

    def called(*_: Any, **__: Any) -> Any:
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(socket, "create_connection", called)
    with pytest.raises(DeliveryDeferred, match="private network"):
        sender_to("https://hooks.example/x", development=False).send(message(to="pat_1"))


def test_attack_a_name_that_changes_its_mind_gains_nothing(
    receiver: Receiver, sender_to: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS rebinding: what was judged is what is called, and the name isn't looked up a second time."""
    asked: list[str] = []

    def rebinding(host: str, *_: Any, **__: Any) -> Any:
        asked.append(host)
        return [(0, 0, 0, "", ("8.8.8.8" if len(asked) == 1 else "127.0.0.1", receiver.port))]

    called: list[Any] = []

    def connect(address: Any, timeout: float) -> Any:
        called.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    monkeypatch.setattr(socket, "create_connection", connect)
    with pytest.raises(DeliveryDeferred, match="not reachable"):
        sender_to("https://hooks.example/x", development=False).send(message(to="pat_1"))
    assert (called, asked) == ([("8.8.8.8", receiver.port)], ["hooks.example"])


@pytest.mark.parametrize("url", ["http://localhost/hook", "ftp://localhost/hook", ""])
def test_without_https_nothing_is_sent(sender_to: Make, url: str) -> None:
    with pytest.raises(DeliveryRefused, match="no webhook"):
        sender_to(url).send(message(to="pat_1"))


def test_a_practice_without_a_webhook_is_refused_and_a_secret_that_is_none_is_ours(
    clock: FakeClock, receiver: Receiver, sender_to: Make
) -> None:
    with pytest.raises(DeliveryRefused, match="no webhook"):
        WebhookSender(clock, lambda _: None).send(message(to="pat_1"))
    with pytest.raises(DeliveryDeferred, match="secret can't be read") as deferral:
        sender_to(receiver.url, "whsec_!").send(message(to="pat_1"))
    assert deferral.value.cause == "ours"
    assert SECRET not in repr(WebhookTarget("https://x", (SECRET,)))


def test_the_certificate_is_checked(
    clock: FakeClock, tmp_path: Path, sender_to: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    with receiving(Authority(tmp_path).context()) as stranger:
        leads_to(monkeypatch, "127.0.0.1", stranger.port)
        with pytest.raises(DeliveryDeferred, match="certificate not trusted"):
            sender_to(stranger.url).send(message(to="pat_1"))
        assert stranger.calls == []
