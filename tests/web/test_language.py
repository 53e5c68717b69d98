"""In which language a page is shown."""

from __future__ import annotations

import pytest

from authsvc.model import Practice
from authsvc.web.browser.render import request_language
from tests.web.every_page import APP


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
    with APP.test_request_context(query_string={"ui_locales": ui_locales}, headers={"Accept-Language": accept}):
        assert request_language(Practice("maple", "Maple", locale=practice), own).tag == chosen
