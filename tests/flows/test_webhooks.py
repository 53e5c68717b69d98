"""Delivery by webhook from the call to the practice's own provider, and what the code or link then opens."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import jwt
import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from authsvc import worker
from authsvc.delivery.http_sender import PAUSE_MS
from authsvc.delivery.outbox_worker import Worker
from authsvc.errors import ChallengeGone, InvalidCode, InvalidInput, NoAddress
from authsvc.flows.webhooks import ROTATION_MS
from authsvc.model import Choice, DeliveryInfo, Started, TokenGrant
from tests import outboxes
from tests.audit_logs import tail
from tests.delivery.mail_hosts import Authority
from tests.delivery.webhook_receiver import Receiver, leads_to, library_clock, receiving
from tests.flows.conftest import Harness

CODE = "314159"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def receiver(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca))
    with receiving(authority.context()) as found:
        leads_to(monkeypatch, "127.0.0.1", found.port)
        yield found


class Maple:
    """The practice `maple`, whose own provider carries its messages."""

    def __init__(self, harness: Harness, receiver: Receiver) -> None:
        self.harness, self.receiver = harness, receiver
        self.secret = self.rotate()
        self.set(webhook_url=receiver.url)
        harness.patient("p1", "ann@example.org")
        self._worker: Worker | None = None

    def set(self, **fields: str) -> None:
        self.harness.practice = self.harness.service.practices.set("maple", actor="cli:test", **fields)

    def rotate(self) -> str:
        secret = self.harness.service.practices.rotate_webhook_secret("maple", actor="cli:test")
        self.harness.practice = self.harness.service.practices.known("maple")
        return secret

    def deliver(self) -> None:
        """One look around of the worker, which is the same at each."""
        self._worker = self._worker or worker.webhook_worker(self.harness.service, threads=0)
        self.harness.clock.advance_s(6)  # past what it knows of the practice, to the next sweep
        self._worker.step()

    def delivered(self) -> dict[str, Any]:
        """What the provider got last."""
        self.deliver()
        document: dict[str, Any] = json.loads(self.receiver.calls[-1][1])
        return document

    def record(self) -> DeliveryInfo:
        """What staff sees of the patient's last message."""
        return self.harness.patients.deliveries(self.harness.act(), "p1")[0]


@pytest.fixture
def maple(harness: Harness, receiver: Receiver) -> Maple:
    return Maple(harness, receiver)


def claims(grant: TokenGrant) -> dict[str, Any]:
    read: dict[str, Any] = jwt.decode(grant.access_token, options={"verify_signature": False})
    return read


# --- what it carries -----------------------------------------------------------------------------------------------


def test_a_code_goes_to_the_practices_provider_and_signs_in(maple: Maple, monkeypatch: pytest.MonkeyPatch) -> None:
    harness = maple.harness
    started = harness.start(patient="p1", delivery="webhook")
    sent = maple.delivered()
    ((fields, body),) = maple.receiver.calls
    library_clock(harness.clock, monkeypatch)
    assert Webhook(maple.secret).verify(body, fields) == sent
    assert (sent["type"], sent["data"]["patient"], sent["data"]["code"]) == ("code", "p1", CODE)
    assert fields["webhook-id"] == sent["data"]["message"] == maple.record().id
    grant = harness.codes.verify(harness.act(), started.challenge, CODE)
    assert isinstance(grant, TokenGrant)
    assert claims(grant)["amr"] == ["webhook"]
    assert harness.outbox() == []  # no mail


def test_another_code_of_the_challenge_travels_the_same_way(maple: Maple) -> None:
    harness = maple.harness
    started = harness.start(patient="p1", delivery="webhook")
    harness.clock.advance_s(30)
    harness.entropy.next_below(271828)
    harness.codes.resend(harness.act(), started.challenge)
    maple.deliver()
    assert sorted(json.loads(body)["data"]["code"] for _, body in maple.receiver.calls) == ["271828", CODE]


def test_a_link_goes_to_the_practices_provider_and_its_token_says_so(maple: Maple) -> None:
    harness = maple.harness
    token = harness.link(delivery="webhook")
    sent = maple.delivered()
    assert (sent["type"], sent["data"]["workflow"]) == ("link", "pay-invoice")
    assert sent["data"]["url"].endswith(token)
    grant = harness.links.exchange(harness.act(), token)
    assert isinstance(grant, TokenGrant)
    assert claims(grant)["amr"] == ["webhook"]


