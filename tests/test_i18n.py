"""The languages of pages and mails: which one is chosen, and that each has every text."""

from __future__ import annotations

import re
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from babel.messages.catalog import Catalog
from babel.messages.extract import extract
from babel.messages.pofile import PoFileError, read_po, write_po
from jinja2 import Environment
from jinja2.ext import babel_extract

from authsvc import i18n
from authsvc.delivery.compose import Composer
from authsvc.delivery.texts import KINDS
from authsvc.i18n import LANGUAGES, language
from tests.delivery import messages
from tests.web.every_page import every_page, render_example

PACKAGE = Path(str(resources.files("authsvc")))
PAGES = PACKAGE / "web" / "templates" / "pages"
TEMPLATES = [PAGES, PACKAGE / "delivery" / "templates"]
CATALOGUES = sorted((PACKAGE / "locale").glob("*/LC_MESSAGES/authsvc.po"))
KEYWORDS: dict[str, Any] = {
    "gettext": None,
    "ngettext": (1, 2),
    "pgettext": ((1, "c"), 2),
    "npgettext": ((1, "c"), 2, 3),
}
NOON_MS = 1_795_000_000_000  # 2026-11-18T11:06:40Z

# --- every text in every language ---------------------------------------------------------------------------------


def key(message: str | tuple[str, ...] | list[str], context: str | None = None) -> tuple[str, ...]:
    """(context, message, its plural or nothing)."""
    texts = [message, ""] if isinstance(message, str) else list(message)
    return (context or "", *texts)


@cache
def wanted() -> set[tuple[str, ...]]:
    """Every message of templates and modules."""
    found = set()
    options = {"trimmed": "true", "newstyle_gettext": "true", "silent": "false"}
    sources: list[tuple[Any, Path]] = [(babel_extract, path) for folder in TEMPLATES for path in folder.rglob("*.*")]
    sources += [("python", PACKAGE / "i18n.py"), *(("python", path) for path in (PACKAGE / "delivery").glob("*.py"))]
    for method, path in sources:
        with path.open("rb") as source:
            for _, message, _, context in extract(method, source, KEYWORDS, (), options):
                found.add(key(message, context))
    return found


def catalogue(path: Path) -> Catalog:
    with path.open("rb") as texts:
        return read_po(texts, abort_invalid=True)


def texts_of(message: Any) -> list[str]:
    return [message.string] if isinstance(message.string, str) else list(message.string)


def marks(text: str) -> list[str]:
    """What of a text is no language: placeholders, tags and entities."""
    return sorted(re.findall(r"%\(\w+\)s|%|<[^>]*>|&\w+;", text))


def test_the_templates_use_gettext() -> None:
    assert len(wanted()) > 50
    assert CATALOGUES


def test_no_template_has_words_outside_of_gettext() -> None:
    """Between tags, after everything that Jinja writes is taken out, there is nothing left to translate."""
    for template in PAGES.glob("*.html"):
        text = re.sub(r"{#.*?#}", "", template.read_text(encoding="utf-8"), flags=re.DOTALL)
        text = re.sub(r"{%-?\s*trans\b.*?{%-?\s*endtrans\s*-?%}", "", text, flags=re.DOTALL)
        text = re.sub(r"{%.*?%}|{{.*?}}", "", text, flags=re.DOTALL)
        assert not re.search(r"\w", re.sub(r"<[^>]*>", "", text)), (template.name, text)


@pytest.mark.parametrize("path", CATALOGUES, ids=lambda path: path.parts[-3])
def test_every_text_is_translated_and_none_is_left_over(path: Path) -> None:
    messages = [message for message in catalogue(path) if message.id]
    assert [message.id for message in messages if message.fuzzy] == []
    assert [message.id for message in messages if not all(text.strip() for text in texts_of(message))] == []
    assert {key(message.id, message.context) for message in messages} == wanted()


@pytest.mark.parametrize("path", CATALOGUES, ids=lambda path: path.parts[-3])
def test_a_translation_keeps_placeholders_and_brings_no_html(path: Path) -> None:
    for message in catalogue(path):
        if message.id:
            one = message.id if isinstance(message.id, str) else message.id[0]
            assert all(marks(text) == marks(one) for text in texts_of(message)), one


