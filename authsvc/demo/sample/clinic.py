"""What the pages share: settings, the two clients for authsvc, the verifier, the clinic's records."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from flask import current_app

from authsvc.demo.sample.api import Authsvc
from authsvc.demo.sample.oidc import Oidc
from authsvc.demo.sample.records import Records
from authsvc.demo.sample.sessions import SessionStore
from authsvc.verifier import Verifier

PAGES = {
    "home": "/portal",
    "invoices": "/portal/invoices",
    "contact": "/portal/contact",
    "email": "/portal/email",
    "membership": "/portal/membership",
    "payment-methods": "/portal/payment-methods",
}
"""Where a sign-in may lead. A name from this table travels along, never an address."""

FRESH_S = {"email": 300}
"""Pages that want a code typed lately: how old the sign-in may be, in seconds (`max_age`)."""


@dataclass(frozen=True)
class Settings:
    """What a practice's service needs to know. `url` is where patients reach this site."""

    url: str
    authsvc_url: str
    practice: str
    client_id: str
    client_secret: str
    audience: str = "practice-services"
    name: str = "Maple Clinic"
    phone: str = "555 0199"
    idle_s: int = 1800  # as authsvc's `session_idle`
    nav: tuple[tuple[str, str], ...] = ()  # (text, address) of the strip on top of every page


@dataclass(frozen=True)
class Clinic:
    settings: Settings
    authsvc: Authsvc
    oidc: Oidc
    verifier: Verifier
    records: Records
    sessions: SessionStore
    csp: str  # the Content-Security-Policy of every page


def clinic() -> Clinic:
    """The clinic of the app that serves this request."""
    return cast(Clinic, current_app.extensions["clinic"])
