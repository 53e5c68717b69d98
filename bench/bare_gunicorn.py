"""gunicorn's settings for the bare applications: those of `config/gunicorn.conf.py` without the service's hooks."""

from __future__ import annotations

import runpy
from pathlib import Path

_settings = runpy.run_path(str(Path(__file__).parents[1] / "config" / "gunicorn.conf.py"))
_plain = (str, int, bool, list, dict)
globals().update({name: value for name, value in _settings.items() if name[0] != "_" and isinstance(value, _plain)})
worker_class = "bench.bare.Worker"
