"""The demo's inbox: the latest mails, as JSON, for a page that shows them. Development only; they hold codes."""

from __future__ import annotations

from typing import Any, Final

from authsvc.store.connection import Connection, site_prefix

MAILS: Final = f"{site_prefix('inbox')}mails"
NEWEST: Final = 200


class Inbox:
    """Newest first. Every call may raise `Unavailable`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def append(self, mail: str) -> None:
        """Add one; the oldest beyond `NEWEST` go."""

        def push(client: Any) -> None:
            client.lpush(MAILS, mail)
            client.ltrim(MAILS, 0, NEWEST - 1)

        self._connection.call(push)

    def mails(self) -> list[str]:
        """All that are kept."""
        return list(self._connection.call(lambda client: client.lrange(MAILS, 0, -1)))
