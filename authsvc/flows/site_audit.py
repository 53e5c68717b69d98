"""Changes that belong to no practice: what operators do to practices, clients and keys."""

from __future__ import annotations

from authsvc.audit import Event
from authsvc.crypto import mint
from authsvc.ports import Entropy
from authsvc.store.scripts import ScriptRunner


class SiteAudit:
    """Appends to the site's own audit stream."""

    def __init__(self, runner: ScriptRunner, entropy: Entropy) -> None:
        self._runner = runner
        self._entropy = entropy

    def record(self, event: Event, *, actor: str, reason: str = "", **details: str) -> None:
        """One entry in the site's stream. Raises Unavailable."""
        call_id = mint.short_id(self._entropy)
        self._runner.run_for_site(
            "audit_record", "@site", call_id, actor=actor, reason=reason, event=event, details=details
        )
