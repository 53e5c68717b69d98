"""The front desk: what goes out by itself, what it sees of its requests, and portal access."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from authsvc.demo.sample.api import Refused, Unavailable
from authsvc.demo.sample.billing import DESK_USER, mail_due_invoices
from tests.audit_logs import tail
from tests.demo.maple import AGREEMENT, CARD, INVOICE, Maple, asked, link_of, mailed, opened, signed_in


def let_days_pass(maple: Maple, days: int) -> None:
    before = maple.records.now
    maple.records.now = lambda: before() + timedelta(days=days)


# --- an invoice that is due -------------------------------------------------------------------------------------------


def test_an_invoice_that_is_due_mails_its_own_link_once_and_paying_ends_that(maple: Maple) -> None:
    mail_due_invoices(maple.clinic)
    assert maple.records.invoices["inv_1004"].mailed_on is None  # three days too early

    before = len(maple.mails())
    let_days_pass(maple, 3)
    for _ in range(2):
        mail_due_invoices(maple.clinic)
    address = link_of(maple, maple.arrived(before))
    assert "mailed by itself on" in maple.browser().open("/billing/ben").text
    browser = opened(maple, address)
    assert browser.at.url == f"{maple.site_url}/invoice/inv_1004"
    browser.press("Pay $189.00")
    assert maple.browser().open(address).status == 410
    assert len(maple.mails()) == before + 1


def test_the_tour_lets_days_pass(maple: Maple) -> None:
    today = maple.records.today()
    maple.browser().press("Let four days pass")
    assert maple.records.today() == today + timedelta(days=4)
    assert [one.id for one in maple.records.due_invoices()] == ["inv_1004"]


def test_a_paid_invoice_is_never_mailed_by_itself(maple: Maple) -> None:
    let_days_pass(maple, 3)
    maple.records.pay(maple.records.invoices["inv_1004"])
    assert maple.records.due_invoices() == []


def test_an_invoice_that_could_not_be_mailed_is_tried_again_or_shown_to_the_desk(
    maple: Maple, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(error: Exception) -> None:
        def mail_link(*_: object) -> str:
            raise error

        monkeypatch.setattr(maple.clinic.authsvc, "mail_link", mail_link)

    let_days_pass(maple, 3)
    fails(Unavailable("503"))
    mail_due_invoices(maple.clinic)
    assert [one.id for one in maple.records.due_invoices()] == ["inv_1004"]
    fails(Refused(404, "patient-not-found"))
    mail_due_invoices(maple.clinic)
    assert maple.records.due_invoices() == []
    assert "not mailed: patient not found" in maple.browser().open("/billing/ben").text


# --- requests, agreements ---------------------------------------------------------------------------------------------


def test_the_desk_sees_when_the_last_request_for_payment_info_went_out_and_whether_it_was_used(maple: Maple) -> None:
    desk = maple.browser()
    assert "No request was sent" in desk.open("/billing/mia").text
    address = mailed(maple, "update-payment-info", "mia")
    assert "Last request:" in desk.open("/billing/mia").text
    assert "not used yet" in desk.at.text
    opened(maple, address).press("Save this card", **CARD)
    assert "UTC, used" in desk.open("/billing/mia").text
    assert "Mastercard 5454, until 01/30 (default)" in desk.at.text


def test_the_record_says_which_link_and_token_accepted_which_text_and_the_patient_has_a_copy(maple: Maple) -> None:
    browser = opened(maple, mailed(maple, **AGREEMENT))
    assert browser.open("/agreement/agr_anna/copy").status == 404  # nothing is accepted yet
    browser.open("/agreement/agr_anna")
    browser.press("I accept")
    agreement = maple.records.agreements["agr_anna"]
    accepted = agreement.acceptance
    assert accepted
    link = maple.clinic.authsvc.links("anna")[0]
    assert (accepted.way, link["workflow"]) == (f"link {link['id']}", "accept-agreement")
    assert (accepted.version, accepted.digest) == ("2026-1", agreement.digest(agreement.shown(str)))
    assert len(accepted.token_id) >= 20
    assert accepted.token_id in maple.browser().open("/billing/anna").text

    copy = browser.open("/agreement/agr_anna/copy")
    assert copy.header("Content-Disposition") == 'attachment; filename="agreement-agr_anna.txt"'
    assert copy.header("Content-Type") == "text/plain; charset=utf-8"
    for part in (*agreement.text, "Anna Berg accepted", accepted.way, accepted.digest):
        assert part in copy.html


def test_attack_an_accepted_agreement_is_not_accepted_anew_by_another_token(maple: Maple) -> None:
    first, second = (opened(maple, mailed(maple, **AGREEMENT)) for _ in range(2))
    late = second.at.form("I accept")
    first.press("I accept")
    accepted = maple.records.agreements["agr_anna"].acceptance
    second.submit(late.action, late.fields)
    assert "You accepted this agreement" in second.at.text
    assert maple.records.agreements["agr_anna"].acceptance == accepted


def test_a_changed_text_has_another_digest(maple: Maple) -> None:
    agreement = maple.records.agreements["agr_anna"]
    shown = agreement.shown(str)
    assert agreement.digest((*shown, "And we charge you for it.")) != agreement.digest(shown)


# --- a patient without an address, and who did it ---------------------------------------------------------------------


def test_a_patient_without_an_email_address_is_on_file_and_the_desk_is_told_that_nothing_goes_out(maple: Maple) -> None:
    desk = maple.browser()
    assert "No email address: no mail, no sign-in" in desk.open("/billing/otto").text
    for button in ("Email the invoice", "Email an access link", "Send request for payment info"):
        desk.open("/billing/otto")
        desk.press(button)
        assert "Nothing was sent: we have no email address of this patient." in desk.at.text
    let_days_pass(maple, 14)
    maple.records.invoices = {"inv_1007": maple.records.invoices["inv_1007"]}
    mail_due_invoices(maple.clinic)
    assert "not mailed: no address" in desk.open("/billing/otto").text

    for wrong in ("nobody", "nobody@.."):
        desk.press("Save the address", email=wrong)
        assert desk.at.element("email")["aria-invalid"] == "true"
    desk.press("Save the address", email="otto@example.com")
    assert "Otto Lind gets our emails at otto@example.com now." in desk.at.text
    before = len(maple.mails())
    desk.press("Email the invoice")
    assert maple.arrived(before)["to"] == "otto@example.com"


def test_what_the_desk_does_stands_in_the_trail_with_who_did_it(maple: Maple) -> None:
    desk, before = maple.browser(), len(maple.mails())
    desk.open("/billing/mia")
    desk.press("Send request for payment info")
    issued = next(entry for entry in newest(maple) if entry["event"] == "link.issued")
    assert (issued["actor"], issued["by"], issued["patient"]) == ("client:portal", DESK_USER, "mia")
    due = replace(maple.records.invoices["inv_1005"], id="inv_2001", due_on=maple.records.today())
    maple.records.invoices = {due.id: due}
    mail_due_invoices(maple.clinic)
    itself = next(entry for entry in newest(maple) if entry["event"] == "link.issued")
    assert (itself["actor"], itself.get("by")) == ("client:portal", None)
    maple.arrived(before + 1)  # both mails are here before the next test counts


def test_the_desk_sees_who_signed_in_as_her_and_who_changed_her_address(maple: Maple) -> None:
    signed_in(maple)
    desk, before = maple.browser(), len(maple.mails())
    desk.open("/billing/anna")
    desk.press("Save the address", email="anna.b@example.com")
    assert desk.open("/billing/audit/anna?event=patient.address_changed").text.count(f"by {DESK_USER} at the desk") >= 1
    assert "by the patient" in desk.open("/billing/audit/anna?event=code.verified").text
    everything = desk.open("/billing/audit/anna").text
    assert "code.verified" in everything
    assert "patient.address_changed" in everything
    assert [desk.open(f"/billing/audit/{path}").status for path in ("nobody", "anna?event=x")] == [404, 404]
    desk.open("/billing/anna")
    desk.press("Save the address", email="anna@example.com")
    maple.arrived(before + 3)  # both notices of both changes are here before the next test counts


def test_the_desk_sees_who_acted_for_leo(maple: Maple) -> None:
    browser, code = asked(maple, "family@example.com")
    browser.press("Sign in", code=code)
    browser.press("Continue", patient="leo")
    assert "code.verified, Ben Ortiz acting" in maple.browser().open("/billing/audit/leo?event=code.verified").text


def newest(maple: Maple) -> list[dict[str, Any]]:
    return tail(maple.service.audit_log, "maple")[::-1]


# --- portal access ----------------------------------------------------------------------------------------------------


def test_a_patient_without_access_uses_links_and_gets_no_code_until_the_desk_gives_access(maple: Maple) -> None:
    browser = opened(maple, mailed(maple, "pay-invoice", "ida", "invoice:inv_1006"))
    assert "$75.00" in browser.at.text

    def starts() -> int:
        before = len(maple.mails())
        browser = maple.browser()
        browser.open("/sign-in")
        browser.press("Email me a code", email="ida@example.com")
        assert "/p/maple/code/" in browser.at.url  # as for everybody
        asked(maple)  # a mail that comes later for sure
        return len(maple.mails()) - before - 1

    assert starts() == 0
    desk = maple.browser()
    assert "No access" in desk.open("/billing/ida").text
    desk.press("Give access")
    assert "Ida Novak can sign in to the portal now" in desk.at.text
    inside, code = asked(maple, "ida@example.com")
    inside.press("Sign in", code=code)
    assert "Hello Ida Novak" in inside.at.text

    desk.open("/billing/ida")
    desk.press("Take the access away")
    assert "can't sign in to the portal any more" in desk.at.text
    maple.held(inside).began = maple.held(inside).ends = 0
    assert inside.open("/portal").status == 401
    assert starts() == 0


def test_an_access_link_for_a_patient_without_access_is_refused_in_words(maple: Maple) -> None:
    desk = maple.browser()
    form = desk.open("/billing/ida").form("Send request for payment info")
    desk.submit(form.action, form.fields | {"workflow": "portal"})
    assert "Nothing was sent: this patient has no access" in desk.at.text
    assert desk.open("/billing/nobody").status == 404


def test_a_payment_is_finished_by_a_second_press_when_ending_its_links_failed(
    maple: Maple, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = mailed(maple, **INVOICE)
    browser = opened(maple, address)

    def away(_: str) -> None:
        raise Unavailable("503")

    with monkeypatch.context() as patched:
        patched.setattr(maple.clinic.authsvc, "revoke_links", away)
        form = browser.at.form("Pay")
        assert browser.request("POST", form.action, form.fields).header("Location") == "/message"
    assert browser.request("POST", form.action, form.fields).header("Location") == "/invoice/inv_1001"
    assert maple.browser().open(address).status == 410
