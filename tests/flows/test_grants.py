"""Authorization codes of a sign-in: for one client, once, for a minute; and the tokens that come of them."""

from __future__ import annotations

import dataclasses
import json
import re
from typing import Any

import jwt
import pytest

from authsvc import verifier
from authsvc.crypto import keys, tokens
from authsvc.crypto.id_tokens import at_hash
from authsvc.errors import InvalidGrant, InvalidScope, RateLimited, SignInNeeded, TokenInsufficient, TokenInvalid
from authsvc.flows.authorization_codes import s256
from authsvc.model import IdTokenHint, NewBrowserSession, TokenGrant
from tests import records
from tests.fakes import NINE_O_CLOCK_MS
from tests.flows.conftest import House
from tests.flows.visitors import VERIFIER, Portal, ended_in_feed, enter, everything, look, page

NOW_S = NINE_O_CLOCK_MS // 1000
ISSUER = "http://127.0.0.1:8080"


@pytest.fixture
def portal(house: House) -> Portal:
    house.patient()
    return Portal(house)


@pytest.fixture
def entered(house: House, portal: Portal) -> NewBrowserSession:
    return enter(house)


def needed(portal: Portal, cookie: str, **asked: Any) -> str:
    """Why the sign-in doesn't do for what is asked."""
    with pytest.raises(SignInNeeded) as caught:
        portal.code(cookie, **asked)
    return caught.value.reason


def said(house: House, token: str | None) -> dict[str, Any]:
    """An ID token as a client reads it."""
    assert token is not None
    key = house.service.signing_keys.verification_keys()[jwt.get_unverified_header(token)["kid"]]
    options: Any = {"verify_exp": False, "verify_iat": False, "verify_aud": False}  # the test's clock
    claims: dict[str, Any] = jwt.decode(
        token, jwt.PyJWK(dict(key.jwk)), algorithms=["ES256"], issuer=ISSUER, options=options
    )
    return claims


# --- a code ---------------------------------------------------------------------------------------------------------


def test_a_code_gives_a_session_of_the_clients_own_under_the_sign_in(
    house: House, portal: Portal, entered: NewBrowserSession
) -> None:
    code = portal.code(entered.cookie)
    assert re.fullmatch(r"aac_maple\.[A-Za-z0-9_-]{43}", code)
    grant = portal.redeem(code)
    assert (grant.patient, grant.practice, grant.expires_in_s) == ("p1", "maple", 600)
    assert grant.session != entered.sid
    assert records.read(house.redis, "session", str(grant.session))["parent"] == entered.sid
    claims = house.introspected(grant.access_token)
    assert (claims["client_id"], claims["acr"], claims["amr"], claims["sid"]) == (
        "web",
        "extra",
        ["email"],
        grant.session,
    )
    assert portal.works(grant)


def test_redis_holds_no_code_and_the_trail_neither(house: House, portal: Portal, entered: NewBrowserSession) -> None:
    code = portal.code(entered.cookie)
    secret = code.partition(".")[2]
    assert not any(secret in key or secret.encode() in kept for key, kept in everything(house).items())
    portal.redeem(code)
    issued, redeemed = (entry for entry in house.trail() if entry["event"].startswith("grant."))
    assert (issued["event"], issued["sid"], issued["patient"]) == ("grant.issued", entered.sid, "p1")
    assert (redeemed["event"], redeemed["patient"], redeemed["actor"]) == ("grant.redeemed", "p1", "client:web")


def test_the_pkce_challenge_is_that_of_the_rfc() -> None:
    assert s256(VERIFIER) == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"  # RFC 7636, appendix B


def test_a_code_lives_for_a_minute(house: House, portal: Portal, entered: NewBrowserSession) -> None:
    first, second = portal.code(entered.cookie), portal.code(entered.cookie)
    house.clock.advance_ms(59_999)
    portal.redeem(first)
    house.clock.advance_ms(1)
    assert portal.refused(second) == "expired"


