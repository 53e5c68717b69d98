"""The plans of OpenID's conformance suite that apply to a provider like ours, and a client as they register it.

Names and order are the suite's own. A module is tested by the function that has its name: `oidcc-server` by
`test_oidcc_server`.
"""

from __future__ import annotations

import base64
import functools
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest
from werkzeug.test import TestResponse

from tests.web.conftest import Web
from tests.web.relying_party import VERIFIER, Party, code_of, party, sent_to, sign_in

ISSUER = "http://127.0.0.1:8080"
NO_PKCE: dict[str, str | None] = {"code_challenge": None, "code_challenge_method": None}
UNSIGNED = "eyJhbGciOiJub25lIn0"  # {"alg":"none"}

PLANS = {
    "oidcc-config-certification-test-plan": ["oidcc-discovery-endpoint-verification"],
    "oidcc-basic-certification-test-plan": [
        "oidcc-server",
        "oidcc-response-type-missing",
        "oidcc-idtoken-signature",
        "oidcc-idtoken-unsigned",
        "oidcc-userinfo-get",
        "oidcc-userinfo-post-header",
        "oidcc-userinfo-post-body",
        "oidcc-ensure-request-without-nonce-succeeds-for-code-flow",
        "oidcc-scope-profile",
        "oidcc-scope-email",
        "oidcc-scope-address",
        "oidcc-scope-phone",
        "oidcc-scope-all",
        "oidcc-alternate-happy-flow",
        "oidcc-display-page",
        "oidcc-display-popup",
        "oidcc-prompt-login",
        "oidcc-prompt-none-not-logged-in",
        "oidcc-prompt-none-logged-in",
        "oidcc-max-age-1",
        "oidcc-max-age-10000",
        "oidcc-ensure-request-with-unknown-parameter-succeeds",
        "oidcc-id-token-hint",
        "oidcc-login-hint",
        "oidcc-ui-locales",
        "oidcc-claims-locales",
        "oidcc-ensure-request-with-acr-values-succeeds",
        "oidcc-codereuse",
        "oidcc-codereuse-30seconds",
        "oidcc-ensure-registered-redirect-uri",
        "oidcc-ensure-post-request-succeeds",
        "oidcc-server-client-secret-post",
        "oidcc-request-uri-unsigned-supported-correctly-or-rejected-as-unsupported",
        "oidcc-unsigned-request-object-supported-correctly-or-rejected-as-unsupported",
        "oidcc-claims-essential",
        "oidcc-ensure-request-object-with-redirect-uri",
        "oidcc-refresh-token",
        "oidcc-ensure-request-with-valid-pkce-succeeds",
    ],
    "oidcc-rp-initiated-logout-certification-test-plan": [
        "oidcc-rp-initiated-logout-discovery-endpoint-verification",
        "oidcc-rp-initiated-logout",
        "oidcc-rp-initiated-logout-bad-post-logout-redirect-uri",
        "oidcc-rp-initiated-logout-modified-id-token-hint",
        "oidcc-rp-initiated-logout-no-id-token-hint",
        "oidcc-rp-initiated-logout-no-params",
        "oidcc-rp-initiated-logout-no-post-logout-redirect-uri",
        "oidcc-rp-initiated-logout-no-state",
        "oidcc-rp-initiated-logout-only-state",
        "oidcc-rp-initiated-logout-query-added-to-post-logout-redirect-uri",
        "oidcc-rp-initiated-logout-bad-id-token-hint",
    ],
    "oidcc-backchannel-rp-initiated-logout-certification-test-plan": [
        "oidcc-backchannel-logout-discovery-endpoint-verification",
        "oidcc-backchannel-rp-initiated-logout",
    ],
}
"""Plan → its modules. Form Post is none of ours (`response_mode=query` alone), and neither is Dynamic."""

WARNS = {
    "oidcc-server": "the ID token has `practice`, which no scope asks for",
    "oidcc-scope-profile": "of the scope's fourteen claims there are `name` and `locale`",
    "oidcc-claims-essential": "`claims` is ignored",
}
"""Modules that end with a warning, which certification allows: each is a row of docs/explanation/deviations.md."""

