"""`authsvc openapi`: the description of the HTTP API."""

from __future__ import annotations

import json

import click

from authsvc.cli.base import Command, note, print_result
from authsvc.config import environment

ANYWHERE = "https://auth.example.org"
"""Where the service is said to be while there are no settings: enough to generate a client from."""


@click.command(cls=Command)
def openapi() -> None:
    """Print the OpenAPI 3.1 document of the HTTP API."""
    from authsvc import wsgi
    from authsvc.config import workflows
    from authsvc.errors import SettingsInvalid

    try:
        settings, catalogue, _ = environment.load()
        url = settings.public_url
    except SettingsInvalid:
        url, catalogue = ANYWHERE, workflows.load(None)
        note(f"There are no settings to take the address from; the document says {ANYWHERE}.")
    document = wsgi.describe(url, catalogue)
    print_result(document, lambda: json.dumps(document, indent=2))
