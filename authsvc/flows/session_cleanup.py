"""The end of all sessions of a client, or of a practice, that an operator removes.

Sessions carry ids, and an id may be given anew: whoever gets it must find nothing of the one before. So they are ended
with the removal, which tells verifiers and relying parties, and once more before an id is taken: a process that had
read the old registration a moment ago may have opened another one meanwhile.
"""

from __future__ import annotations

from authsvc.flows.dependencies import Dependencies
from authsvc.model import EVERY_PRACTICE, Practice, RequestContext
from authsvc.store.sessions import SessionStore


class SessionCleanup:
    """Ends sessions by who owns them. Every method raises Unavailable."""

    def __init__(self, deps: Dependencies, store: SessionStore) -> None:
        self._deps = deps
        self._store = store

    def end_of_practice(self, practice_id: str, actor: str) -> None:
        for _, sid, _ in self._store.owners(practice_id):
            self._end(practice_id, sid, "", "practice_removed", actor)

    def end_of_client(self, client_id: str, practices: tuple[str, ...], actor: str) -> None:
        for scanned in ("*",) if EVERY_PRACTICE in practices else practices:
            for practice_id, sid, client in self._store.owners(scanned):
                if client == client_id:
                    self._end(practice_id, sid, client_id, "client_removed", actor)

    def _end(self, practice_id: str, sid: str, client_id: str, reason: str, actor: str) -> None:
        context = RequestContext(self._deps.new_id(), actor, Practice(id=practice_id, name=""))
        self._store.end(context, (), sid=sid, client=client_id, reason=reason)
