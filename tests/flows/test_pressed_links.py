"""Pressed instant links: they wait for one client, through the browser that pressed, and for ten minutes."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import jwt
import pytest

from authsvc.config.workflows import Catalogue
from authsvc.crypto.id_tokens import at_hash
from authsvc.errors import IdempotencyConflict, InvalidGrant, LinkGone, LinkUnknown, RateLimited, SignInNeeded
from authsvc.model import PendingLink, Started, TokenGrant
from tests.fakes import NINE_O_CLOCK_MS
from tests.flows.conftest import House
from tests.flows.visitors import BROWSER, Portal, ended_in_feed, everything, page, press

LANDING_MS = 600_000
SCOPES = ("openid", "invoice:view", "invoice:pay", "contact:view")


@pytest.fixture
def portal(house: House) -> Portal:
    house.patient()
    return Portal(house, initiate_login_uri="https://web.example/start")


def landing(house: House, hint: str, browser: str = BROWSER) -> PendingLink | None:
    return house.service.authorization_codes.pending_link(page(house), hint, browser)


def refused(portal: Portal, hint: str, browser: str = BROWSER, **asked: Any) -> str:
    """Why there is no code for a pressed link."""
    try:
        portal.landed(hint, browser, **asked)
    except (SignInNeeded, LinkGone) as error:
        return f"{type(error).__name__} {error.reason}"
    pytest.fail("there was a code")


def pressed(house: House, portal: Portal, **asked: Any) -> TokenGrant:
    """All the way from a link to its tokens."""
    return portal.redeem(portal.landed(press(house, portal, house.link()), **{"scopes": SCOPES, **asked}))


# --- pressing -------------------------------------------------------------------------------------------------------


def test_a_pressed_link_waits_for_its_client(house: House, portal: Portal) -> None:
    hint = press(house, portal, house.link())
    assert re.fullmatch(r"alh_[A-Za-z0-9_-]{43}", hint)
    assert landing(house, hint) == PendingLink(hint, "p1", "pay-invoice", "invoice:inv_1", "web", "a•••@e•••.org", "")
    assert not any(hint in key or hint.encode() in kept for key, kept in everything(house).items())


def test_looking_at_what_waits_changes_nothing(house: House, portal: Portal) -> None:
    hint, act = press(house, portal, house.link()), page(house)
    before = everything(house)
    assert house.service.authorization_codes.pending_link(act, hint, BROWSER)
    assert (everything(house), act.limits) == (before, [])


def test_a_masked_address_is_shown_where_a_code_could_be_sent_only(house: House, portal: Portal) -> None:
    house.patients.put(house.act(), "p2", email="bob@example.org", locale="es", portal_access=False)
    for patient, locale in (("p2", "es"), ("stranger", "")):
        found = landing(house, press(house, portal, house.link(patient=patient)))
        assert found is not None
        assert (found.patient, found.email_hint, found.locale) == (patient, "", locale)


def test_a_press_is_a_use(house: House, portal: Portal) -> None:
    token = house.link(max_uses=2)
    first, second = press(house, portal, token), press(house, portal, token)
    assert first != second
    with pytest.raises(LinkGone, match="used_up"):
        press(house, portal, token)
    assert house.links.list(house.act(), "p1")[0].uses == 2
    assert house.events().count("link.exchanged") == 2


def test_attack_neither_an_unknown_nor_an_access_link_can_be_pressed(house: House, portal: Portal) -> None:
    """An access link leads to a code. However it is sent here, nothing comes of it."""
    access = house.access_link()
    for token in ("al_" + "A" * 43, "", access, access.replace("ala_", "al_", 1)):
        with pytest.raises(LinkUnknown):
            press(house, portal, token)
    assert {link.uses for link in house.links.list(house.act(), "p1")} == {0}
    assert house.redis.keys("authsvc:{maple}:pending-link:*") == []


def test_a_dead_link_can_not_be_pressed(house: House, portal: Portal) -> None:
    token = house.link(expires_in=60)
    house.clock.advance_s(60)
    with pytest.raises(LinkGone, match="expired"):
        press(house, portal, token)


def test_attack_pressing_is_limited_by_network(house: House, portal: Portal) -> None:
    with pytest.raises(RateLimited):
        for _ in range(1000):
            with pytest.raises(LinkUnknown):
                house.service.authorization_codes.redeem_link(
                    page(house, client_ip="192.0.2.7"), "al_" + "A" * 43, BROWSER, portal.client.id
                )


def test_a_double_click_spends_one_use_and_gets_the_same_hint(house: House, portal: Portal) -> None:
    house.patient()
    token = house.link(max_uses=1)

    def click(fingerprint: bytes = b"form") -> tuple[str, str]:
        act = page(house, idempotency_key="browser.form", fingerprint=fingerprint)
        return house.service.authorization_codes.redeem_link(act, token, BROWSER, portal.client.id)

    first = click()
    assert first[1] == portal.client.id
    assert click() == first
    assert house.links.list(house.act(), "p1")[0].uses == 1
    with pytest.raises(IdempotencyConflict):
        click(b"another")
    with pytest.raises(LinkGone):
        press(house, portal, token)


def test_a_double_click_on_an_access_link_sends_one_code(house: House) -> None:
    house.patient()
    token, before = house.access_link(), len(house.outbox())

    def click() -> Started:
        started = house.links.exchange(page(house, idempotency_key="browser.form", fingerprint=b"form"), token)
        assert isinstance(started, Started)
        return started

    first, second = click(), click()
    assert first.challenge == second.challenge
    assert (first.email_hint, second.email_hint) == ("a•••@e•••.org", None)
    assert len(house.outbox()) == before + 1


# --- fetching -------------------------------------------------------------------------------------------------------


def test_its_tokens_are_those_of_the_link(house: House, portal: Portal) -> None:
    grant = pressed(house, portal)
    assert (grant.workflow, grant.resource, grant.patient) == ("pay-invoice", "invoice:inv_1", "p1")
    assert grant.authorization_details == ({"type": "invoice", "identifier": "inv_1", "actions": ["view", "pay"]},)
    assert (grant.session, grant.refresh_token, grant.expires_in_s) == (None, None, 600)
    claims = house.introspected(grant.access_token)
    assert claims["scope"] == grant.scope == "invoice:view invoice:pay openid"  # never more than the workflow's own
    assert (claims["acr"], claims["amr"], claims["resource"]) == ("instant", ["caller"], "invoice:inv_1")
    assert claims["authorization_details"] == list(grant.authorization_details)
    assert claims["link"] == house.links.list(house.act(), "p1")[0].id
    issued, redeemed = (entry for entry in house.trail() if entry["event"].startswith("grant."))
    assert issued["link"] == redeemed["link"] == claims["link"]


def test_its_id_token_says_exactly_this(house: House, portal: Portal) -> None:
    grant = pressed(house, portal)
    options: Any = {"verify_signature": False}
    assert jwt.decode(grant.id_token or "", options=options) == {
        "iss": "http://127.0.0.1:8080",
        "sub": "maple:p1",
        "aud": "web",
        "iat": NINE_O_CLOCK_MS // 1000,
        "exp": NINE_O_CLOCK_MS // 1000 + 600,
        "auth_time": NINE_O_CLOCK_MS // 1000,
        "acr": "instant",
        "amr": ["caller"],
        "practice": "maple",
        "nonce": "n-0S6_WzA2Mj",
        "at_hash": at_hash("ES256", grant.access_token),
    }


def test_its_patient_was_there_when_the_button_was_pressed(house: House, portal: Portal) -> None:
    hint = press(house, portal, house.link())
    house.clock.advance_s(300)
    code = portal.landed(hint)
    house.clock.advance_s(30)
    claims = house.introspected(portal.redeem(code).access_token)
    assert (claims["auth_time"], claims["iat"]) == (NINE_O_CLOCK_MS // 1000, NINE_O_CLOCK_MS // 1000 + 330)


def test_a_press_older_than_the_client_allows_does_not_do(house: House, portal: Portal) -> None:
    hint = press(house, portal, house.link())
    house.clock.advance_ms(60_001)
    assert refused(portal, hint, max_age_s=60) == "SignInNeeded max_age"
    portal.landed(hint, max_age_s=61)


def test_a_client_that_hints_at_another_patient_gets_nothing_for_this_one(house: House, portal: Portal) -> None:
    house.patient("p2", "bob@example.org")
    first, second = press(house, portal, house.link()), press(house, portal, house.link())
    assert refused(portal, first, expected_patient="p2") == "SignInNeeded other_patient"
    portal.landed(first, expected_patient="p1")
    house.patients.merge(house.act(), "p1", "p2")
    portal.landed(second, expected_patient="p1")  # who is p2 now, as the link's patient is


def test_what_is_asked_for_narrows_it(house: House, portal: Portal) -> None:
    grant = pressed(house, portal, scopes=("invoice:view",))
    assert (grant.scope, grant.id_token) == ("invoice:view", None)
    assert grant.authorization_details == ({"type": "invoice", "identifier": "inv_1", "actions": ["view"]},)
    assert pressed(house, portal, scopes=("openid", "contact:view")).scope == "openid"


def test_a_workflow_without_a_resource_names_none(house: House, portal: Portal) -> None:
    token = house.link(workflow="update-payment-info", resource=None)
    grant = portal.redeem(portal.landed(press(house, portal, token), scopes=("openid", "payment_info:update")))
    assert (grant.resource, grant.authorization_details) == (None, None)
    assert grant.scope == "payment_info:update openid"


def test_a_link_of_somebody_who_is_not_on_file_works_too(house: House, portal: Portal) -> None:
    hint = press(house, portal, house.link(patient="stranger"))
    assert portal.redeem(portal.landed(hint)).patient == "stranger"


def test_attack_another_browser_fetches_nothing(house: House, portal: Portal) -> None:
    """The hint stands in an address: whoever reads it there has nothing."""
    hint = press(house, portal, house.link())
    for browser in ("C" * 22, "", BROWSER + "A"):
        assert landing(house, hint, browser) is None
        assert refused(portal, hint, browser) == "SignInNeeded none"
    portal.landed(hint)


def test_attack_another_client_fetches_nothing(house: House, portal: Portal) -> None:
    hint = press(house, portal, house.link())
    assert refused(Portal(house, "other"), hint) == "SignInNeeded none"
    portal.landed(hint)


def test_attack_it_is_fetched_once(house: House, portal: Portal) -> None:
    hint = press(house, portal, house.link())
    portal.landed(hint)
    assert landing(house, hint) is None
    assert refused(portal, hint) == "SignInNeeded none"


@pytest.mark.parametrize("hint", ["", "ann@example.org", "alh_", "alh_" + "A" * 43, "al_" + "A" * 43])
def test_attack_no_other_hint_means_anything(house: House, portal: Portal, hint: str) -> None:
    press(house, portal, house.link())
    assert landing(house, hint) is None
    assert refused(portal, hint) == "SignInNeeded none"


def test_it_waits_for_ten_minutes(house: House, portal: Portal) -> None:
    first, second = press(house, portal, house.link()), press(house, portal, house.link())
    house.clock.advance_ms(LANDING_MS - 1)
    assert landing(house, first)
    portal.landed(first)
    house.clock.advance_ms(1)
    assert landing(house, second) is None
    assert refused(portal, second) == "SignInNeeded none"


def test_that_time_or_uses_run_out_after_the_press_takes_nothing_back(house: House, portal: Portal) -> None:
    used = press(house, portal, house.link(max_uses=1))
    short = press(house, portal, house.link(expires_in=60))
    house.clock.advance_s(59)
    late = portal.landed(short)
    house.clock.advance_s(1)
    for code in (portal.landed(used), late):
        assert portal.redeem(code).resource == "invoice:inv_1"
    expired = press(house, portal, house.link(expires_in=1))
    house.clock.advance_s(2)
    assert portal.redeem(portal.landed(expired)).workflow == "pay-invoice"


@pytest.mark.parametrize("end", ["revoke", "delete", "move"])
def test_a_link_that_ends_after_the_press_gives_nothing(house: House, portal: Portal, end: str) -> None:
    waiting, token = press(house, portal, house.link()), house.link()
    code = portal.landed(press(house, portal, token))
    match end:
        case "revoke":
            assert house.links.revoke_where(house.act(), resource="invoice:inv_1") == 2
        case "delete":
            house.patients.delete(house.act(), "p1")
        case "move":
            house.patient(email="new@example.org")
    assert refused(portal, waiting) == ("LinkGone address_changed" if end == "move" else "LinkGone revoked")
    assert portal.refused(code) == "revoked"


def test_after_a_merge_the_tokens_name_the_patient_who_is_meant_now(house: House, portal: Portal) -> None:
    house.patient("p2", "bob@example.org")
    waiting, code = press(house, portal, house.link()), portal.landed(press(house, portal, house.link()))
    house.patients.merge(house.act(), "p1", "p2")
    found = landing(house, waiting)
    assert found is not None
    assert (found.patient, found.email_hint) == ("p2", "b•••@e•••.org")
    assert portal.redeem(code).patient == "p2"
    assert portal.redeem(portal.landed(waiting)).patient == "p2"


def test_a_workflow_that_left_the_catalogue_grants_nothing(house: House, portal: Portal) -> None:
    code = portal.landed(press(house, portal, house.link()))
    catalogue = house.service.catalogue
    house.service.authorization_codes._deps = dataclasses.replace(
        house.service.deps, catalogue=Catalogue(tuple(w for w in catalogue.all() if w.name != "pay-invoice"))
    )
    with pytest.raises(LinkGone, match="revoked"):
        portal.redeem(code)


# --- its code -------------------------------------------------------------------------------------------------------


def test_attack_a_code_that_comes_again_ends_the_links_token(house: House, portal: Portal) -> None:
    code = portal.landed(press(house, portal, house.link()))
    grant, other = portal.redeem(code), pressed(house, portal)
    jti = house.introspected(grant.access_token)["jti"]
    assert portal.refused(code) == "reused"
    assert house.introspected(grant.access_token) == {"active": False}
    assert ended_in_feed(house, "t") == [jti]
    assert house.trail()[-1]["jti"] == jti
    assert house.introspected(other.access_token)["active"]  # of another link


def test_its_code_lives_for_a_minute_too(house: House, portal: Portal) -> None:
    code = portal.landed(press(house, portal, house.link()))
    house.clock.advance_s(60)
    assert portal.refused(code) == "expired"


def test_attack_a_landing_is_no_sign_in(house: House, portal: Portal) -> None:
    """Nobody becomes signed in by a link, neither there nor at the next request."""
    pressed(house, portal)
    assert house.sessions.list(house.act(), "p1") == []
    with pytest.raises(SignInNeeded):
        portal.code("")


def test_a_revoked_link_ends_the_token_that_it_gave(house: House, portal: Portal) -> None:
    grant = pressed(house, portal)
    house.links.revoke_where(house.act(), patient="p1")
    assert house.introspected(grant.access_token) == {"active": False}


def test_attack_its_verifier_address_and_client_are_asked_for_as_with_any_code(house: House, portal: Portal) -> None:
    code = portal.landed(press(house, portal, house.link()))
    assert portal.refused(code, verifier="A" * 43) == "pkce"
    assert portal.refused(code, redirect_uri="https://evil.example/in") == "redirect"
    with pytest.raises(InvalidGrant, match="other_client"):
        house.service.authorization_codes.redeem(Portal(house, "other").client, code, portal.redirect_uri, "A" * 43, "")
    portal.redeem(code)
