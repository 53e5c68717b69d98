"""The authorization endpoint: who gets a code, who is sent to sign in, and who is never redirected."""

from __future__ import annotations

import re

import pytest

from authsvc.crypto.id_tokens import at_hash
from authsvc.errors import KeysetUnusable, SignInNeeded
from authsvc.server import gunicorn
from authsvc.web.oauth import authorization_request
from tests.web.conftest import Web
from tests.web.relying_party import (
    CALLBACK,
    OPEN,
    SCOPE,
    VERIFIER,
    Party,
    claims,
    code_of,
    party,
    press,
    s256,
    sent_to,
    sign_in,
)
from tests.web.visitor import ShownPage

ISSUER = "http://127.0.0.1:8080"


@pytest.fixture
def app(web: Web) -> Party:
    return party(web)


# --- good requests ------------------------------------------------------------------------------------------------


def test_a_stranger_is_sent_to_the_sign_in_page_with_the_request_in_its_address(web: Web, app: Party) -> None:
    where, said = sent_to(app.authorize(login_hint="ann@example.org"))
    assert where == "/p/maple/sign-in"
    assert said["client_id"] == "app"
    assert said["state"] == "st4te"
    assert "login_hint" not in said  # an address has no place in ours


def test_an_id_token_names_the_access_token_beside_it_before_and_after_a_refresh(web: Web, app: Party) -> None:
    sign_in(web)
    first = app.tokens()
    for given in (first, app.redeem(grant_type="refresh_token", refresh_token=first["refresh_token"]).json):
        assert claims(given["id_token"])["at_hash"] == at_hash("ES256", given["access_token"])


def test_whoever_is_signed_in_gets_a_code_at_once(web: Web, app: Party) -> None:
    sign_in(web)
    where, said = sent_to(app.authorize())
    assert where == CALLBACK
    assert said.keys() == {"code", "state", "iss"}
    assert said["iss"] == ISSUER
    assert said["state"] == "st4te"


def test_a_code_gives_tokens_and_an_id_token_with_the_nonce(web: Web, app: Party) -> None:
    entered = sign_in(web)
    tokens = app.tokens()
    assert tokens["scope"] == SCOPE
    said = claims(tokens["id_token"])
    assert said == {
        "iss": ISSUER,
        "sub": f"maple:{entered.patient}",
        "aud": "app",
        "iat": said["iat"],
        "exp": said["exp"],
        "auth_time": said["auth_time"],
        "acr": "extra",
        "amr": ["email"],
        "practice": "maple",
        "sid": tokens["session"],
        "nonce": "n0nce",
        "at_hash": at_hash("ES256", tokens["access_token"]),
    }


def test_a_request_by_post_is_made_a_get_so_that_the_browsers_cookies_come_along(web: Web, app: Party) -> None:
    sign_in(web)
    answer = web.bare("POST", "/oauth2/authorize", data=app.query(), content_type="application/x-www-form-urlencoded")
    where, _ = sent_to(answer)
    assert where == "/oauth2/authorize"
    assert code_of(web.bare("GET", answer.headers["Location"]))


@pytest.mark.parametrize("query", ["?", "?tenant=maple", "?a=1&b=%3F"])
def test_an_address_with_a_query_of_its_own_keeps_it(web: Web, query: str) -> None:
    other = party(web, "other", callback=CALLBACK + query)
    sign_in(web)
    answer = other.authorize()
    assert answer.headers["Location"].startswith(f"{CALLBACK}{query}&code=aac_maple.")
    assert other.redeem(code_of(answer)).status_code == 200


def test_prompt_none_is_answered_without_a_page(web: Web, app: Party) -> None:
    where, said = sent_to(app.authorize(prompt="none"))
    assert (where, said["error"], said["iss"]) == (CALLBACK, "login_required", ISSUER)
    sign_in(web)
    assert code_of(app.authorize(prompt="none"))


@pytest.mark.parametrize("prompt", ["login", "select_account", "consent", "login consent"])
def test_a_prompt_wants_the_patient_to_act_though_signed_in(web: Web, app: Party, prompt: str) -> None:
    sign_in(web)
    assert sent_to(app.authorize(prompt=prompt))[0] == "/p/maple/sign-in"


