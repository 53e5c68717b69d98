"""What a queued mail says: sealed when it is queued, opened in the worker's memory only."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from authsvc.config.settings import Settings
from authsvc.config.workflows import Catalogue
from authsvc.crypto import mint, sealing
from authsvc.flows.data_keys import DataKeys
from authsvc.flows.personal_data import PersonalData
from authsvc.model import Message, Practice
from authsvc.ports import Entropy
from authsvc.store.outbox import Entry, Recipient
from authsvc.store.values import Mail


class MailMessages:
    """Seals and opens the bodies of mails."""

    def __init__(
        self,
        data_keys: DataKeys,
        personal_data: PersonalData,
        entropy: Entropy,
        settings: Settings,
        catalogue: Catalogue,
    ) -> None:
        self._data_keys = data_keys
        self._personal_data = personal_data
        self._entropy = entropy
        self._public_url = settings.public_url
        self._notice_life_s = settings.delivery_record_life_s
        workflows = catalogue.all()
        self.access_workflow = next((known.name for known in workflows if known.security == "access"), "portal")

    def link_url(self, practice: Practice, token: str) -> str:
        """Where a link leads: the practice's own page, or the hosted one."""
        if practice.link_url:
            return practice.link_url.replace("{token}", token)
        return f"{self._public_url}/p/{practice.id}/l/{token}"

    def new_id(self) -> str:
        return mint.short_id(self._entropy)

    def seal(self, practice_id: str, message_id: str, entropy: Entropy | None = None, **fields: Any) -> str:
        """Seal what a mail shall say: `code` and the `token` of the access link that is sent in its place where no code
        may be sent, or `url`, `workflow`, `expires_at_ms`, each if it has one."""
        plain = json.dumps(fields, separators=(",", ":")).encode()
        key = self._data_keys.key("outbox")
        return sealing.seal(key, "mail", plain, f"{practice_id}:{message_id}", entropy or self._entropy)

    def address_notice(self, practice_id: str) -> Mail:
        """The notice that an address was changed; one for each of the two mailboxes."""
        message_id = self.new_id()
        return Mail(message_id, "address-changed", self.seal(practice_id, message_id))

    def notice_until_ms(self, now_ms: int) -> int:
        """After which a notice is not sent any more."""
        return now_ms + self._notice_life_s * 1000

    def open(self, practice: Practice, entry: Entry, recipient: Recipient) -> Message:
        """The message of an outbox entry. Raises ValueError for one that doesn't open."""
        context = f"{practice.id}:{entry.message_id}"
        body = json.loads(sealing.unseal(self._data_keys.key("outbox"), "mail", entry.body, context))
        return Message(
            id=entry.message_id,
            practice=practice,
            kind=entry.kind,
            channel=entry.channel,
            to=recipient.patient
            if entry.channel == "webhook"
            else self._personal_data.unseal(practice.id, "address", recipient.address, recipient.patient),
            locale=entry.locale,
            queued_at_ms=entry.queued_ms,
            until_ms=entry.until_ms,
            **self._content(practice, entry, body),
        )

    def _content(self, practice: Practice, entry: Entry, body: Mapping[str, Any]) -> dict[str, Any]:
        """What the mail says: of a sign-in either its code or its link, as the kind of the entry says."""
        expires_at_ms = int(body.get("expires_at_ms", entry.until_ms))
        if "token" in body and entry.kind == "access-link":
            url = self.link_url(practice, body["token"])
            return {"url": url, "workflow": self.access_workflow, "expires_at_ms": expires_at_ms}
        return {
            "code": body.get("code", ""),
            "url": body.get("url", ""),
            "workflow": body.get("workflow", ""),
            "expires_at_ms": expires_at_ms,
        }
