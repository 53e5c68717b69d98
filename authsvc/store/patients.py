"""Patients' records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from authsvc.config.limits import Limits
from authsvc.errors import StorageFull
from authsvc.model import Bucket, RequestContext
from authsvc.store.mailing import Mailing
from authsvc.store.scripts import Reply, ScriptRunner
from authsvc.store.storage import StorageStore
from authsvc.store.values import Mail


@dataclass(frozen=True)
class StoredPatient:
    """A patient's record; `address` and `label` are sealed for this id, `mailbox` is the address's keyed hash."""

    id: str
    address: str
    label: str
    locale: str
    portal_access: bool
    mailbox: str = ""


@dataclass(frozen=True)
class Misses:
    """Wrong codes of a mailbox: in a row, and within a day."""

    consecutive: int
    day: int


@dataclass(frozen=True)
class Contact:
    """A patient's language, and where a code could be sent: `address` is sealed, and empty where none could. `label`
    is sealed too."""

    patient: str
    address: str
    locale: str
    label: str


def stored_patient(reply: Reply) -> StoredPatient:
    """The record that a script has replied."""
    return StoredPatient(
        id=reply["id"],
        address=reply["address"],
        label=reply["label"],
        locale=reply["locale"],
        portal_access=reply["access"] == "1",
    )


class PatientStore:
    """Every method may raise RateLimited and Unavailable."""

    def __init__(self, runner: ScriptRunner, mailing: Mailing, limits: Limits, storage: StorageStore) -> None:
        self._runner = runner
        self._mailing = mailing
        self._limits = limits
        self._storage = storage

    def check_room(self, context: RequestContext, patient_id: str, buckets: Sequence[Bucket]) -> None:
        """Before anything is sealed: may this patient be put on file? Asked only where the practice's storage was full
        a moment ago. Raises StorageFull, and then the call is counted."""
        if self._storage.was_full(context.practice.id):
            unknown, none = StoredPatient(patient_id, "", "", "", False), Mail("", "", "")
            self._put(context, unknown, none, none, 0, buckets, check_only=True)

    def put(
        self,
        context: RequestContext,
        patient: StoredPatient,
        old_notice: Mail,
        new_notice: Mail,
        notice_until_ms: int,
        buckets: Sequence[Bucket],
    ) -> bool:
        """Create or replace; whether the patient is new. Another address sends the notices, and ends what rests on the
        old one. Raises InvalidInput (too many patients on the mailbox), StorageFull (where it is new)."""
        try:
            reply = self._put(context, patient, old_notice, new_notice, notice_until_ms, buckets)
        except StorageFull:
            self._storage.note_full(context.practice.id)
            raise
        if "full" in reply:
            self._storage.note_full(context.practice.id)
        self._mailing.wake(context.practice.id)
        return "created" in reply

    def _put(
        self,
        context: RequestContext,
        patient: StoredPatient,
        old_notice: Mail,
        new_notice: Mail,
        notice_until_ms: int,
        buckets: Sequence[Bucket],
        *,
        check_only: bool = False,
    ) -> Reply:
        *_, reply = self._runner.run_in_parts(
            "patient_put",
            context,
            durable=not check_only,
            check_only=check_only,
            storage_max=self._storage.limit_bytes(),
            id=patient.id,
            after="",
            address=patient.address,
            mailbox=patient.mailbox,
            label=patient.label,
            locale=patient.locale,
            access="1" if patient.portal_access else "0",
            old_notice_id=old_notice.id,
            old_notice_body=old_notice.body,
            new_notice_id=new_notice.id,
            new_notice_body=new_notice.body,
            notice_until=notice_until_ms,
            change_limits=self._limits.buckets("address-change", of=patient.id),
            notice_limits=self._limits.buckets("address-notices", shown=False),
            limits=buckets,
            **self._mailing.notice_args(),
        )
        return reply

    def get(
        self, context: RequestContext, patient_id: str, buckets: Sequence[Bucket], *, viewed: bool = False
    ) -> tuple[StoredPatient, Misses]:
        """The record, and the misses of the mailbox; `viewed`: record who looked. Raises PatientNotFound."""
        reply = self._runner.run("patient_get", context, id=patient_id, viewed=viewed, limits=buckets)
        return stored_patient(reply), Misses(int(reply["consecutive"]), int(reply["day"]))

    def contact(self, context: RequestContext, patient_id: str) -> Contact:
        """Where the patient can be reached. Changes nothing."""
        reply = self._runner.run("patient_contact", context, id=patient_id)
        return Contact(reply.get("patient", ""), reply.get("address", ""), reply["locale"], reply.get("label", ""))

    def delete(self, context: RequestContext, patient_id: str, buckets: Sequence[Bucket], *, into: str = "") -> None:
        """Forget a patient, or merge it `into` another. Raises PatientNotFound, InvalidInput (too many links)."""
        parts = self._runner.run_in_parts(
            "patient_delete",
            context,
            durable=True,
            id=patient_id,
            into=into,
            after="",
            delivery_ms=self._mailing.delivery_ms,
            limits=buckets,
        )
        for _ in parts:
            pass

    def unlock(self, context: RequestContext, patient_id: str) -> None:
        """Clear the misses of the patient's mailbox. Raises PatientNotFound."""
        self._runner.run("patient_unlock", context, id=patient_id)
