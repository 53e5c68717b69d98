"""`make faults`: every fault, one table, exit 1 when a row fails. `ONLY=name,name` picks by name, prefix or area."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path

from tests.resilience.faults import AREAS
from tests.resilience.faults.runner import Runner
from tests.resilience.processes import ROOT
from tests.resilience.registry import FAULTS, Fault, Row
from tests.resilience.table import table

HEADS = ("fault", "how", "what callers saw", "lost", "doubled", "well s", "verdict", "what happened")
WIDTHS = (26, 34, 30, 4, 7, 6, 7, 60)
LANES = 2  # deployments side by side: most of the time is waiting


def chosen(only: str) -> list[Fault]:
    words = [word for word in only.replace(",", " ").split() if word]
    found = [fault for fault in FAULTS.values() if not words or any(_picks(word, fault) for word in words)]
    order = {area: place for place, area in enumerate(AREAS)}
    return sorted(found, key=lambda fault: (fault.kind, order[fault.area]))


def _picks(word: str, fault: Fault) -> bool:
    """A name (`=` before it: nothing longer), the beginning of one, or an area."""
    return fault.name == word[1:] if word.startswith("=") else fault.name.startswith(word) or fault.area == word


def told(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def main() -> int:
    faults = chosen(os.environ.get("ONLY", "") or " ".join(sys.argv[1:]))
    if os.environ.get("LIST"):
        print("\n".join(f"{fault.name:28} {fault.how}" for fault in faults))
        return 0
    if os.environ.get("AS_JSON"):
        runner = Runner(told)
        for fault in faults:
            print(json.dumps(asdict(runner.run(fault))), flush=True)
        runner.discard()
        return 0
    started = time.monotonic()
    lanes = int(os.environ.get("LANES", LANES)) if len(faults) > 4 else 1
    saved = Path(os.environ["SAVE"]) if "SAVE" in os.environ else None
    rows = in_lanes(faults, lanes, saved)
    print(table(HEADS, WIDTHS, [cells(row) for row in rows]))
    failed = [row.name for row in rows if row.failures]
    skipped = [row.name for row in rows if row.skipped]
    print(
        f"\n{len(rows)} faults in {time.monotonic() - started:.0f} s: {len(rows) - len(failed) - len(skipped)} ok, "
        f"{len(failed)} failed, {len(skipped)} skipped {skipped or ''}"
    )
    return 1 if failed or not rows else 0


def cells(row: Row) -> tuple[object, ...]:
    happened = "; ".join([row.skipped] if row.skipped else [*row.failures, *row.notes])
    well = "" if row.well_s is None else f"{row.well_s:.1f}"
    return row.name, row.how, row.saw, row.lost, row.doubled, well, row.verdict, happened


def in_lanes(faults: list[Fault], lanes: int, saved: Path | None) -> list[Row]:
    """Each lane is a process with deployments of its own. `saved` has the rows of an interrupted run, which goes on."""
    rows: dict[str, Row] = {}
    if saved is not None and saved.exists():
        rows = {row.name: row for row in (Row(**json.loads(line)) for line in saved.read_text().splitlines())}
    left = [fault for fault in faults if fault.name not in rows]
    areas = Counter(fault.area for fault in left)
    shares: list[list[Fault]] = [[] for _ in range(lanes)]
    for area, _ in areas.most_common():  # whole areas, so that deployments are used again
        min(shares, key=len).extend(fault for fault in left if fault.area == area)
    threads = [threading.Thread(target=_lane, args=(share, rows, saved)) for share in shares if share]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [rows.get(fault.name, Row(fault.name, fault.how, failures=["its lane ended"])) for fault in faults]


def _lane(share: list[Fault], rows: dict[str, Row], saved: Path | None) -> None:
    names = " ".join(f"={fault.name}" for fault in share)
    environ = os.environ | {"AS_JSON": "1", "ONLY": names}
    lane = subprocess.Popen(
        [sys.executable, "-m", "tests.resilience.faults"], env=environ, cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert lane.stdout is not None
    for line in lane.stdout:
        row = Row(**json.loads(line))
        rows[row.name] = row
        if saved is not None:
            with saved.open("a") as sink:
                sink.write(line)
        told(f"{row.name}: {row.verdict} in {row.took_s:.0f} s {'; '.join(row.failures)}")
    lane.wait()


if __name__ == "__main__":
    sys.exit(main())
