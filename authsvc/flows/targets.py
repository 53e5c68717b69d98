"""Which client a pressed instant link goes to: the one whose page finishes what the link is about."""

from __future__ import annotations

from authsvc.flows.cache import Cache
from authsvc.flows.clients import Clients
from authsvc.model import Client


class Targets:
    """Chooses among the clients that have said where they begin (`initiate_login_uri`)."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self._cache: Cache[tuple[Client, ...]] = Cache(self._read)

    def of(self, practice_id: str, issuing: str) -> Client | None:
        """The client that issued the link, if it has a page for it; else the practice's first by id; else None.

        As registered at most five seconds ago. Raises Unavailable.
        """
        issuer = self._clients.get(issuing) if issuing else None
        if issuer is not None and issuer.initiate_login_uri and issuer.serves(practice_id):
            return issuer
        return next(iter(self._cache.get(practice_id) or ()), None)

    def _read(self, practice_id: str) -> tuple[Client, ...]:
        """All of the practice's, so that a practice that has none is remembered too."""
        found = [client for client in self._clients.list() if client.initiate_login_uri and client.serves(practice_id)]
        return tuple(sorted(found, key=lambda client: client.id))
