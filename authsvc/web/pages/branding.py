"""What a practice's pages look like: its logo and its colour, each at an address that holds its digest.

So both may be kept for ever, and a change shows at once: it has another address. Nothing that a tenant wrote is served
from here. The logo is a PNG of our own making (`flows/logos.py`), the stylesheet holds values that were worked out
(`colours.py`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING

from authsvc.contrast import DARK, LIGHT, Scheme, parsed, properties
from authsvc.errors import NotFound
from authsvc.model import Practice
from authsvc.web.browser.static_pages import CSS_HEADERS, Page
from authsvc.web.endpoint import REQUEST_INFO, Environ, Headers, Reply
from authsvc.web.fields import PRACTICE
from authsvc.web.oauth.discovery import readable

if TYPE_CHECKING:
    from authsvc.wiring import Service

CSS = "/p/{practice}/brand-{digest}.css"
LOGO = "/p/{practice}/logo-{digest}.png"
DIGEST_CHARS = 16  # of SHA-256: tells versions apart, keeps nothing secret

PNG_HEADERS: Headers = [
    ("Content-Type", "image/png"),
    ("Cache-Control", "public, max-age=31536000, immutable"),  # its name holds its digest
]

_PRACTICE = re.compile(PRACTICE, re.ASCII)


def brand_css_path(practice: Practice) -> str:
    """Where the practice's colours are, below the mounted base; empty for a practice without a colour."""
    return _at(CSS, practice, _digest(stylesheet(practice.colour))) if practice.colour else ""


def logo_path(practice: Practice) -> str:
    """Where the practice's logo is, below the mounted base; empty for a practice without one."""
    return _at(LOGO, practice, practice.logo) if practice.logo else ""


@lru_cache(maxsize=1024)
def stylesheet(colour: str) -> bytes:
    """What comes after page.css and changes its colours. Raises ValueError for what isn't a colour."""
    colour = parsed(colour)
    dark = f"@media (prefers-color-scheme: dark) {{\n  {_root(colour, DARK)}\n}}"
    return f"{_root(colour, LIGHT)}\n{dark}\n".encode("ascii")


class Branding:
    """The two files of each practice."""

    def __init__(self, service: Service) -> None:
        self._practices = service.practices
        self._logos = service.logos

    def routes(self) -> dict[str, Page]:
        """path → file."""
        return {CSS: self.css, LOGO: self.logo}

    def css(self, environ: Environ, path: Mapping[str, str]) -> Reply:
        """Raises NotFound."""
        practice = self._practice(environ, path)
        if brand_css_path(practice) != _at(CSS, practice, path["digest"]):
            raise NotFound
        return Reply(200, list(CSS_HEADERS), stylesheet(practice.colour))

    def logo(self, environ: Environ, path: Mapping[str, str]) -> Reply:
        """Raises NotFound."""
        practice = self._practice(environ, path)
        png = self._logos.get(practice) if path["digest"] == practice.logo else None
        if png is None:
            raise NotFound
        return Reply(200, list(PNG_HEADERS), png)

    def _practice(self, environ: Environ, path: Mapping[str, str]) -> Practice:
        readable(environ)
        known = _PRACTICE.fullmatch(path["practice"]) is not None
        practice = self._practices.get(path["practice"]) if known else None
        if practice is None:
            raise NotFound
        environ[REQUEST_INFO].practice = practice.id
        return practice


def _root(colour: str, scheme: Scheme) -> str:
    return ":root { " + " ".join(f"{name}: {value};" for name, value in properties(colour, scheme).items()) + " }"


def _at(path: str, practice: Practice, digest: str) -> str:
    return path.replace("{practice}", practice.id).replace("{digest}", digest)


def _digest(content: bytes) -> str:
    return sha256(content).hexdigest()[:DIGEST_CHARS]
