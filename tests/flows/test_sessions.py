"""Sessions after the sign-in: refresh, revoke, introspect, list, end; and forward-auth's view of them."""

from __future__ import annotations

from typing import Any

import pytest

from authsvc.config.workflows import Catalogue
from authsvc.errors import (
    InvalidGrant,
    InvalidScope,
    KeysetUnusable,
    NotFound,
    PatientNotFound,
    RateLimited,
    TokenInsufficient,
    TokenInvalid,
)
from authsvc.model import TokenGrant
from tests.flows.conftest import Harness
from tests.flows.visitors import Portal, enter, look

INACTIVE = {"active": False}


def refresh(harness: Harness, grant: TokenGrant, scope: str | None = None, client: Any = None) -> TokenGrant:
    return harness.sessions.refresh(client or harness.client, grant.refresh_token or "", scope, "")


def refused(harness: Harness, grant: TokenGrant, client: Any = None) -> str:
    with pytest.raises(InvalidGrant) as caught:
        refresh(harness, grant, client=client)
    return caught.value.reason


@pytest.fixture
def grant(harness: Harness) -> TokenGrant:
    harness.patient()
    return harness.sign_in()


def test_a_successor_with_fewer_scopes_or_of_the_next_key_is_a_token_with_an_id_of_its_own(
    harness: Harness, grant: TokenGrant
) -> None:
    """RFC 7519 §4.1.7: to revoke one by its `jti` must not mean another."""
    made = [refresh(harness, grant), refresh(harness, grant, "invoices:view")]
    harness.service.signing_keys.rotate(actor="cli:test", force=True)
    made.append(refresh(harness, grant))
    said = [harness.introspected(token.access_token) for token in made]
    assert all(one["active"] for one in said)
    assert len({one["jti"] for one in said}) == len({token.access_token for token in made}) == 3
    harness.sessions.revoke(harness.client, made[1].access_token, "")
    assert [harness.introspected(token.access_token)["active"] for token in made] == [True, False, True]


# --- refresh --------------------------------------------------------------------------------------------------------


def test_a_refresh_gives_new_tokens_and_leaves_the_sign_in_as_it_was(harness: Harness, grant: TokenGrant) -> None:
    harness.clock.advance_s(590)
    fresh = refresh(harness, grant)
    assert fresh.refresh_token != grant.refresh_token
    before, after = harness.introspected(grant.access_token), harness.introspected(fresh.access_token)
    for claim in ("auth_time", "acr", "amr", "sub", "scope", "sid", "aud", "client_id"):
        assert before[claim] == after[claim]
    assert after["exp"] == before["exp"] + 590
    assert after["jti"] != before["jti"]


def test_for_thirty_seconds_the_parent_gets_the_same_successor(harness: Harness, grant: TokenGrant) -> None:
    first = refresh(harness, grant)
    harness.clock.advance_s(30)
    again = refresh(harness, grant)
    assert (again.refresh_token, again.access_token) == (first.refresh_token, first.access_token)
    assert again.expires_in_s == first.expires_in_s - 30
    assert harness.events().count("session.refreshed") == 1


def test_attack_a_copied_parent_used_later_ends_the_whole_family(harness: Harness, grant: TokenGrant) -> None:
    fresh = refresh(harness, grant)
    harness.clock.advance_s(31)
    assert refused(harness, grant) == "reused"
    assert refused(harness, fresh) == "unknown"
    assert harness.introspected(fresh.access_token) == INACTIVE
    assert "session.reused" in harness.events()


def test_attack_a_grandparent_ends_the_whole_family_at_once(harness: Harness, grant: TokenGrant) -> None:
    second = refresh(harness, grant)
    third = refresh(harness, second)
    assert refused(harness, grant) == "reused"
    assert refused(harness, third) == "unknown"


def test_attack_another_client_can_not_refresh(harness: Harness, grant: TokenGrant) -> None:
    other, _ = harness.new_client("other")
    assert refused(harness, grant, other) == "malformed"
    refresh(harness, grant)


