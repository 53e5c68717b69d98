"""Check authsvc's access tokens in your service: one file, PyJWT with its `crypto` extra, and the standard library.

    verifier = Verifier("https://auth.example.org", audience="practice-services", practice="maple")

    @app.get("/invoices/<invoice>")
    @verifier.flask("invoice:view", resource="invoice:{invoice}")
    def show(invoice: str): ...

A token is judged from the outside in, and each step sees only what the one before let through: shape and size, header,
key, signature, claims. Nothing in a token chooses anything: the algorithm belongs to the key, the key comes from one
address, and `kid` is looked up in a dictionary. PyJWT does the arithmetic; it isn't asked to read the token, because it
would take padding, twin members, a missing `exp` and any `typ` (docs/reference/conformance.md has the list).

Then `require` judges what the request needs: step-up (RFC 9470), scope (RFC 6750), resource. Every refusal is an
exception that knows its HTTP answer. There is no thread that stays, no state but the key set, and no switch for less.

A token that is bound to a key of its client (DPoP) passes only with that client's proof for this very request, and
never as a bearer token; the guards take proofs where `base_url` is given.

Follows RFC 9068 §4, RFC 8725, RFC 7515 §5.2, RFC 6750 §2-3, RFC 9449 §4.3 and §7, RFC 9470 §3. `Verifier` may be shared
between threads.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import http.client
import io
import ipaddress
import json
import logging
import math
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from http import HTTPStatus
from typing import Any, ClassVar, Final, NamedTuple, cast
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import jwt

LEEWAY_S = 30  # how far two clocks may differ; RFC 9068 §4 allows "no more than a few minutes"
TOKEN_MAX_BYTES = 8 * 1024  # ours stay under 1.5 kB; nothing longer is parsed
KID_MAX_CHARS = 128  # ours are 43 (RFC 7638)
KEYS_MAX_AGE_S = 300  # a revoked key dies here within this time; authsvc publishes a key for longer before it signs
KEYS_TRUSTED_S = 24 * 3600  # how long the last good set is used though no newer one can be had
REFETCH_EVERY_S = 30  # at most one fetch in this time, failed ones too: junk tokens can't make us hammer authsvc
FETCH_TIMEOUT_S = 2.0  # for the whole answer, not for each byte
CONNECT_TIMEOUT_S = 3 * FETCH_TIMEOUT_S  # for the name's look-up, every address that it has, and the handshake
JWKS_MAX_BYTES = 64 * 1024  # some 100 keys; ours hold 2 to 4
FEED_EVERY_S = 5  # how often a followed revocation feed is fetched
FEED_MAX_AGE_S = 60  # without a feed this young nothing is decided: whoever follows it relies on it
FEED_MAX_BYTES = 1536 * 1024  # 25,000 revocations, the most that a feed lists, are under 1 MB
STRANGERS_MAX = 1000  # unknown kids remembered; 128 kB at the very worst
RSA_BITS = range(2048, 8193)  # ASVS 11.2.3 below; above, one check costs milliseconds

ALGORITHMS: Final[Mapping[tuple[str, str | None], str]] = {
    ("EC", "P-256"): "ES256",
    ("RSA", None): "RS256",
    ("OKP", "Ed25519"): "EdDSA",
}
"""What a key may be (`kty`, `crv`) and the one algorithm it then has (RFC 8725 §3.1)."""

ACR_ORDER: Final = ("instant", "extra")
"""Came by a link < typed a code. A value that isn't here ranks below both."""


class _Any(Enum):
    PRACTICE = "any practice"


ANY_PRACTICE: Final = _Any.PRACTICE
"""Take every practice's tokens. The service must then compare `claims["practice"]` with the request by itself."""


class Claims(dict[str, Any]):
    """The claims of a token, as a dict; `patient` is whose data it is about, `actor` whoever acts for that patient."""

    @property
    def actor(self) -> str:
        """`practice:patient` of the guardian who acts for the token's patient (`act`, RFC 8693 §4.1); else empty."""
        return str(self["act"]["sub"]) if "act" in self else ""


Fetch = Callable[[str], bytes]
FindKey = Callable[[str], tuple[str, Callable[[bytes, bytes], bool]]]  # kid → algorithm, (signed, signature) → good?
StartResponse = Callable[..., Any]
WsgiApp = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]

_log = logging.getLogger("authsvc.verifier")
_TEXT = re.compile(r"[\x21-\x7e]+")  # printable ASCII without spaces: safe in a header and in a log line
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")  # no colon, so that `practice:patient` reads in one way only
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+(?: [\x21\x23-\x5b\x5d-\x7e]+)*")  # RFC 6749 §3.3
_COMPACT = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")  # RFC 7515 §7.1
_UNQUOTABLE = re.compile(r"[^\x20\x21\x23-\x5b\x5d-\x7e]")  # what RFC 6750 §3 keeps out of a quoted value
_PLAIN_ANSWER = {"Cache-Control": "no-store", "Content-Type": "application/json"}
_ROCA_PRIMES = [p for p in range(3, 168) if all(p % q for q in range(2, p))]


# --- refusals -----------------------------------------------------------------------------------------------------


