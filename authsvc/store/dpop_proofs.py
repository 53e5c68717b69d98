"""DPoP proofs that were used (RFC 9449 §11.1)."""

from __future__ import annotations

from authsvc.model import RequestContext
from authsvc.store.scripts import ScriptRunner


class DpopProofStore:
    """Every method may raise Unavailable."""

    def __init__(self, runner: ScriptRunner) -> None:
        self._runner = runner

    def use(self, context: RequestContext, proof: str, expires_ms: int) -> bool:
        """Remember a proof, by the digest of its key and `jti`; False when it was used before."""
        # Durable like every consumption: a fail-over that forgot the use would let a copy in.
        return "fresh" in self._runner.run("dpop_proof_use", context, durable=True, proof=proof, expires=expires_ms)
