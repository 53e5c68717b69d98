"""Clients are told of ended sessions: each once, whoever ended them and why, with a token that an independent reader
checks as OpenID Connect Back-Channel Logout 1.0 §2.6 says."""

from __future__ import annotations

import dataclasses
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from joserfc import jws, jwt
from joserfc.jwk import KeySet

from authsvc import wiring, worker
from authsvc.delivery.backchannel import BackchannelSender
from authsvc.delivery.http_sender import PAUSE_MS
from authsvc.delivery.outbox_worker import SWEEP_MS, Worker
from authsvc.errors import DeliveryDeferred, DeliveryRefused, Unavailable
from authsvc.flows.backchannel_logout import BackchannelLogout
from authsvc.metrics import Metrics
from authsvc.model import Message, NewBrowserSession, TokenGrant
from authsvc.store.outbox import LOGOUTS, Entry, Recipient
from tests import outboxes
from tests.delivery.logout_receiver import Client, serving
from tests.fakes import SeededEntropy
from tests.flows.conftest import Harness
from tests.flows.visitors import Portal, enter, here, page

EVENT = "http://schemas.openid.net/event/backchannel-logout"
ISSUER = "http://127.0.0.1:8080"
BEN = "ben@example.org"


@dataclass
class Maple:
    """Ann's browser, signed in at two clients that want to be told and one that doesn't."""

    harness: Harness
    web: Portal
    app: Portal
    deaf: Portal
    browser_session: NewBrowserSession
    authorization_codes: dict[str, TokenGrant]
    worker: Worker
    heard: Client

    def tell(self) -> list[tuple[str, str]]:
        """Let the worker look once: whom it told, and of which session."""
        before = len(self.heard.calls)
        self.worker.step()
        said = [self.checked(token) for token in self.heard.tokens[before:]]
        return sorted((claims["aud"], claims["sid"]) for claims in said)

    def checked(self, token: str) -> dict[str, Any]:
        """What a logout token says, if it is a good one."""
        keys = KeySet.import_key_set(json.loads(self.harness.service.signing_keys.jwks()[0]))
        read = jwt.decode(token, keys, algorithms=["ES256", "RS256", "EdDSA"])
        assert read.header["typ"] == "logout+jwt"
        claims, now_s = read.claims, self.harness.clock.now_ms() // 1000
        jwt.JWTClaimsRegistry(
            now=now_s,
            iss={"essential": True, "value": ISSUER},
            aud={"essential": True, "values": ["web", "app"]},
            sub={"essential": True},
            sid={"essential": True},
            jti={"essential": True},
            iat={"essential": True},
            exp={"essential": True},
        ).validate(claims)
        assert now_s <= claims["exp"] <= now_s + 120
        assert claims["events"] == {EVENT: {}}
        assert "nonce" not in claims
        return dict(claims)

    def sid(self, name: str) -> str:
        return self.authorization_codes[name].session or ""

    @property
    def both(self) -> list[tuple[str, str]]:
        return [("app", self.sid("app")), ("web", self.sid("web"))]


@pytest.fixture
def maple(wide: Harness) -> Iterator[Maple]:
    wide.patient()
    wide.patient("p2", BEN)
    with serving() as heard:
        web, app = (Portal(wide, name, backchannel_logout_uri=heard.url) for name in ("web", "app"))
        deaf = Portal(wide, "deaf")
        browser_session = enter(wide)
        authorization_codes = {portal.client.id: portal.tokens(browser_session.cookie) for portal in (web, app, deaf)}
        logout_worker = worker.logout_worker(wide.service, threads=0)
        yield Maple(wide, web, app, deaf, browser_session, authorization_codes, logout_worker, heard)


# --- every end ----------------------------------------------------------------------------------------------------


def elsewhere(maple: Maple) -> None:
    other = enter(maple.harness)
    maple.harness.service.browser_sessions.end(
        page(maple.harness), here(maple.harness, other), maple.browser_session.sid
    )


def others(maple: Maple) -> None:
    other = enter(maple.harness)
    maple.harness.service.browser_sessions.end_others(page(maple.harness), here(maple.harness, other))