def test_max_age_asks_again_once_the_sign_in_is_older(web: Web, app: Party) -> None:
    sign_in(web)
    web.clock.advance_s(60)
    assert code_of(app.authorize(max_age="60"))
    web.clock.advance_s(1)
    assert sent_to(app.authorize(max_age="60"))[0] == "/p/maple/sign-in"
    assert sent_to(app.authorize(max_age="60", prompt="none"))[1]["error"] == "login_required"


def test_max_age_zero_always_asks(web: Web, app: Party) -> None:
    sign_in(web)
    web.clock.advance_s(1)
    assert sent_to(app.authorize(max_age="0"))[0] == "/p/maple/sign-in"


@pytest.mark.parametrize("acr", ["extra", "instant", "extra instant", "instant nonsense"])
def test_a_typed_code_satisfies_every_acr_that_there_is(web: Web, app: Party, acr: str) -> None:
    sign_in(web)
    assert claims(app.tokens(acr_values=acr)["id_token"])["acr"] == "extra"


def test_an_acr_that_is_not_ours_is_unmet_not_weakened(web: Web, app: Party) -> None:
    sign_in(web)
    _, said = sent_to(app.authorize(acr_values="urn:mace:incommon:iap:silver"))
    assert said["error"] == "unmet_authentication_requirements"


def test_a_hint_of_another_patient_asks_who_it_is(web: Web, app: Party) -> None:
    web.harness.patient("p2", "ben@example.org")
    sign_in(web)
    hint = app.tokens()["id_token"]
    assert code_of(app.authorize(id_token_hint=hint))
    sign_in(web, "ben@example.org")
    assert sent_to(app.authorize(id_token_hint=hint))[0] == "/p/maple/sign-in"
    assert sent_to(app.authorize(id_token_hint=hint, prompt="none"))[1]["error"] == "login_required"


def test_attack_a_hint_whose_key_has_gone_since_is_not_ignored(web: Web, app: Party) -> None:
    """ID tokens are kept for as long as a session lasts, keys for minutes after a rotation."""
    sign_in(web)
    hint = app.tokens()["id_token"]
    web.clock.advance_s(700)
    web.service.signing_keys.rotate(actor="cli:test")
    for _ in range(4):
        web.clock.advance_s(600)
        assert code_of(app.authorize(prompt="none"))
    assert web.service.authorization_codes.read_id_token_hint(hint) is None
    where, said = sent_to(app.authorize(id_token_hint=hint))
    assert (where, said["prompt"]) == ("/p/maple/sign-in", "login")
    assert sent_to(app.authorize(id_token_hint=hint, prompt="none"))[1]["error"] == "login_required"
    web.harness.patient("p2", "ben@example.org")
    authorization = authorization_request.parse(web.service, [*said.items()])
    with pytest.raises(SignInNeeded, match="other_patient"):  # and whoever signs in has to be the one whom it names
        web.service.authorization_codes.for_browser_session(
            web.service.act(web.harness.practice), authorization, sign_in(web, "ben@example.org").cookie, fresh=True
        )
    other = party(web, "other", callback="https://other.example/cb")
    assert sent_to(other.authorize(id_token_hint=hint))[1]["error"] == "invalid_request"


def test_scopes_are_what_was_asked_and_the_habits_of_standard_clients_are_ignored(web: Web, app: Party) -> None:
    sign_in(web)
    assert app.tokens(scope="profile openid email offline_access contact:view")["scope"] == "openid contact:view"


# --- a pressed link -----------------------------------------------------------------------------------------------


def test_a_pressed_link_gives_its_client_one_resource_through_a_code(web: Web, app: Party) -> None:
    tokens = app.tokens(login_hint=press(web))
    assert tokens["resource"] == "invoice:inv_1"
    assert tokens["workflow"] == "pay-invoice"
    assert tokens["scope"] == "invoice:view invoice:pay openid"
    assert "refresh_token" not in tokens
    assert claims(tokens["id_token"])["acr"] == "instant"


def test_a_pressed_link_is_fetched_once(web: Web, app: Party) -> None:
    hint = press(web)
    assert code_of(app.authorize(login_hint=hint))
    assert sent_to(app.authorize(login_hint=hint))[1]["error"] == "login_required"


def test_a_pressed_link_that_asks_for_more_leads_to_a_code(web: Web, app: Party) -> None:
    where, said = sent_to(app.authorize(login_hint=press(web), acr_values="extra"))
    assert where == "/p/maple/sign-in"
    assert said["login_hint"].startswith("alh_")


