"""From a message to a mail: the same bytes at every try, so that a duplicate is the same mail.

One template a kind and language holds the subject (its first line) and the paragraphs; the HTML part is made of those
same paragraphs. What a mail never holds: an amount, a diagnosis, a patient's name, the code in its subject or among the
first words (they show on a locked screen), a picture, or anything else that would be fetched.

Every value that reaches a header or a line of its own is refused, not cleaned, if it holds a line break of any
alphabet: a practice named "Maple\\r\\nBcc: …" is an attack, and its mail is not sent.
"""

from __future__ import annotations

import re
import textwrap
import unicodedata
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from email.utils import format_datetime, parseaddr
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlsplit

import idna
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup, escape

from authsvc.contrast import LIGHT, readable
from authsvc.delivery import wording
from authsvc.errors import DeliveryRefused
from authsvc.model import Message, Practice

KINDS: Final = ("code", "access-link", "link", "new-link", "address-changed", "test")
"""The kinds of message that there are templates for."""

LINE_CHARS: Final = 76  # text is wrapped here; a URL or code stands on a line of its own and is never broken
LOCAL_PART_BYTES: Final = 64  # RFC 5321 §4.5.3.1.1
ADDRESS_BYTES: Final = 254  # RFC 5321 §4.5.3.1.3, erratum 1690
COLOUR: Final = "#0b4a7d"  # of a practice that has none
DIALLED_DIGITS: Final = 5  # anything shorter is no number to dial, and might be found inside other words
HARD_LINE_BYTES: Final = 998  # RFC 5322 §2.1.1

_NEEDS_CODE: Final = frozenset({"code"})
_NEEDS_URL: Final = frozenset({"access-link", "link", "new-link"})
_UNSAFE: Final = frozenset({"Cc", "Cs", "Zl", "Zp"})  # control characters (CR, LF, NUL, NEL, …), U+2028, U+2029
_HOUR: Final = re.compile(r"\d{1,2}:\d\d(?: [AP]M)? (?:UTC\S*|[A-Z]{2,5}\b)")  # "8:41 AM MST" stays on one line
_TIE: Final = "\x1f"  # stands for a space while text is wrapped; can't be in it, being a control character
_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_CODE: Final = re.compile(r"[0-9]{6}", re.ASCII)
_LOCAL_PART: Final = re.compile(r"[^\s\"(),:;<>@\[\\\].]+(\.[^\s\"(),:;<>@\[\\\].]+)*")


_TEMPLATES: Final = Environment(
    loader=FileSystemLoader(Path(__file__).with_name("templates")),
    autoescape=select_autoescape(["html"]),
    undefined=StrictUndefined,
)


