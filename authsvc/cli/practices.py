"""Practices: the tenants."""

from __future__ import annotations

from pathlib import Path
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
from authsvc.cli.errors import instant
from authsvc.config.units import say_size
from authsvc.model import CLAIM_SCOPES

if TYPE_CHECKING:
    from authsvc.flows.logos import Logo
    from authsvc.model import Practice
    from authsvc.wiring import Service

FIELDS = (
    *("name", "phone", "support_email", "sender_name", "portal_url", "link_url", "locale", "time_zone"),
    *("colour", "logo", "logo_width", "logo_height", "webhook_url", "delivery", "claims"),
)


@click.group(cls=CommandGroup)
def practices() -> None:
    """Practices, the tenants: everything else belongs to one."""


@practices.command()
@click.argument("practice_id", metavar="ID", type=parameters.PRACTICE)
@click.option(
    "--name", type=parameters.Line(100, least=1), required=True, help="What patients read in mails and on pages."
)
@click.option("--phone", type=parameters.Line(40), default="", help="Shown where a patient may need help.")
@click.option(
    "--support-email", type=parameters.Mailbox(), default="", help="Shown there too; answers to mails go to it."
)
@click.option("--sender-name", type=parameters.Line(80), default="", help="Whom mails come from.  [the name]")
@click.option("--portal-url", default="", metavar="URL", help="Where the practice's portal is; https.")
@click.option("--link-url", default="", metavar="TEMPLATE", help="The practice's own page for links; ends in /{token}.")
@click.option("--locale", type=parameters.LOCALE, default="en", show_default=True, help="Language of mails: en or es.")
@click.option(
    "--time-zone", type=parameters.TimeZone(), default="", help="For the hours in mails: America/Phoenix.  [UTC]"
)
@click.option("--colour", type=parameters.Colour(), default="", help="Of buttons and links: '#0b5c8a'.  [ours]")
@reason_option
def add(practice_id: str, reason: str, **fields: str) -> None:
    """Add the practice ID."""
    service = open_service(writes=True)
    _show(service.practices.add(practice_id, actor=actor(), reason=reason, **_checked(service, fields)))


@practices.command("set")
@click.argument("practice_id", metavar="ID", type=parameters.PRACTICE)
@click.option("--name", type=parameters.Line(100, least=1), help="What patients read in mails and on pages.")
@click.option("--phone", type=parameters.Line(40), help="Shown where a patient may need help; '' for none.")
@click.option(
    "--support-email", type=parameters.Mailbox(), help="Shown there too; answers to mails go to it. '' for none."
)
@click.option("--sender-name", type=parameters.Line(80), help="Whom mails come from; '' for the name.")
@click.option("--portal-url", metavar="URL", help="Where the practice's portal is; '' for none.")
@click.option("--link-url", metavar="TEMPLATE", help="The practice's own page for links; '' for the hosted one.")
@click.option("--locale", type=parameters.LOCALE, help="Language of mails: en or es.")
@click.option("--time-zone", type=parameters.TimeZone(), help="For the hours in mails: America/Phoenix; '' for UTC.")
@click.option("--colour", type=parameters.Colour(), help="Of buttons and links: '#0b5c8a'; '' for ours.")
@click.option("--webhook-url", metavar="URL", help="Where its own provider takes messages; https. '' for none.")
@click.option(
    "--delivery", type=click.Choice(["email", "webhook"]), help="How codes of the hosted pages and access links travel."
)
@click.option("--logo", type=parameters.Picture(), metavar="FILE", help="PNG, JPEG or WebP; 512 KiB, 4096 pixels.")
@click.option("--no-logo", is_flag=True, help="Show the name in its place.")
@click.option(
    "--claims",
    type=click.Choice(["", *CLAIM_SCOPES]),
    multiple=True,
    help="Clients added with the same may be told this of patients; repeat for more, '' for neither.",
)
@reason_option
def set_(
    practice_id: str, reason: str, logo: Logo | None, no_logo: bool, claims: tuple[str, ...], **fields: str | None
) -> None:
    """Change the practice ID; what isn't named stays. A logo is written anew, without anything but its pixels, to fit
    640 × 160 of them; a colour is darkened or lightened where text in it couldn't be read."""
    if no_logo:
        from authsvc.flows.logos import NO_LOGO

        if logo is not None:
            raise click.UsageError("--logo and --no-logo exclude each other.")
        logo = NO_LOGO
    changes = {name: value for name, value in fields.items() if value is not None}
    if not changes and logo is None and not claims:
        raise click.UsageError("name what to change; --help shows all there is.")
    service = open_service(writes=True)
    checked: dict[str, Any] = {**_checked(service, changes)}
    if claims:
        checked["claims"] = tuple(dict.fromkeys(filter(None, claims)))
    _show(service.practices.set(practice_id, actor=actor(), reason=reason, logo=logo, **checked))


