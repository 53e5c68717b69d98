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
from tests.flows.conftest import House
from tests.flows.visitors import Portal, enter, look

INACTIVE = {"active": False}


def refresh(house: House, grant: TokenGrant, scope: str | None = None, client: Any = None) -> TokenGrant:
    return house.sessions.refresh(client or house.client, grant.refresh_token or "", scope, "")


def refused(house: House, grant: TokenGrant, client: Any = None) -> str:
    with pytest.raises(InvalidGrant) as caught:
        refresh(house, grant, client=client)
    return caught.value.reason


@pytest.fixture
def grant(house: House) -> TokenGrant:
    house.patient()
    return house.sign_in()


def test_a_successor_with_fewer_scopes_or_of_the_next_key_is_a_token_with_an_id_of_its_own(
    house: House, grant: TokenGrant
) -> None:
    """RFC 7519 §4.1.7: to revoke one by its `jti` must not mean another."""
    made = [refresh(house, grant), refresh(house, grant, "invoices:view")]
    house.service.signing_keys.rotate(actor="cli:test", force=True)
    made.append(refresh(house, grant))
    said = [house.introspected(token.access_token) for token in made]
    assert all(one["active"] for one in said)
    assert len({one["jti"] for one in said}) == len({token.access_token for token in made}) == 3
    house.sessions.revoke(house.client, made[1].access_token, "")
    assert [house.introspected(token.access_token)["active"] for token in made] == [True, False, True]


# --- refresh --------------------------------------------------------------------------------------------------------


def test_a_refresh_gives_new_tokens_and_leaves_the_sign_in_as_it_was(house: House, grant: TokenGrant) -> None:
    house.clock.advance_s(590)
    fresh = refresh(house, grant)
    assert fresh.refresh_token != grant.refresh_token
    before, after = house.introspected(grant.access_token), house.introspected(fresh.access_token)
    for claim in ("auth_time", "acr", "amr", "sub", "scope", "sid", "aud", "client_id"):
        assert before[claim] == after[claim]
    assert after["exp"] == before["exp"] + 590
    assert after["jti"] != before["jti"]


def test_for_thirty_seconds_the_parent_gets_the_same_successor(house: House, grant: TokenGrant) -> None:
    first = refresh(house, grant)
    house.clock.advance_s(30)
    again = refresh(house, grant)
    assert (again.refresh_token, again.access_token) == (first.refresh_token, first.access_token)
    assert again.expires_in_s == first.expires_in_s - 30
    assert house.events().count("session.refreshed") == 1


def test_attack_a_copied_parent_used_later_ends_the_whole_family(house: House, grant: TokenGrant) -> None:
    fresh = refresh(house, grant)
    house.clock.advance_s(31)
    assert refused(house, grant) == "reused"
    assert refused(house, fresh) == "unknown"
    assert house.introspected(fresh.access_token) == INACTIVE
    assert "session.reused" in house.events()


def test_attack_a_grandparent_ends_the_whole_family_at_once(house: House, grant: TokenGrant) -> None:
    second = refresh(house, grant)
    third = refresh(house, second)
    assert refused(house, grant) == "reused"
    assert refused(house, third) == "unknown"


def test_attack_another_client_can_not_refresh(house: House, grant: TokenGrant) -> None:
    other, _ = house.new_client("other")
    assert refused(house, grant, other) == "malformed"
    refresh(house, grant)


def test_attack_a_client_that_no_longer_serves_the_practice_can_not_refresh(house: House, grant: TokenGrant) -> None:
    moved, _ = house.new_client("moved")
    house.patient("p2", "bob@example.org")
    house.entropy.next_below(314159)
    started = house.codes.start(house.act(moved), patient="p2")
    theirs = house.codes.verify(house.act(moved), started.challenge, "314159")
    assert isinstance(theirs, TokenGrant)
    elsewhere = type(moved)(**{**vars(moved), "practices": ("oak",)})
    assert refused(house, theirs, elsewhere) == "unknown"


def test_a_session_idle_for_half_an_hour_is_over_and_a_refresh_counts_as_activity(
    house: House, grant: TokenGrant
) -> None:
    house.clock.advance_s(1800)
    fresh = refresh(house, grant)
    house.clock.advance_ms(1_800_001)
    assert refused(house, fresh) == "expired"


def test_attack_refreshing_for_ever_ends_after_twelve_hours(house: House, grant: TokenGrant) -> None:
    for _ in range(26):
        house.clock.advance_s(1600)
        grant = refresh(house, grant)
    house.clock.advance_s(1600)
    assert refused(house, grant) == "expired"


