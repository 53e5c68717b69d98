"""The table of targets: what was aimed at, what was before, what was reached."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bench import results, targets

Row = tuple[str, str, str, str, bool | None]
"""Figure, target, before, reached, and whether the target is met (None: nothing was measured)."""


def section(found: dict[str, Any], before: dict[str, Any]) -> str:
    """Of these results by benchmark; a benchmark that wasn't run has no rows."""
    rows = [
        [name, target, earlier, reached, "–" if met is None else "yes" if met else "**no**"]
        for rows_of in (_ratios, _replay, _bytes, _round_trips, _worker, _overload, _flatness)
        for name, target, earlier, reached, met in rows_of(found, before)
    ]
    return results.table(["figure", "target", "before", "reached", "met"], rows)


def _at(found: dict[str, Any], *path: str) -> Any:
    value: Any = found
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _row(name: str, sign: str, target: float, earlier: Any, reached: Any, form: str = ",.0f", unit: str = "") -> Row:
    def shown(value: Any) -> str:
        return "–" if value is None else f"{value:{form}}{unit}"

    met = None if reached is None else bool(reached >= target if sign == "≥" else reached <= target)
    return name, f"{sign} {shown(target)}", shown(earlier), shown(reached), met


def _ratios(found: dict[str, Any], before: dict[str, Any]) -> Iterator[Row]:
    for act, target in targets.RATIO.items():
        path = ("throughput", "closed", act, "to_flask")
        yield _row(f"{act}: requests/s to bare Flask", "≥", target, _at(before, *path), _at(found, *path), ".2f")


def _replay(found: dict[str, Any], before: dict[str, Any]) -> Iterator[Row]:
    for act, target in targets.REPLAY_US.items():
        path = ("replay", "acts", act, "cpu_us")
        yield _row(f"{act}: Redis CPU, replayed", "≤", target, _at(before, *path), _at(found, *path), unit=" µs")


def _bytes(found: dict[str, Any], before: dict[str, Any]) -> Iterator[Row]:
    for record, target in targets.BYTES.items():
        path = ("throughput", "bytes", record, "lasting")
        yield _row(record, "≤", target, _at(before, *path), _at(found, *path), unit=" B")


def _round_trips(found: dict[str, Any], before: dict[str, Any]) -> Iterator[Row]:
    for act in _acts(found):
        path, target = ("throughput", "round_trips", act, "round_trips"), targets.ROUND_TRIPS.get(act, 1)
        reached = round(_at(found, *path))  # of those that threads make beside the act now and then, none is left
        yield _row(f"{act}: round trips", "≤", target, _at(before, *path), reached)


def _acts(found: dict[str, Any]) -> list[str]:
    return list(found.get("throughput", {}).get("round_trips", {}))


def _worker(found: dict[str, Any], before: dict[str, Any]) -> Iterator[Row]:
    for name, sign, target, key, form, unit in (
        ("worker: mails a second", "≥", targets.MAILS_PER_S, "mails_per_s", ",.0f", ""),
        ("worker: CPU a mail", "≤", targets.MAIL_CPU_MS, "cpu_ms", ".1f", " ms"),
    ):
        path = ("worker", "alone", key)
        yield _row(name, sign, target, _at(before, *path), _at(found, *path), form, unit)


def _overload(found: dict[str, Any], before: dict[str, Any]) -> Iterator[Row]:
    for act in ("start", "forward-auth"):

        def ratio(of: dict[str, Any], act: str = act) -> float | None:
            twice = _at(of, "overload", "acts", act, "twice", "requests", "p99_ms")
            unloaded = _at(of, "overload", "acts", act, "unloaded", "p99_ms")
            return twice / unloaded if twice and unloaded else None

        name = f"{act}: p99 at twice the capacity, to unloaded"
        yield _row(name, "≤", targets.OVERLOAD_P99, ratio(before), ratio(found), ".1f")


def _flatness(found: dict[str, Any], _before: dict[str, Any]) -> Iterator[Row]:
    rows = found.get("scale", found.get("flatness", {})).get("flatness", [])
    if len(rows) < 2:
        return
    machine = rows[-1]["reference_us"] / rows[0]["reference_us"]
    first, last = (rows[at]["acts"] for at in (0, -1))
    growth = {act: last[act]["redis_us"] / one["redis_us"] / machine for act, one in first.items()}
    worst = max(growth, key=lambda act: growth[act])
    name = f"{rows[0]['records']:,} to {rows[-1]['records']:,} records: the cost that grows most ({worst})"
    yield _row(name, "≤", 1 + targets.FLAT, None, growth[worst], ".2f")
    yield _row("longest script", "≤", 5, None, max(row["longest_script_ms"] for row in rows), ".1f", " ms")
