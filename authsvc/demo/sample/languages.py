"""The languages of the patients' pages: English in templates and code, every other one in a gettext catalogue.

A page speaks the language of who reads it: the patient's own (a guardian's, where one acts), as authsvc's pages and
mails do; before anybody is known, the browser's. The front desk is for the staff, and English.
"""

from __future__ import annotations

from datetime import date, datetime
from io import BytesIO
from pathlib import Path

from babel import negotiate_locale
from babel.dates import format_date
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import NullTranslations, Translations
from flask import Flask, g, request

SOURCE = "en"
FOLDER = Path(__file__).parent / "locale"
FOR_STAFF = frozenset({"billing", "tour", "inbox"})  # blueprints


def _read(language: str) -> Translations:
    compiled = BytesIO()
    with (FOLDER / language / "LC_MESSAGES" / "sample.po").open("rb") as catalogue:
        write_mo(compiled, read_po(catalogue, domain="sample", abort_invalid=True))
    compiled.seek(0)
    return Translations(compiled, domain="sample")


CATALOGUES: dict[str, NullTranslations] = {
    SOURCE: NullTranslations(),
    **{folder.name: _read(folder.name) for folder in sorted(FOLDER.iterdir())},
}


def init_app(app: Flask) -> None:
    """`{% trans %}` and `_()` in the templates, in the language of the request."""
    app.jinja_env.add_extension("jinja2.ext.i18n")
    app.jinja_env.policies["ext.i18n.trimmed"] = True
    app.jinja_env.install_gettext_callables(gettext, ngettext, newstyle=True)  # type: ignore[attr-defined]
    app.jinja_env.globals["day"] = day


def choose(own: str) -> None:
    """Settle the language of this request; `own` is that of whoever reads, empty where nobody is known."""
    accepted = [tag for tag, _ in request.accept_languages]
    preferred = [SOURCE] if request.blueprint in FOR_STAFF else [own, *accepted]
    known = negotiate_locale([tag for tag in preferred if tag], list(CATALOGUES), sep="-")
    g.language = known.lower() if known else SOURCE


def language() -> str:
    return str(g.get("language", SOURCE))


def gettext(message: str) -> str:
    return str(CATALOGUES[language()].gettext(message))


def ngettext(singular: str, plural: str, count: int) -> str:
    return str(CATALOGUES[language()].ngettext(singular, plural, count))


def N_(message: str) -> str:  # noqa: N802 - as gettext calls it
    """A text that is translated where it is shown."""
    return message


def day(at: date | datetime) -> str:
    """`November 28, 2026`."""
    return format_date(at.date() if isinstance(at, datetime) else at, "long", locale=language())