class VerifierError(Exception):
    """A request that may not pass. `reason` is a fixed word for logs; the caller is told less, so no oracle leaks."""

    status: ClassVar[int] = 401
    error: ClassVar[str] = ""
    scheme: ClassVar[str] = "Bearer"

    def __init__(self, reason: str, **parameters: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.parameters = parameters

    @property
    def www_authenticate(self) -> str:
        """The challenge (RFC 6750 §3, RFC 9110 §11.6.1); a value can't break out of its quotes."""
        shown = {"realm": "authsvc"} | ({"error": self.error} if self.error else {}) | self.parameters
        return f"{self.scheme} " + ", ".join(f'{name}="{_UNQUOTABLE.sub("", value)}"' for name, value in shown.items())

    @property
    def headers(self) -> dict[str, str]:
        return {"WWW-Authenticate": self.www_authenticate} | _PLAIN_ANSWER

    @property
    def body(self) -> bytes:
        return json.dumps({"error": self.error or "unauthenticated"}).encode()


class NoCredentials(VerifierError):
    """No bearer token in the Authorization header: a challenge without an error code (RFC 6750 §3.1)."""


class InvalidRequest(VerifierError):
    """A malformed header, or a token in two places at once (RFC 6750 §2)."""

    status = 400
    error = "invalid_request"


class InvalidToken(VerifierError):
    """The token proves nothing here: malformed, forged, expired, or meant for another."""

    error = "invalid_token"


class InvalidProof(InvalidToken):
    """The DPoP proof isn't one for this token, this request and this instant (RFC 9449 §4.3)."""

    error = "invalid_dpop_proof"
    scheme = "DPoP"

    def __init__(self, reason: str) -> None:
        super().__init__(reason, algs=" ".join(ALGORITHMS.values()))


class KeysUnavailable(InvalidToken):
    """Nothing could be decided: there is no key set, or it is too old to say that a key doesn't exist.

    An `InvalidToken`, so that code which knows only that class still refuses; but a 503, because the patient's
    token may be good and signing in again wouldn't help.
    """

    status = 503
    error = "temporarily_unavailable"

    def __init__(self, retry_after_s: int) -> None:
        super().__init__("keys_unavailable")
        self.retry_after_s = retry_after_s

    @property
    def headers(self) -> dict[str, str]:
        return {"Retry-After": str(self.retry_after_s)} | _PLAIN_ANSWER


class AccessRefused(VerifierError):
    """A good token that doesn't reach: one of the two below."""


class InsufficientScope(AccessRefused):
    """A scope is missing, or the token is bound to another resource."""

    status = 403
    error = "insufficient_scope"


class InsufficientAuthentication(AccessRefused):
    """Step-up: the patient must prove more (`acr_values`) or again (`max_age`); RFC 9470 §3."""

    error = "insufficient_user_authentication"


# --- the verifier -------------------------------------------------------------------------------------------------


class Verifier:
    """Knows one issuer, one audience, one practice (or `ANY_PRACTICE`), and the issuer's current keys.

    `revocations=True` follows authsvc's revocation feed: what was signed out or revoked is refused here about ten
    seconds later instead of when the token expires, at the price that tokens are undecided (503) when the feed can't be
    had for a minute. A string is the feed's address without the practice, where it isn't the issuer's own.

    `base_url` is this service's own address as its clients know it (`https://api.example.org`), which DPoP proofs have
    to name. It isn't taken from the request, since whoever sends one writes its Host.

    `now` (seconds since the epoch) and `fetch` (address to body; raises OSError or ValueError) are there for tests.
    Raises ValueError for settings that can't be run with. Opens no connection before the first token comes.
    """

    def __init__(
        self,
        issuer: str,
        audience: str,
        practice: str | _Any,
        jwks_url: str | None = None,
        *,
        revocations: bool | str = False,
        base_url: str = "",
        now: Callable[[], float] = time.time,
        fetch: Fetch | None = None,
    ) -> None:
        if not _is_text(issuer) or not _is_text(audience):
            raise ValueError("issuer and audience must be given, as printable ASCII text without spaces")
        if practice is not ANY_PRACTICE and not _is_id(practice):
            raise ValueError("practice must be an id, or ANY_PRACTICE")
        if jwks_url is None:
            jwks_url = issuer.rstrip("/") + "/.well-known/jwks.json"
        _refuse_unsafe_url(jwks_url)
        self._issuer, self._audience, self._practice = issuer, audience, practice
        self._now, self._base_url, self._proofs = now, base_url.rstrip("/"), _UsedProofs()
        self._keys = _KeySet(jwks_url, now, fetch or fetch_jwks)
        self._feeds: _Feeds | None = None
        if revocations:
            base = revocations if isinstance(revocations, str) else issuer.rstrip("/") + "/revocations"
            _refuse_unsafe_url(base)
            by_default = functools.partial(fetch_jwks, max_bytes=FEED_MAX_BYTES)
            self._feeds = _Feeds(base, issuer, self._keys.find, now, fetch or by_default)

    def verify(self, token: str, dpop: str | None = None, method: str = "", url: str = "") -> Claims:
        """The claims of a token that is good here and now. Raises InvalidToken (KeysUnavailable: undecided, 503).

        `dpop` is the proof that came along with the scheme `DPoP`, for the request of this `method` to this `url`, the
        address as the client knows it. Each proof is good once in this process.
        """
        now = self._now()
        claims = check(token, self._keys.find, self._issuer, now)
        if self._feeds:
            self._feeds.refuse(claims, split(token)[0]["kid"])
        if claims["aud"] != self._audience:
            raise InvalidToken("audience")
        if self._practice is not ANY_PRACTICE and claims["practice"] != self._practice:
            raise InvalidToken("practice")
        if dpop is None:
            if "cnf" in claims:
                raise InvalidToken("bound_to_a_key")  # RFC 9449 §7.2: no downgrade to a bearer token
            return claims
        proof = check_proof(dpop, method, url, now, token)
        if proof.jkt != claims.get("cnf", {}).get("jkt"):
            raise InvalidProof("key")
        self._proofs.add(proof, now)
        return claims

    def require(
        self,
        claims: Mapping[str, Any],
        scope: str,
        resource: str | None = None,
        acr: str | None = None,
        max_age: int | None = None,
        acting: bool = True,
    ) -> None:
        """Raises unless `claims` reach; see the function `require`."""
        _Need(scope, acr, max_age, acting).judge(claims, resource, self._now())

    def flask(
        self,
        scope: str,
        resource: str | Callable[..., str | None] | None = None,
        acr: str | None = None,
        max_age: int | None = None,
        acting: bool = True,
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Guard a Flask view; the claims are then in `flask.g.authsvc_claims`.

        `resource` names what this request touches: text in which `{name}` stands for the view's argument, or a
        callable that gets the view's arguments. Put it under `@app.get`, so that it runs inside the route.
        """
        need = _Need(scope, acr, max_age, acting)

        def decorate(view: Callable[..., Any]) -> Callable[..., Any]:
            @functools.wraps(view)
            def guarded(*args: Any, **kwargs: Any) -> Any:
                import flask  # here, so that services without Flask can import this file

                def named() -> str | None:
                    return resource.format(**kwargs) if isinstance(resource, str) else resource and resource(**kwargs)

                try:
                    flask.g.authsvc_claims = self._admit(flask.request.environ, need, named)
                except VerifierError as refusal:
                    return flask.Response(refusal.body, refusal.status, refusal.headers)
                return flask.current_app.ensure_sync(view)(*args, **kwargs)

            return guarded

        return decorate

    def wsgi(
        self,
        app: WsgiApp,
        scope: str,
        resource: str | Callable[[dict[str, Any]], str | None] | None = None,
        acr: str | None = None,
        max_age: int | None = None,
        acting: bool = True,
    ) -> WsgiApp:
        """Guard a whole WSGI application; the claims are then in `environ["authsvc.claims"]`.

        `resource` is text, or a callable that gets the WSGI environ.
        """
        need = _Need(scope, acr, max_age, acting)

        def guarded(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
            try:
                environ["authsvc.claims"] = self._admit(
                    environ, need, lambda: resource(environ) if callable(resource) else resource
                )
            except VerifierError as refusal:
                start_response(f"{refusal.status} {HTTPStatus(refusal.status).phrase}", list(refusal.headers.items()))
                return [refusal.body]
            return app(environ, start_response)

        return guarded

    def _admit(self, environ: Mapping[str, Any], need: _Need, named: Callable[[], str | None]) -> Claims:
        """One request, from header to verdict. The token is judged before the application names its resource."""
        try:
            claims = self.verify(_sent_token(environ), *self._proof(environ))
            need.judge(claims, named(), self._now())
        except VerifierError as refusal:
            _log.info("refused with %d: %s", refusal.status, refusal.reason)
            raise
        return claims

    def _proof(self, environ: Mapping[str, Any]) -> tuple[str | None, str, str]:
        """What came with the scheme `DPoP`, and the request that it has to be for."""
        if not str(environ["HTTP_AUTHORIZATION"]).lower().startswith("dpop "):
            return None, "", ""
        if not self._base_url:
            raise InvalidProof("no_base_url")
        path = str(environ.get("SCRIPT_NAME", "")) + str(environ.get("PATH_INFO", ""))
        url = self._base_url + quote(path.encode("latin-1", "replace"))
        return str(environ.get("HTTP_DPOP", "")), str(environ.get("REQUEST_METHOD", "")), url


# --- what a request needs -----------------------------------------------------------------------------------------


def require(
    claims: Mapping[str, Any],
    scope: str,
    resource: str | None = None,
    acr: str | None = None,
    max_age: int | None = None,
    acting: bool = True,
    *,
    now: Callable[[], float] = time.time,
) -> None:
    """Raises unless verified `claims` reach: InsufficientAuthentication (401) or InsufficientScope (403).

    `scope` is one or several, all needed. `resource` names what the request touches (`invoice:inv_1`): a token bound
    to a resource passes for that one only, and never where None is named; a token from a code sign-in isn't bound and
    passes for all of the patient's (whether this one is the patient's, the service checks). `max_age` is in seconds.
    `acting=False` is for what a patient must do in person: a token in which a guardian acts is refused.
    """
    _Need(scope, acr, max_age, acting).judge(claims, resource, now())


@dataclass(frozen=True)
class _Need:
    """What a route asks for. A route that asks nonsense fails when it is declared: ValueError."""

    scope: str
    acr: str | None
    max_age: int | None
    acting: bool

    def __post_init__(self) -> None:
        if not _is_scope(self.scope):
            raise ValueError("scope must be one or more scopes with single spaces between")
        if self.acr is not None and self.acr not in ACR_ORDER:
            raise ValueError(f"acr must be one of {ACR_ORDER}")
        if self.max_age is not None and not _is_count(self.max_age):
            raise ValueError("max_age must be a whole number of seconds, 0 or more")
        if not isinstance(self.acting, bool):
            raise ValueError("acting must be True or False")

    def judge(self, claims: Mapping[str, Any], resource: str | None, now: float) -> None:
        """Step-up first: where a link's token lacks the scope, a code would bring it, and only the 401 says so."""
        bound = _bound_resource(claims)
        if resource == "":  # a slip in the service; None is how to say that no resource is touched
            raise ValueError("resource must not be empty")
        step_up = {"acr_values": self.acr} if self.acr else {}
        if self.max_age is not None:
            step_up["max_age"] = str(self.max_age)
        if self.acr and claims.get("acr") not in ACR_ORDER[ACR_ORDER.index(self.acr) :]:
            raise InsufficientAuthentication("acr", **step_up)
        if self.max_age is not None and claims.get("auth_time", 0) + self.max_age < now:
            raise InsufficientAuthentication("max_age", **step_up)
        if not self.acting and "act" in claims:
            raise InsufficientScope("acting", scope=self.scope, error_description="for the patient in person")
        if not set(self.scope.split()) <= set(str(claims.get("scope", "")).split()):
            raise InsufficientScope("scope", scope=self.scope)
        if bound is not None and bound != resource:
            raise InsufficientScope("resource", scope=self.scope, error_description="the token is for another resource")


def _bound_resource(claims: Mapping[str, Any]) -> str | None:
    """The one resource that a token is for; None if it isn't bound.

    `resource` and `authorization_details` (RFC 9396) must say the same. An empty or null one must not read as
    "unbound", so it is the member's presence that counts. Raises InvalidToken.
    """
    if "resource" not in claims and "authorization_details" not in claims:
        return None
    resource, details = claims.get("resource"), claims.get("authorization_details")
    if not _is_text(resource):
        raise InvalidToken("claim_resource")
    if "authorization_details" in claims:
        if not isinstance(details, list) or not details:
            raise InvalidToken("claim_authorization_details")
        for detail in details:
            if (
                not isinstance(detail, dict)
                or not _is_text(detail.get("type"))
                or not _is_texts(detail.get("actions", []))
            ):
                raise InvalidToken("claim_authorization_details")
            if f"{detail['type']}:{detail.get('identifier')}" != resource:
                raise InvalidToken("resource_and_details_disagree")
    return cast(str, resource)


def _sent_token(environ: Mapping[str, Any]) -> str:
    """The token, from the Authorization header and nowhere else (RFC 6750 §2.1, RFC 9700 §4.3.2)."""
    scheme, _, token = str(environ.get("HTTP_AUTHORIZATION", "")).partition(" ")
    if scheme.lower() not in ("bearer", "dpop"):
        raise NoCredentials("no_bearer_token")
    if any(name == "access_token" for name, _ in parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True)):
        raise InvalidRequest("token_in_two_places")
    if not token.strip(" "):
        raise InvalidRequest("empty_bearer_token")
    return token.lstrip(" ")


