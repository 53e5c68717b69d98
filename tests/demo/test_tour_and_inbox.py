"""The demo's own pages: the tour, and the inbox that shows hostile mail without harm."""

from __future__ import annotations

import json

import pytest

from authsvc.demo.inbox import parse
from authsvc.demo.sample.clinic import Settings
from authsvc.demo.sample.records import maple_clinic
from authsvc.demo.tour import demo_site
from tests.demo.maple import Maple
from tests.harness.browsing import Browser, flask_transport

HOSTILE = {
    "id": "m1",
    "at_ms": 0,
    "from": '"<b>" <a@example.com>',
    "to": "b@example.com",
    "subject": "<script>alert(1)</script>",
    "text": 'See http://127.0.0.1/go/al_x. <img src=x onerror="alert(1)"> javascript:alert(1)\n',
    "html": "<script>top.location='http://evil.example'</script><p>Hello</p>",
}


@pytest.fixture
def inbox() -> Browser:
    settings = Settings("http://localhost", "http://127.0.0.1:9", "maple", "portal", "x")
    site = demo_site(settings, maple_clinic(), lambda: [json.dumps(HOSTILE)])
    browser = Browser(flask_transport(site, "203.0.113.1"))
    browser.open("http://localhost/inbox")
    return browser


def test_the_walk_names_every_workflow_and_sends_to_the_inbox(maple: Maple) -> None:
    browser, before = maple.browser(), len(maple.mails())
    for words in ("invoice", "payment information", "agreement", "statement", "Contact", "dependents", "methods"):
        assert words in browser.at.text
    browser.press("Email Anna an invoice")
    maple.arrived(before)
    browser.open("/inbox?still")
    assert "anna@example.com" in browser.at.text
    assert any("/p/maple/l/al_" in address for address in browser.at.links.values())


def test_the_list_reloads_itself_and_stands_still_when_told(inbox: Browser) -> None:
    assert any(attrs.get("http-equiv") == "refresh" for _, attrs in inbox.at.elements)
    inbox.follow("Stop that")
    assert not any("http-equiv" in attrs for _, attrs in inbox.at.elements)


def test_attack_a_mail_runs_nothing_on_the_list(inbox: Browser) -> None:
    tags = [tag for tag, _ in inbox.at.elements]
    assert "script" not in tags
    assert tags.count("img") == 1  # the leaf
    assert inbox.at.links["http://127.0.0.1/go/al_x"] == "http://127.0.0.1/go/al_x"
    assert not any(address.startswith("javascript:") for address in inbox.at.links.values())


def test_attack_a_designed_mail_is_in_a_sandbox(inbox: Browser) -> None:
    inbox.follow("See it as designed")
    assert "frame-src 'self'" in inbox.at.header("Content-Security-Policy")
    [frame] = [attrs for tag, attrs in inbox.at.elements if tag == "iframe"]
    designed = inbox.request("GET", frame["src"])
    policy = designed.header("Content-Security-Policy")
    assert "sandbox allow-top-navigation-by-user-activation" in policy
    assert "default-src 'none'" in policy
    assert "allow-scripts" not in policy
    assert designed.header("X-Frame-Options") == "SAMEORIGIN"


def test_a_mail_that_is_gone_is_not_found(inbox: Browser) -> None:
    assert inbox.open("/inbox/m2").status == 404
    assert inbox.open("/inbox/m2/designed").status == 404


def test_an_empty_inbox_says_what_to_do(inbox: Browser) -> None:
    settings = Settings("http://localhost", "http://127.0.0.1:9", "maple", "portal", "x")
    site = demo_site(settings, maple_clinic(), list)
    assert "No mail yet" in Browser(flask_transport(site, "203.0.113.1")).open("http://localhost/inbox").text


def test_a_mail_is_shown_with_its_hour() -> None:
    assert parse(json.dumps(HOSTILE)).when == "00:00:00 UTC"
