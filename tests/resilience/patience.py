"""How busy the machine is, and patience to match: bounds of the harness are stretched, what is counted is not.

Wall time over processor time of a short computation: 1 on a free machine, 10 where ten others want the same core. Rows
say so when it was above 2.
"""

from __future__ import annotations

import time

MOST = 10.0
SPIN_S = 0.05  # of processor time

_factor = 1.0


def measure() -> float:
    """Measures anew; called before each row."""
    global _factor
    wall, spent = time.monotonic(), time.thread_time()
    while time.thread_time() - spent < SPIN_S:
        sum(range(1000))
    _factor = min(MOST, max(1.0, (time.monotonic() - wall) / SPIN_S))
    return _factor


def stretched(seconds: float) -> float:
    return seconds * _factor
