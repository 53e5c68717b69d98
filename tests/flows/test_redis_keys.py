"""`docs/reference/redis-keys.md` says what is in Redis: all of it, with its type and how long it lives."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from authsvc.errors import InvalidCode, RateLimited
from authsvc.flows.logos import prepared
from authsvc.model import Choice, PresentedProof, Started
from authsvc.store.inbox import Inbox
from authsvc.store.keys import KEYSET
from authsvc.store.outbox import CODES, LOGOUTS, MAILS, WEBHOOK_CODES, WEBHOOKS, MailCap
from bench.memory import Documented, documented, written
from tests.flows.conftest import Harness
from tests.flows.signers import Signer
from tests.flows.visitors import Portal, enter, page, press
from tests.pictures import picture
from tests.proofs import ProofKey

PAGE = Path(__file__).parents[2] / "docs/reference/redis-keys.md"
ROWS = documented(PAGE.read_text(encoding="utf-8"))


def a_days_acts(harness: Harness) -> None:
    """Everything that the service does, once, in an order that leaves what it writes where it can be seen."""
    service, here = harness.service, {"client_ip": "203.0.113.7"}
    patients = {"ann": "ann@example.org", "ben": "ann@example.org", "cat": "cat@example.org", "dan": "dan@example.org"}
    for name, email in patients.items():
        harness.patient(name, email)
    signing_in(harness, here)
    links(harness)
    harness.patients.merge(harness.act(), "cat", "dan")
    harness.patient("dan", "daniel@example.org")
    harness.patient("ben", "ann@example.org", access=False)
    harness.patients.delete(harness.act(), "ben")
    hosted_pages(harness)
    harness.service.email_changes.start(harness.act(), patient="dan", email="dan.new@example.org")
    harness.codes.start(harness.act(), email="nobody@example.org")
    with suppress(RateLimited):
        for _ in range(10):
            harness.codes.start(harness.act(), email="somebody@example.org")
    with suppress(RateLimited):
        for _ in range(100):
            service.clients.failed("203.0.113.9")
    with suppress(RateLimited):
        for _ in range(100):
            service.sessions.revoke(harness.client, "art_junk", "")
    signer = Signer("reports", harness.clock)
    harness.new_client("reports", jwks=signer.jwks())
    service.clients.authenticate_assertion(signer.sign(), "", "203.0.113.9")
    service.pushed_requests.push(harness.client, harness.practice, "scope=openid", "")
    presented = PresentedProof(ProofKey(harness.clock).proof("GET", "https://a.example/"), "GET", "https://a.example/")
    service.dpop.thumbprint(harness.act(), harness.client, presented)
    by_webhook(harness)
    switching(harness)
    for queue in (CODES, MAILS, WEBHOOK_CODES, WEBHOOKS, LOGOUTS):
        for entry in service.outbox.take("maple", queue, "worker", 30_000, 5).entries:
            service.outbox.begin("maple", entry, "worker", 30_000)
    service.outbox.count(10, MailCap(10, 900, 0.8))
    service.outbox.wake_worker(["maple"])
    service.practices.set("maple", actor="cli:test", logo=prepared(picture()))
    Inbox(service.store).append("{}")
    service.audit_log.seal_all()
    service.signing_keys.rotate("cli:test", force=True)
    service.data_keys.key("cookies")
    ring = harness.redis.get(KEYSET)
    harness.redis.delete(KEYSET)
    service.data_keys._store.note_loss()  # as in an emptied store
    harness.redis.set(KEYSET, ring)


def signing_in(harness: Harness, here: dict[str, Any]) -> None:
    started = harness.start(act=harness.act(idempotency_key="k", fingerprint=b"b", **here), email="ann@example.org")
    with suppress(InvalidCode):
        harness.codes.verify(harness.act(**here), started.challenge, "000000")
    harness.clock.advance_s(30)
    harness.codes.resend(harness.act(), started.challenge)
    choice = harness.codes.verify(harness.act(), started.challenge, "314159")
    assert isinstance(choice, Choice)
    first = harness.codes.choose(harness.act(), choice.challenge, "ann")
    second = harness.sessions.refresh(harness.client, first.refresh_token or "", None, "")
    harness.sessions.revoke(harness.client, second.access_token, "")
    harness.sign_in(patient="dan")
    harness.sessions.end_all(harness.act(), "dan")
    harness.sign_in(patient="cat", act=harness.act())


def links(harness: Harness) -> None:
    harness.links.exchange(harness.act(), harness.link(patient="ann", delivery="email"))
    used = harness.link(patient="ann", resource="invoice:a:b", max_uses=1)
    harness.links.exchange(harness.act(), used)
    harness.links.resend(harness.act(), used)
    by_link = harness.links.exchange(harness.act(), harness.access_link(patient="ann"))
    assert isinstance(by_link, Started)
    with pytest.raises(InvalidCode):
        harness.codes.verify(harness.act(), by_link.challenge, "000000")
    harness.links.revoke_where(harness.act(), resource="invoice:inv_1")


def switching(harness: Harness) -> None:
    """And a call that was answered 503."""
    harness.service.dependents.put(harness.act(), "dan", "ann")
    choice = harness.codes.verify(harness.act(), harness.start(patient="dan").challenge, "314159")
    assert isinstance(choice, Choice)
    own = harness.codes.choose(harness.act(), choice.challenge, "dan")
    harness.service.person_switch.of_client(harness.act(), "dan", own.session or "", "ann")
    harness.service.unconfirmed.add([f"authsvc:{{maple}}:unconfirmed:refresh,{own.session},portal,0,1"])
    harness.service.unconfirmed.write()


def by_webhook(harness: Harness) -> None:
    practices = harness.service.practices
    practices.rotate_webhook_secret("maple", actor="cli:test")
    harness.practice = practices.set("maple", actor="cli:test", webhook_url="https://hooks.example/authsvc")
    harness.start(patient="ann", delivery="webhook")
    harness.link(patient="ann", delivery="webhook")


def hosted_pages(harness: Harness) -> None:
    web = Portal(harness, "web", backchannel_logout_uri="https://web.example/out")
    for _ in range(2):
        browser_session = enter(harness, "daniel@example.org")
        web.tokens(browser_session.cookie)
    harness.service.browser_sessions.sign_out(page(harness), browser_session.cookie)
    token = harness.link(patient="ann", resource="invoice:inv_2")
    harness.links.describe(page(harness), token)
    press(harness, web, token)


def row_of(key: str) -> Documented | None:
    return next((row for row in ROWS if row.matches(key)), None)


@pytest.fixture
def after_a_day(harness: Harness) -> Harness:
    a_days_acts(harness)
    return harness


def test_a_whole_days_acts_leave_no_key_that_is_not_documented_and_all_that_are(after_a_day: Harness) -> None:
    found = {key: row_of(key) for key in after_a_day.redis.scan_iter()}
    assert [key for key, row in found.items() if row is None] == []
    assert {row.pattern for row in found.values() if row} == {row.pattern for row in ROWS}


def test_every_key_has_the_documented_type_and_lives_as_long_as_documented(after_a_day: Harness) -> None:
    for key in after_a_day.redis.scan_iter():
        row = row_of(key)
        assert row is not None, key
        assert after_a_day.redis.type(key) == row.kind, key
        stays = after_a_day.redis.pttl(key) == -1
        assert stays == row.lives.startswith("stays"), key


def test_every_key_of_a_practice_lies_in_one_slot(after_a_day: Harness) -> None:
    tags = {key[key.index("{") : key.index("}") + 1] for key in after_a_day.redis.scan_iter()}
    assert {tag for tag in tags if not tag.startswith("{@")} == {"{maple}"}
    assert tags == {"{maple}", "{@practices}", "{@clients}", "{@keys}", "{@site}", "{@outbox}", "{@inbox}"}


def test_every_row_of_the_page_has_its_measured_bytes() -> None:
    assert [row.pattern for row in ROWS if not int(row.bytes.replace(",", ""))] == []
    assert len(ROWS) == PAGE.read_text(encoding="utf-8").count("| `authsvc:")


def test_writing_the_measured_numbers_changes_nothing_but_them() -> None:
    page = PAGE.read_text(encoding="utf-8")
    row = ROWS[0]
    changed = written(page, {"an act": 1}, {row.pattern: 1_234_567})
    assert "| act | bytes |\n| --- | --- |\n| an act | 1 |\n<!-- end -->" in changed
    assert documented(changed)[0].bytes == "1,234,567"
    assert documented(changed)[1:] == ROWS[1:]
