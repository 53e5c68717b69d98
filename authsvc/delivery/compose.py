"""From a message to a mail: the same bytes at every try, so that a duplicate is the same mail.

What a mail never holds: an amount, a diagnosis, a patient's name, the code in its subject or among the first words
(they show on a locked screen), a picture, or anything else that would be fetched. A mailbox may be read over a
shoulder, so the words for a workflow stay general (45 CFR 164.502(b)).

Every value that reaches a header or a line of its own is refused, not cleaned, if it holds a line break of any
alphabet: a practice named "Maple\\r\\nBcc: …" is an attack, and its mail is not sent.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime, parseaddr
from typing import Final
from urllib.parse import urlsplit

from authsvc import mailbox as mailboxes
from authsvc.delivery import headers, texts
from authsvc.errors import DeliveryRefused
from authsvc.mailbox import Mailbox
from authsvc.model import Message
from authsvc.text import CONTROL, PUBLIC_ID

HARD_LINE_BYTES: Final = 998  # RFC 5322 §2.1.1

_NEEDS_CODE: Final = frozenset({"code", "email-change"})
_NEEDS_URL: Final = frozenset({"access-link", "link", "new-link"})
_CODE: Final = re.compile(r"[0-9]{6}", re.ASCII)


@dataclass(frozen=True)
class Mail:
    """A composed mail. `fields` are its header fields as they are sent, `text` and `html` its two parts, decoded."""

    to: Mailbox
    sender: str
    subject: str
    text: str
    html: str
    fields: tuple[tuple[str, str], ...]
    boundary: str

    def as_bytes(self, more: Iterable[tuple[str, str]] = ()) -> bytes:
        """RFC 5322, with CRLF everywhere; `more` are fields to add. UTF-8 where the address is not ASCII (RFC 6532)."""
        head = "".join(f"{name}: {value}\r\n" for name, value in (*self.fields, *more))
        parts = _part("plain", self.text, self.boundary) + _part("html", self.html, self.boundary)
        return head.encode() + b"\r\n" + parts + f"--{self.boundary}--\r\n".encode()


class Composer:
    """Writes mails that come from `mail_from` (`no-reply@example.org`, or `Name <no-reply@example.org>`).

    The display name is the practice's, so that the patient sees who writes; `mail_from` gives the address, and its
    domain names every Message-ID. A practice with a support address gets the answers to its mails there.
    """

    def __init__(self, mail_from: str) -> None:
        self.sender = mailbox(parseaddr(mail_from)[1])

    def compose(self, message: Message) -> Mail:
        """Raises `DeliveryRefused` for a message that must not be sent as it is; the detail names the field only."""
        practice = message.practice
        _check(message)
        to = mailbox(message.to)
        name = practice.sender_name or practice.name
        words = texts.render(message)
        try:
            sender, subject = headers.sender(name, self.sender.addr_spec), headers.text(words.subject)
        except ValueError:
            raise DeliveryRefused("a name that can't be written in a header") from None
        boundary = f"=_{message.id}"  # a random one would make each try another mail
        queued_at = datetime.fromtimestamp(message.queued_at_ms // 1000, UTC)
        fields = [
            ("From", sender),
            ("To", to.addr_spec),
            ("Subject", subject),
            ("Date", format_datetime(queued_at)),
            ("Message-ID", f"<{message.id}@{self.sender.domain}>"),
            ("Auto-Submitted", "auto-generated"),  # RFC 3834 §5: no out-of-office answers
            ("X-Auto-Response-Suppress", "All"),  # the same for Exchange, which predates the RFC
            ("Content-Language", words.language),
            ("MIME-Version", "1.0"),
            ("Content-Type", f'multipart/alternative; boundary="{boundary}"'),
        ]
        if practice.support_email:
            fields.insert(1, ("Reply-To", mailbox(practice.support_email).addr_spec))
        shown = f"{name} <{self.sender.addr_spec}>"
        return Mail(to, shown, words.subject, words.text, words.html, tuple(fields), boundary)


def mailbox(address: str) -> Mailbox:
    """One address, as the next hop gets it. The local part stays as it was written: dots, plus signs and case may tell
    mailboxes apart. Raises `DeliveryRefused`."""
    try:
        return mailboxes.parse(address.strip())
    except ValueError as problem:
        raise DeliveryRefused(f"not one mail address: it {problem}") from None


def _check(message: Message) -> None:
    practice = message.practice
    for field, value in (
        ("practice name", practice.name),
        ("practice phone", practice.phone),
        ("sender name", practice.sender_name),
        ("support address", practice.support_email),
        ("address", message.to),
        ("url", message.url),
        ("code", message.code),
    ):
        if CONTROL.search(value):
            raise DeliveryRefused(f"unsafe character in {field}")
    if "=?" in practice.name + practice.sender_name:  # read back as an encoded word (RFC 2047), line breaks and all
        raise DeliveryRefused("encoded word in a name")
    if message.kind not in texts.KINDS or not re.fullmatch(PUBLIC_ID, message.id, re.ASCII):
        raise DeliveryRefused("unknown kind or malformed id")
    if message.kind in _NEEDS_CODE and not _CODE.fullmatch(message.code):
        raise DeliveryRefused("no code to send")
    if message.kind in _NEEDS_URL and urlsplit(message.url).scheme not in ("https", "http"):
        raise DeliveryRefused("no link to send")


def _part(subtype: str, text: str, boundary: str) -> bytes:
    """One part of the body. Plain ASCII goes as it is, so that a code or URL is the same in the source; anything else
    as quoted-printable."""
    data = text.replace("\n", "\r\n").encode()
    if text.isascii() and max(map(len, text.splitlines())) <= HARD_LINE_BYTES:
        charset, encoding = "us-ascii", "7bit"
    else:
        charset, encoding, data = "utf-8", "quoted-printable", binascii.b2a_qp(data)
    head = f'Content-Type: text/{subtype}; charset="{charset}"\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n'
    return f"--{boundary}\r\n{head}".encode() + data + b"\r\n"
