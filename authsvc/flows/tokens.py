"""From what a script found to the tokens that a patient's browser or service gets.

The answer is a pure function of the stored session and of the nonce that only the caller's handle or refresh token can
give: asked again for the same generation it is the same answer, byte for byte, and nothing of it is kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from authsvc.crypto import mint, tokens
from authsvc.crypto.tokens import AccessTokens
from authsvc.flows.acts import Acts
from authsvc.flows.keys import Keys
from authsvc.model import Act, TokenGrant
from authsvc.workflows import Workflow

ACR_INSTANT = "instant"  # came by a link
ACR_EXTRA = "extra"  # typed a code


class Issuing:
    """Mints access and refresh tokens."""

    def __init__(self, acts: Acts, keys: Keys) -> None:
        self._acts = acts
        self._keys = keys
        self._access = AccessTokens()

    def nonce(self, practice_id: str, handle: str, sid: str) -> bytes:
        """The session's nonce, from the handle that only its holder has."""
        return tokens.session_nonce(self._acts.vault.key("refresh"), practice_id, handle, sid)

    def for_session(
        self, practice_id: str, session: Mapping[str, str], nonce: bytes, asked: Sequence[str] | None = None
    ) -> TokenGrant:
        """The tokens of a session's present generation; scopes `asked` for narrow the access token (RFC 6749 §6)."""
        key = self._acts.vault.key("refresh")
        sid, generation, began_ms = session["id"], int(session["g"]), int(session["gm"])
        claims = tokens.access_claims(
            issuer=self._acts.settings.public_url,
            audience=session["a"],
            client=session["c"],
            practice=practice_id,
            patient=session["p"],
            scopes=[name for name in session["s"].split() if asked is None or name in asked],
            acr=ACR_EXTRA,
            amr=[session["m"]],
            auth_time_ms=int(session["o"]),
            now_ms=began_ms,
            expires_ms=min(began_ms + self._acts.settings.access_token_life_s * 1000, int(session["e"])),
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
        )

    def for_link(
        self, act: Act, link_id: str, patient: str, resource: str | None, workflow: Workflow, channel: str
    ) -> TokenGrant:
        """The one token of an instant link: its workflow's scopes for its one resource, and nothing to refresh."""
        if act.client is None:
            raise ValueError("a link is exchanged by a client")
        now_ms = self._acts.clock.now_ms()
        claims = tokens.access_claims(
            issuer=self._acts.settings.public_url,
            audience=act.client.audience,
            client=act.client.id,
            practice=act.practice.id,
            patient=patient,
            scopes=workflow.scopes,
            acr=ACR_INSTANT,
            amr=[channel],
            auth_time_ms=now_ms,
            now_ms=now_ms,
            expires_ms=now_ms + self._acts.settings.access_token_life_s * 1000,
            jti=mint.short_id(self._acts.entropy),
            link=link_id,
            resource=resource,
        )
        return TokenGrant(
            access_token=self._access.issue(self._keys.signer(), claims),
            expires_in_s=self._left_s(claims),
            scope=claims["scope"],
            patient=patient,
            practice=act.practice.id,
            workflow=workflow.name,
            resource=resource,
            authorization_details=tuple(claims["authorization_details"]) if resource else None,
        )

    def _left_s(self, claims: Mapping[str, Any]) -> int:
        return max(0, int(claims["exp"]) - self._acts.clock.now_ms() // 1000)
