"""Where the worker processes of one `serve` keep their metrics, so that any of them can show the sum.

prometheus_client gives every process a file in one folder. The folder is new for each run (old files would be counted
again), lies in shared memory (the files are written at every count), and goes with the run. One that a killed run left
behind is cleared away by the next: a run holds a lock on its folder, which the kernel lets go with the last process.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
SHARED_MEMORY = "/dev/shm"  # noqa: S108 - only as a parent for mkdtemp and mkstemp
PREFIX = "authsvc-metrics-"
LOCK = "lock"


@contextmanager
def metrics_folder() -> Iterator[Path]:
    """The folder of this run, named by PROMETHEUS_MULTIPROC_DIR as long as it lasts; made inside the folder that the
    variable named before, if it did. prometheus_client reads the variable when it is imported, so this comes first."""
    before = os.environ.get(VARIABLE)
    parent = Path(before or shared_memory() or tempfile.gettempdir())
    _clear_away(parent)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    mine = os.getpid()
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        (folder / ".lock").rename(folder / LOCK)  # seen by others only once it is held
        os.environ[VARIABLE] = str(folder)
        try:
            yield folder
        finally:
            if os.getpid() == mine:  # a forked worker leaves through here too
                shutil.rmtree(folder, ignore_errors=True)
                if before is None:
                    del os.environ[VARIABLE]
                else:
                    os.environ[VARIABLE] = before


def shared_memory() -> str | None:
    """Where small files that change all the time should be; None for the system's own choice."""
    return SHARED_MEMORY if os.access(SHARED_MEMORY, os.W_OK) else None


def _clear_away(parent: Path) -> None:
    """Folders of runs of which no process is left."""
    for folder in parent.glob(f"{PREFIX}*"):
        try:
            with (folder / LOCK).open("r+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:  # somebody holds it, or it isn't ours
            continue
