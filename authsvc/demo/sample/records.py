"""The clinic's own data, in memory: invoices, agreements, people. authsvc sees none of this.

One lock guards it all, because the demo serves with threads.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

from authsvc.demo.sample.languages import N_


@dataclass
class Card:
    """A saved way to pay: what a payment provider gives back, never a card number. `expires`: month/year."""

    id: str
    name: str
    last4: str
    expires: str

    def has_expired(self, on: date) -> bool:
        """A card is good until its month is over."""
        return (2000 + int(self.expires[3:]), int(self.expires[:2])) < (on.year, on.month)


@dataclass
class Person:
    """A patient as the clinic knows her; `email` may be empty. The first card is the default.

    `email`, `portal_access` and `language` are what authsvc was told."""

    id: str
    name: str
    email: str
    phone: str
    address: str
    plan: str = "Individual"
    dependents: list[str] = field(default_factory=list)  # ids: patients on file themselves
    cards: list[Card] = field(default_factory=list)
    portal_access: bool = True
    language: str = "en"  # of authsvc's mails and pages for this patient


@dataclass
class Invoice:
    """`mailed_on` and `not_mailed`: what became of the mail that goes out by itself when the invoice is due."""

    id: str
    patient: str
    what: str
    amount_cents: int
    on: date
    due_on: date
    paid_on: date | None = None
    mailed_on: date | None = None
    not_mailed: str = ""

    @property
    def amount(self) -> str:
        return money(self.amount_cents)


@dataclass(frozen=True)
class Acceptance:
    """Who accepted which text by what: the link's public id (or the session's), and the id of the access token. `text`
    is the title and every line as they were shown, in the patient's language; `digest` is theirs."""

    at: datetime
    patient: str
    way: str
    token_id: str
    version: str
    text: tuple[str, ...]
    digest: str


@dataclass
class Agreement:
    id: str
    patient: str
    title: str
    version: str
    text: tuple[str, ...]
    acceptance: Acceptance | None = None

    def shown(self, translate: Callable[[str], str]) -> tuple[str, ...]:
        """Title and lines as a patient reads them."""
        return tuple(translate(text) for text in (self.title, *self.text))

    def digest(self, shown: tuple[str, ...]) -> str:
        """SHA-256 of the text, in hex: it shows later that not a letter of it was changed."""
        title, *lines = shown
        return hashlib.sha256("\n".join((title, self.version, *lines)).encode()).hexdigest()


PAY_WITHIN = timedelta(days=14)
CARDS = {"anna": "4242", "ben": "1881", "mia": "0077", "ida": "3020", "otto": "7171"}
PLANS = (N_("Individual"), N_("Couple"), N_("Family"))


def money(cents: int) -> str:
    return f"${cents // 100:,}.{cents % 100:02d}"


def utc_now() -> datetime:
    return datetime.now(UTC)