@pytest.mark.parametrize("wish", [{"prompt": "login"}, {"prompt": "consent"}, {"max_age": "0"}, {"max_age": "299"}])
def test_attack_a_pressed_link_does_not_stand_for_a_code_typed_now_or_lately(
    web: Web, app: Party, wish: dict[str, str]
) -> None:
    hint = press(web)
    web.clock.advance_s(300)
    assert sent_to(app.authorize(login_hint=hint, prompt="none", max_age="0"))[1]["error"] == "login_required"
    where, said = sent_to(app.authorize(login_hint=hint, **wish))
    assert (where, said["login_hint"]) == ("/p/maple/sign-in", hint)
    page = web.bare("GET", f"{where}?{app.query(login_hint=hint, **wish)}")
    assert "a•••@e•••.org" in ShownPage(page).text  # the code goes to the link's patient
    assert code_of(app.authorize(login_hint=hint, max_age="300"))


def test_the_time_of_a_pressed_link_is_that_of_the_press(web: Web, app: Party) -> None:
    pressed_s, hint = web.clock.now_ms() // 1000, press(web)
    web.clock.advance_s(300)
    tokens = app.tokens(login_hint=hint)
    assert claims(tokens["id_token"])["auth_time"] == claims(tokens["access_token"])["auth_time"] == pressed_s


def test_a_pressed_link_of_another_patient_than_the_hinted_one_gives_no_code(web: Web, app: Party) -> None:
    web.harness.patient("p2", "ben@example.org")
    sign_in(web, "ben@example.org")
    hint = app.tokens()["id_token"]
    assert sent_to(app.authorize(login_hint=press(web), id_token_hint=hint))[1]["error"] == "login_required"


def test_a_pressed_link_that_asks_for_more_is_not_answered_for_who_else_is_signed_in(web: Web, app: Party) -> None:
    web.harness.patient("p2", "ben@example.org")
    sign_in(web, "ben@example.org")
    hint = press(web)
    assert sent_to(app.authorize(login_hint=hint, acr_values="extra"))[0] == "/p/maple/sign-in"
    sign_in(web)
    assert code_of(app.authorize(login_hint=hint, acr_values="extra"))


def test_max_age_zero_always_asks_though_another_instances_clock_is_behind(web: Web, app: Party) -> None:
    sign_in(web)
    web.clock.advance_s(-2)
    assert sent_to(app.authorize(max_age="0"))[0] == "/p/maple/sign-in"


def test_attack_a_website_that_sends_its_visitors_here_by_the_hundred_locks_none_of_them_out(
    web: Web, app: Party
) -> None:
    """By images: without our cookies (SameSite=Lax), but from the visitor's network."""
    for hint in (None, "alh_" + "A" * 43):
        for _ in range(150):
            answer = app.authorize(prompt="none", login_hint=hint)
            assert sent_to(answer)[1]["error"] == "login_required"
    assert code_of(app.authorize(login_hint=press(web)))
    sign_in(web)
    answers = [sent_to(app.authorize())[1].get("error") for _ in range(150)]
    assert answers[-1] == "temporarily_unavailable"  # codes themselves are counted


def test_attack_a_hint_from_a_log_is_worth_nothing_in_another_browser(web: Web, app: Party) -> None:
    hint = press(web)
    web.public.set_cookie("authsvc", "C" * 22)
    assert sent_to(app.authorize(login_hint=hint))[1]["error"] == "login_required"


def test_attack_a_link_pressed_for_one_client_is_not_fetched_by_another(web: Web, app: Party) -> None:
    other = party(web, "other", callback="https://other.example/cb")
    assert sent_to(other.authorize(login_hint=press(web)))[1]["error"] == "login_required"


# --- never redirected ---------------------------------------------------------------------------------------------

OPEN_REDIRECTS = [
    "https://evil.example/",
    "//evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "https:evil.example",
    "javascript:alert(1)",
    "data:text/html,x",
    "%2f%2fevil.example",
    CALLBACK + "/",
    CALLBACK + "?x=1",
    CALLBACK + "#x",
    CALLBACK + "/../x",
    CALLBACK + "%00",
    CALLBACK + "\n",
    CALLBACK.upper(),
    CALLBACK.replace("https", "http"),
    CALLBACK.replace(".example", ".example."),
    CALLBACK.replace("portal.", "portal.maple.example@evil."),
    CALLBACK.replace("portal", "portal.maple.example:443@evil"),
    CALLBACK.replace(".example", ".example:8443"),
    CALLBACK.replace(".example", ".example.evil.test"),
    "https://portal.maple.example\\@evil.example/signed-in",
    "https://evil.example/?" + CALLBACK,
    " " + CALLBACK,
    "",
]


