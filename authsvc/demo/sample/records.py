"""The clinic's own data, in memory: invoices, agreements, people. authsvc sees none of this.

One lock guards it all, because the demo serves with threads.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta


@dataclass
class Card:
    """A saved way to pay: what a payment provider gives back, never a card number."""

    id: str
    name: str
    last4: str
    expires: str


@dataclass
class Person:
    """A patient as the clinic knows her."""

    id: str
    name: str
    email: str
    phone: str
    address: str
    plan: str = "Individual"
    dependents: list[str] = field(default_factory=list)
    cards: list[Card] = field(default_factory=list)


@dataclass
class Invoice:
    id: str
    patient: str
    what: str
    amount_cents: int
    on: date
    paid_on: date | None = None

    @property
    def amount(self) -> str:
        return money(self.amount_cents)


@dataclass
class Agreement:
    id: str
    patient: str
    title: str
    text: tuple[str, ...]
    accepted_on: date | None = None


PLANS = ("Individual", "Couple", "Family")


def money(cents: int) -> str:
    return f"${cents // 100:,}.{cents % 100:02d}"


def today() -> date:
    return datetime.now(UTC).date()


class Records:
    """Everything the clinic keeps."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cards = 0
        self.people: dict[str, Person] = {}
        self.invoices: dict[str, Invoice] = {}
        self.agreements: dict[str, Agreement] = {}

    def invoices_of(self, patient: str) -> list[Invoice]:
        return [one for one in self.invoices.values() if one.patient == patient]

    def agreements_of(self, patient: str) -> list[Agreement]:
        return [one for one in self.agreements.values() if one.patient == patient]

    def pay(self, invoice: Invoice) -> bool:
        """True for the one call that paid it: a double click pays once."""
        with self._lock:
            first = invoice.paid_on is None
            invoice.paid_on = invoice.paid_on or today()
            return first

    def accept(self, agreement: Agreement) -> None:
        with self._lock:
            agreement.accepted_on = agreement.accepted_on or today()

    def add_card(self, person: Person, name: str, last4: str, expires: str) -> Card:
        with self._lock:
            self._cards += 1
            card = Card(f"card{self._cards}", name, last4, expires)
            person.cards.append(card)
            return card

    def remove_card(self, person: Person, card_id: str) -> None:
        with self._lock:
            person.cards[:] = [card for card in person.cards if card.id != card_id]

    def add_dependent(self, person: Person, name: str) -> None:
        with self._lock:
            if name not in person.dependents:
                person.dependents.append(name)


def maple_clinic() -> Records:
    """Three patients, two of them on one mailbox, with something to do for each."""
    records = Records()
    day = today()
    for person in (
        Person("anna", "Anna Berg", "anna@example.com", "555 0101", "12 Elm Street"),
        Person("ben", "Ben Ortiz", "family@example.com", "555 0102", "3 Lake Road", "Family", ["Leo Ortiz"]),
        Person("mia", "Mia Ortiz", "family@example.com", "555 0103", "3 Lake Road"),
    ):
        records.people[person.id] = person
        records.add_card(person, "Visa", {"anna": "4242", "ben": "1881", "mia": "0077"}[person.id], "09/29")
    for number, (patient, what, cents, days_ago) in enumerate(
        (
            ("anna", "Yearly check-up", 12_000, 6),
            ("anna", "Blood test", 4_550, 40),
            ("anna", "Flu vaccination", 2_500, 75),
            ("ben", "Knee X-ray", 18_900, 11),
            ("mia", "Eye test", 6_000, 3),
        ),
        start=1001,
    ):
        on = day - timedelta(days=days_ago)
        paid_on = on + timedelta(days=9) if days_ago > 30 else None
        records.invoices[f"inv_{number}"] = Invoice(f"inv_{number}", patient, what, cents, on, paid_on)
    for patient in records.people:
        agreement = Agreement(
            f"agr_{patient}",
            patient,
            "Visits by video",
            (
                "You may talk to our doctors by video instead of coming to the clinic.",
                "We do not record the call. Nobody else listens in.",
                "You can change your mind at any time by calling us.",
            ),
        )
        records.agreements[agreement.id] = agreement
    return records
