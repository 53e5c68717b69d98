"""The sample's portal: the four workflows behind a code, and the pages for when nothing goes."""

from __future__ import annotations

import csv
import dataclasses
from datetime import date, timedelta

import pytest

from authsvc.demo.sample.api import Authsvc, Refused
from authsvc.demo.sample.errors import api_refused
from authsvc.demo.sample.oidc import Oidc
from authsvc.demo.sample.records import Card
from authsvc.demo.sample.tokens import RENEW_AFTER_S
from authsvc.verifier import Verifier
from tests.demo.maple import CARD, INVOICE, Maple, asked, mailed, opened, signed_in
from tests.harness.browsing import Browser

NOWHERE = "http://127.0.0.1:9"  # the discard port: nobody listens


def test_all_invoices_and_a_statement(maple: Maple) -> None:
    browser = signed_in(maple)
    browser.follow("Invoices All your invoices, and statements")
    for what in ("Yearly check-up", "Blood test", "Flu vaccination"):
        assert what in browser.at.text
    assert "Knee X-ray" not in browser.at.text

    browser.press("Show the statement", since="2000-01-01")
    assert "Still to pay $120.00" in browser.at.text
    assert "Total $190.50" in browser.at.text
    assert browser.open("/portal/statement?since=many").status == 200


def test_an_invoice_is_paid_from_the_portal_too(maple: Maple) -> None:
    browser = signed_in(maple)
    browser.open("/portal/invoices")
    browser.follow("Yearly check-up")
    browser.press("Pay")
    assert maple.records.invoices["inv_1001"].paid_on


def test_contact_details_are_changed(maple: Maple) -> None:
    browser = signed_in(maple)
    browser.open("/portal/contact")
    browser.press("Save", phone="call me", address="7 Oak Lane")
    assert browser.at.element("phone")["aria-invalid"] == "true"
    assert browser.at.element("phone")["aria-describedby"] == "phone-wrong"
    assert browser.at.element("address")["value"] == "7 Oak Lane"
    browser.press("Save", phone="555 0777", address="7 Oak Lane")
    assert "are saved" in browser.at.text
    assert maple.records.people["anna"].phone == "555 0777"
    assert "are saved" not in browser.open("/portal/contact").text


def test_a_membership_is_changed_and_a_dependent_added(maple: Maple) -> None:
    browser = signed_in(maple)
    browser.open("/portal/membership")
    browser.press("Save the plan", plan="Family")
    assert maple.records.people["anna"].plan == "Family"
    browser.press("Save the plan", plan="Everything for free")
    assert maple.records.people["anna"].plan == "Family"

    browser.press("Add this person", dependent="")
    assert "Please write the name" in browser.at.text
    assert browser.at.element("dependent")["aria-invalid"] == "true"
    for _ in range(2):
        browser.open("/portal/membership")
        browser.press("Add this person", dependent="Zoë Berg")
    [zoe] = maple.records.dependents_of(maple.records.people["anna"])
    assert (zoe.name, zoe.email) == ("Zoë Berg", "")


def test_payment_methods_have_a_default_and_the_last_one_stays(maple: Maple) -> None:
    browser = signed_in(maple)
    browser.open("/portal/payment-methods")
    assert "Good until 09/29" in browser.at.text
    csrf = browser.at.form("Save this card").fields
    browser.press("Save this card", **CARD | {"expires": "13/30"})
    assert "month and year" in browser.at.text
    assert browser.at.element("expires")["aria-invalid"] == "true"
    browser.press("Save this card", **CARD | {"expires": "01/26"})
    assert "Mastercard ending in 5454 Expired: 01/26 We use this one" in " ".join(browser.at.text.split())
    browser.press("Use this card")
    assert [card.last4 for card in maple.records.people["anna"].cards] == ["4242", "5454"]
    browser.press("Remove")
    [last] = maple.records.people["anna"].cards
    assert last.last4 == "5454"

    assert not any(form.button("Remove") for form in browser.at.forms)
    browser.submit(f"/portal/payment-methods/{last.id}/remove", csrf)
    assert "We need one card at least" in browser.at.text
    assert maple.records.people["anna"].cards == [last]


def test_a_card_is_good_until_its_month_is_over() -> None:
    card = Card("c", "Visa", "4242", "09/29")
    assert not card.has_expired(date(2029, 9, 30))
    assert card.has_expired(date(2029, 10, 1))


def test_a_statement_for_a_chosen_time_is_a_file_too(maple: Maple) -> None:
    browser = signed_in(maple)
    flu = maple.records.invoices["inv_1003"]
    time = {"since": flu.on.isoformat(), "until": (flu.on + timedelta(days=40)).isoformat()}
    browser.open("/portal/invoices")
    browser.press("Show the statement", **time)
    assert "Total $70.50" in browser.at.text
    flu.what = "=HYPERLINK(1)"
    answer = browser.follow("Download it as a file")
    assert answer.header("Content-Type") == "text/csv; charset=utf-8"
    assert answer.header("Content-Disposition").startswith('attachment; filename="statement-20')
    head, *rows = csv.reader(answer.html.splitlines())
    assert head == ["Date", "Invoice", "What", "Amount", "Paid on"]
    assert [row[1:4] for row in rows] == [["inv_1002", "Blood test", "45.50"], ["inv_1003", "'=HYPERLINK(1)", "25.00"]]


