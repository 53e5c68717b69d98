"""The languages of pages and mails: which one to use, its texts, and how it writes dates and lengths of time.

The English texts stand in the templates and in `gettext` calls; every other language is one gettext catalogue,
`locale/<language>/LC_MESSAGES/authsvc.po`, read when the process starts. To add a language, add that one file: its
name, its direction of writing, its dates and units come from the CLDR, through Babel. The tests refuse a catalogue in
which a message is missing, left over, fuzzy, or loses a placeholder.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from importlib.resources.abc import Traversable
from io import BytesIO
from zoneinfo import ZoneInfo

from babel import Locale, negotiate_locale
from babel.dates import format_date, format_time, get_datetime_format, get_time_format
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import NullTranslations, Translations
from babel.units import format_unit
from jinja2 import Environment, pass_context
from jinja2.runtime import Context

SOURCE = "en"
"""The language that the templates are written in; used where nothing better is known."""

DOMAIN = "authsvc"
CLOCK_TOLERANCE_MS = 900
"""Deadline and time of a mail are read from the clock some 20 ms apart: ten minutes less 20 ms are ten minutes."""

_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86400


@dataclass(frozen=True)
class Language:
    """One language. `tag` is as HTML writes it (BCP 47), `name` what it calls itself, `direction` `ltr` or `rtl`."""

    tag: str
    name: str
    direction: str
    locale: Locale
    translations: NullTranslations

    def gettext(self, message: str) -> str:
        return str(self.translations.gettext(message))

    def ngettext(self, singular: str, plural: str, count: int) -> str:
        return str(self.translations.ngettext(singular, plural, count))

    def pgettext(self, context: str, message: str) -> str:
        return str(self.translations.pgettext(context, message))

    def npgettext(self, context: str, singular: str, plural: str, count: int) -> str:
        return str(self.translations.npgettext(context, singular, plural, count))

    def moment(self, at_ms: int, time_zone: str = "") -> str:
        """For pages: `Nov 24, 2026, 10:04 AM` where the practice is; without a zone it is UTC, and says so."""
        at = _local(at_ms, time_zone)
        time = format_time(at, "short", tzinfo=at.tzinfo, locale=self.locale)
        date = format_date(at.date(), "medium", locale=self.locale)
        both = str(get_datetime_format("medium", locale=self.locale)).replace("'", "")
        return both.replace("{1}", date).replace("{0}", time if time_zone else f"{time} UTC")

    def long_moment(self, at_ms: int, time_zone: str = "") -> str:
        """For mails: `January 7, 2030 at 9:00 AM MST`; UTC where the practice has no time zone."""
        return self.gettext("%(date)s at %(time)s %(zone)s") % self._parts(at_ms, time_zone)

    def deadline(self, end_ms: int, start_ms: int, time_zone: str = "") -> str:
        """What follows "until" in a text that has just named `start_ms`; without the date, if it is the same day."""
        parts = self._parts(end_ms, time_zone)
        if _local(end_ms, time_zone).date() == _local(start_ms, time_zone).date():
            return self.pgettext("until", "%(time)s %(zone)s") % parts
        return self.pgettext("until", "%(date)s at %(time)s %(zone)s") % parts

    def span(self, span_s: int) -> str:
        """How long to wait: `10 minutes`, in whole units, rounded up, never less than the true time."""
        for unit, unit_s, below_s in (
            ("second", 1, _MINUTE_S),
            ("minute", _MINUTE_S, 2 * _HOUR_S),
            ("hour", _HOUR_S, 2 * _DAY_S),
        ):
            if span_s < below_s:
                return self._unit(-(-span_s // unit_s), unit)
        return self._unit(-(-span_s // _DAY_S), "day")

    def lifetime(self, span_ms: int) -> str:
        """How long something works: in the largest unit of which there are two, rounded down, never more than the true
        time."""
        span_s = (span_ms + CLOCK_TOLERANCE_MS) // 1000
        if span_s >= 2 * _DAY_S:
            return self._unit(span_s // _DAY_S, "day")
        if span_s >= 2 * _HOUR_S:
            return self._unit(span_s // _HOUR_S, "hour")
        return self._unit(max(1, span_s // _MINUTE_S), "minute")

    def _unit(self, count: int, unit: str) -> str:
        return format_unit(count, f"duration-{unit}", "long", locale=self.locale)

    def _parts(self, at_ms: int, time_zone: str) -> dict[str, str]:
        at = _local(at_ms, time_zone)
        # The zone as people there write it ("MST"); where it has no such name, by its distance ("UTC-03").
        zone = at.tzname() or ""
        pattern = str(get_time_format("short", locale=self.locale).pattern)
        if "HH" not in pattern:  # where a day has 24 hours, two digits for each: 09:00
            pattern = pattern.replace("H", "HH")
        time = format_time(at, pattern, tzinfo=at.tzinfo, locale=self.locale)
        return {
            "date": format_date(at.date(), "long", locale=self.locale),
            "time": time.replace("\u202f", " "),  # so that an English mail is plain ASCII
            "zone": f"UTC{zone}" if zone[:1] in "+-" else zone,
        }


def _local(at_ms: int, time_zone: str) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, ZoneInfo(time_zone) if time_zone else UTC)


def load(folder: Traversable) -> dict[str, Language]:
    """English, and every language that has a folder here, by tag. Raises OSError, PoFileError for a broken one."""
    languages = {SOURCE: _language(SOURCE, NullTranslations())}
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        compiled = BytesIO()
        with (entry / "LC_MESSAGES" / f"{DOMAIN}.po").open("rb") as catalogue:
            write_mo(compiled, read_po(catalogue, domain=DOMAIN, abort_invalid=True))
        compiled.seek(0)
        tag = entry.name.replace("_", "-")
        languages[tag] = _language(tag, Translations(compiled, domain=DOMAIN))
    return languages


def _language(tag: str, translations: NullTranslations) -> Language:
    locale = Locale.parse(tag, sep="-")
    name = locale.get_display_name() or tag
    return Language(tag, name[:1].upper() + name[1:], locale.text_direction, locale, translations)


LANGUAGES: dict[str, Language] = load(resources.files("authsvc") / "locale")


def language(*preferred: str) -> Language:
    """The first of these tags (`es`, `es-MX`, `es_MX`, empty) that there is a language for, else English."""
    known = {tag.lower(): one for tag, one in LANGUAGES.items()}
    found = negotiate_locale([tag.replace("_", "-") for tag in preferred if tag], list(LANGUAGES), sep="-")
    return known[found.lower()] if found else LANGUAGES[SOURCE]


# --- in templates -------------------------------------------------------------------------------------------------


def install(templates: Environment) -> None:
    """Make `{% trans %}` and the filter `span` of these templates use the variable `language` (a `Language`) that each
    is rendered with. Values are escaped where the templates escape, texts never."""
    templates.add_extension("jinja2.ext.i18n")
    templates.policies["ext.i18n.trimmed"] = True
    templates.install_gettext_callables(  # type: ignore[attr-defined]
        _bound("gettext"),
        _bound("ngettext"),
        newstyle=True,
        pgettext=_bound("pgettext"),
        npgettext=_bound("npgettext"),
    )
    templates.filters["span"] = _bound("span")


def _bound(name: str) -> object:
    """A template function that calls this method of the language it is rendered in."""

    @pass_context
    def call(context: Context, *arguments: object) -> str:
        found = context["language"]
        if not isinstance(found, Language):
            raise TypeError("a template is rendered without its language")
        return str(getattr(found, name)(*arguments))

    return call
