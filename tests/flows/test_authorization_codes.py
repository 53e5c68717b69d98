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
from tests.flows.conftest import Harness
from tests.flows.visitors import VERIFIER, Portal, ended_in_feed, enter, everything, look, page

NOW_S = NINE_O_CLOCK_MS // 1000
ISSUER = "http://127.0.0.1:8080"


@pytest.fixture
def portal(harness: Harness) -> Portal:
    harness.patient()
    return Portal(harness)


@pytest.fixture
def browser_session(harness: Harness, portal: Portal) -> NewBrowserSession:
    return enter(harness)


def needed(portal: Portal, cookie: str, **asked: Any) -> str:
    """Why the sign-in doesn't do for what is asked."""
    with pytest.raises(SignInNeeded) as caught:
        portal.code(cookie, **asked)
    return caught.value.reason


def claims_of(harness: Harness, token: str | None) -> dict[str, Any]:
    """An ID token as a client reads it."""
    assert token is not None
    key = harness.service.signing_keys.verification_keys()[jwt.get_unverified_header(token)["kid"]]
    options: Any = {"verify_exp": False, "verify_iat": False, "verify_aud": False}  # the test's clock
    claims: dict[str, Any] = jwt.decode(
        token, jwt.PyJWK(dict(key.jwk)), algorithms=["ES256"], issuer=ISSUER, options=options
    )
    return claims


# --- a code ---------------------------------------------------------------------------------------------------------


def test_a_code_gives_a_session_of_the_clients_own_under_the_sign_in(
    harness: Harness, portal: Portal, browser_session: NewBrowserSession
) -> None:
    code = portal.code(browser_session.cookie)
    assert re.fullmatch(r"aac_maple\.[A-Za-z0-9_-]{43}", code)
    grant = portal.redeem(code)
    assert (grant.patient, grant.practice, grant.expires_in_s) == ("p1", "maple", 600)
    assert grant.session != browser_session.sid
    assert records.read(harness.redis, "session", str(grant.session))["parent"] == browser_session.sid
    claims = harness.introspected(grant.access_token)
    assert (claims["client_id"], claims["acr"], claims["amr"], claims["sid"]) == (
        "web",
        "extra",
        ["email"],
        grant.session,
    )
    assert portal.works(grant)


def test_redis_holds_no_code_and_the_trail_neither(
    harness: Harness, portal: Portal, browser_session: NewBrowserSession
) -> None:
    code = portal.code(browser_session.cookie)
    secret = code.partition(".")[2]
    assert not any(secret in key or secret.encode() in kept for key, kept in everything(harness).items())
    portal.redeem(code)
    issued, redeemed = (entry for entry in harness.audit_entries() if entry["event"].startswith("grant."))
    assert (issued["event"], issued["sid"], issued["patient"]) == ("grant.issued", browser_session.sid, "p1")
    assert (redeemed["event"], redeemed["patient"], redeemed["actor"]) == ("grant.redeemed", "p1", "client:web")


def test_the_pkce_challenge_is_that_of_the_rfc() -> None:
    assert s256(VERIFIER) == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"  # RFC 7636, appendix B


def test_a_code_lives_for_a_minute(harness: Harness, portal: Portal, browser_session: NewBrowserSession) -> None:
    first, second = portal.code(browser_session.cookie), portal.code(browser_session.cookie)
    harness.clock.advance_ms(59_999)
    portal.redeem(first)
    harness.clock.advance_ms(1)
    assert portal.refused(second) == "expired"


def test_attack_a_second_use_ends_what_the_first_one_gave(
    harness: Harness, portal: Portal, browser_session: NewBrowserSession
) -> None:
    code, kept = portal.code(browser_session.cookie), portal.tokens(browser_session.cookie)
    grant = portal.refresh(portal.redeem(code))
    assert portal.refused(code) == "reused"
    assert not portal.works(grant)
    with pytest.raises(InvalidGrant, match="unknown"):
        portal.refresh(grant)
    assert ended_in_feed(harness) == [grant.session]
    assert portal.refused(code) == "reused"
    ended = [entry for entry in harness.audit_entries() if entry["event"] in ("session.ended", "grant.reused")]
    assert [(entry["event"], entry["sid"]) for entry in ended] == [
        ("session.ended", grant.session),
        ("grant.reused", grant.session),
        ("grant.reused", grant.session),
    ]
    assert portal.works(kept)  # of the same sign-in, by another code
    assert look(harness, browser_session)


