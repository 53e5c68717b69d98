"""A clock of its own for a process, by libfaketime: off by some time, or moved while the process runs."""

from __future__ import annotations

import os
from pathlib import Path

from tests.resilience.processes import Skipped

LIBRARIES = ("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1", "/usr/lib/faketime/libfaketimeMT.so.1")


def shifted(offset: str, file: Path | None = None) -> dict[str, str]:
    """The environment of a process whose clock is off; with `file` the offset is read from there again and again."""
    library = next((path for path in LIBRARIES if os.path.exists(path)), "")
    if not library:
        raise Skipped("libfaketime is not installed (apt-get install libfaketime)")
    made = {"LD_PRELOAD": library, "NO_FAKE_STAT": "1"}
    if file is None:
        return made | {"FAKETIME": offset}  # the monotonic clock is off by as much for ever, which nobody notices
    file.write_text(offset)
    return made | {
        "FAKETIME_TIMESTAMP_FILE": str(file),
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_UPDATE_TIMESTAMP_FILE": "0",
    }
