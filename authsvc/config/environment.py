"""Everything that the environment and its files say, read at once, so that an operator sees all faults together."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TypeVar

from authsvc.config import limits as limits_file
from authsvc.config import load as config
from authsvc.config import workflows
from authsvc.config.limits import Limits
from authsvc.config.settings import Settings
from authsvc.config.workflows import Catalogue
from authsvc.errors import Fault, SettingsInvalid

T = TypeVar("T")


def load(environ: Mapping[str, str] | None = None) -> tuple[Settings, Catalogue, Limits]:
    """Settings, catalogue and limits of this environment. Raises SettingsInvalid with the faults of all three."""
    given = os.environ if environ is None else environ
    faults: list[Fault] = []

    def collect(read: Callable[[], T]) -> T | None:
        try:
            return read()
        except SettingsInvalid as invalid:
            faults.extend(invalid.faults)
            return None

    settings = collect(lambda: config.load(given))
    catalogue = collect(lambda: workflows.load(config.named_file(given, "workflows_file")))
    limits = collect(lambda: limits_file.load(config.named_file(given, "limits_file")))
    if settings and limits:
        faults += limits_file.check(limits, settings.guess_bound)
    if faults or settings is None or catalogue is None or limits is None:
        raise SettingsInvalid(*faults)
    return settings, catalogue, limits
