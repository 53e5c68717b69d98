"""Where the hosted pages may lead: the relying parties of a practice, and the one whose page finishes a link."""

from __future__ import annotations

from authsvc.flows.cache import Cache
from authsvc.flows.clients import Clients
from authsvc.model import Client


class RelyingParties:
    """Knows the clients that patients sign in for."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self._cache: Cache[tuple[Client, ...]] = Cache(lambda _: self._read())

    def of(self, practice_id: str, token_issuer: str) -> Client | None:
        """The client that an opened link goes to: the one that issued it, if it has registered where it begins
        (`initiate_login_uri`); else the practice's first by id that has; else None.

        As registered at most five seconds ago. Raises Unavailable.
        """
        issuer = self._clients.get(token_issuer) if token_issuer else None
        if issuer is not None and issuer.initiate_login_uri and issuer.serves(practice_id):
            return issuer
        return next((client for client in self.of_practice(practice_id) if client.initiate_login_uri), None)

    def of_practice(self, practice_id: str) -> tuple[Client, ...]:
        """The practice's relying parties by id, as registered at most five seconds ago. Raises Unavailable."""
        return tuple(client for client in self._cache.get("") or () if client.serves(practice_id))

    def _read(self) -> tuple[Client, ...]:
        """Those of every practice at once: else whoever asks for one practice's page after the other has all clients
        read for each of them."""
        found = [client for client in self._clients.list() if client.redirect_uris]
        return tuple(sorted(found, key=lambda client: client.id))