@pytest.mark.parametrize("address", OPEN_REDIRECTS)
def test_attack_open_redirect(web: Web, app: Party, address: str) -> None:
    sign_in(web)
    answer = app.authorize(redirect_uri=address)
    assert answer.status_code == 400
    assert "Location" not in answer.headers
    led = re.findall(r'(?:href|action|src)="([^"]*)"', answer.get_data(as_text=True))
    assert [where for where in led if not re.match(r"\?|/(?![/\\])", where)] == []  # nowhere but to ourselves
    assert "evil" not in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize("name", ["nobody", "", "APP", "portal", "x" * 300])
def test_attack_an_unknown_client_is_told_on_a_page(web: Web, app: Party, name: str) -> None:
    """`portal` is registered, but relies on nobody: it has no redirect address."""
    answer = app.authorize(client_id=name)
    assert (answer.status_code, "Location" in answer.headers) == (400, False)


@pytest.mark.parametrize("name", ["client_id", "redirect_uri"])
def test_attack_a_repeated_client_or_address_is_nobodys(web: Web, app: Party, name: str) -> None:
    answer = web.bare("GET", f"/oauth2/authorize?{app.query()}&{name}=https://evil.example/")
    assert (answer.status_code, "Location" in answer.headers) == (400, False)


def test_attack_host_header_poisoning(web: Web, app: Party) -> None:
    sign_in(web)
    for changes in ({}, {"prompt": "login"}, {"prompt": "none", "max_age": "x"}):
        answer = web.bare("GET", f"/oauth2/authorize?{app.query(**changes)}", headers={"Host": "evil.example"})
        assert "evil" not in answer.headers["Location"]


def test_scopes_that_nobody_knows_are_ignored_and_the_answer_says_what_was_granted(web: Web, app: Party) -> None:
    sign_in(web)
    assert app.tokens(scope="openid invoice:veiw profile email phone address x")["scope"] == "openid"


def test_state_and_nonce_may_be_as_long_as_the_libraries_that_pack_much_into_them_need(web: Web, app: Party) -> None:
    sign_in(web)
    long = {"state": "s" * 2048, "nonce": "n" * 2048}
    answer = app.authorize(**long)
    assert sent_to(answer)[1]["state"] == long["state"]
    assert claims(app.redeem(code_of(answer)).json["id_token"])["nonce"] == long["nonce"]


# --- what the client is told --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "changes"),
    [
        ("unsupported_response_type", {"response_type": "token"}),
        ("unsupported_response_type", {"response_type": "code id_token"}),
        ("invalid_request", {"response_type": None}),
        ("invalid_request", {"response_mode": "fragment"}),
        ("invalid_request", {"response_mode": "form_post"}),
        ("invalid_request", {"code_challenge": None, "code_challenge_method": None}),
        ("invalid_request", {"code_challenge_method": None}),
        ("invalid_request", {"code_challenge_method": "plain"}),
        ("invalid_request", {"code_challenge": "short"}),
        ("invalid_request", {"code_challenge": "="}),
        ("invalid_scope", {"scope": None}),
        ("invalid_scope", {"scope": "invoices:view"}),
        ("invalid_request", {"nonce": "n" * 2049}),
        ("invalid_request", {"nonce": "é"}),
        ("invalid_request", {"max_age": "-1"}),
        ("invalid_request", {"max_age": "soon"}),
        ("invalid_request", {"prompt": "none login"}),
        ("invalid_request", {"prompt": "create"}),
        ("invalid_request", {"id_token_hint": "junk"}),
        ("request_not_supported", {"request": "x.y.z"}),
        ("request_uri_not_supported", {"request_uri": "https://evil.example/"}),
        ("registration_not_supported", {"registration": "{}"}),
        ("invalid_authorization_details", {"authorization_details": '[{"type": "invoice"}]'}),
    ],
)
def test_what_is_wrong_is_told_to_the_client_with_iss(
    web: Web, app: Party, error: str, changes: dict[str, str | None]
) -> None:
    sign_in(web)
    where, said = sent_to(app.authorize(**changes))
    assert where == CALLBACK
    assert (said["error"], said["iss"]) == (error, ISSUER)
    assert said.get("state") == ("st4te" if "state" not in changes else None)
    assert said["error_description"].isascii()


