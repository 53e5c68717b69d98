"""The practices' logos: one small picture each, in the slot of the practices' own records."""

from __future__ import annotations

import base64

from authsvc.store.connection import Connection, site_prefix


class LogoStore:
    """PNG files by practice. Base64, since every answer of the store is decoded as text."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._prefix = site_prefix("practices")

    def put(self, practice_id: str, png: bytes) -> None:
        """Keep the practice's picture in place of the one before."""
        text = base64.b64encode(png).decode("ascii")
        self._connection.call(lambda client: client.set(self._key(practice_id), text))

    def get(self, practice_id: str) -> bytes | None:
        text = self._connection.call(lambda client: client.get(self._key(practice_id)))
        return None if text is None else base64.b64decode(text, validate=True)

    def remove(self, practice_id: str) -> None:
        """Forget the picture, if there is one."""
        self._connection.call(lambda client: client.delete(self._key(practice_id)))

    def _key(self, practice_id: str) -> str:
        return f"{self._prefix}logo:{practice_id}"
