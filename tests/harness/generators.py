"""The programs in `docs/reference/` that write its pages, as modules."""

from __future__ import annotations

import importlib.util
from types import ModuleType

from tests.harness.machine import ROOT

REFERENCE = ROOT / "docs" / "reference"


def generator(name: str) -> ModuleType:
    """`docs/reference/<name>.py`, which is in no package."""
    spec = importlib.util.spec_from_file_location(name, REFERENCE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
