"""Maple Clinic: a small practice as an integrator would build it, on authsvc's public API and `authsvc.verifier` alone.

Read it by story: `billing.py` sends links, `links.py` opens them, `signin.py` asks for codes, `portal.py` is what a
code opens. `tokens.py` is the gate before every handler, `refusals.py` every "no" in words, `api.py` the client for
authsvc, `visits.py` what a browser holds, `state.py` the clinic's own data.
"""

from __future__ import annotations

from flask import Flask, Response

from authsvc.demo.sample import refusals
from authsvc.demo.sample.api import Authsvc
from authsvc.demo.sample.billing import billing
from authsvc.demo.sample.clinic import Clinic, Settings
from authsvc.demo.sample.links import links
from authsvc.demo.sample.portal import portal
from authsvc.demo.sample.signin import signin
from authsvc.demo.sample.state import Records
from authsvc.demo.sample.visits import Visits
from authsvc.verifier import Verifier

MOST_BODY_BYTES = 16 * 1024

HEADERS = {
    "Cache-Control": "no-store",  # the back button after sign-out shows nothing
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; "
        "base-uri 'none'; object-src 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",  # a link's token in our address goes nowhere
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-Robots-Tag": "noindex",
}


def create_app(settings: Settings, records: Records) -> Flask:
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = MOST_BODY_BYTES
    authsvc = Authsvc(settings.authsvc_url, settings.practice, settings.client_id, settings.client_secret)
    verifier = Verifier(settings.authsvc_url, settings.audience, settings.practice)
    visits = Visits(https=settings.url.startswith("https:"))
    app.extensions["clinic"] = Clinic(settings, authsvc, verifier, records, visits)
    app.context_processor(lambda: {"practice": settings})
    app.after_request(_headers)
    visits.attach(app)
    refusals.attach(app)
    for pages in (billing, links, signin, portal):
        app.register_blueprint(pages)
    return app


def _headers(response: Response) -> Response:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    return response
