"""What a code sign-in grants: the same long list for everyone, so that a session keeps a reference to it."""

from __future__ import annotations

from authsvc.config.workflows import Catalogue
from authsvc.crypto import mint
from authsvc.store.sessions import SessionStore

REFERENCE_CHARS = 8


class SessionScopes:
    """`text` is the scope string of a code sign-in of this catalogue, `reference` what a session keeps for it."""

    def __init__(self, store: SessionStore, catalogue: Catalogue) -> None:
        self._store = store
        self.text = " ".join(catalogue.code_scopes)
        self.reference = "@" + mint.digest(self.text)[:REFERENCE_CHARS]

    def names(self, practice_id: str, scope: str) -> list[str]:
        """The scopes of a session; those of another catalogue are looked up. Raises Unavailable."""
        known = self.text if scope == self.reference else self._store.scope_text(practice_id, scope)
        return known.split()
