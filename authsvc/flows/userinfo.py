"""What a client may ask about whoever signed in (OpenID Connect Core §5.3): hardly anything, on purpose.

The practice knows its patient; authsvc tells who it is, whose patient, and which language to speak. Where practice and
client have both opted in it tells the email address or the name too, to a token that was granted the scope for it.
They stand here and not in the ID token (§5.4: there is an access token), which comes back in addresses as a hint.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from authsvc.errors import TokenInsufficient, TokenInvalid
from authsvc.flows.clients import Clients
from authsvc.flows.dependencies import Dependencies
from authsvc.flows.dpop import Dpop
from authsvc.flows.introspection import TokenIntrospection
from authsvc.flows.practices import Practices
from authsvc.flows.token_issuer import OPENID
from authsvc.model import PresentedProof, RequestContext, claim_scopes
from authsvc.store.patients import Contact, PatientStore


class Userinfo:
    """The use case behind the userinfo endpoint."""

    def __init__(
        self,
        deps: Dependencies,
        store: PatientStore,
        introspection: TokenIntrospection,
        practices: Practices,
        clients: Clients,
        dpop: Dpop,
    ) -> None:
        self._deps = deps
        self._store = store
        self._introspection = introspection
        self._practices = practices
        self._clients = clients
        self._dpop = dpop

    def of(self, token: str, request_id: str, proof: PresentedProof | None = None) -> dict[str, Any]:
        """`sub`, `practice`, `locale`, and by opt-in `email` with `email_verified`, and `name`.

        Raises TokenInvalid, TokenInsufficient (without `openid`), Unavailable.
        """
        claims = self._introspection.claims(token)
        practice = self._practices.get(claims["practice"])
        if practice is None or not self._introspection.is_active(claims, practice):
            raise TokenInvalid("revoked")
        self._dpop.check_token(claims, token, practice, proof)
        if OPENID not in claims["scope"].split():
            raise TokenInsufficient("scope", OPENID)
        context = RequestContext(
            id=self._deps.new_id(), actor=f"client:{claims['client_id']}", practice=practice, request_id=request_id
        )
        contact = self._store.contact(context, claims["patient"])
        told: dict[str, Any] = {"sub": claims["sub"], "practice": practice.id}
        told["locale"] = contact.locale or practice.locale
        client = self._clients.get(claims["client_id"])
        granted = claims["scope"].split()
        allowed = claim_scopes(practice, client) if client else {}
        told |= self._personal(practice.id, contact, {allowed[name] for name in granted if name in allowed})
        if claims.actor and "email" in told:
            told["email_verified"] = False  # a code was typed from the guardian's mailbox, not from this one
        return told

    def _personal(self, practice_id: str, contact: Contact, claims: Collection[str]) -> dict[str, Any]:
        """These claims about a patient who can be reached. The mailbox is verified: a code from it was typed."""
        told: dict[str, Any] = {}
        if "email" in claims and contact.address:
            told["email"] = self._open(practice_id, "address", contact.address, contact.patient)
            told["email_verified"] = True
        if "name" in claims and contact.label:
            name = self._open(practice_id, "label", contact.label, contact.patient)
            told |= {"name": name} if name else {}
        return told

    def _open(self, practice_id: str, purpose: str, sealed: str, patient_id: str) -> str:
        return self._deps.personal_data.unseal(practice_id, purpose, sealed, patient_id)
