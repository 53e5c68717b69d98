"""Attacks by area. Importing this registers all of them."""

from __future__ import annotations

from importlib import import_module

AREAS = ("tokens", "pages", "guessing", "floods", "stored", "inputs")

for _area in AREAS:
    import_module(f"tests.resilience.attacks.{_area}")
