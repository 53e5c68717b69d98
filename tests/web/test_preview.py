"""The pages of a practice as files: all of them, as patients get them, and whole without a server."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import PurePosixPath

import pytest
from flask import template_rendered

from authsvc.flows.logos import prepared
from authsvc.i18n import LANGUAGES
from authsvc.web.pages.preview import preview
from tests.pictures import picture
from tests.web.conftest import Web

SCHEMES = ("light", "dark")


@pytest.fixture
def files(web: Web) -> dict[str, str]:
    """Of a practice with everything that it may have."""
    practice = web.service.practices.set(
        "maple",
        actor="cli:test",
        phone="+1 555 0100",
        support_email="help@maple.example",
        sender_name="Maple Front Desk",
        portal_url="https://portal.maple.example/",
        colour="#ffd400",
        logo=prepared(picture()),
    )
    return {name: content.decode("latin-1") for name, content in preview(web.public.application, practice).items()}


def linked(html: str) -> list[str]:
    return re.findall(r'(?:href|src)="([^"]*)"', html)


def test_every_template_is_among_the_pages(web: Web) -> None:
    shown: set[str] = set()
    with template_rendered.connected_to(lambda _, template, **__: shown.add(template.name.rpartition("/")[2])):
        preview(web.public.application, web.harness.practice)
    folder = resources.files("authsvc.web") / "templates" / "pages"
    assert shown - {"preview.html"} == {file.name for file in folder.iterdir()} - {"base.html"}


def test_every_page_is_there_in_every_language_and_both_schemes(files: dict[str, str]) -> None:
    pages = {name.split("/", 2)[2] for name in files if name.count("/") == 2}
    assert {"sign-in.html", "code.html", "who.html", "link-pay-invoice.html", "link-portal.html"} <= pages
    wanted = {f"{scheme}/{lang}/{page}" for scheme in SCHEMES for lang in LANGUAGES for page in pages}
    beside = {f"{scheme}/{file}" for scheme in SCHEMES for file in ("page.css", "brand.css", "logo.png", "icon.svg")}
    assert set(files) == {"index.html"} | wanted | beside
    assert next(iter(files)) == "index.html"
    assert '<html lang="es"' in files["dark/es/code.html"]


def test_everything_on_a_page_is_beside_it(files: dict[str, str]) -> None:
    for name, html in files.items():
        for address in linked(html) if name.endswith(".html") else ():
            if not address.startswith(("tel:", "mailto:", "https://portal.maple.example/")):
                joined = PurePosixPath(name).parent / address
                parts: list[str] = []
                for part in joined.parts:
                    parts = parts[:-1] if part == ".." else [*parts, part]
                assert "/".join(parts) in files, (name, address)
    assert set(re.findall(r'action="([^"]*)"', "".join(files.values()))) == {"#"}


def test_the_index_shows_all_of_it_and_says_what_became_of_the_colour(files: dict[str, str]) -> None:
    shown = {address for address in linked(files["index.html"]) if address.endswith(".html")}
    assert shown == {name for name in files if name.endswith(".html")} - {"index.html"}
    for words in ("#ffd400; light pages use #846d00", "dark pages use it as it is", "Maple Front Desk", "300 × 60"):
        assert words.encode().decode("latin-1") in files["index.html"]


def test_each_scheme_is_decided_in_its_own_stylesheets(files: dict[str, str]) -> None:
    for scheme, media in (("light", "@media not all"), ("dark", "@media all")):
        assert f"color-scheme: {scheme};" in files[f"{scheme}/page.css"]
        for name in ("page.css", "brand.css"):
            assert media in files[f"{scheme}/{name}"]
            assert "prefers-color-scheme" not in files[f"{scheme}/{name}"]


def test_the_brand_is_on_every_page(files: dict[str, str]) -> None:
    for name, html in files.items():
        if name.count("/") == 2:
            assert {"../page.css", "../brand.css", "../logo.png"} <= set(linked(html)), name
            assert "help@" in html


def test_a_practice_without_a_brand_has_its_pages_too(web: Web) -> None:
    files = preview(web.public.application, web.harness.practice)
    assert "light/en/sign-in.html" in files
    assert not [name for name in files if "brand" in name or "logo" in name]
    assert b"brand" not in files["light/en/sign-in.html"]


def test_below_a_path_the_files_are_found_as_well(build: type[Web]) -> None:
    web = build(public_url="http://127.0.0.1:8080/auth")
    html = preview(web.public.application, web.harness.practice)["light/en/code.html"].decode()
    assert "/auth/" not in html
    assert "../page.css" in linked(html)


def test_markup_in_a_name_stays_text_in_the_index(web: Web) -> None:
    practice = web.service.practices.set("maple", actor="cli:test", name="<script>alert(1)</script>")
    assert b"<script" not in preview(web.public.application, practice)["index.html"]
