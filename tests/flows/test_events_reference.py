"""`docs/reference/events.md` says every event there is, and every member that its entries have."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from authsvc.audit import Event
from authsvc.errors import AuthsvcError
from tests.flows.conftest import House
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


def codes_and_sign_ins(house: House) -> None:
    house.patient("fay", "fay@example.org")
    web = Portal(house, "fays", redirect_uris=("https://fays.example/in", "https://fays.example/other"))
    entered = enter(house, "fay@example.org")
    assert house.service.browser_sessions.extend(page(house), entered.cookie)
    token = house.link(patient="fay")
    house.links.describe(page(house), token)
    pressed = web.landed(press(house, web, token))
    signed_in, revoked, ended = web.code(entered.cookie), web.landed(press(house, web, token)), web.code(entered.cookie)
    web.refused("aac_maple.A")
    Portal(house, "guys").refused(signed_in)
    for code in (pressed, signed_in):
        web.refused(code, verifier="A" * 43)
        web.refused(code, redirect_uri="https://fays.example/other")
        web.redeem(code)
        web.refused(code)
    again = enter(house, "fay@example.org", before=entered.cookie)
    web.refused(ended)
    house.links.revoke_where(house.act(), patient="fay")
    web.refused(revoked)
    late = web.code(again.cookie)
    house.clock.advance_s(60)
    web.refused(late)


def family(house: House) -> None:
    service = house.service
    house.patient("gil", "gil@example.org")
    house.patient("kid", "kid@example.org")
    service.dependents.put(house.act(), "gil", "kid")
    started = house.start(act=page(house), email="gil@example.org")
    service.browser_sessions.verify(page(house), started.challenge, "314159")
    entered = service.browser_sessions.choose(page(house), started.challenge, "kid")
    web = Portal(house, "kids")
    web.refresh(web.tokens(entered.cookie))
    service.person_switch.of_browser(page(house), entered.cookie, "gil")
    service.dependents.put(house.act(), "gil", "kid", workflows=["edit-contact"])
    service.dependents.remove(house.act(), "gil", "kid")


def what_rarely_happens(house: House) -> None:
    service, operator = house.service, {"actor": "cli:anna"}
    house.patient("eve", "eve@example.org")
    house.patient("eve", "eve@example.org", label="Eve")
    house.patients.unlock(house.act(), "eve")
    house.patients.show(service.act(house.practice, actor="cli:anna"), "eve")
    with pytest.raises(AuthsvcError):
        service.clients.authenticate("portal", "acs_wrong", "192.0.2.1")
    grant = house.sign_in(patient="eve")
    for _ in range(2):
        grown = house.sessions.refresh(house.client, grant.refresh_token or "", None, "")
        house.clock.advance_s(1)
        grown = house.sessions.refresh(house.client, grown.refresh_token or "", None, "")
        with pytest.raises(AuthsvcError):
            house.sessions.refresh(house.client, grant.refresh_token or "", None, "")
        with pytest.raises(AuthsvcError):
            house.sessions.refresh(house.client, grown.refresh_token or "", None, "")
        grant = house.sign_in(patient="eve")
    family(house)
    with pytest.raises(AuthsvcError):
        house.codes.verify(house.act(), "ach_unknown", "000000")
    with pytest.raises(AuthsvcError):
        house.links.exchange(house.act(), "al_unknown")
    service.practices.set("maple", name="Maple", **operator)
    service.clients.rotate_secret("portal", **operator)
    service.clients.set("portal", redirect_uris=("https://portal.example/in",), **operator)
    service.clients.remove("portal", **operator)
    service.signing_keys.revoke(service.signing_keys.list()[0].kid, "cli:anna")
    service.audit_log.trim("maple", 0, **operator)
    service.practices.add("oak", name="Oak", **operator)
    service.practices.remove("oak", **operator)


def test_no_entry_of_a_whole_day_says_more_than_the_page_tells(house: House) -> None:
    codes_and_sign_ins(house)
    what_rarely_happens(house)
    a_days_acts(house)
    seen, causes = set(), set()
    for trail in TRAILS:
        for entry in house.service.audit_log.tail(trail, 1000):
            seen.add(entry["event"])
            assert entry.keys() - ALWAYS <= SAYS[entry["event"]], entry
            if "cause" in entry:
                assert entry["cause"] in SAYS[entry["event"]], entry
            causes.add((entry["event"], entry.get("cause")))
    assert seen == {event.value for event in Event} - NOT_SEEN
    told = {cause for event, cause in causes if event == "grant.refused"}
    assert told == SAYS["grant.refused"] - {"cause", "sid", "link"}


def test_an_operators_reason_and_the_services_own_cause_stand_side_by_side(house: House) -> None:
    house.patient()
    house.sign_in()
    house.sessions.end_all(house.act(reason="phone stolen", actor="cli:anna"), "p1")
    entry = house.trail()[-1]
    assert (entry["event"], entry["reason"], entry["cause"]) == ("session.ended", "phone stolen", "signed_out")
