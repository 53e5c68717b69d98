"""Signing in at authsvc's hosted pages with Authlib's Flask client.

    start               → to authsvc, with a state, a nonce and PKCE's challenge; the verifier is in Flask's session
    finish              ← back with a code: state and issuer compared, the code exchanged, the ID token checked
    refresh             → a refresh token for the next pair of tokens
    logout_url          → where authsvc signs the whole browser out (RP-Initiated Logout 1.0)
    verify_logout_token ← which session authsvc has ended (Back-Channel Logout 1.0)

Copy this file as a start for your own. Besides the calls it holds what Authlib leaves to whoever uses it: a time limit,
the issuer in the answer (RFC 9207), a state that works once, few enough of them for a cookie, keys read anew.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import requests
from authlib.integrations.flask_client import OAuth, OAuthError
from flask import Flask, redirect, request, session
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet
from joserfc.jws import JWSRegistry
from werkzeug.wrappers import Response

from authsvc.demo.sample.api import TIMEOUT_S, Unavailable

REDIRECT_PATH = "/signed-in"  # registered with `authsvc clients add --redirect-uri`
POST_LOGOUT_PATH = "/signed-out"  # and with `--post-logout-uri`

SCOPES = (
    *("openid", "invoice:view", "invoice:pay", "payment_info:update", "agreement:view", "agreement:accept"),
    *("invoices:view", "statements:generate", "contact:view", "contact:edit"),
    *("membership:view", "membership:edit", "dependents:add", "payment_methods:view", "payment_methods:edit"),
)
"""All that this portal may ever do. A link's token holds those of its one workflow, whatever is asked for."""

STATE_PREFIX = "_state_"  # of Authlib's names in Flask's session
MAX_STATES = 6  # sign-ins under way in one browser: a cookie holds 4 kB, and beyond that browsers drop it silently
MAX_USED_STATES = 10_000  # that have been used; a cookie can be sent twice, so the server must remember
KEYS_MAX_AGE_S = 300  # Authlib keeps keys for as long as the process runs; one that was revoked has to go sooner
UNKNOWN_KEY_INTERVAL_S = 30  # between two looks for a key that we don't know, or anybody could make us look all day
LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"


class SignInRefused(Exception):
    """authsvc refused a sign-in or a refresh. `code` is the OAuth error, `next_page` where the sign-in was to lead."""

    def __init__(self, code: str, next_page: str = "") -> None:
        super().__init__(code)
        self.code = code
        self.next_page = next_page


class UnknownState(Exception):
    """An answer whose state this browser didn't send, or has used."""


class InvalidLogoutToken(Exception):
    """This is no logout token for us."""