def test_attack_a_code_that_comes_again_ten_minutes_later_still_ends_it(
    harness: Harness, portal: Portal, browser_session: NewBrowserSession
) -> None:
    code = portal.code(browser_session.cookie)
    grant = portal.redeem(code)
    harness.clock.advance_s(590)
    assert portal.refused(code) == "reused"
    assert not portal.works(grant)


def test_attack_who_has_the_code_and_not_the_verifier_gets_nothing_and_spoils_nothing(
    harness: Harness, portal: Portal, browser_session: NewBrowserSession
) -> None:
    code = portal.code(browser_session.cookie)
    for guess in ("", "A" * 43, s256(VERIFIER), VERIFIER.lower(), VERIFIER + "A", "\ud800"):
        assert portal.refused(code, verifier=guess) == "pkce"
    grant = portal.redeem(code)
    assert portal.refused(code, verifier="A" * 43) == "pkce"
    assert portal.works(grant)


def test_attack_a_code_is_for_one_address(harness: Harness, portal: Portal, browser_session: NewBrowserSession) -> None:
    code = portal.code(browser_session.cookie)
    for address in ("https://web.example/in/", "https://web.example/in?a=b", "https://evil.example/in"):
        assert portal.refused(code, redirect_uri=address) == "redirect"
    portal.redeem(code)


def test_attack_a_code_is_for_one_client(harness: Harness, portal: Portal, browser_session: NewBrowserSession) -> None:
    other, code = Portal(harness, "other"), portal.code(browser_session.cookie)
    assert other.refused(code, redirect_uri=portal.redirect_uri) == "other_client"
    portal.redeem(code)


def test_attack_a_code_is_for_one_practice(
    harness: Harness, portal: Portal, browser_session: NewBrowserSession
) -> None:
    harness.service.practices.add("oak", name="Oak", actor="cli:test")
    oak, _ = harness.new_client("oak-web", practices=("oak",))
    both = dataclasses.replace(portal.client, practices=("maple", "oak"))
    code = portal.code(browser_session.cookie)
    elsewhere = code.replace("aac_maple.", "aac_oak.")
    for client, tried in ((oak, code), (portal.client, elsewhere), (both, elsewhere)):
        with pytest.raises(InvalidGrant, match="unknown"):
            harness.service.authorization_codes.redeem(client, tried, portal.redirect_uri, VERIFIER, "")
    portal.redeem(code)


@pytest.mark.parametrize("code", ["", "aac_", "aac_maple.", "aac_maple." + "A" * 43, "maple.A", "aac_elm.A", "art_A"])
def test_attack_an_invented_code_is_unknown(harness: Harness, portal: Portal, code: str) -> None:
    assert portal.refused(code) == "unknown"


def test_attack_inventing_codes_meets_the_clients_limit(harness: Harness, portal: Portal) -> None:
    with pytest.raises(RateLimited):
        for _ in range(10_000):
            portal.refused("aac_maple." + "A" * 43)


def test_every_refusal_of_a_known_code_is_in_the_trail(
    harness: Harness, portal: Portal, browser_session: NewBrowserSession
) -> None:
    code = portal.code(browser_session.cookie)
    portal.refused(code, verifier="A" * 43)
    portal.refused("aac_maple.A")
    refused = [entry for entry in harness.audit_entries() if entry["event"] == "grant.refused"]
    assert [(entry["cause"], entry.get("sid")) for entry in refused] == [
        ("pkce", browser_session.sid),
        ("unknown", None),
    ]


