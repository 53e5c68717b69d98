"""The mail throttle of the whole site, which scripts can't read in their own slot: at most a second old."""

from __future__ import annotations

from authsvc.store.connection import Connection, site_prefix

THROTTLE = site_prefix("site") + "mail-throttle"


class MailThrottle:
    """The last state that was read; `refresh` is called by a poller. While the store is away the last state holds."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.state = ""

    def refresh(self) -> None:
        """Read the state: "typed" (typed starts stop), "all" (every mail stops) or empty. Raises Unavailable."""
        self.state = self._connection.call(lambda client: client.get(THROTTLE)) or ""
