"""The section of the page, and the chart, on growth and shards."""

from __future__ import annotations

from typing import Any

from bench import results, targets
from bench.charts import lines

ACTS = ("start", "verify", "refresh", "link", "exchange", "introspect", "forward-auth")


def section(result: dict[str, Any], before: dict[str, Any]) -> str:
    rows = result["flatness"]
    names = [act for act in ACTS if act in rows[0]["acts"]]
    growth = {act: rows[-1]["acts"][act]["redis_us"] / rows[0]["acts"][act]["redis_us"] for act in names}
    table = [
        [
            f"{row['records']:,}",
            f"{row['keys']:,}",
            f"{row['used_mib']:,.0f}",
            *(f"{row['acts'][act]['redis_us']:.0f}" for act in names),
            f"{row['reference_us']:.0f}",
            f"{row['longest_script_ms']:.1f}",
        ]
        for row in rows
    ]
    last = ["most to fewest", "", "", *(f"× {growth[act]:.2f}" for act in names)]
    table.append([*last, f"× {rows[-1]['reference_us'] / rows[0]['reference_us']:.2f}", ""])
    machine = rows[-1]["reference_us"] / rows[0]["reference_us"]
    table.append(
        ["beside the six commands", "", "", *(f"× {growth[act] / machine:.2f}" for act in names), "× 1.00", ""]
    )
    if early := before.get("flatness"):
        earlier = [early[-1]["acts"][act]["redis_us"] / early[0]["acts"][act]["redis_us"] for act in names]
        table.append(
            [f"before (to {early[-1]['records']:,})", "", "", *(f"× {value:.2f}" for value in earlier), "", ""]
        )
    head = ["records of each kind", "keys", "MiB", *names, "six commands", "longest script, ms"]
    flat = f"### Flatness: Redis CPU µs an act (target: within ± {targets.FLAT:.0%})\n\n{results.table(head, table)}"
    if not result["shards"]:
        return "\n\n".join([results.machine_line(result, "python -m bench.scale --quick"), flat])
    chart = "![Redis CPU of an act by the number of records](performance-scale.svg)"
    return "\n\n".join([results.machine_line(result, "make bench-scale"), flat, chart, _shards(result["shards"])])


def _shards(found: dict[str, Any]) -> str:
    head = ["act", *(f"{number}: in all · busiest" for number in found)]
    rows = [
        [act, *(f"{acts[act]['total_us']:.0f} · {acts[act]['busiest_us']:.0f}" for acts in found.values())]
        for act in next(iter(found.values()))
    ]
    return f"### Shards: Redis CPU µs an act\n\n{results.table(head, rows)}"


def charts(result: dict[str, Any]) -> dict[str, str]:
    rows = result["flatness"]
    series = {act: [row["acts"][act]["redis_us"] for row in rows] for act in ACTS if act in rows[0]["acts"]}
    marks = [f"{row['records']:,}" for row in rows]
    return {"performance-scale.svg": lines("Redis CPU of an act by the number of records", marks, series, "µs")}
