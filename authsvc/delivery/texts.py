"""The texts of a mail: subject, plain text and HTML, in the language of its reader.

One template a kind holds the subject (its first line) and the paragraphs, in English; other languages are in the
gettext catalogues, as for the pages. The HTML part is made of the same paragraphs.
"""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup, escape

from authsvc import i18n, mailbox
from authsvc.contrast import LIGHT, readable
from authsvc.errors import DeliveryRefused
from authsvc.model import Message, Practice
from authsvc.text import tel

KINDS: Final = ("code", "access-link", "link", "new-link", "address-changed", "email-change", "test")
"""The kinds of message that there are templates for."""

LINE_CHARS: Final = 76  # text is wrapped here; a URL or code stands on a line of its own and is never broken
MINUTE_MS: Final = 60_000
COLOUR: Final = "#0b4a7d"  # of a practice that has none

_HOUR: Final = re.compile(r"\d{1,2}:\d\d(?: [AP]M)? (?:UTC\S*|[A-Z]{2,5}\b)")  # "8:41 AM MST" stays on one line
_CODE: Final = "\x02"  # stand for code and URL in what is cached; can't be in it either
_URL: Final = "\x03"
_TIE: Final = "\x1f"  # stands for a space while text is wrapped; can't be in it, being a control character

_TEMPLATES: Final = Environment(
    loader=FileSystemLoader(Path(__file__).with_name("templates")),
    autoescape=select_autoescape(["html"]),
    undefined=StrictUndefined,
    auto_reload=False,
)
i18n.install(_TEMPLATES)


@dataclass(frozen=True)
class MailTexts:
    """What one mail says. `language` is a BCP 47 tag."""

    language: str
    subject: str
    text: str
    html: str


def render(message: Message) -> MailTexts:
    """The texts of this message, in its own language, the practice's, or English. Raises `DeliveryRefused`."""
    practice = message.practice
    requested_ms, ends_ms = message.queued_at_ms, message.expires_at_ms
    lasts_s = (ends_ms - requested_ms + i18n.CLOCK_TOLERANCE_MS) // 1000
    tag = i18n.language(message.locale, practice.locale).tag
    minutes = requested_ms // MINUTE_MS, ends_ms // MINUTE_MS
    drawn = _draw(
        message.kind, message.workflow, bool(message.code), bool(message.url), tag, practice, *minutes, lasts_s
    )
    text = drawn.text.replace(_CODE, message.code).replace(_URL, message.url)
    html = drawn.html.replace(_CODE, message.code).replace(_URL, escape(message.url))
    return MailTexts(tag, drawn.subject, text, html)


@lru_cache(maxsize=256)  # the codes of a minute differ in nothing but the code: a mail in a burst costs a third
def _draw(
    kind: str,
    workflow: str,
    has_code: bool,
    has_url: bool,
    tag: str,
    practice: Practice,
    requested_minute: int,
    ends_minute: int,
    lasts_s: int,
) -> MailTexts:
    """The texts with marks where code and URL go: no secret is in this cache."""
    language = i18n.LANGUAGES[tag]
    requested_ms, ends_ms = requested_minute * MINUTE_MS, ends_minute * MINUTE_MS
    words = {
        "language": language,
        "practice": practice.name,
        "phone": practice.phone,
        "support": practice.support_email,
        "code": _CODE if has_code else "",
        "url": _URL if has_url else "",
        "workflow": workflow,
        "asked": language.long_moment(requested_ms, practice.time_zone),
        "ends": language.deadline(ends_ms, requested_ms, practice.time_zone),
        "lasts": language.lifetime(lasts_s * 1000 - i18n.CLOCK_TOLERANCE_MS),
    }
    first, *paragraphs = _paragraphs(f"{kind}.txt", words)
    footer = _paragraphs("footer.txt", words)
    subject = first.removeprefix("Subject: ")
    colour = readable(practice.colour, LIGHT) if practice.colour else COLOUR
    html = _TEMPLATES.get_template("layout.html").render(
        words,
        colour=colour,
        subject=subject,
        paragraphs=paragraphs,
        footer=footer,
        button_workflow="portal" if kind == "access-link" else workflow,
        linked=lambda paragraph: _linked(paragraph, practice, colour),
    )
    lines = [_fill(paragraph, practice.phone) for paragraph in [*paragraphs, *footer]]
    return MailTexts(tag, subject, "\n\n".join(lines) + "\n", html + "\n")


def _paragraphs(template: str, words: dict[str, object]) -> list[str]:
    return [paragraph.strip() for paragraph in _TEMPLATES.get_template(template).render(words).split("\n\n")]


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
    try:
        address = mailbox.parse(support).addr_spec
    except ValueError:
        raise DeliveryRefused("support address is not one mail address") from None
    where = quote(address, safe="@")  # or `?` and `&` would add headers to the letter (RFC 6068 §2)
    link = Markup('<a href="mailto:{}" style="color:{}">{}</a>').format(where, colour, support)
    return link.join(_with_phone(part, phone, colour) for part in paragraph.split(support))


def _with_phone(paragraph: str, phone: str, colour: str) -> Markup:
    """The paragraph as HTML, with the practice's phone number as a link that dials it."""
    safe, shown = escape(paragraph), escape(phone)
    if not (number := tel(phone)):
        return safe
    link = Markup('<a href="{}" style="color:{}; white-space:nowrap">{}</a>').format(number, colour, shown)
    return safe.replace(shown, link)
