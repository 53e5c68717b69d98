"""The WSGI application: what `serve` runs, and what `gunicorn -c config/gunicorn.conf.py 'authsvc.wsgi:app()'` loads.

One process answers on two addresses. Which one a request came in by is told by its listener, never by a header: the
admin address has /metrics, /openapi.json and /docs, the public one has none of them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from authsvc import logs, wiring
from authsvc.config import environment
from authsvc.config.workflows import Catalogue
from authsvc.store import script_files
from authsvc.web.api import openapi
from authsvc.web.app import create_admin_app, create_app
from authsvc.web.browser import render
from authsvc.web.pages import preview as previews
from authsvc.wiring import Service


class App:
    """Both faces of one service. `service` is for the hooks that start and stop its threads."""

    def __init__(self, service: Service, admin_address: tuple[str, int] | None) -> None:
        self.service = service
        public = create_app(service)
        render.load_templates(public)
        script_files.load_all()
        self._public = public.wsgi_app
        self._admin = create_admin_app(service).wsgi_app
        self._admin_address = None if admin_address is None else (admin_address[0], str(admin_address[1]))

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if (environ["SERVER_NAME"], environ["SERVER_PORT"]) == self._admin_address:
            answer: Iterable[bytes] = self._admin(environ, start_response)
        else:
            answer = self._public(environ, start_response)
        return answer


def app() -> App:
    """For gunicorn on its own: everything from the environment. Raises SettingsInvalid.

    gunicorn then opens what its own configuration says; if that names AUTHSVC_ADMIN_BIND too, it is the admin address.
    """
    settings, catalogue, limits = environment.load()
    service = wiring.bootstrap(settings, catalogue, limits, prepared_challenges=settings.threads)
    logs.configure(settings.log_level, audit_stream=sys.stdout, lost=lambda: service.metrics.count("logs_lost"))
    host, _, port = settings.admin_bind.rpartition(":")
    return App(service, (host.strip("[]"), int(port)))


def describe(public_url: str, catalogue: Catalogue) -> dict[str, Any]:
    """The OpenAPI document, as the admin address shows it."""
    return openapi.document(public_url, catalogue)


def preview(service: Service, practice_id: str) -> dict[str, bytes]:
    """Every hosted page of a practice, as files: path → content. Raises UnknownName, Unavailable."""
    return previews.preview(create_app(service), service.practices.known(practice_id))