def test_attack_a_second_use_ends_what_the_first_one_gave(
    house: House, portal: Portal, entered: NewBrowserSession
) -> None:
    code, kept = portal.code(entered.cookie), portal.tokens(entered.cookie)
    grant = portal.refresh(portal.redeem(code))
    assert portal.refused(code) == "reused"
    assert not portal.works(grant)
    with pytest.raises(InvalidGrant, match="unknown"):
        portal.refresh(grant)
    assert ended_in_feed(house) == [grant.session]
    assert portal.refused(code) == "reused"
    ended = [entry for entry in house.trail() if entry["event"] in ("session.ended", "grant.reused")]
    assert [(entry["event"], entry["sid"]) for entry in ended] == [
        ("session.ended", grant.session),
        ("grant.reused", grant.session),
        ("grant.reused", grant.session),
    ]
    assert portal.works(kept)  # of the same sign-in, by another code
    assert look(house, entered)


def test_attack_a_code_that_comes_again_ten_minutes_later_still_ends_it(
    house: House, portal: Portal, entered: NewBrowserSession
) -> None:
    code = portal.code(entered.cookie)
    grant = portal.redeem(code)
    house.clock.advance_s(590)
    assert portal.refused(code) == "reused"
    assert not portal.works(grant)


def test_attack_who_has_the_code_and_not_the_verifier_gets_nothing_and_spoils_nothing(
    house: House, portal: Portal, entered: NewBrowserSession
) -> None:
    code = portal.code(entered.cookie)
    for guess in ("", "A" * 43, s256(VERIFIER), VERIFIER.lower(), VERIFIER + "A", "\ud800"):
        assert portal.refused(code, verifier=guess) == "pkce"
    grant = portal.redeem(code)
    assert portal.refused(code, verifier="A" * 43) == "pkce"
    assert portal.works(grant)


def test_attack_a_code_is_for_one_address(house: House, portal: Portal, entered: NewBrowserSession) -> None:
    code = portal.code(entered.cookie)
    for address in ("https://web.example/in/", "https://web.example/in?a=b", "https://evil.example/in"):
        assert portal.refused(code, redirect_uri=address) == "redirect"
    portal.redeem(code)


def test_attack_a_code_is_for_one_client(house: House, portal: Portal, entered: NewBrowserSession) -> None:
    other, code = Portal(house, "other"), portal.code(entered.cookie)
    assert other.refused(code, redirect_uri=portal.redirect_uri) == "other_client"
    portal.redeem(code)


def test_attack_a_code_is_for_one_practice(house: House, portal: Portal, entered: NewBrowserSession) -> None:
    house.service.practices.add("oak", name="Oak", actor="cli:test")
    oak, _ = house.new_client("oak-web", practices=("oak",))
    both = dataclasses.replace(portal.client, practices=("maple", "oak"))
    code = portal.code(entered.cookie)
    elsewhere = code.replace("aac_maple.", "aac_oak.")
    for client, tried in ((oak, code), (portal.client, elsewhere), (both, elsewhere)):
        with pytest.raises(InvalidGrant, match="unknown"):
            house.service.authorization_codes.redeem(client, tried, portal.redirect_uri, VERIFIER, "")
    portal.redeem(code)


@pytest.mark.parametrize("code", ["", "aac_", "aac_maple.", "aac_maple." + "A" * 43, "maple.A", "aac_elm.A", "art_A"])
def test_attack_an_invented_code_is_unknown(house: House, portal: Portal, code: str) -> None:
    assert portal.refused(code) == "unknown"


def test_attack_inventing_codes_meets_the_clients_limit(house: House, portal: Portal) -> None:
    with pytest.raises(RateLimited):
        for _ in range(10_000):
            portal.refused("aac_maple." + "A" * 43)


def test_every_refusal_of_a_known_code_is_in_the_trail(
    house: House, portal: Portal, entered: NewBrowserSession
) -> None:
    code = portal.code(entered.cookie)
    portal.refused(code, verifier="A" * 43)
    portal.refused("aac_maple.A")
    refused = [entry for entry in house.trail() if entry["event"] == "grant.refused"]
    assert [(entry["cause"], entry.get("sid")) for entry in refused] == [("pkce", entered.sid), ("unknown", None)]


