"""How large an installation must be, from measured figures: `python -m bench.size` writes `docs/howto/size-it.md`.

It reads `throughput.json` and `worker.json` under `var/bench`; the assumptions stand on the page.
"""

from __future__ import annotations

import json
import math
import re
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import results
from bench.processes import ROOT

PAGE = ROOT / "docs" / "howto" / "size-it.md"
PRACTICES = (1, 10, 100, 1_000, 10_000)
PATIENTS, SIGN_INS, LINKS, EXCHANGES = 1_000, 40, 60, 50  # of one practice; the last three a day
REFRESHES, FORWARD_AUTHS = 2, 20  # of one sign-in
PEAK = 2 / 5 / 3_600  # of a day's acts, in each second of the busiest minute
HALF = 0.5
LINK_DAYS, KEPT_DAYS = 30, 7
GIB, SHARD_GIB = 2**30, 16

A_DAY = {
    "start": SIGN_INS,
    "verify": SIGN_INS,
    "refresh": SIGN_INS * REFRESHES,
    "forward-auth": SIGN_INS * FORWARD_AUTHS,
    "link": LINKS,
    "exchange": EXCHANGES,
}
AUDITED = ("start", "verify", "refresh", "link", "exchange")


def row(practices: int, bench: dict[str, Any], mails_per_s: float) -> list[str]:
    rates = {act: practices * count * PEAK for act, count in A_DAY.items()}
    closed, lasting = bench["closed"], {name: found["lasting"] for name, found in bench["bytes"].items()}
    app = sum(rate * closed[act]["app_cpu_ms"] / 1000 for act, rate in rates.items()) / HALF
    redis = sum(rate * closed[act]["redis_cpu_us"] / 1e6 for act, rate in rates.items()) / HALF
    mails = rates["start"] + rates["link"]
    entries = sum(A_DAY[act] for act in AUDITED) * KEPT_DAYS
    memory = 2 * (
        practices
        * (
            PATIENTS * lasting["a patient on file"]
            + LINKS * LINK_DAYS * lasting["an instant link"]
            + SIGN_INS * KEPT_DAYS * lasting["a challenge with its mail, after it was sent"]
            + SIGN_INS * lasting["a session (a code verified)"]
            + entries * lasting.get("an audit entry", 0)
        )
    )
    shards = max(1, math.ceil(redis), math.ceil(memory / GIB / SHARD_GIB))
    return [
        f"{practices:,}",
        f"{practices * PATIENTS:,}",
        f"{rates['start']:,.2f}",
        f"{sum(rates.values()):,.1f}",
        f"{app:,.2f}",
        str(max(2, math.ceil(mails / mails_per_s / HALF))),
        f"{redis:,.2f}",
        f"{memory / GIB:,.2f}",
        str(shards),
    ]


def text(bench: dict[str, Any], worker: dict[str, Any]) -> str:
    closed, lasting = bench["closed"], bench["bytes"]
    figures = [
        [act, f"{closed[act]['app_cpu_ms']:.2f}", f"{closed[act]['redis_cpu_us']:.0f}", f"{A_DAY[act]:,}"]
        for act in A_DAY
    ]
    sizes = [[name, f"{found['lasting']:,.0f}"] for name, found in lasting.items()]
    mails_per_s = worker["alone"]["mails_per_s"]
    head = ["practices", "patients", "starts/s", "requests/s", "cores for `serve`", "workers", "cores for Redis"]
    rows = [row(practices, bench, mails_per_s) for practices in PRACTICES]
    source = (
        f"From `make bench` of {bench['date']} (the worker's of {worker['date']}), on"
        f" {bench['machine']['cores']} cores of {bench['machine']['cpu']}; rates are those of the busiest minute."
    )
    return "\n\n".join(
        [
            source,
            results.table([*head, "memory, GiB", "shards"], rows),
            "The figures behind it:",
            results.table(["act", "CPU ms", "Redis CPU µs", "a day and practice"], figures),
            results.table(["record", "bytes"], sizes),
            f"One worker sends {mails_per_s:.0f} mails a second.",
        ]
    )


def main(words: Sequence[str] | None = None) -> None:
    parser = ArgumentParser(
        prog="python -m bench.size", description="Write docs/howto/size-it.md from measured figures."
    )
    parser.add_argument("--results", type=Path, default=ROOT / "var" / "bench", metavar="DIR", help="where the JSON is")
    folder = parser.parse_args(words).results
    try:
        bench, worker = (json.loads((folder / f"{name}.json").read_text()) for name in ("throughput", "worker"))
    except FileNotFoundError as missing:
        sys.exit(f"{missing.filename} is missing: run `make bench` first")
    page, marked = PAGE.read_text(encoding="utf-8"), re.compile(r"(<!-- size -->\n).*?(<!-- end -->)", re.DOTALL)
    PAGE.write_text(
        marked.sub(lambda found: f"{found[1]}\n{text(bench, worker)}\n\n{found[2]}", page), encoding="utf-8"
    )


if __name__ == "__main__":
    main()