def test_an_access_link_leads_to_a_code_by_the_practices_delivery(maple: Maple) -> None:
    harness = maple.harness
    maple.set(delivery="webhook")
    started = harness.links.exchange(harness.act(), harness.access_link(delivery="webhook"))
    assert isinstance(started, Started)
    assert started.email_hint is None  # it doesn't go to an address
    maple.deliver()
    code, link = (json.loads(body) for _, body in maple.receiver.calls)
    assert (link["type"], code["type"]) == ("access-link", "code")  # codes first
    assert isinstance(harness.codes.verify(harness.act(), started.challenge, code["data"]["code"]), TokenGrant)


def test_a_new_link_in_place_of_a_dead_one_travels_by_the_practices_delivery(maple: Maple) -> None:
    harness = maple.harness
    maple.set(delivery="webhook")
    token = harness.link(max_uses=1)
    harness.links.exchange(harness.act(), token)
    harness.links.resend(harness.act(), token)
    assert maple.delivered()["type"] == "link"


def test_in_link_mode_the_provider_carries_a_link_in_place_of_the_code(maple: Maple) -> None:
    for _ in range(5):
        maple.harness.codes.start(maple.harness.act(), email="ann@example.org", delivery="webhook")
    maple.deliver()
    assert [json.loads(body)["type"] for _, body in maple.receiver.calls] == [*["code"] * 4, "access-link"]


# --- what is missing -----------------------------------------------------------------------------------------------


def test_without_url_or_secret_it_is_said_what_is_missing(harness: Harness) -> None:
    practices = harness.service.practices
    harness.patient()

    def refused() -> list[str]:
        harness.practice = practices.known("maple")
        said = []
        for call in (
            lambda: harness.codes.start(harness.act(), patient="p1", delivery="webhook"),
            lambda: harness.link(delivery="webhook"),
            lambda: practices.set("maple", actor="cli:test", delivery="webhook"),
            lambda: worker.send_webhook_test(harness.service, harness.practice),
        ):
            with pytest.raises(InvalidInput) as refusal:
                call()
            said.append(refusal.value.faults[0].detail)
        return said

    assert all("URL is missing" in detail for detail in refused())
    practices.set("maple", actor="cli:test", webhook_url="https://hooks.example/authsvc")
    assert all("secret is missing" in detail for detail in refused())
    practices.rotate_webhook_secret("maple", actor="cli:test")
    assert practices.set("maple", actor="cli:test", delivery="webhook").delivery == "webhook"
    with pytest.raises(InvalidInput):
        practices.set("maple", actor="cli:test", webhook_url="")


def test_what_was_queued_before_the_webhook_was_taken_away_is_refused(maple: Maple) -> None:
    maple.harness.start(patient="p1", delivery="webhook")
    maple.set(webhook_url="")
    maple.deliver()
    assert (maple.receiver.calls, maple.record().state) == ([], "refused")


def test_the_record_of_an_older_release_is_read_and_that_of_a_newer_one_kept(harness: Harness) -> None:
    key = "authsvc:{@practices}:one:maple"
    stored = json.loads(harness.redis.get(key))
    for name in ("delivery", "webhook_url", "webhook_secrets"):
        del stored[name]
    harness.redis.set(key, json.dumps({**stored, "of_a_newer_release": 1}))
    known = harness.service.practices.known("maple")
    assert (known.delivery, known.webhook_url, known.webhook_secrets) == ("email", "", ())
    harness.service.practices.set("maple", actor="cli:test", phone="1")
    assert json.loads(harness.redis.get(key))["of_a_newer_release"] == 1


# --- secrets -------------------------------------------------------------------------------------------------------


