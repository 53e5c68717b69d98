"""The languages of the pages: which one is spoken, and that each says everything."""

from __future__ import annotations

import re
from importlib import resources
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from babel.messages.catalog import Catalog
from babel.messages.pofile import PoFileError, read_po
from jinja2 import Environment
from jinja2.ext import babel_extract

from authsvc import i18n
from authsvc.i18n import LANGUAGES, choose

LOCALE = Path(str(resources.files("authsvc") / "locale"))
PAGES = Path(str(resources.files("authsvc.web") / "templates" / "pages"))
CATALOGUES = sorted(LOCALE.glob("*/LC_MESSAGES/pages.po"))
NOON_MS = 1_795_000_000_000  # 2026-11-18T11:06:40Z

# --- every text in every language ---------------------------------------------------------------------------------


def asked() -> dict[str, str]:
    """message → its plural, or nothing: what the templates say."""
    found: dict[str, str] = {}
    options = {"trimmed": "true", "newstyle_gettext": "true", "silent": "false"}
    for template in sorted(PAGES.glob("*.html")):
        source = BytesIO(template.read_bytes())
        for _, function, message, _ in babel_extract(source, ("gettext", "ngettext"), (), options):
            one, many = (message, "") if isinstance(message, str) else (str(message[0]), str(message[1] or ""))
            found[one] = many if function == "ngettext" else ""
    return found


def catalogue(path: Path) -> Catalog:
    with path.open("rb") as texts:
        return read_po(texts, abort_invalid=True)


def said(message: Any) -> list[str]:
    return [message.string] if isinstance(message.string, str) else list(message.string)


def marks(text: str) -> list[str]:
    """What of a text is no language: placeholders, tags and entities."""
    return sorted(re.findall(r"%\(\w+\)s|%|<[^>]*>|&\w+;", text))


def test_the_templates_speak_through_gettext() -> None:
    assert len(asked()) > 50
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
    wanted, found = asked(), {}
    for message in catalogue(path):
        if message.id:
            one = message.id if isinstance(message.id, str) else message.id[0]
            found[one] = "" if isinstance(message.id, str) else message.id[1]
            assert not message.fuzzy, one
            assert all(text.strip() for text in said(message)), one
    assert found == wanted


@pytest.mark.parametrize("path", CATALOGUES, ids=lambda path: path.parts[-3])
def test_a_translation_keeps_placeholders_and_brings_no_html(path: Path) -> None:
    for message in catalogue(path):
        if message.id:
            one = message.id if isinstance(message.id, str) else message.id[0]
            assert all(marks(text) == marks(one) for text in said(message)), one


@pytest.mark.parametrize("path", CATALOGUES, ids=lambda path: path.parts[-3])
def test_a_catalogue_has_a_text_for_every_plural_of_its_language(path: Path) -> None:
    texts = catalogue(path)
    assert texts.obsolete == {}
    assert str(texts.locale) == path.parts[-3]
    assert all(isinstance(one.id, str) or len(said(one)) == texts.num_plurals for one in texts)


def test_a_new_language_is_a_new_folder_with_its_own_name_and_direction(tmp_path: Path) -> None:
    for name in ("ar", "pt_BR"):
        folder = tmp_path / name / "LC_MESSAGES"
        folder.mkdir(parents=True)
        text = 'msgid ""\nmsgstr "Content-Type: text/plain; charset=UTF-8\\n"\n\nmsgid "Continue"\nmsgstr "»"\n'
        (folder / "pages.po").write_text(text, encoding="utf-8")
    found = i18n.read(tmp_path)
    assert list(found) == ["en", "ar", "pt-BR"]
    assert (found["ar"].direction, found["ar"].name) == ("rtl", "العربية")
    assert (found["pt-BR"].direction, found["pt-BR"].name) == ("ltr", "Português (Brasil)")
    assert found["pt-BR"].translations.gettext("Continue") == "»"
    assert found["en"].translations.gettext("Continue") == "Continue"


def test_a_broken_catalogue_stops_the_start(tmp_path: Path) -> None:
    folder = tmp_path / "es" / "LC_MESSAGES"
    folder.mkdir(parents=True)
    (folder / "pages.po").write_text("nonsense\n", encoding="utf-8")
    with pytest.raises(PoFileError):
        i18n.read(tmp_path)
    (folder / "pages.po").unlink()
    with pytest.raises(OSError, match=r"pages\.po"):
        i18n.read(tmp_path)


def test_the_languages_there_are() -> None:
    assert [(one.tag, one.name, one.direction) for one in LANGUAGES.values()] == [
        ("en", "English", "ltr"),
        ("es", "Español", "ltr"),
    ]


# --- the choice ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "ui_locales,own,accept,practice,chosen",
    [
        ("", "", "", "", "en"),
        ("es", "en", "en", "en", "es"),
        ("fr-CA es-419 en", "en", "en", "en", "es"),
        ("fr", "es", "en", "en", "es"),
        ("", "es-MX", "en", "en", "es"),
        ("", "es_MX", "en", "en", "es"),
        ("", "fr", "es", "en", "es"),
        ("", "", "es-MX,es;q=0.9,en;q=0.8", "en", "es"),
        ("", "", "en;q=0.5, es;q=0.9", "en", "es"),
        ("", "", "es;q=0.5, en;q=0.50", "es", "es"),
        ("", "", "fr, de;q=0.9", "es", "es"),
        ("", "", "es;q=0", "en", "en"),
        ("", "", "*", "es", "es"),
        ("", "", "es;q=nonsense", "en", "en"),
        ("", "", "<script>", "ES", "es"),
        ("", "", "", "es-MX", "es"),
        ("", "", "", "fr", "en"),
        ('"><script>', "\u202e", ",;,", "", "en"),
        ("x" * 300 + " es", "", "x," * 150 + "es", "", "en"),
    ],
)
def test_the_request_chooses_then_the_patient_then_the_browser_then_the_practice(
    ui_locales: str, own: str, accept: str, practice: str, chosen: str
) -> None:
    assert choose(ui_locales, own, accept, practice) == chosen


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
