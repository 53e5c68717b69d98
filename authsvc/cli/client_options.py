"""The options of a client's registration, which `clients add` and `clients set` share, and what they mean."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

from authsvc.cli.libraries import LIBRARIES
from authsvc.errors import InvalidInput
from authsvc.model import AUTHENTICATION_METHODS, CLAIM_SCOPES

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS = (
    click.option(
        "--for",
        "library",
        type=click.Choice(sorted(LIBRARIES), case_sensitive=False),
        metavar="LIBRARY",
        help="Its OpenID Connect library: sets what that one needs of --pkce, --auth, --id-token-alg and --claims. "
        f"What you type beside it wins. One of {', '.join(sorted(LIBRARIES))}.",
    ),
    click.option(
        "--redirect-uri",
        "redirect_uris",
        multiple=True,
        metavar="URI",
        help="Patients sign in for it at the hosted pages, and come back here; repeat for more.",
    ),
    click.option(
        "--post-logout-uri",
        "post_logout_uris",
        multiple=True,
        metavar="URI",
        help="Where a browser may go after it signed out; repeat for more.",
    ),
    click.option("--initiate-login-uri", metavar="URI", help="Where a pressed link starts the sign-in of its patient."),
    click.option("--backchannel-logout-uri", metavar="URI", help="Where it is told that a session has ended."),
    click.option(
        "--jwks",
        type=click.Path(exists=True, dir_okay=False, readable=True, path_type=Path),
        metavar="FILE",
        help="Its public keys (a JWK set): it signs its calls to /oauth2 and has no secret. /v1 takes secrets only.",
    ),
    click.option(
        "--auth",
        type=click.Choice(list(AUTHENTICATION_METHODS)),
        help="How it proves itself at /oauth2: its secret in the header or in the form, a signature, or nothing.  "
        "[basic; with --jwks private_key_jwt, with --public none]",
    ),
    click.option(
        "--pkce",
        type=click.Choice(["required", "optional"]),
        help="Whether a sign-in needs a code_challenge; `optional` is for libraries without.  [required]",
    ),
    click.option(
        "--id-token-alg",
        type=click.Choice(["ES256", "RS256"]),
        help="What its ID tokens are signed with; many libraries expect RS256.  [as access tokens are]",
    ),
    click.option(
        "--claims",
        type=click.Choice(["", *CLAIM_SCOPES]),
        multiple=True,
        help="It may be told this of patients, if the practice allows it; repeat for more.  [neither]",
    ),
    click.option(
        "--assertion-audience",
        type=click.Choice(["issuer", "token-endpoint"]),
        help="What its signed calls name; with `token-endpoint` they may live an hour.  [issuer]",
    ),
    click.option(
        "--par/--no-par",
        "require_pushed_authorization_requests",
        default=None,
        help="Its authorization requests have to be pushed (RFC 9126); every client may. `--no-par` takes it back.",
    ),
    click.option(
        "--dpop/--no-dpop",
        "dpop_bound_access_tokens",
        default=None,
        help="Its tokens have to be bound to a key (RFC 9449); every client's may be. `--no-dpop` takes it back.",
    ),
)


def registration(command: F) -> F:
    """The options that `add` and `set` share."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def named(options: dict[str, Any], *, has_secret: bool = True) -> dict[str, Any]:
    """The options that were used, under the names of the use cases; an empty address stands for none. What was typed
    wins over what the library needs; `has_secret`: without it there is no way to send one."""
    used = {name: value for name, value in options.items() if value not in (None, ())}
    if library := used.pop("library", None):
        needs = {"pkce": "required", "auth": "basic", **LIBRARIES[library].options}
        if not has_secret or "jwks" in used:
            del needs["auth"]
        used = {**needs, **used}
    for name in ("redirect_uris", "post_logout_uris", "claims"):
        if name in used:
            used[name] = tuple(dict.fromkeys(filter(None, used[name])))
    if "jwks" in used:
        used["jwks"] = used["jwks"].read_text(encoding="utf-8-sig", errors="replace")
    return used


@contextmanager
def named_by_option() -> Iterator[None]:
    """What can't be registered is wrong usage; the message names the option."""
    try:
        yield
    except InvalidInput as refused:
        problems = [
            f"{'ID' if fault.pointer == '/id' else fault.pointer.replace('/', '--')}: {fault.detail}"
            for fault in refused.faults
        ]
        raise click.UsageError("; ".join(problems) + ".") from None