class Composer:
    """Writes mails that come from `mail_from` (`no-reply@example.org`, or `Name <no-reply@example.org>`).

    The display name is the practice's, so that the patient sees who writes; `mail_from` gives the address, and its
    domain names every Message-ID. A practice with a support address gets the answers to its mails there.
    """

    def __init__(self, mail_from: str) -> None:
        self.sender = mailbox(parseaddr(mail_from)[1])

    def compose(self, message: Message) -> EmailMessage:
        """Raises `DeliveryRefused` for a message that must not be sent as it is; the detail names the field only."""
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
            if any(unicodedata.category(character) in _UNSAFE for character in value):
                raise DeliveryRefused(f"unsafe character in {field}")
        if "=?" in practice.name + practice.sender_name:  # read back as an encoded word (RFC 2047), line breaks and all
            raise DeliveryRefused("encoded word in a name")
        if message.kind not in KINDS or not _ID.fullmatch(message.id):
            raise DeliveryRefused("unknown kind or malformed id")
        if message.kind in _NEEDS_CODE and not _CODE.fullmatch(message.code):
            raise DeliveryRefused("no code to send")
        if message.kind in _NEEDS_URL and urlsplit(message.url).scheme not in ("https", "http"):
            raise DeliveryRefused("no link to send")
        to = mailbox(message.to)
        lang = wording.language(message.locale, practice.locale)
        subject, text, html = _render(message, lang)

        mail = EmailMessage(policy=SMTP if to.addr_spec.isascii() else SMTPUTF8)
        mail["From"] = Address(practice.sender_name or practice.name, self.sender.username, self.sender.domain)
        if practice.support_email:
            mail["Reply-To"] = mailbox(practice.support_email)
        mail["To"] = to
        mail["Subject"] = subject
        mail["Date"] = format_datetime(datetime.fromtimestamp(message.queued_at_ms // 1000, UTC))
        mail["Message-ID"] = f"<{message.id}@{self.sender.domain}>"
        mail["Auto-Submitted"] = "auto-generated"  # RFC 3834 §5: no out-of-office answers
        mail["X-Auto-Response-Suppress"] = "All"  # the same for Exchange, which predates the RFC
        mail.set_content(text, cte=_encoding(text))
        mail.add_alternative(html, subtype="html", cte=_encoding(html))
        mail.set_boundary(f"=_{message.id}")  # a random one would make each try another mail
        mail["Content-Language"] = lang  # last: making the alternative moves every Content- field into the text part
        return mail


def mailbox(address: str) -> Address:
    """One address, checked and with its domain in ASCII (RFC 5891), as the next hop is told it.

    The local part stays as it was written: dots, plus signs and case may tell mailboxes apart. One with letters beyond
    ASCII is kept, and needs a next hop that speaks SMTPUTF8 (RFC 6531). Raises `DeliveryRefused`.
    """
    local, at, domain = address.strip().rpartition("@")
    if not at or not _LOCAL_PART.fullmatch(local) or len(local.encode()) > LOCAL_PART_BYTES:
        raise DeliveryRefused("not one mail address")
    try:
        name = idna.encode(domain, uts46=True, std3_rules=True).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        raise DeliveryRefused("not one mail address") from None
    if len(local.encode()) + 1 + len(name) > ADDRESS_BYTES:
        raise DeliveryRefused("address longer than 254 bytes")
    return Address(username=local, domain=name)


def _render(message: Message, lang: str) -> tuple[str, str, str]:
    """Subject, text and HTML."""
    practice, purpose = message.practice, wording.purpose(message.workflow, lang)
    words = {
        "practice": practice.name,
        "phone": practice.phone,
        "support": practice.support_email,
        "code": message.code,
        "url": message.url,
        "purpose": purpose.does,
        "asked": wording.moment(message.queued_at_ms, lang, practice.time_zone),
        "ends": wording.deadline(message.expires_at_ms, message.queued_at_ms, lang, practice.time_zone),
        "lasts": wording.span(message.expires_at_ms - message.queued_at_ms, lang),
    }
    first, *paragraphs = _paragraphs(_TEMPLATES.get_template(f"{lang}/{message.kind}.txt").render(words))
    footer = _paragraphs(_TEMPLATES.get_template(f"{lang}/footer.txt").render(words))
    subject = first.removeprefix("Subject: ")
    lines = [_fill(paragraph, practice.phone) for paragraph in [*paragraphs, *footer]]
    colour = readable(practice.colour, LIGHT) if practice.colour else COLOUR
    html = _TEMPLATES.get_template("layout.html").render(
        words,
        colour=colour,
        lang=lang,
        subject=subject,
        paragraphs=paragraphs,
        footer=footer,
        label=wording.purpose("portal" if message.kind == "access-link" else message.workflow, lang).label,
        linked=lambda paragraph: _linked(paragraph, practice, colour),
    )
    return subject, "\n\n".join(lines) + "\n", html + "\n"


def _paragraphs(text: str) -> list[str]:
    return [paragraph.strip() for paragraph in text.split("\n\n")]


def _fill(paragraph: str, phone: str) -> str:
    """Wrapped, but never inside a phone number, a time of day or a word (a URL is one)."""
    tied = _HOUR.sub(lambda found: found.group().replace(" ", _TIE), paragraph)
    if phone:
        tied = tied.replace(phone, phone.replace(" ", _TIE))
    return textwrap.fill(tied, LINE_CHARS, break_long_words=False, break_on_hyphens=False).replace(_TIE, " ")


def _linked(paragraph: str, practice: Practice, colour: str) -> Markup:
    """The paragraph as HTML, where phone number and support address can be tapped. What stands between two addresses is
    looked at for numbers, never the address itself: there may be one in it."""
    phone, support = practice.phone, practice.support_email
    if not support:
        return _with_phone(paragraph, phone, colour)
    where = quote(mailbox(support).addr_spec, safe="@")  # or `?` and `&` would add headers to the letter (RFC 6068 §2)
    link = Markup('<a href="mailto:{}" style="color:{}">{}</a>').format(where, colour, support)
    return link.join(_with_phone(part, phone, colour) for part in paragraph.split(support))


def _with_phone(paragraph: str, phone: str, colour: str) -> Markup:
    """The paragraph as HTML, with the practice's phone number as a link that dials it."""
    safe = escape(paragraph)
    digits = re.sub(r"[^0-9+]", "", re.split(r"[A-Za-z]", phone)[0])  # up to an extension
    if len(digits) < DIALLED_DIGITS:
        return safe
    shown = escape(phone)
    link = Markup('<a href="tel:{}" style="color:{}; white-space:nowrap">{}</a>').format(digits, colour, shown)
    return safe.replace(shown, link)


def _encoding(text: str) -> str:
    """Plain ASCII goes as it is, so that a code or URL is the same in the source; anything else as quoted-printable."""
    plain = text.isascii() and max(map(len, text.splitlines())) <= HARD_LINE_BYTES
    return "7bit" if plain else "quoted-printable"
