"""forward-auth: may this bearer token do this here? Asked by gateways for every request, so it must be cheap.

The token is judged first, then what the gateway asked for. Nothing is decided from a forwarded path or host.
"""

from __future__ import annotations

from authsvc.errors import TokenInsufficient, TokenInvalid
from authsvc.flows.dpop import Dpop
from authsvc.flows.introspection import TokenIntrospection
from authsvc.flows.practices import Practices
from authsvc.flows.token_issuer import ACR_EXTRA, ACR_INSTANT
from authsvc.model import EVERY_PRACTICE, PresentedProof
from authsvc.verifier import Claims

ACR_ORDER = (ACR_INSTANT, ACR_EXTRA)


class ForwardAuth:
    """The use case behind /v1/forward-auth."""

    def __init__(
        self, introspection: TokenIntrospection, practices: Practices, dpop: Dpop, default_audience: str
    ) -> None:
        self._introspection = introspection
        self._practices = practices
        self._dpop = dpop
        self._default_audience = default_audience

    def authorise(
        self,
        token: str,
        practice: str | None,
        scope: str | None,
        resource: str | None,
        acr: str | None,
        audience: str | None = None,
        proof: PresentedProof | None = None,
    ) -> Claims:
        """The token's claims, when it stands and reaches. `practice` may be `*`; all scopes named are needed.
        Without `audience` the token must be for the default one: what nobody named is never "any".

        Raises TokenInvalid (401), TokenInsufficient (403; for `acr` 401 by RFC 9470), Unavailable.
        """
        claims = self._introspection.claims(token)
        if claims["aud"] != (audience or self._default_audience):
            raise TokenInvalid("audience")
        owner = self._practices.get(claims["practice"])
        if owner is None or not self._introspection.is_active(claims, owner):
            raise TokenInvalid("revoked")
        self._dpop.check_token(claims, token, owner, proof)
        if practice is None or practice not in (EVERY_PRACTICE, claims["practice"]):
            raise TokenInsufficient("practice", practice or "")
        if acr is not None and (acr not in ACR_ORDER or claims["acr"] not in ACR_ORDER[ACR_ORDER.index(acr) :]):
            raise TokenInsufficient("acr", acr)
        if scope is not None and not set(scope.split()) <= set(claims["scope"].split()):
            raise TokenInsufficient("scope", scope)
        bound = claims.get("resource")
        if bound is not None and bound != resource:
            raise TokenInsufficient("resource", resource or "")
        return claims
