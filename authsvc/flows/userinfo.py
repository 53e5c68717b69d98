"""What a client may ask about whoever signed in (OpenID Connect Core §5.3): hardly anything, on purpose.

The practice knows its patient; authsvc tells who it is, whose patient, and which language to speak.
"""

from __future__ import annotations

from authsvc.errors import TokenInsufficient, TokenInvalid
from authsvc.flows.dependencies import Dependencies
from authsvc.flows.introspection import TokenIntrospection
from authsvc.flows.practices import Practices
from authsvc.flows.token_issuer import OPENID
from authsvc.model import RequestContext
from authsvc.store.patients import PatientStore


class Userinfo:
    """The use case behind the userinfo endpoint."""

    def __init__(
        self, deps: Dependencies, store: PatientStore, introspection: TokenIntrospection, practices: Practices
    ) -> None:
        self._deps = deps
        self._store = store
        self._introspection = introspection
        self._practices = practices

    def of(self, bearer: str, request_id: str) -> dict[str, str]:
        """`sub`, `practice` and `locale`. Raises TokenInvalid, TokenInsufficient (without `openid`), Unavailable."""
        claims = self._introspection.claims(bearer)
        practice = self._practices.get(claims["practice"])
        if practice is None or not self._introspection.is_active(claims, practice):
            raise TokenInvalid("revoked")
        if OPENID not in claims["scope"].split():
            raise TokenInsufficient("scope", OPENID)
        context = RequestContext(
            id=self._deps.new_id(), actor=f"client:{claims['client_id']}", practice=practice, request_id=request_id
        )
        locale = self._store.contact(context, claims["patient"]).locale or practice.locale
        return {"sub": claims["sub"], "practice": practice.id, "locale": locale}
