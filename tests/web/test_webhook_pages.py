"""The hosted pages of a practice whose own provider carries codes: the same way in, in words that are true for it."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests import outboxes
from tests.web.conftest import Web, pointers
from tests.web.relying_party import party, sent_to
from tests.web.visitor import CODE, SIGN_IN, ShownPage, Visitor

MAIL = re.compile(r"e-?mail|mailbox|junk|correo", re.IGNORECASE)


@pytest.fixture
def by_webhook(web: Web) -> Web:
    practices = web.service.practices
    practices.rotate_webhook_secret("maple", actor="cli:test")
    practices.set("maple", actor="cli:test", webhook_url="https://hooks.example/authsvc", delivery="webhook")
    web.harness.practice = practices.known("maple")
    web.call("PUT", "patients/p9", json={"label": "Noa", "portal_access": True})
    return web


@pytest.fixture
def ann(by_webhook: Web) -> Visitor:
    return Visitor(by_webhook)


def queued(web: Web) -> list[str]:
    """The kinds of what waits for the provider; no mail ever waits beside it."""
    assert outboxes.queued(web.redis) == []
    return [message["kind"] for message in outboxes.queued(web.redis, "maple", "webhook-codes", "webhooks")]


@pytest.mark.parametrize("language", ["en", "es"])
def test_a_typed_address_leads_in_by_a_code_from_the_provider(by_webhook: Web, language: str) -> None:
    ann = Visitor(by_webhook, **{"Accept-Language": language})
    where = ann.ask()
    page = ann.page(where)
    assert ("a message is on its way" if language == "en" else "un mensaje va en camino") in page.text
    assert not re.search("spam|junk", page.text)
    assert queued(by_webhook) == ["code"]
    assert ann.press(where, code=CODE).status_code == 303
    assert ann.signed_in


def test_what_is_wrong_and_what_was_sent_again_is_said_in_the_same_words(ann: Visitor) -> None:
    where = ann.ask()
    assert "compare it with the newest message" in ShownPage(ann.press(where, code="271828")).text
    assert "type all six from the message" in ShownPage(ann.press(where, code="1")).text
    assert "A message is on its way already" in ShownPage(ann.press(where, "resend")).text
    ann.web.clock.advance_s(30)
    ann.press(where, "resend")
    assert "Please use the newest message" in ann.page(where).text
    assert queued(ann.web) == ["code", "code"]


def test_known_and_unknown_addresses_see_the_same_page(ann: Visitor) -> None:
    known, unknown = ann.page(ann.ask()), ann.page(ann.ask("bob@example.org"))
    assert known.text.replace("ann@", "bob@") == unknown.text


def test_a_patient_without_an_email_address_comes_in_by_an_access_link(ann: Visitor) -> None:
    token = ann.web.link(patient="p9", workflow="portal", resource=None, delivery="webhook")
    link = f"/p/maple/l/{token}"
    page = ann.page(link)
    assert "Maple Clinic sends you a code" in page.text
    assert not MAIL.search(page.text)
    ann.web.entropy.next_below(int(CODE))
    where = ann.press(link, page=page).headers["Location"]
    page = ann.page(where)
    assert "Maple Clinic is sending you a message" in page.text
    ann.press(where, code=CODE)
    assert ann.signed_in
    assert ann.page("/p/maple/session").status == 200
    assert queued(ann.web) == ["access-link", "code"]


def test_who_is_signed_in_without_an_address_proves_it_again_without_typing_one(ann: Visitor) -> None:
    token = ann.web.link(patient="p9", workflow="portal", resource=None)
    ann.web.entropy.next_below(int(CODE))
    ann.press(ann.press(f"/p/maple/l/{token}").headers["Location"], code=CODE)
    app = party(ann.web)
    where = ann.open("GET", f"/oauth2/authorize?{app.query(prompt='login')}").headers["Location"]
    page = ann.page(where)
    assert "Maple Clinic will send you a message" in page.text
    assert "email" not in page.form_with().fields
    ann.web.entropy.next_below(271828)
    code_page = ann.press(where, page=page).headers["Location"]
    answer, said = sent_to(ann.press(code_page, code="271828"))
    assert urlsplit(answer).netloc == "portal.maple.example"
    tokens: Any = app.redeem(said["code"]).json
    assert tokens["patient"] == "p9"


def test_a_dead_link_offers_a_new_one_without_saying_how_it_comes(ann: Visitor) -> None:
    token = ann.web.link(max_uses=1, delivery="webhook")
    ann.web.call("POST", "links/exchange", json={"token": token})
    link = f"/p/maple/l/{token}"
    page = ann.page(link)
    assert "We can send you a new one" in page.text
    sent = ann.page(ann.press(link, "resend", page).headers["Location"])
    assert "Check your messages" in sent.text
    assert not MAIL.search(sent.text)
    assert queued(ann.web) == ["link", "new-link"]


def test_the_sign_in_page_asks_for_an_address_and_promises_a_message(ann: Visitor) -> None:
    page = ann.page(SIGN_IN)
    assert "You will get a message that lets you in" in page.text
    assert page.labels[-1] == "Send me a code"


def test_the_api_says_what_is_missing_where_a_practice_has_no_webhook(web: Web) -> None:
    link = {"patient": "p1", "workflow": "pay-invoice", "resource": "invoice:inv_1", "delivery": "webhook"}
    for path, body in (("codes", {"patient": "p1", "delivery": "webhook"}), ("links", link)):
        answer = web.call("POST", path, json=body)
        assert pointers(answer) == ["/delivery"]
        assert "its URL is missing" in answer.json["errors"][0]["detail"]


def test_the_api_answers_as_for_any_delivery_and_never_shows_the_code(by_webhook: Web) -> None:
    answer = by_webhook.call("POST", "codes", json={"patient": "p9", "delivery": "webhook"})
    assert (answer.status_code, answer.json.keys()) == (202, {"challenge", "expires_in", "resend_in"})
    by_webhook.clock.advance_s(30)
    again = by_webhook.call("POST", "codes/resend", json={"challenge": answer.json["challenge"]})
    assert (again.status_code, again.json.keys()) == (202, answer.json.keys())
    (first, last) = by_webhook.call("GET", "patients/p9/deliveries").json["deliveries"]
    assert {first["channel"], last["channel"]} == {"webhook"}
