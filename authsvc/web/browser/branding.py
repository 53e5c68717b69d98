"""What a practice's pages look like: its logo and its colour, each at an address that holds its digest.

So both may be cached for ever, and a change shows at once: it has another address. Nothing that a tenant wrote is
served from here. The logo is a PNG of our own making (`flows/logos.py`), the stylesheet holds computed values
(`contrast.py`).
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha256

from flask import Blueprint, Response, current_app, url_for

from authsvc.contrast import DARK, LIGHT, Scheme, parsed, properties
from authsvc.errors import NotFound
from authsvc.model import Practice
from authsvc.web.browser.static_pages import FOREVER
from authsvc.web.context import current_service, load_practice

blueprint = Blueprint("branding", __name__)

DIGEST_CHARS = 16  # of SHA-256: tells versions apart, keeps nothing secret


def brand_css_url(practice: Practice) -> str:
    """Where the practice's colours are; empty for a practice without a colour."""
    if not practice.colour:
        return ""
    return url_for("branding.brand_css", practice=practice.id, digest=_digest(practice.colour))


def logo_url(practice: Practice) -> str:
    """Where the practice's logo is; empty for a practice without one."""
    return url_for("branding.logo", practice=practice.id, digest=practice.logo) if practice.logo else ""


@lru_cache(maxsize=1024)
def stylesheet(colour: str) -> bytes:
    """What comes after page.css and changes its colours. Raises ValueError for what isn't a colour."""
    colour = parsed(colour)
    dark = f"@media (prefers-color-scheme: dark) {{\n  {_root(colour, DARK)}\n}}"
    return f"{_root(colour, LIGHT)}\n{dark}\n".encode("ascii")


@blueprint.get("/p/<practice>/brand-<digest>.css")
def brand_css(practice: str, digest: str) -> Response:
    colour = load_practice(practice).colour
    if not colour or digest != _digest(colour):
        raise NotFound
    headers = [("Content-Type", "text/css; charset=utf-8"), FOREVER]
    return current_app.response_class(stylesheet(colour), headers=headers)


@blueprint.get("/p/<practice>/logo-<digest>.png")
def logo(practice: str, digest: str) -> Response:
    branded = load_practice(practice)
    png = current_service().logos.get(branded) if digest == branded.logo else None
    if png is None:
        raise NotFound
    return current_app.response_class(png, headers=[("Content-Type", "image/png"), FOREVER])


def _root(colour: str, scheme: Scheme) -> str:
    return ":root { " + " ".join(f"{name}: {value};" for name, value in properties(colour, scheme).items()) + " }"


def _digest(colour: str) -> str:
    return sha256(stylesheet(colour)).hexdigest()[:DIGEST_CHARS]