def test_no_access_token_outlives_its_session(house: House, grant: TokenGrant) -> None:
    for _ in range(26):
        house.clock.advance_s(1650)
        grant = refresh(house, grant)
    assert grant.expires_in_s == 43_200 - 26 * 1650


def test_a_refresh_may_narrow_the_scope_and_never_widen_it(house: House, grant: TokenGrant) -> None:
    for scope in ("contact:view admin", "admin", "contact", " "):
        with pytest.raises(InvalidScope):
            refresh(house, grant, scope=scope)
    narrow = refresh(house, grant, scope="contact:view")
    assert narrow.scope == "contact:view"
    assert "invoices:view" in refresh(house, narrow).scope


def test_attack_a_forged_generation_or_session_is_refused_by_arithmetic(house: House, grant: TokenGrant) -> None:
    token = grant.refresh_token or ""
    for at in (10, 30, 50, len(token) - 3):
        forged = token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :]
        with pytest.raises(InvalidGrant, match="malformed"):
            house.sessions.refresh(house.client, forged, None, "")
    refresh(house, grant)


def test_attack_a_refresh_token_made_with_the_key_but_not_the_nonce_is_refused(house: House, grant: TokenGrant) -> None:
    from authsvc.crypto import tokens

    forged = tokens.build_refresh(
        house.service.data_keys.key("refresh"),
        practice="maple",
        sid=grant.session or "",
        generation=0,
        nonce=bytes(16),
        client="portal",
    )
    with pytest.raises(InvalidGrant, match="unknown"):
        house.sessions.refresh(house.client, forged, None, "")


def test_attack_a_thousand_random_refresh_tokens_meet_a_limit_that_good_ones_do_not(
    house: House, grant: TokenGrant
) -> None:
    with pytest.raises(RateLimited):
        for _ in range(1000):
            with pytest.raises(InvalidGrant):
                house.sessions.refresh(house.client, "art_" + "A" * 100, None, "")
    refresh(house, grant)


@pytest.mark.parametrize("end", ["delete", "withdraw", "move", "sign_out", "sign_out_all", "merge"])
def test_what_ends_a_session_ends_its_refresh_and_its_tokens(house: House, grant: TokenGrant, end: str) -> None:
    house.patient("p2", "bob@example.org")
    match end:
        case "delete":
            house.patients.delete(house.act(), "p1")
        case "withdraw":
            house.patients.withdraw(house.act(), "p1")
        case "move":
            house.patient(email="new@example.org")
        case "sign_out":
            house.sessions.end(house.act(), "p1", grant.session or "")
        case "sign_out_all":
            assert house.sessions.end_all(house.act(), "p1") == 1
        case "merge":
            house.patients.merge(house.act(), "p1", "p2")
    assert refused(house, grant) == "unknown"
    assert house.introspected(grant.access_token) == INACTIVE
    if end == "delete":
        with pytest.raises(PatientNotFound):
            house.sessions.list(house.act(), "p1")
    else:
        assert house.sessions.list(house.act(), "p1") == []


# --- who is signed in -----------------------------------------------------------------------------------------------


def test_sessions_are_listed_while_they_live(house: House, grant: TokenGrant) -> None:
    house.clock.advance_s(60)
    second = house.sign_in()
    listed = house.sessions.list(house.act(), "p1")
    assert [session.id for session in listed] == [second.session, grant.session]
    assert listed[1].expires_at_ms - listed[1].created_at_ms == 43_200_000
    house.clock.advance_ms(1_740_001)
    assert [session.id for session in house.sessions.list(house.act(), "p1")] == [second.session]


def test_the_list_forgets_what_redis_has_forgotten_and_old_ends_leave_the_index(
    house: House, grant: TokenGrant
) -> None:
    house.redis.delete(f"authsvc:{{maple}}:session:{grant.session}")
    assert house.sessions.list(house.act(), "p1") == []
    assert house.redis.zcard("authsvc:{maple}:sessions:p1") == 0


def test_one_session_ends_and_the_others_stay(house: House, grant: TokenGrant) -> None:
    other = house.sign_in()
    house.sessions.end(house.act(), "p1", grant.session or "")
    assert refused(house, grant) == "unknown"
    refresh(house, other)
    with pytest.raises(NotFound):
        house.sessions.end(house.act(), "p1", grant.session or "")


def test_attack_a_session_does_not_end_under_another_patients_name(house: House, grant: TokenGrant) -> None:
    house.patient("p2", "bob@example.org")
    with pytest.raises(NotFound):
        house.sessions.end(house.act(), "p2", grant.session or "")
    refresh(house, grant)