@practices.command("rotate-webhook-secret")
@click.argument("practice_id", metavar="ID", type=parameters.PRACTICE)
@reason_option
def rotate_webhook_secret(practice_id: str, reason: str) -> None:
    """Give the practice ID a new secret that signs its webhooks and show it, this once; the one before signs beside it
    for a week."""
    secret = open_service(writes=True).practices.rotate_webhook_secret(practice_id, actor=actor(), reason=reason)
    shown = {"practice": practice_id, "webhook_secret": secret}
    print_result(shown, lambda: pairs(shown))
    note("Keep the secret now: it is not shown again.")


@practices.command("webhook-test")
@click.argument("practice_id", metavar="ID", type=parameters.PRACTICE)
def webhook_test(practice_id: str) -> None:
    """Send one signed test notice to the webhook of the practice ID, now."""
    from authsvc import worker

    service = open_service()
    answer = worker.send_webhook_test(service, service.practices.known(practice_id))
    print_result({"practice": practice_id, "sent": True, "answer": answer}, f"Sent: the webhook answered {answer}.")


@practices.command("list")
def list_() -> None:
    """List the practices."""
    found = open_service().practices.list()
    print_result(
        {"practices": [document(practice) for practice in found]},
        lambda: table(
            ("id", "name", "phone", "locale", "portal"),
            [(each.id, each.name, each.phone, each.locale, each.portal_url) for each in found],
            "No practices yet; `authsvc practices add` adds one.",
        ),
    )


@practices.command()
@click.option("--recount", is_flag=True, help="Weigh every record first: after an update from a release without this.")
def storage(recount: bool) -> None:
    """Show how much each practice keeps for long, of what it may: above that, nothing new is put on file for it."""
    service = open_service(writes=recount)
    service.practice_storage.read_maxmemory()
    if recount:
        service.practice_storage.recount()
    found = service.practice_storage.uses()
    print_result(
        {
            "practices": [
                {"id": use.practice, "used_bytes": use.used_bytes, "limit_bytes": use.limit_bytes} for use in found
            ]
        },
        lambda: table(
            ("id", "used", "of", "share"),
            [(use.practice, say_size(use.used_bytes), say_size(use.limit_bytes), f"{use.share:.0%}") for use in found],
            "No practices yet; `authsvc practices add` adds one.",
        ),
    )


@practices.command()
@click.argument("practice_id", metavar="ID", type=parameters.PRACTICE)
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), metavar="DIR", help="Where to.  [preview-ID, here]"
)
def preview(practice_id: str, out: Path | None) -> None:
    """Write every hosted page of the practice ID as a file, in each language, light and dark. Open its index.html."""
    from authsvc import wsgi

    files = wsgi.preview(open_service(), practice_id)
    folder = (out or Path(f"preview-{practice_id}")).absolute()
    for name, content in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    index = folder / "index.html"
    print_result(
        {"practice": practice_id, "folder": str(folder), "index": str(index), "files": list(files)},
        f"{len(files)} files; open {index}",
    )


@practices.command()
@click.argument("practice_id", metavar="ID", type=parameters.PRACTICE)
@reason_option
@yes_option
def remove(practice_id: str, reason: str, yes: bool) -> None:
    """Remove the practice ID: every call about it is refused within five seconds."""
    confirm(f"Remove the practice {practice_id}? Its patients can't sign in any more.", yes)
    open_service(writes=True).practices.remove(practice_id, actor=actor(), reason=reason)
    print_result({"removed": practice_id}, f"Removed {practice_id}.")


def document(practice: Practice) -> dict[str, object]:
    """A practice as the JSON answers show it."""
    shown: dict[str, object] = {"id": practice.id}
    shown.update((name, getattr(practice, name)) for name in FIELDS)
    return {**shown, "claims": list(practice.claims), "created_at": instant(practice.created_ms)}


def _show(practice: Practice) -> None:
    shown = document(practice)
    print_result(shown, lambda: pairs({**shown, "claims": " ".join(practice.claims)}))


def _checked(service: Service, fields: dict[str, str]) -> dict[str, str]:
    production = service.settings.production
    if "portal_url" in fields:
        parameters.web_address(fields["portal_url"], production=production, option="--portal-url")
    if "link_url" in fields:
        parameters.link_template(fields["link_url"], production=production, option="--link-url")
    if "webhook_url" in fields:
        parameters.webhook(fields["webhook_url"], production=production, option="--webhook-url")
    return fields
