"""Every hosted page in every state that it can be in, for tests that have to see them all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from authsvc.i18n import LANGUAGES
from authsvc.model import BrowserSession, Practice

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
KINDS = ("sent", "signed_out", "contact", "busy", "away", "stale", "gone", "request", "not_found")
SIGNED_IN_MS = 1_795_000_000_000


@dataclass(frozen=True)
class Said:
    """What strangers and practices may have written."""

    address: str = "ann@example.org"
    hint: str = "a•••@example.org"
    label: str = "Ann Ortiz"
    problem: str = "redirect_uri is not registered"


def every_page(lang: str, said: Said | None = None) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(name, template, values) each."""
    given, speak = said or Said(), LANGUAGES[lang]
    yield "sign-in", "sign_in.html", FORM | {"cancel": True}
    yield "sign-in-wrong", "sign_in.html", FORM | {"email": given.address, "wrong": "email"}
    yield "sign-in-busy", "sign_in.html", FORM | {"email": given.address, "wrong": "busy"}
    yield "sign-in-wait", "sign_in.html", FORM | {"email": given.address, "wrong": "busy", "wait": speak.span(70)}
    yield "sign-in-known", "sign_in.html", FORM | {"known": given.hint, "other": "/other", "cancel": True}
    yield "sign-in-known-busy", "sign_in.html", FORM | {"known": given.hint, "wrong": "busy"}

    code = FORM | {"shown": given.address, "minutes": 10, "sender": "no-reply@mail.example.org", "other": "/other"}
    yield "code", "code.html", code | {"cancel": True}
    yield "code-invalid", "code.html", code | {"wrong": "invalid", "attempts_left": 4}
    yield "code-last-try", "code.html", code | {"wrong": "invalid", "attempts_left": 1, "sender": "", "other": ""}
    yield "code-malformed", "code.html", code | {"wrong": "malformed"}
    yield "code-limited", "code.html", code | {"wrong": "limited"}
    yield "code-wait", "code.html", code | {"wrong": "limited", "wait": speak.span(300)}
    yield "code-resent", "code.html", code | {"notice": "resent", "shown": given.hint, "masked": True}
    yield "code-early", "code.html", code | {"notice": "early"}

    patients = [("p1", given.label), ("p2", "Mia Ortiz"), ("p3", "")]
    yield "who", "who.html", FORM | {"patients": patients}
    yield "who-wrong", "who.html", FORM | {"patients": patients, "wrong": True}

    for workflow in WORKFLOWS:
        yield f"link-{workflow}", "link.html", FORM | {"workflow": workflow}
    yield "link-access", "link.html", FORM | {"workflow": "portal", "access": True, "hint": given.hint}
    yield "link-access-bare", "link.html", FORM | {"workflow": "portal", "access": True}
    for reason in REASONS:
        resendable = reason in ("expired", "used_up")
        yield f"link-{reason}", "dead_link.html", FORM | {"reason": reason, "resendable": resendable}

    more: dict[str, dict[str, Any]] = {
        "signed_out": {"onward": "/p/maple/sign-in"},
        "gone": {"onward": "/p/maple/sign-in"},
        "stale": {"onward": "/p/maple/here"},
        "request": {"problem": given.problem},
        "busy": {"wait": speak.span(90), "onward": "?client_id=portal"},
        "away": {"onward": "?client_id=portal"},
    }
    for kind in KINDS:
        yield f"message-{kind}", "message.html", {"kind": kind} | more.get(kind, {})
    yield "message-busy-bare", "message.html", {"kind": "busy"}
    yield "message-request-bare", "message.html", {"kind": "request"}

    me = BrowserSession("s1", "p1", given.label, "en", given.hint, 0, 0, 0, 0)
    sign_ins = [
        {
            "id": f"s{number}",
            "here": number == 1,
            "since": speak.moment(SIGNED_IN_MS - number * 86_400_000, PRACTICE.time_zone),
            "last_used": speak.moment(SIGNED_IN_MS, PRACTICE.time_zone),
        }
        for number in (1, 2, 3)
    ]
    session = FORM | {"me": me, "idle_minutes": 30}
    yield "session", "session.html", session | {"sign_ins": sign_ins}
    yield "session-alone", "session.html", session | {"sign_ins": sign_ins[:1]}
    yield "sign-out", "sign_out.html", FORM | {"fields": {"state": "x"}, "cancel": "/p/maple/session"}
    yield "sign-out-bare", "sign_out.html", FORM
