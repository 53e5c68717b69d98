"""Programs for Node of other authors, from a folder with `package.json` and `package-lock.json`."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.harness.machine import require


def installed(source: Path, folder: Path) -> Path:
    """A copy of this folder with the packages it locks. Skips loudly where that can't be."""
    require("node", "npm")
    copied = folder / source.name
    shutil.copytree(source, copied)
    fetched = subprocess.run(
        ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"],
        cwd=copied,
        capture_output=True,
        text=True,
        timeout=120,
    )
    if fetched.returncode:
        pytest.skip(f"NOT TESTED, npm could not fetch {source.name}: {fetched.stderr[-500:]}")
    return copied
