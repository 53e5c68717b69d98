"""Practices and clients: small JSON documents under a site-wide tag, few enough to be read whole."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, cast

from authsvc.store.connection import Connection, site_prefix


class DocumentStore:
    """Documents of one kind (`practices` or `clients`) by id."""

    def __init__(self, connection: Connection, kind: str, check_keys: Callable[[], None] = lambda: None) -> None:
        """`check_keys` raises where this process has keys that the store hasn't: then what is unknown may be lost."""
        self._connection = connection
        self._check_keys = check_keys
        self._prefix = site_prefix(kind)

    def add(self, name: str, document: dict[str, Any]) -> bool:
        """Keep a new document; False when the id is taken."""
        added = self._connection.call(lambda client: client.set(self._doc(name), json.dumps(document), nx=True))
        if added:
            self._connection.call(lambda client: client.sadd(self._prefix + "all", name))
        return bool(added)

    def put(self, name: str, document: dict[str, Any]) -> None:
        """Replace a document."""
        self._connection.call(lambda client: client.set(self._doc(name), json.dumps(document)))

    def get(self, name: str) -> dict[str, Any] | None:
        text = self._connection.call(lambda client: client.get(self._doc(name)))
        if text is None:
            self._check_keys()
            return None
        return cast(dict[str, Any], json.loads(text))

    def names(self) -> list[str]:
        return sorted(self._connection.call(lambda client: client.smembers(self._prefix + "all")))

    def remove(self, name: str) -> bool:
        """Forget a document; False when there was none."""
        removed = self._connection.call(lambda client: client.delete(self._doc(name)))
        self._connection.call(lambda client: client.srem(self._prefix + "all", name))
        return bool(removed)

    def _doc(self, name: str) -> str:
        return f"{self._prefix}one:{name}"
