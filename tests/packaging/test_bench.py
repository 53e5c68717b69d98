"""`make bench` runs as it stands."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_the_bench_measures_every_act() -> None:
    root = Path(__file__).parents[2]
    run = subprocess.run(
        [sys.executable, "-m", "bench", "5"], cwd=root, check=True, capture_output=True, text=True, timeout=120
    )
    rows = [line for line in run.stdout.splitlines() if line.startswith(("verify a code", "forward-auth", "refresh"))]
    assert len(rows) == 6
