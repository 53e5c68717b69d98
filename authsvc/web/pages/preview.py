"""Every hosted page of one practice as files, for whoever chooses its logo and colour to look at.

The pages are rendered by what renders them for patients; only the addresses on them become those of the files beside
them. A browser shows a page light or dark as its owner likes, so each page is there twice, with a stylesheet in which
that is decided.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from email.utils import parseaddr
from typing import TYPE_CHECKING, Any, NamedTuple

from authsvc.contrast import DARK, LIGHT, Scheme, readable
from authsvc.i18n import LANGUAGES, Language
from authsvc.model import BrowserSession, Practice
from authsvc.web.browser import static_pages
from authsvc.web.browser.render import PageRenderer
from authsvc.web.pages.branding import brand_css_path, logo_path, stylesheet

if TYPE_CHECKING:
    from authsvc.wiring import Service

SCHEMES = {"light": LIGHT, "dark": DARK}

_DARK_ONLY = "@media (prefers-color-scheme: dark)"
_ACTION = re.compile(r'(?<= action=")[^"]*')

_FORM = {"action": "", "csrf": ""}
_DAY_MS = 86_400_000


class Shown(NamedTuple):
    """One state of one page."""

    name: str
    template: str
    values: dict[str, Any]


def preview(service: Service, practice: Practice) -> dict[str, bytes]:
    """path → content, `index.html` first."""
    shown = {tag: list(_pages(service, practice, speak)) for tag, speak in LANGUAGES.items()}
    rows = [(page.name, [(tag, scheme) for tag in LANGUAGES for scheme in SCHEMES]) for page in shown["en"]]
    colours = {name: readable(practice.colour, scheme) for name, scheme in SCHEMES.items() if practice.colour}
    index = static_pages.TEMPLATES.get_template("preview.html").render(practice=practice, rows=rows, colours=colours)
    files = {"index.html": index.encode("utf-8")}
    for name, scheme in SCHEMES.items():
        files |= {f"{name}/{file}": content for file, content in _beside(service, practice, scheme).items()}
        for tag, pages in shown.items():
            files |= {f"{name}/{tag}/{page.name}.html": _page(service, practice, tag, page) for page in pages}
    return files


def _page(service: Service, practice: Practice, tag: str, page: Shown) -> bytes:
    reply = PageRenderer(service).reply({}, 200, page.template, practice, lang=tag, **page.values)
    html = _ACTION.sub("#", reply.body.decode("utf-8"))
    there = {
        static_pages.CSS_PATH: "../page.css",
        static_pages.ICON_PATH: "../icon.svg",
        brand_css_path(practice): "../brand.css",
        logo_path(practice): "../logo.png",
        **{f"?ui_locales={each}": f"../{each}/{page.name}.html" for each in LANGUAGES},
    }
    for path, file in there.items():
        html = re.sub(rf'"[^"]*{re.escape(path)}"', f'"{file}"', html) if path else html
    return html.encode("utf-8")


def _beside(service: Service, practice: Practice, scheme: Scheme) -> dict[str, bytes]:
    """What the pages of one scheme load."""
    found = {"page.css": _decided(static_pages.CSS.body, scheme), "icon.svg": static_pages.ICON.body}
    if practice.colour:
        found["brand.css"] = _decided(stylesheet(practice.colour), scheme)
    logo = service.logos.get(practice)
    if logo is not None:
        found["logo.png"] = logo
    return found


def _decided(css: bytes, scheme: Scheme) -> bytes:
    """The stylesheet as it is in one scheme, whatever the browser's owner likes."""
    text = css.decode("utf-8").replace(_DARK_ONLY, "@media all" if scheme.dark else "@media not all")
    return text.replace("color-scheme: light dark", f"color-scheme: {'dark' if scheme.dark else 'light'}").encode()


def _pages(service: Service, practice: Practice, speak: Language) -> Iterator[Shown]:
    """The states that patients meet, with people who don't exist."""
    settings, now_ms = service.settings, service.clock.now_ms()
    address, hint = "ann@example.org", "a•••@example.org"

    yield Shown("sign-in", "sign_in.html", _FORM | {"cancel": True})
    yield Shown("sign-in-again", "sign_in.html", _FORM | {"known": hint, "other": "sign-in.html"})
    yield Shown("sign-in-wrong", "sign_in.html", _FORM | {"email": "ann@example", "wrong": "email"})
    code = _FORM | {"shown": address, "minutes": settings.code_life_s // 60, "other": "sign-in.html"}
    code["sender"] = parseaddr(settings.mail_from)[1]
    yield Shown("code", "code.html", code)
    yield Shown("code-wrong", "code.html", code | {"wrong": "invalid", "attempts_left": 4})
    yield Shown("code-resent", "code.html", code | {"notice": "resent", "shown": hint, "masked": True})
    patients = [("p1", "Ann Ortiz"), ("p2", "Mia Ortiz")]
    yield Shown("who", "who.html", _FORM | {"patients": patients})

    for workflow in service.catalogue.all():
        if workflow.link_life_s is None:
            continue
        access = workflow.security == "access"
        values = _FORM | {"workflow": workflow.name, "access": access, "hint": hint if access else ""}
        yield Shown(f"link-{workflow.name}", "link.html", values)
    for reason in ("expired", "used_up", "revoked", "address_changed", "unknown"):
        resendable = reason in ("expired", "used_up")
        yield Shown(f"link-{reason}", "dead_link.html", _FORM | {"reason": reason, "resendable": resendable})

    again = {"onward": "sign-in.html"}
    for kind in ("sent", "contact", "request", "not_found"):
        yield Shown(f"message-{kind}", "message.html", {"kind": kind})
    for kind in ("signed_out", "gone", "stale", "busy", "away"):
        yield Shown(f"message-{kind}", "message.html", {"kind": kind, **again})

    me = BrowserSession("s1", "p1", "Ann Ortiz", speak.tag, hint, 0, 0, 0, 0)
    sign_ins = [
        {
            "id": f"s{day}",
            "here": not day,
            "since": speak.moment(now_ms - day * _DAY_MS, practice.time_zone),
            "last_used": speak.moment(now_ms - day * _DAY_MS // 2, practice.time_zone),
        }
        for day in range(3)
    ]
    session = {"me": me, "sign_ins": sign_ins, "idle_minutes": settings.session_idle_s // 60}
    yield Shown("session", "session.html", _FORM | session)
    yield Shown("sign-out", "sign_out.html", _FORM | {"cancel": "session.html"})
