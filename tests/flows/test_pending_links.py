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
from tests.flows.conftest import Harness
from tests.flows.visitors import BROWSER, Portal, ended_in_feed, everything, page, press

LANDING_MS = 600_000
SCOPES = ("openid", "invoice:view", "invoice:pay", "contact:view")


@pytest.fixture
def portal(harness: Harness) -> Portal:
    harness.patient()
    return Portal(harness, initiate_login_uri="https://web.example/start")


def pending_link(harness: Harness, hint: str, browser: str = BROWSER) -> PendingLink | None:
    return harness.service.authorization_codes.pending_link(page(harness), hint, browser)


def refused(portal: Portal, hint: str, browser: str = BROWSER, **asked: Any) -> str:
    """Why there is no code for a pressed link."""
    try:
        portal.landed(hint, browser, **asked)
    except (SignInNeeded, LinkGone) as error:
        return f"{type(error).__name__} {error.reason}"
    pytest.fail("there was a code")


def redeem_link(harness: Harness, portal: Portal, **asked: Any) -> TokenGrant:
    """All the way from a link to its tokens."""
    return portal.redeem(portal.landed(press(harness, portal, harness.link()), **{"scopes": SCOPES, **asked}))


# --- pressing -------------------------------------------------------------------------------------------------------


def test_a_pressed_link_waits_for_its_client(harness: Harness, portal: Portal) -> None:
    hint = press(harness, portal, harness.link())
    assert re.fullmatch(r"alh_[A-Za-z0-9_-]{43}", hint)
    assert pending_link(harness, hint) == PendingLink(
        hint, "p1", "pay-invoice", "invoice:inv_1", "web", "a•••@e•••.org", ""
    )
    assert not any(hint in key or hint.encode() in kept for key, kept in everything(harness).items())


def test_looking_at_what_waits_changes_nothing(harness: Harness, portal: Portal) -> None:
    hint, act = press(harness, portal, harness.link()), page(harness)
    before = everything(harness)
    assert harness.service.authorization_codes.pending_link(act, hint, BROWSER)
    assert (everything(harness), act.limits) == (before, [])


def test_a_masked_address_is_shown_where_a_code_could_be_sent_only(harness: Harness, portal: Portal) -> None:
    harness.patients.put(harness.act(), "p2", email="bob@example.org", locale="es", portal_access=False)
    for patient, locale in (("p2", "es"), ("stranger", "")):
        found = pending_link(harness, press(harness, portal, harness.link(patient=patient)))
        assert found is not None
        assert (found.patient, found.email_hint, found.locale) == (patient, "", locale)


def test_a_press_is_a_use(harness: Harness, portal: Portal) -> None:
    token = harness.link(max_uses=2)
    first, second = press(harness, portal, token), press(harness, portal, token)
    assert first != second
    with pytest.raises(LinkGone, match="used_up"):
        press(harness, portal, token)
    assert harness.links.list(harness.act(), "p1")[0].uses == 2
    assert harness.events().count("link.exchanged") == 2


def test_attack_neither_an_unknown_nor_an_access_link_can_be_pressed(harness: Harness, portal: Portal) -> None:
    """An access link leads to a code. However it is sent here, nothing comes of it."""
    access = harness.access_link()
    for token in ("al_" + "A" * 43, "", access, access.replace("ala_", "al_", 1)):
        with pytest.raises(LinkUnknown):
            press(harness, portal, token)
    assert {link.uses for link in harness.links.list(harness.act(), "p1")} == {0}
    assert harness.redis.keys("authsvc:{maple}:pending-link:*") == []


def test_a_dead_link_can_not_be_pressed(harness: Harness, portal: Portal) -> None:
    token = harness.link(expires_in=60)
    harness.clock.advance_s(60)
    with pytest.raises(LinkGone, match="expired"):
        press(harness, portal, token)


