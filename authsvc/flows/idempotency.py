"""Idempotency-Key: the same key and body from the same client get the same answer again.

What is kept is sealed under a key that derives from the caller's key, which is never stored, and from a key of ours, so
that a weak one can't be searched for.
"""

from __future__ import annotations

import dataclasses
import hmac
import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from authsvc.crypto import sealing
from authsvc.flows.data_keys import DataKeys
from authsvc.model import RequestContext
from authsvc.ports import Entropy
from authsvc.store.values import NO_ANSWER, StoredAnswer


class IdempotentAnswers:
    """Seals answers to be kept, and opens earlier ones."""

    def __init__(self, data_keys: DataKeys, entropy: Entropy, life_s: int) -> None:
        self._data_keys = data_keys
        self._entropy = entropy
        self._life_ms = life_s * 1000

    def keep(self, context: RequestContext, answer: Mapping[str, Any]) -> StoredAnswer:
        """What the store keeps, so that the same key and body get `answer` again."""
        if context.idempotency_key is None:
            return NO_ANSWER
        sealed = sealing.seal(
            self._key(context), "answer", json.dumps(answer).encode(), context.practice.id, self._entropy
        )
        return dataclasses.replace(self.name(context), answer=sealed)

    def name(self, context: RequestContext) -> StoredAnswer:
        """The same without an answer: to look whether the key was used before."""
        if context.idempotency_key is None:
            return NO_ANSWER
        key = self._key(context)
        return StoredAnswer(
            id=sealing.mac(key, "id", b""),
            body=sealing.mac(key, "body", context.fingerprint),
            life_ms=self._life_ms,
        )

    def open(self, context: RequestContext, sealed: str) -> dict[str, Any]:
        """An answer that was kept."""
        return dict(json.loads(sealing.unseal(self._key(context), "answer", sealed, context.practice.id)))

    def _key(self, context: RequestContext) -> bytes:
        caller = context.client_id or context.actor
        fields = sealing.frame(context.practice.id, caller, context.idempotency_key or "")
        return hmac.digest(self._data_keys.key("idempotency"), fields, sha256)
