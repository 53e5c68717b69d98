"""Maple Clinic: a small practice as an integrator would build it, on authsvc's public API and `authsvc.verifier` alone.

Patients sign in at authsvc's hosted pages; what an integrator writes is the rest, as a plain Flask application:
`billing.py` sends links, `signin.py` signs in and out, `links.py` has what a link opens, `portal.py` what a code opens,
`email_change.py` what a code that was typed lately opens. `tokens.py` verifies before every handler, `errors.py` has a
page for every refusal, `oidc.py` is the OpenID Connect client (Authlib), `api.py` the client for everything else,
`languages.py` has the texts in every language, `sessions.py` keeps the tokens on the server, `forms.py` has the forms
(Flask-WTF), `records.py` the clinic's own data.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from functools import partial

from flask import Flask, Response
from flask_wtf import CSRFProtect

from authsvc.demo.sample import errors, languages
from authsvc.demo.sample.api import Authsvc
from authsvc.demo.sample.billing import billing
from authsvc.demo.sample.clinic import Clinic, Settings
from authsvc.demo.sample.email_change import email_change
from authsvc.demo.sample.errors import requested_page
from authsvc.demo.sample.links import links
from authsvc.demo.sample.oidc import Oidc
from authsvc.demo.sample.portal import portal
from authsvc.demo.sample.records import Person, Records
from authsvc.demo.sample.sessions import SessionStore, current_session
from authsvc.demo.sample.signin import backchannel_logout, signin
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
        # Flask's signed cookie holds what Authlib notes of sign-ins under way, the CSRF token and a notice, never a
        # token of authsvc's. Several processes would have to share its key, and the sessions.
        SECRET_KEY=secrets.token_bytes(32),
        SESSION_COOKIE_NAME="__Host-signing-in" if https else "signing-in",
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=https,
        WTF_CSRF_FIELD_NAME="csrf",
        WTF_CSRF_TIME_LIMIT=None,  # as long as the session
        WTF_CSRF_SSL_STRICT=False,  # it wants a Referer, which our Referrer-Policy forbids; the token is enough
    )
    sessions, policy = SessionStore(https), CSP.format(authsvc=settings.authsvc_url)
    app.extensions["clinic"] = Clinic(
        settings,
        Authsvc(settings.authsvc_url, settings.practice, settings.client_id, settings.client_secret),
        Oidc(app, settings.authsvc_url, settings.client_id, settings.client_secret, settings.url),
        Verifier(settings.authsvc_url, settings.audience, settings.practice),
        records,
        sessions,
        policy,
    )
    app.context_processor(
        lambda: {
            "practice": settings,
            "signed_in": current_session().portal_grant is not None,
            "acting": _acting(records),
            "page_name": requested_page(),
            "page_language": languages.language,
        }
    )
    app.after_request(partial(_add, HEADERS | {"Content-Security-Policy": policy}))
    app.jinja_env.globals["new_idempotency_key"] = partial(secrets.token_urlsafe, 16)
    sessions.init_app(app)
    languages.init_app(app)
    app.before_request(lambda: languages.choose(_own_language(records)))
    CSRFProtect(app).exempt(backchannel_logout)
    app.before_request(sessions.store_posts)  # only now: a forged form leaves nothing behind
    errors.init_app(app)
    for pages in (billing, links, signin, portal, email_change):
        app.register_blueprint(pages)
    return app


def _own_language(records: Records) -> str:
    """Of whoever reads: the patient, or the guardian who acts; empty where this browser is nobody yet."""
    current = current_session()
    held = [current.portal_grant, *current.link_grants.values()]
    reader = next((grant.guardian or grant.patient for grant in held if grant), "")
    return records.people[reader].language if reader in records.people else ""


def _acting(records: Records) -> tuple[Person, Person] | None:
    """The guardian who is here, and the dependent for whom; None where a patient is here in person."""
    grant = current_session().portal_grant
    return (records.people[grant.guardian], records.people[grant.patient]) if grant and grant.guardian else None


def _add(headers: Mapping[str, str], response: Response) -> Response:
    for name, value in headers.items():
        response.headers.setdefault(name, value)
    return response