def test_attack_a_client_that_no_longer_serves_the_practice_can_not_refresh(
    harness: Harness, grant: TokenGrant
) -> None:
    moved, _ = harness.new_client("moved")
    harness.patient("p2", "bob@example.org")
    harness.entropy.next_below(314159)
    started = harness.codes.start(harness.act(moved), patient="p2")
    theirs = harness.codes.verify(harness.act(moved), started.challenge, "314159")
    assert isinstance(theirs, TokenGrant)
    elsewhere = type(moved)(**{**vars(moved), "practices": ("oak",)})
    assert refused(harness, theirs, elsewhere) == "unknown"


def test_a_session_idle_for_half_an_hour_is_over_and_a_refresh_counts_as_activity(
    harness: Harness, grant: TokenGrant
) -> None:
    harness.clock.advance_s(1800)
    fresh = refresh(harness, grant)
    harness.clock.advance_ms(1_800_001)
    assert refused(harness, fresh) == "expired"


def test_attack_refreshing_for_ever_ends_after_twelve_hours(harness: Harness, grant: TokenGrant) -> None:
    for _ in range(26):
        harness.clock.advance_s(1600)
        grant = refresh(harness, grant)
    harness.clock.advance_s(1600)
    assert refused(harness, grant) == "expired"


def test_no_access_token_outlives_its_session(harness: Harness, grant: TokenGrant) -> None:
    for _ in range(26):
        harness.clock.advance_s(1650)
        grant = refresh(harness, grant)
    assert grant.expires_in_s == 43_200 - 26 * 1650


def test_a_refresh_may_narrow_the_scope_and_never_widen_it(harness: Harness, grant: TokenGrant) -> None:
    for scope in ("contact:view admin", "admin", "contact", " "):
        with pytest.raises(InvalidScope):
            refresh(harness, grant, scope=scope)
    narrow = refresh(harness, grant, scope="contact:view")
    assert narrow.scope == "contact:view"
    assert "invoices:view" in refresh(harness, narrow).scope


def test_attack_a_forged_generation_or_session_is_refused_by_arithmetic(harness: Harness, grant: TokenGrant) -> None:
    token = grant.refresh_token or ""
    for at in (10, 30, 50, len(token) - 3):
        forged = token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :]
        with pytest.raises(InvalidGrant, match="malformed"):
            harness.sessions.refresh(harness.client, forged, None, "")
    refresh(harness, grant)


def test_attack_a_refresh_token_made_with_the_key_but_not_the_nonce_is_refused(
    harness: Harness, grant: TokenGrant
) -> None:
    from authsvc.crypto import tokens

    forged = tokens.build_refresh(
        harness.service.data_keys.key("refresh"),
        practice="maple",
        sid=grant.session or "",
        generation=0,
        nonce=bytes(16),
        client="portal",
    )
    with pytest.raises(InvalidGrant, match="unknown"):
        harness.sessions.refresh(harness.client, forged, None, "")


def test_attack_a_thousand_random_refresh_tokens_meet_a_limit_that_good_ones_do_not(
    harness: Harness, grant: TokenGrant
) -> None:
    with pytest.raises(RateLimited):
        for _ in range(1000):
            with pytest.raises(InvalidGrant):
                harness.sessions.refresh(harness.client, "art_" + "A" * 100, None, "")
    refresh(harness, grant)


@pytest.mark.parametrize("end", ["delete", "withdraw", "move", "sign_out", "sign_out_all", "merge"])
def test_what_ends_a_session_ends_its_refresh_and_its_tokens(harness: Harness, grant: TokenGrant, end: str) -> None:
    harness.patient("p2", "bob@example.org")
    match end:
        case "delete":
            harness.patients.delete(harness.act(), "p1")
        case "withdraw":
            harness.patients.withdraw(harness.act(), "p1")
        case "move":
            harness.patient(email="new@example.org")
        case "sign_out":
            harness.sessions.end(harness.act(), "p1", grant.session or "")
        case "sign_out_all":
            assert harness.sessions.end_all(harness.act(), "p1") == 1
        case "merge":
            harness.patients.merge(harness.act(), "p1", "p2")
    assert refused(harness, grant) == "unknown"
    assert harness.introspected(grant.access_token) == INACTIVE
    if end == "delete":
        with pytest.raises(PatientNotFound):
            harness.sessions.list(harness.act(), "p1")
    else:
        assert harness.sessions.list(harness.act(), "p1") == []


