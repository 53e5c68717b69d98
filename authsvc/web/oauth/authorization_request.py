"""What a client asks of the authorization endpoint (RFC 6749 §4.1.1, RFC 7636, OpenID Connect Core §3.1.2.1).

The request travels as the query string of the pages until the patient is signed in, and is checked anew on each: it
holds no secret, nothing is kept for a stranger, and any number of tabs work. Until client and redirect address are
known to belong together nothing is redirected anywhere; from then on the client hears what is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from authsvc.errors import AuthorizationError, KeysetUnusable, Unavailable, UnregisteredClient
from authsvc.flows.client_metadata import may_redirect
from authsvc.flows.forward_auth import ACR_ORDER
from authsvc.flows.pushed_requests import URN
from authsvc.flows.token_issuer import OPENID
from authsvc.model import AuthorizationRequest, Client, IdTokenHint, Practice, claim_scopes
from authsvc.text import LOGIN_HINT
from authsvc.web.browser.cookies import BrowserCookies
from authsvc.web.client_authentication import CLIENT_ID
from authsvc.web.context import count_error, request_context
from authsvc.web.oauth.sent_parameters import SentParameters

if TYPE_CHECKING:
    from authsvc.wiring import Service

PROMPTS = frozenset({"none", "login", "consent", "select_account"})

OF_OPENID = frozenset({"profile", "email", "address", "phone", "offline_access"})
"""Scopes that standard clients send again when they refresh, whatever they were granted (mod_auth_openidc does)."""

UNSUPPORTED = {
    "request": "request_not_supported",
    "request_uri": "request_uri_not_supported",
    "registration": "registration_not_supported",
    "authorization_details": "invalid_authorization_details",  # RFC 9396 §5: what a link opens is the link's to say
}

_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")  # 256 bits in base64url: no other length can be a SHA-256
_NONCE = re.compile(r"[ -~]{0,2048}")
_MAX_AGE = re.compile(r"[0-9]{1,9}")
_JKT = re.compile(r"[A-Za-z0-9_-]{43}")  # a thumbprint (RFC 7638), as dpop_jkt (RFC 9449 §10)
_HINT = re.compile(LOGIN_HINT + "[A-Za-z0-9_-]{43}")
QUERY_BYTES = 7_500
"""Of a request on its way through our pages, written as we write it: it has to fit the line of a request there, which
has 8,190 with the longest path. A pushed one is on its way as a reference; its state still comes back in an address."""
LOCALES = re.compile(r"[A-Za-z0-9-]{1,35}( [A-Za-z0-9-]{1,35}){0,9}")


def is_pushed(sent_pairs: Iterable[tuple[str, str]]) -> bool:
    """Whether the request is only a reference to a pushed one (RFC 9126 §4)."""
    return SentParameters(sent_pairs).first("request_uri").startswith(URN)


def parse(
    service: Service, sent_pairs: Iterable[tuple[str, str]], *, on_page: bool = False, pushing: bool = False
) -> AuthorizationRequest:
    """The checked request: of a browser at the endpoint or (`on_page`) on its way through our pages, or of a client
    that is `pushing` it. Raises UnregisteredClient, AuthorizationError, Unavailable."""
    sent = SentParameters(sent_pairs)
    client = _client(service, sent)
    practice = service.practices.get(client.practices[0])
    if practice is None:
        raise UnregisteredClient("client_id")
    reference = sent.first("request_uri")
    if not reference.startswith(URN):
        return _parse(service, sent, client, practice, pushed=pushing)
    browser = BrowserCookies(service).browser(practice.id).id
    context = request_context(practice)
    pushed = service.pushed_requests.open(context, client, reference, browser, on_page=on_page)
    if pushed is None or sent.repeated("request_uri"):
        raise UnregisteredClient("request_uri")
    found = _parse(service, SentParameters(pushed), client, practice, pushed=True)
    # What our own pages add beside the reference: another language, another patient.
    added = {"ui_locales": sent.first("ui_locales") or found.ui_locales, "prompt": ""}
    if sent.first("prompt") == "select_account" and "none" not in found.prompt:
        added["prompt"] = "select_account"
    carried = {"client_id": client.id, "request_uri": reference, **added}
    return replace(
        found,
        prompt=found.prompt | set(added["prompt"].split()),
        pushed=reference,
        query=urlencode({name: value for name, value in carried.items() if value}),
    )


def _parse(
    service: Service, sent: SentParameters, client: Client, practice: Practice, *, pushed: bool
) -> AuthorizationRequest:
    redirect_uri = sent.first("redirect_uri")
    if not may_redirect(client, redirect_uri) or sent.repeated("redirect_uri"):
        raise UnregisteredClient("redirect_uri")
    state = sent.first("state")
    echoed = "" if sent.repeated("state") else state  # byte for byte, whatever else is wrong (RFC 6749 §4.1.2.1)

    def refuse(error: str, description: str) -> AuthorizationError:
        return AuthorizationError(redirect_uri, echoed, error, description)

    try:
        if client.require_pushed_authorization_requests and not pushed:
            raise _Wrong("invalid_request", "this client has to push its requests (RFC 9126)")
        _check_shape(sent)
        _check_pkce(sent, client)
        scopes = _scopes(service, sent, claim_scopes(practice, client))
        prompt = _prompt(sent)
        acr = _acr(sent)
        hint = _id_token_hint(service, sent, client, silent="none" in prompt)
    except _Wrong as wrong:
        raise refuse(wrong.error, wrong.description) from None
    except (Unavailable, KeysetUnusable) as error:
        count_error(error)
        raise refuse("temporarily_unavailable", "Try again") from None
    if hint is not None and not hint.verified:
        prompt |= {"login"}
    login_hint, locales = sent.first("login_hint"), sent.first("ui_locales")
    parameters = {
        "client_id": client.id,
        "redirect_uri": redirect_uri,
        "response_type": "code",
        "scope": " ".join(scopes),
        "code_challenge": sent.first("code_challenge"),
        "code_challenge_method": "S256" if sent.first("code_challenge") else "",
        "state": state,
        "nonce": sent.first("nonce"),
        "dpop_jkt": sent.first("dpop_jkt"),
        "prompt": " ".join(sorted(prompt)),
        "max_age": sent.first("max_age"),
        "acr_values": acr,
        "id_token_hint": sent.first("id_token_hint"),
        # Anybody else's hint may be an address, which has no place in ours (ASVS 14.2.1).
        "login_hint": login_hint if _HINT.fullmatch(login_hint) else "",
        "ui_locales": locales if LOCALES.fullmatch(locales) else "",
    }
    query = urlencode({name: value for name, value in parameters.items() if value})
    if len(urlencode({"state": state}) if pushed else query) > QUERY_BYTES:
        raise refuse("invalid_request", f"The request, or the state of a pushed one, has at most {QUERY_BYTES} bytes")
    return AuthorizationRequest(
        client=client,
        practice=practice,
        redirect_uri=redirect_uri,
        scopes=scopes,
        challenge=parameters["code_challenge"],
        state=state,
        nonce=parameters["nonce"],
        dpop_jkt=parameters["dpop_jkt"],
        prompt=prompt,
        max_age_s=int(parameters["max_age"]) if parameters["max_age"] else None,
        acr=acr,
        login_hint=parameters["login_hint"],
        ui_locales=parameters["ui_locales"],
        expected_patient=hint.patient if hint else "",
        expected_person=hint.person if hint else "",
        hint_verified=hint is not None and hint.verified,
        query=query,
    )


class _Wrong(Exception):
    """One thing that is wrong with a request whose client is known."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(error)
        self.error = error
        self.description = description


