"""A hosted page, from its template to its headers: in the reader's language, in the practice's colours, inert.

Pages carry what strangers typed and what practices are called. So every value is escaped, names stand in `<bdi>`
without characters that turn writing round, no script runs but our own (and that on one page only), and the policy lets
a form lead only where it must. Every address on a page is relative to where the service is mounted, and the links that
change the language are a query alone: nothing of the Host header can get into a page, nor does a link's token.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from werkzeug.datastructures import LanguageAccept
from werkzeug.http import parse_accept_header

from authsvc import i18n
from authsvc.model import Practice
from authsvc.web.browser import static_pages
from authsvc.web.endpoint import Environ, Headers, Reply
from authsvc.web.pages.branding import brand_css_path, logo_path

if TYPE_CHECKING:
    from authsvc.wiring import Service

UNSAID: dict[str, Any] = {
    "access": False,
    "attempts_left": 0,
    "cancel": "",
    "csrf": "",
    "email": "",
    "fields": {},
    "hint": "",
    "known": "",
    "masked": False,
    "notice": "",
    "once": "",
    "onward": "",
    "other": "",
    "problem": "",
    "resendable": False,
    "sender": "",
    "wait": "",
    "wrong": "",
}
"""What stands for a value that the handler leaves out. To leave out any other is a fault (StrictUndefined)."""

MAX_LANGUAGES_CHARS = 200  # of `ui_locales` and of Accept-Language: no browser sends more, the rest isn't read
DIALLED_DIGITS = 5  # anything shorter is no number to dial

_ALWAYS: Headers = [
    ("Content-Type", "text/html; charset=utf-8"),
    ("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
    ("X-Robots-Tag", "noindex, nofollow"),
    ("Vary", "Accept-Language, Cookie"),
]
_CSP = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action {targets}; base-uri 'none'; object-src 'none'; "
    "frame-ancestors 'none'"
)
_CSP_OF_A_SCRIPT = "; script-src 'self'; connect-src 'self'"
_TARGET = re.compile(r"[a-z][a-z0-9+.-]*:(?://[A-Za-z0-9.\-]+(?::[0-9]+)?|//\[[0-9A-Fa-f:.]+\](?::[0-9]+)?)?")
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


class PageRenderer:
    """Renders the hosted pages. `service` gives the address they are mounted at."""

    def __init__(self, service: Service) -> None:
        self._base = urlsplit(service.settings.public_url).path.rstrip("/")

    def reply(
        self,
        environ: Environ,
        status: int,
        template: str,
        practice: Practice | None,
        *,
        lang: str,
        targets: Iterable[str] = (),
        cookies: Iterable[str] = (),
        script: bool = False,
        **values: Any,
    ) -> Reply:
        """One page. Its forms may lead to the origins `targets` by redirect; `cookies` are whole Set-Cookie values.

        What each template shows is said at its top.
        """
        spoken = i18n.LANGUAGES[lang]
        body = PAGES.get_template(template).render(
            UNSAID
            | {
                "language": spoken,
                "languages": _switch(environ),
                "practice": practice,
                "here": f"{self._base}/p/{practice.id}" if practice else "",
                "stylesheet": self._base + static_pages.CSS_PATH,
                "icon": self._base + static_pages.ICON_PATH,
                "brand": self._below(brand_css_path(practice)) if practice else "",
                "logo": self._below(logo_path(practice)) if practice else "",
                "script": self._base + static_pages.SCRIPT_PATH if script else "",
            }
            | values
        )
        allowed = " ".join(["'self'", *(target for target in targets if _TARGET.fullmatch(target))])
        policy = _CSP.format(targets=allowed) + (_CSP_OF_A_SCRIPT if script else "")
        headers = [*_ALWAYS, ("Content-Security-Policy", policy), ("Content-Language", lang)]
        return Reply(status, headers + [("Set-Cookie", cookie) for cookie in cookies], body.encode("utf-8"))

    def _below(self, path: str) -> str:
        return self._base + path if path else ""


def language_of(environ: Environ, practice: Practice | None, own: str = "") -> str:
    """The language to answer this request in; `own` is the patient's, once it is proven who it is."""
    query = dict(parse_qsl(environ.get("QUERY_STRING", ""), errors="replace"))
    ui_locales = query.get("ui_locales", "")[:MAX_LANGUAGES_CHARS].split()
    accepted = parse_accept_header(environ.get("HTTP_ACCEPT_LANGUAGE", "")[:MAX_LANGUAGES_CHARS], LanguageAccept)
    browser = [tag for tag, quality in accepted if quality > 0]
    return i18n.language(*ui_locales, own, *browser, practice.locale if practice else "").tag


def again(environ: Environ) -> str:
    """This same page, asked for once more: a query alone, so the path stays as the browser has it."""
    return "?" + urlencode(_query(environ))


def _switch(environ: Environ) -> list[tuple[i18n.Language, str]]:
    """Every language with the way to this same page in it, in the same manner."""
    kept = [(name, value) for name, value in _query(environ) if name != "ui_locales"]
    return [(one, "?" + urlencode([*kept, ("ui_locales", one.tag)])) for one in i18n.LANGUAGES.values()]


def _query(environ: Environ) -> list[tuple[str, str]]:
    return parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True, errors="replace")


# --- in templates -------------------------------------------------------------------------------------------------


def plain(text: str) -> str:
    """On one line, in the direction of its own letters: without control characters and those that turn text round."""
    return _UNSEEN.sub("", text)


def shown(text: str) -> Markup:
    """What somebody else wrote, set apart: it can't change the order of the words around it (Unicode UAX #9)."""
    return Markup("<bdi>{}</bdi>").format(plain(text))


def address(text: str) -> Markup:
    """A mail address: from left to right in every language, and it may break after the at sign."""
    return Markup('<bdi dir="ltr">{}</bdi>').format(Markup("@<wbr>").join(plain(text).split("@")))


def number(phone: str) -> Markup:
    """A phone number: from left to right in every language."""
    return Markup('<bdi dir="ltr">{}</bdi>').format(plain(phone))


def initial(text: str) -> str:
    """The first letter or digit of a name; empty where there is none."""
    return next((character.upper() for character in text if character.isalnum()), "")


def tel(phone: str) -> str:
    """`tel:` and what to dial (RFC 3966), up to an extension; empty if it is no number."""
    digits = re.sub(r"[^0-9+]", "", re.split(r"[A-Za-z]", phone, maxsplit=1)[0])
    return f"tel:{digits}" if len(digits) >= DIALLED_DIGITS else ""


def mailto(email: str) -> str:
    """RFC 6068; nothing but an address: no subject, no copy to anybody."""
    return "mailto:" + quote(plain(email), safe="@+")


PAGES = Environment(
    loader=PackageLoader("authsvc.web", "templates/pages"),
    autoescape=True,
    undefined=StrictUndefined,
)
PAGES.filters |= {made.__name__: made for made in (plain, shown, address, number, initial, tel, mailto)}
i18n.install(PAGES)