@pytest.mark.parametrize("end", ["sign_out", "idle", "succeeded"])
def test_a_sign_in_that_ends_between_code_and_tokens_gives_none(
    house: House, portal: Portal, entered: NewBrowserSession, end: str
) -> None:
    code = portal.code(entered.cookie)
    match end:
        case "sign_out":
            house.service.browser_sessions.sign_out(page(house), entered.cookie)
        case "succeeded":
            enter(house, before=entered.cookie)
        case "idle":  # as if its use, which a code is, had been long ago
            records.change(house.redis, "session", entered.sid, used=house.clock.now_ms() - 1_800_001)
    assert portal.refused(code) == "ended"


# --- for whom and since when --------------------------------------------------------------------------------------


def test_without_a_sign_in_somebody_has_to_sign_in(house: House, portal: Portal, entered: NewBrowserSession) -> None:
    for cookie in ("", "junk", f"{entered.sid}.{'A' * 22}", f"{'A' * 22}.{'A' * 22}"):
        assert needed(portal, cookie) == "none"
    house.clock.advance_ms(1_800_001)
    assert needed(portal, entered.cookie) == "none"
    assert "grant.issued" not in house.events()


def test_a_sign_in_older_than_the_client_allows_does_not_do(
    house: House, portal: Portal, entered: NewBrowserSession
) -> None:
    portal.code(entered.cookie, max_age_s=0)
    house.clock.advance_s(60)
    portal.code(entered.cookie, max_age_s=60)
    house.clock.advance_ms(1)
    assert needed(portal, entered.cookie, max_age_s=60) == "max_age"
    assert needed(portal, entered.cookie, max_age_s=0) == "max_age"
    portal.code(entered.cookie, max_age_s=60, fresh=True)  # proven a moment ago, typed slowly
    portal.code(entered.cookie)


def test_a_refresh_or_being_still_there_makes_no_sign_in_younger(
    house: House, portal: Portal, entered: NewBrowserSession
) -> None:
    grant = portal.tokens(entered.cookie)
    house.clock.advance_s(100)
    portal.refresh(grant)
    house.service.browser_sessions.extend(page(house), entered.cookie)
    assert needed(portal, entered.cookie, max_age_s=99) == "max_age"


def test_a_client_that_hints_at_another_patient_gets_no_code_for_this_one(
    house: House, portal: Portal, entered: NewBrowserSession
) -> None:
    house.patient("p2", "bob@example.org")
    assert needed(portal, entered.cookie, expected_patient="p2") == "other_patient"
    assert needed(portal, entered.cookie, expected_patient="p2", fresh=True) == "other_patient"
    portal.code(entered.cookie, expected_patient="p1")
    house.patients.merge(house.act(), "p2", "p1")
    portal.code(entered.cookie, expected_patient="p2")  # who is p1 now


def test_codes_are_limited_by_the_browsers_network(house: House, portal: Portal, entered: NewBrowserSession) -> None:
    with pytest.raises(RateLimited):
        for _ in range(1000):
            house.service.authorization_codes.for_browser_session(
                page(house, client_ip="192.0.2.7"), portal.asked(), entered.cookie
            )


# --- tokens ---------------------------------------------------------------------------------------------------------


def test_the_id_token_says_exactly_this(house: House, portal: Portal, entered: NewBrowserSession) -> None:
    house.clock.advance_s(30)
    grant = portal.tokens(entered.cookie)
    assert jwt.get_unverified_header(grant.id_token or "").keys() == {"alg", "typ", "kid"}
    assert jwt.get_unverified_header(grant.id_token or "")["typ"] == "JWT"
    assert said(house, grant.id_token) == {
        "iss": ISSUER,
        "sub": "maple:p1",
        "aud": "web",
        "iat": NOW_S + 30,
        "exp": NOW_S + 630,
        "auth_time": NOW_S,
        "acr": "extra",
        "amr": ["email"],
        "practice": "maple",
        "sid": grant.session,
        "nonce": "n-0S6_WzA2Mj",
        "at_hash": at_hash("ES256", grant.access_token),
    }