def test_sign_ins_at_the_hosted_pages_are_listed_and_ended_with_the_others(house: House, grant: TokenGrant) -> None:
    """They have no client; what their clients have isn't listed, for it is the sign-in that staff ends."""
    entered, portal = enter(house), Portal(house)
    under = portal.tokens(entered.cookie)
    listed = {session.id: session.client for session in house.sessions.list(house.act(), "p1")}
    assert listed == {grant.session: "portal", entered.sid: ""}
    assert house.sessions.end_all(house.act(), "p1", keep=grant.session) == 1
    assert (look(house, entered), portal.works(under)) == (None, False)
    refresh(house, grant)


def test_staff_may_end_a_sign_in_by_its_own_id_or_that_of_a_client_under_it(house: House, grant: TokenGrant) -> None:
    portal = Portal(house)
    for by_client in (False, True):
        entered = enter(house)
        under = portal.tokens(entered.cookie)
        sid = (under.session or "") if by_client else entered.sid
        house.sessions.end(house.act(), "p1", sid)
        assert (look(house, entered), portal.works(under)) == (None, False)
        with pytest.raises(NotFound):
            house.sessions.end(house.act(), "p1", sid)


def test_attack_a_clients_session_under_a_sign_in_does_not_end_under_another_patients_name(
    house: House, grant: TokenGrant
) -> None:
    house.patient("p2", "bob@example.org")
    entered, portal = enter(house), Portal(house)
    under = portal.tokens(entered.cookie)
    with pytest.raises(NotFound):
        house.sessions.end(house.act(), "p2", under.session or "")
    assert portal.works(under)
    assert look(house, entered)


# --- RFC 7009 -------------------------------------------------------------------------------------------------------


def test_revoking_a_refresh_token_ends_the_session_and_its_access_tokens(house: House, grant: TokenGrant) -> None:
    house.sessions.revoke(house.client, grant.refresh_token or "", "")
    assert refused(house, grant) == "unknown"
    assert house.introspected(grant.access_token) == INACTIVE


def test_revoking_an_access_token_ends_that_token_only(house: House, grant: TokenGrant) -> None:
    house.sessions.revoke(house.client, grant.access_token, "")
    assert house.introspected(grant.access_token) == INACTIVE
    assert house.introspected(refresh(house, grant).access_token)["active"]


def test_revoking_the_same_access_token_again_adds_nothing(house: House, grant: TokenGrant) -> None:
    for _ in range(5):
        house.sessions.revoke(house.client, grant.access_token, "")
    assert house.events().count("token.revoked") == 1


def test_attack_another_clients_tokens_are_not_revoked(house: House, grant: TokenGrant) -> None:
    other, _ = house.new_client("other")
    house.sessions.revoke(other, grant.access_token, "")
    house.sessions.revoke(other, grant.refresh_token or "", "")
    assert house.introspected(grant.access_token)["active"]
    refresh(house, grant)


def test_revoking_what_nobody_knows_is_no_error(house: House) -> None:
    for token in ("", "junk", "art_junk", "a.b.c", "al_" + "A" * 43):
        house.sessions.revoke(house.client, token, "")


# --- RFC 7662 -------------------------------------------------------------------------------------------------------


def test_introspection_says_what_an_active_token_says(house: House, grant: TokenGrant) -> None:
    said = house.introspected(grant.access_token)
    assert said["active"] is True
    assert said["token_type"] == "Bearer"
    assert {"scope", "client_id", "sub", "aud", "iss", "exp", "iat", "jti", "acr", "auth_time"} <= said.keys()


def test_anything_else_is_exactly_inactive(house: House, grant: TokenGrant) -> None:
    other_audience, _ = house.new_client("reports", audience="reporting")
    elsewhere, _ = house.new_client("oak", practices=("oak",))
    asked = [
        house.introspected("junk"),
        house.introspected("art_junk"),
        house.introspected(grant.access_token[:-4] + "AAAA"),
        house.sessions.introspect(other_audience, grant.access_token, ""),
        house.sessions.introspect(elsewhere, grant.access_token, ""),
        house.sessions.introspect(elsewhere, grant.refresh_token or "", ""),
    ]
    house.clock.advance_s(600)
    asked.append(house.introspected(grant.access_token))
    assert asked == [INACTIVE] * 7


def test_a_clients_own_refresh_token_is_active_until_it_is_used(house: House, grant: TokenGrant) -> None:
    said = house.introspected(grant.refresh_token or "")
    assert said == {"active": True, "client_id": "portal", "sid": grant.session}
    refresh(house, grant)
    assert house.introspected(grant.refresh_token or "") == INACTIVE


def test_a_refresh_token_of_a_client_that_moved_on_is_inactive(house: House, grant: TokenGrant) -> None:
    moved = type(house.client)(**{**vars(house.client), "practices": ("oak",)})
    assert house.sessions.introspect(moved, grant.refresh_token or "", "") == INACTIVE