@pytest.mark.parametrize("end", ["sign_out", "idle", "succeeded"])
def test_a_sign_in_that_ends_between_code_and_tokens_gives_none(
    harness: Harness, portal: Portal, browser_session: NewBrowserSession, end: str
) -> None:
    code = portal.code(browser_session.cookie)
    match end:
        case "sign_out":
            harness.service.browser_sessions.sign_out(page(harness), browser_session.cookie)
        case "succeeded":
            enter(harness, before=browser_session.cookie)
        case "idle":  # as if its use, which a code is, had been long ago
            records.change(harness.redis, "session", browser_session.sid, used=harness.clock.now_ms() - 1_800_001)
    assert portal.refused(code) == "ended"


# --- for whom and since when --------------------------------------------------------------------------------------


def test_without_a_sign_in_somebody_has_to_sign_in(
    harness: Harness, portal: Portal, browser_session: NewBrowserSession
) -> None:
    for cookie in ("", "junk", f"{browser_session.sid}.{'A' * 22}", f"{'A' * 22}.{'A' * 22}"):
        assert needed(portal, cookie) == "none"
    harness.clock.advance_ms(1_800_001)
    assert needed(portal, browser_session.cookie) == "none"
    assert "grant.issued" not in harness.events()


def test_a_sign_in_older_than_the_client_allows_does_not_do(
    harness: Harness, portal: Portal, browser_session: NewBrowserSession
) -> None:
    portal.code(browser_session.cookie, max_age_s=0)
    harness.clock.advance_s(60)
    portal.code(browser_session.cookie, max_age_s=60)
    harness.clock.advance_ms(1)
    assert needed(portal, browser_session.cookie, max_age_s=60) == "max_age"
    assert needed(portal, browser_session.cookie, max_age_s=0) == "max_age"
    portal.code(browser_session.cookie, max_age_s=60, fresh=True)  # proven a moment ago, typed slowly
    portal.code(browser_session.cookie)


def test_a_refresh_or_being_still_there_makes_no_sign_in_younger(
    harness: Harness, portal: Portal, browser_session: NewBrowserSession
) -> None:
    grant = portal.tokens(browser_session.cookie)
    harness.clock.advance_s(100)
    portal.refresh(grant)
    harness.service.browser_sessions.extend(page(harness), browser_session.cookie)
    assert needed(portal, browser_session.cookie, max_age_s=99) == "max_age"


def test_a_client_that_hints_at_another_patient_gets_no_code_for_this_one(
    harness: Harness, portal: Portal, browser_session: NewBrowserSession
) -> None:
    harness.patient("p2", "bob@example.org")
    assert needed(portal, browser_session.cookie, expected_patient="p2") == "other_patient"
    assert needed(portal, browser_session.cookie, expected_patient="p2", fresh=True) == "other_patient"
    portal.code(browser_session.cookie, expected_patient="p1")
    harness.patients.merge(harness.act(), "p2", "p1")
    portal.code(browser_session.cookie, expected_patient="p2")  # who is p1 now


def test_codes_are_limited_by_the_browsers_network(
    harness: Harness, portal: Portal, browser_session: NewBrowserSession
) -> None:
    with pytest.raises(RateLimited):
        for _ in range(1000):
            harness.service.authorization_codes.for_browser_session(
                page(harness, client_ip="192.0.2.7"), portal.asked(), browser_session.cookie
            )


# --- tokens ---------------------------------------------------------------------------------------------------------


def test_the_id_token_says_exactly_this(harness: Harness, portal: Portal, browser_session: NewBrowserSession) -> None:
    harness.clock.advance_s(30)
    grant = portal.tokens(browser_session.cookie)
    assert jwt.get_unverified_header(grant.id_token or "").keys() == {"alg", "typ", "kid"}
    assert jwt.get_unverified_header(grant.id_token or "")["typ"] == "JWT"
    assert claims_of(harness, grant.id_token) == {
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
    harness: Harness, portal: Portal, browser_session: NewBrowserSession
) -> None:
    """OpenID Connect Core §12.2."""
    grant = portal.tokens(browser_session.cookie)
    harness.clock.advance_s(500)
    first, fresh = claims_of(harness, grant.id_token), claims_of(harness, portal.refresh(grant).id_token)
    assert first.keys() - fresh.keys() == {"nonce"}
    changed = {name for name in fresh if fresh[name] != first[name]}
    assert changed == {"iat", "exp", "at_hash"}