def test_a_refreshed_id_token_says_the_same_of_the_sign_in_and_has_no_nonce(
    house: House, portal: Portal, entered: NewBrowserSession
) -> None:
    """OpenID Connect Core §12.2."""
    grant = portal.tokens(entered.cookie)
    house.clock.advance_s(500)
    first, fresh = said(house, grant.id_token), said(house, portal.refresh(grant).id_token)
    assert first.keys() - fresh.keys() == {"nonce"}
    changed = {name for name in fresh if fresh[name] != first[name]}
    assert changed == {"iat", "exp", "at_hash"}


def test_a_code_without_a_nonce_gives_an_id_token_without_one(
    house: House, portal: Portal, entered: NewBrowserSession
) -> None:
    assert "nonce" not in said(house, portal.tokens(entered.cookie, nonce="").id_token)


def test_the_access_token_says_the_scopes_that_were_asked_for_and_a_refresh_no_more(
    house: House, portal: Portal, entered: NewBrowserSession
) -> None:
    grant = portal.tokens(entered.cookie, scopes=("openid", "contact:view"))
    assert grant.scope == house.introspected(grant.access_token)["scope"] == "openid contact:view"
    assert portal.refresh(grant).scope == "openid contact:view"
    for more in ("invoices:view", "openid contact:view contact:edit"):
        with pytest.raises(InvalidScope):
            portal.refresh(portal.tokens(entered.cookie, scopes=("openid", "contact:view")), more)
    with pytest.raises(TokenInsufficient):
        house.service.forward_auth.authorise(grant.access_token, "maple", "invoices:view", None, None)


def test_without_openid_there_is_no_id_token_now_or_later(
    house: House, portal: Portal, entered: NewBrowserSession
) -> None:
    grant = portal.tokens(entered.cookie, scopes=("contact:view",))
    assert (grant.scope, grant.id_token, portal.refresh(grant).id_token) == ("contact:view", None, None)
    with pytest.raises(TokenInsufficient):
        house.service.userinfo.of(grant.access_token, "")


def test_the_access_token_is_for_the_clients_audience_and_the_id_token_for_the_client(
    house: House, entered: NewBrowserSession
) -> None:
    billing = Portal(house, "billing", audience="billing-api")
    grant = billing.tokens(entered.cookie)
    with pytest.raises(TokenInvalid, match="audience"):
        house.service.forward_auth.authorise(grant.access_token, "maple", None, None, None)
    assert house.service.forward_auth.authorise(grant.access_token, "maple", None, None, None, "billing-api")
    assert said(house, grant.id_token)["aud"] == "billing"


def test_attack_an_id_token_opens_nothing(house: House, portal: Portal, entered: NewBrowserSession) -> None:
    grant = portal.tokens(entered.cookie)
    token = grant.id_token or ""
    for judge in (
        lambda: house.service.forward_auth.authorise(token, "*", None, None, None),
        lambda: house.service.forward_auth.authorise(token, "*", None, None, None, "web"),
        lambda: house.service.userinfo.of(token, ""),
    ):
        with pytest.raises(TokenInvalid, match="typ"):
            judge()
    assert house.sessions.introspect(portal.client, token, "") == {"active": False}
    house.sessions.revoke(portal.client, token, "")
    with pytest.raises(InvalidGrant):
        house.sessions.refresh(portal.client, token, None, "")
    assert portal.works(grant)


@pytest.mark.parametrize("audience", ["web", "practice-services"])
def test_attack_no_service_takes_an_id_token_whatever_audience_it_has(
    house: House, portal: Portal, entered: NewBrowserSession, audience: str
) -> None:
    grant = portal.tokens(entered.cookie)
    keys = json.dumps({"keys": [dict(key.jwk) for key in house.service.signing_keys.verification_keys().values()]})
    service = verifier.Verifier(
        ISSUER,
        audience,
        "maple",
        now=lambda: house.clock.now_ms() / 1000,
        fetch=lambda _: keys.encode(),
    )
    with pytest.raises(verifier.InvalidToken, match="typ"):
        service.verify(grant.id_token or "")


