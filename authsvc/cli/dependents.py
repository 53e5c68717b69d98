"""Dependents: which patient may act for which other one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from authsvc.cli import parameters
from authsvc.cli.base import CommandGroup, act_in, open_service, print_result, reason_option
from authsvc.text import rfc3339

if TYPE_CHECKING:
    from authsvc.model import Dependent


@click.group(cls=CommandGroup)
def dependents() -> None:
    """Dependents: which patient may act for which other one."""


@dependents.command()
@click.argument("practice", type=parameters.PRACTICE)
@click.argument("guardian", type=parameters.PATIENT)
@click.argument("dependent", type=parameters.PATIENT)
@click.option("--until", type=parameters.Instant(), help="When that ends, as 2031-05-01 (UTC) or an RFC 3339 instant.")
@click.option(
    "--workflow", "workflows", multiple=True, type=parameters.WORKFLOW,
    help="What the guardian may do for the dependent; repeat it. Without one: all that needs a code.",
)  # fmt: skip
@reason_option
def add(
    practice: str, guardian: str, dependent: str, until: int | None, workflows: tuple[str, ...], reason: str
) -> None:
    """Let the patient GUARDIAN act for the patient DEPENDENT of PRACTICE, or change until when and with what."""
    service = open_service(writes=True)
    act = act_in(service, practice, reason)
    put, created = service.dependents.put(act, guardian, dependent, until_ms=until, workflows=workflows or None)
    print_result({"practice": practice, **_shown(put), "created": created}, _line(put))


@dependents.command("list")
@click.argument("practice", type=parameters.PRACTICE)
@click.argument("guardian", type=parameters.PATIENT)
def list_dependents(practice: str, guardian: str) -> None:
    """List those for whom a patient may act."""
    service = open_service()
    found = service.dependents.list(act_in(service, practice), guardian)
    shown = {"practice": practice, "dependents": [_shown(one) for one in found]}
    print_result(shown, "\n".join(map(_line, found)) or f"{guardian} acts for nobody.")


@dependents.command()
@click.argument("practice", type=parameters.PRACTICE)
@click.argument("guardian", type=parameters.PATIENT)
@click.argument("dependent", type=parameters.PATIENT)
@reason_option
def remove(practice: str, guardian: str, dependent: str, reason: str) -> None:
    """Let GUARDIAN act for DEPENDENT no more: the sessions in which it does end at once."""
    service = open_service(writes=True)
    service.dependents.remove(act_in(service, practice, reason), guardian, dependent)
    removed = {"practice": practice, "guardian": guardian, "dependent": dependent, "removed": True}
    print_result(removed, f"{guardian} acts for {dependent} no more.")


def _shown(one: Dependent) -> dict[str, Any]:
    return {
        "guardian": one.guardian,
        "dependent": one.dependent,
        "until": None if one.until_ms is None else rfc3339(one.until_ms),
        "workflows": None if one.workflows is None else list(one.workflows),
    }


def _line(one: Dependent) -> str:
    ends = "" if one.until_ms is None else f" until {rfc3339(one.until_ms)}"
    return f"{one.guardian} acts for {one.dependent}{ends}: {', '.join(one.workflows or ('all that needs a code',))}."
