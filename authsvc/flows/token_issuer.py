"""From what a script found to the tokens that a patient's browser or service gets.

The answer is a pure function of the stored session and of the nonce that only the caller's handle or refresh token can
give: asked again for the same generation it is the same answer, byte for byte, and nothing of it is kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from authsvc.config.workflows import Workflow
from authsvc.crypto import id_tokens, mint, tokens
from authsvc.crypto.tokens import AccessTokens
from authsvc.flows.key_rotation import KeyRotation
from authsvc.flows.script_runner import ScriptRunner
from authsvc.model import Client, TokenGrant

ACR_INSTANT = "instant"  # came by a link
ACR_EXTRA = "extra"  # typed a code
OPENID = "openid"  # the scope that makes an authorization request one of OpenID Connect (Core §3.1.2.1)


class TokenIssuer:
    """Mints access and refresh tokens."""

    def __init__(self, runner: ScriptRunner, keys: KeyRotation) -> None:
        self._runner = runner
        self._keys = keys
        self._access = AccessTokens()

    def nonce(self, practice_id: str, handle: str, sid: str) -> bytes:
        """The session's nonce, from the handle that only its holder has."""
        return tokens.session_nonce(self._runner.data_keys.key("refresh"), practice_id, handle, sid)

    def for_session(
        self,
        practice_id: str,
        session: Mapping[str, str],
        nonce: bytes,
        request: Sequence[str] | None = None,
        oidc_nonce: str = "",
    ) -> TokenGrant:
        """The tokens of a session's present generation; scopes `request` for narrow the access token (RFC 6749 §6).

        With `openid` among the session's scopes there is an ID token too; `oidc_nonce` goes into that.
        """
        key = self._runner.data_keys.key("refresh")
        sid, generation, began_ms = session["id"], int(session["g"]), int(session["gm"])
        claims = tokens.access_claims(
            issuer=self._runner.settings.public_url,
            audience=session["a"],
            client=session["c"],
            practice=practice_id,
            patient=session["p"],
            scopes=[name for name in session["s"].split() if request is None or name in request],
            acr=ACR_EXTRA,
            amr=[session["m"]],
            auth_time_ms=int(session["o"]),
            now_ms=began_ms,
            expires_ms=min(began_ms + self._runner.settings.access_token_life_s * 1000, int(session["e"])),
            jti=tokens.jti(key, sid, generation),
            sid=sid,
        )
        return TokenGrant(
            access_token=self._access.issue(self._keys.signer(), claims),
            expires_in_s=self._left_s(claims),
            scope=claims["scope"],
            patient=session["p"],
            practice=practice_id,
            session=sid,
            refresh_token=tokens.build_refresh(
                key, practice=practice_id, sid=sid, generation=generation, nonce=nonce, client=session["c"]
            ),
            id_token=self._id_token(claims, oidc_nonce) if OPENID in session["s"].split() else None,
        )

    def for_link(
        self,
        client: Client,
        practice_id: str,
        link: Mapping[str, str],
        workflow: Workflow,
        *,
        jti: str = "",
        request: Sequence[str] | None = None,
        oidc_nonce: str = "",
        pressed_ms: int | None = None,
    ) -> TokenGrant:
        """The one token of an instant link: its workflow's scopes for its one resource, and nothing to refresh.

        `link` has id, p (patient), r (resource, perhaps empty) and ch (channel). `request` narrows the scopes, and with
        `openid` among it there is an ID token too. `pressed_ms` is when its button was pressed, if that isn't now.
        """
        resource, asked_for = link["r"] or None, request or ()
        scopes = [name for name in workflow.scopes if request is None or name in request]
        now_ms = self._runner.clock.now_ms()
        claims = tokens.access_claims(
            issuer=self._runner.settings.public_url,
            audience=client.audience,
            client=client.id,
            practice=practice_id,
            patient=link["p"],
            scopes=[*scopes, OPENID] if OPENID in asked_for else scopes,
            acr=ACR_INSTANT,
            amr=[link["ch"]],
            auth_time_ms=now_ms if pressed_ms is None else pressed_ms,
            now_ms=now_ms,
            expires_ms=now_ms + self._runner.settings.access_token_life_s * 1000,
            jti=jti or mint.short_id(self._runner.entropy),
            link=link["id"],
            resource=resource,
        )
        return TokenGrant(
            access_token=self._access.issue(self._keys.signer(), claims),
            expires_in_s=self._left_s(claims),
            scope=claims["scope"],
            patient=link["p"],
            practice=practice_id,
            workflow=workflow.name,
            resource=resource,
            authorization_details=tuple(claims["authorization_details"]) if resource else None,
            id_token=self._id_token(claims, oidc_nonce) if OPENID in asked_for else None,
        )

    def _id_token(self, claims: Mapping[str, Any], nonce: str) -> str:
        """What an access token's claims say of the sign-in, for the client itself to read."""
        said = id_tokens.id_claims(
            issuer=claims["iss"],
            client=claims["client_id"],
            practice=claims["practice"],
            patient=claims["patient"],
            acr=claims["acr"],
            amr=claims["amr"],
            auth_time_s=claims["auth_time"],
            issued_s=claims["iat"],
            expires_s=claims["exp"],
            sid=claims.get("sid"),
            nonce=nonce,
        )
        return tokens.sign(self._keys.signer(), said, id_tokens.ID_TYPE)

    def _left_s(self, claims: Mapping[str, Any]) -> int:
        return max(0, int(claims["exp"]) - self._runner.clock.now_ms() // 1000)
