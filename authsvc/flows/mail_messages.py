"""What a queued mail says: sealed when it is queued, opened in the worker's memory only."""

from __future__ import annotations

import json
from typing import Any

from authsvc.crypto import mint, sealing
from authsvc.flows.data_keys import DataKeys
from authsvc.flows.personal_data import PersonalData
from authsvc.model import Message, Practice
from authsvc.ports import Entropy
from authsvc.store.outbox import Entry, Recipient


class MailMessages:
    """Seals and opens the bodies of mails."""

    def __init__(self, data_keys: DataKeys, personal_data: PersonalData, entropy: Entropy) -> None:
        self._data_keys = data_keys
        self._personal_data = personal_data
        self._entropy = entropy

    def new_id(self) -> str:
        return mint.short_id(self._entropy)

    def seal(self, practice_id: str, message_id: str, **fields: Any) -> str:
        """Seal what a mail shall say: `code`, `url`, `workflow`, `expires_at_ms`, each if it has one."""
        plain = json.dumps(fields, separators=(",", ":")).encode()
        key = self._data_keys.key("outbox")
        return sealing.seal(key, "mail", plain, f"{practice_id}:{message_id}", self._entropy)

    def open(self, practice: Practice, entry: Entry, recipient: Recipient) -> Message:
        """The message of an outbox entry. Raises ValueError for one that doesn't open."""
        context = f"{practice.id}:{entry.message_id}"
        body = json.loads(sealing.unseal(self._data_keys.key("outbox"), "mail", entry.body, context))
        return Message(
            id=entry.message_id,
            practice=practice,
            kind=entry.kind,
            channel=entry.channel,
            to=self._personal_data.unseal(practice.id, "address", recipient.address, recipient.patient),
            locale=entry.locale,
            queued_at_ms=entry.queued_ms,
            until_ms=entry.until_ms,
            expires_at_ms=int(body.get("expires_at_ms", entry.until_ms)),
            code=body.get("code", ""),
            url=body.get("url", ""),
            workflow=body.get("workflow", ""),
        )
