"""What every page is made with: templates, one stylesheet, headers; and the pages that explain: the problem types, and
what a token proves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import sha256
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader
from markupsafe import Markup, escape

from authsvc.errors import NotFound
from authsvc.web.calls import Environ, Headers, Reply
from authsvc.web.discovery import readable
from authsvc.web.problems import KINDS

Page = Callable[[Environ, Mapping[str, str]], Reply]

CSP = (
    "default-src 'none'; style-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; object-src 'none'; "
    "frame-ancestors 'none'"
)
HTML: Headers = [
    ("Content-Type", "text/html; charset=utf-8"),
    ("Content-Security-Policy", CSP),
    ("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
]
EXPLAINED: Headers = [*HTML, ("Cache-Control", "public, max-age=3600")]

LIMITS = "/limits"
"""What a token proves and what it doesn't: `service_documentation` of the metadata leads here."""

CSS = (resources.files("authsvc.web") / "static" / "page.css").read_bytes()
CSS_PATH = f"/static/page-{sha256(CSS).hexdigest()[:16]}.css"
CSS_HEADERS: Headers = [
    ("Content-Type", "text/css; charset=utf-8"),
    ("Cache-Control", "public, max-age=31536000, immutable"),  # its name holds its digest
]


def ticks(text: str) -> Markup:
    """`words` between backticks as code; everything else escaped."""
    code = Markup("<code>{}</code>")
    return Markup("").join(code.format(part) if at % 2 else escape(part) for at, part in enumerate(text.split("`")))


TEMPLATES = Environment(loader=PackageLoader("authsvc.web"), autoescape=True)
TEMPLATES.filters["ticks"] = ticks


class Paper:
    """The problem types explained, and the stylesheet. `base` is the path of the public address."""

    def __init__(self, base: str) -> None:
        self._base = base
        self._template = TEMPLATES.get_template("problem.html")

    def routes(self) -> dict[str, Page]:
        return {
            "/problems": self.index,
            "/problems/": self.index,
            "/problems/{slug}": self.problem,
            LIMITS: self.limits,
            CSS_PATH: self.stylesheet,
        }

    def problem(self, environ: Environ, path: Mapping[str, str]) -> Reply:
        """Raises NotFound."""
        readable(environ)
        kind = KINDS.get(path["slug"])
        if kind is None:
            raise NotFound
        return self._explained(kind=kind)

    def index(self, environ: Environ, _: Mapping[str, str]) -> Reply:
        readable(environ)
        return self._explained(kinds=KINDS.values())

    def limits(self, environ: Environ, _: Mapping[str, str]) -> Reply:
        readable(environ)
        template = TEMPLATES.get_template("limits.html")
        body = template.render(index=f"{self._base}/problems/", stylesheet=self._base + CSS_PATH)
        return Reply(200, list(EXPLAINED), body.encode())

    def stylesheet(self, environ: Environ, _: Mapping[str, str]) -> Reply:
        readable(environ)
        return Reply(200, list(CSS_HEADERS), CSS)

    def _explained(self, **what: Any) -> Reply:
        body = self._template.render(**what, index=f"{self._base}/problems/", stylesheet=self._base + CSS_PATH)
        return Reply(200, list(EXPLAINED), body.encode("utf-8"))
