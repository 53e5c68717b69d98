"""Site-wide flags that scripts can't read in their own slot: the mail brake, at most a second old."""

from __future__ import annotations

from authsvc.store.connection import Store, site_prefix

BRAKE = site_prefix("site") + "brake"


class MailThrottle:
    """The last seen state; `refresh` is called by the follower. While the store is away the last state holds."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.brake = ""

    def refresh(self) -> None:
        """Read the brake: "typed" (typed starts stop), "all" (every mail stops) or empty. Raises Unavailable."""
        self.brake = self._store.call(lambda client: client.get(BRAKE)) or ""
