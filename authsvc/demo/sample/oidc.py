"""Signing in at authsvc's hosted pages, as any OpenID Connect client library does it; here it is Authlib's.

start    → to authsvc, with a state, a nonce and PKCE's challenge; the verifier waits in Flask's signed cookie
finish   ← back with a code: state and issuer compared, the code exchanged, the ID token checked
renew    → a refresh token for the next pair of tokens
farewell → the address at which authsvc signs the whole browser out (RP-Initiated Logout 1.0)
ended    ← which session a logout token of authsvc says is over (Back-Channel Logout 1.0)

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

from authsvc.demo.sample.api import TIMEOUT_S, Away

BACK = "/signed-in"  # where authsvc sends the browser with its code; registered with `clients add --redirect-uri`
BYE = "/signed-out"  # and after a sign-out; registered with `--post-logout-uri`

SCOPES = (
    *("openid", "invoice:view", "invoice:pay", "payment_info:update", "agreement:view", "agreement:accept"),
    *("invoices:view", "statements:generate", "contact:view", "contact:edit"),
    *("membership:view", "membership:edit", "dependents:add", "payment_methods:view", "payment_methods:edit"),
)
"""All that this portal may ever do. A link's token holds those of its one workflow, whatever is asked for."""

WAITING = "_state_"  # how Authlib's names begin in the session
WAITING_MOST = 6  # sign-ins under way in one browser: a cookie holds 4 kB, and beyond that browsers drop it silently
STATES_KEPT = 10_000  # that have been used; a cookie can be sent twice, so the server must remember
KEYS_LIVE_S = 300  # Authlib keeps keys for as long as the process runs; one that was revoked has to go sooner
KEYS_AGAIN_S = 30  # between two looks for a key that we don't know, or anybody could make us look all day
LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"


class Declined(Exception):
    """authsvc said no. `error` is OAuth's word for it, `wanted` the page that the sign-in was for."""

    def __init__(self, error: str, wanted: str = "") -> None:
        super().__init__(error)
        self.error = error
        self.wanted = wanted


class Stray(Exception):
    """An answer to a question that this browser didn't ask, or has had answered."""


class NotALogout(Exception):
    """Whatever this is, it isn't a logout token for us."""


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
        self._used: OrderedDict[str, None] = OrderedDict()
        self._keys_read = -float(KEYS_LIVE_S)

    def start(self, wanted: str, **more: str) -> Response:
        """Send the browser to authsvc. `wanted` is the page it shall come back for; `more` goes along (`acr_values`).

        Raises Away.
        """
        with _in_our_words():
            asked = self._client.create_authorization_url(self._url + BACK, **more)
        where = asked.pop("url")
        self._client.save_authorize_data(redirect_uri=self._url + BACK, wanted=wanted, **asked)
        waiting = sorted((name for name in session if name.startswith(WAITING)), key=lambda name: session[name]["exp"])
        for name in waiting[:-WAITING_MOST]:
            del session[name]
        return redirect(where, 303)

    def finish(self) -> tuple[dict[str, Any], str]:
        """The token response, its ID token's claims under `userinfo`, and the page that was wanted.

        Raises Stray, Declined, Away.
        """
        state = request.args.get("state", "")
        asked = self._client.framework.get_state_data(session, state)
        if asked is None or not self._first_use(state):
            raise Stray
        wanted = str(asked["wanted"])
        if request.args.get("iss") != self.issuer:  # somebody mixed up two providers (RFC 9700 §4.4)
            raise Declined("wrong_issuer", wanted)
        with _in_our_words(wanted):
            self._keys()
            return self._client.authorize_access_token(), wanted

    def renew(self, refresh_token: str) -> dict[str, Any]:
        """The next token response, with a new ID token too. Raises Declined, Away."""
        with _in_our_words():
            self._keys()
            token: dict[str, Any] = self._client.fetch_access_token(
                grant_type="refresh_token", refresh_token=refresh_token
            )
            token["userinfo"] = self._client.parse_id_token(token, nonce=None)  # answers no request, so it has none
            return token

    def farewell(self, id_token: str) -> str:
        """Where the browser goes to be signed out everywhere. The ID token proves that it is no forged request."""
        with _in_our_words():
            return str(self._client.create_logout_url(self._url + BYE, id_token)["url"])

    def ended(self, logout_token: str) -> str:
        """The `sid` of the session that is over, once the token is proven to be authsvc's (§2.6). Raises NotALogout,
        Away."""
        try:
            with _in_our_words():
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
        except (Declined, JoseError) as error:
            raise NotALogout(str(error)) from None
        events = token.claims.get("events")
        if token.header.get("typ") != "logout+jwt" or not isinstance(events, Mapping) or LOGOUT_EVENT not in events:
            raise NotALogout("another kind of token")
        sid = token.claims["sid"]
        if "nonce" in token.claims or not isinstance(sid, str):  # with a nonce it is an ID token in disguise
            raise NotALogout("a nonce, or no session")
        return sid

    def _decoded(self, token: str) -> jwt.Token:
        algs = self._client.load_server_metadata()["id_token_signing_alg_values_supported"]
        registry = JWSRegistry(algorithms=algs, strict_check_header=False)
        try:
            return jwt.decode(token, KeySet.import_key_set(self._keys()), registry=registry)
        except InvalidKeyIdError:
            return jwt.decode(token, KeySet.import_key_set(self._keys(KEYS_AGAIN_S)), registry=registry)

    def _keys(self, oldest_s: float = KEYS_LIVE_S) -> Any:
        """authsvc's public keys, not older than this."""
        now = time.monotonic()
        stale = now - self._keys_read >= oldest_s
        if stale:
            self._keys_read = now
        return self._client.fetch_jwk_set(force=stale)

    def _first_use(self, state: str) -> bool:
        with self._lock:
            first = state not in self._used
            self._used[state] = None
            while len(self._used) > STATES_KEPT:
                self._used.popitem(last=False)
            return first


@contextmanager
def _in_our_words(wanted: str = "") -> Iterator[None]:
    """ "Not now" is Away, and "no" is Declined, whichever library said it."""
    try:
        yield
    except OAuthError as error:
        if error.error in ("temporarily_unavailable", "server_error"):
            raise Away(error.error) from None
        raise Declined(str(error.error), wanted) from None
    except JoseError as error:
        raise Declined("invalid_id_token", wanted) from error
    except (requests.RequestException, ValueError) as error:  # not there, too slow, or not the answer of a provider
        raise Away(type(error).__name__) from None
