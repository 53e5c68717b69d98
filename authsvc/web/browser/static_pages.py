"""What every page is made with: templates, one stylesheet, one script, headers; and the pages that explain: the problem
types, and what a token proves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import sha256
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader
from markupsafe import Markup, escape

from authsvc.errors import NotFound
from authsvc.web.endpoint import Environ, Headers, Reply
from authsvc.web.oauth.discovery import readable
from authsvc.web.problems import PROBLEM_TYPES

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


CSS_HEADERS: Headers = [
    ("Content-Type", "text/css; charset=utf-8"),
    ("Cache-Control", "public, max-age=31536000, immutable"),  # its name holds its digest
]


def _static(name: str, content_type: str) -> tuple[str, Reply]:
    """Where a file of ours is, and the answer there."""
    body = (resources.files("authsvc.web") / "static" / name).read_bytes()
    stem, _, suffix = name.rpartition(".")
    headers: Headers = [("Content-Type", content_type), CSS_HEADERS[1]]
    return f"/static/{stem}-{sha256(body).hexdigest()[:16]}.{suffix}", Reply(200, headers, body)


CSS_PATH, CSS = _static("page.css", "text/css; charset=utf-8")
ICON_PATH, ICON = _static("icon.svg", "image/svg+xml")
SCRIPT_PATH, SCRIPT = _static("session.js", "text/javascript; charset=utf-8")


def ticks(text: str) -> Markup:
    """`words` between backticks as code; everything else escaped."""
    code = Markup("<code>{}</code>")
    return Markup("").join(code.format(part) if at % 2 else escape(part) for at, part in enumerate(text.split("`")))


TEMPLATES = Environment(loader=PackageLoader("authsvc.web"), autoescape=True)
TEMPLATES.filters["ticks"] = ticks


class StaticPages:
    """The problem types explained, and the files that pages load. `base` is the path of the public address."""

    def __init__(self, base: str) -> None:
        self._base = base
        self._template = TEMPLATES.get_template("problem.html")

    def routes(self) -> dict[str, Page]:
        return {
            "/problems": self.index,
            "/problems/": self.index,
            "/problems/{slug}": self.problem,
            LIMITS: self.limits,
            CSS_PATH: _sent(CSS),
            ICON_PATH: _sent(ICON),
            SCRIPT_PATH: _sent(SCRIPT),
        }

    def problem(self, environ: Environ, path: Mapping[str, str]) -> Reply:
        """Raises NotFound."""
        readable(environ)
        kind = PROBLEM_TYPES.get(path["slug"])
        if kind is None:
            raise NotFound
        return self._explained(kind=kind)

    def index(self, environ: Environ, _: Mapping[str, str]) -> Reply:
        readable(environ)
        return self._explained(kinds=PROBLEM_TYPES.values())

    def limits(self, environ: Environ, _: Mapping[str, str]) -> Reply:
        readable(environ)
        template = TEMPLATES.get_template("limits.html")
        body = template.render(index=f"{self._base}/problems/", stylesheet=self._base + CSS_PATH)
        return Reply(200, list(EXPLAINED), body.encode())

    def _explained(self, **what: Any) -> Reply:
        body = self._template.render(**what, index=f"{self._base}/problems/", stylesheet=self._base + CSS_PATH)
        return Reply(200, list(EXPLAINED), body.encode("utf-8"))


def _sent(reply: Reply) -> Page:
    def page(environ: Environ, _: Mapping[str, str]) -> Reply:
        readable(environ)
        return reply._replace(headers=list(reply.headers))

    return page
