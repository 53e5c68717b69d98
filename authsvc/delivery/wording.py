"""How dates, spans and workflows are said to a patient, in each language that mail is written in.

The sentences themselves are templates (`templates/<language>/`); this holds what a template can't work out: months,
plurals, and the few words a mail uses for a workflow. Those words stay general on purpose: a mailbox may be read over a
shoulder, so no amount, no reason for the visit and no patient's name ever goes into a mail (45 CFR 164.502(b)).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

MINUTE_MS: Final = 60_000
HOUR_MS: Final = 60 * MINUTE_MS
DAY_MS: Final = 24 * HOUR_MS
ONE_ACT_MS: Final = 900  # how far apart the two may lie; an act takes some 20 ms


@dataclass(frozen=True)
class Purpose:
    """What a link is for: `does` completes "You can use it to …", `label` is what the button says."""

    does: str
    label: str


@dataclass(frozen=True)
class Wording:
    """One language. `date` to `until_today` are formats, `clock` one of `strftime`; units are (one, many)."""

    months: tuple[str, ...]
    date: str
    clock: str
    moment: str
    until: str
    until_today: str
    minutes: tuple[str, str]
    hours: tuple[str, str]
    days: tuple[str, str]
    purposes: dict[str, Purpose]
    any_purpose: Purpose


WORDINGS: Final[dict[str, Wording]] = {
    "en": Wording(
        months=(
            *("January", "February", "March", "April", "May", "June"),
            *("July", "August", "September", "October", "November", "December"),
        ),
        date="{month} {day}, {year}",
        clock="%I:%M %p",
        moment="{date} at {time} {zone}",
        until="{date} at {time} {zone}",
        until_today="{time} {zone}",
        minutes=("minute", "minutes"),
        hours=("hour", "hours"),
        days=("day", "days"),
        purposes={
            "pay-invoice": Purpose("view and pay an invoice", "Open the invoice"),
            "update-payment-info": Purpose("update your payment information", "Update payment information"),
            "accept-agreement": Purpose("read and accept an agreement", "Open the agreement"),
            "portal": Purpose("sign in to the patient portal", "Sign in"),
        },
        any_purpose=Purpose("see what we have prepared for you", "Open"),
    ),
    "es": Wording(
        months=(
            *("enero", "febrero", "marzo", "abril", "mayo", "junio"),
            *("julio", "agosto", "septiembre", "octubre", "noviembre", "diciembre"),
        ),
        date="{day} de {month} de {year}",
        clock="%H:%M",
        moment="{date} a las {time} {zone}",
        until="el {date} a las {time} {zone}",
        until_today="las {time} {zone}",
        minutes=("minuto", "minutos"),
        hours=("hora", "horas"),
        days=("día", "días"),
        purposes={
            "pay-invoice": Purpose("ver y pagar una factura", "Abrir la factura"),
            "update-payment-info": Purpose("actualizar sus datos de pago", "Actualizar los datos de pago"),
            "accept-agreement": Purpose("leer y aceptar un acuerdo", "Abrir el acuerdo"),
            "portal": Purpose("entrar en el portal del paciente", "Entrar"),
        },
        any_purpose=Purpose("ver lo que hemos preparado para usted", "Abrir"),
    ),
}

FALLBACK: Final = "en"


def language(*tags: str) -> str:
    """The first of the tags (`es`, `es-MX`, empty) that mail is written in, else English."""
    for tag in tags:
        primary = tag.replace("_", "-").partition("-")[0].lower()
        if primary in WORDINGS:
            return primary
    return FALLBACK


def moment(instant_ms: int, lang: str, time_zone: str) -> str:
    """An instant as a date and a time of day where the practice is; UTC, and said to be, where that isn't on file."""
    return _say(WORDINGS[lang].moment, instant_ms, lang, time_zone)


def deadline(end_ms: int, asked_ms: int, lang: str, time_zone: str) -> str:
    """What follows "until" in a mail that has just named `asked_ms`; without the date, if that is the same."""
    words = WORDINGS[lang]
    today = _local(end_ms, time_zone).date() == _local(asked_ms, time_zone).date()
    return _say(words.until_today if today else words.until, end_ms, lang, time_zone)


def span(length_ms: int, lang: str) -> str:
    """A length of time in the largest unit of which there are two. Rounded down: never more than there is.

    But for the moments between the two readings of the clock, one for the deadline, one for the queue: ten minutes
    less a few milliseconds are ten minutes.
    """
    words, length_ms = WORDINGS[lang], length_ms + ONE_ACT_MS
    if length_ms >= 2 * DAY_MS:
        count, units = length_ms // DAY_MS, words.days
    elif length_ms >= 2 * HOUR_MS:
        count, units = length_ms // HOUR_MS, words.hours
    else:
        count, units = max(1, length_ms // MINUTE_MS), words.minutes
    return f"{count} {units[count != 1]}"


def purpose(workflow: str, lang: str) -> Purpose:
    """What a link of this workflow is for; a site's own workflows share one general phrase."""
    words = WORDINGS[lang]
    return words.purposes.get(workflow, words.any_purpose)


def _local(instant_ms: int, time_zone: str) -> datetime:
    return datetime.fromtimestamp(instant_ms / 1000, ZoneInfo(time_zone) if time_zone else UTC)


def _say(pattern: str, instant_ms: int, lang: str, time_zone: str) -> str:
    words, at = WORDINGS[lang], _local(instant_ms, time_zone)
    date = words.date.format(day=at.day, month=words.months[at.month - 1], year=at.year)
    # The zone as people there write it ("MST"); where there is no such name, by its distance ("UTC-03").
    zone = at.tzname() or ""
    zone = f"UTC{zone}" if zone[:1] in "+-" else zone
    clock = f"{at:{words.clock}}"
    if words.clock.startswith("%I"):
        clock = clock.removeprefix("0")  # "8:41 AM", as people write it
    return pattern.format(date=date, time=clock, zone=zone)
