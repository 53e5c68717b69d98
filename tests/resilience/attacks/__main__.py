"""`make attacks`: every attack, one table, exit 1 when an attacker gets anything or the neighbour falls below 99 %."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from dataclasses import dataclass, field

from tests.resilience.attacks import AREAS
from tests.resilience.attacks.registry import ATTACKS, NEIGHBOUR_SHARE, Attack, Found, Neighbour
from tests.resilience.deployment import Deployment
from tests.resilience.faults.runner import TimedOut, time_limit
from tests.resilience.patience import measure
from tests.resilience.processes import Skipped
from tests.resilience.table import table

HEADS = ("attack", "how", "requests", "what the attacker got", "figures", "neighbour", "verdict")
WIDTHS = (30, 40, 8, 48, 46, 9, 7)


@dataclass
class Row:
    attack: Attack
    found: Found = field(default_factory=Found)
    share: float | None = None
    failures: list[str] = field(default_factory=list)
    skipped: str = ""

    @property
    def verdict(self) -> str:
        if self.skipped:
            return "SKIPPED"
        return "FAIL" if self.failures or self.found.got else "ok"

    def cells(self) -> tuple[object, ...]:
        got = "; ".join([*self.found.got, *self.failures]) or self.skipped or "nothing"
        share = "" if self.share is None else f"{self.share:.1%}"
        how = (
            f"{self.attack.how} [limits changed: {' '.join(self.attack.limits.split())}]" if self.attack.limits else ""
        )
        figures = "; ".join(self.found.figures)
        return self.attack.name, how or self.attack.how, self.found.effort, got, figures, share, self.verdict


class Runner:
    """Keeps a deployment for attacks with the same limits."""

    def __init__(self) -> None:
        self._kept: Deployment | None = None
        self._key: object = None

    def run(self, attack: Attack) -> Row:
        row, busy = Row(attack), measure()
        try:
            with time_limit(int(attack.timeout_s * busy)):
                self._run(attack, row)
        except Skipped as skipped:
            row.skipped = str(skipped)
        except TimedOut:
            row.failures.append(f"not over after {attack.timeout_s * busy:.0f} s")
            self.discard()
        except Exception as error:  # noqa: BLE001 - a row that breaks must not end the table
            row.failures.append(f"harness: {type(error).__name__}: {str(error)[:200]}")
            self.discard()
        if attack.own:
            self.discard()
        return row

    def discard(self) -> None:
        kept, self._kept = self._kept, None
        if kept is not None:
            kept.discard()

    def _run(self, attack: Attack, row: Row) -> None:
        key = (attack.limits, tuple(attack.settings.items()))
        if self._kept is None or self._key != key or attack.own:
            self.discard()
            self._kept, self._key = Deployment("single", attack.limits, **attack.settings), key
            (attack.prepared or Deployment.start)(self._kept)
        deployment = self._kept
        with Neighbour(deployment.clients["birch"]) as neighbour:
            attack.act(deployment, row.found)
            deadline = time.monotonic() + 5
            while neighbour.right + neighbour.wrong < 12 and time.monotonic() < deadline:
                time.sleep(0.1)
        row.share = neighbour.share
        if neighbour.share < NEIGHBOUR_SHARE:
            row.failures.append(f"the neighbour saw {dict(Counter(neighbour.refusals))}")
        if neighbour.slowest_s > 2:
            row.found.figures.append(f"neighbour's slowest call {neighbour.slowest_s:.1f} s")


def chosen(only: str) -> list[Attack]:
    words = [word for word in only.replace(",", " ").split() if word]
    order = {area: place for place, area in enumerate(AREAS)}
    found = [
        attack
        for attack in ATTACKS.values()
        if not words or any(attack.name.startswith(word) or attack.area == word for word in words)
    ]
    return sorted(found, key=lambda attack: (attack.own, attack.limits, order[attack.area]))


def main() -> int:
    attacks = chosen(os.environ.get("ONLY", "") or " ".join(sys.argv[1:]))
    if os.environ.get("LIST"):
        print("\n".join(f"{attack.name:32} {attack.how}" for attack in attacks))
        return 0
    started, runner, rows = time.monotonic(), Runner(), []
    for attack in attacks:
        print(f"{time.strftime('%H:%M:%S')} {attack.name}", file=sys.stderr, flush=True)
        row = runner.run(attack)
        print(f"  {row.verdict} {'; '.join(row.failures + row.found.got)}", file=sys.stderr, flush=True)
        rows.append(row)
    runner.discard()
    print(table(HEADS, WIDTHS, [row.cells() for row in rows]))
    failed = [row.attack.name for row in rows if row.verdict == "FAIL"]
    skipped = [row.attack.name for row in rows if row.skipped]
    print(
        f"\n{len(rows)} attacks in {time.monotonic() - started:.0f} s: "
        f"{len(rows) - len(failed) - len(skipped)} ok, {len(failed)} failed, {len(skipped)} skipped {skipped or ''}"
    )
    return 1 if failed or not rows else 0


if __name__ == "__main__":
    sys.exit(main())
