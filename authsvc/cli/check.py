"""`authsvc check`: everything that could keep the service from running well, at once."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import click

from authsvc.cli.base import Command, print_result, table
from authsvc.cli.errors import FAILED
from authsvc.config import environment
from authsvc.errors import Unavailable
from authsvc.server import preflight
from authsvc.server.preflight import FAULT, PreflightResult

if TYPE_CHECKING:
    from authsvc.config.limits import Limits
    from authsvc.config.settings import Settings
    from authsvc.wiring import Service

HIDDEN = "(set; not shown)"


@click.command(cls=Command)
@click.option("--live", is_flag=True, help="Also try the store, the keys, the clients and the mail host.")
@click.pass_context
def check(ctx: click.Context, live: bool) -> None:
    """Check settings, limits and the guess bound; exit 1 with every fault at once."""
    from authsvc import logs, wiring

    settings, catalogue, limits = environment.load()
    logs.configure("error")
    found = [*_settings(settings), _guesses(settings, limits)]
    if live:
        service = wiring.bootstrap(settings, catalogue, limits)
        found += [*_store(service), *preflight.storage(service), preflight.keys(service)]
        found += [preflight.clients(service), preflight.mail(service)]
    good = not any(result.verdict == FAULT for result in found)
    print_result(
        {"ok": good, "findings": [dataclasses.asdict(result) for result in found]},
        lambda: table(
            ("verdict", "what", "detail"), [(result.verdict, result.name, result.detail) for result in found]
        ),
    )
    if not good:
        ctx.exit(FAILED)


def _store(service: Service) -> list[PreflightResult]:
    try:
        return preflight.store(service)
    except Unavailable as away:
        why = service.store.outage_sentence() or "Redis doesn't answer; is it up, and AUTHSVC_REDIS_URL right?"
        return [PreflightResult("redis", FAULT, f"{why} ({away.reason})")]


def _settings(settings: Settings) -> list[PreflightResult]:
    """Every setting with its value (secrets hidden) and where it comes from. A wrong one never gets here."""
    return [
        PreflightResult(
            f"AUTHSVC_{field.name.upper()}", preflight.OK, _shown(getattr(settings, field.name), field.repr)
        )
        for field in dataclasses.fields(settings)
    ]


def _shown(value: Any, may_show: bool) -> str:
    if not may_show:
        return HIDDEN
    if isinstance(value, tuple):
        return ", ".join(str(item) for item in value) or "none"
    return str(value) if value != "" else "the packaged default"


def _guesses(settings: Settings, limits: Limits) -> PreflightResult:
    from authsvc.config.limits import guess_chance

    chance = guess_chance(limits)
    return PreflightResult(
        "guess bound",
        preflight.OK,
        "chance of entering one mailbox by guessing: "
        f"by address or patient: {_chance(limits.misses_per_day, limits.live_codes)}; "
        f"by a client's links: {_chance(limits.misses_by_links_per_day, limits.live_codes)}; "
        f"worst case over all permissions: {chance:g} a day, bound {settings.guess_bound:g}",
    )


def _chance(misses: int, live_codes: int) -> str:
    return f"{misses * live_codes / 10**6:g} a day ({misses} misses × {live_codes} live codes / 10^6)"