# --- who is signed in -----------------------------------------------------------------------------------------------


def test_sessions_are_listed_while_they_live(harness: Harness, grant: TokenGrant) -> None:
    harness.clock.advance_s(60)
    second = harness.sign_in()
    listed = harness.sessions.list(harness.act(), "p1")
    assert [session.id for session in listed] == [second.session, grant.session]
    assert listed[1].expires_at_ms - listed[1].created_at_ms == 43_200_000
    harness.clock.advance_ms(1_740_001)
    assert [session.id for session in harness.sessions.list(harness.act(), "p1")] == [second.session]


def test_the_list_forgets_what_redis_has_forgotten_and_old_ends_leave_the_index(
    harness: Harness, grant: TokenGrant
) -> None:
    harness.redis.delete(f"authsvc:{{maple}}:session:{grant.session}")
    assert harness.sessions.list(harness.act(), "p1") == []
    assert harness.redis.zcard("authsvc:{maple}:sessions:p1") == 0


def test_one_session_ends_and_the_others_stay(harness: Harness, grant: TokenGrant) -> None:
    other = harness.sign_in()
    harness.sessions.end(harness.act(), "p1", grant.session or "")
    assert refused(harness, grant) == "unknown"
    refresh(harness, other)
    with pytest.raises(NotFound):
        harness.sessions.end(harness.act(), "p1", grant.session or "")


def test_attack_a_session_does_not_end_under_another_patients_name(harness: Harness, grant: TokenGrant) -> None:
    harness.patient("p2", "bob@example.org")
    with pytest.raises(NotFound):
        harness.sessions.end(harness.act(), "p2", grant.session or "")
    refresh(harness, grant)


def test_sign_ins_at_the_hosted_pages_are_listed_and_ended_with_the_others(harness: Harness, grant: TokenGrant) -> None:
    """They have no client; what their clients have isn't listed, for it is the sign-in that staff ends."""
    browser_session, portal = enter(harness), Portal(harness)
    under = portal.tokens(browser_session.cookie)
    listed = {session.id: session.client for session in harness.sessions.list(harness.act(), "p1")}
    assert listed == {grant.session: "portal", browser_session.sid: ""}
    assert harness.sessions.end_all(harness.act(), "p1", keep=grant.session) == 1
    assert (look(harness, browser_session), portal.works(under)) == (None, False)
    refresh(harness, grant)


def test_staff_may_end_a_sign_in_by_its_own_id_or_that_of_a_client_under_it(
    harness: Harness, grant: TokenGrant
) -> None:
    portal = Portal(harness)
    for by_client in (False, True):
        browser_session = enter(harness)
        under = portal.tokens(browser_session.cookie)
        sid = (under.session or "") if by_client else browser_session.sid
        harness.sessions.end(harness.act(), "p1", sid)
        assert (look(harness, browser_session), portal.works(under)) == (None, False)
        with pytest.raises(NotFound):
            harness.sessions.end(harness.act(), "p1", sid)


def test_attack_a_clients_session_under_a_sign_in_does_not_end_under_another_patients_name(
    harness: Harness, grant: TokenGrant
) -> None:
    harness.patient("p2", "bob@example.org")
    browser_session, portal = enter(harness), Portal(harness)
    under = portal.tokens(browser_session.cookie)
    with pytest.raises(NotFound):
        harness.sessions.end(harness.act(), "p2", under.session or "")
    assert portal.works(under)
    assert look(harness, browser_session)


# --- RFC 7009 -------------------------------------------------------------------------------------------------------


def test_revoking_a_refresh_token_ends_the_session_and_its_access_tokens(harness: Harness, grant: TokenGrant) -> None:
    harness.sessions.revoke(harness.client, grant.refresh_token or "", "")
    assert refused(harness, grant) == "unknown"
    assert harness.introspected(grant.access_token) == INACTIVE


