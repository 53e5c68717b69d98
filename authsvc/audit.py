"""Audit events, and the entries that scripts append together with the change that they record.

The caller prepares one text for each call and a MAC for every event that the script may record; the script picks the
event, numbers the entry without gaps and adds the details that only it knows (the patient behind an address, the new
session). There is no change without its entry. Entries hold ids, never addresses, codes or tokens.
"""

from __future__ import annotations

import logging
import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any
from urllib.parse import parse_qsl, urlencode

from authsvc.model import RequestContext

_REQUEST_ID = re.compile("[0-9a-f]{32}").fullmatch
_SHORT = "."  # before a request's id whose 16 bytes stand as base64url: nine characters less an entry
log = logging.getLogger("authsvc.audit")


class Event(StrEnum):
    """Every event name: a search for one of these finds every place that means it."""

    CODE_STARTED = "code.started"
    CODE_RESENT = "code.resent"
    CODE_VERIFIED = "code.verified"
    CODE_MISSED = "code.missed"
    CODE_CHOOSE = "code.choose"
    CHALLENGE_GONE = "challenge.gone"
    LINK_ISSUED = "link.issued"
    LINK_OPENED = "link.opened"
    LINK_EXCHANGED = "link.exchanged"
    LINK_REFUSED = "link.refused"
    LINK_RESENT = "link.resent"
    LINK_ENDED = "link.ended"
    GRANT_ISSUED = "grant.issued"
    GRANT_REDEEMED = "grant.redeemed"
    GRANT_REUSED = "grant.reused"
    GRANT_REFUSED = "grant.refused"
    SESSION_EXTENDED = "session.extended"
    SESSION_REFRESHED = "session.refreshed"
    SESSION_REUSED = "session.reused"
    SESSION_REFUSED = "session.refused"
    SESSION_SWITCHED = "session.switched"
    SESSION_ENDED = "session.ended"
    TOKEN_REVOKED = "token.revoked"
    PATIENT_CREATED = "patient.created"
    PATIENT_CHANGED = "patient.changed"
    PATIENT_ADDRESS_CHANGED = "patient.address_changed"
    PATIENT_ADDRESS_CHANGE_STARTED = "patient.address_change_started"
    PATIENT_GRANTED = "patient.granted"
    PATIENT_WITHDRAWN = "patient.withdrawn"
    PATIENT_DELETED = "patient.deleted"
    PATIENT_MERGED = "patient.merged"
    PATIENT_UNLOCKED = "patient.unlocked"
    PATIENT_VIEWED = "patient.viewed"
    DEPENDENT_ADDED = "dependent.added"
    DEPENDENT_CHANGED = "dependent.changed"
    DEPENDENT_REMOVED = "dependent.removed"
    LIMITED = "limited"
    CLIENT_REFUSED = "client.refused"
    CLIENT_ADDED = "client.added"
    CLIENT_CHANGED = "client.changed"
    CLIENT_SECRET_ROTATED = "client.secret_rotated"
    CLIENT_REMOVED = "client.removed"
    AUDIT_TRIMMED = "audit.trimmed"
    PRACTICE_ADDED = "practice.added"
    PRACTICE_CHANGED = "practice.changed"
    PRACTICE_WEBHOOK_SECRET_ROTATED = "practice.webhook_secret_rotated"
    PRACTICE_REMOVED = "practice.removed"
    KEY_CREATED = "key.created"
    KEY_ROTATED = "key.rotated"
    KEY_REVOKED = "key.revoked"
    KEY_IMPORTED = "key.imported"
    KEY_REWRAPPED = "key.rewrapped"


class Recorder:
    """Prepares audit entries, and writes to the log and the metrics which of them were appended."""

    def __init__(self, mac: Callable[[str, str, str], str], count: Callable[[str], None]) -> None:
        """`mac` of stream, text and event; `count` counts an event."""
        self._mac = mac
        self._count = count

    def text(
        self, at_ms: int, actor: str, call: str, details: Mapping[str, str] | None = None, reason: str = ""
    ) -> str:
        """What is known before the call: one field a line. `call` as `RequestContext.audit_call`."""
        call = _SHORT + b64encode(bytes.fromhex(call), b"-_").decode()[:22] if _REQUEST_ID(call) else call
        return "\n".join((str(at_ms), actor, call, urlencode(details) if details else "", reason))

    def mac(self, stream: str, text: str, event: str) -> str:
        """The MAC of one possible entry: it binds text, event and stream together."""
        return self._mac(stream, text, event)

    def log(self, context: RequestContext, entries: Iterable[Sequence[str]]) -> None:
        """Log and count the entries of a call: event and details, as the script appended them."""
        for event, details in entries:
            fields = {"actor": context.actor, "practice": context.practice.id, "request_id": context.request_id}
            self._write(event, {**fields, **context.audit_details, **readable_details(details)})

    def log_site(self, event: str, **fields: Any) -> None:
        """The same for an entry of the site's own streams."""
        self._write(event, {name: value for name, value in fields.items() if value})

    def _write(self, event: str, fields: Mapping[str, Any]) -> None:
        self._count(event)
        log.info(event, extra=dict(fields))


def parts_of(text: str) -> tuple[str, str, str, str, str, tuple[str, ...]]:
    """Instant (ms), actor, call, details and reason of an entry's text, and the lines that a newer release has put
    behind them. Raises ValueError for a text that isn't one of ours."""
    at_ms, actor, call, known, reason, *newer = text.split("\n")
    return at_ms, actor, call, known, reason, tuple(newer)


def readable(number: int, text: str, event: str, details: str, newer: Sequence[str] = ()) -> dict[str, Any]:
    """An entry as it is shown and exported. `newer` are names and values of fields that aren't known here: they are
    shown as they are, as are lines of the text. Raises ValueError for a text that isn't one of ours."""
    at_ms, actor, call, known, reason, lines = parts_of(text)
    entry: dict[str, Any] = {"n": number, "at_ms": int(at_ms), "event": event, "actor": actor}
    if lines or newer:
        entry["newer"] = [*lines, *(f"{name}={value}" for name, value in zip(newer[::2], newer[1::2], strict=True))]
    if reason:
        entry["reason"] = reason
    if call and not call.startswith("-"):
        entry["request"] = b64decode(call[1:] + "==", b"-_").hex() if call.startswith(_SHORT) else call
    return {**entry, **dict(parse_qsl(known)), **readable_details(details)}


def readable_details(details: str) -> dict[str, Any]:
    """The details that a script added. Its `reason` is shown as `cause`: `reason` is what an operator wrote. `by` of
    older entries is shown as `via`: `by` is the person at the desk."""
    found: dict[str, Any] = {name: int(value) if name in NUMBERS else value for name, value in parse_qsl(details)}
    if "reason" in found:
        found["cause"] = found.pop("reason")
    if "by" in found:
        found["via"] = found.pop("by")
    return found


NUMBERS = frozenset({"generation", "newest", "patients"})
"""Details that are numbers."""
