"""Authorization codes: how a sign-in or a pressed link reaches the practice's own page (RFC 6749 §4.1, RFC 7636).

press   → an instant link waits for its client; the browser gets a hint that works with this browser alone
issue   → a code of 256 random bits, for one client, one address and one PKCE challenge, for a minute
redeem  → once; a second use ends what the first one gave

No token ever stands in an address: a code is worth nothing without the verifier that only its client knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from authsvc.crypto import id_tokens, mint
from authsvc.errors import InvalidAuthorizationCode, LinkGone
from authsvc.flows import client_metadata
from authsvc.flows.browser_sessions import parse_cookie
from authsvc.flows.dependencies import Dependencies
from authsvc.flows.dpop import Dpop
from authsvc.flows.links import Links
from authsvc.flows.practices import Practices
from authsvc.flows.signing_keys import SigningKeys
from authsvc.flows.token_issuer import TokenIssuer
from authsvc.model import (
    AuthorizationRequest,
    Client,
    IdTokenHint,
    PendingLink,
    PresentedProof,
    RequestContext,
    TokenGrant,
)
from authsvc.store.authorization_codes import AuthorizationCodeStore, NewAuthorizationCode
from authsvc.store.values import NO_COOKIE, BrowserCookie, NewSession, PendingLinkName
from authsvc.text import AUTHORIZATION_CODE, LOGIN_HINT

CODE_LIFE_MS = 60_000  # ASVS 10.4.3 allows a minute where the assurance is high
PENDING_LINK_LIFE_MS = 600_000  # the patient's browser goes to the practice's page at once; a slow one gets ten minutes


class AuthorizationCodes:
    """The use cases of authorization codes."""

    def __init__(
        self,
        deps: Dependencies,
        store: AuthorizationCodeStore,
        keys: SigningKeys,
        links: Links,
        practices: Practices,
        token_issuer: TokenIssuer,
        dpop: Dpop,
    ) -> None:
        self._deps = deps
        self._store = store
        self._keys = keys
        self._links = links
        self._practices = practices
        self._token_issuer = token_issuer
        self._dpop = dpop

    # --- a hint at an earlier sign-in ---------------------------------------------------------------------------------

    def read_id_token_hint(self, id_token: str) -> IdTokenHint | None:
        """Whom an ID token of ours names, and for which client; its time may have passed. None for anything else."""
        try:
            claims = id_tokens.read_hint(id_token, self._keys.verification_keys(), self._deps.settings.public_url)
        except ValueError:
            return None
        return _hint(claims, verified=True)

    def read_unverified_hint(self, id_token: str) -> IdTokenHint | None:
        """Whom a token names whose key isn't among ours, as of before a rotation. It proves nothing, and may only
        narrow what is asked for. None for one that says otherwise: our keys would have signed it."""
        if id_tokens.claimed_kid(id_token) in ("", *self._keys.verification_keys()):
            return None
        claims = id_tokens.unverified_claims(id_token)
        if not all(isinstance(claims.get(name), str) for name in ("sub", "aud")):
            return None
        return _hint(claims, verified=False)

    def unverified_audience(self, id_token: str) -> str:
        """The client that such a token names, ours or not: worth no more than an id that somebody typed."""
        return id_tokens.claimed_audience(id_token)

    # --- a redeemed link ----------------------------------------------------------------------------------------------

    def redeem_link(self, context: RequestContext, token: str, browser: str, client: str) -> tuple[str, str]:
        """Spend one use of an instant link: the hint with which `client` may fetch it through this browser, and that
        client. Under the same Idempotency-Key both are those of the first time, and nothing more is spent.

        Raises LinkUnknown, LinkGone, RateLimited, IdempotencyConflict.
        """
        hint = mint.token(self._deps.entropy, LOGIN_HINT)
        until_ms = self._deps.clock.now_ms() + PENDING_LINK_LIFE_MS
        answer = {"hint": hint, "target": client}
        redeemed = self._links.redeem(context, token, _pending(hint, browser), client, until_ms, answer)
        return redeemed["hint"], redeemed["target"]

    def pending_link(self, context: RequestContext, login_hint: str, browser: str) -> PendingLink | None:
        """What a redeemed link waits for, to this browser; None when there is nothing. Changes nothing."""
        if not login_hint.startswith(LOGIN_HINT):
            return None
        found = self._store.pending_link(context, _pending(login_hint, browser))
        if found is None:
            return None
        email_hint = ""
        if found.address:
            email_hint = self._deps.personal_data.email_hint(context.practice.id, found.address, found.patient)
        return PendingLink(
            login_hint, found.patient, found.workflow, found.resource, found.client, email_hint, found.locale
        )

    # --- codes --------------------------------------------------------------------------------------------------------

    def for_browser_session(
        self, context: RequestContext, request: AuthorizationRequest, cookie: str, *, fresh: bool = False
    ) -> str:
        """A code for the browser's session. `fresh`: the patient proved it just now, so no age is too old.

        Raises SignInNeeded, RateLimited.
        """
        return self._issue(context, request, None if fresh else _max_age_ms(request), cookie=parse_cookie(cookie))

    def for_pending_link(self, context: RequestContext, request: AuthorizationRequest, browser: str) -> str:
        """A code for the link that was redeemed in this browser. Raises SignInNeeded, LinkGone, RateLimited."""
        return self._issue(context, request, _max_age_ms(request), pending=_pending(request.login_hint, browser))

    def _issue(
        self,
        context: RequestContext,
        request: AuthorizationRequest,
        max_age_ms: int | None,
        *,
        cookie: BrowserCookie = NO_COOKIE,
        pending: PendingLinkName | None = None,
    ) -> str:
        code = mint.token(self._deps.entropy, AUTHORIZATION_CODE + context.practice.id + ".")
        new = NewAuthorizationCode(
            digest=mint.digest(code),
            redirect_uri=request.redirect_uri,
            code_challenge=request.challenge,
            nonce=request.nonce,
            scope=" ".join(request.scopes),
            expires_ms=self._deps.clock.now_ms() + CODE_LIFE_MS,
            patient=request.expected_patient,
            max_age_ms=max_age_ms,
            dpop_jkt=request.dpop_jkt,
        )
        buckets = self._deps.rate_limits.of_caller(context, "exchange-network")
        self._store.issue(context, request.client.id, new, buckets, cookie=cookie, pending=pending)
        return code

    def redeem(
        self,
        client: Client,
        code: str,
        redirect_uri: str,
        verifier: str,
        request_id: str,
        proof: PresentedProof | None = None,
    ) -> TokenGrant:
        """The tokens for a code: of a new client session, or of a link.

        Raises InvalidAuthorizationCode, InvalidDpopProof, RateLimited.
        """
        practice_id = code.removeprefix(AUTHORIZATION_CODE).partition(".")[0]
        practice = self._practices.get(practice_id) if code.startswith(AUTHORIZATION_CODE) else None
        if practice is None or not client.serves(practice.id):
            raise InvalidAuthorizationCode("unknown")
        context = RequestContext.of_client(self._deps.new_id(), client, practice, request_id)
        self._token_issuer.check_signer()
        jkt = self._dpop.thumbprint(context, client, proof)
        sid = self._deps.new_id()
        nonce = self._token_issuer.nonce(practice.id, code, sid)
        redeemed = self._store.redeem(
            context,
            mint.digest(code),
            redirect_uri if client_metadata.may_redirect(client, redirect_uri) else "",  # it may be taken away since
            s256(verifier) if verifier else "",
            NewSession(sid, mint.digest(mint.b64u(nonce)), client.audience, "", "", 0, jkt if client.public else ""),
            jkt=jkt,
            notify=bool(client.backchannel_logout_uri),
            jti=self._deps.new_id(),
            token_until_ms=self._deps.clock.now_ms() + self._deps.settings.access_token_life_s * 1000,
            buckets=self._deps.rate_limits.of_caller(context),
        )
        if redeemed.session is not None:
            nonce = self._token_issuer.nonce(practice.id, code, redeemed.session.id)
            return self._token_issuer.for_session(
                practice.id, redeemed.session, nonce, oidc_nonce=redeemed.nonce, jkt=jkt
            )
        link = redeemed.link
        workflow = self._deps.catalogue.get(link.workflow) if link else None
        if link is None or workflow is None:
            raise LinkGone("revoked")  # the site has taken the workflow out of its catalogue
        return self._token_issuer.for_link(
            client, practice.id, link, workflow, wanted=redeemed.scope.split(), oidc_nonce=redeemed.nonce, jkt=jkt
        )


def _hint(claims: Mapping[str, Any], *, verified: bool) -> IdTokenHint:
    practice, _, patient = claims["sub"].partition(":")
    if not verified:
        return IdTokenHint(claims["aud"], practice, patient, verified=False)
    guardian = claims.get("act", {}).get("sub", "").partition(":")[2]
    return IdTokenHint(claims["aud"], practice, patient, claims.get("sid", ""), guardian=guardian)


def s256(verifier: str) -> str:
    """PKCE's challenge for a verifier (RFC 7636 §4.2)."""
    return mint.b64u(sha256(verifier.encode("utf-8", "replace")).digest())


def _max_age_ms(request: AuthorizationRequest) -> int | None:
    return None if request.max_age_s is None else request.max_age_s * 1000


def _pending(login_hint: str, browser: str) -> PendingLinkName:
    return PendingLinkName(mint.digest(login_hint), mint.digest(browser))
