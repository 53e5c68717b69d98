"""Patients, and the challenges that prove their mailbox."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Patient:
    """A person who may sign in. `email` is as the practice wrote it, or empty; look-ups use its canonical form."""

    id: str
    email: str
    label: str = ""
    locale: str = ""
    portal_access: bool = False


@dataclass(frozen=True)
class Started:
    """A challenge was started or a code sent again. `code` is set for delivery `caller` only."""

    challenge: str
    expires_in_s: int
    resend_in_s: int
    code: str | None = None
    email_hint: str | None = None


@dataclass(frozen=True)
class Dependent:
    """That `guardian` may act for `dependent`: until an instant or without end, with these extra workflows or with all.

    The practice says so; authsvc keeps it and decides nothing about it.
    """

    guardian: str
    dependent: str
    until_ms: int | None = None
    workflows: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Choice:
    """The mailbox is proven, and there are several to go on as: (patient id, label) each. `patients` have that mailbox
    themselves; for the `dependents` one of them acts. `challenge` is empty where a session is switched."""

    challenge: str
    patients: tuple[tuple[str, str], ...]
    dependents: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Choices:
    """The same as the store has them: (patient id, sealed label)."""

    patients: tuple[tuple[str, str], ...]
    dependents: tuple[tuple[str, str], ...] = ()
