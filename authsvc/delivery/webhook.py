"""Messages by webhook: the practice's own provider carries the code (Standard Webhooks).

`POST` with `{"type", "timestamp", "data"}`, signed with HMAC-SHA-256 over `id.timestamp.body`; during a rotation of the
secret with both. 2xx is `sent`, 410 `refused` (the practice has taken the address down), all else is tried again
within the message's life, with the same id and a new timestamp.

The address comes from a practice, so it must not lead inside: https only, no redirects, no private network. The name is
looked up once, and the connection goes to just the addresses that were judged: a name that changes its mind in between
(DNS rebinding) gains nothing.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlsplit

from authsvc.delivery.http_sender import HttpSender
from authsvc.delivery.https import CALL_S, Poster
from authsvc.delivery.lookup import Address
from authsvc.errors import DeliveryDeferred, DeliveryRefused
from authsvc.model import Message, Practice, WebhookTarget
from authsvc.ports import Clock
from authsvc.text import WEBHOOK_SECRET, is_loopback, is_public

GONE: Final = 410
TYPES: Final = {
    "code": "code",
    "access-link": "access-link",
    "link": "link",
    "new-link": "link",
    "address-changed": "notice",
    "email-change": "code",
    "test": "notice",
}
"""Kinds of message, in the words of the webhook."""


class WebhookSender:
    """Posts to the practice's webhook. Thread-safe."""

    def __init__(
        self,
        clock: Clock,
        target: Callable[[Practice], WebhookTarget | None],
        *,
        development: bool = False,
        tls: ssl.SSLContext | None = None,
        call_s: float = CALL_S,
    ) -> None:
        """`target` looks up where a practice's messages go. In development loopback is allowed too."""
        self._clock = clock
        self._target = target
        self._development = development
        self._sender = HttpSender(clock, Poster(tls=tls, call_s=call_s, admit=self._admit), lambda code: code == GONE)

    def send(self, message: Message) -> str:
        """The status that the practice's server answered; `message.to` is the patient. Raises `DeliveryDeferred`,
        `DeliveryRefused`."""
        target = self._target(message.practice)
        if target is None or urlsplit(target.url).scheme != "https" or not target.secrets:
            raise DeliveryRefused("the practice has no webhook")
        body = _body(message)
        timestamp_s = self._clock.now_ms() // 1000
        fields = {
            "Content-Type": "application/json",
            "webhook-id": message.id,
            "webhook-timestamp": str(timestamp_s),
            "webhook-signature": " ".join(sign(secret, message.id, timestamp_s, body) for secret in target.secrets),
        }
        # What one practice's calls met says nothing about another's, even where both have the same provider.
        destination = f"{message.practice.id} {target.url}"
        return self._sender.deliver(target.url, body, fields, message.before_sending, destination=destination)

    def _admit(self, addresses: list[Address]) -> list[Address]:
        admitted = [address for address in addresses if self._may_call(address[0])]
        if not admitted:
            raise DeliveryDeferred("the webhook's name leads to a private network", cause="unreachable")
        return admitted

    def _may_call(self, host: str) -> bool:
        return is_public(host) or (self._development and is_loopback(host))


def sign(secret: str, message_id: str, timestamp_s: int, body: bytes) -> str:
    """One signature of the header (Standard Webhooks, "Signature scheme"). Raises `DeliveryDeferred` for a secret that
    is none."""
    try:
        key = base64.b64decode(secret.removeprefix(WEBHOOK_SECRET), validate=True)
    except binascii.Error:
        raise DeliveryDeferred("the webhook's secret can't be read", cause="ours") from None
    content = f"{message_id}.{timestamp_s}.".encode() + body
    return f"v1,{base64.b64encode(hmac.digest(key, content, 'sha256')).decode()}"


def _body(message: Message) -> bytes:
    """The same at every try: the timestamp inside is when the message was queued."""
    data = {
        "message": message.id,
        "patient": message.to,
        "locale": message.locale or message.practice.locale,
        "expires_at": _instant(message.expires_at_ms),
    }
    optional = {"code": message.code, "url": message.url, "workflow": message.workflow}
    document = {
        "type": TYPES[message.kind],
        "timestamp": _instant(message.queued_at_ms),
        "data": {**data, **{name: value for name, value in optional.items() if value}},
    }
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def _instant(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms // 1000, UTC).isoformat().replace("+00:00", "Z")
