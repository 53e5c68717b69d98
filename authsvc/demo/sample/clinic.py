"""What the pages share: settings, the client for authsvc, the verifier, the clinic's records."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from flask import current_app, request

from authsvc.demo.sample.api import Authsvc
from authsvc.demo.sample.state import Records
from authsvc.demo.sample.visits import Visits
from authsvc.verifier import Verifier


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
    nav: tuple[tuple[str, str], ...] = ()  # (text, address) of the strip on top of every page


@dataclass(frozen=True)
class Clinic:
    settings: Settings
    authsvc: Authsvc
    verifier: Verifier
    records: Records
    visits: Visits


def clinic() -> Clinic:
    """The clinic of the app that serves this request."""
    return cast(Clinic, current_app.extensions["clinic"])


def patient_ip() -> str | None:
    """The patient's network address, for authsvc's limits. Behind a proxy, tell Flask so (werkzeug's ProxyFix)."""
    return request.remote_addr