# --- a hint at an earlier sign-in ---------------------------------------------------------------------------------


def test_an_id_token_of_any_age_names_its_client_and_patient(
    house: House, portal: Portal, entered: NewBrowserSession
) -> None:
    grant = portal.tokens(entered.cookie)
    house.service.browser_sessions.sign_out(page(house), entered.cookie)
    house.clock.advance_s(86_400 * 365)
    assert house.service.authorization_codes.read_id_token_hint(grant.id_token or "") == IdTokenHint(
        "web", "maple", "p1", grant.session or ""
    )


def test_a_token_that_is_no_hint_any_more_still_says_which_client_it_was_for(
    house: House, portal: Portal, entered: NewBrowserSession
) -> None:
    grant = portal.tokens(entered.cookie)
    assert house.service.authorization_codes.unverified_audience(grant.id_token or "") == "web"
    assert house.service.authorization_codes.unverified_audience("junk") == ""


def test_attack_nothing_else_of_ours_is_a_hint(house: House, portal: Portal, entered: NewBrowserSession) -> None:
    grant = portal.tokens(entered.cookie)
    head, body, signature = (grant.id_token or "").split(".")
    link = house.links.exchange(house.act(), house.link())
    assert isinstance(link, TokenGrant)
    for token in (
        grant.access_token,
        grant.refresh_token or "",
        link.access_token,
        house.service.revocations.feed("maple").token,
        f"{head}.{body}.{signature[::-1]}",
        f"{head}.{body}",
        entered.cookie,
        "",
    ):
        assert house.service.authorization_codes.read_id_token_hint(token) is None


def test_attack_an_id_token_of_a_revoked_key_is_no_hint(
    house: House, portal: Portal, entered: NewBrowserSession
) -> None:
    grant = portal.tokens(entered.cookie)
    house.service.signing_keys.revoke(house.service.signing_keys.signer().kid, actor="cli:test")
    house.service.signing_keys.refresh()
    assert house.service.authorization_codes.read_id_token_hint(grant.id_token or "") is None


def test_another_installations_id_token_is_no_hint(house: House, portal: Portal, entered: NewBrowserSession) -> None:
    settings = dataclasses.replace(house.service.settings, public_url="http://127.0.0.1:9090")
    grant = portal.tokens(entered.cookie)
    codes = house.service.authorization_codes
    codes._deps = dataclasses.replace(house.service.deps, settings=settings)
    assert house.service.authorization_codes.read_id_token_hint(grant.id_token or "") is None


def test_an_id_token_that_has_outlived_its_key_still_says_whose_it_was_and_no_more(house: House) -> None:
    house.patient()
    portal = Portal(house)
    token = portal.tokens(enter(house).cookie).id_token or ""
    authorization_codes = house.service.authorization_codes
    assert authorization_codes.read_unverified_hint(token) is None  # its key is there
    house.service.signing_keys.revoke(house.service.signing_keys.signer().kid, actor="cli:test")
    assert authorization_codes.read_id_token_hint(token) is None
    assert authorization_codes.read_unverified_hint(token) == IdTokenHint("web", "maple", "p1", verified=False)
    assert authorization_codes.read_unverified_hint("junk") is None


@pytest.mark.parametrize(
    "said", [{}, {"sub": "maple:p1"}, {"sub": 7, "aud": "web"}, {"sub": "maple:p1", "aud": ["web"]}]
)
def test_attack_a_token_of_an_unknown_key_that_names_nobody_is_no_hint(house: House, said: dict[str, Any]) -> None:
    token = tokens.sign(keys.generate("ES256"), said, "JWT")
    assert house.service.authorization_codes.read_unverified_hint(token) is None
