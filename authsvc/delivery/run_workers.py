"""Several workers beside each other, each in a thread of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable

from authsvc.delivery.outbox_worker import CUT_S, GRACE_S, Worker


def run_workers(workers: Iterable[Worker], stop: threading.Event, grace_s: float = GRACE_S) -> bool:
    """Run workers side by side until `stop`; True when all had finished what they had in hand within `grace_s`."""
    finished: list[bool] = []

    def work(worker: Worker) -> None:
        finished.append(worker.run(stop, grace_s))

    threads = [threading.Thread(target=work, args=(worker,), name="outbox", daemon=True) for worker in workers]
    for thread in threads:
        thread.start()
    stop.wait()
    end_s = time.monotonic() + grace_s + CUT_S
    for thread in threads:
        thread.join(max(0.0, end_s - time.monotonic()))
    return len(finished) == len(threads) and all(finished)
