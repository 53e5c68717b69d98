"""A tour of the hosted pages: one browser is led to every page, in every state that a patient may meet, on a service
that really is in that state. At each stop it can be looked at; `Stop.name` names it, `Stop.says` tells what it is.

    for stop in tour(person, clinic, "maple"):
        ... person.page ...

Two states would take longer than anybody wants to wait, and are brought about in the store: a link's end, and the time
since a code was sent.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import NamedTuple

import redis

from tests import records
from tests.browser.clinic import Clinic, Mailbox
from tests.browser.window import BrowserWindow
from tests.harness.deployment import wrong

INSTANT = {
    "pay-invoice": {"resource": "invoice:inv_7"},
    "update-payment-info": {},
    "accept-agreement": {"resource": "agreement:agr_7"},
}
STARTS = 5  # that one address may begin in 15 minutes
TRIES = 5  # at one code


class Stop(NamedTuple):
    name: str
    says: str


def tour(person: BrowserWindow, clinic: Clinic, practice: str = "maple") -> Iterator[Stop]:
    """Begins with an empty browser. `maple` has a portal, other practices have none."""
    yield from _by_link(person, clinic, practice)
    yield from _dead_links(person, clinic, practice)
    yield from _by_address(person, clinic, practice)
    yield from _signed_in(person, clinic, practice)
    yield from _signing_out(person, clinic, practice)
    yield from _trouble(person, clinic, practice)


def _by_link(person: BrowserWindow, clinic: Clinic, practice: str) -> Iterator[Stop]:
    ann = clinic.newcomer(practice=practice)
    purposes = {
        "pay-invoice": "A link from a mail: what it is for, and one button. Looking changes nothing.",
        "update-payment-info": "The same for payment details.",
        "accept-agreement": "The same for an agreement.",
    }
    for workflow, says in purposes.items():
        person.open(ann.link(workflow, **INSTANT[workflow]))
        yield Stop(f"link-{workflow}", says)
    if practice != "maple":
        person.submit()
        yield Stop("contact", "Where a practice has no page of its own for a link, the link isn't spent.")
    person.open(ann.link("portal"))
    yield Stop("link-portal", "A link that leads to a code: it says where the code goes.")
    person.submit()
    yield Stop("code-by-link", "The code's page after that link, with the address masked.")
    ann.code()


def _dead_links(person: BrowserWindow, clinic: Clinic, practice: str) -> Iterator[Stop]:
    ann = clinic.newcomer(practice=practice)
    expired = ann.link("portal")
    _age_link(clinic, practice, ann)
    person.open(expired)
    yield Stop("dead-expired", "A link whose time is over, with a button for a new one.")
    person.act("resend")
    yield Stop("sent", "What the button answers, whether or not there was anything to send.")
    used = ann.link("portal", max_uses=1)
    person.open(used)
    person.submit()
    person.open(used)
    yield Stop("dead-used", "A link that was used as often as it may be.")
    ended = ann.link("pay-invoice", resource="invoice:inv_7")
    ann.revoke_links()
    person.open(ended)
    yield Stop("dead-revoked", "A link that the practice has ended.")
    moved = ann.link("portal")
    ann.move(f"new-{ann.email}")
    person.open(moved)
    yield Stop("dead-moved", "A link that went to an address that is no longer the patient's.")
    person.open(clinic.page(f"l/al_{'x' * 43}", practice))
    yield Stop("dead-unknown", "An address that is no link of ours, cut by a mail program perhaps.")


def _by_address(person: BrowserWindow, clinic: Clinic, practice: str) -> Iterator[Stop]:
    ann = clinic.newcomer("Ann Ortiz", practice=practice)
    clinic.newcomer("Mia Ortiz", practice=practice, shared=ann.email)
    clinic.newcomer("Leo Ortiz", practice=practice, shared=ann.email)
    begin = f"{clinic.portal_url}/sign-in" if practice == "maple" else clinic.page("sign-in", practice)
    person.open(begin)
    yield Stop("sign-in", "One field for the address.")
    person.ask_for_code("ann@example")
    yield Stop("sign-in-wrong", "What was typed is no address.")
    person.ask_for_code(ann.email)
    code = ann.code()
    yield Stop("code", "One field for the code. The words are the same whether or not the address is known.")
    person.type_code("12 34")
    yield Stop("code-malformed", "Not six digits.")
    person.type_code(wrong(code))
    yield Stop("code-wrong", "Not the code that was sent.")
    person.act("resend")
    yield Stop("code-early", "Asked for another one too soon.")
    _age_challenges(clinic, practice)
    person.act("resend")
    yield Stop("code-resent", "Sent again.")
    person.type_code(code := ann.code())
    yield Stop("who", "Several patients share this mailbox.")
    person.submit()
    yield Stop("who-wrong", "Nobody was chosen.")

    bob = clinic.newcomer("Bob", practice=practice)
    person.open(begin)
    person.ask_for_code(bob.email)
    code = wrong(bob.code())
    for _ in range(TRIES):
        person.type_code(code)
    yield Stop("gone", "Too many wrong codes, or too late: one button begins again, with the same address.")
    for _ in range(STARTS):
        person.open(begin)
        person.ask_for_code(bob.email)
    yield Stop("sign-in-busy", "Too many codes were asked for.")


def _signed_in(person: BrowserWindow, clinic: Clinic, practice: str) -> Iterator[Stop]:
    ann = clinic.newcomer("Ann Ortiz", practice=practice)
    for _ in range(2):
        with person.another() as elsewhere:
            elsewhere.sign_in(ann)
    person.sign_in(ann)
    person.open(clinic.page("session", practice))
    yield Stop("session", "Who is signed in here, for how long, and where else.")
    person.act("end-others")
    yield Stop("session-alone", "The same, with no other browser.")
    if practice == "maple":
        person.open(f"{clinic.portal_url}/sign-in?prompt=login")
        yield Stop("sign-in-known", "The portal wants a fresh proof of who is signed in: nothing to type.")


def _signing_out(person: BrowserWindow, clinic: Clinic, practice: str) -> Iterator[Stop]:
    person.open(clinic.page("sign-out", practice))
    yield Stop("sign-out", "Asks first: another website may have led here.")
    person.submit()
    yield Stop("signed-out", "Signed out.")


def _trouble(person: BrowserWindow, clinic: Clinic, practice: str) -> Iterator[Stop]:
    person.open(clinic.page("sign-in", practice))
    person.page.locator("main [name=csrf]").evaluate("one => one.value = 'of another day'")
    person.submit()
    yield Stop("stale", "A form that was open for too long, or a browser without cookies.")
    person.open(clinic.page("code/abcdefgh", practice))
    yield Stop("gone-elsewhere", "A code's page in a browser that has asked for no code.")
    if practice == "maple":
        person.open(f"{clinic.issuer}/oauth2/authorize?client_id=portal&redirect_uri=https://elsewhere.example")
        yield Stop("request", "A website asked for something that isn't registered: nobody is sent anywhere.")
        person.open(clinic.page("sign-in", "nobody"))
        yield Stop("not-found", "No such practice.")
        person.open(clinic.page("sign-in"))
        clinic.store.stop()
        try:
            person.ask_for_code("ann@example.org")
            yield Stop("away", "The store is down: nothing is decided, and the page says so.")
        finally:
            clinic.store.start()
            clinic.recover()


# --- in the store ---------------------------------------------------------------------------------------------------


def _age_link(clinic: Clinic, practice: str, patient: Mailbox) -> None:
    """The patient's one link has ended a minute ago."""
    with redis.Redis.from_url(clinic.store.url, decode_responses=True) as store:
        ids = [name.rpartition(":")[2] for name in store.scan_iter(f"authsvc:{{{practice}}}:link:*")]
        (link,) = [one for one in ids if records.read(store, "link", one, practice)["patient"] == patient.patient]
        records.change(store, "link", link, practice, expires=int(time.time() * 1000) - 60_000)


def _age_challenges(clinic: Clinic, practice: str) -> None:
    """All codes were sent a minute ago."""
    with redis.Redis.from_url(clinic.store.url, decode_responses=True) as store:
        for name in store.scan_iter(f"authsvc:{{{practice}}}:challenge:*"):
            challenge = name.rpartition(":")[2]
            sent = int(records.read(store, "challenge", challenge, practice)["sent"])
            records.change(store, "challenge", challenge, practice, sent=sent - 60_000)