def test_attack_pressing_is_limited_by_network(harness: Harness, portal: Portal) -> None:
    with pytest.raises(RateLimited):
        for _ in range(1000):
            with pytest.raises(LinkUnknown):
                harness.service.authorization_codes.redeem_link(
                    page(harness, client_ip="192.0.2.7"), "al_" + "A" * 43, BROWSER, portal.client.id
                )


def test_a_double_click_spends_one_use_and_gets_the_same_hint(harness: Harness, portal: Portal) -> None:
    harness.patient()
    token = harness.link(max_uses=1)

    def click(fingerprint: bytes = b"form") -> tuple[str, str]:
        act = page(harness, idempotency_key="browser.form", fingerprint=fingerprint)
        return harness.service.authorization_codes.redeem_link(act, token, BROWSER, portal.client.id)

    first = click()
    assert first[1] == portal.client.id
    assert click() == first
    assert harness.links.list(harness.act(), "p1")[0].uses == 1
    with pytest.raises(IdempotencyConflict):
        click(b"another")
    with pytest.raises(LinkGone):
        press(harness, portal, token)


def test_a_double_click_on_an_access_link_sends_one_code(harness: Harness) -> None:
    harness.patient()
    token, before = harness.access_link(), len(harness.outbox())

    def click() -> Started:
        started = harness.links.exchange(page(harness, idempotency_key="browser.form", fingerprint=b"form"), token)
        assert isinstance(started, Started)
        return started

    first, second = click(), click()
    assert first.challenge == second.challenge
    assert (first.email_hint, second.email_hint) == ("a•••@e•••.org", None)
    assert len(harness.outbox()) == before + 1


# --- fetching -------------------------------------------------------------------------------------------------------


def test_its_tokens_are_those_of_the_link(harness: Harness, portal: Portal) -> None:
    grant = redeem_link(harness, portal)
    assert (grant.workflow, grant.resource, grant.patient) == ("pay-invoice", "invoice:inv_1", "p1")
    assert grant.authorization_details == ({"type": "invoice", "identifier": "inv_1", "actions": ["view", "pay"]},)
    assert (grant.session, grant.refresh_token, grant.expires_in_s) == (None, None, 600)
    claims = harness.introspected(grant.access_token)
    assert claims["scope"] == grant.scope == "invoice:view invoice:pay openid"  # never more than the workflow's own
    assert (claims["acr"], claims["amr"], claims["resource"]) == ("instant", ["caller"], "invoice:inv_1")
    assert claims["authorization_details"] == list(grant.authorization_details)
    assert claims["link"] == harness.links.list(harness.act(), "p1")[0].id
    issued, redeemed = (entry for entry in harness.audit_entries() if entry["event"].startswith("grant."))
    assert issued["link"] == redeemed["link"] == claims["link"]


def test_its_id_token_says_exactly_this(harness: Harness, portal: Portal) -> None:
    grant = redeem_link(harness, portal)
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