def test_revoking_an_access_token_ends_that_token_only(harness: Harness, grant: TokenGrant) -> None:
    harness.sessions.revoke(harness.client, grant.access_token, "")
    assert harness.introspected(grant.access_token) == INACTIVE
    assert harness.introspected(refresh(harness, grant).access_token)["active"]


def test_revoking_the_same_access_token_again_adds_nothing(harness: Harness, grant: TokenGrant) -> None:
    for _ in range(5):
        harness.sessions.revoke(harness.client, grant.access_token, "")
    assert harness.events().count("token.revoked") == 1


def test_attack_another_clients_tokens_are_not_revoked(harness: Harness, grant: TokenGrant) -> None:
    other, _ = harness.new_client("other")
    harness.sessions.revoke(other, grant.access_token, "")
    harness.sessions.revoke(other, grant.refresh_token or "", "")
    assert harness.introspected(grant.access_token)["active"]
    refresh(harness, grant)


def test_revoking_what_nobody_knows_is_no_error(harness: Harness) -> None:
    for token in ("", "junk", "art_junk", "a.b.c", "al_" + "A" * 43):
        harness.sessions.revoke(harness.client, token, "")


# --- RFC 7662 -------------------------------------------------------------------------------------------------------


def test_introspection_says_what_an_active_token_says(harness: Harness, grant: TokenGrant) -> None:
    said = harness.introspected(grant.access_token)
    assert said["active"] is True
    assert said["token_type"] == "Bearer"
    assert {"scope", "client_id", "sub", "aud", "iss", "exp", "iat", "jti", "acr", "auth_time"} <= said.keys()


def test_anything_else_is_exactly_inactive(harness: Harness, grant: TokenGrant) -> None:
    other_audience, _ = harness.new_client("reports", audience="reporting")
    elsewhere, _ = harness.new_client("oak", practices=("oak",))
    asked = [
        harness.introspected("junk"),
        harness.introspected("art_junk"),
        harness.introspected(grant.access_token[:-4] + "AAAA"),
        harness.sessions.introspect(other_audience, grant.access_token, ""),
        harness.sessions.introspect(elsewhere, grant.access_token, ""),
        harness.sessions.introspect(elsewhere, grant.refresh_token or "", ""),
    ]
    harness.clock.advance_s(600)
    asked.append(harness.introspected(grant.access_token))
    assert asked == [INACTIVE] * 7


def test_a_clients_own_refresh_token_is_active_until_it_is_used(harness: Harness, grant: TokenGrant) -> None:
    said = harness.introspected(grant.refresh_token or "")
    assert said == {"active": True, "client_id": "portal", "sid": grant.session}
    refresh(harness, grant)
    assert harness.introspected(grant.refresh_token or "") == INACTIVE


def test_a_refresh_token_of_a_client_that_moved_on_is_inactive(harness: Harness, grant: TokenGrant) -> None:
    moved = type(harness.client)(**{**vars(harness.client), "practices": ("oak",)})
    assert harness.sessions.introspect(moved, grant.refresh_token or "", "") == INACTIVE


# --- forward-auth ---------------------------------------------------------------------------------------------------


def ask(harness: Harness, token: str, **want: str | None) -> Any:
    given: dict[str, Any] = {"practice": "maple", "scope": None, "resource": None, "acr": None, **want}
    return harness.service.forward_auth.authorise(token, **given)


def test_forward_auth_lets_a_good_token_through(harness: Harness, grant: TokenGrant) -> None:
    for want in (
        {},
        {"practice": "*"},
        {"scope": "contact:view contact:edit"},
        {"acr": "extra"},
        {"acr": "instant"},
        {"resource": "invoice:inv_1"},
    ):
        assert ask(harness, grant.access_token, **want)["patient"] == "p1"


@pytest.mark.parametrize(
    ("want", "missing"),
    [
        ({"practice": None}, "practice"),
        ({"practice": "oak"}, "practice"),
        ({"scope": "admin"}, "scope"),
        ({"scope": "contact:view admin"}, "scope"),
        ({"acr": "mfa"}, "acr"),
    ],
)
def test_forward_auth_says_what_is_missing(
    harness: Harness, grant: TokenGrant, want: dict[str, str | None], missing: str
) -> None:
    with pytest.raises(TokenInsufficient) as caught:
        ask(harness, grant.access_token, **want)
    assert caught.value.missing == missing


