"""`docs/reference/events.md` says every event there is, and every member that its entries have."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from authsvc.audit import Event
from authsvc.errors import AuthsvcError
from tests.audit_logs import tail
from tests.flows.conftest import Harness
from tests.flows.test_redis_keys import a_days_acts
from tests.flows.visitors import Portal, enter, page, press

PAGE = (Path(__file__).parents[2] / "docs/reference/events.md").read_text(encoding="utf-8")
SAYS = {
    event: set(re.findall(r"`(\w+)`", says))
    for named, says in re.findall(r"^\| (`[a-z]+[`.][^|\n]*)\|[^|\n]*\|([^|\n]*)\|$", PAGE, re.MULTILINE)
    for event in re.findall(r"`([a-z_.]+)`", named)
}
ALWAYS = {"n", "at_ms", "event", "actor", "by", "practice", "request", "reason"}
TRAILS = ("maple", "@site", "@keys", "@clients")


def test_every_event_has_its_row() -> None:
    assert {event.value for event in Event} <= set(SAYS)


NOT_SEEN = {"key.imported", "key.rewrapped"}


def codes_and_sign_ins(harness: Harness) -> None:
    harness.patient("fay", "fay@example.org")
    web = Portal(harness, "fays", redirect_uris=("https://fays.example/in", "https://fays.example/other"))
    browser_session = enter(harness, "fay@example.org")
    assert harness.service.browser_sessions.extend(page(harness), browser_session.cookie)
    token = harness.link(patient="fay")
    harness.links.describe(page(harness), token)
    pressed = web.landed(press(harness, web, token))
    signed_in, revoked, ended = (
        web.code(browser_session.cookie),
        web.landed(press(harness, web, token)),
        web.code(browser_session.cookie),
    )
    web.refused("aac_maple.A")
    Portal(harness, "guys").refused(signed_in)
    for code in (pressed, signed_in):
        web.refused(code, verifier="A" * 43)
        web.refused(code, redirect_uri="https://fays.example/other")
        web.redeem(code)
        web.refused(code)
    again = enter(harness, "fay@example.org", before=browser_session.cookie)
    web.refused(ended)
    harness.links.revoke_where(harness.act(), patient="fay")
    web.refused(revoked)
    late = web.code(again.cookie)
    harness.clock.advance_s(60)
    web.refused(late)


def family(harness: Harness) -> None:
    service = harness.service
    harness.patient("gil", "gil@example.org")
    harness.patient("kid", "kid@example.org")
    service.dependents.put(harness.act(), "gil", "kid")
    started = harness.start(act=page(harness), email="gil@example.org")
    service.browser_sessions.verify(page(harness), started.challenge, "314159")
    browser_session = service.browser_sessions.choose(page(harness), started.challenge, "kid")
    web = Portal(harness, "kids")
    web.refresh(web.tokens(browser_session.cookie))
    service.person_switch.of_browser(page(harness), browser_session.cookie, "gil")
    service.dependents.put(harness.act(), "gil", "kid", workflows=["edit-contact"])
    service.dependents.remove(harness.act(), "gil", "kid")


def what_rarely_happens(harness: Harness) -> None:
    service, operator = harness.service, {"actor": "cli:anna"}
    harness.patient("eve", "eve@example.org")
    harness.patient("eve", "eve@example.org", label="Eve")
    harness.patients.unlock(harness.act(), "eve")
    harness.patients.show(service.act(harness.practice, actor="cli:anna"), "eve")
    with pytest.raises(AuthsvcError):
        service.clients.authenticate("portal", "acs_wrong", "192.0.2.1")
    grant = harness.sign_in(patient="eve")
    for _ in range(2):
        grown = harness.sessions.refresh(harness.client, grant.refresh_token or "", None, "")
        harness.clock.advance_s(1)
        grown = harness.sessions.refresh(harness.client, grown.refresh_token or "", None, "")
        with pytest.raises(AuthsvcError):
            harness.sessions.refresh(harness.client, grant.refresh_token or "", None, "")
        with pytest.raises(AuthsvcError):
            harness.sessions.refresh(harness.client, grown.refresh_token or "", None, "")
        grant = harness.sign_in(patient="eve")
    family(harness)
    with pytest.raises(AuthsvcError):
        harness.codes.verify(harness.act(), "ach_unknown", "000000")
    with pytest.raises(AuthsvcError):
        harness.links.exchange(harness.act(), "al_unknown")
    service.practices.set("maple", name="Maple", **operator)
    service.clients.rotate_secret("portal", **operator)
    service.clients.set("portal", redirect_uris=("https://portal.example/in",), **operator)
    service.clients.remove("portal", **operator)
    service.signing_keys.revoke(service.signing_keys.list()[0].kid, "cli:anna")
    service.audit_log.trim("maple", 0, **operator)
    service.practices.add("oak", name="Oak", **operator)
    service.practices.remove("oak", **operator)


def test_no_entry_of_a_whole_day_says_more_than_the_page_tells(harness: Harness) -> None:
    codes_and_sign_ins(harness)
    what_rarely_happens(harness)
    a_days_acts(harness)
    seen, causes = set(), set()
    for trail in TRAILS:
        for entry in tail(harness.service.audit_log, trail, 1000):
            seen.add(entry["event"])
            assert entry.keys() - ALWAYS <= SAYS[entry["event"]], entry
            if "cause" in entry:
                assert entry["cause"] in SAYS[entry["event"]], entry
            causes.add((entry["event"], entry.get("cause")))
    assert seen == {event.value for event in Event} - NOT_SEEN
    told = {cause for event, cause in causes if event == "grant.refused"}
    assert told == SAYS["grant.refused"] - {"cause", "sid", "link"}


def test_an_operators_reason_and_the_services_own_cause_stand_side_by_side(harness: Harness) -> None:
    harness.patient()
    harness.sign_in()
    harness.sessions.end_all(harness.act(reason="phone stolen", actor="cli:anna"), "p1")
    entry = harness.audit_entries()[-1]
    assert (entry["event"], entry["reason"], entry["cause"]) == ("session.ended", "phone stolen", "signed_out")