ENDS: dict[str, Callable[[Maple], object]] = {
    "signed out at the pages": lambda m: m.harness.service.browser_sessions.sign_out(
        page(m.harness), m.browser_session.cookie
    ),
    "ended from another device": elsewhere,
    "ended as one of all others": others,
    "one session ended by staff": lambda m: m.harness.sessions.end(m.harness.act(), "p1", m.browser_session.sid),
    "a client's session ended by staff": lambda m: m.harness.sessions.end(m.harness.act(), "p1", m.sid("web")),
    "all ended by staff": lambda m: m.harness.sessions.end_all(m.harness.act(), "p1"),
    "all ended by an operator": lambda m: m.harness.sessions.end_all(page(m.harness, actor="cli:anna"), "p1"),
    "access withdrawn": lambda m: m.harness.patients.withdraw(m.harness.act(), "p1"),
    "address changed": lambda m: m.harness.patient(email="new@example.org"),
    "patient deleted": lambda m: m.harness.patients.delete(m.harness.act(), "p1"),
    "patient merged": lambda m: m.harness.patients.merge(m.harness.act(), "p1", "p2"),
    "another patient signed in": lambda m: enter(m.harness, BEN, before=m.browser_session.cookie),
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_whatever_ends_a_sign_in_each_client_is_told_once(maple: Maple, end: Callable[[Maple], object]) -> None:
    end(maple)
    assert maple.tell() == maple.both
    maple.harness.clock.advance_ms(SWEEP_MS)
    assert maple.tell() == []


def test_a_refresh_token_that_comes_twice_ends_that_clients_session_and_tells_it(maple: Maple) -> None:
    web, stolen = maple.web, maple.authorization_codes["web"]
    web.refresh(web.refresh(stolen))
    with pytest.raises(Exception, match="reused"):
        web.refresh(stolen)
    assert maple.tell() == [("web", maple.sid("web"))]


def test_a_code_that_comes_twice_ends_what_it_gave_and_tells_the_client(maple: Maple) -> None:
    code = maple.web.code(maple.browser_session.cookie)
    grant = maple.web.redeem(code)
    assert maple.web.refused(code) == "reused"
    assert maple.tell() == [("web", grant.session)]
    assert maple.web.refused(code) == "reused"
    maple.harness.clock.advance_ms(SWEEP_MS)
    assert maple.tell() == [], "it was over already"


def test_sessions_that_are_no_more_used_are_told_when_they_are_ended(maple: Maple) -> None:
    maple.harness.clock.advance_s(4 * 3600)
    maple.harness.sessions.end_all(maple.harness.act(), "p1")
    assert maple.tell() == maple.both


# --- no end of it, or nobody to tell ------------------------------------------------------------------------------


def test_a_client_that_gives_its_own_session_back_is_not_told_of_it(maple: Maple) -> None:
    maple.harness.sessions.revoke(maple.web.client, maple.authorization_codes["web"].refresh_token or "", "")
    assert not maple.web.works(maple.authorization_codes["web"])
    assert maple.tell() == []
    maple.harness.service.browser_sessions.sign_out(page(maple.harness), maple.browser_session.cookie)
    maple.harness.clock.advance_ms(SWEEP_MS)
    assert maple.tell() == [("app", maple.sid("app"))]


def test_a_fresh_sign_in_of_the_same_patient_ends_no_clients_session(maple: Maple) -> None:
    again = enter(maple.harness, before=maple.browser_session.cookie)
    assert maple.tell() == []
    assert maple.web.works(maple.authorization_codes["web"])
    maple.harness.service.browser_sessions.sign_out(page(maple.harness), again.cookie)
    maple.harness.clock.advance_ms(SWEEP_MS)
    assert maple.tell() == maple.both


def test_a_clients_session_that_no_browser_opened_is_nobodys_logout(maple: Maple) -> None:
    maple.harness.sign_in(patient="p2")
    maple.harness.sessions.end_all(maple.harness.act(), "p2")
    assert maple.tell() == []


# --- what it says -------------------------------------------------------------------------------------------------


def test_the_token_names_patient_and_session_as_the_id_token_did(maple: Maple) -> None:
    maple.harness.service.browser_sessions.sign_out(page(maple.harness), maple.browser_session.cookie)
    maple.tell()
    told = {claims["aud"]: claims for claims in map(maple.checked, maple.heard.tokens)}
    keys = KeySet.import_key_set(json.loads(maple.harness.service.signing_keys.jwks()[0]))
    for name in ("web", "app"):
        held = jwt.decode(maple.authorization_codes[name].id_token or "", keys, algorithms=["ES256"]).claims
        assert {told[name][claim] == held[claim] for claim in ("iss", "sub", "sid", "aud")} == {True}
    assert set(told["web"]) == {"iss", "aud", "sub", "sid", "jti", "iat", "exp", "events"}
    assert told["web"]["jti"] != told["app"]["jti"]


def test_a_client_hears_it_by_the_algorithm_of_its_id_tokens(maple: Maple) -> None:
    """Back-Channel Logout §2.6: libraries look for no other (Spring Security doesn't)."""
    maple.harness.service.clients.set("web", id_token_alg="RS256", actor="cli:test")
    maple.harness.service.browser_sessions.sign_out(page(maple.harness), maple.browser_session.cookie)
    maple.tell()
    heard = [
        (maple.checked(token)["aud"], jws.extract_compact(token.encode()).headers()) for token in maple.heard.tokens
    ]
    assert {aud: header["alg"] for aud, header in heard} == {"web": "RS256", "app": "ES256"}


def test_a_logout_token_opens_nothing(maple: Maple) -> None:
    maple.harness.service.browser_sessions.sign_out(page(maple.harness), maple.browser_session.cookie)
    maple.tell()
    for token in maple.heard.tokens:
        assert maple.harness.introspected(token) == {"active": False}
        assert maple.harness.service.authorization_codes.read_id_token_hint(token) is None


def test_a_second_try_is_a_fresh_token_of_the_key_that_signs_now_with_the_same_jti(maple: Maple) -> None:
    entry = queued(maple)
    first = opened(maple, entry).token
    was = maple.checked(first)
    maple.harness.service.signing_keys.rotate("cli:test", force=True)
    maple.harness.clock.advance_s(3600)
    second = opened(maple, entry).token
    now = maple.checked(second)
    assert (now["jti"], now["sid"], now["iat"]) == (was["jti"], was["sid"], was["iat"] + 3600)
    kids = [jws.extract_compact(token.encode()).headers()["kid"] for token in (first, second)]
    assert kids[0] != kids[1] == maple.harness.service.signing_keys.signer().kid


def test_a_client_in_trouble_is_told_when_it_is_well_again(maple: Maple) -> None:
    maple.heard.answers = [503]
    entry = queued(maple)
    for _ in range(3):
        maple.worker.step()
        maple.harness.clock.advance_ms(PAUSE_MS)
    assert [maple.checked(token)["jti"] for token in maple.heard.tokens[1:]] == [entry[0].message_id]


def test_nothing_of_it_shows_among_the_patients_mails_or_holds_an_address(maple: Maple) -> None:
    before = maple.harness.patients.deliveries(maple.harness.act(), "p1")
    maple.harness.service.browser_sessions.sign_out(page(maple.harness), maple.browser_session.cookie)
    assert maple.harness.patients.deliveries(maple.harness.act(), "p1") == before
    queued = outboxes.queued(maple.harness.redis, "maple", LOGOUTS)
    assert len(queued) == 2
    assert maple.heard.url not in json.dumps(queued)
    maple.tell()
    assert maple.harness.patients.deliveries(maple.harness.act(), "p1") == before
    assert not maple.harness.patients.deliveries(maple.harness.act(), "p1")[2:], "only the mails of the sign-ins"


def test_how_it_went_is_counted_and_logged_without_where(maple: Maple, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "authsvc.delivery")
    maple.heard.answers = [400]
    maple.harness.service.browser_sessions.sign_out(page(maple.harness), maple.browser_session.cookie)
    maple.tell()
    figures = maple.harness.service.metrics.render()[0].decode()
    assert 'authsvc_logouts_total{state="sent"} 1.0' in figures
    assert 'authsvc_logouts_total{state="refused"} 1.0' in figures
    assert sorted(record.message for record in caplog.records) == ["logout_refused", "logout_sent"]
    everything = json.dumps([record.__dict__ for record in caplog.records], default=str)
    for secret in ("http", str(maple.heard.port), *maple.heard.tokens):
        assert secret not in everything


# --- where to, at the moment of sending -----------------------------------------------------------------------------


def queued(maple: Maple) -> tuple[Entry, Recipient]:
    """The queued logout of `web`, and whom it goes to."""
    maple.harness.sessions.revoke(maple.app.client, maple.authorization_codes["app"].refresh_token or "", "")
    maple.harness.service.browser_sessions.sign_out(page(maple.harness), maple.browser_session.cookie)
    (message,) = outboxes.queued(maple.harness.redis, "maple", LOGOUTS)
    return outboxes.entry(message), outboxes.recipient(maple.harness.redis, message)


def opened(maple: Maple, entry: tuple[Entry, Recipient] | None = None, **changed: Any) -> Message:
    """As the worker opens it when it tries."""
    service = maple.harness.service
    settings = dataclasses.replace(service.settings, **changed)
    logouts = BackchannelLogout(service.clients, service.signing_keys, service.clock, settings)
    return logouts.open(maple.harness.practice, *(entry or queued(maple)))


def test_it_goes_to_the_address_that_is_registered_when_it_is_sent(maple: Maple) -> None:
    maple.harness.service.clients.set("web", actor="cli:test", backchannel_logout_uri="https://new.example/out")
    assert opened(maple).url == "https://new.example/out"


def test_a_client_that_took_its_address_back_is_not_told(maple: Maple) -> None:
    maple.harness.service.clients.set("web", actor="cli:test", backchannel_logout_uri="")
    with pytest.raises(DeliveryRefused, match="no address"):
        opened(maple)


def test_a_client_that_is_gone_is_not_told(maple: Maple) -> None:
    message = queued(maple)
    maple.harness.service.clients.remove("web", actor="cli:test")
    with pytest.raises(DeliveryRefused, match="no address"):
        opened(maple, message)


def test_another_practices_client_under_the_same_name_is_not_told_whose_patient_it_was(maple: Maple) -> None:
    service, message = maple.harness.service, queued(maple)
    service.practices.add("oak", name="Oak Clinic", actor="cli:test")
    service.clients.remove("web", actor="cli:test")
    Portal(maple.harness, "web", practices=("oak",), backchannel_logout_uri=maple.heard.url)
    with pytest.raises(DeliveryRefused, match="no address"):
        opened(maple, message)


def test_production_never_sends_a_token_in_the_clear(maple: Maple) -> None:
    with pytest.raises(DeliveryRefused, match="may not be used"):
        opened(maple, env="production")


def test_without_a_key_it_waits(maple: Maple, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maple.harness.service.signing_keys, "_held", None)
    with pytest.raises(DeliveryDeferred, match="no key"):
        opened(maple)


def test_without_the_store_it_waits(maple: Maple, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(_: str) -> None:
        raise Unavailable("store_away")

    monkeypatch.setattr(maple.harness.service.clients, "get", away)
    with pytest.raises(Unavailable):
        opened(maple)


# --- the worker's process -------------------------------------------------------------------------------------------


def test_the_workers_process_has_the_keys_that_it_signs_with(maple: Maple) -> None:
    ours = maple.harness.service
    second = wiring.Service(
        *(ours.settings, ours.catalogue, ours.limits),
        store=ours.store,
        clock=ours.clock,
        entropy=SeededEntropy("worker"),
        metrics=Metrics(),
    )
    ours.browser_sessions.sign_out(page(maple.harness), maple.browser_session.cookie)
    stop = threading.Event()
    working = threading.Thread(target=worker.work, args=(second, stop), daemon=True)
    working.start()
    assert maple.heard.called.wait(10)
    stop.set()
    working.join(15)
    assert not working.is_alive()
    assert {maple.checked(token)["sub"] for token in maple.heard.tokens} == {"maple:p1"}


def test_it_calls_with_the_systems_authorities(maple: Maple) -> None:
    sender = maple.worker._attempts._senders["backchannel"]
    assert isinstance(sender, BackchannelSender)
    tls = sender._sender._poster._tls
    assert (tls.check_hostname, tls.verify_mode) == (True, ssl.CERT_REQUIRED)