def test_a_code_without_a_nonce_gives_an_id_token_without_one(
    harness: Harness, portal: Portal, browser_session: NewBrowserSession
) -> None:
    assert "nonce" not in claims_of(harness, portal.tokens(browser_session.cookie, nonce="").id_token)


def test_the_access_token_says_the_scopes_that_were_asked_for_and_a_refresh_no_more(
    harness: Harness, portal: Portal, browser_session: NewBrowserSession
) -> None:
    grant = portal.tokens(browser_session.cookie, scopes=("openid", "contact:view"))
    assert grant.scope == harness.introspected(grant.access_token)["scope"] == "openid contact:view"
    assert portal.refresh(grant).scope == "openid contact:view"
    for more in ("invoices:view", "openid contact:view contact:edit"):
        with pytest.raises(InvalidScope):
            portal.refresh(portal.tokens(browser_session.cookie, scopes=("openid", "contact:view")), more)
    with pytest.raises(TokenInsufficient):
        harness.service.forward_auth.authorise(grant.access_token, "maple", "invoices:view", None, None)


def test_without_openid_there_is_no_id_token_now_or_later(
    harness: Harness, portal: Portal, browser_session: NewBrowserSession
) -> None:
    grant = portal.tokens(browser_session.cookie, scopes=("contact:view",))
    assert (grant.scope, grant.id_token, portal.refresh(grant).id_token) == ("contact:view", None, None)
    with pytest.raises(TokenInsufficient):
        harness.service.userinfo.of(grant.access_token, "")


def test_the_access_token_is_for_the_clients_audience_and_the_id_token_for_the_client(
    harness: Harness, browser_session: NewBrowserSession
) -> None:
    billing = Portal(harness, "billing", audience="billing-api")
    grant = billing.tokens(browser_session.cookie)
    with pytest.raises(TokenInvalid, match="audience"):
        harness.service.forward_auth.authorise(grant.access_token, "maple", None, None, None)
    assert harness.service.forward_auth.authorise(grant.access_token, "maple", None, None, None, "billing-api")
    assert claims_of(harness, grant.id_token)["aud"] == "billing"


def test_attack_an_id_token_opens_nothing(harness: Harness, portal: Portal, browser_session: NewBrowserSession) -> None:
    grant = portal.tokens(browser_session.cookie)
    token = grant.id_token or ""
    for judge in (
        lambda: harness.service.forward_auth.authorise(token, "*", None, None, None),
        lambda: harness.service.forward_auth.authorise(token, "*", None, None, None, "web"),
        lambda: harness.service.userinfo.of(token, ""),
    ):
        with pytest.raises(TokenInvalid, match="typ"):
            judge()
    assert harness.sessions.introspect(portal.client, token, "") == {"active": False}
    harness.sessions.revoke(portal.client, token, "")
    with pytest.raises(InvalidGrant):
        harness.sessions.refresh(portal.client, token, None, "")
    assert portal.works(grant)


@pytest.mark.parametrize("audience", ["web", "practice-services"])
def test_attack_no_service_takes_an_id_token_whatever_audience_it_has(
    harness: Harness, portal: Portal, browser_session: NewBrowserSession, audience: str
) -> None:
    grant = portal.tokens(browser_session.cookie)
    keys = json.dumps({"keys": [dict(key.jwk) for key in harness.service.signing_keys.verification_keys().values()]})
    service = verifier.Verifier(
        ISSUER,
        audience,
        "maple",
        now=lambda: harness.clock.now_ms() / 1000,
        fetch=lambda _: keys.encode(),
    )
    with pytest.raises(verifier.InvalidToken, match="typ"):
        service.verify(grant.id_token or "")


