"""The pages that explain, which are the same for everybody: the problem types, and what a token proves; and the static
files that every page loads."""

from __future__ import annotations

from hashlib import sha256
from importlib import resources
from typing import Any

from flask import Blueprint, Response, current_app, render_template, url_for
from markupsafe import Markup, escape

from authsvc.errors import NotFound
from authsvc.web.middleware import Headers
from authsvc.web.problems import PROBLEM_TYPES

blueprint = Blueprint("static_pages", __name__)

CSP = (
    "default-src 'none'; style-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; object-src 'none'; "
    "frame-ancestors 'none'"
)
HEADERS: Headers = [
    ("Content-Type", "text/html; charset=utf-8"),
    ("Content-Security-Policy", CSP),
    ("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
    ("Cache-Control", "public, max-age=3600"),
]
FOREVER = ("Cache-Control", "public, max-age=31536000, immutable")
"""For a file whose name holds its digest."""

LIMITS = "/limits"
"""What a token proves and what it doesn't: `service_documentation` of the metadata leads here."""

CONTENT_TYPES = {
    "page.css": "text/css; charset=utf-8",
    "icon.svg": "image/svg+xml",
    "session.js": "text/javascript; charset=utf-8",
}
FILES = {name: (resources.files("authsvc.web") / "static" / name).read_bytes() for name in CONTENT_TYPES}


def versioned(name: str) -> str:
    """`page-<digest>.css`: a changed file has another name, so each may be cached for ever."""
    stem, _, suffix = name.rpartition(".")
    return f"{stem}-{sha256(FILES[name]).hexdigest()[:16]}.{suffix}"


VERSIONED = {versioned(name): name for name in FILES}


def static_url(name: str) -> str:
    return url_for("static_pages.static_file", file=versioned(name))


@blueprint.get("/static/<file>")
def static_file(file: str) -> Response:
    name = VERSIONED.get(file)
    if name is None:
        raise NotFound
    return current_app.response_class(FILES[name], headers=[("Content-Type", CONTENT_TYPES[name]), FOREVER])


@blueprint.get("/problems", endpoint="problem_index_without_slash")
@blueprint.get("/problems/")
def problem_index() -> Response:
    return _page("problem.html", problem_type=None, problem_types=PROBLEM_TYPES.values())


@blueprint.get("/problems/<slug>")
def problem_type(slug: str) -> Response:
    if slug not in PROBLEM_TYPES:
        raise NotFound
    return _page("problem.html", problem_type=PROBLEM_TYPES[slug])


@blueprint.get(LIMITS)
def limits() -> Response:
    return _page("limits.html")


def _page(template: str, **values: Any) -> Response:
    body = render_template(template, stylesheet=static_url("page.css"), **values)
    return current_app.response_class(body, headers=HEADERS)


def code(text: str) -> Markup:
    """`words` between backticks as code; everything else escaped."""
    element = Markup("<code>{}</code>")
    parts = text.split("`")
    return Markup("").join(element.format(part) if at % 2 else escape(part) for at, part in enumerate(parts))
