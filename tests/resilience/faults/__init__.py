"""Faults by area. Importing this registers all of them."""

from __future__ import annotations

from importlib import import_module

AREAS = (
    "redis_process",
)

for _area in AREAS:
    import_module(f"tests.resilience.faults.{_area}")
