"""From what a script found to the tokens that a patient's browser or service gets.

The answer is a pure function of the stored session and of the nonce that only the caller's handle or refresh token can
give: asked again for the same generation it is the same answer, byte for byte, and nothing of it is kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from authsvc.config.workflows import Workflow
from authsvc.crypto import id_tokens, tokens
from authsvc.crypto.tokens import AccessTokens
from authsvc.flows.clients import Clients
from authsvc.flows.dependencies import Dependencies
from authsvc.flows.key_rotation import KeyRotation
from authsvc.flows.session_scopes import SessionScopes
from authsvc.model import Client, Session, TokenGrant
from authsvc.store.authorization_codes import RedeemedLink

ACR_INSTANT = "instant"  # came by a link
ACR_EXTRA = "extra"  # typed a code
OPENID = "openid"  # the scope that makes an authorization request one of OpenID Connect (Core §3.1.2.1)


class TokenIssuer:
    """Mints access and refresh tokens."""

    def __init__(self, deps: Dependencies, keys: KeyRotation, scopes: SessionScopes, clients: Clients) -> None:
        self._deps = deps
        self._keys = keys
        self._scopes = scopes
        self._clients = clients
        self._access = AccessTokens()

    def check_signer(self) -> None:
        """To be asked before a credential is used up: without a key to sign with, the answer could not be given. Raises
        Unavailable, KeysetUnusable."""
        self._keys.signer()

    def nonce(self, practice_id: str, handle: str, sid: str) -> bytes:
        """The session's nonce, from the handle that only its holder has."""
        return tokens.session_nonce(self._deps.data_keys.key("refresh"), practice_id, handle, sid)

    def for_session(
        self,
        practice_id: str,
        session: Session,
        nonce: bytes,
        wanted: Sequence[str] | None = None,
        oidc_nonce: str = "",
        jkt: str = "",
    ) -> TokenGrant:
        """The tokens of a session's present generation; `wanted` scopes narrow the access token (RFC 6749 §6).

        With `openid` among the session's scopes there is an ID token too; `oidc_nonce` goes into that. The access token
        is bound to the DPoP key `jkt`, where one was proved.
        """
        key = self._deps.data_keys.key("refresh")
        scopes = self._scopes.names(practice_id, session.scope)
        granted = [name for name in scopes if wanted is None or name in wanted]
        signer = self._keys.signer()
        life_ms = self._deps.settings.access_token_life_s * 1000
        claims = tokens.access_claims(
            issuer=self._deps.settings.public_url,
            audience=session.audience,
            client=session.client,
            practice=practice_id,
            patient=session.patient,
            scopes=granted,
            acr=ACR_EXTRA,
            amr=[session.channel],
            auth_time_ms=session.opened_ms,
            now_ms=session.generation_ms,
            expires_ms=min(session.generation_ms + life_ms, session.expires_ms),
            jti=tokens.jti(key, session.id, session.generation, " ".join(granted), signer.kid, jkt),
            jkt=jkt,
            sid=session.id,
            guardian=session.guardian,
        )
        access_token = self._access.issue(signer, claims)
        return TokenGrant(
            access_token=access_token,
            token_type="DPoP" if jkt else "Bearer",
            expires_in_s=self._left_s(claims),
            scope=claims["scope"],
            patient=session.patient,
            practice=practice_id,
            session=session.id,
            refresh_token=tokens.build_refresh(
                key,
                practice=practice_id,
                sid=session.id,
                generation=session.generation,
                nonce=nonce,
                client=session.client,
            ),
            id_token=self._id_token(claims, oidc_nonce, access_token) if OPENID in scopes else None,
        )

    def for_link(
        self,
        client: Client,
        practice_id: str,
        link: RedeemedLink,
        workflow: Workflow,
        *,
        wanted: Sequence[str] | None = None,
        oidc_nonce: str = "",
        jkt: str = "",
    ) -> TokenGrant:
        """The one token of an instant link: its workflow's scopes for its one resource, and nothing to refresh.

        `wanted` scopes narrow it, and with `openid` among them there is an ID token too.
        """
        resource, names = link.resource or None, wanted or ()
        scopes = [name for name in workflow.scopes if wanted is None or name in wanted]
        now_ms = self._deps.clock.now_ms()
        claims = tokens.access_claims(
            issuer=self._deps.settings.public_url,
            audience=client.audience,
            client=client.id,
            practice=practice_id,
            patient=link.patient,
            scopes=[*scopes, OPENID] if OPENID in names else scopes,
            acr=ACR_INSTANT,
            amr=[link.channel],
            auth_time_ms=link.redeemed_ms,
            now_ms=now_ms,
            expires_ms=now_ms + self._deps.settings.access_token_life_s * 1000,
            jti=link.jti,
            link=link.id,
            resource=resource,
            jkt=jkt,
        )
        access_token = self._access.issue(self._keys.signer(), claims)
        return TokenGrant(
            access_token=access_token,
            token_type="DPoP" if jkt else "Bearer",
            expires_in_s=self._left_s(claims),
            scope=claims["scope"],
            patient=link.patient,
            practice=practice_id,
            workflow=workflow.name,
            resource=resource,
            authorization_details=tuple(claims["authorization_details"]) if resource else None,
            id_token=self._id_token(claims, oidc_nonce, access_token) if OPENID in names else None,
        )

    def _id_token(self, claims: Mapping[str, Any], nonce: str, access_token: str) -> str:
        """What an access token's claims say of the sign-in, for the client itself to read."""
        client = self._clients.get(claims["client_id"])
        signer = self._keys.signer_of(client.id_token_alg if client else "")
        id_claims = id_tokens.id_claims(
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
            act=claims.get("act"),
            at_hash=id_tokens.at_hash(signer.alg, access_token),
        )
        return tokens.sign(signer, id_claims, id_tokens.ID_TYPE)

    def _left_s(self, claims: Mapping[str, Any]) -> int:
        return max(0, int(claims["exp"]) - self._deps.clock.now_ms() // 1000)
