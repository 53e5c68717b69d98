"""Faults by area. Importing this registers all of them."""

from __future__ import annotations

from importlib import import_module

AREAS = (
    "redis_process",
    "redis_network",
    "redis_data",
    "redis_replies",
    "smtp",
    "processes_of_ours",
    "http_clients",
    "clocks",
    "addresses",
    "sentinel",
    "cluster",
)

for _area in AREAS:
    import_module(f"tests.resilience.faults.{_area}")
