"""Acts that belong to no practice: what operators do to practices, clients and keys."""

from __future__ import annotations

from authsvc.audit import Event, Recorder
from authsvc.store.connection import Store, site_prefix


class Site:
    """Appends to the site's own audit stream."""

    def __init__(self, store: Store, recorder: Recorder) -> None:
        self._store = store
        self._recorder = recorder

    def record(self, event: Event, *, actor: str, reason: str = "", **fields: str) -> None:
        """One entry in the site's stream. Raises Unavailable."""
        entry = self._recorder.entry(event, actor=actor, reason=reason, **fields)
        self._store.run("record", site_prefix("site"), {"audit": {"happened": entry}, "facts": {}})
        self._recorder.told(event.value, actor=actor, **fields)