# --- reading a token ----------------------------------------------------------------------------------------------


def check(token: str, find: FindKey, issuer: str, now: float) -> Claims:
    """The claims of a token that one of the issuer's keys signed and that is good at `now` (seconds since the epoch).

    `find` gives the algorithm of a kid's key and whether the key verifies a signature, or raises InvalidToken. For
    whom the token is (`aud`, `practice`) stays to be compared: services use `Verifier`, which does; authsvc itself,
    which answers about every token of its own, uses this, so that there is one way to read a token and not two.
    """
    header, payload, signed, signature = split(token)
    _check_header(header)
    alg, verifies = find(header["kid"])
    if header["alg"] != alg:
        raise InvalidToken("algorithm_of_another_key")
    if not verifies(signed, signature):
        raise InvalidToken("signature")
    try:
        claims = Claims(json_object(payload))
    except ValueError:
        raise InvalidToken("payload_json") from None
    _check_types(claims)
    # Exact comparison: no prefixes, no case, no trailing slash forgiven.
    if claims["iss"] != issuer:
        raise InvalidToken("issuer")
    if claims["sub"] != f"{claims['practice']}:{claims['patient']}":
        raise InvalidToken("subject")
    if "act" in claims:
        _check_actor(claims)
    if claims["exp"] + LEEWAY_S <= now:
        raise InvalidToken("expired")
    if max(claims["iat"], claims["auth_time"], claims.get("nbf", 0)) > now + LEEWAY_S:
        raise InvalidToken("from_the_future")  # an auth_time ahead of us would satisfy every max_age
    return claims


