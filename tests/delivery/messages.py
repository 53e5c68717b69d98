"""The message that the tests of delivery send."""

from __future__ import annotations

import dataclasses
from email.message import EmailMessage

from authsvc.model import Message, Practice
from tests.fakes import NINE_O_CLOCK_MS

QUEUED_MS = NINE_O_CLOCK_MS  # Monday, January 7, 2030, 09:00 UTC
PRACTICE = Practice(id="maple", name="Maple Clinic", phone="+1 (555) 010-0199", locale="en")
URL = "https://sign.example/p/maple/l/al_q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA"


def message(kind: str = "code", **changes: object) -> Message:
    """A code for Anna, or another kind of message; `changes` by field."""
    life_ms = 600_000 if kind in ("code", "email-change") else 72 * 3_600_000
    base = Message(
        id="Zm9vYmFyYmF6cXV4MTIzNA",
        practice=PRACTICE,
        kind=kind,
        channel="email",
        to="anna@example.org",
        locale="en",
        queued_at_ms=QUEUED_MS,
        until_ms=QUEUED_MS + life_ms,
        expires_at_ms=QUEUED_MS + life_ms,
        code="042917" if kind in ("code", "email-change") else "",
        url=URL if "link" in kind else "",
        workflow="pay-invoice" if kind in ("link", "new-link") else "",
    )
    return dataclasses.replace(base, **changes)  # type: ignore[arg-type]  # tests name the fields


def text_of(mail: EmailMessage) -> str:
    """The text part, decoded."""
    return _part(mail, "plain")


def html_of(mail: EmailMessage) -> str:
    """The HTML part, decoded."""
    return _part(mail, "html")


def _part(mail: EmailMessage, subtype: str) -> str:
    part = mail.get_body((subtype,))
    assert part is not None
    return str(part.get_content()).replace("\r\n", "\n")
