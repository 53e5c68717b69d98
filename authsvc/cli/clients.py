"""Clients: the credentials of practice services."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from authsvc.cli import shapes
from authsvc.cli.failures import instant
from authsvc.cli.manners import Noun, actor, confirm, note, open_service, pairs, reason_option, table, tell, yes_option
from authsvc.model import EVERY_PRACTICE, PERMISSIONS

if TYPE_CHECKING:
    from authsvc.model import Client


@click.group(cls=Noun)
def clients() -> None:
    """Clients: the credentials of practice services."""


@clients.command()
@click.argument("client_id", metavar="ID", type=shapes.CLIENT)
@click.option(
    "--practice",
    "practices",
    type=shapes.PRACTICES,
    multiple=True,
    required=True,
    help="It serves this one; '*' for all.",
)
@click.option(
    "--allow",
    "permissions",
    type=click.Choice(sorted(PERMISSIONS)),
    multiple=True,
    required=True,
    metavar="PERM",
    help="It may do this; repeat for more. " + ", ".join(sorted(PERMISSIONS)) + ".",
)
@click.option("--audience", type=shapes.AUDIENCE, help="`aud` of the tokens it gets, instead of the default.")
@reason_option
def add(
    client_id: str,
    practices: tuple[str, ...],
    permissions: tuple[str, ...],
    audience: str | None,
    reason: str,
) -> None:
    """Add the client ID and show its secret, this once."""
    service = open_service()
    if EVERY_PRACTICE in practices:
        practices = (EVERY_PRACTICE,)
    known = [practice.id for practice in service.practices.list()]
    for practice in practices:
        if practice not in known and practice != EVERY_PRACTICE:
            raise click.ClickException(
                f"There is no practice {practice!r}; there are: {', '.join(known) or 'none yet'}."
            )
    _, secret = service.clients.add(
        client_id,
        practices=tuple(dict.fromkeys(practices)),
        permissions=frozenset(permissions),
        audience=audience,
        actor=actor(),
        reason=reason,
    )
    _tell_secret(client_id, secret)


@clients.command("list")
def list_() -> None:
    """List the clients and when their secrets end; never a secret."""
    found = open_service().clients.list()
    tell(
        {"clients": [_document(client) for client in found]},
        lambda: table(
            ("id", "practices", "permissions", "audience", "secrets end"),
            [
                (
                    client.id,
                    " ".join(client.practices),
                    " ".join(sorted(client.permissions)),
                    client.audience,
                    " ".join(str(instant(secret.expires_ms)) for secret in client.secrets),
                )
                for client in found
            ],
            "No clients yet; `authsvc clients add` adds one.",
        ),
    )


@clients.command("rotate-secret")
@click.argument("client_id", metavar="ID", type=shapes.CLIENT)
@reason_option
def rotate_secret(client_id: str, reason: str) -> None:
    """Give the client ID a new secret and show it, this once; the one before lives on until its own end."""
    _tell_secret(client_id, open_service().clients.rotate_secret(client_id, actor=actor(), reason=reason))


@clients.command()
@click.argument("client_id", metavar="ID", type=shapes.CLIENT)
@reason_option
@yes_option
def remove(client_id: str, reason: str, yes: bool) -> None:
    """Remove the client ID: its calls are refused within five seconds."""
    confirm(f"Remove the client {client_id}? The service that uses it can't call any more.", yes)
    open_service().clients.remove(client_id, actor=actor(), reason=reason)
    tell({"removed": client_id}, f"Removed {client_id}.")


def _tell_secret(client_id: str, secret: str) -> None:
    shown = {"client_id": client_id, "client_secret": secret}
    tell(shown, lambda: pairs(shown))
    note("Keep the secret now: it is not shown again.")


def _document(client: Client) -> dict[str, object]:
    return {
        "client_id": client.id,
        "practices": list(client.practices),
        "permissions": sorted(client.permissions),
        "audience": client.audience,
        "created_at": instant(client.created_ms),
        "secrets": [
            {"created_at": instant(secret.created_ms), "expires_at": instant(secret.expires_ms)}
            for secret in client.secrets
        ],
    }