# --- forward-auth ---------------------------------------------------------------------------------------------------


def ask(house: House, token: str, **want: str | None) -> Any:
    given: dict[str, Any] = {"practice": "maple", "scope": None, "resource": None, "acr": None, **want}
    return house.service.forward_auth.authorise(token, **given)


def test_forward_auth_lets_a_good_token_through(house: House, grant: TokenGrant) -> None:
    for want in (
        {},
        {"practice": "*"},
        {"scope": "contact:view contact:edit"},
        {"acr": "extra"},
        {"acr": "instant"},
        {"resource": "invoice:inv_1"},
    ):
        assert ask(house, grant.access_token, **want)["patient"] == "p1"


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
    house: House, grant: TokenGrant, want: dict[str, str | None], missing: str
) -> None:
    with pytest.raises(TokenInsufficient) as caught:
        ask(house, grant.access_token, **want)
    assert caught.value.missing == missing


def test_attack_a_links_token_reaches_its_own_resource_only(house: House) -> None:
    link = house.links.exchange(house.act(), house.link())
    assert isinstance(link, TokenGrant)
    assert ask(house, link.access_token, resource="invoice:inv_1", scope="invoice:pay")["link"]
    for want in ({"resource": "invoice:inv_2"}, {"resource": None}, {"acr": "extra", "resource": "invoice:inv_1"}):
        with pytest.raises(TokenInsufficient):
            ask(house, link.access_token, **want)


def test_a_revoked_session_token_or_link_is_refused_at_once(house: House, grant: TokenGrant) -> None:
    ask(house, grant.access_token)
    house.sessions.end_all(house.act(), "p1")
    with pytest.raises(TokenInvalid, match="revoked"):
        ask(house, grant.access_token)
    link = house.links.exchange(house.act(), house.link())
    assert isinstance(link, TokenGrant)
    house.links.revoke_where(house.act(), patient="p1")
    with pytest.raises(TokenInvalid, match="revoked"):
        ask(house, link.access_token, resource="invoice:inv_1")


def test_attack_a_token_of_a_removed_practice_is_refused(house: House, grant: TokenGrant) -> None:
    house.service.practices.remove("maple", actor="cli:test")
    with pytest.raises(TokenInvalid, match="revoked"):
        ask(house, grant.access_token, practice="*")
    house.sessions.revoke(house.client, grant.access_token, "")
    assert house.introspected(grant.access_token) == INACTIVE
    assert house.introspected(grant.refresh_token or "") == INACTIVE


def test_a_revoked_keys_tokens_are_refused_as_soon_as_the_ring_is_followed(house: House, grant: TokenGrant) -> None:
    ask(house, grant.access_token)
    kid = house.service.signing_keys.signer().kid
    house.service.signing_keys.revoke(kid, actor="cli:test")
    house.service.signing_keys.refresh()
    with pytest.raises(TokenInvalid):
        ask(house, grant.access_token)
    assert house.introspected(grant.access_token) == INACTIVE


def test_remembered_results_still_expire_and_are_bounded(
    house: House, grant: TokenGrant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("authsvc.flows.introspection.REMEMBERED", 2)
    authorization_codes = [grant, refresh(house, grant)]
    authorization_codes.append(refresh(house, authorization_codes[1]))
    for each in (*authorization_codes, *authorization_codes):
        ask(house, each.access_token)
    house.clock.advance_s(600)
    with pytest.raises(TokenInvalid, match="expired"):
        ask(house, authorization_codes[-1].access_token)


def test_without_a_ring_nothing_is_decided(house: House, grant: TokenGrant) -> None:
    fresh = house.service
    again = type(fresh)(
        fresh.settings,
        fresh.catalogue,
        fresh.limits,
        store=fresh.store,
        clock=house.clock,
        entropy=house.entropy,
        metrics=fresh.metrics,
    )
    with pytest.raises(KeysetUnusable):
        again.forward_auth.authorise(grant.access_token, "maple", None, None, None)


def test_a_session_of_another_catalogue_keeps_its_scopes(house: House, grant: TokenGrant) -> None:
    """An instance with a newer workflows file answers for sessions that were opened with the older one."""
    service = house.service
    newer = type(service)(
        service.settings,
        Catalogue(service.catalogue.all()[:1]),
        service.limits,
        store=service.store,
        clock=house.clock,
        entropy=house.entropy,
        metrics=service.metrics,
    )
    newer.signing_keys.ensure()
    again = newer.sessions.refresh(house.client, grant.refresh_token or "", None, "")
    assert again.scope == grant.scope
