"""The rules of registration, in one place: which addresses a client may have, and what excludes what.

A fault's pointer is the name of the option that it is about.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import TypedDict

from authsvc.errors import Fault
from authsvc.flows.revocations import AUDIENCE as REVOCATIONS
from authsvc.model import EVERY_PRACTICE, Client
from authsvc.text import check_native_url, check_url

_LOOPBACK = re.compile(r"(http://(?:127\.0\.0\.1|\[::1\]))(:[1-9][0-9]{0,4})?((?:/[^#]*)?)")
"""By its number: `localhost` may be another machine (RFC 8252 §8.3)."""

ADDRESSES_MAX = 20  # of a kind: each is one more place that codes may go to


class ClientChanges(TypedDict, total=False):
    """What may be changed later. `jwks` is a JWK set as text, `auth` a key of AUTHENTICATION_METHODS."""

    redirect_uris: tuple[str, ...]
    post_logout_uris: tuple[str, ...]
    initiate_login_uri: str
    backchannel_logout_uri: str
    jwks: str
    auth: str
    pkce: str
    id_token_alg: str
    assertion_audience: str
    claims: tuple[str, ...]
    require_pushed_authorization_requests: bool
    dpop_bound_access_tokens: bool


class ClientMetadata(ClientChanges, total=False):
    """What makes a client a relying party, all of it optional."""

    public: bool


def faults(client: Client, *, production: bool) -> list[Fault]:
    """Everything that is wrong with how this client would be registered."""
    found: list[Fault] = []
    beside = {
        "post-logout-uri": client.post_logout_uris,
        "initiate-login-uri": tuple(filter(None, [client.initiate_login_uri])),
        "backchannel-logout-uri": tuple(filter(None, [client.backchannel_logout_uri])),
    }
    for option, addresses in {"redirect-uri": client.redirect_uris, **beside}.items():
        native = client.public and option in ("redirect-uri", "post-logout-uri")
        found += _url_faults(option, addresses, check_native_url if native else check_url, production)
        if len(addresses) > ADDRESSES_MAX:
            found.append(Fault(f"/{option}", f"at most {ADDRESSES_MAX} addresses"))
    if client.redirect_uris:
        if len(client.practices) != 1 or EVERY_PRACTICE in client.practices:
            found.append(Fault("/practice", "a client with --redirect-uri serves exactly one practice, and not '*'"))
    else:
        alone = [option for option, addresses in beside.items() if addresses] + ["public"] * client.public
        alone += ["pkce"] * (client.pkce == "optional") + ["claims"] * bool(client.claims)
        alone += ["id-token-alg"] * bool(client.id_token_alg)
        alone += ["par"] * client.require_pushed_authorization_requests + ["dpop"] * client.dpop_bound_access_tokens
        found += [Fault(f"/{option}", "only together with --redirect-uri") for option in alone]
    if client.public and client.jwks:
        found.append(Fault("/jwks", "excludes --public: who has a private key can keep a secret"))
    if client.public and client.pkce == "optional":
        found.append(Fault("/pkce", "required of a public client: nothing else binds its code to it (RFC 9700 §2.1.1)"))
    if client.assertion_audience != "issuer" and not client.jwks:
        found.append(Fault("/assertion-audience", "only together with --jwks"))
    if client.public and client.permissions:
        found.append(Fault("/allow", "excludes --public: without a secret, anybody could call in its name"))
    return found


def may_redirect(client: Client, redirect_uri: str) -> bool:
    """Whether codes may go there: compared whole, with no prefix and no pattern (RFC 9700 §2.1); but an app that
    listens on this machine takes the port that is free (RFC 8252 §7.3)."""
    if redirect_uri in client.redirect_uris:
        return True
    loopback = _LOOPBACK.fullmatch(redirect_uri) if client.public else None
    if loopback is None:
        return False
    known = filter(None, map(_LOOPBACK.fullmatch, client.redirect_uris))
    return any(registered.group(1, 3) == loopback.group(1, 3) for registered in known)


def _url_faults(option: str, urls: Iterable[str], check: Callable[..., None], production: bool) -> Iterator[Fault]:
    for url in urls:
        try:
            check(url, production=production)
        except ValueError as problem:
            yield Fault(f"/{option}", str(problem))


def clashes(client: Client, others: Iterable[Client], default_audience: str) -> list[Fault]:
    """An id_token's `aud` is the client's id, and gateways look at `aud` but not at `typ`: were that id also the
    audience of a service, a token that only tells a portal who is there would open it (the confused deputy)."""
    others = list(others)
    audiences = {default_audience, client.audience, REVOCATIONS, *(other.audience for other in others)}
    found = []
    if client.id in audiences:
        found.append(Fault("/id", f"{client.id!r} is the audience of a service, so no client can be called so"))
    if client.audience == REVOCATIONS:
        found.append(Fault("/audience", f"{REVOCATIONS!r} is the audience of the revocation feed"))
    if any(client.audience == other.id for other in others):
        found.append(Fault("/audience", f"{client.audience!r} is the id of a client; its id_tokens would do for it"))
    return found
