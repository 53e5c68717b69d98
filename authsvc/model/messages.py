"""What the outbox holds, and what became of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from authsvc.model.practices import Practice


@dataclass(frozen=True)
class DeliveryInfo:
    """What happened to one message. `state`: `queued`, `sent`, `deferred`, `refused` or `too_late`."""

    id: str
    kind: str
    channel: str
    state: str
    queued_at_ms: int
    updated_at_ms: int
    attempts: int
    detail: str


@dataclass(frozen=True)
class Message:
    """One opened outbox entry, ready to be composed and sent. Lives in the worker's memory only.

    `kind`: `code` (code set), `access-link` (url set: opens the sign-in), `link` (url and workflow set: one simple
    thing), `address-changed` (notice to the old and the new address), `email-change` (code set: proves a new address),
    `new-link` (a dead link's successor, as `link`). `expires_at_ms` is when code or link end, `until_ms` after which
    the message must not be sent any more. A `logout` goes to a client: `token` is what it is told, `url` where.
    Senders call `before_sending` right before the step that can't be taken back: it raises DeliveryDeferred when
    another worker may have the message by now.
    """

    id: str
    practice: Practice
    kind: str
    channel: str
    to: str
    locale: str
    queued_at_ms: int
    until_ms: int
    expires_at_ms: int
    code: str = field(default="", repr=False)
    url: str = field(default="", repr=False)
    workflow: str = ""
    token: str = field(default="", repr=False)
    before_sending: Callable[[], None] = field(default=lambda: None, repr=False, compare=False)