@pytest.mark.parametrize("time", ["since=2026-13-01", "since=2026-02-02&until=2026-02-01", "until="])
def test_a_time_that_is_none_is_asked_for_again(maple: Maple, time: str) -> None:
    browser = signed_in(maple)
    assert "Please choose a day" in browser.open(f"/portal/statement?{time}").text
    assert browser.open(f"/portal/statement.csv?{time}").url.endswith("/portal/invoices")


def test_attack_a_signed_in_patient_sees_no_other_patients_papers(maple: Maple) -> None:
    browser = signed_in(maple)
    for path in ("/invoice/inv_1004", "/agreement/agr_ben", "/invoice/none"):
        assert browser.open(path).status == 404
    csrf = browser.open("/portal/payment-methods").form("Save this card").fields
    assert browser.request("POST", "/invoice/inv_1004/pay", csrf).status == 404


@pytest.mark.parametrize(
    "page",
    [
        "",
        "/invoices",
        "/statement",
        "/statement.csv",
        "/contact",
        "/email",
        "/email/code",
        "/membership",
        "/payment-methods",
    ],
)
def test_attack_no_portal_page_opens_by_a_link(maple: Maple, page: str) -> None:
    browser = opened(maple, mailed(maple, **INVOICE))
    assert browser.open(f"/portal{page}").status == 401


def test_attack_names_are_shown_as_they_are(maple: Maple) -> None:
    browser = signed_in(maple)
    browser.open("/portal/membership")
    browser.press("Add this person", dependent='"><script>alert(1)</script>')
    assert "<script>" not in browser.at.html
    assert "<script>alert(1)</script>" in browser.at.text


def nowhere(maple: Maple, url: str = NOWHERE, secret: str = "x") -> Oidc:
    return Oidc(maple.site, url, "portal", secret, maple.site_url)


def away(maple: Maple, **changes: object) -> None:
    maple.site.extensions["clinic"] = dataclasses.replace(maple.clinic, **changes)


@pytest.fixture
def back_again(maple: Maple) -> object:
    """Whatever a test put in place of authsvc is taken away again."""
    yield
    maple.site.extensions["clinic"] = maple.clinic


@pytest.mark.usefixtures("back_again")
def test_authsvc_away_is_not_now_and_never_no(maple: Maple) -> None:
    inside, outside = signed_in(maple), maple.browser()
    away(maple, authsvc=Authsvc(NOWHERE, "maple", "portal", "x"), oidc=nowhere(maple))
    answer = outside.open("/sign-in")
    assert answer.status == 503
    assert "Nothing is lost" in answer.text
    assert int(answer.header("Retry-After")) > 0
    maple.held(inside).began -= 10 * RENEW_AFTER_S
    assert inside.open("/portal/invoices").status == 200  # tokens verify without authsvc, and do until their end
    maple.held(inside).ends = 0
    assert inside.open("/portal/invoices").status == 503
    assert maple.kept(inside)
    inside.open("/")
    inside.press("Sign out")
    assert "on this device" in inside.at.text
    assert maple.kept(inside) is None


@pytest.mark.usefixtures("back_again")
def test_no_keys_to_verify_with_is_not_now_either(maple: Maple) -> None:
    inside = signed_in(maple)
    away(maple, verifier=Verifier(NOWHERE, "practice-services", "maple"))
    assert inside.open("/portal/invoices").status == 503


@pytest.mark.usefixtures("back_again")
def test_a_token_of_another_issuer_opens_nothing(maple: Maple) -> None:
    inside = signed_in(maple)
    jwks = f"{maple.url}/.well-known/jwks.json"
    away(maple, verifier=Verifier("https://other.example", "practice-services", "maple", jwks))
    assert inside.open("/portal/invoices").status == 401


@pytest.mark.usefixtures("back_again")
def test_wrong_credentials_are_our_own_mistake(maple: Maple) -> None:
    secret = "acs_" + "x" * 43
    desk = maple.browser()
    desk.open("/billing/anna")
    away(maple, authsvc=Authsvc(maple.url, "maple", "portal", secret), oidc=nowhere(maple, maple.url, secret))
    desk.press("Send request for payment info")
    assert (desk.at.status, "The mistake is ours" in desk.at.text) == (500, True)
    browser, code = asked(maple)
    browser.press("Sign in", code=code)
    assert (browser.at.status, "The mistake is ours" in browser.at.text) == (500, True)


def test_too_many_links_are_told_when_to_come_back(maple: Maple) -> None:
    refusal = Refused(429, "rate-limited", 61)
    with maple.site.test_request_context("/billing"):
        maple.site.preprocess_request()
        answer = api_refused(refusal)
    assert answer.status_code == 429
    assert b"Please try again in 61 seconds" in answer.data
    assert answer.headers["Retry-After"] == "61"


def test_an_unknown_page_and_a_wrong_method_are_said_kindly(maple: Maple) -> None:
    browser: Browser = maple.browser()
    assert browser.open("/nothing").status == 404
    assert browser.request("GET", "/sign-out").status == 405
    assert "555 0199" in browser.at.text
