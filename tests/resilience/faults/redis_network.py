"""The wire to Redis: slow, cut, stalled, half closed, lying, refused; answers that get lost on the way back."""

from __future__ import annotations

import time
from collections.abc import Iterator

from tests.resilience.registry import Run, fault


@fault("wire-slow", "each answer 150 ms late")
def slow(run: Run) -> Iterator[float]:
    run.deployment.wire.misbehave(delay_s=0.15)
    yield 4
    run.deployment.wire.well()


@fault("wire-slower-than-time-out", "each answer 0.8 s late: executed, but given up")
def slower(run: Run) -> Iterator[float]:
    run.deployment.wire.misbehave(delay_s=0.8)
    yield 5
    run.deployment.wire.well()


@fault("wire-cut", "all connections reset, every 0.3 s for 3 s")
def cut(run: Run) -> Iterator[float]:
    for _ in range(10):
        run.deployment.wire.cut()
        time.sleep(0.3)
    yield 0.1


@fault("wire-stalled", "bytes stand still for 5 s, then all pass")
def stalled(run: Run) -> Iterator[float]:
    run.deployment.wire.misbehave(stall=True)
    yield 5
    run.deployment.wire.well()


@fault("wire-half-closed", "the server's side of each connection is shut, twice a second for 3 s")
def half_closed(run: Run) -> Iterator[float]:
    for _ in range(6):
        run.deployment.wire.half_close()
        time.sleep(0.5)
    yield 0.1


@fault("wire-answers-lost", "commands arrive, answers are cut off: executed, and nobody knows")
def answers_lost(run: Run) -> Iterator[float]:
    run.deployment.wire.misbehave(cut_answers_after=0)
    yield 1.2
    run.deployment.wire.well()


@fault("wire-answers-torn", "each answer ends after 5 bytes, the connection is reset")
def answers_torn(run: Run) -> Iterator[float]:
    run.deployment.wire.misbehave(cut_answers_after=5)
    yield 3
    run.deployment.wire.well()


@fault("wire-refused", "new connections are reset, open ones cut")
def refused(run: Run) -> Iterator[float]:
    run.deployment.wire.misbehave(refuse=True)
    run.deployment.wire.cut()
    yield 4
    run.deployment.wire.well()


@fault("wire-silent", "connections are taken and never answered")
def silent(run: Run) -> Iterator[float]:
    run.deployment.wire.misbehave(silent=True)
    run.deployment.wire.cut()
    yield 5
    run.deployment.wire.well()


@fault("wire-dripping", "answers byte by byte, 20 ms between them")
def dripping(run: Run) -> Iterator[float]:
    run.deployment.wire.misbehave(drip_s=0.02)
    yield 5
    run.deployment.wire.well()


@fault("wire-garbage", "bytes that are no Redis protocol in front of each answer")
def garbage(run: Run) -> Iterator[float]:
    run.deployment.wire.misbehave(garbage=b"HTTP/1.1 400 Bad Request\r\n\r\n")
    yield 3
    run.deployment.wire.well()
    run.deployment.wire.cut()


@fault("wire-flapping", "well for 0.5 s, stalled for 0.5 s, eight times")
def flapping(run: Run) -> Iterator[float]:
    for _ in range(8):
        run.deployment.wire.misbehave(stall=True)
        time.sleep(0.5)
        run.deployment.wire.well()
        time.sleep(0.5)
    yield 0.1