# --- a hint at an earlier sign-in ---------------------------------------------------------------------------------


def test_an_id_token_of_any_age_names_its_client_and_patient(
    harness: Harness, portal: Portal, browser_session: NewBrowserSession
) -> None:
    grant = portal.tokens(browser_session.cookie)
    harness.service.browser_sessions.sign_out(page(harness), browser_session.cookie)
    harness.clock.advance_s(86_400 * 365)
    assert harness.service.authorization_codes.read_id_token_hint(grant.id_token or "") == IdTokenHint(
        "web", "maple", "p1", grant.session or ""
    )


def test_a_token_that_is_no_hint_any_more_still_says_which_client_it_was_for(
    harness: Harness, portal: Portal, browser_session: NewBrowserSession
) -> None:
    grant = portal.tokens(browser_session.cookie)
    assert harness.service.authorization_codes.unverified_audience(grant.id_token or "") == "web"
    assert harness.service.authorization_codes.unverified_audience("junk") == ""


def test_attack_nothing_else_of_ours_is_a_hint(
    harness: Harness, portal: Portal, browser_session: NewBrowserSession
) -> None:
    grant = portal.tokens(browser_session.cookie)
    head, body, signature = (grant.id_token or "").split(".")
    link = harness.links.exchange(harness.act(), harness.link())
    assert isinstance(link, TokenGrant)
    for token in (
        grant.access_token,
        grant.refresh_token or "",
        link.access_token,
        harness.service.revocations.feed("maple").token,
        f"{head}.{body}.{signature[::-1]}",
        f"{head}.{body}",
        browser_session.cookie,
        "",
    ):
        assert harness.service.authorization_codes.read_id_token_hint(token) is None


def test_attack_an_id_token_of_a_revoked_key_is_no_hint(
    harness: Harness, portal: Portal, browser_session: NewBrowserSession
) -> None:
    grant = portal.tokens(browser_session.cookie)
    harness.service.signing_keys.revoke(harness.service.signing_keys.signer().kid, actor="cli:test")
    harness.service.signing_keys.refresh()
    assert harness.service.authorization_codes.read_id_token_hint(grant.id_token or "") is None


def test_another_installations_id_token_is_no_hint(
    harness: Harness, portal: Portal, browser_session: NewBrowserSession
) -> None:
    settings = dataclasses.replace(harness.service.settings, public_url="http://127.0.0.1:9090")
    grant = portal.tokens(browser_session.cookie)
    codes = harness.service.authorization_codes
    codes._deps = dataclasses.replace(harness.service.deps, settings=settings)
    assert harness.service.authorization_codes.read_id_token_hint(grant.id_token or "") is None


def test_an_id_token_that_has_outlived_its_key_still_says_whose_it_was_and_no_more(harness: Harness) -> None:
    harness.patient()
    portal = Portal(harness)
    token = portal.tokens(enter(harness).cookie).id_token or ""
    authorization_codes = harness.service.authorization_codes
    assert authorization_codes.read_unverified_hint(token) is None  # its key is there
    harness.service.signing_keys.revoke(harness.service.signing_keys.signer().kid, actor="cli:test")
    assert authorization_codes.read_id_token_hint(token) is None
    assert authorization_codes.read_unverified_hint(token) == IdTokenHint("web", "maple", "p1", verified=False)
    assert authorization_codes.read_unverified_hint("junk") is None


@pytest.mark.parametrize(
    "payload", [{}, {"sub": "maple:p1"}, {"sub": 7, "aud": "web"}, {"sub": "maple:p1", "aud": ["web"]}]
)
def test_attack_a_token_of_an_unknown_key_that_names_nobody_is_no_hint(
    harness: Harness, payload: dict[str, Any]
) -> None:
    token = tokens.sign(keys.generate("ES256"), payload, "JWT")
    assert harness.service.authorization_codes.read_unverified_hint(token) is None
