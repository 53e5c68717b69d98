"""Programs for Node of other authors, from a folder with `package.json` and `package-lock.json`."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest


def installed(source: Path, folder: Path) -> Path:
    """A copy of this folder with the packages it locks. Skips loudly where that can't be."""
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip(f"NO NODE AND NPM HERE: nothing was shown to {source.name}")
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
        pytest.skip(f"NPM COULD NOT FETCH {source.name}, nothing was shown to it: {fetched.stderr[-500:]}")
    return copied
