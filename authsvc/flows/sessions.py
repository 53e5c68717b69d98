"""Sessions after the sign-in: refresh, list, end; and the OAuth views of tokens (RFC 6749, 7009, 7662).

A refresh token is a MAC, not a record: junk is refused by arithmetic, and the immediate parent can be given the same
successor again for a few seconds, so that two tabs don't sign each other out. Anything older ends the whole family.
"""

from __future__ import annotations

import builtins
from typing import Any

from authsvc.crypto import mint, tokens
from authsvc.crypto.tokens import Refresh
from authsvc.errors import InvalidRefreshToken, InvalidScope, KeysetUnusable, NotFound, TokenInvalid
from authsvc.flows.dependencies import Dependencies
from authsvc.flows.dpop import Dpop
from authsvc.flows.introspection import TokenIntrospection, session_or_link
from authsvc.flows.practices import Practices
from authsvc.flows.token_issuer import TokenIssuer
from authsvc.model import Bucket, Client, Practice, PresentedProof, RequestContext, SessionInfo, TokenGrant
from authsvc.store.clients import ClientStore
from authsvc.store.sessions import SessionStore, TokenState
from authsvc.text import REFRESH_TOKEN

INACTIVE: dict[str, Any] = {"active": False}
INTROSPECTED = (
    *("scope", "client_id", "sub", "aud", "iss", "exp", "iat", "jti", "acr", "amr", "auth_time"),
    *("practice", "patient", "act", "sid", "link", "resource", "authorization_details", "cnf"),
)