SKIPS = {
    "oidcc-idtoken-signature": "needs dynamic registration",
    "oidcc-idtoken-unsigned": "needs dynamic registration",
    "oidcc-request-uri-unsigned-supported-correctly-or-rejected-as-unsupported": "needs dynamic registration",
    "oidcc-unsigned-request-object-supported-correctly-or-rejected-as-unsupported": "`request_not_supported`",
    "oidcc-scope-address": "not in `scopes_supported`",
    "oidcc-scope-phone": "not in `scopes_supported`",
    "oidcc-scope-all": "two of its scopes are not in `scopes_supported`",
}
"""Modules that the suite leaves out for a provider that says no, or for clients that an operator has registered. What
they would see is tested all the same."""


@dataclass
class Plan(Party):
    """A client of a plan: PKCE optional, ID tokens signed with RS256. `auth` is how it proves itself at the token
    endpoint, `basic` or `post`."""

    auth: str = "basic"

    def ask(self, **changes: str | None) -> TestResponse:
        return self.authorize(**{"scope": "openid", **NO_PKCE, **changes})

    def token_request(self, **form: str | None) -> TestResponse:
        sent = {name: value for name, value in form.items() if value is not None}
        headers = {}
        if self.auth == "post":
            sent |= {"client_id": self.name, "client_secret": self.secret}
        else:
            pair = base64.b64encode(f"{self.name}:{self.secret}".encode()).decode()
            headers["Authorization"] = f"Basic {pair}"
        return self.web.bare("POST", "/oauth2/token", data=sent, headers=headers)

    def redeem(self, code: str = "", **changes: str | None) -> TestResponse:
        form: dict[str, str | None] = {"grant_type": "authorization_code", "redirect_uri": self.callback}
        return self.token_request(**form, code=code, **changes)

    def redeem_with_pkce(self, code: str) -> TestResponse:
        return self.redeem(code, code_verifier=VERIFIER)

    def get_tokens(self, **changes: str | None) -> dict[str, Any]:
        answer = self.redeem(code_of(self.ask(**changes)))
        assert answer.status_code == 200, answer.json
        return dict(answer.json)

    def userinfo(self, token: str, method: str = "GET") -> TestResponse:
        return self.web.bare(method, "/oauth2/userinfo", headers={"Authorization": f"Bearer {token}"})

    def leave(self, **fields: str) -> TestResponse:
        return self.web.bare("GET", f"/oauth2/logout?{urlencode(fields)}")

    def silently(self) -> dict[str, str]:
        """What `prompt=none` brings."""
        return sent_to(self.ask(prompt="none"))[1]

    def signed_in(self) -> bool:
        return "code" in self.silently()

    def post_request(self, **changes: str | None) -> TestResponse:
        """The authorization request as a form."""
        query = self.query(**{"scope": "openid", **NO_PKCE, **changes})
        return self.web.bare("POST", "/oauth2/authorize", data=dict(parse_qsl(query)))


def register(web: Web, name: str, auth: str, **more: Any) -> Plan:
    """A client as the plans ask for it."""
    made = party(web, name, pkce="optional", id_token_alg="RS256", auth=auth, claims=("email", "name"), **more)
    return Plan(made.web, made.name, made.secret, made.callback, auth=auth)


@functools.cache
def service(auth: str) -> tuple[Web, Plan]:
    """A service with the client and a patient, made once: an RSA key takes a second. Practice and client tell email and
    name."""
    web = Web()
    web.harness.patient("p1", "ann@example.org", label="Ann")
    web.service.practices.set("maple", actor="cli:test", claims=("email", "name"))
    return web, register(web, "app", auth)


@pytest.fixture(params=["basic", "post"], ids=["client_secret_basic", "client_secret_post"])
def auth(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def web(auth: str) -> Web:
    """Three hours after the last test, so that the day's budget of mails is never spent, with a browser that is new."""
    web, _ = service(auth)
    web.clock.advance_s(10_800)
    web.public = web.public.application.test_client()
    return web


@pytest.fixture
def client(web: Web, auth: str) -> Plan:
    """The client of the plan; nobody is signed in."""
    return service(auth)[1]


@pytest.fixture
def plan(client: Plan) -> Plan:
    """The client, and a patient who is signed in."""
    sign_in(client.web)
    return client
