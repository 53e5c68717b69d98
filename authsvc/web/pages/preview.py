"""Every hosted page of one practice as files, for whoever chooses its logo and colour to look at.

The pages are rendered by what renders them for patients; only the addresses on them become those of the files beside
them. A browser shows a page light or dark as its owner likes, so each page is there twice, with a stylesheet in which
that is decided.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from email.utils import parseaddr
from typing import Any, NamedTuple

from flask import Flask, render_template

from authsvc.contrast import DARK, LIGHT, Scheme, readable
from authsvc.i18n import LANGUAGES, Language
from authsvc.model import BrowserSession, Practice
from authsvc.web.browser import branding, static_pages
from authsvc.web.browser.render import render_page
from authsvc.web.context import current_service

SCHEMES = {"light": LIGHT, "dark": DARK}

_DARK_ONLY = "@media (prefers-color-scheme: dark)"
_ACTION = re.compile(r'(?<= action=")[^"]*')

_FORM = {"action": "", "csrf": ""}
_DAY_MS = 86_400_000


class Example(NamedTuple):
    """One state of one page."""

    name: str
    template: str
    values: dict[str, Any]


def preview(app: Flask, practice: Practice) -> dict[str, bytes]:
    """path → content, `index.html` first. `app` is the public application."""
    with app.test_request_context():
        return _files(practice)


def _files(practice: Practice) -> dict[str, bytes]:
    examples = {tag: list(_examples(practice, language)) for tag, language in LANGUAGES.items()}
    rows = [(example.name, [(tag, scheme) for tag in LANGUAGES for scheme in SCHEMES]) for example in examples["en"]]
    colours = {name: readable(practice.colour, scheme) for name, scheme in SCHEMES.items() if practice.colour}
    index = render_template("preview.html", practice=practice, rows=rows, colours=colours)
    files = {"index.html": index.encode("utf-8")}
    for name, scheme in SCHEMES.items():
        files |= {f"{name}/{file}": content for file, content in _loaded_files(practice, scheme).items()}
        for tag, pages in examples.items():
            files |= {f"{name}/{tag}/{page.name}.html": _page(practice, tag, page) for page in pages}
    return files


def _page(practice: Practice, tag: str, example: Example) -> bytes:
    response = render_page(example.template, 200, practice, LANGUAGES[tag], **example.values)
    html = _ACTION.sub("#", response.get_data(as_text=True))
    files = {
        static_pages.static_url("page.css"): "../page.css",
        static_pages.static_url("icon.svg"): "../icon.svg",
        branding.brand_css_url(practice): "../brand.css",
        branding.logo_url(practice): "../logo.png",
        **{f"?ui_locales={each}": f"../{each}/{example.name}.html" for each in LANGUAGES},
    }
    for url, file in files.items():
        html = html.replace(f'"{url}"', f'"{file}"') if url else html
    return html.encode("utf-8")


def _loaded_files(practice: Practice, scheme: Scheme) -> dict[str, bytes]:
    """What the pages of one scheme load."""
    css = static_pages.FILES["page.css"]
    files = {"page.css": _in_scheme(css, scheme), "icon.svg": static_pages.FILES["icon.svg"]}
    if practice.colour:
        files["brand.css"] = _in_scheme(branding.stylesheet(practice.colour), scheme)
    logo = current_service().logos.get(practice)
    if logo is not None:
        files["logo.png"] = logo
    return files


def _in_scheme(css: bytes, scheme: Scheme) -> bytes:
    """The stylesheet as it is in one scheme, whatever the browser's owner likes."""
    text = css.decode("utf-8").replace(_DARK_ONLY, "@media all" if scheme.dark else "@media not all")
    return text.replace("color-scheme: light dark", f"color-scheme: {'dark' if scheme.dark else 'light'}").encode()


def _examples(practice: Practice, language: Language) -> Iterator[Example]:
    """The states that patients meet, with people who don't exist."""
    service = current_service()
    settings, now_ms = service.settings, service.clock.now_ms()
    address, hint = "ann@example.org", "a•••@example.org"

    yield Example("sign-in", "sign_in.html", _FORM | {"can_cancel": True})
    yield Example("sign-in-again", "sign_in.html", _FORM | {"known_address": hint, "other_address_url": "sign-in.html"})
    yield Example("sign-in-wrong", "sign_in.html", _FORM | {"email": "ann@example", "error": "email"})
    code = _FORM | {"mail_address": address, "code_life_s": settings.code_life_s, "other_address_url": "sign-in.html"}
    code["sender"] = parseaddr(settings.mail_from)[1]
    yield Example("code", "enter_code.html", code)
    yield Example("code-wrong", "enter_code.html", code | {"error": "invalid", "attempts_left": 4})
    yield Example(
        "code-resent", "enter_code.html", code | {"notice": "resent", "mail_address": hint, "address_masked": True}
    )
    patients = [("p1", "Ann Ortiz"), ("p2", "Mia Ortiz")]
    yield Example("who", "choose_patient.html", _FORM | {"patients": patients})
    yield Example("who-acts", "choose_patient.html", _FORM | {"patients": patients[:1], "dependents": patients[1:]})

    for workflow in service.catalogue.all():
        if workflow.link_life_s is None:
            continue
        access = workflow.security == "access"
        values = _FORM | {"workflow": workflow.name, "needs_code": access, "email_hint": hint if access else ""}
        yield Example(f"link-{workflow.name}", "open_link.html", values)
    for reason in ("expired", "used_up", "revoked", "address_changed", "unknown"):
        resendable = reason in ("expired", "used_up")
        yield Example(f"link-{reason}", "dead_link.html", _FORM | {"reason": reason, "resendable": resendable})

    next_page = {"next_url": "sign-in.html"}
    for kind in ("sent", "contact", "request", "not_found"):
        yield Example(f"message-{kind}", "message.html", {"kind": kind})
    for kind in ("signed_out", "gone", "stale", "busy", "away"):
        yield Example(f"message-{kind}", "message.html", {"kind": kind, **next_page})

    current = BrowserSession("s1", "p1", "Ann Ortiz", language.tag, hint, 0, 0, 0, 0)
    sessions = [
        {
            "id": f"s{day}",
            "is_current": not day,
            "since": language.moment(now_ms - day * _DAY_MS, practice.time_zone),
            "last_used": language.moment(now_ms - day * _DAY_MS // 2, practice.time_zone),
        }
        for day in range(3)
    ]
    session = {"current": current, "sessions": sessions, "idle_minutes": settings.session_idle_s // 60}
    yield Example("session", "session.html", _FORM | session)
    yield Example("sign-out", "sign_out.html", _FORM | {"cancel_url": "session.html"})