def test_during_a_rotation_both_secrets_sign_and_after_it_the_new_one_alone(
    maple: Maple, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness, old = maple.harness, maple.secret
    library_clock(harness.clock, monkeypatch)

    def signed_by(*secrets: str) -> list[bool]:
        harness.start(patient="p1", delivery="webhook")
        maple.deliver()
        fields, body = maple.receiver.calls[-1]
        found = []
        for secret in secrets:
            try:
                found.append(bool(Webhook(secret).verify(body, fields)))
            except WebhookVerificationError:
                found.append(False)
        return found

    new = maple.rotate()
    assert signed_by(old, new) == [True, True]
    harness.clock.advance_ms(ROTATION_MS)
    assert signed_by(old, new) == [False, True]
    newest, last = maple.rotate(), maple.rotate()
    assert signed_by(old, new, newest, last) == [False, False, True, True]
    assert tail(harness.service.audit_log, "@site", 1)[0]["event"] == "practice.webhook_secret_rotated"


def test_attack_neither_secret_nor_code_nor_link_stands_in_redis_or_in_logs(
    maple: Maple, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    harness = maple.harness
    maple.receiver.answers = [(500, "")]
    harness.start(patient="p1", delivery="webhook")
    token = harness.link(delivery="webhook")
    stored = "".join(str(harness.redis.dump(key)) for key in harness.redis.scan_iter())
    maple.deliver()
    harness.clock.advance_ms(PAUSE_MS)
    maple.deliver()
    logged = "".join(str(record.__dict__) for record in caplog.records)
    assert "webhook_deferred" in logged
    for secret in (maple.secret, maple.secret.removeprefix("whsec_"), token):
        assert secret not in stored
        assert secret not in logged
    assert CODE not in logged


def test_attack_a_secret_that_was_sealed_for_another_practice_signs_nothing(maple: Maple) -> None:
    harness = maple.harness
    harness.service.practices.add("oak", name="Oak", actor="cli:test")
    key = "authsvc:{@practices}:one:%s"
    document = json.loads(harness.redis.get(key % "maple"))
    harness.redis.set(key % "oak", json.dumps({**document, "id": "oak"}))
    with pytest.raises(ValueError):  # noqa: PT011 - it doesn't open
        harness.service.webhooks.target(harness.service.practices.known("oak"))


# --- how it went ---------------------------------------------------------------------------------------------------


def test_what_fails_is_tried_again_within_the_codes_life_and_every_state_is_on_record(maple: Maple) -> None:
    harness, states = maple.harness, []
    maple.receiver.answers = [(503, ""), (422, "")]
    harness.start(patient="p1", delivery="webhook")
    assert (maple.record().channel, maple.record().state) == ("webhook", "queued")
    for _ in range(40):
        maple.deliver()
        states.append((maple.record().state, maple.record().detail))
    assert list(dict.fromkeys(states)) == [
        ("deferred", "503"),
        ("deferred", "not reachable a moment ago"),
        ("deferred", "422"),
        ("sent", "204"),
    ]
    assert len({fields["webhook-id"] for fields, _ in maple.receiver.calls}) == 1
    shown = harness.service.metrics.render()[0].decode()
    assert 'authsvc_webhooks_total{kind="code",state="sent"} 1.0' in shown
    assert "authsvc_webhooks_deferred_total" in shown


def test_410_is_final_and_a_code_that_has_ended_is_too_late(maple: Maple) -> None:
    maple.receiver.answers = [(410, "")]
    maple.harness.start(patient="p1", delivery="webhook")
    maple.deliver()
    assert (maple.record().state, maple.record().detail) == ("refused", "410")
    maple.receiver.answers = [(500, "")] * 100
    maple.harness.clock.advance_s(1)
    maple.harness.start(patient="p1", delivery="webhook")
    for _ in range(110):
        maple.deliver()
    assert maple.record().state in ("too_late", "cancelled")
    calls = len(maple.receiver.calls)
    maple.deliver()
    assert len(maple.receiver.calls) == calls


def test_a_test_notice_is_signed_and_carries_nothing_of_a_patient(maple: Maple) -> None:
    assert worker.send_webhook_test(maple.harness.service, maple.harness.practice) == "204"
    sent = json.loads(maple.receiver.calls[-1][1])
    assert (sent["type"], sent["data"]["patient"]) == ("notice", "test")


# --- whom it reaches -----------------------------------------------------------------------------------------------


def test_attack_a_code_by_webhook_reaches_one_patient_and_opens_no_other(maple: Maple) -> None:
    """Two share a mailbox, not a telephone: what went to one of them must not let in the other."""
    harness = maple.harness
    started = harness.start(email="ann@example.org", delivery="webhook")
    harness.patient("p2", "ann@example.org")
    assert maple.delivered()["data"]["patient"] == "p1"
    with pytest.raises(InvalidCode):
        harness.codes.verify(harness.act(), started.challenge, "000000", "p2")
    grant = harness.codes.verify(harness.act(), started.challenge, CODE)
    assert isinstance(grant, TokenGrant)
    assert grant.patient == "p1"


def test_an_address_that_several_share_gets_a_mail_since_the_provider_would_reach_one_alone(maple: Maple) -> None:
    harness = maple.harness
    harness.patient("p2", "ann@example.org")
    started = harness.start(email="ann@example.org", delivery="webhook")
    assert [mail["channel"] for mail in harness.outbox()] == ["email"]
    assert isinstance(harness.codes.verify(harness.act(), started.challenge, CODE), Choice)


def test_a_link_to_a_shared_mailbox_leads_to_a_code_by_mail(maple: Maple) -> None:
    harness = maple.harness
    maple.set(delivery="webhook")
    harness.patient("p2", "ann@example.org")
    for _ in range(5):
        harness.codes.start(harness.act(), email="ann@example.org", delivery="webhook")
    token = harness.mailed()["url"].rsplit("/", 1)[1]
    harness.links.exchange(harness.act(), token)
    assert {mail["channel"] for mail in harness.outbox()} == {"email"}


def test_attack_a_typed_address_looks_the_same_whether_unknown_or_withdrawn(maple: Maple) -> None:
    harness = maple.harness
    known = harness.start(email="ann@example.org", delivery="webhook")
    unknown = harness.start(email="nobody@example.org", delivery="webhook")
    harness.patient("p1", "ann@example.org", access=False)
    for started in (known, unknown):
        with pytest.raises(InvalidCode):
            harness.codes.verify(harness.act(), started.challenge, CODE)
    maple.deliver()
    assert maple.receiver.calls == []
    assert outboxes.queued(harness.redis, "maple", "webhook-codes") == []


def test_a_challenge_by_patient_says_that_it_is_over(maple: Maple) -> None:
    harness = maple.harness
    started = harness.start(patient="p1", delivery="webhook")
    harness.patient("p1", "ann@example.org", access=False)
    with pytest.raises(ChallengeGone):
        harness.codes.verify(harness.act(), started.challenge, CODE)


# --- a patient without an email address ----------------------------------------------------------------------------


def on_file_without_an_address(maple: Maple) -> None:
    maple.harness.patients.put(maple.harness.act(), "p9", email=None, label="Noa", locale="", portal_access=True)


def test_a_patient_without_an_email_address_signs_in_by_the_portals_own_start(maple: Maple) -> None:
    on_file_without_an_address(maple)
    started = maple.harness.start(patient="p9", delivery="webhook")
    assert maple.delivered()["data"]["patient"] == "p9"
    grant = maple.harness.codes.verify(maple.harness.act(), started.challenge, CODE)
    assert isinstance(grant, TokenGrant)
    assert grant.patient == "p9"


def test_a_patient_without_an_email_address_signs_in_by_an_access_link(maple: Maple) -> None:
    on_file_without_an_address(maple)
    maple.set(delivery="webhook")
    harness = maple.harness
    started = harness.links.exchange(harness.act(), harness.access_link(patient="p9"))
    assert isinstance(started, Started)
    code = maple.delivered()["data"]["code"]
    assert isinstance(harness.codes.verify(harness.act(), started.challenge, code), TokenGrant)


def test_where_mail_is_the_way_a_patient_without_an_address_is_told_so(maple: Maple) -> None:
    on_file_without_an_address(maple)
    harness = maple.harness
    with pytest.raises(NoAddress):
        harness.links.exchange(harness.act(), harness.access_link(patient="p9"))
    with pytest.raises(NoAddress):
        harness.start(patient="p9")


def test_attack_guesses_at_one_patient_without_an_address_dont_lock_another(maple: Maple) -> None:
    on_file_without_an_address(maple)
    harness = maple.harness
    harness.patients.put(harness.act(), "p8", email=None, label="Eli", locale="", portal_access=True)
    for _ in range(20):
        harness.clock.advance_s(86_400)
        started = harness.codes.start(harness.act(), patient="p8", delivery="webhook")
        for _ in range(5):
            with suppress(InvalidCode, ChallengeGone):
                harness.codes.verify(harness.act(), started.challenge, "000000")
    started = harness.start(patient="p9", delivery="webhook")
    assert isinstance(harness.codes.verify(harness.act(), started.challenge, CODE), TokenGrant)
