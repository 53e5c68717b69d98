"""Authorization codes: how a sign-in or a pressed link reaches the practice's own page (RFC 6749 §4.1, RFC 7636).

press   → an instant link waits for its client; the browser gets a hint that works with this browser alone
issue   → a code of 256 random bits, for one client, one address and one PKCE challenge, for a minute
redeem  → once; a second use ends what the first one gave

No token ever stands in an address: a code is worth nothing without the verifier that only its client knows.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from authsvc.audit import Event
from authsvc.config.workflows import Catalogue
from authsvc.crypto import id_tokens, mint
from authsvc.errors import InvalidAuthorizationCode, LinkGone
from authsvc.flows.browser_sessions import named
from authsvc.flows.key_rotation import KeyRotation
from authsvc.flows.links import Links
from authsvc.flows.practices import Practices
from authsvc.flows.script_runner import ScriptRunner
from authsvc.flows.token_issuer import TokenIssuer
from authsvc.model import AuthorizationRequest, Client, IdTokenHint, PendingLink, RequestContext, TokenGrant

CODE = "aac_"  # prefix of authorization codes
CODE_LIFE_MS = 60_000  # ASVS 10.4.3 allows a minute where the assurance is high
LANDING_LIFE_MS = 600_000  # the patient's browser goes to the practice's page at once; a slow one gets ten minutes
HINT = "alh_"  # prefix of the hints that travel as login_hint

ISSUED = {"issued": Event.GRANT_ISSUED}
REDEEMED = {
    "redeemed": Event.GRANT_REDEEMED,
    "reused": Event.GRANT_REUSED,
    "refused": Event.GRANT_REFUSED,
    "session_ended": Event.SESSION_ENDED,
}


class AuthorizationCodes:
    """The use cases of authorization codes."""

    def __init__(
        self,
        runner: ScriptRunner,
        keys: KeyRotation,
        links: Links,
        practices: Practices,
        token_issuer: TokenIssuer,
        catalogue: Catalogue,
    ) -> None:
        self._runner = runner
        self._keys = keys
        self._links = links
        self._practices = practices
        self._token_issuer = token_issuer
        self._catalogue = catalogue

    # --- a hint at an earlier sign-in ---------------------------------------------------------------------------------

    def hinted(self, id_token: str) -> IdTokenHint | None:
        """Whom an ID token of ours names, and for which client; its time may have passed. None for anything else."""
        try:
            claims = id_tokens.read_hint(id_token, self._keys.verification_keys(), self._runner.settings.public_url)
        except ValueError:
            return None
        practice, _, patient = claims["sub"].partition(":")
        return IdTokenHint(claims["aud"], practice, patient, claims.get("sid", ""))

    def unproven(self, id_token: str) -> str:
        """The client that such a token names, ours or not: worth no more than an id that somebody typed."""
        return id_tokens.claimed_audience(id_token)

    def outlived(self, id_token: str, client: Client) -> bool:
        """Whether it may be an ID token of this client whose key is no longer among ours. It proves nothing."""
        kid = id_tokens.claimed_kid(id_token)
        return bool(kid) and kid not in self._keys.verification_keys() and self.unproven(id_token) == client.id

    # --- a pressed link -----------------------------------------------------------------------------------------------

    def press(self, context: RequestContext, token: str, browser: str, target: str) -> tuple[str, str]:
        """Spend one use of an instant link: the hint with which the client `target` may fetch it through this browser,
        and that client. Under the same Idempotency-Key both are the first press's, and nothing more is spent.

        Raises LinkUnknown, LinkGone, RateLimited, IdempotencyConflict.
        """
        waits = mint.token(self._runner.entropy, HINT)
        pressed = self._links.spend(
            context,
            token,
            landing={
                "id": mint.digest(waits),
                "browser": mint.digest(browser),
                "target": target,
                "until": self._runner.clock.now_ms() + LANDING_LIFE_MS,
            },
            answer={"hint": waits, "target": target},
        )
        return pressed["hint"], pressed["target"]

    def landing(self, context: RequestContext, login_hint: str, browser: str) -> PendingLink | None:
        """What a pressed link waits for, to this browser; None when there is nothing. Changes nothing."""
        if not login_hint.startswith(HINT):
            return None
        found = self._runner.run(context, "landing_peek", {}, **_landing(login_hint, browser))
        if "l" not in found:
            return None
        email_hint = ""
        if "to" in found:
            email_hint = self._runner.email_hint(context.practice.id, found["to"], found["p"])
        return PendingLink(login_hint, found["p"], found["w"], found["r"], found["c"], email_hint, found["loc"])

    # --- codes --------------------------------------------------------------------------------------------------------

    def for_sign_in(
        self, context: RequestContext, request: AuthorizationRequest, cookie: str, *, fresh: bool = False
    ) -> str:
        """A code for the browser's sign-in. `fresh`: the patient proved it just now, so no age is too old.

        Raises SignInNeeded, RateLimited.
        """
        held = named(cookie) or {"sid": "", "secret": ""}
        wanted = None if fresh else _max_age_ms(request)
        return self._issue(
            context, request, idle_ms=self._runner.settings.session_idle_s * 1000, max_age_ms=wanted, **held
        )

    def for_landing(self, context: RequestContext, request: AuthorizationRequest, browser: str) -> str:
        """A code for the link that this browser has pressed. Raises SignInNeeded, LinkGone, RateLimited."""
        return self._issue(context, request, max_age_ms=_max_age_ms(request), **_landing(request.login_hint, browser))

    def _issue(self, context: RequestContext, request: AuthorizationRequest, **of: Any) -> str:
        code = mint.token(self._runner.entropy, CODE + context.practice.id + ".")
        self._runner.run(
            context,
            "grant_issue",
            ISSUED,
            durable=True,
            limits=self._runner.callers(context, "exchange-network"),
            code=mint.digest(code),
            client=request.client.id,
            redirect=request.redirect_uri,
            challenge=request.challenge,
            nonce=request.nonce,
            scope=" ".join(request.scopes),
            patient=request.hinted or None,
            until=self._runner.clock.now_ms() + CODE_LIFE_MS,
            **of,
        )
        return code

    def redeem(self, client: Client, code: str, redirect_uri: str, verifier: str, request_id: str) -> TokenGrant:
        """The tokens for a code: of a new client session, or of a link.

        Raises InvalidAuthorizationCode, RateLimited.
        """
        practice_id = code.removeprefix(CODE).partition(".")[0]
        practice = self._practices.get(practice_id) if code.startswith(CODE) else None
        if practice is None or not client.serves(practice.id):
            raise InvalidAuthorizationCode("unknown")
        context = RequestContext.of_client(self._runner.new_id(), client, practice, request_id)
        settings, sid = self._runner.settings, mint.short_id(self._runner.entropy)
        nonce = self._token_issuer.nonce(practice.id, code, sid)
        jti = mint.short_id(self._runner.entropy)
        reply = self._runner.run(
            context,
            "grant_redeem",
            REDEEMED,
            durable=True,
            limits=self._runner.callers(context),
            code=mint.digest(code),
            client=client.id,
            redirect=redirect_uri,
            challenge=s256(verifier),
            idle_ms=settings.session_idle_s * 1000,
            session={
                "id": sid,
                "nonce": mint.digest(mint.b64u(nonce)),
                "aud": client.audience,
                "tell": bool(client.backchannel_logout_uri),
            },
            jti=jti,
            token_until=self._runner.clock.now_ms() + settings.access_token_life_s * 1000,
        )
        if "session" in reply:
            return self._token_issuer.for_session(practice.id, reply["session"], nonce, oidc_nonce=reply["nonce"])
        workflow = self._catalogue.get(reply["link"]["w"])
        if workflow is None:
            raise LinkGone("revoked")  # the site has taken the workflow out of its catalogue
        return self._token_issuer.for_link(
            client,
            practice.id,
            reply["link"],
            workflow,
            jti=jti,
            request=reply["scope"].split(),
            oidc_nonce=reply["nonce"],
            pressed_ms=int(reply["link"]["o"]),
        )


def s256(verifier: str) -> str:
    """PKCE's challenge for a verifier (RFC 7636 §4.2)."""
    return mint.b64u(sha256(verifier.encode("utf-8", "replace")).digest())


def _max_age_ms(request: AuthorizationRequest) -> int | None:
    return None if request.max_age_s is None else request.max_age_s * 1000


def _landing(login_hint: str, browser: str) -> dict[str, Any]:
    return {"landing": mint.digest(login_hint), "browser": mint.digest(browser)}
