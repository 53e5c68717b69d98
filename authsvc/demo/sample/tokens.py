"""What every handler checks first, as a resource server does: verify the token, then require what this act needs.

A page for one thing (an invoice, an agreement) takes the token of its link, else the portal's. A portal page takes the
portal's. Where neither is there but some other link's token is, the verifier says what that one lacks (RFC 6750,
RFC 9470), and that answer leads the patient to a code.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from authsvc.demo.sample.api import Unavailable
from authsvc.demo.sample.clinic import clinic
from authsvc.demo.sample.oidc import SignInRefused
from authsvc.demo.sample.sessions import PatientSession, TokenSet, current_session
from authsvc.verifier import InvalidToken, KeysUnavailable

RENEW_AFTER_S = 120
"""A click with an older token renews it first. Only that tells authsvc that somebody is there, so the idle time begins
anew with every click, to within two minutes."""

Claims = Mapping[str, Any]
"""Of a verified access token. `patient` is whose data it opens; `link` or `sid` says how the patient came in."""


class SignInRequired(Exception):
    """This session has no token that could do."""


class LinkExpired(Exception):
    """The link's token has ended, as it does after ten minutes; the link in the mail opens it again."""


def grant_from(token: Mapping[str, Any]) -> TokenSet:
    """What to keep of a token response."""
    now = time.monotonic()
    return TokenSet(
        access_token=token["access_token"],
        began=now,
        ends=now + token["expires_in"],
        patient=token["userinfo"]["sub"].partition(":")[2],  # `sub` is practice:patient
        refresh_token=token.get("refresh_token", ""),
        id_token=token["id_token"],
        sid=token["userinfo"].get("sid", ""),
        guardian=token["userinfo"].get("act", {}).get("sub", "").partition(":")[2],
    )


def require_link_or_portal(scope: str, thing: str, resource: str | None = None) -> Claims:
    """The claims of a token that allows this act on this one thing. `thing`: the key in `link_grants`."""
    held = current_session().link_grants.get(thing)
    grant = held if held and _alive(held) else portal_grant() or newest_link_grant()
    if grant is None:
        raise LinkExpired if held else SignInRequired
    return _required(grant, scope, resource=resource)


def require_portal(scope: str, acting: bool = True, max_age: int | None = None) -> Claims:
    """The claims of a token that allows this in the portal: a code was typed, whatever the scope says. With
    `acting=False` no guardian may do it for a dependent; with `max_age` the code was typed so many seconds ago."""
    grant = portal_grant() or newest_link_grant()
    if grant is None:
        raise SignInRequired
    return _required(grant, scope, acr="extra", acting=acting, max_age=max_age)


def portal_grant() -> TokenSet | None:
    """The portal's token, for a click of the patient's: renewed if it isn't fresh, which keeps the session awake. The
    lock lets two tabs share one renewal."""
    current = current_session()
    with current.lock:
        grant = current.portal_grant
        if grant and time.monotonic() >= min(grant.began + RENEW_AFTER_S, grant.ends):
            try:
                _renew(current, grant)
            except Unavailable:
                if not _alive(grant):
                    raise  # undecided; until its end the token at hand does
        return current.portal_grant


def extend() -> bool:
    """Begin the idle time anew; whether there still was a session. Raises Unavailable."""
    current = current_session()
    with current.lock:
        if current.portal_grant:
            _renew(current, current.portal_grant)
        return current.portal_grant is not None


def idle_in_s() -> int | None:
    """How long the session lives on if nothing is done; None if it is over. To ask changes nothing."""
    grant = current_session().portal_grant
    left_s = grant.began + clinic().settings.idle_s - time.monotonic() if grant else 0.0
    return int(left_s) if left_s > 0 else None


def newest_link_grant() -> TokenSet | None:
    alive = [grant for grant in current_session().link_grants.values() if _alive(grant)]
    return max(alive, key=lambda grant: grant.ends, default=None)


def _renew(current: PatientSession, grant: TokenSet) -> None:
    try:
        current.portal_grant = grant_from(clinic().oidc.refresh(grant.refresh_token))
    except SignInRefused as refused:
        if refused.code != "invalid_grant":
            raise
        current.portal_grant = None  # idle too long, signed out elsewhere, or access withdrawn


def _alive(grant: TokenSet) -> bool:
    return grant.ends > time.monotonic()


def _required(grant: TokenSet, scope: str, **more: Any) -> Claims:
    claims = _verified(grant)
    clinic().verifier.require(claims, scope, **more)
    return claims


def _verified(grant: TokenSet) -> dict[str, Any]:
    try:
        return clinic().verifier.verify(grant.access_token)
    except KeysUnavailable as error:  # undecided, so nobody is sent to sign in for it
        raise Unavailable(error.reason, error.retry_after_s) from None
    except InvalidToken as error:
        raise SignInRequired from error