def _client(service: Service, sent: SentParameters) -> Client:
    client_id = sent.first("client_id")
    client = service.clients.get(client_id) if CLIENT_ID.fullmatch(client_id) else None
    if client is None or not client.redirect_uris or sent.repeated("client_id"):
        raise UnregisteredClient("client_id")
    return client


def _check_shape(sent: SentParameters) -> None:
    twice = sent.repeated()
    if twice:
        raise _Wrong("invalid_request", f"{twice[:40]} was sent more than once")
    for name, error in UNSUPPORTED.items():
        if sent.first(name):
            raise _Wrong(error, f"{name} is not supported")
    response_type = sent.first("response_type")
    if response_type != "code":
        error = "unsupported_response_type" if response_type else "invalid_request"
        raise _Wrong(error, "response_type is code")
    if sent.first("response_mode") not in ("", "query"):
        raise _Wrong("invalid_request", "response_mode is query")
    if not _NONCE.fullmatch(sent.first("nonce")):
        raise _Wrong("invalid_request", "nonce is at most 2048 printable ASCII characters")
    if sent.first("dpop_jkt") and not _JKT.fullmatch(sent.first("dpop_jkt")):
        raise _Wrong("invalid_request", "dpop_jkt is a thumbprint of 43 characters")
    max_age = sent.first("max_age")
    if max_age and not _MAX_AGE.fullmatch(max_age):
        raise _Wrong("invalid_request", "max_age is a number of seconds")


