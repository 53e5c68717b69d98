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
class Choice:
    """The mailbox is proven and several patients share it."""

    challenge: str
    patients: tuple[tuple[str, str], ...]  # (patient id, label)


@dataclass(frozen=True)
class Choices:
    """The patients of a proven mailbox, as the store has them: (patient id, sealed label)."""

    patients: tuple[tuple[str, str], ...]
