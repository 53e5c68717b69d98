"""Maple Clinic: a small practice as an integrator would build it, on authsvc's public API and `authsvc.verifier` alone.

Patients sign in at authsvc's hosted pages; what an integrator writes is the rest. Read it by story: `billing.py` sends
links, `signin.py` is the way in and out, `links.py` what a link opens, `portal.py` what a code opens. `tokens.py` is
the gate before every handler, `refusals.py` every "no" in words, `oidc.py` the OpenID Connect client, `api.py` the
client for everything else, `visits.py` what a browser holds, `state.py` the clinic's own data.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from functools import partial

from flask import Flask, Response

from authsvc.demo.sample import errors
from authsvc.demo.sample.api import Authsvc
from authsvc.demo.sample.billing import billing
from authsvc.demo.sample.clinic import Clinic, Settings
from authsvc.demo.sample.errors import wanted_page
from authsvc.demo.sample.links import links
from authsvc.demo.sample.oidc import Oidc
from authsvc.demo.sample.portal import portal
from authsvc.demo.sample.records import Records
from authsvc.demo.sample.sessions import Visits, visit
from authsvc.demo.sample.signin import signin
from authsvc.verifier import Verifier

MOST_BODY_BYTES = 16 * 1024

CSP = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self' {authsvc}; "
    "base-uri 'none'; object-src 'none'; frame-ancestors 'none'"
)
"""Signing out is a form of ours that leads to authsvc, and browsers hold `form-action` against redirects too."""

HEADERS = {
    "Cache-Control": "no-store",  # the back button after sign-out shows nothing
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-Robots-Tag": "noindex",
}


def create_app(settings: Settings, records: Records) -> Flask:
    https = settings.url.startswith("https:")
    app = Flask(__name__)
    app.config.update(
        MAX_CONTENT_LENGTH=MOST_BODY_BYTES,
        # Flask's signed cookie holds only what Authlib notes of sign-ins under way, never a token. Several processes
        # would have to share its key, and the visits.
        SECRET_KEY=secrets.token_bytes(32),
        SESSION_COOKIE_NAME="__Host-signing-in" if https else "signing-in",
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=https,
    )
    visits, policy = Visits(https), CSP.format(authsvc=settings.authsvc_url)
    app.extensions["clinic"] = Clinic(
        settings,
        Authsvc(settings.authsvc_url, settings.practice, settings.client_id, settings.client_secret),
        Oidc(app, settings.authsvc_url, settings.client_id, settings.client_secret, settings.url),
        Verifier(settings.authsvc_url, settings.audience, settings.practice),
        records,
        visits,
        policy,
    )
    app.context_processor(lambda: {"practice": settings, "inside": visit().portal, "page_name": wanted_page()})
    app.after_request(partial(_add, HEADERS | {"Content-Security-Policy": policy}))
    visits.attach(app)
    errors.attach(app)
    for pages in (billing, links, signin, portal):
        app.register_blueprint(pages)
    return app


def _add(headers: Mapping[str, str], response: Response) -> Response:
    for name, value in headers.items():
        response.headers.setdefault(name, value)
    return response