def _check_pkce(sent: SentParameters, client: Client) -> None:
    """RFC 7636. A missing method would mean "plain" (§4.3), which protects nothing."""
    challenge, method = sent.first("code_challenge"), sent.first("code_challenge_method")
    if client.pkce == "optional" and not challenge and not method:
        return
    if not _CHALLENGE.fullmatch(challenge) or method != "S256":
        required = "PKCE is required: " if client.pkce == "required" else ""
        raise _Wrong("invalid_request", f"{required}code_challenge, with code_challenge_method S256")


def _scopes(service: Service, sent: SentParameters, of_claims: Collection[str]) -> tuple[str, ...]:
    """What is granted of what was requested, `openid` first. Others are ignored (OpenID Connect Core §3.1.2.1), and the
    token response says what was granted (RFC 6749 §3.3)."""
    requested = sent.first("scope").split()
    known = {*of_claims, *(scope for workflow in service.catalogue.all() for scope in workflow.scopes)}
    if OPENID not in requested:
        raise _Wrong("invalid_scope", "scope must hold openid")
    return (OPENID, *dict.fromkeys(name for name in requested if name in known))


def _prompt(sent: SentParameters) -> frozenset[str]:
    prompt = frozenset(sent.first("prompt").split())
    if not prompt <= PROMPTS or ("none" in prompt and len(prompt) > 1):
        raise _Wrong("invalid_request", "prompt is none alone, or some of login, consent and select_account")
    return prompt


def _acr(sent: SentParameters) -> str:
    """The least that does: every value named would do (OpenID Connect Core §3.1.2.1), and a higher one always does."""
    named = sent.first("acr_values").split()
    known = [acr for acr in ACR_ORDER if acr in named]
    if named and not known:
        raise _Wrong("unmet_authentication_requirements", "acr_values are instant and extra")  # RFC 9470 §5
    return known[0] if known else ""


def _id_token_hint(service: Service, sent: SentParameters, client: Client, *, silent: bool) -> IdTokenHint | None:
    """Whom the hint names. One whose key isn't among ours, as keys go some time after a rotation, proves nothing: the
    patient has to sign in anew, as the one whom it names; where nobody may be asked, the answer is that."""
    token = sent.first("id_token_hint")
    if not token:
        return None
    codes = service.authorization_codes
    hint = codes.read_id_token_hint(token) or codes.read_unverified_hint(token)
    if hint is None or hint.client != client.id or hint.practice != client.practices[0]:
        raise _Wrong("invalid_request", "id_token_hint is not an ID token that this client was given")
    if silent and not hint.verified:
        raise _Wrong("login_required", "The key of id_token_hint has gone: somebody has to sign in")
    return hint
