"""Signing keys: look, rotate, and what to do when one got out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, BinaryIO

import click

from authsvc.cli import parameters
from authsvc.cli.base import (
    CommandGroup,
    actor,
    confirm,
    note,
    open_service,
    output_mode,
    pairs,
    print_result,
    reason_option,
    table,
    yes_option,
)
from authsvc.cli.errors import instant, safe_from

if TYPE_CHECKING:
    from authsvc.flows.key_rotation import KeyStep


@click.group(cls=CommandGroup)
def keys() -> None:
    """Signing keys: next, current, retiring, gone."""


@keys.command("list")
def list_() -> None:
    """List the published keys, the signing one first."""
    documents = [
        {
            "kid": key.kid,
            "alg": key.alg,
            "state": key.state,
            "created_at": instant(key.created_ms),
            "signs_from": safe_from(key.signs_from_ms),
            "gone_at": instant(key.gone_at_ms),
        }
        for key in open_service().signing_keys.list()
    ]
    head = ("kid", "alg", "state", "created_at", "signs_from", "gone_at")
    print_result(
        {"keys": documents},
        lambda: table(
            head,
            [[key[name] for name in head] for key in documents],
            "No keys yet; the first `authsvc serve` makes them.",
        ),
    )


@keys.command()
@click.option("--force", is_flag=True, help="Rotate although verifiers may not know the next key yet.")
@click.option(
    "--if-older-than", type=parameters.Span(), metavar="SPAN", help="Only if the key signs for longer; suits cron."
)
@reason_option
def rotate(force: bool, if_older_than: int | None, reason: str) -> None:
    """Let the next key sign. Refused (exit 3) while verifiers may not know it yet."""
    step = open_service().signing_keys.rotate(actor(), reason, force=force, if_older_than_s=if_older_than)
    _show("rotated", step, step.done)


@keys.command()
@click.argument("kid", type=parameters.KID)
@reason_option
@yes_option
def revoke(kid: str, reason: str, yes: bool) -> None:
    """Remove a compromised key at once; its tokens become inactive."""
    confirm(f"Revoke {kid}? Every token it signed is refused at once.", yes)
    _show("revoked", open_service(writes=True).signing_keys.revoke(kid, actor(), reason), kid)


@keys.command("import")
@click.argument("file", type=click.File("rb"))
@reason_option
def import_(file: BinaryIO, reason: str) -> None:
    """Take the private key in FILE (PEM; - for stdin) as the next key."""
    try:
        pem = file.read(64 * 1024).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise click.ClickException("No PEM file: it isn't UTF-8.") from None
    step = open_service(writes=True).signing_keys.import_pem(pem, actor(), reason)
    _show("imported", step, step.next)


@keys.command()
@click.option(
    "--format",
    "form",
    type=click.Choice(["jwks", "pem", "haproxy"]),
    default="jwks",
    show_default=True,
    help="A JWK set, PEM text, or HAProxy's map from kid to file.",
)
def export(form: str) -> None:
    """Write the public keys to stdout, for verifiers that can't fetch them."""
    text = open_service().signing_keys.export(form)
    shown = json.loads(text) if form == "jwks" else {"format": form, "text": text}
    print_result(shown, text.rstrip("\n"))


@keys.command()
@reason_option
def rewrap(reason: str) -> None:
    """Seal the stored data keys under the newest master secret."""
    done = open_service(writes=True).signing_keys.rewrap(actor(), reason)
    shown = {
        "moved": list(done.moved),
        "master_id": done.master_id,
        "keep_old_until": safe_from(done.keep_old_until_ms),
    }
    print_result(shown, lambda: pairs({**shown, "moved": " ".join(done.moved) or "nothing: all were there already"}))
    if not output_mode().json:
        note(
            f"Older master secrets may be taken away after {shown['keep_old_until']}, when codes sent before have died."
        )


def _show(what: str, step: KeyStep, value: str | bool) -> None:
    shown = {
        what: value,
        "current": step.current,
        "next": step.next,
        "next_safe_at": safe_from(step.next_safe_at_ms),
        "cost": step.cost,
    }
    value_text = value if isinstance(value, str) else ("yes" if value else "no: not due yet")
    print_result(shown, lambda: pairs({**shown, what: value_text}))
    if step.cost:
        note(f"The price: {step.cost}.")
