"""DPoP (RFC 9449): a token that only the holder of a key can use, who proves it anew with each request.

A proof is read by the same code that other services use (`verifier.py`); here Redis remembers those that were used, so
that each is good once on all instances together.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from authsvc import verifier
from authsvc.crypto import mint
from authsvc.errors import DpopTokenInvalid, InvalidDpopProof, TokenInvalid
from authsvc.flows.dependencies import Dependencies
from authsvc.model import Client, Practice, PresentedProof, RequestContext
from authsvc.store.dpop_proofs import DpopProofStore

ALGORITHMS = tuple(verifier.ALGORITHMS.values())
"""What a proof may be signed with; its key is of the one kind that goes with it."""


class Dpop:
    """Judges proofs."""

    def __init__(self, deps: Dependencies, store: DpopProofStore) -> None:
        self._deps = deps
        self._store = store

    def thumbprint(self, context: RequestContext, client: Client, presented: PresentedProof | None) -> str:
        """The key that a client proves at our own endpoints; empty where none came and none is needed.

        Raises InvalidDpopProof, Unavailable.
        """
        if presented is None:
            if client.dpop_bound_access_tokens:
                raise InvalidDpopProof("missing")
            return ""
        return self._prove(context, presented, None)

    def check_token(
        self, claims: Mapping[str, Any], token: str, practice: Practice, presented: PresentedProof | None
    ) -> None:
        """Whether who sends a token may: a bound one with a proof of its key alone, any other one without.

        Raises TokenInvalid, DpopTokenInvalid, Unavailable.
        """
        if presented is None:
            if "cnf" in claims:
                raise TokenInvalid("bound_to_a_key")  # §7.2: no downgrade to a bearer token
            return
        context = RequestContext(self._deps.new_id(), "gateway", practice)
        try:
            # A token that isn't bound has nothing to be proved: its holder may have been any.
            if self._prove(context, presented, token) != claims.get("cnf", {}).get("jkt"):
                raise InvalidDpopProof("key")
        except InvalidDpopProof as refused:
            raise DpopTokenInvalid(refused.reason) from None

    def _prove(self, context: RequestContext, presented: PresentedProof, token: str | None) -> str:
        now_s = self._deps.clock.now_ms() / 1000
        try:
            proof = verifier.check_proof(presented.proof, presented.method, presented.url, now_s, token)
        except verifier.InvalidProof as refused:
            raise InvalidDpopProof(refused.reason) from None
        if not self._store.use(context, mint.digest(f"{proof.jkt} {proof.jti}"), int(proof.until * 1000)):
            raise InvalidDpopProof("proof_replayed")
        return proof.jkt
