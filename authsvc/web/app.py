"""The two Flask applications: the public one, and the admin's on an address of its own.

Nothing is looked up and nothing is decided here; the use cases are built already (`wiring`), and this gives them paths.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from flask import Flask

from authsvc.web import api, context, health
from authsvc.web.api import docs
from authsvc.web.browser import branding, render, static_pages
from authsvc.web.endpoint import check_unrouted, name_route
from authsvc.web.middleware import FastPath, Middleware
from authsvc.web.oauth import authorize, discovery, forward_auth, logout, pushed_requests, revocations, tokens, userinfo
from authsvc.web.pages import routes, session
from authsvc.web.responses import JsonProvider, Response

if TYPE_CHECKING:
    from authsvc.wiring import Service

BLUEPRINTS = (
    api.blueprint,
    tokens.blueprint,
    userinfo.blueprint,
    authorize.blueprint,
    pushed_requests.blueprint,
    logout.blueprint,
    discovery.blueprint,
    revocations.blueprint,
    routes.blueprint,
    session.session_api,
    branding.blueprint,
    static_pages.blueprint,
)

NO_HEAD = frozenset({"authorize.authorize", "logout.logout"})
"""Views that act on GET, so that a HEAD would act for nobody (it would mint a code that nobody reads)."""


def create_app(service: Service) -> Flask:
    """The public application."""
    fast_paths = {
        **discovery.fast_paths(service),
        forward_auth.PATH: forward_auth.forward_auth(service),
        **health.probes(service),
    }
    app = _create(service, fast_paths, check_unrouted)
    render.install(app)
    for blueprint in BLUEPRINTS:
        app.register_blueprint(blueprint)
    for rule in app.url_map.iter_rules():
        if rule.endpoint in NO_HEAD and rule.methods:
            rule.methods.discard("HEAD")
    return app


def create_admin_app(service: Service) -> Flask:
    """The admin's application: metrics and the API's description. Only `serve` opens it, on the admin address."""
    app = _create(service, health.probes(service), name_route)
    app.register_blueprint(health.blueprint)
    app.register_blueprint(docs.blueprint)
    return app


def _create(service: Service, fast_paths: Mapping[str, FastPath], before_request: Callable[[], None]) -> Flask:
    """Flask without what nobody asked for: no static folder, no redirects, no answer to OPTIONS of its own."""
    app = Flask("authsvc.web", static_folder=None)
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    app.response_class = Response
    app.json = JsonProvider(app)
    # Werkzeug's redirects to merged slashes, or to "the" slash where only a rule with one exists, are built from the
    # Host header (a 308 at that). No rule here makes it redirect; doubled slashes are simply not found.
    app.url_map.merge_slashes = False
    app.before_request(before_request)
    errors = context.install(app, service)
    app.register_error_handler(Exception, errors)
    app.wsgi_app = Middleware(  # type: ignore[method-assign]  # Flask's own way of wrapping
        app.wsgi_app,
        public_url=service.settings.public_url,
        metrics=service.metrics,
        fast_paths=fast_paths,
        failed=errors.reply,
    )
    return app
