"""What the portals of this folder have in common. Each is the smallest application with one library, unmodified.

    ISSUER, CLIENT_ID, CLIENT_SECRET   as `authsvc clients add` has shown them
    URL, PORT                          where browsers find it (https), and where it listens behind TLS (http)

`/me` tells as JSON what the library makes of the person who is signed in.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.serving import run_simple

ISSUER, CLIENT_ID, CLIENT_SECRET = os.environ["ISSUER"], os.environ["CLIENT_ID"], os.environ["CLIENT_SECRET"]
URL, PORT = os.environ["URL"], int(os.environ["PORT"])
SCOPE = "openid profile email contact:view"


def serve(application: Callable[..., Any]) -> None:
    """Behind the proxy that speaks TLS, until the process is ended."""
    run_simple("127.0.0.1", PORT, ProxyFix(application, x_proto=1), threaded=True)  # type: ignore[arg-type]


def django(*apps: str, middleware: tuple[str, ...] = (), **settings: Any) -> Callable[..., Any]:
    """A Django of this process, with a database of its own, as an application. Its addresses are in `__main__`."""
    import django as package
    from django.conf import settings as configuration
    from django.core.management import call_command
    from django.core.wsgi import get_wsgi_application

    contrib = ("auth", "contenttypes", "sessions", "messages")
    of_contrib = ("sessions.middleware.SessionMiddleware", "auth.middleware.AuthenticationMiddleware")
    messages = "django.contrib.messages.middleware.MessageMiddleware"
    configuration.configure(
        SECRET_KEY="only for this process" * 3,
        ALLOWED_HOSTS=["localhost"],
        ROOT_URLCONF="__main__",
        SECURE_PROXY_SSL_HEADER=("HTTP_X_FORWARDED_PROTO", "https"),
        INSTALLED_APPS=[*(f"django.contrib.{name}" for name in contrib), *apps],
        MIDDLEWARE=[*(f"django.contrib.{name}" for name in of_contrib), messages, *middleware],
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": str(Path(tempfile.mkdtemp(dir=os.environ["FOLDER"])) / "db"),
            }
        },
        TEMPLATES=[
            {
                "BACKEND": "django.template.backends.django.DjangoTemplates",
                "APP_DIRS": True,
                "OPTIONS": {"context_processors": ["django.template.context_processors.request"]},
            }
        ],
        LOGIN_REDIRECT_URL="/me",
        LOGOUT_REDIRECT_URL="/",
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        USE_TZ=True,
        LOGGING={
            "version": 1,
            "disable_existing_loggers": False,
            "handlers": {"console": {"class": "logging.StreamHandler"}},
            "root": {"handlers": ["console"], "level": "INFO"},
        },
        **settings,
    )
    package.setup()
    call_command("migrate", verbosity=0)
    return get_wsgi_application()