def split(token: object, max_bytes: int = TOKEN_MAX_BYTES) -> tuple[dict[str, Any], bytes, bytes, bytes]:
    """Header, payload, what was signed, signature. None of it is trusted yet. Raises InvalidToken."""
    if not isinstance(token, str) or len(token) > max_bytes:
        raise InvalidToken("size")
    shape = _COMPACT.fullmatch(token)
    if shape is None:  # padding, white space, JSON serialisation (RFC 7515 §7.2), five-part JWE, an empty part
        raise InvalidToken("shape")
    try:
        head, payload, signature = map(_unb64, shape.groups())
        return json_object(head), payload, token.rpartition(".")[0].encode(), signature
    except ValueError:
        raise InvalidToken("encoding") from None


def _check_header(header: dict[str, Any], typ: tuple[str, ...] = ("at+jwt", "application/at+jwt")) -> None:
    """A closed list of three. What else stands in headers either brings a key (jwk, jku, x5c, x5u) or changes how to
    read the rest (crit, zip, b64, cty), and authsvc sets none of it. Raises InvalidToken."""
    if header.keys() != {"alg", "typ", "kid"} or not all(isinstance(value, str) for value in header.values()):
        raise InvalidToken("header")
    if header["alg"] not in ALGORITHMS.values():
        raise InvalidToken("algorithm")
    if header["typ"].lower() not in typ:
        raise InvalidToken("typ")  # RFC 9068 §4; otherwise another kind of our JWTs would do
    if not 0 < len(header["kid"]) <= KID_MAX_CHARS:
        raise InvalidToken("kid")


