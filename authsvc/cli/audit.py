"""The audit: show, verify, export."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from authsvc import text
from authsvc.cli import parameters
from authsvc.cli.base import (
    CommandGroup,
    actor,
    confirm,
    note,
    open_service,
    output_mode,
    print_result,
    reason_option,
    table,
    yes_option,
)
from authsvc.cli.errors import FAILED, instant
from authsvc.model import AuditFilter

SITE = ("@site", "@keys", "@clients")
STREAM = parameters.ParameterType(
    "name", rf"{'|'.join(SITE)}|{text.PRACTICE_ID}", f"a practice's id, {', '.join(SITE)}"
)
HEAD = ("n", "at", "event", "actor", "by", "patient", "guardian", "reason")


@click.group(cls=CommandGroup)
def audit() -> None:
    """The audit: one stream a practice, and @site, @keys and @clients."""


@audit.command()
@click.argument("name", type=STREAM)
@click.option("--lines", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many entries.")
@click.option("--patient", type=parameters.PATIENT, help="Of this patient.")
@click.option("--event", default="", metavar="NAME", help="With this name, such as patient.address_changed.")
@click.option("--actor", default="", metavar="WHO", help="By this caller, such as client:portal or cli:root.")
@click.option("--by", default="", metavar="PERSON", help="By this person at the desk, as the client named them.")
@click.option("--guardian", type=parameters.PATIENT, help="In which this patient acts for a dependent.")
@click.option("--since", type=parameters.Instant(), default=0, help="From then on (RFC 3339).")
@click.option("--until", type=parameters.Instant(), default=0, help="Before then (RFC 3339).")
@click.option("--after", type=click.IntRange(1), default=None, metavar="N", help="Older than entry N.")
def tail(
    name: str,
    lines: int,
    patient: str | None,
    event: str,
    actor: str,
    by: str,
    guardian: str | None,
    since: int,
    until: int,
    after: int | None,
) -> None:
    """Show the youngest entries of the stream NAME, a practice's id or @site, @keys, @clients: those that match."""
    log, more = open_service().audit_log, after or 0
    found: list[dict[str, Any]] = []
    while True:
        wanted = AuditFilter(patient or "", event, actor, by, guardian or "", since, until, more)
        page = log.search(name, wanted, lines - len(found))
        found += page.entries
        more = page.next or 0
        if not more or len(found) == lines:
            break
    if page.trimmed_to:
        note(f"Entries up to {page.trimmed_to} were exported and dropped: nothing is found of them here.")
    entries = [_shown(entry) for entry in reversed(found)]
    print_result(
        {"name": name, "entries": entries, "next": more or None},
        lambda: table(HEAD, [[entry.get(column) for column in HEAD] for entry in entries], "No entries."),
    )


@audit.command()
@click.argument("name", type=STREAM, required=False)
@click.pass_context
def verify(ctx: click.Context, name: str | None) -> None:
    """Check the stream NAME, or all streams, against their seals; exit 1 if anything was changed or removed."""
    service = open_service()
    names = [name] if name else [*SITE, *(practice.id for practice in service.practices.list())]
    verdicts = [service.audit_log.verify(each) for each in names]
    intact = not any(verdict.faults for verdict in verdicts)
    documents = [
        {
            "name": verdict.name,
            "intact": not verdict.faults,
            "entries": verdict.entries,
            "sealed_to": verdict.sealed_to,
            "unsealed": verdict.unsealed,
            "faults": list(verdict.faults),
        }
        for verdict in verdicts
    ]

    def text() -> str:
        head = ("name", "intact", "entries", "sealed_to", "unsealed")
        faults = [f"{verdict.name}: {fault}" for verdict in verdicts for fault in verdict.faults]
        return "\n".join([table(head, [[each[column] for column in head] for each in documents]), *faults])

    print_result({"intact": intact, "trails": documents}, text)
    if not intact:
        ctx.exit(FAILED)


@audit.command()
@click.argument("name", type=STREAM)
@click.option("--trim", is_flag=True, help="Drop sealed entries from the store once they have been written out.")
@reason_option
@yes_option
def export(name: str, trim: bool, reason: str, yes: bool) -> None:
    """Write the whole stream NAME to stdout, one JSON object a line (with --json: one document)."""
    if trim:
        confirm(f"Drop the sealed entries of {name} from the store after this export?", yes)
    service = open_service(writes=trim)
    entries, mark = service.audit_log.export(name)
    if output_mode().json:
        print_result({"name": name, "entries": [_shown(entry) for entry in entries]}, "")
    else:
        for entry in entries:
            click.echo(json.dumps(_shown(entry), separators=(",", ":")))
    # Only what has left this process may be dropped: a full disk or a closed pipe ends it here.
    sys.stdout.flush()
    if trim:
        service.audit_log.trim(name, mark, actor=actor(), reason=reason)


def _shown(entry: dict[str, Any]) -> dict[str, Any]:
    """The entry with its instant readable, first things first."""
    return {"n": entry.pop("n"), "at": instant(entry.pop("at_ms", None)), **entry}
