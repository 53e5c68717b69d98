"""Patients: who may sign in, and help for those who can't."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from authsvc.cli import parameters
from authsvc.cli.base import (
    CommandGroup,
    act_in,
    confirm,
    note,
    open_service,
    pairs,
    print_result,
    reason_option,
    yes_option,
)
from authsvc.cli.dependents import dependents
from authsvc.cli.errors import instant

if TYPE_CHECKING:
    from authsvc.model import Patient

NO_ADDRESS = "No email address is on file: codes and links can't be mailed to this patient."


@click.group(cls=CommandGroup)
def patients() -> None:
    """Patients: who may sign in, and help for those who can't."""


patients.add_command(dependents)

email_option = click.option("--email", metavar="ADDRESS", help="Where codes and links go.")
label_option = click.option(
    "--label", type=parameters.Line(100), help="What the patient is called where several share a mailbox."
)


@patients.command()
@click.argument("practice", type=parameters.PRACTICE)
@click.argument("patient", metavar="ID", type=parameters.PATIENT)
@email_option
@label_option
@click.option("--locale", type=parameters.LOCALE, help="Of mails and pages; else the practice's.")
@click.option("--portal-access", is_flag=True, help="Let the patient sign in.")
@reason_option
def add(
    practice: str,
    patient: str,
    email: str | None,
    label: str | None,
    locale: str | None,
    portal_access: bool,
    reason: str,
) -> None:
    """Put the new patient ID of PRACTICE on file; without --email there is no sign-in by email."""
    service = open_service(writes=True)
    act = act_in(service, practice, reason)
    added = service.patients.add(
        act, patient, email=email, label=label or "", locale=locale or "", portal_access=portal_access
    )
    _print_patient(practice, added, created=True)


@patients.command()
@click.argument("practice", type=parameters.PRACTICE)
@click.argument("patient", metavar="ID", type=parameters.PATIENT)
@email_option
@label_option
@reason_option
def grant(practice: str, patient: str, email: str | None, label: str | None, reason: str) -> None:
    """Let the patient ID of PRACTICE sign in; creates the patient if need be."""
    service = open_service(writes=True)
    granted, created = service.patients.grant(act_in(service, practice, reason), patient, email=email, label=label)
    _print_patient(practice, granted, created=created)


def _print_patient(practice: str, patient: Patient, *, created: bool) -> None:
    if not patient.email:
        note(NO_ADDRESS)
    shown = {
        "practice": practice,
        "patient": patient.id,
        "email": patient.email,
        "label": patient.label,
        "portal_access": patient.portal_access,
        "created": created,
    }
    print_result(shown, lambda: pairs(shown))


@patients.command()
@click.argument("practice", type=parameters.PRACTICE)
@click.argument("patient", metavar="ID", type=parameters.PATIENT)
@click.option("--locale", type=parameters.LOCALE, help="Of the mail; else the patient's own.")
@reason_option
def invite(practice: str, patient: str, locale: str | None, reason: str) -> None:
    """Send the patient an access link, which leads to a code; `authsvc worker` sends it."""
    service = open_service(writes=True)
    issued = service.links.invite(act_in(service, practice, reason), patient, locale)
    shown = {
        "practice": practice,
        "patient": patient,
        "link": issued.id,
        "delivery": issued.delivery,
        "expires_at": instant(issued.expires_at_ms),
        "max_uses": issued.max_uses,
    }
    print_result(
        shown,
        f"An access link for {patient} is queued: delivery {issued.delivery}. It works until {shown['expires_at']};"
        f" `authsvc mail log {practice} --patient {patient}` says what became of the mail.",
    )


@patients.command()
@click.argument("practice", type=parameters.PRACTICE)
@click.argument("patient", metavar="ID", type=parameters.PATIENT)
@reason_option
@yes_option
def withdraw(practice: str, patient: str, reason: str, yes: bool) -> None:
    """Take portal access back: sessions, codes and access links of the patient end."""
    confirm(f"Withdraw portal access of {patient} at {practice}? The patient is signed out.", yes)
    service = open_service(writes=True)
    service.patients.withdraw(act_in(service, practice, reason), patient)
    print_result(
        {"practice": practice, "patient": patient, "portal_access": False}, f"{patient} can't sign in any more."
    )


@patients.command()
@click.argument("practice", type=parameters.PRACTICE)
@click.argument("patient", metavar="ID", type=parameters.PATIENT)
def show(practice: str, patient: str) -> None:
    """Show what is known of a patient: address, access, misses, link mode, sessions."""
    service = open_service()
    act = act_in(service, practice)
    known = service.patients.show(act, patient)
    shown = {"practice": practice, **known, "sessions": len(service.sessions.list(act, known["patient"]))}
    if not known["email"]:
        note(NO_ADDRESS)
    print_result(shown, lambda: pairs(shown))


@patients.command()
@click.argument("practice", type=parameters.PRACTICE)
@click.argument("patient", metavar="ID", type=parameters.PATIENT)
@reason_option
def unlock(practice: str, patient: str, reason: str) -> None:
    """Forget the missed guesses of the patient's mailbox; do so after speaking with the patient."""
    service = open_service(writes=True)
    service.patients.unlock(act_in(service, practice, reason), patient)
    print_result({"practice": practice, "patient": patient, "unlocked": True}, f"{patient} gets codes again.")


@patients.command("sign-out")
@click.argument("practice", type=parameters.PRACTICE)
@click.argument("patient", metavar="ID", type=parameters.PATIENT)
@reason_option
def sign_out(practice: str, patient: str, reason: str) -> None:
    """End all sessions of a patient."""
    service = open_service(writes=True)
    ended = service.sessions.end_all(act_in(service, practice, reason), patient)
    print_result({"practice": practice, "patient": patient, "sessions_ended": ended}, f"Sessions ended: {ended}.")


@patients.command()
@click.argument("practice", type=parameters.PRACTICE)
@click.argument("old", type=parameters.PATIENT)
@click.argument("new", type=parameters.PATIENT)
@reason_option
@yes_option
def merge(practice: str, old: str, new: str, reason: str, yes: bool) -> None:
    """Let the patient id OLD mean NEW from now on, as after merging two charts."""
    if old == new:
        raise click.UsageError("OLD and NEW are the same patient")
    confirm(f"Merge {old} into {new} at {practice}? Sessions of {old} end; this can't be undone.", yes)
    service = open_service(writes=True)
    service.patients.merge(act_in(service, practice, reason), old, new)
    print_result({"practice": practice, "merged": old, "into": new}, f"{old} now means {new}.")
