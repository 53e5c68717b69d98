"""Who may sign in: the practice says, and takes it back.

Addresses and labels are kept sealed and an address is found by keyed hash only. What rests on an address or on the
right to sign in ends with it.
"""

from __future__ import annotations

from typing import Any

from authsvc.errors import AlreadyExists, PatientNotFound, UnknownName
from authsvc.flows.dependencies import Dependencies
from authsvc.model import DeliveryInfo, Patient, RequestContext
from authsvc.store.outbox import Outbox
from authsvc.store.patients import Misses, PatientStore, StoredPatient


class Patients:
    """The use cases around a patient's record."""

    def __init__(self, deps: Dependencies, store: PatientStore, outbox: Outbox) -> None:
        self._deps = deps
        self._store = store
        self._outbox = outbox

    def put(
        self,
        context: RequestContext,
        patient_id: str,
        *,
        email: str | None,
        label: str = "",
        locale: str = "",
        portal_access: bool,
    ) -> tuple[Patient, bool]:
        """Create or replace; the second value says whether the patient is new. Without `email` no mail can be sent.

        A different address ends what rests on the old one and sends a notice to both mailboxes; withdrawn access ends
        sessions, codes and access links. Raises InvalidInput (address), RateLimited, StorageFull (a new patient).
        """
        practice, data = context.practice.id, self._deps.personal_data
        buckets = self._deps.rate_limits.of_caller(context)
        self._store.check_room(context, patient_id, buckets)
        stored = StoredPatient(
            id=patient_id,
            mailbox=data.mailbox(context, email) if email is not None else "",
            address=data.seal(practice, "address", email.strip(), patient_id) if email is not None else "",
            label=data.seal(practice, "label", label, patient_id),
            locale=locale,
            portal_access=portal_access,
        )
        created = self._store.put(
            context,
            stored,
            self._deps.messages.address_notice(practice),
            self._deps.messages.address_notice(practice),
            self._deps.messages.notice_until_ms(self._deps.clock.now_ms()),
            buckets,
        )
        return Patient(patient_id, (email or "").strip(), label, locale, portal_access), created

    def get(self, context: RequestContext, patient_id: str) -> Patient:
        """Raises PatientNotFound, RateLimited."""
        return self._deps.personal_data.patient(context.practice.id, self._read(context, patient_id)[0])

    def show(self, context: RequestContext, patient_id: str) -> dict[str, Any]:
        """For an operator: the record, the misses of the mailbox, and whether it is in link mode."""
        stored, misses = self._read(context, patient_id)
        patient, limits = self._deps.personal_data.patient(context.practice.id, stored), self._deps.limits
        return {
            "patient": patient.id,
            "email": patient.email,
            "label": patient.label,
            "locale": patient.locale,
            "portal_access": patient.portal_access,
            "consecutive_misses": misses.consecutive,
            "misses_in_24h": misses.day,
            "link_mode": misses.consecutive >= limits.misses_consecutive or misses.day >= limits.misses_per_day,
        }

    def grant(
        self, context: RequestContext, patient_id: str, *, email: str | None = None, label: str | None = None
    ) -> tuple[Patient, bool]:
        """For an operator: give portal access, at this address if one is named, keeping what else is known of the
        patient."""
        known = self._known(context, patient_id)
        return self.put(
            context,
            patient_id,
            email=email if email is not None or known is None else known.email or None,
            label=label if label is not None else (known.label if known else ""),
            locale=known.locale if known else "",
            portal_access=True,
        )

    def add(
        self,
        context: RequestContext,
        patient_id: str,
        *,
        email: str | None,
        label: str,
        locale: str,
        portal_access: bool,
    ) -> Patient:
        """For an operator: put a patient on file who isn't yet. Raises AlreadyExists, InvalidInput."""
        if self._known(context, patient_id) is not None:
            raise AlreadyExists(f"patient {patient_id}")
        return self.put(context, patient_id, email=email, label=label, locale=locale, portal_access=portal_access)[0]

    def withdraw(self, context: RequestContext, patient_id: str) -> None:
        """Take portal access back: sessions, codes and access links end. Raises PatientNotFound."""
        known = self.get(context, patient_id)
        self.put(
            context, known.id, email=known.email or None, label=known.label, locale=known.locale, portal_access=False
        )

    def delete(self, context: RequestContext, patient_id: str) -> None:
        """Forget the patient; sessions, links and with them all earlier tokens end. Raises PatientNotFound."""
        self._store.delete(context, patient_id, self._deps.rate_limits.of_caller(context))

    def merge(self, context: RequestContext, old: str, new: str) -> None:
        """Let the id `old` mean `new` from now on: its links lead there, its sessions end. Raises PatientNotFound."""
        if old == new:
            raise UnknownName("other patient", new)
        self._store.delete(context, old, self._deps.rate_limits.of_caller(context), into=new)

    def unlock(self, context: RequestContext, patient_id: str) -> None:
        """Forget the misses of the patient's mailbox: somebody has spoken with the patient. Raises PatientNotFound."""
        self._store.unlock(context, patient_id)

    def deliveries(self, context: RequestContext, patient_id: str) -> list[DeliveryInfo]:
        """What happened to the mail of the last days, newest first. Raises PatientNotFound, RateLimited."""
        stored, _ = self._read(context, patient_id)
        return self._outbox.deliveries(context.practice.id, stored.id)

    def _known(self, context: RequestContext, patient_id: str) -> Patient | None:
        try:
            return self.get(context, patient_id)
        except PatientNotFound:
            return None

    def _read(self, context: RequestContext, patient_id: str) -> tuple[StoredPatient, Misses]:
        # A client reads what its practice gave it; an operator who looks at a patient leaves an audit entry.
        buckets = self._deps.rate_limits.of_caller(context)
        return self._store.get(context, patient_id, buckets, viewed=context.client is None)
