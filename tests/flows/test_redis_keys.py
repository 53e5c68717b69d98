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
from tests.flows.conftest import House
from tests.flows.signers import Signer
from tests.flows.visitors import Portal, enter, page, press
from tests.pictures import picture
from tests.proofs import ProofKey

PAGE = Path(__file__).parents[2] / "docs/reference/redis-keys.md"
ROWS = documented(PAGE.read_text(encoding="utf-8"))


def a_days_acts(house: House) -> None:
    """Everything that the service does, once, in an order that leaves what it writes where it can be seen."""
    service, here = house.service, {"client_ip": "203.0.113.7"}
    patients = {"ann": "ann@example.org", "ben": "ann@example.org", "cat": "cat@example.org", "dan": "dan@example.org"}
    for name, email in patients.items():
        house.patient(name, email)
    signing_in(house, here)
    links(house)
    house.patients.merge(house.act(), "cat", "dan")
    house.patient("dan", "daniel@example.org")
    house.patient("ben", "ann@example.org", access=False)
    house.patients.delete(house.act(), "ben")
    hosted_pages(house)
    house.service.email_changes.start(house.act(), patient="dan", email="dan.new@example.org")
    house.codes.start(house.act(), email="nobody@example.org")
    with suppress(RateLimited):
        for _ in range(10):
            house.codes.start(house.act(), email="somebody@example.org")
    with suppress(RateLimited):
        for _ in range(100):
            service.clients.failed("203.0.113.9")
    with suppress(RateLimited):
        for _ in range(100):
            service.sessions.revoke(house.client, "art_junk", "")
    signer = Signer("reports", house.clock)
    house.new_client("reports", jwks=signer.jwks())
    service.clients.authenticate_assertion(signer.sign(), "", "203.0.113.9")
    service.pushed_requests.push(house.client, house.practice, "scope=openid", "")
    presented = PresentedProof(ProofKey(house.clock).proof("GET", "https://a.example/"), "GET", "https://a.example/")
    service.dpop.thumbprint(house.act(), house.client, presented)
    by_webhook(house)
    switching(house)
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
    ring = house.redis.get(KEYSET)
    house.redis.delete(KEYSET)
    service.data_keys._store.note_loss()  # as in an emptied store
    house.redis.set(KEYSET, ring)


def signing_in(house: House, here: dict[str, Any]) -> None:
    started = house.start(act=house.act(idempotency_key="k", fingerprint=b"b", **here), email="ann@example.org")
    with suppress(InvalidCode):
        house.codes.verify(house.act(**here), started.challenge, "000000")
    house.clock.advance_s(30)
    house.codes.resend(house.act(), started.challenge)
    choice = house.codes.verify(house.act(), started.challenge, "314159")
    assert isinstance(choice, Choice)
    first = house.codes.choose(house.act(), choice.challenge, "ann")
    second = house.sessions.refresh(house.client, first.refresh_token or "", None, "")
    house.sessions.revoke(house.client, second.access_token, "")
    house.sign_in(patient="dan")
    house.sessions.end_all(house.act(), "dan")
    house.sign_in(patient="cat", act=house.act())


def links(house: House) -> None:
    house.links.exchange(house.act(), house.link(patient="ann", delivery="email"))
    used = house.link(patient="ann", resource="invoice:a:b", max_uses=1)
    house.links.exchange(house.act(), used)
    house.links.resend(house.act(), used)
    by_link = house.links.exchange(house.act(), house.access_link(patient="ann"))
    assert isinstance(by_link, Started)
    with pytest.raises(InvalidCode):
        house.codes.verify(house.act(), by_link.challenge, "000000")
    house.links.revoke_where(house.act(), resource="invoice:inv_1")


def switching(house: House) -> None:
    """And a call that was answered 503."""
    house.service.dependents.put(house.act(), "dan", "ann")
    choice = house.codes.verify(house.act(), house.start(patient="dan").challenge, "314159")
    assert isinstance(choice, Choice)
    own = house.codes.choose(house.act(), choice.challenge, "dan")
    house.service.person_switch.of_client(house.act(), "dan", own.session or "", "ann")
    house.service.unconfirmed.add({f"authsvc:{{maple}}:unconfirmed:refresh,{own.session},portal,0": "call.1|1"})
    house.service.unconfirmed.write()


def by_webhook(house: House) -> None:
    practices = house.service.practices
    practices.rotate_webhook_secret("maple", actor="cli:test")
    house.practice = practices.set("maple", actor="cli:test", webhook_url="https://hooks.example/authsvc")
    house.start(patient="ann", delivery="webhook")
    house.link(patient="ann", delivery="webhook")


def hosted_pages(house: House) -> None:
    web = Portal(house, "web", backchannel_logout_uri="https://web.example/out")
    for _ in range(2):
        entered = enter(house, "daniel@example.org")
        web.tokens(entered.cookie)
    house.service.browser_sessions.sign_out(page(house), entered.cookie)
    token = house.link(patient="ann", resource="invoice:inv_2")
    house.links.describe(page(house), token)
    press(house, web, token)


def row_of(key: str) -> Documented | None:
    return next((row for row in ROWS if row.matches(key)), None)


@pytest.fixture
def after_a_day(house: House) -> House:
    a_days_acts(house)
    return house


def test_a_whole_days_acts_leave_no_key_that_is_not_documented_and_all_that_are(after_a_day: House) -> None:
    found = {key: row_of(key) for key in after_a_day.redis.scan_iter()}
    assert [key for key, row in found.items() if row is None] == []
    assert {row.pattern for row in found.values() if row} == {row.pattern for row in ROWS}


def test_every_key_has_the_documented_type_and_lives_as_long_as_documented(after_a_day: House) -> None:
    for key in after_a_day.redis.scan_iter():
        row = row_of(key)
        assert row is not None, key
        assert after_a_day.redis.type(key) == row.kind, key
        stays = after_a_day.redis.pttl(key) == -1
        assert stays == row.lives.startswith("stays"), key


def test_every_key_of_a_practice_lies_in_one_slot(after_a_day: House) -> None:
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