def test_attack_a_links_token_reaches_its_own_resource_only(harness: Harness) -> None:
    link = harness.links.exchange(harness.act(), harness.link())
    assert isinstance(link, TokenGrant)
    assert ask(harness, link.access_token, resource="invoice:inv_1", scope="invoice:pay")["link"]
    for want in ({"resource": "invoice:inv_2"}, {"resource": None}, {"acr": "extra", "resource": "invoice:inv_1"}):
        with pytest.raises(TokenInsufficient):
            ask(harness, link.access_token, **want)


def test_a_revoked_session_token_or_link_is_refused_at_once(harness: Harness, grant: TokenGrant) -> None:
    ask(harness, grant.access_token)
    harness.sessions.end_all(harness.act(), "p1")
    with pytest.raises(TokenInvalid, match="revoked"):
        ask(harness, grant.access_token)
    link = harness.links.exchange(harness.act(), harness.link())
    assert isinstance(link, TokenGrant)
    harness.links.revoke_where(harness.act(), patient="p1")
    with pytest.raises(TokenInvalid, match="revoked"):
        ask(harness, link.access_token, resource="invoice:inv_1")


def test_attack_a_token_of_a_removed_practice_is_refused(harness: Harness, grant: TokenGrant) -> None:
    harness.service.practices.remove("maple", actor="cli:test")
    with pytest.raises(TokenInvalid, match="revoked"):
        ask(harness, grant.access_token, practice="*")
    harness.sessions.revoke(harness.client, grant.access_token, "")
    assert harness.introspected(grant.access_token) == INACTIVE
    assert harness.introspected(grant.refresh_token or "") == INACTIVE


def test_a_revoked_keys_tokens_are_refused_as_soon_as_the_ring_is_followed(harness: Harness, grant: TokenGrant) -> None:
    ask(harness, grant.access_token)
    kid = harness.service.signing_keys.signer().kid
    harness.service.signing_keys.revoke(kid, actor="cli:test")
    harness.service.signing_keys.refresh()
    with pytest.raises(TokenInvalid):
        ask(harness, grant.access_token)
    assert harness.introspected(grant.access_token) == INACTIVE


def test_remembered_results_still_expire_and_are_bounded(
    harness: Harness, grant: TokenGrant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("authsvc.flows.introspection.REMEMBERED", 2)
    authorization_codes = [grant, refresh(harness, grant)]
    authorization_codes.append(refresh(harness, authorization_codes[1]))
    for each in (*authorization_codes, *authorization_codes):
        ask(harness, each.access_token)
    harness.clock.advance_s(600)
    with pytest.raises(TokenInvalid, match="expired"):
        ask(harness, authorization_codes[-1].access_token)


def test_without_a_ring_nothing_is_decided(harness: Harness, grant: TokenGrant) -> None:
    fresh = harness.service
    again = type(fresh)(
        fresh.settings,
        fresh.catalogue,
        fresh.limits,
        store=fresh.store,
        clock=harness.clock,
        entropy=harness.entropy,
        metrics=fresh.metrics,
    )
    with pytest.raises(KeysetUnusable):
        again.forward_auth.authorise(grant.access_token, "maple", None, None, None)


def test_a_session_of_another_catalogue_keeps_its_scopes(harness: Harness, grant: TokenGrant) -> None:
    """An instance with a newer workflows file answers for sessions that were opened with the older one."""
    service = harness.service
    newer = type(service)(
        service.settings,
        Catalogue(service.catalogue.all()[:1]),
        service.limits,
        store=service.store,
        clock=harness.clock,
        entropy=harness.entropy,
        metrics=service.metrics,
    )
    newer.signing_keys.ensure()
    again = newer.sessions.refresh(harness.client, grant.refresh_token or "", None, "")
    assert again.scope == grant.scope
