"""What may change at Redis while the service runs: whether it may throw keys away, and how far its clock is off."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from statistics import median_low
from typing import Any, Final

from authsvc.ports import Clock
from authsvc.store.connection import Connection

CLOCK_OFF_MS: Final = 2_000  # what ends is counted by our clocks: from here on it is told
CLOCK_DIFFERS_MS: Final = 100  # from here on it is a difference and not the time that the question took
EVICTS: Final = "store_evicts"

log = logging.getLogger("authsvc.store")


def nodes(info: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The reply to INFO by node: a client of a cluster has one for each."""
    if info and all(isinstance(node, Mapping) for node in info.values()):
        return dict(info)
    return {"redis": info}


def clock_offset_ms(info: Mapping[str, Any], now_ms: int) -> int | None:
    """How far Redis's clock is ahead of ours; None where it doesn't say."""
    at_us = info.get("server_time_usec")
    return None if at_us is None else int(at_us) // 1000 - now_ms


def maxmemory(info: Mapping[str, Any]) -> int:
    """What a practice's node may hold at least: practices lie on any primary. 0 where none is set."""
    primaries = [node for node in nodes(info).values() if node.get("role") != "slave"]
    return min((most for node in primaries if (most := int(node.get("maxmemory", 0)))), default=0)


class StoreWatch:
    """`refresh` is called by a poller. In production a store that evicts does nothing for us any more."""

    def __init__(self, connection: Connection, clock: Clock, production: bool, show: Callable[[float], None]) -> None:
        """`show` is given the offset of the clocks in seconds."""
        self._connection = connection
        self._clock = clock
        self._production = production
        self._show = show
        self._told_off = False

    def refresh(self) -> None:
        """Raises Unavailable."""
        before_ms = self._clock.now_ms()
        info = self._connection.call(lambda client: client.info())
        found = nodes(info)
        self._connection.maxmemory = maxmemory(info)
        middle_ms = (before_ms + self._clock.now_ms()) // 2
        self._check_policy({str(info.get("maxmemory_policy", "noeviction")) for info in found.values()})
        offsets = [offset for info in found.values() if (offset := clock_offset_ms(info, middle_ms)) is not None]
        if offsets:
            self._check_clock(max(offsets, key=abs))
            # Limits are shared between instances whose clocks differ, so they are counted by Redis's.
            offset_ms = median_low(offsets)
            self._connection.clock_offset_ms = offset_ms if abs(offset_ms) >= CLOCK_DIFFERS_MS else 0

    def _check_policy(self, policies: set[str]) -> None:
        evicting = ", ".join(sorted(policies - {"noeviction"})) if self._production else ""
        if evicting and not self._connection.refusal:
            log.error("the store may throw keys away: nothing is done with it", extra={"reason": evicting})
        elif self._connection.refusal and not evicting:
            log.warning("the store throws no keys away any more")
        self._connection.refusal = EVICTS if evicting else ""

    def _check_clock(self, offset_ms: int) -> None:
        self._show(offset_ms / 1000)
        off = abs(offset_ms) >= CLOCK_OFF_MS
        if off != self._told_off:
            words = "Redis's clock and ours differ" if off else "Redis's clock and ours agree again"
            log.warning(words, extra={"offset_ms": offset_ms})
        self._told_off = off
