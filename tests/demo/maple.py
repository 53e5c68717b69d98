"""The sample practice before the real service: authsvc on a loopback port over a real store, its worker running."""

from __future__ import annotations

import base64
import itertools
import json
import re
import threading

from werkzeug.serving import make_server

from authsvc import mailroom, wiring
from authsvc.app import create_app
from authsvc.demo.provision import PERMISSIONS
from authsvc.demo.sample.clinic import Clinic, Settings
from authsvc.demo.sample.state import maple_clinic
from authsvc.demo.walk import demo_site
from authsvc.store.inbox import Inbox
from tests.browsing import Browser, flask_transport

ARRIVES_WITHIN_S = 10.0


INVOICE = {"workflow": "pay-invoice", "patient": "anna", "resource": "invoice:inv_1001"}
AGREEMENT = {"workflow": "accept-agreement", "patient": "anna", "resource": "agreement:agr_anna"}
CARD = {"name": "Mastercard", "last4": "5454", "expires": "01/30"}


class Maple:
    """One running demo. Every browser comes from a network of its own, so that limits don't meet."""

    def __init__(self, store_url: str) -> None:
        listening = make_server("127.0.0.1", 0, lambda environ, start: [], threaded=True)
        self.url = f"http://127.0.0.1:{listening.server_port}"
        environ = {
            "AUTHSVC_ENV": "development",
            "AUTHSVC_PUBLIC_URL": self.url,
            "AUTHSVC_REDIS_URL": store_url,
            "AUTHSVC_SECRET_KEYS": base64.urlsafe_b64encode(bytes(range(1, 33))).decode(),
            "AUTHSVC_MAIL_URL": "inbox:",
            "AUTHSVC_MAIL_FROM": "Maple Clinic <no-reply@maple.example>",
        }
        self.service = wiring.bootstrap(*wiring.load(environ))
        self.service.start()
        listening.app = create_app(self.service)
        self.practice = self.service.practices.add(
            "maple", actor="test", name="Maple Clinic", phone="555 0199", link_url="http://localhost/go/{token}"
        )
        _, secret = self.service.clients.add(
            "sample", actor="test", practices=("maple",), permissions=frozenset(PERMISSIONS), audience=None
        )
        self.records = maple_clinic()
        self._inbox = Inbox(self.service.store)
        settings = Settings("http://localhost", self.url, "maple", "sample", secret)
        self.site = demo_site(settings, self.records, self._inbox.mails)
        self.clinic: Clinic = self.site.extensions["clinic"]
        self._addresses = (f"203.0.113.{number}" for number in itertools.count(1))
        self._stop = threading.Event()
        self._listening = listening
        self._threads = [
            threading.Thread(target=listening.serve_forever),
            threading.Thread(target=mailroom.work, args=(self.service, self._stop)),
        ]
        for thread in self._threads:
            thread.start()
        for person in self.records.people.values():
            self.clinic.authsvc.put_patient(person.id, person.email, person.name, portal_access=True)

    def browser(self) -> Browser:
        browser = Browser(flask_transport(self.site, next(self._addresses)))
        browser.open("http://localhost/")
        return browser

    def mails(self) -> list[dict[str, str]]:
        return [json.loads(mail) for mail in self._inbox.mails()]

    def arrived(self, before: int) -> dict[str, str]:
        """The mail that comes after the first `before` ones."""
        waiting, deadline = threading.Event(), ARRIVES_WITHIN_S
        while len(mails := self.mails()) <= before and deadline > 0:
            waiting.wait(0.01)
            deadline -= 0.01
        assert len(mails) > before, "the mail never came"
        return mails[0]

    def forget_limits(self) -> None:
        """As if a quarter of an hour had passed."""
        counters = self.service.store.call(lambda client: client.keys("authsvc:{maple}:limit:*"))
        if counters:
            self.service.store.call(lambda client: client.delete(*counters))

    def stop(self) -> None:
        self._stop.set()
        self._listening.shutdown()
        for thread in self._threads:
            thread.join()
        self._listening.server_close()
        self.service.stop()


def mailed(maple: Maple, workflow: str, patient: str, resource: str | None = None) -> str:
    """Have the front desk mail a link; its address."""
    before = len(maple.mails())
    desk = maple.browser()
    desk.open("/billing")
    words = {
        "pay-invoice": "Email the invoice",
        "accept-agreement": "Email the agreement",
        "update-payment-info": "Ask for an update",
        "portal": "Email an access link",
    }
    form = next(
        form
        for form in desk.at.forms
        if form.fields.get("patient") == patient
        and form.fields["workflow"] == workflow
        and form.fields.get("resource") == resource
    )
    assert form.buttons == [words[workflow]]
    answer = desk.request("POST", form.action, form.fields)
    assert (answer.status, answer.header("Location")) == (303, "/billing")
    assert f"is on its way to {maple.records.people[patient].name}" in desk.open("/billing").text
    found = re.search(r"http://localhost/go/\S+", maple.arrived(before)["text"])
    assert found
    return found.group()


def opened(maple: Maple, address: str) -> Browser:
    """Somebody who pressed the link."""
    browser = maple.browser()
    browser.open(address)
    browser.press("Open")
    return browser


def asked(maple: Maple, email: str = "anna@example.com") -> tuple[Browser, str]:
    """Somebody at the code page, and the code in her mailbox (empty: no mail came)."""
    browser, before = maple.browser(), len(maple.mails())
    browser.open("/sign-in")
    browser.press("Email me a code", email=email)
    assert browser.at.url.endswith("/sign-in/code"), browser.at.text
    known = any(person.email == email for person in maple.records.people.values())
    return browser, code_of(maple.arrived(before)) if known else ""


def code_of(mail: dict[str, str]) -> str:
    found = re.search(r"^\d{6}$", mail["text"], re.MULTILINE)
    assert found, mail
    return found.group()


def signed_in(maple: Maple) -> Browser:
    browser, code = asked(maple)
    browser.press("Sign in", code=code)
    assert browser.at.url.endswith("/portal"), browser.at.text
    return browser
