"""The patients' pages of the sample practice in Spanish: whose language counts, and that no text is missing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from babel.messages.extract import extract
from babel.messages.pofile import read_po
from jinja2.ext import babel_extract

from authsvc.demo.sample import languages
from tests.demo.maple import AGREEMENT, INVOICE, Maple, asked, mailed, opened, signed_in
from tests.harness.browsing import Browser

SAMPLE = Path(languages.__file__).parent
TEMPLATES = SAMPLE / "templates"
CATALOGUES = sorted(languages.FOLDER.glob("*/LC_MESSAGES/sample.po"))
FOR_STAFF = {"billing.html", "profile.html", "mail_log.html", "audit.html"}
KEYWORDS: dict[str, Any] = {"gettext": None, "N_": None, "_": None, "ngettext": (1, 2)}
SPANISH = "es-MX,es;q=0.9,en;q=0.5"


def wanted() -> set[str]:
    """Every text of templates and modules."""
    options = {"trimmed": "true", "newstyle_gettext": "true", "silent": "false"}
    sources: list[tuple[Any, Path]] = [(babel_extract, path) for path in TEMPLATES.iterdir()]
    sources += [("python", path) for path in SAMPLE.glob("*.py")]
    found: set[str] = set()
    for method, path in sources:
        with path.open("rb") as source:
            found |= {str(message) for _, message, *_ in extract(method, source, KEYWORDS, (), options)}
    return found


def marks(text: str) -> list[str]:
    return sorted(re.findall(r"%\(\w+\)s|<[^>]*>", text))


# --- the catalogues ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", CATALOGUES, ids=lambda path: path.parts[-3])
def test_every_text_is_translated_and_none_is_left_over(path: Path) -> None:
    with path.open("rb") as texts:
        messages = [message for message in read_po(texts, abort_invalid=True) if message.id]
    assert {message.id for message in messages} == wanted()
    assert [message.id for message in messages if message.fuzzy or not message.string] == []
    assert [message.id for message in messages if marks(message.string) != marks(message.id)] == []


def test_no_page_for_patients_has_words_outside_of_gettext() -> None:
    for template in TEMPLATES.glob("*.html"):
        if template.name in FOR_STAFF:
            continue
        text = re.sub(r"{#.*?#}|{%-?\s*trans\b.*?{%-?\s*endtrans\s*-?%}", "", template.read_text(), flags=re.DOTALL)
        text = re.sub(r"{%.*?%}|{{.*?}}|\bUTC\b", "", text, flags=re.DOTALL)
        assert not re.search(r"\w", re.sub(r"<[^>]*>", "", text)), template.name


# --- whose language ---------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def english_again(maple: Maple) -> Iterator[None]:
    """The running demo outlives these tests."""
    yield
    for patient, person in maple.records.people.items():
        if person.language != "en":
            write(maple, patient, "Write in English")


def write(maple: Maple, patient: str, button: str) -> Browser:
    desk = maple.browser()
    desk.open(f"/billing/{patient}")
    desk.press(button)
    return desk


def language_of(browser: Browser) -> str:
    found = re.search(r'<html lang="(\w+)"', browser.at.html)
    assert found
    return found.group(1)


def speaks_spanish(maple: Maple, patient: str) -> None:
    assert language_of(write(maple, patient, "Write in Spanish")) == "en"


def test_before_anybody_is_known_the_browsers_language_counts(maple: Maple) -> None:
    browser = maple.browser()
    browser.open("/signed-out")
    assert language_of(browser) == "en"
    browser.languages = SPANISH
    browser.open("/signed-out")
    assert language_of(browser) == "es"
    assert "Su sesión está cerrada" in browser.at.text


def test_then_the_patients_own_and_the_front_desk_stays_english(maple: Maple) -> None:
    speaks_spanish(maple, "anna")
    browser = signed_in(maple)
    assert (language_of(browser), "Hola, Anna Berg" in browser.at.text) == ("es", True)
    browser.open("/portal/contact")
    browser.press("Guardar", phone="")
    assert "Por favor, escriba un número, como 555 0101." in browser.at.text
    browser.languages = SPANISH
    browser.open("/billing")
    assert (language_of(browser), "Front desk" in browser.at.text) == ("en", True)


def test_a_guardian_who_acts_reads_her_own_language(maple: Maple) -> None:
    speaks_spanish(maple, "ben")
    browser, code = asked(maple, "family@example.com")
    browser.press("", code=code)
    browser.press("", patient="leo")
    assert language_of(browser) == "es"
    assert "Ben Ortiz, usted actúa en nombre de Leo Ortiz" in browser.at.text


def test_what_a_link_opens_is_in_the_patients_language_too(maple: Maple) -> None:
    speaks_spanish(maple, "anna")
    browser = maple.browser()
    browser.open(mailed(maple, **INVOICE))
    browser.press("")
    assert "Pagar $120.00" in [button.words for form in browser.at.forms for button in form.buttons]
    assert "Revisión anual" in browser.at.text


def test_on_record_is_the_text_that_was_shown(maple: Maple) -> None:
    speaks_spanish(maple, "anna")
    agreement = maple.records.agreements["agr_anna"]
    browser = maple.browser()
    browser.open(mailed(maple, **AGREEMENT))
    browser.press("")
    browser.press("Acepto")
    accepted = agreement.acceptance
    assert accepted
    assert accepted.text[0] == "Consultas por video"
    assert accepted.digest == agreement.digest(accepted.text) != agreement.digest((agreement.title, *agreement.text))
    copy = browser.open("/agreement/agr_anna/copy").text
    assert all(line in copy for line in accepted.text)


def test_an_english_reader_sees_what_she_saw_before(maple: Maple) -> None:
    browser = opened(maple, mailed(maple, **INVOICE))
    assert language_of(browser) == "en"
    assert "Yearly check-up" in browser.at.text
