"""Clients: the credentials of practice services, and of the portals that patients sign in to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from authsvc.cli import parameters
from authsvc.cli.base import (
    CommandGroup,
    actor,
    confirm,
    note,
    open_service,
    pairs,
    print_result,
    reason_option,
    table,
    yes_option,
)
from authsvc.cli.client_options import named, named_by_option, registration
from authsvc.cli.errors import instant
from authsvc.cli.libraries import LIBRARIES
from authsvc.model import EVERY_PRACTICE, PERMISSIONS

if TYPE_CHECKING:
    from authsvc.model import Client
    from authsvc.wiring import Service


@click.group(cls=CommandGroup)
def clients() -> None:
    """Clients: the credentials of practice services, and of the portals that patients sign in to."""


@clients.command()
@click.argument("client_id", metavar="ID", type=parameters.CLIENT)
@click.option(
    "--practice",
    "practices",
    type=parameters.PRACTICES,
    multiple=True,
    required=True,
    help="It serves this one; '*' for all.",
)
@click.option(
    "--allow",
    "permissions",
    type=click.Choice(sorted(PERMISSIONS)),
    multiple=True,
    metavar="PERM",
    help="It may do this; repeat for more. Needed without --redirect-uri. " + ", ".join(sorted(PERMISSIONS)) + ".",
)
@registration
@click.option("--public", is_flag=True, help="It can't keep a secret (an app, a page), so it gets none.")
@click.option("--audience", type=parameters.AUDIENCE, help="`aud` of the tokens it gets, instead of the default.")
@reason_option
def add(
    client_id: str,
    practices: tuple[str, ...],
    permissions: tuple[str, ...],
    public: bool,
    audience: str | None,
    reason: str,
    **options: Any,
) -> None:
    """Add the client ID and show its secret, if it has one, this once."""
    library = options["library"]
    more = named(options, has_secret=not public)
    if library and not more.get("redirect_uris"):
        raise click.UsageError("--for is for a client that patients sign in to: give its --redirect-uri.")
    if not permissions and not more.get("redirect_uris") and not public:
        raise click.UsageError("Give --allow for what it may call, or --redirect-uri for where patients come back to.")
    service = open_service(writes=True)
    if EVERY_PRACTICE in practices:
        practices = (EVERY_PRACTICE,)
    known = [practice.id for practice in service.practices.list()]
    for practice in practices:
        if practice not in known and practice != EVERY_PRACTICE:
            raise click.ClickException(
                f"There is no practice {practice!r}; there are: {', '.join(known) or 'none yet'}."
            )
    with named_by_option():
        client, secret = service.clients.add(
            client_id,
            practices=tuple(dict.fromkeys(practices)),
            permissions=frozenset(permissions),
            audience=audience,
            actor=actor(),
            reason=reason,
            public=public,
            **more,
        )
    _make_key(service, client)
    if library:
        _note_library(service, library, client)
    if secret:
        _show_secret(client_id, secret)
        return
    print_result({"client_id": client_id}, lambda: pairs({"client_id": client_id}))
    note("It is public and has no secret." if client.public else "It signs its calls and has no secret.")


@clients.command("set")
@click.argument("client_id", metavar="ID", type=parameters.CLIENT)
@registration
@reason_option
def set_(client_id: str, reason: str, **options: Any) -> None:
    """Change the registration of the client ID: what is named is replaced, by '' removed."""
    if not named(options):
        raise click.UsageError("Name at least one thing to change.")
    service = open_service(writes=True)
    before = service.clients.get(client_id)
    changes = named(options, has_secret=bool(before and before.has_secret))
    with named_by_option():
        client = service.clients.set(client_id, actor=actor(), reason=reason, **changes)
    _make_key(service, client)
    print_result(_document(client), f"Changed {client_id}.")


def _note_library(service: Service, name: str, client: Client) -> None:
    """What has been set for it, and what is left to do."""
    library = LIBRARIES[name]
    note(f"For {library.title}: {' '.join(library.written) or 'the defaults do'}.")
    if library.settings:
        note(f"In the library: {library.settings}.")
    practice = service.practices.get(client.practices[0])
    allowed = practice.claims if practice else ()
    if missing := [claim for claim in client.claims if claim not in allowed]:
        words = " ".join(f"--claims {claim}" for claim in (*allowed, *missing))
        note(f"Nobody is told that yet: authsvc practices set {client.practices[0]} {words}")


def _make_key(service: Service, client: Client) -> None:
    """Have the key for its ID tokens before the first is asked for: an RSA key takes a second."""
    if client.id_token_alg:
        service.signing_keys.ensure()
        service.signing_keys.signer_of(client.id_token_alg)


@clients.command("list")
def list_() -> None:
    """List the clients, how each proves itself and when its secrets end; never a secret."""
    found = open_service().clients.list()
    print_result(
        {"clients": [_document(client) for client in found]},
        lambda: table(
            ("id", "practices", "permissions", "audience", "authenticates by", "secrets end", "redirects to"),
            [
                (
                    client.id,
                    " ".join(client.practices),
                    " ".join(sorted(client.permissions)),
                    client.audience,
                    client.authentication,
                    " ".join(str(instant(secret.expires_ms)) for secret in client.secrets),
                    " ".join(client.redirect_uris),
                )
                for client in found
            ],
            "No clients yet; `authsvc clients add` adds one.",
        ),
    )


@clients.command("rotate-secret")
@click.argument("client_id", metavar="ID", type=parameters.CLIENT)
@reason_option
def rotate_secret(client_id: str, reason: str) -> None:
    """Give the client ID a new secret and show it, this once; the one before lives on until its own end."""
    _show_secret(client_id, open_service(writes=True).clients.rotate_secret(client_id, actor=actor(), reason=reason))


@clients.command()
@click.argument("client_id", metavar="ID", type=parameters.CLIENT)
@reason_option
@yes_option
def remove(client_id: str, reason: str, yes: bool) -> None:
    """Remove the client ID: its calls are refused within five seconds."""
    confirm(f"Remove the client {client_id}? The service that uses it can't call any more.", yes)
    open_service(writes=True).clients.remove(client_id, actor=actor(), reason=reason)
    print_result({"removed": client_id}, f"Removed {client_id}.")


def _show_secret(client_id: str, secret: str) -> None:
    shown = {"client_id": client_id, "client_secret": secret}
    print_result(shown, lambda: pairs(shown))
    note("Keep the secret now: it is not shown again.")


def _document(client: Client) -> dict[str, object]:
    return {
        "client_id": client.id,
        "practices": list(client.practices),
        "permissions": sorted(client.permissions),
        "audience": client.audience,
        "authentication": client.authentication,
        "redirect_uris": list(client.redirect_uris),
        "post_logout_uris": list(client.post_logout_uris),
        "initiate_login_uri": client.initiate_login_uri,
        "backchannel_logout_uri": client.backchannel_logout_uri,
        "pkce": client.pkce,
        "id_token_alg": client.id_token_alg,
        "claims": list(client.claims),
        "require_pushed_authorization_requests": client.require_pushed_authorization_requests,
        "dpop_bound_access_tokens": client.dpop_bound_access_tokens,
        "assertion_audience": client.assertion_audience,
        "keys": [key["kid"] for key in client.jwks],
        "created_at": instant(client.created_ms),
        "secrets": [
            {"created_at": instant(secret.created_ms), "expires_at": instant(secret.expires_ms)}
            for secret in client.secrets
        ],
    }
