"""Practices, the tenants: registered by operators, read by every call, cached for at most five seconds."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

from authsvc.audit import Event
from authsvc.crypto import addresses
from authsvc.errors import AlreadyExists, Fault, InvalidInput, UnknownName
from authsvc.flows import nested_records
from authsvc.flows.cache import Cache
from authsvc.flows.logos import Logo
from authsvc.flows.session_cleanup import SessionCleanup
from authsvc.flows.site_audit import SiteAudit
from authsvc.flows.webhooks import LIVE_SECRETS, Webhooks
from authsvc.model import Practice, WebhookSecret
from authsvc.ports import Clock
from authsvc.store.documents import DocumentStore
from authsvc.store.logos import LogoStore
from authsvc.text import NEW_PRACTICE_ID

MEMBERS = frozenset(member.name for member in dataclasses.fields(Practice))


class Practices:
    """The use cases of an operator, and the look-up of every call."""

    def __init__(
        self,
        registry: DocumentStore,
        pictures: LogoStore,
        site: SiteAudit,
        clock: Clock,
        webhooks: Webhooks,
        sessions: SessionCleanup,
    ) -> None:
        self._registry = registry
        self._pictures = pictures
        self._site = site
        self._clock = clock
        self._webhooks = webhooks
        self._sessions = sessions
        self._cache: Cache[Practice] = Cache(self._read)

    def get(self, practice_id: str) -> Practice | None:
        """The practice, as it was at most five seconds ago. Raises Unavailable."""
        return self._cache.get(practice_id)

    def known(self, practice_id: str) -> Practice:
        """The practice as it is now. Raises UnknownName."""
        practice = self._read(practice_id)
        if practice is None:
            raise UnknownName("practice", practice_id)
        return practice

    def add(self, practice_id: str, *, actor: str, reason: str = "", **fields: Any) -> Practice:
        """A new practice. Raises AlreadyExists; InvalidInput for an id whose `sub` would be no URI."""
        if not re.fullmatch(NEW_PRACTICE_ID, practice_id, re.ASCII):
            problem = "must begin with a letter, else the `sub` of its patients is no URI (RFC 7519 §2)"
            raise InvalidInput(Fault("/id", problem))
        practice = Practice(id=practice_id, created_ms=self._clock.now_ms(), **_without_none(fields))
        if self._read(practice_id) is None:
            self._sessions.end_of_practice(practice_id, actor)
        if not self._registry.add(practice_id, dataclasses.asdict(practice)):
            raise AlreadyExists(f"practice {practice_id}")
        self._site.record(Event.PRACTICE_ADDED, actor=actor, reason=reason, practice=practice_id)
        return practice

    def set(
        self, practice_id: str, *, actor: str, reason: str = "", logo: Logo | None = None, **fields: Any
    ) -> Practice:
        """Change the named fields, and the logo if one is given (`NO_LOGO` takes it away). Raises UnknownName,
        InvalidInput for delivery by a webhook that isn't complete."""
        practice = dataclasses.replace(self.known(practice_id), **_without_none(fields))
        if practice.delivery == "webhook" and practice.missing_for_webhook:
            raise InvalidInput(Fault("/delivery", f"the practice has no webhook: {practice.missing_for_webhook}"))
        if logo is not None:
            self._keep(practice_id, logo)  # first: a record must not name what isn't there
            practice = dataclasses.replace(practice, logo=logo.digest, logo_width=logo.width, logo_height=logo.height)
        self._put(practice)
        self._site.record(Event.PRACTICE_CHANGED, actor=actor, reason=reason, practice=practice_id)
        return practice

    def rotate_webhook_secret(self, practice_id: str, *, actor: str, reason: str = "") -> str:
        """A new secret for webhooks; the one before signs beside it for a week. Raises UnknownName."""
        practice = self.known(practice_id)
        secret, sealed = self._webhooks.new_secret(practice_id)
        secrets = (sealed, *practice.webhook_secrets)[:LIVE_SECRETS]
        self._put(dataclasses.replace(practice, webhook_secrets=secrets))
        self._site.record(Event.PRACTICE_WEBHOOK_SECRET_ROTATED, actor=actor, reason=reason, practice=practice_id)
        return secret

    def list(self) -> list[Practice]:
        found = (self._read(name) for name in self._registry.names())
        return [practice for practice in found if practice is not None]

    def remove(self, practice_id: str, *, actor: str, reason: str = "") -> None:
        """Forget a practice, end its sessions: calls about it are 404 within five seconds. Raises UnknownName."""
        if not self._registry.remove(practice_id):
            raise UnknownName("practice", practice_id)
        self._pictures.remove(practice_id)
        self._cache.forget(practice_id)
        self._sessions.end_of_practice(practice_id, actor)
        self._site.record(Event.PRACTICE_REMOVED, actor=actor, reason=reason, practice=practice_id)

    def _keep(self, practice_id: str, logo: Logo) -> None:
        if logo.png:
            self._pictures.put(practice_id, logo.png)
        else:
            self._pictures.remove(practice_id)

    def _put(self, practice: Practice) -> None:
        """Replace the record; members that a newer release has put there stay."""
        document, members = self._registry.get(practice.id) or {}, dataclasses.asdict(practice)
        stored = document.get("webhook_secrets", ())
        members["webhook_secrets"] = nested_records.merged(members["webhook_secrets"], stored, "sealed")
        self._registry.put(practice.id, document | members)
        self._cache.forget(practice.id)

    def _read(self, practice_id: str) -> Practice | None:
        document = self._registry.get(practice_id)
        if document is None:
            return None
        known = {name: value for name, value in document.items() if name in MEMBERS}
        secrets = tuple(nested_records.read(WebhookSecret, secret) for secret in known.pop("webhook_secrets", ()))
        claims = tuple(known.pop("claims", ()))
        return Practice(**known, webhook_secrets=secrets, claims=claims)


def _without_none(fields: dict[str, Any]) -> dict[str, Any]:
    """Only what is set; None means that an option wasn't used."""
    return {name: value for name, value in fields.items() if value is not None}


def support_address(text: str) -> str:
    """An address that patients may write to, as it was written. Raises ValueError with a plain reason.

    Mails carry it as their Reply-To. A mailbox name beyond ASCII is refused there: every mail of the practice would
    need a next hop that speaks SMTPUTF8 (RFC 6531).
    """
    address = text.strip()
    if address and not addresses.canonical(address).isascii():
        raise ValueError("the part before the @ is not ASCII")
    return address
