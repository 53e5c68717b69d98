"""Every hosted page in every state that it can be in, for tests that have to see them all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from flask import Flask, Response
from werkzeug.test import create_environ

from authsvc.i18n import LANGUAGES
from authsvc.model import BrowserSession, Practice
from authsvc.web.browser import branding, render, static_pages
from authsvc.web.pages import routes, session

PRACTICE = Practice(
    "maple",
    "Maple Clinic",
    phone="+1 480 555 0100",
    portal_url="https://portal.maple.example/",
    support_email="help@maple.example",
    time_zone="America/Phoenix",
)
FORM = {"action": "/p/maple/here?client_id=portal&state=x", "csrf": "csrf-of-this-browser"}
WORKFLOWS = ("pay-invoice", "update-payment-info", "accept-agreement", "lab-results")
REASONS = ("expired", "used_up", "revoked", "address_changed", "unknown")
KINDS = ("sent", "signed_out", "contact", "busy", "away", "stale", "gone", "too_long", "request", "not_found")
SIGNED_IN_MS = 1_795_000_000_000


def pages_app() -> Flask:
    """As much of the application as rendering needs: no service."""
    app = Flask("authsvc.web", static_folder=None)
    render.install(app)
    for blueprint in (routes.blueprint, session.session_api, branding.blueprint, static_pages.blueprint):
        app.register_blueprint(blueprint)
    return app


APP = pages_app()


def render_example(
    template: str,
    practice: Practice | None = PRACTICE,
    lang: str = "en",
    *,
    environ: dict[str, str] | None = None,
    **values: Any,
) -> Response:
    """A page in answer to a request with this WSGI environment."""
    with APP.request_context({**create_environ(), "QUERY_STRING": "", **(environ or {})}):
        return render.render_page(template, 200, practice, LANGUAGES[lang], **values)


@dataclass(frozen=True)
class Texts:
    """What strangers and practices may have written."""

    address: str = "ann@example.org"
    hint: str = "a•••@example.org"
    label: str = "Ann Ortiz"
    problem: str = "redirect_uri is not registered"


def every_page(lang: str, texts: Texts | None = None) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(name, template, values) each."""
    given, language = texts or Texts(), LANGUAGES[lang]
    yield "sign-in", "sign_in.html", FORM | {"can_cancel": True}
    yield "sign-in-wrong", "sign_in.html", FORM | {"email": given.address, "error": "email"}
    yield "sign-in-busy", "sign_in.html", FORM | {"email": given.address, "error": "busy"}
    yield "sign-in-wait", "sign_in.html", FORM | {"email": given.address, "error": "busy", "wait": language.span(70)}
    yield (
        "sign-in-known",
        "sign_in.html",
        FORM | {"known_address": given.hint, "other_address_url": "/other", "can_cancel": True},
    )
    yield "sign-in-known-busy", "sign_in.html", FORM | {"known_address": given.hint, "error": "busy"}

    code = FORM | {
        "mail_address": given.address,
        "code_life_s": 600,
        "sender": "no-reply@mail.example.org",
        "other_address_url": "/other",
    }
    yield "code", "enter_code.html", code | {"can_cancel": True}
    yield "code-invalid", "enter_code.html", code | {"error": "invalid", "attempts_left": 4}
    yield (
        "code-last-try",
        "enter_code.html",
        code | {"error": "invalid", "attempts_left": 1, "sender": "", "other_address_url": ""},
    )
    yield "code-malformed", "enter_code.html", code | {"error": "malformed"}
    yield "code-limited", "enter_code.html", code | {"error": "limited"}
    yield "code-wait", "enter_code.html", code | {"error": "limited", "wait": language.span(300)}
    yield (
        "code-resent",
        "enter_code.html",
        code | {"notice": "resent", "mail_address": given.hint, "address_masked": True},
    )
    yield "code-early", "enter_code.html", code | {"notice": "early"}

    webhook = {"by_webhook": True}
    known = webhook | {"known_without_address": True, "other_address_url": "/other"}
    yield "sign-in-webhook", "sign_in.html", FORM | webhook
    yield "sign-in-webhook-known", "sign_in.html", FORM | known
    yield "code-webhook", "enter_code.html", code | webhook
    yield "code-webhook-invalid", "enter_code.html", code | webhook | {"error": "invalid", "attempts_left": 1}
    yield "code-webhook-resent", "enter_code.html", code | webhook | {"notice": "resent", "address_masked": True}
    yield "link-webhook", "open_link.html", FORM | webhook | {"workflow": "portal", "needs_code": True}
    yield "link-webhook-expired", "dead_link.html", FORM | webhook | {"reason": "expired", "resendable": True}
    yield "message-webhook-sent", "message.html", webhook | {"kind": "sent"}

    patients = [("p1", given.label), ("p2", "Mia Ortiz"), ("p3", "")]
    yield "who", "choose_patient.html", FORM | {"patients": patients}
    yield "who-wrong", "choose_patient.html", FORM | {"patients": patients, "error": "not_chosen"}

    for workflow in WORKFLOWS:
        yield f"link-{workflow}", "open_link.html", FORM | {"workflow": workflow}
    yield "link-access", "open_link.html", FORM | {"workflow": "portal", "needs_code": True, "email_hint": given.hint}
    yield "link-access-bare", "open_link.html", FORM | {"workflow": "portal", "needs_code": True}
    for reason in REASONS:
        resendable = reason in ("expired", "used_up")
        yield f"link-{reason}", "dead_link.html", FORM | {"reason": reason, "resendable": resendable}

    more: dict[str, dict[str, Any]] = {
        "signed_out": {"next_url": "/p/maple/sign-in"},
        "gone": {"next_url": "/p/maple/sign-in"},
        "stale": {"next_url": "/p/maple/here"},
        "too_long": {"next_url": "?client_id=portal"},
        "request": {"problem": given.problem},
        "busy": {"wait": language.span(90), "next_url": "?client_id=portal"},
        "away": {"next_url": "?client_id=portal"},
    }
    for kind in KINDS:
        yield f"message-{kind}", "message.html", {"kind": kind} | more.get(kind, {})
    yield "message-busy-bare", "message.html", {"kind": "busy"}
    yield "message-request-bare", "message.html", {"kind": "request"}

    current = BrowserSession("s1", "p1", given.label, "en", given.hint, 0, 0, 0, 0)
    sessions = [
        {
            "id": f"s{number}",
            "is_current": number == 1,
            "since": language.moment(SIGNED_IN_MS - number * 86_400_000, PRACTICE.time_zone),
            "last_used": language.moment(SIGNED_IN_MS, PRACTICE.time_zone),
        }
        for number in (1, 2, 3)
    ]
    session = FORM | {"current": current, "idle_minutes": 30}
    yield "session", "session.html", session | {"sessions": sessions}
    yield "session-alone", "session.html", session | {"sessions": sessions[:1]}
    yield "sign-out", "sign_out.html", FORM | {"fields": {"state": "x"}, "cancel_url": "/p/maple/session"}
    yield "sign-out-bare", "sign_out.html", FORM
