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
    open_service,
    output_mode,
    print_result,
    reason_option,
    table,
    yes_option,
)
from authsvc.cli.errors import FAILED, instant

SITE = ("@site", "@keys", "@clients")
STREAM = parameters.ParameterType(
    "name", rf"{'|'.join(SITE)}|{text.PRACTICE_ID}", f"a practice's id, {', '.join(SITE)}"
)
HEAD = ("n", "at", "event", "actor", "patient", "reason")


@click.group(cls=CommandGroup)
def audit() -> None:
    """The audit: one stream a practice, and @site, @keys and @clients."""


@audit.command()
@click.argument("name", type=STREAM)
@click.option("--lines", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many entries.")
def tail(name: str, lines: int) -> None:
    """Show the youngest entries of the stream NAME, a practice's id or @site, @keys, @clients."""
    entries = [_shown(entry) for entry in open_service().audit_log.tail(name, lines)]
    print_result(
        {"name": name, "entries": entries},
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
    service = open_service()
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
