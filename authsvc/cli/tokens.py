"""`authsvc token inspect`: why does this token not pass?"""

from __future__ import annotations

import codecs
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from authsvc.cli import parameters
from authsvc.cli.base import CommandGroup, note, open_service, pairs, print_result
from authsvc.cli.errors import instant
from authsvc.text import visible

if TYPE_CHECKING:
    from authsvc.cli.token_inspection import Expected, TokenInspection


@click.group(cls=CommandGroup)
def token() -> None:
    """Access tokens."""


@token.command()
@click.argument("token", metavar="[TOKEN]", default="-")
@click.option("--audience", metavar="AUD", help="What the service in question expects; else the default audience.")
@click.option("--practice", type=parameters.PRACTICE, help="Which practice it is for; else not compared.")
@click.option("--issuer", metavar="URL", help="The issuer; else AUTHSVC_PUBLIC_URL.")
@click.option("--jwks", metavar="FILE|URL", help="Its key set; else the keys in the store, if that can be reached.")
def inspect(token: str, audience: str | None, practice: str | None, issuer: str | None, jwks: str | None) -> None:
    """Decode TOKEN (stdin if left out, which keeps it out of your shell's history) without trusting it, and say which
    verifiers would refuse it and why."""
    from authsvc.cli import token_inspection

    given = sys.stdin.readline() if token == "-" and sys.stdin is not None else token
    text = visible(given).strip(" \t\r\n\xa0\"',;<>").removeprefix("Bearer ")
    if kind := token_inspection.other_kind(text):
        raise click.ClickException(f"This is no access token but {kind}.")
    try:
        found = token_inspection.inspect(text, _expected(audience, practice, issuer, jwks))
    except ValueError as problem:
        raise click.ClickException(f"This is no JWT: {problem}.") from None
    print_result(_document(found), lambda: _text(found))


def _expected(audience: str | None, practice: str | None, issuer: str | None, jwks: str | None) -> Expected:
    """The options of the command line, else what this service's settings and store know, else nothing."""
    from authsvc import verifier
    from authsvc.cli.token_inspection import Expected
    from authsvc.errors import AuthsvcError

    raw = None if jwks is None else _key_set(jwks)
    try:
        service = open_service()
        issuer, audience = issuer or service.settings.public_url, audience or service.settings.default_audience
        raw = raw if raw is not None else service.signing_keys.export("jwks").encode()
    except AuthsvcError:
        if raw is None:
            note("The keys can't be had here, so the signature is not checked.")
    try:
        keys = None if raw is None else verifier.parse_jwks(raw)
    except ValueError as problem:
        raise click.BadParameter(f"{problem}.", param_hint="--jwks") from None
    return Expected(issuer=issuer, audience=audience, practice=practice, keys=keys, now_s=time.time())


def _key_set(where: str) -> bytes:
    """The key set at an address, fetched as carefully as a verifier does, or in a file."""
    from authsvc import verifier

    if "://" not in where:
        return Path(where).read_bytes().removeprefix(codecs.BOM_UTF8)
    try:
        verifier.Verifier("inspect", "inspect", verifier.ANY_PRACTICE, where)  # refuses an unsafe address
        return verifier.fetch_jwks(where)
    except ValueError as problem:
        raise click.BadParameter(f"{problem}.", param_hint="--jwks") from None


def _document(found: TokenInspection) -> dict[str, object]:
    return {
        "trusted": False,
        "header": found.header,
        "claims": found.claims,
        "signature": found.signature,
        "verdicts": [
            {"verifier": who, "accepts": not reasons, "reasons": list(reasons)}
            for who, reasons in found.refusals.items()
        ],
    }


def _text(found: TokenInspection) -> str:
    claims = {name: _readable(name, value) for name, value in found.claims.items()}
    lines = ["Not trusted: this is what the token claims.", "", pairs(found.header), "", pairs(claims), ""]
    lines.append(f"Signature: {found.signature}")
    for who, reasons in found.refusals.items():
        lines.append(f"{who}: " + ("would refuse it" if reasons else "would accept it"))
        lines += [f"  - {reason}" for reason in reasons]
    return "\n".join(lines)


def _readable(name: str, value: Any) -> object:
    if name in ("exp", "iat", "nbf", "auth_time") and type(value) is int and 0 <= value < 1 << 33:
        return f"{value} ({instant(value * 1000)})"
    return value
