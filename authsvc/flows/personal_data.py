"""Addresses and labels of patients: sealed for their own patient, and found by a keyed hash only."""

from __future__ import annotations

from authsvc.crypto import addresses, sealing
from authsvc.errors import Fault, InvalidInput
from authsvc.flows.data_keys import DataKeys
from authsvc.model import Choice, Choices, Patient, RequestContext
from authsvc.ports import Entropy
from authsvc.store.patients import StoredPatient


class PersonalData:
    """What is sealed opens for its patient only: who can write to Redis can't put an address in another's place."""

    def __init__(self, data_keys: DataKeys, entropy: Entropy) -> None:
        self._data_keys = data_keys
        self._entropy = entropy

    def mailbox(self, context: RequestContext, email: str) -> str:
        """The keyed hash of an address as somebody wrote it. Raises InvalidInput at /email."""
        try:
            canonical = addresses.canonical(email)
        except ValueError as error:
            raise InvalidInput(Fault("/email", str(error))) from None
        return addresses.index(self._data_keys.key("address-index"), context.practice.id, canonical)

    def seal(self, practice_id: str, purpose: str, text: str, patient_id: str) -> str:
        """Seal something of a patient; `purpose` is `address` or `label`."""
        key = self._data_keys.key("addresses")
        return sealing.seal(key, purpose, text.encode(), f"{practice_id}:{patient_id}", self._entropy)

    def unseal(self, practice_id: str, purpose: str, sealed: str, patient_id: str) -> str:
        """Empty for the address of a patient who has none. Raises ValueError for what was sealed for another patient or
        purpose."""
        if not sealed:
            return ""
        key = self._data_keys.key("addresses")
        return sealing.unseal(key, purpose, sealed, f"{practice_id}:{patient_id}").decode()

    def patient(self, practice_id: str, stored: StoredPatient) -> Patient:
        """A patient's record, readable."""
        return Patient(
            id=stored.id,
            email=self.unseal(practice_id, "address", stored.address, stored.id),
            label=self.unseal(practice_id, "label", stored.label, stored.id),
            locale=stored.locale,
            portal_access=stored.portal_access,
        )

    def email_hint(self, practice_id: str, sealed: str, patient_id: str) -> str:
        """A sealed address, masked as its owner may see it on a page; empty for none."""
        address = self.unseal(practice_id, "address", sealed, patient_id)
        return addresses.hint(addresses.canonical(address)) if address else ""

    def choice(self, practice_id: str, challenge: str, found: Choices) -> Choice:
        """The patients to choose from, with labels that can be read."""
        patients, dependents = (
            tuple((patient, self.unseal(practice_id, "label", label, patient)) for patient, label in listed)
            for listed in (found.patients, found.dependents)
        )
        return Choice(challenge, patients, dependents)
