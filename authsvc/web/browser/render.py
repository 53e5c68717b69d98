"""A hosted page, from its template to its headers: in the reader's language, in the practice's colours, inert.

Pages carry what strangers typed and what practices are called. So every value is escaped, names stand in `<bdi>`
without characters that turn writing round, no script runs but our own (and that on one page only), and the policy lets
a form lead only where it must. Every address on a page is a path below where the service is mounted, and the links that
change the language are a query alone: nothing of the Host header can get into a page, nor does a link's token.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

from flask import Flask, Response, current_app, render_template, request
from jinja2 import StrictUndefined
from markupsafe import Markup
from werkzeug.datastructures import LanguageAccept
from werkzeug.http import parse_accept_header

from authsvc import i18n
from authsvc.i18n import LANGUAGES, Language
from authsvc.model import Practice
from authsvc.text import tel
from authsvc.web.browser import branding, static_pages
from authsvc.web.middleware import Headers

DEFAULTS: dict[str, Any] = {
    "address_masked": False,
    "attempts_left": 0,
    "can_cancel": False,
    "can_switch": False,
    "cancel_url": "",
    "csrf": "",
    "current_patient": "",
    "dependents": [],
    "email": "",
    "email_hint": "",
    "error": "",
    "fields": {},
    "form_id": "",
    "known_address": "",
    "known_without_address": False,
    "lookalike": "",
    "needs_code": False,
    "next_url": "",
    "notice": "",
    "other_address_url": "",
    "problem": "",
    "resendable": False,
    "script": False,
    "sender": "",
    "wait": "",
}
"""Values that a view may leave out. To leave out any other is a fault (StrictUndefined)."""

MAX_LANGUAGES_CHARS = 200  # of `ui_locales` and of Accept-Language: no browser sends more, the rest isn't read

_HEADERS: Headers = [
    ("Content-Type", "text/html; charset=utf-8"),
    ("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
    ("X-Robots-Tag", "noindex, nofollow"),
    ("Vary", "Accept-Language, Cookie"),
]
_CSP = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action {origins}; base-uri 'none'; object-src 'none'; "
    "frame-ancestors 'none'"
)
_CSP_SCRIPT = "; script-src 'self'; connect-src 'self'"
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*:(?://[A-Za-z0-9.\-]+(?::[0-9]+)?|//\[[0-9A-Fa-f:.]+\](?::[0-9]+)?)?")
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def render_page(
    template: str,
    status: int,
    practice: Practice | None,
    language: Language,
    *,
    form_origins: Iterable[str] = (),
    **values: Any,
) -> Response:
    """One page; `template` is named below `templates/pages`. Its forms may lead to the origins `form_origins` by
    redirect. Which values a template takes is written at its top."""
    page = {
        "language": language,
        "languages": [(one, _this_page_in(one)) for one in LANGUAGES.values()],
        "practice": practice,
        "brand_css": branding.brand_css_url(practice) if practice else "",
        "by_webhook": practice is not None and practice.delivery == "webhook",
        "logo": branding.logo_url(practice) if practice else "",
        "static_url": static_pages.static_url,
    }
    body = render_template(f"pages/{template}", **DEFAULTS | page | values)
    origins = " ".join(["'self'", *(origin for origin in form_origins if _ORIGIN.fullmatch(origin))])
    policy = _CSP.format(origins=origins) + (_CSP_SCRIPT if values.get("script") else "")
    headers = [*_HEADERS, ("Content-Security-Policy", policy), ("Content-Language", language.tag)]
    return current_app.response_class(body, status, headers)


def render_message(kind: str, status: int, practice: Practice | None, **values: Any) -> Response:
    """A page that only tells something, in the language of the request."""
    return render_page("message.html", status, practice, request_language(practice), kind=kind, **values)


def request_language(practice: Practice | None, patient_locale: str = "") -> Language:
    """The language to answer this request in: what it asks for by name (`ui_locales`, OpenID Connect Core §3.1.2.1),
    the patient's own, what the browser asks for (Accept-Language, RFC 9110 §12.5.4), the practice's, English.

    Give `patient_locale` only after mailbox or link have proved who it is: before, it would tell whose address this is.
    """
    ui_locales = dict(_query()).get("ui_locales", "")[:MAX_LANGUAGES_CHARS].split()
    header = request.headers.get("Accept-Language", "")[:MAX_LANGUAGES_CHARS]
    accepted = [tag for tag, quality in parse_accept_header(header, LanguageAccept) if quality > 0]
    return i18n.language(*ui_locales, patient_locale, *accepted, practice.locale if practice else "")


def this_page() -> str:
    """The address of this same page: a query alone, so the path stays as the browser has it."""
    return "?" + urlencode(_query())


def _this_page_in(language: Language) -> str:
    others = [(name, value) for name, value in _query() if name != "ui_locales"]
    return "?" + urlencode([*others, ("ui_locales", language.tag)])


def _query() -> list[tuple[str, str]]:
    return parse_qsl(request.environ.get("QUERY_STRING", ""), keep_blank_values=True, errors="replace")


# --- in templates -------------------------------------------------------------------------------------------------


def one_line(text: str) -> str:
    """On one line, in the direction of its own letters: without control characters and those that turn text round."""
    return _CONTROLS.sub("", text)


def isolated(text: str) -> Markup:
    """What somebody else wrote, isolated: it can't change the order of the words around it (Unicode UAX #9)."""
    return Markup("<bdi>{}</bdi>").format(one_line(text))


def address(text: str) -> Markup:
    """A mail address: from left to right in every language, and it may break after the at sign."""
    return Markup('<bdi dir="ltr">{}</bdi>').format(Markup("@<wbr>").join(one_line(text).split("@")))


def phone(text: str) -> Markup:
    """A phone number: from left to right in every language."""
    return Markup('<bdi dir="ltr">{}</bdi>').format(one_line(text))


def initial(text: str) -> str:
    """The first letter or digit of a name; empty where there is none."""
    return next((character.upper() for character in text if character.isalnum()), "")


def mailto(email: str) -> str:
    """RFC 6068; nothing but an address: no subject, no copy to anybody."""
    return "mailto:" + quote(one_line(email), safe="@+")


def install(app: Flask) -> None:
    """Make the templates of `app` strict, and give them our filters and languages."""
    app.jinja_env.undefined = StrictUndefined
    app.jinja_env.filters |= {
        function.__name__: function for function in (one_line, isolated, address, phone, initial, tel, mailto)
    }
    app.jinja_env.filters["code"] = static_pages.code
    i18n.install(app.jinja_env)


def load_templates(app: Flask) -> None:
    """Compile every template of `app` (about 0.1 s), so that no page needs a file descriptor: also the one that says
    that there is none left."""
    for name in app.jinja_env.list_templates(["html"]):
        app.jinja_env.get_template(name)