def _check_types(claims: Claims) -> None:
    """Every claim that somebody will rely on is there and is what it looks like. Raises InvalidToken."""
    for name in ("iss", "sub", "aud", "client_id", "acr", "jti"):
        if not _is_text(claims.get(name)):
            raise InvalidToken(f"claim_{name}")
    for name in ("practice", "patient"):
        if not _is_id(claims.get(name)):
            raise InvalidToken(f"claim_{name}")
    for name in ("auth_time", "iat", "exp"):
        if not _is_count(claims.get(name)):
            raise InvalidToken(f"claim_{name}")
    if not _is_scope(claims.get("scope")):
        raise InvalidToken("claim_scope")
    if not claims.get("amr") or not _is_texts(claims["amr"]):
        raise InvalidToken("claim_amr")
    if not _is_count(claims.get("nbf", 0)):
        raise InvalidToken("claim_nbf")
    for name in ("sid", "link"):
        if name in claims and not _is_text(claims[name]):
            raise InvalidToken(f"claim_{name}")
    if "cnf" in claims and not _is_jkt(claims["cnf"]):
        raise InvalidToken("claim_cnf")  # bound in a way that nobody checks here
    if "sid" in claims and "link" in claims:
        raise InvalidToken("session_and_link")  # a link never opens a session
    if claims["iat"] >= claims["exp"]:
        raise InvalidToken("life")
    _bound_resource(claims)


def _check_actor(claims: Claims) -> None:
    """`act` names one other patient of the same practice, who typed a code: no chain, no link. Raises InvalidToken."""
    act = claims["act"]
    if not isinstance(act, dict) or act.keys() != {"sub"} or not _is_text(act["sub"]) or "sid" not in claims:
        raise InvalidToken("claim_act")
    practice, _, patient = act["sub"].partition(":")
    if practice != claims["practice"] or not _is_id(patient) or patient == claims["patient"]:
        raise InvalidToken("claim_act")


def json_object(raw: bytes) -> dict[str, Any]:
    """Strict JSON (RFC 8259): UTF-8, an object, no member twice at any depth, no NaN or infinity. Raises ValueError."""

    def no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(members := dict(pairs)) != len(pairs):
            raise ValueError("a member stands twice")
        return members

    def finite(text: str) -> float:
        if not math.isfinite(number := float(text)):
            raise ValueError("not a number")
        return number

    try:
        value = json.loads(raw.decode(), object_pairs_hook=no_twins, parse_float=finite, parse_constant=finite)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError("not an object")
    return value


def _unb64(text: object) -> bytes:
    """base64url as RFC 7515 §2 has it: one spelling for each value, no padding. Raises ValueError."""
    if not isinstance(text, str):
        raise ValueError("not text")
    raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if base64.urlsafe_b64encode(raw).rstrip(b"=").decode() != text:
        raise ValueError("not canonical base64url")
    return raw


def _is_jkt(value: object) -> bool:
    """RFC 9449 §6.1."""
    return isinstance(value, dict) and value.keys() == {"jkt"} and _is_text(value["jkt"])


def _is_text(value: object) -> bool:
    return isinstance(value, str) and _TEXT.fullmatch(value) is not None


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _is_id(value: object) -> bool:
    return isinstance(value, str) and _ID.fullmatch(value) is not None


def _is_scope(value: object) -> bool:
    return isinstance(value, str) and _SCOPE.fullmatch(value) is not None


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 0  # `type`, because True is an int to isinstance


# --- the issuer's keys --------------------------------------------------------------------------------------------


class _Key(NamedTuple):
    alg: str
    verifies: Callable[[bytes, bytes], bool]  # (what was signed, signature)


class _CachedKeys(NamedTuple):
    """A key set and when it was asked for: replaced as a whole, so readers need no lock."""

    keys: Mapping[str, _Key]
    at: float


