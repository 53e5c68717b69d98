"""Acts that belong to no practice: what operators do to practices, clients and keys."""

from __future__ import annotations

from authsvc.audit import Event, Recorder
from authsvc.crypto import mint
from authsvc.ports import Entropy
from authsvc.store.connection import Store, site_prefix


class SiteAudit:
    """Appends to the site's own audit stream."""

    def __init__(self, store: Store, recorder: Recorder, entropy: Entropy) -> None:
        self._store = store
        self._recorder = recorder
        self._entropy = entropy

    def record(self, event: Event, *, actor: str, reason: str = "", **fields: str) -> None:
        """One entry in the site's stream. Raises Unavailable."""
        entry = self._recorder.entry(event, actor=actor, reason=reason, **fields)
        args = {"act": mint.short_id(self._entropy), "audit": {"happened": entry}}
        self._store.run("record", site_prefix("site"), args)
        self._recorder.publish(event.value, actor=actor, **fields)