@pytest.mark.parametrize("path", CATALOGUES, ids=lambda path: path.parts[-3])
def test_a_catalogue_has_a_text_for_every_plural_of_its_language(path: Path) -> None:
    texts = catalogue(path)
    assert texts.obsolete == {}
    assert str(texts.locale) == path.parts[-3]
    assert all(isinstance(one.id, str) or len(texts_of(one)) == texts.num_plurals for one in texts)


def test_a_new_language_is_a_new_folder_with_its_own_name_and_direction(tmp_path: Path) -> None:
    for name in ("ar", "pt_BR"):
        folder = tmp_path / name / "LC_MESSAGES"
        folder.mkdir(parents=True)
        text = 'msgid ""\nmsgstr "Content-Type: text/plain; charset=UTF-8\\n"\n\nmsgid "Continue"\nmsgstr "»"\n'
        (folder / "authsvc.po").write_text(text, encoding="utf-8")
    found = i18n.load(tmp_path)
    assert list(found) == ["en", "ar", "pt-BR"]
    assert (found["ar"].direction, found["ar"].name) == ("rtl", "العربية")
    assert (found["pt-BR"].direction, found["pt-BR"].name) == ("ltr", "Português (Brasil)")
    assert found["pt-BR"].translations.gettext("Continue") == "»"
    assert found["en"].translations.gettext("Continue") == "Continue"


@pytest.fixture
def pseudo_language(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """One more file: a catalogue with every text of the Spanish one, each in double brackets."""
    texts = catalogue(CATALOGUES[0])
    pseudo = Catalog(locale="eo")
    for message in texts:
        if message.id:
            ids = [message.id] if isinstance(message.id, str) else list(message.id)
            strings = [f"⟦{text}⟧" for text in ids]
            pseudo.add(message.id, strings[0] if len(strings) == 1 else tuple(strings), context=message.context)
    folder = tmp_path / "eo" / "LC_MESSAGES"
    folder.mkdir(parents=True)
    with (folder / "authsvc.po").open("wb") as file:
        write_po(file, pseudo)
    monkeypatch.setitem(LANGUAGES, "eo", i18n.load(tmp_path)["eo"])
    return "eo"


def test_a_pseudo_language_is_one_file_and_every_page_is_in_it(pseudo_language: str) -> None:
    for _, template, values in every_page(pseudo_language):
        html = render_example(template, lang=pseudo_language, **values).get_data(as_text=True)
        assert "⟦" in html
        assert english_in(re.sub("⟦.*?⟧", "", html, flags=re.DOTALL)) == [], template


def test_every_mail_is_in_it_too(pseudo_language: str) -> None:
    for kind in KINDS:
        mail = Composer("no-reply@example.org").compose(messages.message(kind, locale=pseudo_language))
        assert english_in(re.sub("⟦.*?⟧", "", mail.html, flags=re.DOTALL)) == [], kind
        assert "⟦" in mail.subject
        assert "⟦" in mail.text


def english_in(text: str) -> list[str]:
    return [message for _, message, *_ in wanted() if "%(" not in message and f">{message}" in text]


def test_a_broken_catalogue_stops_the_start(tmp_path: Path) -> None:
    folder = tmp_path / "es" / "LC_MESSAGES"
    folder.mkdir(parents=True)
    (folder / "authsvc.po").write_text("nonsense\n", encoding="utf-8")
    with pytest.raises(PoFileError):
        i18n.load(tmp_path)
    (folder / "authsvc.po").unlink()
    with pytest.raises(OSError, match=r"authsvc\.po"):
        i18n.load(tmp_path)


def test_the_languages_there_are() -> None:
    assert [(one.tag, one.name, one.direction) for one in LANGUAGES.values()] == [
        ("en", "English", "ltr"),
        ("es", "Español", "ltr"),
    ]


# --- the choice ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "preferred,chosen",
    [
        ([], "en"),
        (["es"], "es"),
        (["fr-CA", "es-419", "en"], "es"),
        (["", "es_MX", "en"], "es"),
        (["<script>", "ES"], "es"),
        (["fr"], "en"),
        (["\u202e", "x" * 300], "en"),
    ],
)
def test_the_first_preferred_language_that_there_is_counts(preferred: list[str], chosen: str) -> None:
    assert language(*preferred).tag == chosen


# --- dates and spans ----------------------------------------------------------------------------------------------


