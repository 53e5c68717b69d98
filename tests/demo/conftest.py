"""The sample practice before the real service: authsvc on a loopback port over a real store, its worker running."""

from __future__ import annotations

import base64
import itertools
import json
import threading
from collections.abc import Iterator

import pytest
import redis
from werkzeug.serving import make_server

from authsvc import wiring
from authsvc.app import create_app
from authsvc.demo.provision import PERMISSIONS
from authsvc.demo.sample.clinic import Clinic, Settings
from authsvc.demo.sample.state import maple_clinic
from authsvc.demo.walk import NAV, demo_site
from authsvc.store.inbox import Inbox
from tests.browsing import Browser, flask_transport
from tests.conftest import Backends, server_binary

ARRIVES_WITHIN_S = 10.0


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
        settings = Settings("http://localhost", self.url, "maple", "sample", secret, nav=NAV)
        self.site = demo_site(settings, self.records, self._inbox.mails)
        self.clinic: Clinic = self.site.extensions["clinic"]
        self._addresses = (f"203.0.113.{number}" for number in itertools.count(1))
        self._stop = threading.Event()
        self._listening = listening
        self._threads = [
            threading.Thread(target=listening.serve_forever),
            threading.Thread(target=self.service.worker, args=(self._stop,)),
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

    def stop(self) -> None:
        self._stop.set()
        self._listening.shutdown()
        for thread in self._threads:
            thread.join()
        self._listening.server_close()
        self.service.stop()


@pytest.fixture(scope="module")
def running_maple(servers: Backends) -> Iterator[Maple]:
    """One service a module: starting it costs a second."""
    server = servers("valkey" if server_binary("valkey") else "redis")
    with redis.Redis.from_url(server.url) as client:
        client.flushall()
    maple = Maple(server.url)
    yield maple
    maple.stop()


@pytest.fixture
def maple(running_maple: Maple) -> Maple:
    """The running demo, its practice's own records as on the first day."""
    fresh = maple_clinic()
    kept = running_maple.records
    kept.people, kept.invoices, kept.agreements = fresh.people, fresh.invoices, fresh.agreements
    return running_maple
