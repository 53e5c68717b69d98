"""Links: what was mailed out and still opens something."""

from __future__ import annotations

import click

from authsvc.cli import parameters
from authsvc.cli.base import CommandGroup, act_in, open_service, print_result, reason_option, table
from authsvc.cli.errors import instant


@click.group(cls=CommandGroup)
def links() -> None:
    """Links that were issued; never their tokens."""


@links.command("list")
@click.argument("practice", type=parameters.PRACTICE)
@click.option("--patient", type=parameters.PATIENT, required=True, help="Whose links.")
def list_(practice: str, patient: str) -> None:
    """List the links of a patient, dead ones included, newest first."""
    service = open_service()
    found = service.links.list(act_in(service, practice), patient)
    documents = [
        {
            "id": link.id,
            "patient": link.patient,
            "workflow": link.workflow,
            "resource": link.resource,
            "state": link.state,
            "created_at": instant(link.created_at_ms),
            "expires_at": instant(link.expires_at_ms),
            "uses": link.uses,
            "max_uses": link.max_uses,
        }
        for link in found
    ]
    head = ("id", "workflow", "resource", "state", "expires_at", "uses")
    print_result(
        {"links": documents}, lambda: table(head, [[link[name] for name in head] for link in documents], "No links.")
    )


@links.command()
@click.argument("practice", type=parameters.PRACTICE)
@click.option("--id", "link_id", type=parameters.LINK, help="This one link.")
@click.option("--patient", type=parameters.PATIENT, help="All links of this patient.")
@click.option("--resource", type=parameters.RESOURCE, help="All links for this resource, such as invoice:inv_1.")
@reason_option
def revoke(practice: str, link_id: str | None, patient: str | None, resource: str | None, reason: str) -> None:
    """End links, and make the tokens they gave inactive."""
    if sum(named is not None for named in (link_id, patient, resource)) != 1:
        raise click.UsageError("name the links by exactly one of --id, --patient and --resource")
    service = open_service(writes=True)
    act = act_in(service, practice, reason)
    if link_id is not None:
        service.links.revoke(act, link_id)
        revoked = 1
    else:
        revoked = service.links.revoke_where(act, patient=patient, resource=resource)
    print_result({"practice": practice, "revoked": revoked}, f"Links revoked: {revoked}.")
