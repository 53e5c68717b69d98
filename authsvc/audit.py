"""What happened, in one list of names, and the entries that scripts append in the same breath as the act.

The app hands a script one entry for every way the act may end, each with a MAC; the script picks one, numbers it
without gaps and adds what only it could know (the patient behind an address, the new session). There is no act
without its entry. Entries hold ids, never addresses, codes or tokens.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any

from authsvc.model import RequestContext
from authsvc.ports import Clock

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
    SESSION_ENDED = "session.ended"
    TOKEN_REVOKED = "token.revoked"
    PATIENT_CREATED = "patient.created"
    PATIENT_CHANGED = "patient.changed"
    PATIENT_ADDRESS_CHANGED = "patient.address_changed"
    PATIENT_GRANTED = "patient.granted"
    PATIENT_WITHDRAWN = "patient.withdrawn"
    PATIENT_DELETED = "patient.deleted"
    PATIENT_MERGED = "patient.merged"
    PATIENT_UNLOCKED = "patient.unlocked"
    PATIENT_VIEWED = "patient.viewed"
    LIMITED = "limited"
    CLIENT_REFUSED = "client.refused"
    CLIENT_ADDED = "client.added"
    CLIENT_CHANGED = "client.changed"
    CLIENT_SECRET_ROTATED = "client.secret_rotated"
    CLIENT_REMOVED = "client.removed"
    AUDIT_TRIMMED = "audit.trimmed"
    PRACTICE_ADDED = "practice.added"
    PRACTICE_CHANGED = "practice.changed"
    PRACTICE_REMOVED = "practice.removed"
    KEY_CREATED = "key.created"
    KEY_ROTATED = "key.rotated"
    KEY_REVOKED = "key.revoked"
    KEY_IMPORTED = "key.imported"
    KEY_REWRAPPED = "key.rewrapped"


Entry = dict[str, str]
"""One prepared entry: `o` the outcome's name in the script, `e` the entry as JSON text, `m` its MAC."""


class Recorder:
    """Prepares entries, and publishes those that a script has appended to log and metrics."""

    def __init__(self, clock: Clock, mac: Callable[[bytes], str], count: Callable[[str], None]) -> None:
        self._clock = clock
        self._mac = mac
        self._count = count

    def entry(self, event: Event, *, actor: str, reason: str = "", outcome: str = "", **fields: str) -> Entry:
        """One entry for `event`; `fields` are what the app knows already."""
        head = {"at_ms": self._clock.now_ms(), "event": event.value, "actor": actor}
        text = json.dumps(
            {
                **head,
                **({"reason": reason} if reason else {}),
                **{name: value for name, value in fields.items() if value},
            },
            separators=(",", ":"),
        )
        return {"o": outcome or event.value, "e": text, "m": self._mac(text.encode())}

    def entries(self, act: RequestContext, outcomes: Mapping[str, Event], **fields: str) -> dict[str, Entry]:
        """Entries for every outcome of `act`, by the names the script knows them by; `limited` comes by itself."""
        every = {**outcomes, "limited": Event.LIMITED}
        return {
            name: self.entry(
                event,
                actor=act.actor,
                reason=act.reason,
                outcome=event.value,
                practice=act.practice.id,
                request=act.request_id,
                **fields,
            )
            for name, event in every.items()
        }

    def happened(self, act: RequestContext, recorded: Iterable[Sequence[Any]]) -> None:
        """Publish what the script reports as appended: event, and the facts where there are any."""
        for event, *found in recorded:
            facts = dict(found[0]) if found else {}
            if "reason" in facts:  # `reason` is what an operator wrote; a script reports a cause
                facts["cause"] = facts.pop("reason")
            self.publish(event, actor=act.actor, practice=act.practice.id, request_id=act.request_id, **facts)

    def publish(self, event: str, **fields: Any) -> None:
        """The same fact for those who read the log or the metrics."""
        self._count(event)
        log.info(event, extra=fields)
