"""What is counted and remembered of clients, beside their registration: failures, and assertions that were used."""

from __future__ import annotations

from collections.abc import Sequence

from authsvc.audit import Event
from authsvc.model import Bucket
from authsvc.store.script_errors import refusal
from authsvc.store.scripts import ScriptRunner

SLOT = "@clients"


class ClientStore:
    """Every method may raise Unavailable."""

    def __init__(self, runner: ScriptRunner) -> None:
        self._runner = runner

    def count_failure(
        self, call_id: str, buckets: Sequence[Bucket], *, actor: str, event: Event | None = None, **details: str
    ) -> None:
        """Count a credential that proved nothing, before any practice is known; `event` is recorded while there is
        room. Raises RateLimited."""
        known = {name: value for name, value in details.items() if value}
        reply = self._runner.run_for_site(
            "charge",
            SLOT,
            call_id,
            actor=actor,
            details=known,
            recorded_event=event.value if event else "",
            limits=buckets,
        )
        if "err" in reply:
            raise refusal(reply)

    def use_assertion(self, call_id: str, client: str, jti: str, expires_ms: int) -> bool:
        """Remember that an assertion was used, by the digest of its `jti`; False when it was used before."""
        # Durable like every consumption: a fail-over that forgot the use would let a copy in.
        reply = self._runner.run_for_site(
            "assertion", SLOT, call_id, durable=True, client=client, jti=jti, expires=expires_ms
        )
        return "err" not in reply