STATES = (
    "s" * 2048,
    'eyJhIjoi"/+=&?#%25%0d%0a' * 80,
    "a b+c%20d",
    "é€😀" * 100,
    "\r\nLocation: https://evil.example/\r\n\r\n<script>",
    "\x00\x7f\u2028",
    " ",
)


@pytest.mark.parametrize("state", STATES, ids=range(len(STATES)))
def test_any_state_comes_back_as_it_was_with_the_code_and_with_every_error(web: Web, app: Party, state: str) -> None:
    """RFC 6749 §4.1.2.1: "the exact value". The client knows by it which of its requests has failed."""
    _, said = sent_to(app.authorize(state=state, prompt="none"))
    assert (said["error"], said["state"]) == ("login_required", state)
    for changes in ({"scope": "x"}, {"nonce": "n" * 2049}, {"response_type": "token"}, {"code_challenge": "short"}):
        _, said = sent_to(app.authorize(state=state, **changes))
        assert said["state"] == state
    sign_in(web)
    _, said = sent_to(app.authorize(state=state))
    assert (said["state"], bool(said["code"])) == (state, True)


@pytest.mark.parametrize("state", ["s" * 7_500, "/" * 2_500, "é" * 1_300], ids=["long", "slashes", "letters"])
def test_a_request_that_would_not_fit_our_pages_is_told_so_with_its_state(web: Web, app: Party, state: str) -> None:
    """What we would write has other escapes than what came: our own pages must take it."""
    _, said = sent_to(app.authorize(state=state))
    assert (said["error"], said["state"]) == ("invalid_request", state)
    page = app.authorize(state=state[: len(state) * 2 // 3])
    assert len(f"GET {page.headers['Location']} HTTP/1.1") < gunicorn.SETTINGS["limit_request_line"]


def test_of_two_states_neither_comes_back(web: Web, app: Party) -> None:
    _, said = sent_to(web.bare("GET", f"/oauth2/authorize?{app.query()}&state=other"))
    assert (said["error"], "state" in said) == ("invalid_request", False)


def test_a_repeated_parameter_is_refused(web: Web, app: Party) -> None:
    _, said = sent_to(web.bare("GET", f"/oauth2/authorize?{app.query()}&scope=openid"))
    assert said["error"] == "invalid_request"


def test_attack_an_id_token_of_another_client_is_no_hint(web: Web, app: Party) -> None:
    other = party(web, "other", callback="https://other.example/cb")
    sign_in(web)
    _, said = sent_to(app.authorize(id_token_hint=other.tokens()["id_token"]))
    assert said["error"] == "invalid_request"


def test_attack_an_access_token_is_no_hint(web: Web, app: Party) -> None:
    sign_in(web)
    _, said = sent_to(app.authorize(id_token_hint=app.tokens()["access_token"]))
    assert said["error"] == "invalid_request"


@pytest.mark.parametrize("method", ["HEAD", "PUT", "DELETE", "OPTIONS"])
def test_a_method_that_would_mint_a_code_for_nobody_is_refused(web: Web, app: Party, method: str) -> None:
    sign_in(web)
    answer = web.bare(method, f"/oauth2/authorize?{app.query()}")
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, POST")


def test_what_cannot_be_read_is_told_on_a_page(web: Web, app: Party) -> None:
    assert web.bare("GET", "/oauth2/authorize?client_id=%ff").status_code == 400
    huge = web.bare("POST", "/oauth2/authorize", data="x" * 20_000, content_type="application/x-www-form-urlencoded")
    assert huge.status_code == 400


def test_the_endpoint_is_closed_to_other_origins(web: Web, app: Party) -> None:
    answer = web.bare("GET", f"/oauth2/authorize?{app.query()}", headers={"Origin": "https://evil.example"})
    assert not [name for name, _ in answer.headers if name.startswith("Access-Control")]


def test_while_the_store_is_away_nobody_is_called_signed_out(web: Web, app: Party) -> None:
    sign_in(web)
    assert code_of(app.authorize())
    web.stop_the_store()
    where, said = sent_to(app.authorize(prompt="none"))
    assert (where, said["error"], said["state"]) == (CALLBACK, "temporarily_unavailable", "st4te")


def test_while_the_keys_are_away_a_client_with_a_hint_hears_that_too(
    web: Web, app: Party, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away() -> None:
        raise KeysetUnusable("no_ring_yet")

    monkeypatch.setattr(web.service.signing_keys, "verification_keys", away)
    assert sent_to(app.authorize(id_token_hint="e30.e30.e30"))[1]["error"] == "temporarily_unavailable"


# --- apps -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("registered", "sent", "origin"),
    [
        ("com.example.app:/cb", "com.example.app:/cb", "com.example.app:"),
        ("http://127.0.0.1/cb", "http://127.0.0.1:49152/cb", "http://127.0.0.1:49152"),
        ("http://[::1]:7/cb?a=b", "http://[::1]:49152/cb?a=b", "http://[::1]:49152"),
    ],
)
def test_an_app_is_called_back_by_its_own_scheme_or_on_any_port_of_this_machine(
    web: Web, registered: str, sent: str, origin: str
) -> None:
    app = party(web, "native", callback=registered, public=True)
    app.callback = sent
    page = web.bare("GET", app.authorize().headers["Location"])
    assert f"form-action 'self' {origin};" in page.headers["Content-Security-Policy"]
    sign_in(web)
    answer = app.authorize()
    assert answer.headers["Location"].startswith(f"{sent}{'&' if '?' in sent else '?'}code=aac_maple.")
    form = {"grant_type": "authorization_code", "code": answer.headers["Location"].split("code=")[1].split("&")[0]}
    form |= {"client_id": "native", "redirect_uri": sent, "code_verifier": VERIFIER}
    other = web.bare("POST", "/oauth2/token", data=form | {"redirect_uri": registered + "x"})
    assert other.json["error"] == "invalid_grant"
    assert web.bare("POST", "/oauth2/token", data=form).status_code == 200


@pytest.mark.parametrize(
    "sent",
    [
        "http://127.0.0.1:49152/other",
        "http://127.0.0.2/cb",
        "http://localhost:49152/cb",
        "https://127.0.0.1:49152/cb",
        "http://127.0.0.1:49152/cb#f",
        "http://127.0.0.1:49152@evil.example/cb",
        "http://127.0.0.1:/cb",
        "com.example.other:/cb",
    ],
)
def test_attack_an_address_beside_that_of_an_app_gets_nothing(web: Web, sent: str) -> None:
    sign_in(web)
    app = party(web, "native", callback="http://127.0.0.1/cb", public=True)
    assert app.authorize(redirect_uri=sent).status_code == 400


def test_attack_a_service_with_a_secret_has_no_port_to_choose(web: Web) -> None:
    app = party(web, "server", callback="http://127.0.0.1/cb")
    assert app.authorize(redirect_uri="http://127.0.0.1:49152/cb").status_code == 400


def test_attack_a_code_for_an_address_that_was_taken_away_opens_nothing(web: Web, app: Party) -> None:
    sign_in(web)
    code = code_of(app.authorize())
    web.service.clients.set("app", actor="cli:test", redirect_uris=(CALLBACK + "-new",))
    assert app.redeem(code).json["error"] == "invalid_grant"


# --- at the token endpoint ----------------------------------------------------------------------------------------


def test_attack_pkce_downgrade(web: Web, app: Party) -> None:
    sign_in(web)
    code = code_of(app.authorize())
    for verifier in (None, "", "x" * 43, "short", "x" * 129, "é" * 43):
        answer = app.redeem(code, code_verifier=verifier)
        assert answer.status_code == 400
        assert answer.json["error"] in ("invalid_request", "invalid_grant")
    assert app.redeem(code).status_code == 200  # none of that has spent it


def test_a_code_that_is_refused_is_counted_as_a_code_with_its_reason_and_not_as_a_refresh(web: Web, app: Party) -> None:
    sign_in(web)
    code = code_of(app.authorize())
    app.redeem(code, code_verifier="x" * 43)
    app.redeem(code, redirect_uri="https://portal.maple.example/elsewhere")
    app.redeem(code)
    app.redeem(code)
    app.redeem("aac_maple." + "A" * 43)
    text = web.admin.get("/metrics").get_data(as_text=True)
    for reason in ("pkce", "redirect", "reused", "unknown"):
        assert f'authsvc_authorization_codes_refused_total{{reason="{reason}"}} 1.0' in text
    assert "authsvc_refreshes_refused_total{" not in text


def test_attack_a_challenge_sent_as_its_own_verifier(web: Web, app: Party) -> None:
    sign_in(web)
    challenge = s256("another")
    assert app.redeem(code_of(app.authorize(code_challenge=challenge)), code_verifier=challenge).status_code == 400


def test_attack_code_replay_ends_what_the_first_one_gave(web: Web, app: Party) -> None:
    sign_in(web)
    code = code_of(app.authorize())
    first = app.redeem(code).json
    assert app.redeem(code).json["error"] == "invalid_grant"
    assert web.harness.introspected(first["access_token"]) == {"active": False}


@pytest.mark.parametrize(
    "changes", [{"redirect_uri": "https://other.example/cb"}, {"redirect_uri": CALLBACK + "/"}, {"code": "aac_x.y"}]
)
def test_attack_a_code_is_bound_to_its_address(web: Web, app: Party, changes: dict[str, str]) -> None:
    sign_in(web)
    code = code_of(app.authorize())
    assert app.redeem(**{"code": code, **changes}).json["error"] == "invalid_grant"


def test_attack_a_stolen_code_is_of_no_use_to_another_client(web: Web, app: Party) -> None:
    other = party(web, "other", callback="https://other.example/cb")
    sign_in(web)
    answer = other.redeem(code_of(app.authorize()), redirect_uri=CALLBACK)
    assert answer.json["error"] == "invalid_grant"


def test_a_code_lives_for_a_minute(web: Web, app: Party) -> None:
    sign_in(web)
    code = code_of(app.authorize())
    web.clock.advance_s(60)
    assert app.redeem(code).json["error"] == "invalid_grant"


@pytest.mark.parametrize("name", ["code", "redirect_uri", "code_verifier"])
def test_what_is_missing_is_named(web: Web, app: Party, name: str) -> None:
    sign_in(web)
    answer = app.redeem(**{"code": code_of(app.authorize()), name: ""})
    assert answer.json["error"] == "invalid_request"
    assert name in answer.json["error_description"]


def test_a_client_without_redirect_address_may_not_use_codes(web: Web, app: Party) -> None:
    answer = web.call("POST", "/oauth2/token", data={"grant_type": "authorization_code", "code": "aac_maple.x"})
    assert answer.json["error"] == "unauthorized_client"


def test_a_refresh_renews_the_id_token_without_the_nonce(web: Web, app: Party) -> None:
    sign_in(web)
    first = app.tokens()
    web.clock.advance_s(300)
    again = app.redeem(grant_type="refresh_token", refresh_token=first["refresh_token"]).json
    before, after = claims(first["id_token"]), claims(again["id_token"])
    assert "nonce" not in after
    assert {name: after[name] for name in ("sub", "aud", "sid", "auth_time", "acr")} == {
        name: before[name] for name in ("sub", "aud", "sid", "auth_time", "acr")
    }


def test_the_initiating_address_is_no_redirect_address(web: Web, app: Party) -> None:
    assert app.authorize(redirect_uri=OPEN).status_code == 400


def test_every_page_that_a_portal_may_open_beside_its_own_keeps_its_opener(web: Web, app: Party) -> None:
    """And no other: a link and the session's own page are opened by nobody who waits."""
    parted = {"pages.open_link", "pages.session", "pages.not_found"}
    rules = [rule for rule in web.public.application.url_map.iter_rules() if rule.endpoint.startswith("pages.")]
    values = {"practice": "maple", "page_id": "x", "token": "al_x"}
    with web.public.application.test_request_context():
        found = {rule.endpoint: web.bare("GET", rule.build(values, append_unknown=False)[1]) for rule in rules}
    kept = {name for name, answer in found.items() if answer.headers["Cross-Origin-Opener-Policy"] == "unsafe-none"}
    assert found.keys() - kept == parted & found.keys()
    for answer in (
        app.authorize(),
        app.authorize(prompt="none"),
        app.authorize(client_id="nobody"),
        web.bare("POST", f"/oauth2/authorize?{app.query()}"),
        web.bare("GET", "/oauth2/logout"),
        web.bare("GET", "/oauth2/logout?client_id=app"),
        web.bare("GET", "/oauth2/logout?client_id=nobody"),
    ):
        assert answer.headers["Cross-Origin-Opener-Policy"] == "unsafe-none"


def test_attack_a_page_that_keeps_its_opener_is_framed_by_nobody(web: Web, app: Party) -> None:
    for answer in (app.authorize(), web.bare("GET", app.authorize().headers["Location"])):
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
