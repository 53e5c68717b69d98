"""A practice's logo and colour, as browsers get them: for ever by their digest, and no other's."""

from __future__ import annotations

import pytest

from authsvc.flows.logos import prepared
from authsvc.model import Practice
from authsvc.web.app import create_app
from authsvc.web.browser.branding import brand_css_url, logo_url
from tests.pictures import picture
from tests.web.conftest import Web, slug
from tests.web.every_page import APP


def brand_css_path(practice: Practice) -> str:
    with APP.test_request_context():
        return brand_css_url(practice)


def logo_path(practice: Practice) -> str:
    with APP.test_request_context():
        return logo_url(practice)


@pytest.fixture
def maple(web: Web) -> Practice:
    return web.service.practices.set("maple", actor="cli:test", colour="#ffd400", logo=prepared(picture()))


def test_a_practice_without_a_brand_has_no_such_files(web: Web) -> None:
    assert (brand_css_path(web.harness.practice), logo_path(web.harness.practice)) == ("", "")
    for name in ("logo-.png", "brand-.css", "logo-0123456789abcdef.png", "brand-0123456789abcdef.css"):
        assert web.bare("GET", f"/p/maple/{name}").status_code == 404


@pytest.mark.parametrize("path, media_type", [(logo_path, "image/png"), (brand_css_path, "text/css; charset=utf-8")])
def test_both_are_kept_for_ever_and_are_nothing_but_what_they_are(
    web: Web, maple: Practice, path: object, media_type: str
) -> None:
    answer = web.bare("GET", path(maple))  # type: ignore[operator]  # one of the two
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert answer.headers["Content-Type"] == media_type
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert "Set-Cookie" not in answer.headers
    head = web.bare("HEAD", path(maple))  # type: ignore[operator]  # one of the two
    assert (head.status_code, head.data) == (200, b"")
    for method in ("POST", "PUT", "DELETE"):
        assert web.bare(method, path(maple)).status_code == 405  # type: ignore[operator]  # one of the two


def test_the_logo_is_the_one_that_was_kept(web: Web, maple: Practice) -> None:
    assert logo_path(maple) == f"/p/maple/logo-{maple.logo}.png"
    assert web.bare("GET", logo_path(maple)).data == prepared(picture()).png


def test_the_stylesheet_holds_computed_values_and_nothing_else(web: Web, maple: Practice) -> None:
    assert web.bare("GET", brand_css_path(maple)).get_data(as_text=True) == (
        ":root { --act: #846d00; --act-ink: #ffffff; }\n"
        "@media (prefers-color-scheme: dark) {\n"
        "  :root { --act: #ffd400; --act-ink: #0b1822; }\n"
        "}\n"
    )


@pytest.mark.parametrize("path", [logo_path, brand_css_path])
def test_another_practices_files_and_old_ones_are_not_there(web: Web, maple: Practice, path: object) -> None:
    there = path(maple)  # type: ignore[operator]  # one of the two
    assert slug(web.bare("GET", there.replace("maple", "oak"))) == "not-found"
    assert slug(web.bare("GET", there.replace("maple", "elm"))) == "not-found"
    assert slug(web.bare("GET", there.replace("maple", "maple%7B"))) == "not-found"
    changed = web.service.practices.set("maple", actor="cli:test", colour="#0b5c8a", logo=prepared(picture("JPEG")))
    assert path(changed) != there  # type: ignore[operator]  # one of the two
    assert slug(web.bare("GET", there)) == "not-found"
    assert web.bare("GET", path(changed)).status_code == 200  # type: ignore[operator]  # one of the two


def test_a_logo_that_is_on_record_but_lost_is_not_found(web: Web, maple: Practice) -> None:
    web.redis.delete("authsvc:{@practices}:logo:maple")
    assert slug(web.bare("GET", logo_path(maple))) == "not-found"


def test_without_the_store_nothing_is_said_for_ever(web: Web, maple: Practice) -> None:
    again = create_app(web.service).test_client()
    web.stop_the_store()
    web.service.practices._cache.forget("maple")
    answer = again.get(logo_path(maple))
    assert (slug(answer), answer.headers["Cache-Control"]) == ("unavailable", "no-store")