class Records:
    """Everything the clinic keeps. `now` is its clock."""

    def __init__(self, now: Callable[[], datetime] = utc_now) -> None:
        self.now = now
        self._lock = threading.Lock()
        self._cards = 0
        self.people: dict[str, Person] = {}
        self.invoices: dict[str, Invoice] = {}
        self.agreements: dict[str, Agreement] = {}

    def today(self) -> date:
        return self.now().date()

    def invoices_of(self, patient: str) -> list[Invoice]:
        return [one for one in self.invoices.values() if one.patient == patient]

    def agreements_of(self, patient: str) -> list[Agreement]:
        return [one for one in self.agreements.values() if one.patient == patient]

    def due_invoices(self) -> list[Invoice]:
        """Those that are due, and for which no mail went out by itself."""
        mailed = (one for one in self.invoices.values() if one.mailed_on is None and not one.not_mailed)
        return [one for one in mailed if one.paid_on is None and one.due_on <= self.today()]

    def pay(self, invoice: Invoice) -> None:
        """A double click pays once."""
        with self._lock:
            invoice.paid_on = invoice.paid_on or self.today()

    def accept(self, agreement: Agreement, shown: tuple[str, ...], way: str, token_id: str) -> None:
        """Only the first acceptance is recorded, of the text that was shown."""
        with self._lock:
            agreement.acceptance = agreement.acceptance or Acceptance(
                self.now(), agreement.patient, way, token_id, agreement.version, shown, agreement.digest(shown)
            )

    def add_card(self, person: Person, name: str, last4: str, expires: str) -> None:
        """The new card becomes the default."""
        with self._lock:
            self._cards += 1
            person.cards.insert(0, Card(f"card{self._cards}", name, last4, expires))

    def make_default(self, person: Person, card_id: str) -> None:
        with self._lock:
            person.cards.sort(key=lambda card: card.id != card_id)

    def remove_card(self, person: Person, card_id: str) -> bool:
        """Whether it is gone: the last card stays."""
        with self._lock:
            others = [card for card in person.cards if card.id != card_id]
            person.cards[:] = others or person.cards
            return bool(others)

    def dependents_of(self, person: Person) -> list[Person]:
        return [self.people[patient] for patient in person.dependents]

    def add_dependent(self, guardian: Person, name: str) -> Person:
        """A dependent is a patient on file, without an email address and a sign-in of its own; the same name is the
        same one."""
        with self._lock:
            for known in self.dependents_of(guardian):
                if known.name == name:
                    return known
            patient = f"{guardian.id}.{len(self.people)}"
            self.people[patient] = Person(patient, name, "", guardian.phone, guardian.address, portal_access=False)
            guardian.dependents.append(patient)
            return self.people[patient]


def maple_clinic(now: Callable[[], datetime] = utc_now) -> Records:
    """Patients with something to do for each: two on one mailbox, one of them with a
    child for whom he acts, one without portal access, one without email."""
    records = Records(now)
    for person in (
        Person("anna", "Anna Berg", "anna@example.com", "555 0101", "12 Elm Street"),
        Person("ben", "Ben Ortiz", "family@example.com", "555 0102", "3 Lake Road", "Family", ["leo"]),
        Person("leo", "Leo Ortiz", "", "555 0102", "3 Lake Road", portal_access=False),
        Person("mia", "Mia Ortiz", "family@example.com", "555 0103", "3 Lake Road"),
        Person("otto", "Otto Lind", "", "555 0105", "1 Hill Street"),
        Person("ida", "Ida Novak", "ida@example.com", "555 0104", "8 Mill Lane", portal_access=False),
    ):
        records.people[person.id] = person
        if person.id in CARDS:
            records.add_card(person, "Visa", CARDS[person.id], "09/29")
    for number, (patient, what, cents, days_ago) in enumerate(
        (
            ("anna", N_("Yearly check-up"), 12_000, 6),
            ("anna", N_("Blood test"), 4_550, 40),
            ("anna", N_("Flu vaccination"), 2_500, 75),
            ("ben", N_("Knee X-ray"), 18_900, 11),
            ("mia", N_("Eye test"), 6_000, 3),
            ("ida", N_("Hearing test"), 7_500, 2),
            ("otto", N_("Eye drops"), 1_900, 1),
            ("leo", N_("School check-up"), 3_000, 4),
        ),
        start=1001,
    ):
        on = records.today() - timedelta(days=days_ago)
        paid_on = on + timedelta(days=9) if days_ago > 30 else None
        records.invoices[f"inv_{number}"] = Invoice(f"inv_{number}", patient, what, cents, on, on + PAY_WITHIN, paid_on)
    for patient in records.people:
        agreement = Agreement(
            f"agr_{patient}",
            patient,
            N_("Visits by video"),
            "2026-1",
            (
                N_("You may talk to our doctors by video instead of coming to the clinic."),
                N_("We do not record the call. Nobody else listens in."),
                N_("You can change your mind at any time by calling us."),
            ),
        )
        records.agreements[agreement.id] = agreement
    return records
