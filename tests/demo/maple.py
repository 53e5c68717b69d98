"""The sample practice before the real service: both on loopback ports over a real store, the worker running.

Browsers go straight into the two applications; what the applications say to each other goes over the wire.
"""

from __future__ import annotations

import base64
import itertools
import json
import re
import threading

from werkzeug.serving import WSGIRequestHandler, make_server

from authsvc import wiring, worker
from authsvc.config import environment
from authsvc.demo import provision
from authsvc.demo.provision import COLOUR, PERMISSIONS
from authsvc.demo.sample import oidc
from authsvc.demo.sample.clinic import Clinic, Settings
from authsvc.demo.sample.records import maple_clinic
from authsvc.demo.sample.sessions import TokenSet, current_session
from authsvc.demo.tour import demo_site
from authsvc.store.inbox import MAILS, Inbox
from authsvc.web.app import create_app
from tests.harness.browsing import Browser, by_host

ARRIVES_WITHIN_S = 10.0

INVOICE = {"workflow": "pay-invoice", "patient": "anna", "resource": "invoice:inv_1001"}
AGREEMENT = {"workflow": "accept-agreement", "patient": "anna", "resource": "agreement:agr_anna"}
CARD = {"name": "Mastercard", "last4": "5454", "expires": "01/30"}


class Silent(WSGIRequestHandler):
    """Logs no request: other tests of this process read all that is logged."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        return


class Maple:
    """One running demo. Every browser comes from a network of its own, so that limits don't meet."""

    def __init__(self, store_url: str) -> None:
        self._listening = [
            make_server("127.0.0.1", 0, lambda environ, start: [], threaded=True, request_handler=Silent)
            for _ in range(2)
        ]
        self.url, self.site_url = (f"http://127.0.0.1:{one.server_port}" for one in self._listening)
        environ = {
            "AUTHSVC_ENV": "development",
            "AUTHSVC_PUBLIC_URL": self.url,
            "AUTHSVC_REDIS_URL": store_url,
            "AUTHSVC_THREADS": "32",  # a worker shares them here, and no page shall wait for it
            "AUTHSVC_SECRET_KEYS": base64.urlsafe_b64encode(bytes(range(1, 33))).decode(),
            "AUTHSVC_MAIL_URL": "inbox:",
            "AUTHSVC_MAIL_FROM": "Maple Clinic <no-reply@maple.example>",
        }
        self.service = wiring.bootstrap(*environment.load(environ))
        self.service.start()
        self.practice = self.service.practices.add(
            "maple", actor="test", name="Maple Clinic", phone="555 0199", colour=COLOUR,
            portal_url=f"{self.site_url}/sign-in",
        )  # fmt: skip
        _, secret = self.service.clients.add(
            "portal", actor="test", practices=("maple",), permissions=frozenset(PERMISSIONS), audience=None,
            redirect_uris=(self.site_url + oidc.REDIRECT_PATH,),
            post_logout_uris=(self.site_url + oidc.POST_LOGOUT_PATH,),
            initiate_login_uri=f"{self.site_url}/open", backchannel_logout_uri=f"{self.site_url}/backchannel-logout",
        )  # fmt: skip
        self.records = maple_clinic()
        self._inbox = Inbox(self.service.store)
        settings = Settings(self.site_url, self.url, "maple", "portal", secret)
        self.site = demo_site(settings, self.records, self._inbox.mails)
        self.clinic: Clinic = self.site.extensions["clinic"]
        self._applications = {self.url: create_app(self.service), self.site_url: self.site}
        for listening, app in zip(self._listening, self._applications.values(), strict=True):
            listening.app = app
        self._addresses = (f"203.0.113.{number}" for number in itertools.count(1))
        self._stop = threading.Event()
        self._threads = [
            *(threading.Thread(target=listening.serve_forever) for listening in self._listening),
            threading.Thread(target=worker.work, args=(self.service, self._stop)),
        ]
        for thread in self._threads:
            thread.start()
        provision.patients(settings, self.records)

    def browser(self) -> Browser:
        browser = Browser(by_host(self._applications, next(self._addresses)))
        browser.open(f"{self.site_url}/")
        return browser

    def kept(self, browser: Browser) -> TokenSet | None:
        """What the clinic's server keeps of the portal for this browser."""
        with self.site.test_request_context("/", headers={"Cookie": f"visit={browser.cookies['visit']}"}):
            self.site.preprocess_request()
            return current_session().portal_grant

    def held(self, browser: Browser) -> TokenSet:
        grant = self.kept(browser)
        assert grant
        return grant

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
        """As if a quarter of an hour had passed; and an inbox with room, which holds the latest 200."""
        counters = self.service.store.call(lambda client: client.keys("authsvc:{maple}:limit:*"))
        if counters:
            self.service.store.call(lambda client: client.delete(*counters))
        if len(self.mails()) > 100:
            self.service.store.call(lambda client: client.delete(MAILS))

    def stop(self) -> None:
        self._stop.set()
        for listening in self._listening:
            listening.shutdown()
        for thread in self._threads:
            thread.join()
        for listening in self._listening:
            listening.server_close()
        self.service.stop()


def mailed(maple: Maple, workflow: str, patient: str, resource: str | None = None) -> str:
    """Have the front desk mail a link; its address."""
    before = len(maple.mails())
    desk = maple.browser()
    desk.open(f"/billing/{patient}")
    words = {
        "pay-invoice": "Email the invoice",
        "accept-agreement": "Email the agreement",
        "update-payment-info": "Send request for payment info",
        "portal": "Email an access link",
    }
    form = next(
        form
        for form in desk.at.forms
        if form.fields.get("patient") == patient
        and form.fields["workflow"] == workflow
        and form.fields.get("resource") == resource
    )
    assert [button.words for button in form.buttons] == [words[workflow]]
    answer = desk.request("POST", form.action, form.fields)
    assert (answer.status, answer.header("Location")) == (303, f"/billing/{patient}")
    assert f"is on its way to {maple.records.people[patient].name}" in desk.open(f"/billing/{patient}").text
    return link_of(maple, maple.arrived(before))


def opened(maple: Maple, address: str) -> Browser:
    """Somebody who pressed the link."""
    browser = maple.browser()
    browser.open(address)
    browser.press("Continue")
    return browser


def asked(maple: Maple, email: str = "anna@example.com") -> tuple[Browser, str]:
    """Somebody at the code page, and the code in her mailbox (empty: no mail came)."""
    browser, before = maple.browser(), len(maple.mails())
    browser.open("/sign-in")
    browser.press("Email me a code", email=email)
    assert "/p/maple/code/" in browser.at.url, browser.at.text
    known = any(person.email == email for person in maple.records.people.values())
    return browser, code_of(maple.arrived(before)) if known else ""


def link_of(maple: Maple, mail: dict[str, str]) -> str:
    found = re.search(rf"{maple.url}/p/maple/l/\S+", mail["text"])
    assert found, mail
    return found.group()


def code_of(mail: dict[str, str]) -> str:
    found = re.search(r"^\d{6}$", mail["text"], re.MULTILINE)
    assert found, mail
    return found.group()


def signed_in(maple: Maple) -> Browser:
    browser, code = asked(maple)
    browser.press("Sign in", code=code)
    assert browser.at.url.endswith("/portal"), browser.at.text
    return browser
