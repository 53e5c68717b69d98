"""Every workflow that the practice was promised, walked at the demo: one act after the other, by the desk and patients.

    for act, window in walk(desk, patient, demo):
        ... window.page ...

`Act.words` is the promise, word for word from the README or from the practice's list of workflows. When an act is
yielded, it was done and its outcome checked; the window shows it. authsvc's own pages are operated by their fields and
by their first button; the sample practice's by their words, which are looked up in its catalogue for patients who read
another language. The front desk speaks English.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tests.browser.demo_window import DemoWindow
from tests.harness.demo import CARD, CODE, LINK, Demo

ANNA, NEW, FAMILY, IDA = "anna@example.com", "anna.berg@example.org", "family@example.com", "ida@example.com"


class Act(NamedTuple):
    name: str
    words: str


Acts = Iterator[tuple[Act, DemoWindow]]


def walk(desk: DemoWindow, anna: DemoWindow, demo: Demo) -> Acts:
    """Begins with a fresh demo and two windows."""
    yield from _invoices(desk, anna)
    yield from _payment_information(desk, anna)
    yield from _agreement(desk, anna)
    yield from _portal(desk, anna)
    yield from _signing_in(desk, anna, demo)
    yield from _access(desk, anna)
    yield from _without_address(desk)


def in_spanish(desk: DemoWindow) -> None:
    """From now on practice and authsvc write to these in Spanish."""
    for patient in ("anna", "ben", "ida"):
        desk.open(f"/billing/{patient}")
        desk.press("Write in Spanish")


def _invoices(desk: DemoWindow, anna: DemoWindow) -> Acts:
    desk.open("/billing/anna")
    desk.press("Email the invoice")
    assert desk.reads("The invoice link is on its way to Anna Berg")
    yield Act("invoice-sent", "an invoice, sent by a person"), desk
    link = anna.arrived(LINK)
    for _ in range(2):  # a scanner, say
        anna.open(link)
    assert not anna.reads("$120.00")
    yield Act("link", "opening a link changes nothing, its one button does"), anna
    anna.submit()
    assert anna.reads("$120.00")
    assert not anna.reads("Blood test")
    yield Act("invoice", "sees exactly that one thing"), anna
    anna.press("Pay %(amount)s", amount="$120.00")
    assert anna.reads("This invoice was paid on %(day)s. There is nothing more to do.")
    yield Act("invoice-paid", "view and pay an invoice"), anna
    anna.open(link)
    assert anna.page.locator("main form button:visible").count() == 0
    yield Act("link-ended", "paying ends its links"), anna

    desk.open("/")
    desk.press("Let four days pass")
    link = anna.arrived(LINK)
    desk.open("/billing/ben")
    assert desk.reads("mailed by itself on")
    yield Act("invoice-by-itself", "an invoice, sent by itself"), desk
    anna.open(link)
    anna.submit()
    anna.press("Pay %(amount)s", amount="$189.00")


def _payment_information(desk: DemoWindow, anna: DemoWindow) -> Acts:
    desk.open("/billing/anna")
    desk.press("Send request for payment info")
    assert desk.reads("not used yet")
    yield Act("request", "send request for payment info"), desk
    anna.open(anna.arrived(LINK))
    anna.submit()
    _type_card(anna)
    assert anna.reads("From now on we use this one.")
    yield Act("payment-info", "update payment information: the new card becomes the default"), anna
    desk.open("/billing/anna")
    assert desk.reads("UTC, used")
    assert desk.reads("Mastercard 5454, until 01/30 (default)")
    yield Act("request-used", "the desk sees when the last request went out and whether it was used"), desk


def _agreement(desk: DemoWindow, anna: DemoWindow) -> Acts:
    desk.press("Email the agreement")
    anna.open(anna.arrived(LINK))
    anna.submit()
    anna.press("I accept")
    assert anna.reads("You accepted this agreement on %(day)s.")
    yield Act("agreement", "accept an agreement"), anna
    copy = anna.download("Download your copy")
    assert "Anna Berg" in copy.splitlines()[6]
    assert "token" in copy
    yield Act("agreement-copy", "the patient gets a copy"), anna
    desk.open("/billing/anna")
    assert desk.reads("Accepted on")
    assert desk.reads("by link ")
    yield Act("agreement-record", "the record says which link and token accepted which text"), desk


def _portal(desk: DemoWindow, anna: DemoWindow) -> Acts:
    anna.open("/portal/invoices")
    assert anna.reads("One more step")
    yield Act("step-up", "the patient types a six-digit code from a mail and the portal opens"), anna
    anna.follow("Go on with a code")
    _type_address_and_code(anna, ANNA)
    assert anna.reads("Blood test")
    yield Act("invoices", "all invoices"), anna
    anna.press("Show the statement")
    assert anna.reads("Account statement")
    yield Act("statement", "statements for a chosen time"), anna
    assert f"inv_1002,{anna.say('Blood test')},45.50" in anna.download("Download it as a file")

    anna.open("/portal/contact")
    anna.fill("Telephone", "555 0777")
    anna.press("Save")
    assert anna.reads("Your contact details are saved.")
    yield Act("contact", "view/edit member contact information"), anna
    anna.follow("Change the email address")
    anna.fill("Email address", NEW)
    anna.press("Send me the code")
    yield Act("email-code", "the new mailbox is proved by a code before anything moves"), anna
    anna.fill("Code from the email", anna.arrived(CODE))
    anna.press("Change my address")
    assert anna.reads("From now on we write to %(address)s.", address=NEW)
    yield Act("email-changed", "the patient changes the email address"), anna
    notice = anna.mail_to(ANNA)
    assert "555 0199" in notice
    assert NEW not in notice
    desk.open("/inbox?still")
    desk.page.locator("article", has_text=ANNA).first.get_by_role("link", name="See it as designed").click()
    desk.look()
    yield Act("email-notice", "the old one gets a notice with the practice's phone"), desk
    anna.open("/portal/membership")
    anna.page.get_by_label(anna.say("Family")).check()
    anna.press("Save the plan")
    assert anna.reads("Your membership is now “%(plan)s”.", plan=anna.say("Family"))
    yield Act("membership", "view/edit a membership"), anna
    anna.fill("First and last name", "Zoë Berg")
    anna.press("Add this person")
    assert anna.reads("%(name)s is now on your membership.", name="Zoë Berg")
    yield Act("dependent", "including adding dependents"), anna
    desk.open("/billing/anna")
    assert desk.reads("May act for Zoë Berg")
    yield Act("may-act", "who may act for whom is on record"), desk

    anna.open("/portal/payment-methods")
    anna.press("Use this card: %(card)s", card="Visa")
    assert anna.reads("From now on we use this card.")
    yield Act("payment-methods", "view/edit saved payment methods: default, expiry"), anna
    anna.press("Remove %(card)s", card="Mastercard")
    assert anna.page.get_by_role("button", name=anna.say("Remove")).count() == 0
    yield Act("last-card", "the last one can't be removed"), anna
    anna.press("Sign out")
    assert anna.reads("You are signed out")
    anna.page.go_back()
    assert not anna.reads("Visa")
    anna.open("/signed-out")
    yield Act("signed-out", "sign out"), anna


def _signing_in(desk: DemoWindow, anna: DemoWindow, demo: Demo) -> Acts:
    anna.open("/sign-in")
    assert anna.page.url.startswith(f"{demo.service_url}/p/maple/sign-in")
    yield Act("sign-in", "an address typed at the sign-in page"), anna
    anna.page.locator("#email").fill(FAMILY)
    anna.submit()
    yield Act("code", "a code is mailed, the patient types it, the portal opens"), anna
    anna.page.locator("#code").fill(anna.arrived(CODE))
    anna.submit()
    yield Act("who", "two patients on one mailbox"), anna
    anna.page.get_by_label("Leo Ortiz").check()
    anna.submit()
    acting = "%(guardian)s, you are acting for <strong>%(patient)s</strong>."
    assert anna.reads(acting, guardian="Ben Ortiz", patient="Leo Ortiz")
    yield Act("acting", "after the code the guardian chooses “You / Leo”"), anna
    mails = anna.mails("")
    anna.follow("Switch person")
    yield Act("switch", "and can switch later without another mail"), anna
    anna.page.get_by_label("Ben Ortiz").check()
    anna.submit()
    assert anna.reads("Hello %(name)s", name="Ben Ortiz")
    assert anna.mails("") == mails
    anna.press("Sign out")
    desk.open("/billing/anna")
    desk.press("Email an access link")
    yield Act("access-link", "access link from the patient's profile"), desk
    anna.open(anna.arrived(LINK))
    anna.submit()
    assert anna.page.locator("#email").count() == 0
    anna.page.locator("#code").fill(anna.arrived(CODE))
    anna.submit()
    anna.page.get_by_label("Anna Berg").check()  # rather than Zoë
    anna.submit()
    assert anna.reads("Hello %(name)s", name="Anna Berg")
    yield Act("portal", "the patient need not type an address"), anna
    anna.press("Sign out")


def _access(desk: DemoWindow, anna: DemoWindow) -> Acts:
    anna.open("/sign-in")
    anna.page.locator("#email").fill(IDA)
    anna.submit()
    assert anna.page.locator("#code").count() == 1  # as for everybody
    desk.open("/billing/ida")
    assert desk.reads("No access")
    yield Act("no-access", "a patient without access"), desk
    desk.press("Give access")
    assert desk.reads("Ida Novak can sign in to the portal now")
    assert anna.mails(IDA) == 0
    yield Act("access-granted", "portal access granted"), desk
    anna.open("/sign-in")
    _type_address_and_code(anna, IDA)
    assert anna.reads("Hello %(name)s", name="Ida Novak")
    desk.press("Take the access away")
    assert desk.reads("can't sign in to the portal any more")
    yield Act("access-withdrawn", "portal access withdrawn"), desk


def _without_address(desk: DemoWindow) -> Acts:
    desk.open("/billing/otto")
    desk.press("Email the invoice")
    assert desk.reads("Nothing was sent: we have no email address of this patient.")
    yield Act("no-address", "patient without an email address"), desk


def _type_address_and_code(anna: DemoWindow, email: str) -> None:
    anna.page.locator("#email").fill(email)
    anna.submit()
    anna.page.locator("#code").fill(anna.arrived(CODE))
    anna.submit()


def _type_card(anna: DemoWindow) -> None:
    for label, text in zip(("Kind of card", "Last four digits", "Good until"), CARD.values(), strict=True):
        anna.fill(label, text)
    anna.press("Save this card")