def test_a_moment_is_on_the_practices_clock_or_says_utc() -> None:
    english, spanish = LANGUAGES["en"], LANGUAGES["es"]
    assert english.moment(NOON_MS, "America/Phoenix") == "Nov 18, 2026, 4:06\u202fAM"
    assert english.moment(NOON_MS) == "Nov 18, 2026, 11:06\u202fAM UTC"
    assert spanish.moment(NOON_MS, "Europe/Madrid") == "18 nov 2026, 12:06"
    assert spanish.moment(NOON_MS) == "18 nov 2026, 11:06 UTC"


@pytest.mark.parametrize(
    "span_s,english,spanish",
    [
        (1, "1 second", "1 segundo"),
        (59, "59 seconds", "59 segundos"),
        (60, "1 minute", "1 minuto"),
        (61, "2 minutes", "2 minutos"),
        (600, "10 minutes", "10 minutos"),
        (5400, "90 minutes", "90 minutos"),
        (7200, "2 hours", "2 horas"),
        (86400, "24 hours", "24 horas"),
        (172801, "3 days", "3 días"),
    ],
)
def test_a_span_is_rounded_up_so_that_nobody_is_told_too_little(span_s: int, english: str, spanish: str) -> None:
    assert LANGUAGES["en"].span(span_s) == english
    assert LANGUAGES["es"].span(span_s) == spanish


def test_mails_name_a_moment_in_full_with_the_zone_of_the_practice() -> None:
    english, spanish = LANGUAGES["en"], LANGUAGES["es"]
    assert english.long_moment(NOON_MS) == "November 18, 2026 at 11:06 AM UTC"
    assert english.long_moment(NOON_MS, "America/Sao_Paulo") == "November 18, 2026 at 8:06 AM UTC-03"
    assert spanish.long_moment(NOON_MS, "America/Phoenix") == "18 de noviembre de 2026 a las 04:06 MST"


def test_a_deadline_on_the_same_day_is_a_time_of_day() -> None:
    english, spanish = LANGUAGES["en"], LANGUAGES["es"]
    hour_ms = 3_600_000
    assert english.deadline(NOON_MS + hour_ms, NOON_MS) == "12:06 PM UTC"
    assert spanish.deadline(NOON_MS + hour_ms, NOON_MS) == "las 12:06 UTC"
    # 13 hours later it is still the same day in Phoenix, and the next one in Madrid.
    assert english.deadline(NOON_MS + 13 * hour_ms, NOON_MS, "America/Phoenix") == "5:06 PM MST"
    assert (
        spanish.deadline(NOON_MS + 13 * hour_ms, NOON_MS, "Europe/Madrid")
        == "el 19 de noviembre de 2026 a las 01:06 CET"
    )


@pytest.mark.parametrize(
    "span_s,expected",
    [
        (30, "1 minute"),
        (600 - 0.04, "10 minutes"),
        (7199, "119 minutes"),
        (7200, "2 hours"),
        (172_799, "47 hours"),
        (3 * 86_400 - 0.04, "3 days"),
    ],
)
def test_a_lifetime_is_rounded_down_so_that_nobody_is_promised_too_much(span_s: float, expected: str) -> None:
    assert LANGUAGES["en"].lifetime(int(span_s * 1000)) == expected


# --- in templates -------------------------------------------------------------------------------------------------


def rendered(text: str, tag: str, **values: Any) -> str:
    templates = Environment(autoescape=True)
    i18n.install(templates)
    return templates.from_string(text).render(language=LANGUAGES[tag], **values)


def test_a_template_speaks_the_language_of_its_page_and_escapes_what_it_is_given() -> None:
    text = "{% trans name=name %}Go on to {{ name }}{% endtrans %}, {{ 600|span }}"
    assert rendered(text, "es", name="<b>") == "Seguir a &lt;b&gt;, 10 minutos"
    assert rendered(text, "en", name="Maple") == "Go on to Maple, 10 minutes"


def test_plurals_are_those_of_the_language() -> None:
    one, many = "You have {{ count }} try left.", "You have {{ count }} tries left."
    text = f"{{% trans count=n %}}{one}{{% pluralize %}}{many}{{% endtrans %}}"
    assert [rendered(text, "es", n=n) for n in (1, 4)] == ["Le queda 1 intento.", "Le quedan 4 intentos."]
    assert [rendered(text, "en", n=n) for n in (1, 4)] == ["You have 1 try left.", "You have 4 tries left."]


def test_a_page_without_a_language_is_a_fault() -> None:
    templates = Environment(autoescape=True)
    i18n.install(templates)
    with pytest.raises(TypeError, match="without its language"):
        templates.from_string("{% trans %}Continue{% endtrans %}").render(language="en")
