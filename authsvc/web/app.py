"""The two WSGI applications: the public one, and the admin's on an address of its own.

Nothing is looked up and nothing is decided here; the flows are built already (`wiring`), and this gives them paths.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import flask
from flask import Flask
from flask.sessions import NullSession, SessionInterface
from werkzeug.exceptions import HTTPException
from werkzeug.exceptions import MethodNotAllowed as HTTPMethodNotAllowed
from werkzeug.routing import Rule

from authsvc.errors import InvalidInput, MethodNotAllowed, NotFound
from authsvc.web import context, health
from authsvc.web.api import guards, operations
from authsvc.web.api.docs import DocsPage
from authsvc.web.api.guards import ApiGuards
from authsvc.web.browser import branding, render, static_pages
from authsvc.web.client_ip import ClientIpResolver
from authsvc.web.endpoint import REQUEST_INFO, Environ, Operation, Reply
from authsvc.web.errors import ErrorHandler, below
from authsvc.web.health import Health
from authsvc.web.middleware import FastPath, Middleware
from authsvc.web.oauth import authorize, discovery, forward_auth, logout, revocations, userinfo
from authsvc.web.oauth import tokens as oauth_tokens
from authsvc.web.oauth.discovery import Discovery
from authsvc.web.oauth.forward_auth import ForwardAuthEndpoint
from authsvc.web.oauth.revocations import Revocations
from authsvc.web.pages import routes, session
from authsvc.web.problems import Problems

if TYPE_CHECKING:
    from authsvc.wiring import Service

KeysetView = Callable[..., flask.Response]


class _NoSessions(SessionInterface):
    """There is no server-side state of a browser here, and no cookie that would pretend so."""

    _none = NullSession()

    def open_session(self, *_: Any) -> NullSession:
        return self._none

    def save_session(self, *_: Any) -> None:
        """There is none."""


class _Plain(flask.Response):
    """An empty answer has no media type."""

    default_mimetype = None


def create_app(service: Service) -> Flask:
    """The public application."""
    peers = ClientIpResolver(service.settings.trusted_proxies)
    failures = ErrorHandler(Problems(service.settings.public_url), service.metrics)
    judge, gates = ApiGuards(service, peers), oauth_tokens.OAuthGuards(service, peers)

    app = _flask()
    context.install(app, service, peers, failures)
    render.install(app)
    for path, here in operations.by_path(operations.OPERATIONS).items():
        _route(app, path, _view(path, failures, partial(judge.judge, here)))
    for path, here in operations.by_path(oauth_tokens.OPERATIONS).items():
        _route(app, path, _view(path, failures, partial(gates.judge, here)))
    documents = Discovery(service)
    pem = "/keys/{kid}.pem"
    _route(app, pem, _view(pem, failures, documents.pem))
    feeds = Revocations(service)
    _route(app, revocations.PATH, _view(revocations.PATH, failures, feeds.feed))
    _route(app, userinfo.PATH, _view(userinfo.PATH, failures, userinfo.UserinfoEndpoint(service).answer))
    _route(app, authorize.PATH, _view(authorize.PATH, failures, authorize.Authorize(service, peers).answer))
    _route(app, logout.PATH, _view(logout.PATH, failures, logout.Logout(service, peers).answer))
    for blueprint in (routes.blueprint, session.session_api, branding.blueprint, static_pages.blueprint):
        app.register_blueprint(blueprint)

    def unknown(environ: Environ, _: Mapping[str, str]) -> Reply:
        if below(environ["PATH_INFO"], guards.GUARDED) or below(environ["PATH_INFO"], oauth_tokens.GUARDED):
            return judge.unknown(environ)
        raise NotFound

    light = {
        **_light(discovery.OPERATIONS[:1], documents),
        **dict.fromkeys(discovery.metadata_paths(service.settings.public_url), documents.metadata),
        **_light(forward_auth.OPERATIONS, ForwardAuthEndpoint(service)),
        **_light(health.OPERATIONS, Health(service)),
    }
    return _finished(app, service, failures, light, unknown)


def create_admin_app(service: Service) -> Flask:
    """The admin's application: metrics and the API's description. Only `serve` opens it, on the admin address."""
    failures = ErrorHandler(Problems(service.settings.public_url), service.metrics)
    description = DocsPage(service.settings.public_url, service.catalogue)

    def metrics(environ: Environ) -> Reply:
        discovery.readable(environ)
        body, content_type = service.metrics.render()
        return Reply(200, [("Content-Type", content_type)], body)

    def unknown(*_: Any) -> Reply:
        raise NotFound

    probes = _light(health.OPERATIONS, Health(service))
    light: dict[str, FastPath] = {"/metrics": metrics, **description.routes(), **probes}
    return _finished(_flask(), service, failures, light, unknown)


def _flask() -> Flask:
    """Flask without what nobody asked for: no static folder, no sessions, no redirects."""
    app = Flask("authsvc.web", static_folder=None)
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    app.session_interface = _NoSessions()
    app.response_class = _Plain
    # Werkzeug's redirects to "the" slash or to merged slashes are built from the Host header (a 308 at that). No rule
    # here ends in a slash, so strict matching never redirects; doubled slashes are simply not found.
    app.url_map.merge_slashes = False

    @app.before_request
    def name_route() -> None:
        """For logs and metrics: the rule, never the path."""
        if flask.request.url_rule:
            route = flask.request.url_rule.rule.replace("<", "{").replace(">", "}")
            flask.request.environ[REQUEST_INFO].route = route

    return app


def _finished(
    app: Flask,
    service: Service,
    failures: ErrorHandler,
    light: Mapping[str, FastPath],
    unknown: Callable[[Environ, Mapping[str, str]], Reply],
) -> Flask:
    not_found = _view("unknown", failures, unknown)

    def unforeseen(error: Exception) -> flask.Response:
        """What Flask itself raises: a path that no rule matches, or a request it can't read."""
        if isinstance(error, HTTPException) and error.code == 404:
            return not_found()
        if isinstance(error, HTTPMethodNotAllowed):
            error = MethodNotAllowed(tuple(sorted(error.valid_methods or ())))
        if isinstance(error, HTTPException):
            error = InvalidInput()
        return _response(failures.reply(error, flask.request.environ))

    app.register_error_handler(Exception, unforeseen)
    app.wsgi_app = Middleware(  # type: ignore[method-assign]  # Flask's own way of wrapping
        app.wsgi_app,
        public_url=service.settings.public_url,
        metrics=service.metrics,
        light=light,
        failed=failures.reply,
    )
    return app


def _light(rows: tuple[Operation, ...], owner: object) -> dict[str, FastPath]:
    """The rows of a table as edge routes: path → the handler, bound to its owner."""
    return {row.path: row.run.__get__(owner) for row in rows}


def _route(app: Flask, path: str, view: KeysetView) -> None:
    """One rule for every method there is: which of them exist is judged after who asks."""
    app.view_functions[path] = view
    app.url_map.add(Rule(path.replace("{", "<").replace("}", ">"), endpoint=path, methods=None))


def _view(
    route: str, failures: ErrorHandler, run: Callable[[Environ, Mapping[str, str]], Reply | flask.Response]
) -> KeysetView:
    def view(**values: str) -> flask.Response:
        environ = flask.request.environ
        environ[REQUEST_INFO].route = route
        try:
            reply = run(environ, values)
        except Exception as error:  # noqa: BLE001 - the table decides what it means
            reply = failures.reply(error, environ)
        return reply if isinstance(reply, flask.Response) else _response(reply)

    return view


def _response(reply: Reply) -> flask.Response:
    return _Plain(reply.body, reply.status, reply.headers)