class Sessions:
    """The use cases around sessions and the tokens that rest on them."""

    def __init__(
        self,
        deps: Dependencies,
        store: SessionStore,
        clients: ClientStore,
        token_issuer: TokenIssuer,
        introspection: TokenIntrospection,
        practices: Practices,
        dpop: Dpop,
    ) -> None:
        self._deps = deps
        self._store = store
        self._clients = clients
        self._token_issuer = token_issuer
        self._introspection = introspection
        self._practices = practices
        self._dpop = dpop

    # --- RFC 6749 §6 ------------------------------------------------------------------------------------------------

    def refresh(
        self,
        client: Client,
        refresh_token: str,
        scope: str | None,
        request_id: str,
        proof: PresentedProof | None = None,
    ) -> TokenGrant:
        """The next tokens of a session. Raises InvalidRefreshToken, InvalidScope, InvalidDpopProof, RateLimited."""
        wanted = None if scope is None else scope.split()
        if wanted == []:
            raise InvalidScope
        token, context = self._parsed(client, refresh_token, request_id)
        self._token_issuer.check_signer()
        nonce = mint.digest(mint.b64u(token.nonce))
        jkt = self._dpop.thumbprint(context, client, proof)
        buckets = self._buckets(context)
        session = self._store.refresh(context, token.sid, token.generation, nonce, wanted or (), buckets, jkt)
        return self._token_issuer.for_session(token.practice, session, token.nonce, wanted, jkt=jkt)

    def _parsed(self, client: Client, refresh_token: str, request_id: str) -> tuple[Refresh, RequestContext]:
        """A refresh token, and the call that it begins. Junk counts like a wrong secret, by client."""
        try:
            token = tokens.parse_refresh(self._deps.data_keys.key("refresh"), refresh_token, client.id)
        except ValueError:
            bucket = self._deps.rate_limits.bucket("auth-failures", f"junk.{client.id}")
            self._clients.count_failure(self._deps.new_id(), [bucket], actor=f"client:{client.id}")
            raise InvalidRefreshToken("malformed") from None
        practice = self._practices.get(token.practice)
        if practice is None or not client.serves(practice.id):
            raise InvalidRefreshToken("unknown")
        return token, self._context(client, practice, request_id)

    # --- RFC 7009 ---------------------------------------------------------------------------------------------------

    def revoke(self, client: Client, token: str, request_id: str) -> None:
        """End what a token of this client stands for: a refresh token its session, an access token itself.

        Unknown, expired and another client's tokens are passed over in silence. Raises RateLimited, Unavailable.
        """
        if token.startswith(REFRESH_TOKEN):
            try:
                parsed, context = self._parsed(client, token, request_id)
            except InvalidRefreshToken:
                return
            self._store.end(context, self._buckets(context), sid=parsed.sid, client=client.id)
            return
        try:
            claims = self._introspection.claims(token)
        except (TokenInvalid, KeysetUnusable):
            return
        practice = self._practices.get(claims["practice"])
        if practice is None or claims["client_id"] != client.id:
            return
        context = self._context(client, practice, request_id)
        self._store.revoke_token(context, claims["jti"], claims["exp"] * 1000, self._buckets(context))

    # --- RFC 7662 ---------------------------------------------------------------------------------------------------

    def introspect(self, client: Client, token: str, request_id: str) -> dict[str, Any]:
        """The claims of a token while it is active, for a client of its practice and audience; else exactly
        inactive. Raises RateLimited, Unavailable."""
        if token.startswith(REFRESH_TOKEN):
            return self._introspect_refresh(client, token, request_id)
        try:
            claims = self._introspection.claims(token)
        except TokenInvalid:
            return INACTIVE
        practice = self._practices.get(claims["practice"])
        if practice is None or not client.serves(practice.id) or claims["aud"] != client.audience:
            return INACTIVE
        basis = session_or_link(claims)
        if not basis or not self._state(client, practice, request_id, claims["jti"], **basis).active:
            return INACTIVE
        return {
            "active": True,
            "token_type": "DPoP" if "cnf" in claims else "Bearer",
            **{name: claims[name] for name in INTROSPECTED if name in claims},
        }

    def _introspect_refresh(self, client: Client, token: str, request_id: str) -> dict[str, Any]:
        """A client's own refresh token: whether it would still be taken."""
        try:
            parsed = tokens.parse_refresh(self._deps.data_keys.key("refresh"), token, client.id)
        except ValueError:
            return INACTIVE
        practice = self._practices.get(parsed.practice)
        if practice is None or not client.serves(practice.id):
            return INACTIVE
        state = self._state(client, practice, request_id, parsed.sid, sid=parsed.sid)
        if not state.active or state.generation != parsed.generation:
            return INACTIVE
        # No token_type: RFC 6749 §7.1 has kinds of access tokens only, and RFC 7662 §2.2 means those.
        return {"active": True, "client_id": client.id, "sid": parsed.sid}

    def _state(self, client: Client, practice: Practice, request_id: str, jti: str, **basis: str) -> TokenState:
        """Whether what a token rests on is active. Raises RateLimited, Unavailable."""
        context = self._context(client, practice, request_id)
        return self._store.token_state(context, jti, self._buckets(context), **basis)

    def _context(self, client: Client, practice: Practice, request_id: str) -> RequestContext:
        return RequestContext.of_client(self._deps.new_id(), client, practice, request_id)

    def _buckets(self, context: RequestContext) -> builtins.list[Bucket]:
        return self._deps.rate_limits.of_caller(context)

    # --- who is signed in -------------------------------------------------------------------------------------------

    def list(self, context: RequestContext, patient: str) -> builtins.list[SessionInfo]:
        """The live sessions for a patient, and those in which it acts for a dependent; newest first.

        Raises PatientNotFound, RateLimited.
        """
        found = [
            SessionInfo(
                id=session.id,
                patient=session.patient,
                client=session.client,
                created_at_ms=session.opened_ms,
                last_used_at_ms=session.used_ms,
                expires_at_ms=session.expires_ms,
                guardian=session.guardian,
            )
            for session in self._store.list(context, patient, self._buckets(context))
        ]
        return sorted(found, key=lambda session: (-session.created_at_ms, session.id))

    def end(self, context: RequestContext, patient: str, sid: str, client: str = "") -> None:
        """Sign one session out, with the sign-in that it was opened from; with `client` that client's session alone.

        Raises PatientNotFound, and NotFound when the patient has no such session.
        """
        if not self._store.end(context, self._buckets(context), sid=sid, patient=patient, client=client):
            raise NotFound

    def end_all(self, context: RequestContext, patient: str, keep: str | None = None) -> int:
        """Sign the patient out everywhere but in the session `keep`; how many that ended. Raises PatientNotFound."""
        return self._store.end(context, self._buckets(context), patient=patient, keep=keep or "")