class _KeySet:
    """The last good key set. A failed, empty or broken answer never replaces it; a key that vanished from a good
    answer is gone with it, and a set that couldn't be had anew for a day is used no more. Only a fetch holds the lock,
    and a thread whose kid is known never waits for it."""

    def __init__(self, url: str, now: Callable[[], float], fetch: Fetch) -> None:
        self._url, self._now, self._fetch = url, now, fetch
        self._cached = _CachedKeys({}, -math.inf)
        self._tried_at = -math.inf
        self._strangers: dict[str, float] = {}  # kid → when a fresh set didn't have it; oldest first
        self._lock = threading.Lock()

    def find(self, kid: str) -> _Key:
        """Raises InvalidToken for a kid that a current set doesn't have, KeysUnavailable without a current set."""
        cached = self._cached
        known, current = kid in cached.keys, self._within(KEYS_MAX_AGE_S, cached.at)
        # A stranger waits for a fetch under way, for it may bring the key. When the set is old, whoever comes first
        # refreshes it, and the others go on with what they know.
        if not (known and current) and self._lock.acquire(blocking=not known):
            try:
                self._refresh(kid)
            finally:
                self._lock.release()
        cached = self._cached
        if kid in cached.keys and self._now() - cached.at < KEYS_TRUSTED_S:
            return cached.keys[kid]
        if self._within(KEYS_MAX_AGE_S, cached.at):
            raise InvalidToken("unknown_kid")
        raise KeysUnavailable(retry_after_s=max(1, math.ceil(self._tried_at + REFETCH_EVERY_S - self._now())))

    def _refresh(self, kid: str) -> None:
        if self._within(REFETCH_EVERY_S, self._tried_at):
            return
        if self._within(KEYS_MAX_AGE_S, self._cached.at) and self._within(
            KEYS_MAX_AGE_S, self._strangers.get(kid, -math.inf)
        ):
            return
        self._tried_at = now = self._now()
        try:
            keys = parse_jwks(self._fetch(self._url))
        except (OSError, ValueError, http.client.HTTPException) as error:
            _log.warning("the key set could not be fetched, keeping the last good one: %r", error)
            return
        first = not self._cached.keys
        self._cached = _CachedKeys(keys, now)
        if kid not in keys:
            self._strangers[kid] = now
            if len(self._strangers) > STRANGERS_MAX:
                del self._strangers[next(iter(self._strangers))]
        elif first:  # the first fetch is no refetch: a key that was made since then may come at once
            self._tried_at = -math.inf

    def _within(self, span_s: float, since: float) -> bool:
        """A clock that was set back makes things old, not young: otherwise it would stop all fetching."""
        return 0 <= self._now() - since < span_s


def parse_jwks(raw: bytes) -> dict[str, _Key]:
    """The keys by kid that may verify our tokens. Raises ValueError for a set that is broken or holds no such key.

    A key that isn't for us is left out (RFC 7517 §5). A shared secret or a kid that stands twice spoils the whole set:
    its maker lost track of it.
    """
    if len(raw) > JWKS_MAX_BYTES:
        raise ValueError("the key set is too long")
    entries = json_object(raw).get("keys")
    if not isinstance(entries, list) or not all(isinstance(jwk, dict) for jwk in entries):
        raise ValueError("not a key set")
    if any(jwk.get("kty") == "oct" or "k" in jwk for jwk in entries):
        raise ValueError("the key set holds a shared secret")
    kids = [jwk["kid"] for jwk in entries if isinstance(jwk.get("kid"), str)]
    if len(set(kids)) < len(kids):
        raise ValueError("the key set holds one kid twice")
    keys = {jwk["kid"]: key for jwk in entries if (key := _usable_key(jwk))}
    if not keys:
        raise ValueError("the key set holds no key for us")
    return keys


def _usable_key(jwk: dict[str, Any]) -> _Key | None:
    """PyJWT checks neither `use`, `key_ops` nor size, and would take a private key; so that is done here."""
    kind = jwk.get("kty"), jwk.get("crv")
    if not all(value is None or isinstance(value, str) for value in kind):
        return None
    alg = ALGORITHMS.get(cast("tuple[str, str | None]", kind))
    kid, key_ops = jwk.get("kid"), jwk.get("key_ops", ["verify"])
    if alg is None or jwk.get("alg", alg) != alg or not isinstance(kid, str) or not 0 < len(kid) <= KID_MAX_CHARS:
        return None
    if jwk.get("use", "sig") != "sig" or not isinstance(key_ops, list) or "verify" not in key_ops:
        return None
    if jwk.keys() & {"d", "p", "q", "dp", "dq", "qi", "oth"}:
        return None  # whoever reads the set could sign with it
    algorithm = jwt.get_algorithm_by_name(alg)
    try:
        for name in {"EC": ("x", "y"), "RSA": ("n", "e"), "OKP": ("x",)}[jwk["kty"]]:
            _unb64(jwk.get(name))
        key = algorithm.from_jwk(jwk)
    except (ValueError, jwt.PyJWTError):  # not canonical, wrong length, not a point of the curve
        return None
    if alg == "RS256" and (key.key_size not in RSA_BITS or is_roca(key.public_numbers().n)):
        return None
    return _Key(alg, lambda signed, signature: algorithm.verify(signed, key, signature))


def is_roca(modulus: int) -> bool:
    """CVE-2017-15361: such a modulus is a power of 65537 modulo every small prime; by chance, 1 in 10^8 is."""
    return all(any(pow(65537, power, p) == modulus % p for power in range(p)) for p in _ROCA_PRIMES)


# --- proofs of a client's key ---------------------------------------------------------------------------------------


class Proof(NamedTuple):
    """What a DPoP proof proves: the thumbprint of the key (RFC 7638), its own id, and until when it would be taken."""

    jkt: str
    jti: str
    until: float


