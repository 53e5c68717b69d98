"""What a code sign-in grants: the same long list for everyone, so that a session keeps a reference to it."""

from __future__ import annotations

from authsvc.config.workflows import Catalogue
from authsvc.crypto import mint
from authsvc.model import Client
from authsvc.store.sessions import SessionStore
from authsvc.store.values import NewSession

REFERENCE_CHARS = 8


class SessionScopes:
    """`text` is the scope string of a code sign-in of this catalogue, `reference` what a session keeps for it,
    `by_workflow` what each extra workflow grants to a guardian who may act with some of them only."""

    def __init__(self, store: SessionStore, catalogue: Catalogue) -> None:
        self._store = store
        self.text = " ".join(catalogue.code_scopes)
        self.reference = "@" + mint.digest(self.text)[:REFERENCE_CHARS]
        self.by_workflow = tuple(
            (workflow.name, " ".join(workflow.scopes)) for workflow in catalogue.all() if workflow.security == "extra"
        )

    def names(self, practice_id: str, scope: str) -> list[str]:
        """The scopes of a session; those of another catalogue are looked up. Raises Unavailable."""
        known = self.text if scope == self.reference else self._store.scope_text(practice_id, scope)
        return known.split()

    def new_session(self, client: Client | None, sid: str, nonce: bytes, expires_ms: int) -> NewSession:
        """A session that is ready to be opened; one of a browser (no client) grants nothing by itself."""
        return NewSession(
            id=sid,
            nonce=mint.digest(mint.b64u(nonce)),
            audience=client.audience if client else "",
            scope=self.reference if client else "",
            scope_text=self.text if client else "",
            expires_ms=expires_ms,
            acting_scopes=self.by_workflow,
        )
