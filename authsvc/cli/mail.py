"""Mail: what happened to it, and whether it goes out at all."""

from __future__ import annotations

import click

from authsvc.cli import parameters
from authsvc.cli.base import CommandGroup, act_in, open_service, print_result, table
from authsvc.cli.errors import instant


@click.group(cls=CommandGroup)
def mail() -> None:
    """Mail: what happened to it, and whether it goes out at all."""


@mail.command()
@click.argument("practice", type=parameters.PRACTICE)
@click.option("--patient", type=parameters.PATIENT, required=True, help="Whose mail.")
def log(practice: str, patient: str) -> None:
    """Show what happened to the mail of a patient during the last days."""
    service = open_service()
    documents = [
        {
            "id": delivery.id,
            "kind": delivery.kind,
            "channel": delivery.channel,
            "state": delivery.state,
            "queued_at": instant(delivery.queued_at_ms),
            "updated_at": instant(delivery.updated_at_ms),
            "attempts": delivery.attempts,
            "detail": delivery.detail,
        }
        for delivery in service.patients.deliveries(act_in(service, practice), patient)
    ]
    head = ("queued_at", "kind", "channel", "state", "attempts", "detail")
    print_result(
        {"deliveries": documents},
        lambda: table(head, [[each[name] for name in head] for each in documents], "No mail in the last days."),
    )


@mail.command()
@click.argument("practice", type=parameters.PRACTICE)
@click.argument("address")
def test(practice: str, address: str) -> None:
    """Send one test mail in the name of PRACTICE to ADDRESS, now, by the configured sender."""
    from authsvc import worker

    service = open_service()
    answer = worker.send_test(service, service.practices.known(practice), address)
    print_result({"practice": practice, "sent": True, "answer": answer}, f"Sent: the mail host answered {answer}.")