def check_proof(dpop: str, method: str, url: str, now: float, token: str | None = None) -> Proof:
    """Whether a proof is for this request, now, and with this access token (RFC 9449 §4.3). Raises InvalidProof.

    What stays to be asked: whether it is the key that is meant, and whether this `jti` came before.
    """
    try:
        header, payload, signed, signature = split(dpop, PROOF_MAX_BYTES)
        claims = json_object(payload)
    except (InvalidToken, ValueError):
        raise InvalidProof("proof_shape") from None
    jwk = header.get("jwk")
    if header.keys() != {"alg", "typ", "jwk"} or header["typ"] != "dpop+jwt" or not isinstance(jwk, dict):
        raise InvalidProof("proof_header")
    key = _usable_key({**jwk, "kid": "of-a-proof"})
    if key is None or header["alg"] != key.alg or not key.verifies(signed, signature):
        raise InvalidProof("proof_signature")
    if not _is_text(claims.get("jti")) or len(claims["jti"]) > JTI_MAX_CHARS or not _is_count(claims.get("iat")):
        raise InvalidProof("proof_claims")
    if claims.get("htm") != method or _place(claims.get("htu")) != _place(url):
        raise InvalidProof("proof_of_another_request")
    until = claims["iat"] + PROOF_LIFE_S + LEEWAY_S
    if until <= now or claims["iat"] > now + LEEWAY_S:
        raise InvalidProof("proof_time")
    if token is not None and claims.get("ath") != _digest(token.encode()):
        raise InvalidProof("proof_of_another_token")
    members = {name: jwk[name] for name in sorted(_THUMBPRINT[jwk["kty"]])}
    return Proof(_digest(json.dumps(members, separators=(",", ":")).encode()), claims["jti"], until)


PROOF_LIFE_S = 60  # how old a DPoP proof may be, beside the leeway (RFC 9449 §11.1)
PROOF_MAX_BYTES = 4 * 1024
PROOFS_MAX = 100_000  # proofs remembered until they are too old, so that each is good once; 20 MB at the very worst
JTI_MAX_CHARS: Final = 256
_THUMBPRINT: Final = {"EC": ("crv", "kty", "x", "y"), "RSA": ("e", "kty", "n"), "OKP": ("crv", "kty", "x")}


def _digest(raw: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(raw).digest()).rstrip(b"=").decode()


def _place(url: object) -> tuple[str, str, int | None, str] | None:
    """An address without query and fragment, in one spelling (RFC 9449 §4.3, RFC 3986 §6.2). Raises InvalidProof."""
    if not isinstance(url, str) or not _is_text(url):
        raise InvalidProof("proof_claims")
    try:
        parts = urlsplit(url)
        port = parts.port or {"https": 443, "http": 80}.get(parts.scheme)
    except ValueError:
        raise InvalidProof("proof_claims") from None
    return parts.scheme, parts.hostname or "", port, unquote(parts.path) or "/"


class _UsedProofs:
    """The proofs of the last minute and a half, so that each is good once. Full is full: nothing is forgotten early."""

    def __init__(self) -> None:
        self._until: dict[tuple[str, str], float] = {}
        self._lock = threading.Lock()

    def add(self, proof: Proof, now: float) -> None:
        """Raises InvalidProof for one that came before, KeysUnavailable where no more can be remembered."""
        with self._lock:
            if self._until.get(proof[:2], 0) > now:
                raise InvalidProof("proof_replayed")
            if len(self._until) >= PROOFS_MAX:
                self._until = {seen: until for seen, until in self._until.items() if until > now}
            if len(self._until) >= PROOFS_MAX:
                raise KeysUnavailable(retry_after_s=PROOF_LIFE_S)
            self._until[proof[:2]] = proof.until


# --- the revocation feed ------------------------------------------------------------------------------------------

FEED_KINDS: Final = {"sessions": "sid", "links": "link", "tokens": "jti", "keys": "kid"}
"""The lists of a feed, and what of a token stands in them."""


class _Feed(NamedTuple):
    """What is revoked, as (list, id), when that was fetched, and when it was last tried."""

    revoked: frozenset[tuple[str, str]]
    at: float
    tried_at: float