def test_its_patient_was_there_when_the_button_was_pressed(harness: Harness, portal: Portal) -> None:
    hint = press(harness, portal, harness.link())
    harness.clock.advance_s(300)
    code = portal.landed(hint)
    harness.clock.advance_s(30)
    claims = harness.introspected(portal.redeem(code).access_token)
    assert (claims["auth_time"], claims["iat"]) == (NINE_O_CLOCK_MS // 1000, NINE_O_CLOCK_MS // 1000 + 330)


def test_a_press_older_than_the_client_allows_does_not_do(harness: Harness, portal: Portal) -> None:
    hint = press(harness, portal, harness.link())
    harness.clock.advance_ms(60_001)
    assert refused(portal, hint, max_age_s=60) == "SignInNeeded max_age"
    portal.landed(hint, max_age_s=61)


def test_a_client_that_hints_at_another_patient_gets_nothing_for_this_one(harness: Harness, portal: Portal) -> None:
    harness.patient("p2", "bob@example.org")
    first, second = press(harness, portal, harness.link()), press(harness, portal, harness.link())
    assert refused(portal, first, expected_patient="p2") == "SignInNeeded other_patient"
    portal.landed(first, expected_patient="p1")
    harness.patients.merge(harness.act(), "p1", "p2")
    portal.landed(second, expected_patient="p1")  # who is p2 now, as the link's patient is


def test_what_is_asked_for_narrows_it(harness: Harness, portal: Portal) -> None:
    grant = redeem_link(harness, portal, scopes=("invoice:view",))
    assert (grant.scope, grant.id_token) == ("invoice:view", None)
    assert grant.authorization_details == ({"type": "invoice", "identifier": "inv_1", "actions": ["view"]},)
    assert redeem_link(harness, portal, scopes=("openid", "contact:view")).scope == "openid"


def test_a_workflow_without_a_resource_names_none(harness: Harness, portal: Portal) -> None:
    token = harness.link(workflow="update-payment-info", resource=None)
    grant = portal.redeem(portal.landed(press(harness, portal, token), scopes=("openid", "payment_info:update")))
    assert (grant.resource, grant.authorization_details) == (None, None)
    assert grant.scope == "payment_info:update openid"


def test_a_link_of_somebody_who_is_not_on_file_works_too(harness: Harness, portal: Portal) -> None:
    hint = press(harness, portal, harness.link(patient="stranger"))
    assert portal.redeem(portal.landed(hint)).patient == "stranger"


def test_attack_another_browser_fetches_nothing(harness: Harness, portal: Portal) -> None:
    """The hint stands in an address: whoever reads it there has nothing."""
    hint = press(harness, portal, harness.link())
    for browser in ("C" * 22, "", BROWSER + "A"):
        assert pending_link(harness, hint, browser) is None
        assert refused(portal, hint, browser) == "SignInNeeded none"
    portal.landed(hint)


def test_attack_another_client_fetches_nothing(harness: Harness, portal: Portal) -> None:
    hint = press(harness, portal, harness.link())
    assert refused(Portal(harness, "other"), hint) == "SignInNeeded none"
    portal.landed(hint)


def test_attack_it_is_fetched_once(harness: Harness, portal: Portal) -> None:
    hint = press(harness, portal, harness.link())
    portal.landed(hint)
    assert pending_link(harness, hint) is None
    assert refused(portal, hint) == "SignInNeeded none"


@pytest.mark.parametrize("hint", ["", "ann@example.org", "alh_", "alh_" + "A" * 43, "al_" + "A" * 43])
def test_attack_no_other_hint_means_anything(harness: Harness, portal: Portal, hint: str) -> None:
    press(harness, portal, harness.link())
    assert pending_link(harness, hint) is None
    assert refused(portal, hint) == "SignInNeeded none"


def test_it_waits_for_ten_minutes(harness: Harness, portal: Portal) -> None:
    first, second = press(harness, portal, harness.link()), press(harness, portal, harness.link())
    harness.clock.advance_ms(LANDING_MS - 1)
    assert pending_link(harness, first)
    portal.landed(first)
    harness.clock.advance_ms(1)
    assert pending_link(harness, second) is None
    assert refused(portal, second) == "SignInNeeded none"


def test_that_time_or_uses_run_out_after_the_press_takes_nothing_back(harness: Harness, portal: Portal) -> None:
    used = press(harness, portal, harness.link(max_uses=1))
    short = press(harness, portal, harness.link(expires_in=60))
    harness.clock.advance_s(59)
    late = portal.landed(short)
    harness.clock.advance_s(1)
    for code in (portal.landed(used), late):
        assert portal.redeem(code).resource == "invoice:inv_1"
    expired = press(harness, portal, harness.link(expires_in=1))
    harness.clock.advance_s(2)
    assert portal.redeem(portal.landed(expired)).workflow == "pay-invoice"


@pytest.mark.parametrize("end", ["revoke", "delete", "move"])
def test_a_link_that_ends_after_the_press_gives_nothing(harness: Harness, portal: Portal, end: str) -> None:
    waiting, token = press(harness, portal, harness.link()), harness.link()
    code = portal.landed(press(harness, portal, token))
    match end:
        case "revoke":
            assert harness.links.revoke_where(harness.act(), resource="invoice:inv_1") == 2
        case "delete":
            harness.patients.delete(harness.act(), "p1")
        case "move":
            harness.patient(email="new@example.org")
    assert refused(portal, waiting) == ("LinkGone address_changed" if end == "move" else "LinkGone revoked")
    assert portal.refused(code) == "revoked"


def test_after_a_merge_the_tokens_name_the_patient_who_is_meant_now(harness: Harness, portal: Portal) -> None:
    harness.patient("p2", "bob@example.org")
    waiting, code = press(harness, portal, harness.link()), portal.landed(press(harness, portal, harness.link()))
    harness.patients.merge(harness.act(), "p1", "p2")
    found = pending_link(harness, waiting)
    assert found is not None
    assert (found.patient, found.email_hint) == ("p2", "b•••@e•••.org")
    assert portal.redeem(code).patient == "p2"
    assert portal.redeem(portal.landed(waiting)).patient == "p2"


def test_a_workflow_that_left_the_catalogue_grants_nothing(harness: Harness, portal: Portal) -> None:
    code = portal.landed(press(harness, portal, harness.link()))
    catalogue = harness.service.catalogue
    harness.service.authorization_codes._deps = dataclasses.replace(
        harness.service.deps, catalogue=Catalogue(tuple(w for w in catalogue.all() if w.name != "pay-invoice"))
    )
    with pytest.raises(LinkGone, match="revoked"):
        portal.redeem(code)


# --- its code -------------------------------------------------------------------------------------------------------


def test_attack_a_code_that_comes_again_ends_the_links_token(harness: Harness, portal: Portal) -> None:
    code = portal.landed(press(harness, portal, harness.link()))
    grant, other = portal.redeem(code), redeem_link(harness, portal)
    jti = harness.introspected(grant.access_token)["jti"]
    assert portal.refused(code) == "reused"
    assert harness.introspected(grant.access_token) == {"active": False}
    assert ended_in_feed(harness, "t") == [jti]
    assert harness.audit_entries()[-1]["jti"] == jti
    assert harness.introspected(other.access_token)["active"]  # of another link


def test_its_code_lives_for_a_minute_too(harness: Harness, portal: Portal) -> None:
    code = portal.landed(press(harness, portal, harness.link()))
    harness.clock.advance_s(60)
    assert portal.refused(code) == "expired"


def test_attack_a_landing_is_no_sign_in(harness: Harness, portal: Portal) -> None:
    """Nobody becomes signed in by a link, neither there nor at the next request."""
    redeem_link(harness, portal)
    assert harness.sessions.list(harness.act(), "p1") == []
    with pytest.raises(SignInNeeded):
        portal.code("")


def test_a_revoked_link_ends_the_token_that_it_gave(harness: Harness, portal: Portal) -> None:
    grant = redeem_link(harness, portal)
    harness.links.revoke_where(harness.act(), patient="p1")
    assert harness.introspected(grant.access_token) == {"active": False}


def test_attack_its_verifier_address_and_client_are_asked_for_as_with_any_code(
    harness: Harness, portal: Portal
) -> None:
    code = portal.landed(press(harness, portal, harness.link()))
    assert portal.refused(code, verifier="A" * 43) == "pkce"
    assert portal.refused(code, redirect_uri="https://evil.example/in") == "redirect"
    with pytest.raises(InvalidGrant, match="other_client"):
        harness.service.authorization_codes.redeem(
            Portal(harness, "other").client, code, portal.redirect_uri, "A" * 43, ""
        )
    portal.redeem(code)
