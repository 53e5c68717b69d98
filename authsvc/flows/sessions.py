"""Sessions after the sign-in: refresh, list, end; and the OAuth views of tokens (RFC 6749, 7009, 7662).

A refresh token is a MAC, not a record: junk is refused by arithmetic, and the immediate parent can be given the same
successor again for a few seconds, so that two tabs don't sign each other out. Anything older ends the whole family.
"""

from __future__ import annotations

from typing import Any

from authsvc.audit import Event
from authsvc.crypto import mint, tokens
from authsvc.crypto.tokens import Refresh
from authsvc.errors import InvalidRefreshToken, InvalidScope, KeysetUnusable, NotFound, TokenInvalid
from authsvc.flows.introspection import TokenIntrospection, rests
from authsvc.flows.practices import Practices
from authsvc.flows.script_runner import ScriptRunner
from authsvc.flows.token_issuer import TokenIssuer
from authsvc.model import Client, Practice, RequestContext, SessionInfo, TokenGrant

INACTIVE: dict[str, Any] = {"active": False}
INTROSPECTED = (
    *("scope", "client_id", "sub", "aud", "iss", "exp", "iat", "jti", "acr", "amr", "auth_time"),
    *("practice", "patient", "sid", "link", "resource", "authorization_details"),
)
ENDED = {"session_ended": Event.SESSION_ENDED}


