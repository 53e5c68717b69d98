"""The gate before every handler, as a resource server builds it: verify the token, then require what this act needs.

A page for one thing (an invoice, an agreement) takes the token that its link gave, else the portal's. A portal page
takes the portal's. Where neither is at hand but some other link's token is, that one is shown to the verifier, which
says what is missing (RFC 6750, RFC 9470), and that answer leads the patient to a code.
"""

from __future__ import annotations

import time
from typing import Any

from authsvc.demo.sample.api import Away, Refusal, Tokens
from authsvc.demo.sample.clinic import clinic
from authsvc.demo.sample.visits import Grant, visit
from authsvc.verifier import InvalidToken, KeysUnavailable

REFRESH_BEFORE_S = 60  # an access token with less than this to live is renewed first


class SignInNeeded(Exception):
    """This browser holds no token that could do."""


class LinkClosed(Exception):
    """The link's token has ended, as it does after ten minutes; the link in the mail opens it again."""


def granted(tokens: Tokens) -> Grant:
    ends = time.monotonic() + tokens.expires_in_s
    return Grant(tokens.access_token, ends, tokens.patient, tokens.refresh_token)


def one_thing(scope: str, thing: str, resource: str | None = None) -> str:
    """The patient for whom an act on this one thing is allowed. `thing` is what the link's token was kept under."""
    held = visit().instant.get(thing)
    grant = held if held and _alive(held) else portal_grant() or newest_link_grant()
    if grant is None:
        raise LinkClosed if held else SignInNeeded
    return str(_required(grant, scope, resource=resource)["patient"])


def portal(scope: str) -> str:
    """The patient who may do this in the portal: a code was typed, whatever the scope says."""
    grant = portal_grant() or newest_link_grant()
    if grant is None:
        raise SignInNeeded
    return str(_required(grant, scope, acr="extra")["patient"])


def portal_grant() -> Grant | None:
    """The portal's token, renewed when it nears its end. The lock lets two tabs share one renewal."""
    here = visit()
    with here.lock:
        grant = here.portal
        if grant and grant.refresh_token and grant.ends - time.monotonic() < REFRESH_BEFORE_S:
            try:
                here.portal = granted(clinic().authsvc.refresh(grant.refresh_token))
            except Refusal as refusal:
                if refusal.kind != "invalid_grant":
                    raise
                here.portal = None  # idle too long, signed out elsewhere, or access withdrawn
        return here.portal


def newest_link_grant() -> Grant | None:
    alive = [grant for grant in visit().instant.values() if _alive(grant)]
    return max(alive, key=lambda grant: grant.ends, default=None)


def linked_patient() -> str:
    """Whom a link's token names: who gets the code when a portal page asks for more."""
    grant = newest_link_grant()
    if grant is None:
        raise LinkClosed
    return str(_verified(grant)["patient"])


def _alive(grant: Grant) -> bool:
    return grant.ends > time.monotonic()


def _required(grant: Grant, scope: str, *, resource: str | None = None, acr: str | None = None) -> dict[str, Any]:
    claims = _verified(grant)
    clinic().verifier.require(claims, scope, resource=resource, acr=acr)
    return claims


def _verified(grant: Grant) -> dict[str, Any]:
    try:
        return clinic().verifier.verify(grant.access_token)
    except KeysUnavailable as error:  # undecided, so nobody is sent to sign in for it
        raise Away(error.reason, error.retry_after_s) from None
    except InvalidToken as error:
        raise SignInNeeded from error