class _Feeds:
    """The feed of each practice whose tokens were verified here; practices come from signed claims, so they are few.

    Fetched whole: revocations matter as long as tokens live, ten minutes, so the list is short by itself.
    """

    def __init__(
        self, base: str, issuer: str, find: Callable[[str], _Key], now: Callable[[], float], fetch: Fetch
    ) -> None:
        self._base, self._issuer, self._find, self._now, self._fetch = base, issuer, find, now, fetch
        self._feeds: dict[str, _Feed] = {}
        self._lock = threading.Lock()

    def refuse(self, claims: Claims, kid: str) -> None:
        """Raises InvalidToken for a revoked session, link, token or key; KeysUnavailable without a young feed."""
        marks = {**claims, "kid": kid}
        revoked = self._current(claims["practice"])
        if any((name, marks.get(claim)) in revoked for name, claim in FEED_KINDS.items()):
            raise InvalidToken("revoked")

    def _current(self, practice: str) -> frozenset[tuple[str, str]]:
        feed = self._feeds.get(practice, _Feed(frozenset(), -math.inf, -math.inf))
        young = 0 <= self._now() - feed.at < FEED_MAX_AGE_S
        due = not 0 <= self._now() - feed.tried_at < FEED_EVERY_S
        # As with keys: one thread fetches; who has a young feed goes on with it, who has none waits.
        if due and self._lock.acquire(blocking=not young):
            try:
                feed = self._refreshed(practice)
            finally:
                self._lock.release()
        if 0 <= self._now() - feed.at < FEED_MAX_AGE_S:
            return feed.revoked
        raise KeysUnavailable(retry_after_s=FEED_EVERY_S)

    def _refreshed(self, practice: str) -> _Feed:
        feed = self._feeds.get(practice, _Feed(frozenset(), -math.inf, -math.inf))
        now = self._now()
        if 0 <= now - feed.tried_at < FEED_EVERY_S:  # another thread was faster
            return feed
        try:
            revoked = self._read(self._fetch(f"{self._base}/{practice}"), practice, now)
            feed = _Feed(revoked, now, now)
        except (OSError, ValueError, http.client.HTTPException, InvalidToken) as error:
            _log.warning("the revocation feed could not be had, keeping the last good one: %r", error)
            feed = feed._replace(tried_at=now)
        self._feeds[practice] = feed
        return feed

    def _read(self, raw: bytes, practice: str, now: float) -> frozenset[tuple[str, str]]:
        """A feed is a JWT of a kind of its own. Raises ValueError or InvalidToken for one that says nothing here."""
        header, payload, signed, signature = split(raw.decode("ascii"), FEED_MAX_BYTES)
        _check_header(header, ("revocations+jwt",))
        key = self._find(header["kid"])
        if header["alg"] != key.alg or not key.verifies(signed, signature):
            raise InvalidToken("signature")
        claims = json_object(payload)
        lists = {name: claims.get(name) for name in FEED_KINDS}
        if (claims.get("iss"), claims.get("aud"), claims.get("practice")) != (self._issuer, "revocations", practice):
            raise ValueError("a feed of somebody else")
        if not _is_count(claims.get("exp")) or claims["exp"] + LEEWAY_S <= now:
            raise ValueError("a feed of the past")
        if not all(_is_texts(ids) for ids in lists.values()):
            raise ValueError("a feed without its lists")
        return frozenset((name, ident) for name, ids in lists.items() for ident in cast("list[str]", ids))


# --- fetching them ------------------------------------------------------------------------------------------------


def _refuse_unsafe_url(url: str) -> None:
    """https, or plain http to this machine (development); raises ValueError."""
    if not _is_text(url):
        raise ValueError("jwks_url must be printable ASCII text")
    parts = urlsplit(url)
    if not parts.hostname or parts.port == 0 or parts.username is not None or parts.fragment:
        raise ValueError("jwks_url must be an absolute URL without credentials or fragment")
    try:
        loopback = parts.hostname == "localhost" or ipaddress.ip_address(parts.hostname).is_loopback
    except ValueError:
        loopback = False
    if parts.scheme != "https" and not (parts.scheme == "http" and loopback):
        raise ValueError("jwks_url must be https; plain http is for loopback only")


class _UntilDeadline(io.RawIOBase):
    """A socket's bytes until an instant of `time.monotonic`: a socket's own timeout starts anew with every byte."""

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self._sock, self._deadline = sock, deadline

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if (left := self._deadline - time.monotonic()) <= 0:
            raise TimeoutError("the key set came too slowly")
        self._sock.settimeout(left)
        return self._sock.recv_into(buffer)


def _connect(connection: http.client.HTTPConnection) -> None:
    """In a thread, since the operating system's look-up of a name knows no timeout: a silent name server would hold up
    whoever waits for the keys. Raises OSError, ValueError."""
    failures: list[Exception] = []
    given_up = threading.Event()

    def connect() -> None:
        try:
            connection.connect()
        except (OSError, ValueError) as error:
            failures.append(error)
        if given_up.is_set():
            connection.close()

    thread = threading.Thread(target=connect, name="jwks-connect", daemon=True)
    thread.start()
    thread.join(CONNECT_TIMEOUT_S)
    if thread.is_alive():
        given_up.set()
        raise TimeoutError("no connection in time, the look-up of the name included")
    if failures:
        raise failures[0]


def fetch_jwks(url: str, max_bytes: int = JWKS_MAX_BYTES) -> bytes:
    """GET with http.client, which follows no redirect, asks no proxy, keeps no cookie and speaks no other scheme.

    Raises OSError, ValueError or http.client.HTTPException. One timeout is for the connection, the other counts from
    the first byte sent to the last read.
    """
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port
    connection = http.client.HTTPConnection(host, port, timeout=FETCH_TIMEOUT_S)
    if parts.scheme == "https":  # a context of our own: the default one can be switched off for a whole process
        tls = ssl.create_default_context()
        connection = http.client.HTTPSConnection(host, port, timeout=FETCH_TIMEOUT_S, context=tls)
    try:
        _connect(connection)
        deadline = time.monotonic() + FETCH_TIMEOUT_S
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("GET", target, headers={"Accept": "application/json", "Connection": "close"})
        source = cast(socket.socket, _UntilDeadline(connection.sock, deadline))
        with http.client.HTTPResponse(source, method="GET") as response:
            response.begin()
            if response.status != HTTPStatus.OK:
                raise ValueError(f"the address answered {response.status}")
            return response.read(max_bytes + 1)
    finally:
        connection.close()
