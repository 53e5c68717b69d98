"""The language of a page: which one to speak, and how it says things.

The English texts stand in the templates; every other language is one gettext catalogue,
`locale/<language>/LC_MESSAGES/pages.po`, read when the process starts. To add a language, add its folder: its own name,
its direction of writing, its dates and spans come from the CLDR, through Babel. The tests refuse a catalogue in which
one message is missing, left over, unsure, or loses a placeholder.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from importlib.resources.abc import Traversable
from io import BytesIO
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_date, format_time, get_datetime_format
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import NullTranslations, Translations
from babel.units import format_unit
from jinja2 import Environment, pass_context
from jinja2.runtime import Context

SOURCE = "en"
"""What the templates are written in, and what is spoken where nothing better is known."""

DOMAIN = "pages"
LONGEST_WISH_CHARS = 200  # no browser asks for more; the rest of a longer header is not read

_WISH = re.compile(r"\s*([A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*)\s*(?:;\s*[Qq]\s*=\s*([01](?:\.[0-9]{0,3})?)\s*)?")
_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86400


@dataclass(frozen=True)
class Language:
    """One language that the pages speak. `tag` is as HTML writes it (BCP 47), `name` what it calls itself."""

    tag: str
    name: str
    direction: str
    locale: Locale
    translations: NullTranslations

    def moment(self, at_ms: int, time_zone: str = "") -> str:
        """`Nov 24, 2026, 10:04 AM` on the practice's clock; without a zone it is UTC, and says so."""
        zone = ZoneInfo(time_zone) if time_zone else UTC
        at = datetime.fromtimestamp(at_ms / 1000, zone)
        time = format_time(at, "short", tzinfo=zone, locale=self.locale)
        date = format_date(at.date(), "medium", locale=self.locale)
        both = str(get_datetime_format("medium", locale=self.locale)).replace("'", "")
        return both.replace("{1}", date).replace("{0}", time if time_zone else f"{time} UTC")

    def span(self, span_s: int) -> str:
        """`10 minutes`: in whole units, rounded up, so that nobody is told too little."""
        for unit, unit_s, up_to_s in (
            ("second", 1, _MINUTE_S),
            ("minute", _MINUTE_S, 2 * _HOUR_S),
            ("hour", _HOUR_S, 2 * _DAY_S),
        ):
            if span_s < up_to_s:
                return format_unit(-(-span_s // unit_s), f"duration-{unit}", "long", locale=self.locale)
        return format_unit(-(-span_s // _DAY_S), "duration-day", "long", locale=self.locale)


def read(folder: Traversable) -> dict[str, Language]:
    """Every language that has a folder here, and the source. Raises OSError, PoFileError for a broken one."""
    found = {SOURCE: _language(SOURCE, NullTranslations())}
    for one in sorted(folder.iterdir(), key=lambda entry: entry.name):
        catalogue = BytesIO()
        with (one / "LC_MESSAGES" / f"{DOMAIN}.po").open("rb") as texts:
            write_mo(catalogue, read_po(texts, domain=DOMAIN, abort_invalid=True))
        catalogue.seek(0)
        tag = one.name.replace("_", "-")
        found[tag] = _language(tag, Translations(catalogue, domain=DOMAIN))
    return found


def _language(tag: str, translations: NullTranslations) -> Language:
    locale = Locale.parse(tag, sep="-")
    name = locale.get_display_name() or tag
    return Language(tag, name[:1].upper() + name[1:], locale.text_direction, locale, translations)


LANGUAGES: Mapping[str, Language] = read(resources.files("authsvc") / "locale")


def choose(ui_locales: str = "", own: str = "", accept: str = "", practice: str = "") -> str:
    """The tag of the language to speak: what the request asks for (`ui_locales`, OpenID Connect Core §3.1.2.1), the
    patient's own, what the browser asks for (Accept-Language, RFC 9110 §12.5.4), the practice's, English.

    Give `own` only after mailbox or link have proved who it is: before, it would tell whose address this is.
    """
    for wishes in (ui_locales[:LONGEST_WISH_CHARS].split(), [own], _accepted(accept), [practice]):
        for wish in wishes:
            found = _spoken(wish)
            if found:
                return found
    return SOURCE


def _accepted(accept: str) -> list[str]:
    """The languages of an Accept-Language header, best first. What can't be read, and `*`, asks for nothing."""
    wishes = [found for part in accept[:LONGEST_WISH_CHARS].split(",") if (found := _WISH.fullmatch(part))]
    ranked = sorted(wishes, key=lambda found: -float(found[2] or 1))
    return [found[1] for found in ranked if float(found[2] or 1) > 0]


def _spoken(wish: str) -> str:
    """The language we speak for this tag, by RFC 4647 §3.4: `es-MX` is served by `es`."""
    parts = wish.replace("_", "-").lower().split("-")
    known = {tag.lower(): tag for tag in LANGUAGES}
    return next((known[part] for part in _shorter(parts) if part in known), "")


def _shorter(parts: list[str]) -> Iterator[str]:
    for length in range(len(parts), 0, -1):
        yield "-".join(parts[:length])


# --- in templates -------------------------------------------------------------------------------------------------


def install(templates: Environment) -> None:
    """Let `{% trans %}` of these templates speak the page's `language`; values are escaped, texts are ours."""
    templates.add_extension("jinja2.ext.i18n")
    templates.policies["ext.i18n.trimmed"] = True
    templates.install_gettext_callables(_gettext, _ngettext, newstyle=True)  # type: ignore[attr-defined]
    templates.filters["span"] = _span


@pass_context
def _gettext(context: Context, message: str) -> str:
    return str(_of(context).translations.gettext(message))


@pass_context
def _ngettext(context: Context, one: str, many: str, count: int) -> str:
    return str(_of(context).translations.ngettext(one, many, count))


@pass_context
def _span(context: Context, span_s: int) -> str:
    return _of(context).span(span_s)


def _of(context: Context) -> Language:
    language = context["language"]
    if not isinstance(language, Language):
        raise TypeError("a page is rendered without its language")
    return language