class Sessions:
    """The use cases around sessions and the tokens that rest on them."""

    def __init__(
        self, runner: ScriptRunner, token_issuer: TokenIssuer, introspection: TokenIntrospection, practices: Practices
    ) -> None:
        self._runner = runner
        self._token_issuer = token_issuer
        self._introspection = introspection
        self._practices = practices

    # --- RFC 6749 §6 ------------------------------------------------------------------------------------------------

    def refresh(self, client: Client, refresh_token: str, scope: str | None, request_id: str) -> TokenGrant:
        """The next tokens of a session. Raises InvalidRefreshToken, InvalidScope, RateLimited."""
        request = None if scope is None else scope.split()
        if request == []:
            raise InvalidScope
        said, context = self._opened(client, refresh_token, request_id)
        limits, settings = self._runner.limits, self._runner.settings
        reply = self._runner.run(
            context,
            "session_refresh",
            {
                "refreshed": Event.SESSION_REFRESHED,
                "reused": Event.SESSION_REUSED,
                "refused": Event.SESSION_REFUSED,
            },
            durable=True,
            limits=self._runner.callers(context),
            sid=said.sid,
            client=client.id,
            generation=said.generation,
            nonce=mint.digest(mint.b64u(said.nonce)),
            scope=request,
            idle_ms=settings.session_idle_s * 1000,
            grace_ms=limits.refresh_grace_s * 1000,
        )
        return self._token_issuer.for_session(said.practice, reply["session"], said.nonce, request)

    def _opened(self, client: Client, refresh_token: str, request_id: str) -> tuple[Refresh, RequestContext]:
        """What the token says, and the act it starts. Junk counts like a wrong secret, by client."""
        try:
            said = tokens.parse_refresh(self._runner.data_keys.key("refresh"), refresh_token, client.id)
        except ValueError:
            self._count_junk(client)
            raise InvalidRefreshToken("malformed") from None
        practice = self._practices.get(said.practice)
        if practice is None or not client.serves(practice.id):
            raise InvalidRefreshToken("unknown")
        return said, self._act(client, practice, request_id)

    def _count_junk(self, client: Client) -> None:
        bucket = self._runner.bucket("auth-failures", f"junk.{client.id}")
        self._runner.charge_failure([bucket], {"limited": Event.LIMITED}, actor=f"client:{client.id}")

    # --- RFC 7009 ---------------------------------------------------------------------------------------------------

    def revoke(self, client: Client, token: str, request_id: str) -> None:
        """End what a token of this client stands for: a refresh token its session, an access token itself.

        Unknown, expired and another client's tokens are passed over in silence. Raises RateLimited, Unavailable.
        """
        if token.startswith(mint.REFRESH):
            try:
                said, context = self._opened(client, token, request_id)
            except InvalidRefreshToken:
                return
            self._end(context, said.sid, client=client.id)
            return
        try:
            claims = self._introspection.claims(token)
        except (TokenInvalid, KeysetUnusable):
            return
        practice = self._practices.get(claims["practice"])
        if practice is None or claims["client_id"] != client.id:
            return
        context = self._act(client, practice, request_id)
        self._runner.run(
            context,
            "token_revoke",
            {"revoked": Event.TOKEN_REVOKED},
            durable=True,
            limits=self._runner.callers(context),
            jti=claims["jti"],
            until=claims["exp"] * 1000,
        )

    # --- RFC 7662 ---------------------------------------------------------------------------------------------------

    def introspect(self, client: Client, token: str, request_id: str) -> dict[str, Any]:
        """What a token says while it stands, for a client of its practice and audience; else exactly inactive."""
        if token.startswith(mint.REFRESH):
            return self._introspect_refresh(client, token, request_id)
        try:
            claims = self._introspection.claims(token)
        except TokenInvalid:
            return INACTIVE
        practice = self._practices.get(claims["practice"])
        if practice is None or not client.serves(practice.id) or claims["aud"] != client.audience:
            return INACTIVE
        rests_on = rests(claims)
        if not rests_on or not self._state(client, practice, request_id, jti=claims["jti"], **rests_on)["live"]:
            return INACTIVE
        said = {name: claims[name] for name in INTROSPECTED if name in claims}
        return {"active": True, "token_type": "Bearer", **said}

    def _introspect_refresh(self, client: Client, token: str, request_id: str) -> dict[str, Any]:
        """A client's own refresh token: whether it would still be taken."""
        try:
            said = tokens.parse_refresh(self._runner.data_keys.key("refresh"), token, client.id)
        except ValueError:
            return INACTIVE
        practice = self._practices.get(said.practice)
        if practice is None or not client.serves(practice.id):
            return INACTIVE
        state = self._state(client, practice, request_id, jti=said.sid, sid=said.sid)
        if not state["live"] or state["generation"] != str(said.generation):
            return INACTIVE
        return {"active": True, "token_type": "refresh_token", "client_id": client.id, "sid": said.sid}

    def _state(self, client: Client, practice: Practice, request_id: str, **of: Any) -> dict[str, Any]:
        """Whether what a token rests on still stands. Raises RateLimited, Unavailable."""
        context = self._act(client, practice, request_id)
        idle_ms = self._runner.settings.session_idle_s * 1000
        return self._runner.run(context, "token_state", {}, limits=self._runner.callers(context), idle_ms=idle_ms, **of)

    def _act(self, client: Client, practice: Practice, request_id: str) -> RequestContext:
        return RequestContext.of_client(self._runner.new_id(), client, practice, request_id)

    # --- who is signed in -------------------------------------------------------------------------------------------

    def list(self, context: RequestContext, patient: str) -> list[SessionInfo]:
        """The patient's live sessions, newest first. Raises PatientNotFound, RateLimited."""
        reply = self._runner.run(
            context,
            "sessions_of",
            {},
            limits=self._runner.callers(context),
            patient=patient,
            idle_ms=self._runner.settings.session_idle_s * 1000,
        )
        found = [
            SessionInfo(
                id=session["id"],
                patient=session["p"],
                client=session["c"],
                created_at_ms=int(session["o"]),
                last_used_at_ms=int(session["l"]),
                expires_at_ms=int(session["e"]),
            )
            for session in reply.get("sessions", ())
        ]
        return sorted(found, key=lambda session: (-session.created_at_ms, session.id))

    def end(self, context: RequestContext, patient: str, sid: str) -> None:
        """Sign one session out. Raises PatientNotFound, and NotFound when the patient has no such session."""
        if not self._end(context, sid, patient=patient):
            raise NotFound

    def end_all(self, context: RequestContext, patient: str, keep: str | None = None) -> int:
        """Sign the patient out everywhere but in the session `keep`; how many that ended. Raises PatientNotFound."""
        reply = self._runner.run(
            context,
            "session_end",
            ENDED,
            durable=True,
            limits=self._runner.callers(context),
            patient=patient,
            keep=keep,
            reason="signed_out",
        )
        return int(reply["ended"])

    def _end(self, context: RequestContext, sid: str, **belongs: Any) -> bool:
        reply = self._runner.run(
            context,
            "session_end",
            ENDED,
            durable=True,
            limits=self._runner.callers(context),
            sid=sid,
            reason="signed_out",
            **belongs,
        )
        return bool(reply["ended"])
