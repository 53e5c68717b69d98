"""Who may sign in: the practice says, and takes it back.

Addresses and labels are kept sealed and an address is found by keyed hash only. What rests on an address or on the
right to sign in ends with it.
"""

from __future__ import annotations

from typing import Any

from authsvc.audit import Event
from authsvc.errors import PatientNotFound, UnknownName
from authsvc.flows.script_runner import ScriptRunner
from authsvc.model import DeliveryInfo, Patient, RequestContext
from authsvc.store.outbox import Outbox

ENDS = {"session_ended": Event.SESSION_ENDED, "link_ended": Event.LINK_ENDED}


class Patients:
    """The use cases around a patient's record."""

    def __init__(self, runner: ScriptRunner, outbox: Outbox) -> None:
        self._runner = runner
        self._outbox = outbox

    def put(
        self,
        context: RequestContext,
        patient_id: str,
        *,
        email: str,
        label: str = "",
        locale: str = "",
        portal_access: bool,
    ) -> tuple[Patient, bool]:
        """Create or replace; the second value tells whether the patient is new.

        A different address ends what rests on the old one and tells both mailboxes; withdrawn access ends sessions,
        codes and access links. Raises InvalidInput (address), RateLimited.
        """
        practice, settings = context.practice.id, self._runner.settings
        idx = self._runner.mailbox(context, email)
        notices = {}
        for which in ("old", "new"):
            message_id = self._runner.new_id()
            notices[which] = {"id": message_id, "body": self._runner.mail_body(practice, message_id)}
        reply = self._runner.run(
            context,
            "patient_put",
            {
                "created": Event.PATIENT_CREATED,
                "changed": Event.PATIENT_CHANGED,
                "address_changed": Event.PATIENT_ADDRESS_CHANGED,
                "granted": Event.PATIENT_GRANTED,
                "withdrawn": Event.PATIENT_WITHDRAWN,
                **ENDS,
            },
            durable=True,
            mails=True,
            limits=self._runner.callers(context),
            id=patient_id,
            idx=idx,
            to=self._runner.seal(context, "address", email.strip(), patient_id),
            label=self._runner.seal(context, "label", label, patient_id),
            locale=locale,
            access="1" if portal_access else "0",
            notices=notices,
            keep_ms=settings.delivery_record_life_s * 1000,
        )
        return Patient(patient_id, email.strip(), label, locale, portal_access), bool(reply["created"])

    def get(self, context: RequestContext, patient_id: str) -> Patient:
        """Raises PatientNotFound, RateLimited."""
        return self._opened(context, self._read(context, patient_id)["patient"])

    def show(self, context: RequestContext, patient_id: str) -> dict[str, Any]:
        """For an operator: the record, the misses of the mailbox, and whether it is in link mode."""
        reply = self._read(context, patient_id)
        patient, guess, limits = self._opened(context, reply["patient"]), reply["guess"], self._runner.limits
        return {
            "patient": patient.id,
            "email": patient.email,
            "label": patient.label,
            "locale": patient.locale,
            "portal_access": patient.portal_access,
            "consecutive_misses": guess["consecutive"],
            "misses_in_24h": guess["day"],
            "link_mode": guess["consecutive"] >= limits.misses_consecutive or guess["day"] >= limits.misses_per_day,
        }

    def grant(
        self, context: RequestContext, patient_id: str, *, email: str, label: str | None = None
    ) -> tuple[Patient, bool]:
        """For an operator: give portal access at this address, keeping what else is known of the patient."""
        known = self._known(context, patient_id)
        return self.put(
            context,
            patient_id,
            email=email,
            label=label if label is not None else (known.label if known else ""),
            locale=known.locale if known else "",
            portal_access=True,
        )

    def withdraw(self, context: RequestContext, patient_id: str) -> None:
        """Take portal access back: sessions, codes and access links end. Raises PatientNotFound."""
        known = self.get(context, patient_id)
        self.put(context, known.id, email=known.email, label=known.label, locale=known.locale, portal_access=False)

    def delete(self, context: RequestContext, patient_id: str) -> None:
        """Forget the patient; sessions, links and with them all earlier tokens end. Raises PatientNotFound."""
        self._runner.run(
            context,
            "patient_delete",
            {"deleted": Event.PATIENT_DELETED, **ENDS},
            durable=True,
            limits=self._runner.callers(context),
            id=patient_id,
        )

    def merge(self, context: RequestContext, old: str, new: str) -> None:
        """Let the id `old` mean `new` from now on: its links lead there, its sessions end. Raises PatientNotFound."""
        if old == new:
            raise UnknownName("other patient", new)
        self._runner.run(
            context,
            "patient_delete",
            {"merged": Event.PATIENT_MERGED, **ENDS},
            durable=True,
            limits=self._runner.callers(context),
            id=old,
            into=new,
        )

    def unlock(self, context: RequestContext, patient_id: str) -> None:
        """Forget the misses of the patient's mailbox: somebody has spoken with the patient. Raises PatientNotFound."""
        self._runner.run(context, "patient_unlock", {"unlocked": Event.PATIENT_UNLOCKED}, id=patient_id)

    def deliveries(self, context: RequestContext, patient_id: str) -> list[DeliveryInfo]:
        """What happened to the mail of the last days, newest first. Raises PatientNotFound, RateLimited."""
        known = self._read(context, patient_id)["patient"]["id"]
        return self._outbox.deliveries(context.practice.id, known)

    def _known(self, context: RequestContext, patient_id: str) -> Patient | None:
        try:
            return self.get(context, patient_id)
        except PatientNotFound:
            return None

    def _read(self, context: RequestContext, patient_id: str) -> dict[str, Any]:
        # A client reads what its practice gave it; an operator who looks at a patient leaves a trace.
        outcomes = {} if context.client else {"viewed": Event.PATIENT_VIEWED}
        return self._runner.run(context, "patient_get", outcomes, limits=self._runner.callers(context), id=patient_id)

    def _opened(self, context: RequestContext, record: dict[str, str]) -> Patient:
        return Patient(
            id=record["id"],
            email=self._runner.unseal(context.practice.id, "address", record["to"], record["id"]),
            label=self._runner.unseal(context.practice.id, "label", record["label"], record["id"]),
            locale=record["locale"],
            portal_access=record["access"] == "1",
        )