class Oidc:
    """The portal as authsvc's client. `issuer` is authsvc's address, letter by letter; `url` is our own."""

    def __init__(self, app: Flask, issuer: str, client_id: str, client_secret: str, url: str) -> None:
        self.issuer, self._client_id, self._url = issuer, client_id, url
        self._client = OAuth(app).register(
            "authsvc",
            client_id=client_id,
            client_secret=client_secret,
            server_metadata_url=f"{issuer}/.well-known/openid-configuration",
            client_kwargs={
                "scope": " ".join(SCOPES),
                "code_challenge_method": "S256",
                "token_endpoint_auth_method": "client_secret_basic",
                "default_timeout": TIMEOUT_S,
            },
        )
        self._lock = threading.Lock()
        self._used_states: OrderedDict[str, None] = OrderedDict()
        self._keys_read = -float(KEYS_MAX_AGE_S)

    def start(self, next_page: str, **more: str) -> Response:
        """Send the browser to authsvc. `next_page`: where to after the sign-in; `more` goes along (`acr_values`).

        Raises Unavailable.
        """
        with _translated_errors():
            data = self._client.create_authorization_url(self._url + REDIRECT_PATH, **more)
        url = data.pop("url")
        self._client.save_authorize_data(redirect_uri=self._url + REDIRECT_PATH, next_page=next_page, **data)
        states = [name for name in session if name.startswith(STATE_PREFIX)]
        for name in sorted(states, key=lambda name: session[name]["exp"])[:-MAX_STATES]:
            del session[name]
        return redirect(url, 303)

    def finish(self) -> tuple[dict[str, Any], str]:
        """The token response, its ID token's claims under `userinfo`, and where to go next.

        Raises UnknownState, SignInRefused, Unavailable.
        """
        state = request.args.get("state", "")
        data = self._client.framework.get_state_data(session, state)
        if data is None or not self._is_first_use(state):
            raise UnknownState
        next_page = str(data["next_page"])
        if request.args.get("iss") != self.issuer:  # somebody mixed up two providers (RFC 9700 §4.4)
            raise SignInRefused("wrong_issuer", next_page)
        with _translated_errors(next_page):
            self._keys()
            return self._client.authorize_access_token(), next_page

    def refresh(self, refresh_token: str) -> dict[str, Any]:
        """The next token response, with a new ID token too. Raises SignInRefused, Unavailable."""
        with _translated_errors():
            self._keys()
            token: dict[str, Any] = self._client.fetch_access_token(
                grant_type="refresh_token", refresh_token=refresh_token
            )
            token["userinfo"] = self._client.parse_id_token(token, nonce=None)  # answers no request, so it has none
            return token

    def logout_url(self, id_token: str) -> str:
        """Where the browser goes to be signed out everywhere. The ID token proves that it is no forged request."""
        with _translated_errors():
            return str(self._client.create_logout_url(self._url + POST_LOGOUT_PATH, id_token)["url"])

    def verify_logout_token(self, logout_token: str) -> str:
        """The `sid` of the session that has ended, once the token is verified (§2.6).

        Raises InvalidLogoutToken, Unavailable."""
        try:
            with _translated_errors():
                token = self._decoded(logout_token)
            jwt.JWTClaimsRegistry(
                leeway=30,
                iss={"essential": True, "value": self.issuer},
                aud={"essential": True, "value": self._client_id},
                iat={"essential": True},
                exp={"essential": True},
                jti={"essential": True},
                sid={"essential": True},
            ).validate(token.claims)
        except (SignInRefused, JoseError) as error:
            raise InvalidLogoutToken(str(error)) from None
        events = token.claims.get("events")
        if token.header.get("typ") != "logout+jwt" or not isinstance(events, Mapping) or LOGOUT_EVENT not in events:
            raise InvalidLogoutToken("another kind of token")
        sid = token.claims["sid"]
        if "nonce" in token.claims or not isinstance(sid, str):  # with a nonce it is an ID token in disguise
            raise InvalidLogoutToken("a nonce, or no session")
        return sid

    def _decoded(self, token: str) -> jwt.Token:
        algs = self._client.load_server_metadata()["id_token_signing_alg_values_supported"]
        registry = JWSRegistry(algorithms=algs, strict_check_header=False)
        try:
            return jwt.decode(token, KeySet.import_key_set(self._keys()), registry=registry)
        except InvalidKeyIdError:
            return jwt.decode(token, KeySet.import_key_set(self._keys(UNKNOWN_KEY_INTERVAL_S)), registry=registry)

    def _keys(self, oldest_s: float = KEYS_MAX_AGE_S) -> Any:
        """authsvc's public keys, not older than this."""
        now = time.monotonic()
        stale = now - self._keys_read >= oldest_s
        if stale:
            self._keys_read = now
        return self._client.fetch_jwk_set(force=stale)

    def _is_first_use(self, state: str) -> bool:
        with self._lock:
            first = state not in self._used_states
            self._used_states[state] = None
            while len(self._used_states) > MAX_USED_STATES:
                self._used_states.popitem(last=False)
            return first


@contextmanager
def _translated_errors(next_page: str = "") -> Iterator[None]:
    """What the libraries raise, as Unavailable or SignInRefused."""
    try:
        yield
    except OAuthError as error:
        if error.error in ("temporarily_unavailable", "server_error"):
            raise Unavailable(error.error) from None
        raise SignInRefused(str(error.error), next_page) from None
    except JoseError as error:
        raise SignInRefused("invalid_id_token", next_page) from error
    except (requests.RequestException, ValueError) as error:  # not there, too slow, or not the answer of a provider
        raise Unavailable(type(error).__name__) from None
