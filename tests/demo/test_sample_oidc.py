"""What the sample does beyond its OpenID Connect library: each thing that the library leaves to whoever uses it."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest

from authsvc.crypto import id_tokens, tokens
from authsvc.demo.sample import oidc
from authsvc.demo.sample.signin import LINKED
from tests.demo.maple import INVOICE, Maple, asked, mailed, opened, signed_in
from tests.harness.browsing import Browser


def sent_back(browser: Browser) -> str:
    """The address by which authsvc sent this browser back."""
    return [page.url for page in browser.seen if "/signed-in?" in page.url][-1]


def with_changes(address: str, **changes: str) -> str:
    query = dict(parse_qsl(urlsplit(address).query)) | changes
    return f"{address.partition('?')[0]}?{urlencode({name: value for name, value in query.items() if value})}"


def ready(maple: Maple, **changes: str) -> tuple[Browser, str]:
    """Somebody whose sign-in is done but for the last redirect, and the address that it leads to."""
    browser, code = asked(maple)
    form = browser.at.form("Sign in")
    answer = browser.request("POST", form.action, form.fields | {"code": code})
    return browser, with_changes(answer.header("Location"), **changes)


# --- the authorization request and its answer -----------------------------------------------------------------------


def test_the_request_carries_all_that_protects_it(maple: Maple) -> None:
    browser = maple.browser()
    where = dict(parse_qsl(urlsplit(browser.request("GET", "/sign-in").header("Location")).query))
    assert where["response_type"] == "code"
    assert where["code_challenge_method"] == "S256"
    assert len(where["code_challenge"]) == 43
    assert min(len(where["state"]), len(where["nonce"])) >= 20
    assert where["redirect_uri"] == f"{maple.site_url}/signed-in"
    assert set(where["scope"].split()) == set(oidc.SCOPES)


@pytest.mark.parametrize("iss", ["", "https://evil.example", "trailing"])
def test_attack_an_answer_of_another_provider_is_not_taken(maple: Maple, iss: str) -> None:
    browser, back = ready(maple, iss=f"{maple.url}/" if iss == "trailing" else iss)
    assert browser.open(back).status == 500
    assert maple.kept(browser) is None


def test_attack_a_sign_in_that_was_begun_in_another_browser_is_not_taken(maple: Maple) -> None:
    _, back = ready(maple)
    victim = maple.browser()
    victim.open("/sign-in")
    assert victim.open(back).status == 400
    assert "This sign-in was started elsewhere" in victim.at.text
    assert maple.kept(victim) is None


@pytest.mark.parametrize("state", ["", "x" * 30])
def test_attack_an_answer_without_our_state_is_not_taken(maple: Maple, state: str) -> None:
    browser, back = ready(maple, state=state)
    assert browser.open(back).status == 400


def test_attack_a_state_works_once_though_its_cookie_can_be_sent_twice(maple: Maple) -> None:
    browser, back = ready(maple)
    before = dict(browser.cookies)
    browser.open(back)
    assert browser.at.url.endswith("/portal")
    twin = maple.browser()
    twin.cookies = before
    assert twin.open(back).status == 400
    assert browser.open("/portal/contact").status == 200  # so a double click doesn't end what the first one gave


def test_attack_a_code_that_is_not_for_this_request_is_not_taken(maple: Maple) -> None:
    browser, back = ready(maple, code="aac_maple." + "x" * 43)
    assert browser.open(back).status == 403
    assert "Let us try that again" in browser.at.text


def test_an_unknown_error_is_our_own_mistake(maple: Maple) -> None:
    browser, back = ready(maple, code="", error="invalid_scope")
    assert browser.open(back).status == 500
    assert "The mistake is ours" in browser.at.text


@pytest.mark.parametrize("error", ["temporarily_unavailable", "server_error"])
def test_authsvc_may_say_not_now(maple: Maple, error: str) -> None:
    browser, back = ready(maple, code="", error=error)
    assert browser.open(back).status == 503


def test_attack_an_id_token_for_another_request_is_not_taken(maple: Maple, monkeypatch: pytest.MonkeyPatch) -> None:
    real = maple.clinic.oidc._client.fetch_access_token
    other = maple.held(signed_in(maple)).id_token
    monkeypatch.setattr(
        maple.clinic.oidc._client, "fetch_access_token", lambda **sent: real(**sent) | {"id_token": other}
    )
    browser, back = ready(maple)
    assert browser.open(back).status == 500
    assert maple.kept(browser) is None


def test_many_sign_ins_under_way_still_fit_a_cookie(maple: Maple) -> None:
    browser = maple.browser()
    for _ in range(20):
        browser.request("GET", "/sign-in?to=payment-methods")
    assert len(browser.cookies["signing-in"]) < 3000
    browser.open("/sign-in")
    assert browser.at.form("Email me a code")


def test_used_states_are_remembered_but_not_for_ever(maple: Maple, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oidc, "MAX_USED_STATES", 2)
    for state in "abc":
        assert maple.clinic.oidc._is_first_use(state)
    assert not maple.clinic.oidc._is_first_use("c")
    assert maple.clinic.oidc._is_first_use("a")


# --- a sign-in that authsvc begins ------------------------------------------------------------------------------------


def test_attack_nobody_else_begins_a_sign_in_here(maple: Maple) -> None:
    browser = maple.browser()
    for query in ({}, {"iss": "https://evil.example"}, {"iss": f"{maple.url}/"}):
        assert browser.open(f"{maple.site_url}/open?{urlencode(query)}").status == 404


@pytest.mark.parametrize(
    "target",
    ["https://evil.example/portal", "//evil.example", "javascript:alert(1)", "{site}.evil.example/portal", "{site}/no"],
)
def test_attack_a_sign_in_that_is_begun_elsewhere_ends_on_our_own_pages(maple: Maple, target: str) -> None:
    browser = signed_in(maple)
    there = {"iss": maple.url, "target_link_uri": target.replace("{site}", maple.site_url)}
    assert browser.open(f"/open?{urlencode(there)}").url == f"{maple.site_url}/portal"
    there["target_link_uri"] = f"{maple.site_url}/portal/contact"
    assert browser.open(f"/open?{urlencode(there)}").url == f"{maple.site_url}/portal/contact"


def test_a_link_for_something_that_has_no_page_is_not_found(maple: Maple, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(LINKED, "invoice")
    assert opened(maple, mailed(maple, **INVOICE)).at.status == 404


# --- back-channel logout ----------------------------------------------------------------------------------------------


def logout_token(maple: Maple, ended: str, typ: str = id_tokens.LOGOUT_TYPE, **claims: Any) -> str:
    said = id_tokens.logout_claims(
        issuer=maple.url, client="portal", subject="maple:anna", sid=ended, jti="j" * 22, now_s=int(time.time())
    )
    return tokens.sign(
        maple.service.signing_keys.signer(), {k: v for k, v in (said | claims).items() if v is not None}, typ
    )


def told(maple: Maple, token: str) -> int:
    caller = maple.browser()
    caller.cookies.clear()  # authsvc's worker is no browser
    return caller.request("POST", "/backchannel-logout", {"logout_token": token}).status


def test_a_logout_token_ends_the_session_that_it_names_and_no_other(maple: Maple) -> None:
    browser, other = signed_in(maple), signed_in(maple)
    sid = maple.held(browser).sid
    assert told(maple, logout_token(maple, sid)) == 200
    assert maple.kept(browser) is None
    assert maple.kept(other)
    assert told(maple, logout_token(maple, sid)) == 200  # told twice, it is over all the same


WRONG: dict[str, dict[str, Any]] = {
    "another issuer": {"iss": "https://evil.example"},
    "another client": {"aud": "someone"},
    "too old": {"exp": 1},
    "not yet": {"iat": 4_000_000_000},
    "no jti": {"jti": None},
    "no events": {"events": None},
    "other events": {"events": {"https://evil.example": {}}},
    "events that are none": {"events": [id_tokens.LOGOUT_EVENT]},
    "a nonce": {"nonce": "n"},
    "another type": {"typ": "JWT"},
    "no type of ours": {"typ": "at+jwt"},
}


@pytest.mark.parametrize("changes", WRONG.values(), ids=WRONG)
def test_attack_what_is_no_logout_token_ends_nothing(maple: Maple, changes: dict[str, Any]) -> None:
    browser = signed_in(maple)
    assert told(maple, logout_token(maple, maple.held(browser).sid, **changes)) == 400
    assert maple.kept(browser)


def test_attack_a_logout_token_for_everybody_ends_nothing(maple: Maple) -> None:
    browser = signed_in(maple)
    for sid in ("", None, [], 7):
        assert told(maple, logout_token(maple, "", sid=sid)) == 400
    assert maple.kept(browser)


def test_attack_no_other_token_passes_for_a_logout_token(maple: Maple) -> None:
    browser = signed_in(maple)
    held = maple.held(browser)
    real = logout_token(maple, held.sid)
    forged = f"{real[:-4]}AAAA"
    unsigned = f"eyJhbGciOiJub25lIiwidHlwIjoibG9nb3V0K2p3dCJ9.{real.split('.')[1]}."
    for token in ("", "x", held.id_token, held.access_token, forged, unsigned):
        assert told(maple, token) == 400, token
    assert maple.kept(browser)


def test_attack_keys_that_nobody_has_are_looked_for_seldom(maple: Maple, monkeypatch: pytest.MonkeyPatch) -> None:
    real = maple.clinic.oidc._client.fetch_jwk_set
    fetched: list[bool] = []

    def counted(*, force: bool) -> Any:
        fetched.append(force)
        return real(force=force)

    monkeypatch.setattr(maple.clinic.oidc._client, "fetch_jwk_set", counted)
    monkeypatch.setattr(maple.clinic.oidc, "_keys_read", time.monotonic() - oidc.UNKNOWN_KEY_INTERVAL_S)
    unknown = "eyJhbGciOiJFUzI1NiIsImtpZCI6Im5vbmUifQ." + logout_token(maple, "s").partition(".")[2]
    for _ in range(3):
        assert told(maple, unknown) == 400
    assert fetched.count(True) == 1


def test_keys_are_read_anew_now_and_then(maple: Maple, monkeypatch: pytest.MonkeyPatch) -> None:
    """Authlib keeps them for as long as the process runs, revoked ones too."""
    monkeypatch.setitem(maple.clinic.oidc._client.server_metadata, "jwks", {"keys": []})
    monkeypatch.setattr(maple.clinic.oidc, "_keys_read", time.monotonic() - oidc.KEYS_MAX_AGE_S)
    assert "Hello Anna Berg" in signed_in(maple).at.text
