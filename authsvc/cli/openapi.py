"""`authsvc openapi`: the description of the HTTP API."""

from __future__ import annotations

import json

import click

from authsvc.cli.manners import Act, tell


@click.command(cls=Act)
def openapi() -> None:
    """Print the OpenAPI 3.1 document of the HTTP API."""
    from authsvc.app import describe

    document = describe()
    tell(document, lambda: json.dumps(document, indent=2))
