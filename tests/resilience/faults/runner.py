"""Runs one fault after the other: traffic, the fault, the mending, until well, and then the book."""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from tests.resilience.acknowledged import Book, Faults
from tests.resilience.audit import check
from tests.resilience.deployment import Deployment
from tests.resilience.http_caller import Observed
from tests.resilience.patience import measure, stretched
from tests.resilience.processes import NotWithin, Skipped
from tests.resilience.registry import Fault, Row, Run
from tests.resilience.table import counted
from tests.resilience.traffic import Traffic
from tests.resilience.wellness import WELL_WITHIN_S, await_well

BASELINE_S = 0.8  # of traffic before the fault
FORWARD_AUTH = {"200", "401", "403", "503"}  # its contract: nothing else
UNGUARDED = {"livez", "jwks", "readyz", "sign-in page", "link page", "forward-auth", "well"}
OF_JUNK = {"probe start", "probe verify", "probe exchange", "probe refresh"}
"""Of the prober, with things that lead nowhere: after some rows from one address the limits rightly refuse them."""
FAST_S = 1.0  # p99 of a practice that must be spared


class TimedOut(BaseException):
    """The fault's own time is over."""


@contextmanager
def time_limit(seconds: int) -> Iterator[None]:
    def over(*_: object) -> None:
        raise TimedOut

    before = signal.signal(signal.SIGALRM, over)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


class Runner:
    """Keeps one deployment for faults of the same kind, as long as each leaves it well."""

    def __init__(self, told: Callable[[str], None] = lambda text: None) -> None:
        self._told = told
        self._kept: Deployment | None = None
        self._key: object = None

    def run(self, fault: Fault) -> Row:
        row = Row(fault.name, fault.how)
        started = time.monotonic()
        self._told(f"{fault.name}: {fault.how}")
        keep, busy = False, measure()
        try:
            with time_limit(int(fault.timeout_s * busy)):
                keep = self._run(fault, row)
        except Skipped as skipped:
            row.skipped = str(skipped)
        except TimedOut:
            row.failures.append(f"hang: not over after {fault.timeout_s * busy:.0f} s")
        except (NotWithin, AssertionError) as error:
            row.failures.append(f"{type(error).__name__}: {str(error)[:300]}")
        except Exception as error:  # noqa: BLE001 - a row that breaks must not end the table
            row.failures.append(f"harness: {type(error).__name__}: {str(error)[:300]}")
        if not keep or fault.own:
            self.discard()
        if busy > 2:
            row.notes.append(f"a busy machine (×{busy:.0f})")
        row.took_s = time.monotonic() - started
        return row

    def discard(self) -> None:
        kept, self._kept = self._kept, None
        if kept is not None:
            kept.discard()

    def _deployment(self, fault: Fault) -> Deployment:
        key = (fault.kind, tuple(fault.settings.items()))
        if self._kept is None or self._key != key or fault.own:
            self.discard()
            self._kept, self._key = Deployment(fault.kind, **fault.settings), key
            (fault.prepared or Deployment.start)(self._kept)
        return self._kept

    def _run(self, fault: Fault, row: Row) -> bool:
        """Fills the row. True when the deployment can be used again."""
        deployment = self._deployment(fault)
        deployment.observed.all.clear()
        book = Book(deployment.folder / f"book-{fault.name}.jsonl")
        run = Run(deployment, book)
        with Traffic(deployment, book, probing=fault.probing) as traffic:
            time.sleep(BASELINE_S)
            doing = fault.act(run)
            injected = time.monotonic()
            hold_s = next(doing)
            made = time.monotonic()  # on a busy machine it may take seconds to make a fault
            time.sleep(hold_s)
            healed = time.monotonic()
            with suppress(StopIteration):
                next(doing)
            well, reason = await_well(deployment, mail=fault.check_mail)
            traffic.stop()
        window = (made, healed) if hold_s else (injected, well)
        if not reason:
            row.well_s = max(0.0, well - (healed if hold_s else injected))
        else:
            run.failures.append(f"not well within {WELL_WITHIN_S:g} s: {reason}")
            reason = self._restarted(deployment, run)
        if not run.in_flight_counts:
            book.seen = Faults()
        found = book.seen
        if not reason:
            found = check(deployment, book, copies=fault.copies, mail=fault.check_mail, until=run.checked_until)
        book.close()
        row.lost, row.doubled = len(found.lost), len(found.doubled)
        row.saw = summary(deployment.observed.counts())
        for name, texts in (("lost", found.lost), ("doubled", found.doubled), ("wrong", found.wrong)):
            if texts:
                run.failures.append(f"{name}: {counted(sorted(texts))}")
        run.failures += judged(fault, deployment.observed.all, window, max(injected, run.spared_from))
        row.failures, row.notes = run.failures, run.notes
        return row.well_s is not None and not found.lost and not found.doubled

    @staticmethod
    def _restarted(deployment: Deployment, run: Run) -> str:
        """What an operator would do. Empty when that helps, and the book can be checked."""
        for program in (deployment.serve_program, deployment.worker_program):
            program.discard()
        deployment.start_serve()
        deployment.start_worker()
        reason = await_well(deployment, within_s=15)[1]
        run.notes.append(f"after a restart: {reason or 'well'}{', book not checked' if reason else ''}")
        return reason


def summary(counts: Counter[str]) -> str:
    """`2xx×431 4xx×80 503×12`."""
    classes: Counter[str] = Counter()
    for seen, number in counts.items():
        plain = seen.isdigit() and seen[0] in "234" and seen != "429"
        classes[f"{seen[0]}xx" if plain else seen] += number
    return " ".join(f"{name}×{number}" for name, number in sorted(classes.items()))


def judged(fault: Fault, seen: list[Observed], window: tuple[float, float], began: float) -> list[str]:
    """What callers saw that nobody should see."""
    failures = []
    for word in ("500", "hang"):
        acts = [each.act for each in seen if each.seen.startswith(word)]
        if acts and (word == "hang" or fault.server_errors):
            failures.append(f"{word}: {counted(sorted(acts))}")
    if fault.server_errors:
        failures += [f"{each} to a browser" for each in {each.seen for each in seen if "JSON" in each.seen}]
    odd = {each.seen for each in seen if each.act == "forward-auth" and each.seen.isdigit()} - FORWARD_AUTH
    if odd - {"500"}:
        failures.append(f"forward-auth answered {', '.join(sorted(odd))}")
    always = ("jwks", "livez") if fault.keys_always else ("livez",)
    if odd := {each.seen for each in seen if each.act in always and each.seen.isdigit()} - {"200"}:
        failures.append(f"keys or /livez answered {', '.join(sorted(odd))}")
    inside = [each for each in seen if window[0] + 1.5 < each.began < window[1]]
    failures += _readiness(inside)
    for practice in fault.spared:
        failures += spared([each for each in seen if each.practice == practice and began < each.began < window[1]])
    return failures


def _readiness(inside: list[Observed]) -> list[str]:
    """Readiness that says yes while most guarded acts of every practice are refused is untrue."""
    for practice in {each.practice for each in inside}:
        guarded = [each for each in inside if each.practice == practice and each.act not in UNGUARDED]
        refused = [each for each in guarded if each.seen.startswith("50")]
        if len(guarded) < 5 or len(refused) * 2 < len(guarded):
            return []
    said = {each.seen for each in inside if each.act == "readyz"}
    return ["/readyz said 200 all the while"] if said == {"200"} else []


def spared(seen: list[Observed]) -> list[str]:
    """A practice that the fault is not about: 99 % served, p99 below a second."""
    if not seen:
        return ["the spared practice was not seen"]
    served = [
        each
        for each in seen
        if each.seen.isdigit() and each.seen[0] in "234" and (each.seen != "429" or each.act in OF_JUNK)
    ]
    share = len(served) / len(seen)
    slowest = sorted(each.took_s for each in seen)[int(len(seen) * 0.99) - 1 if len(seen) > 1 else 0]
    failures = [] if share >= 0.99 else [f"{seen[0].practice} was served {share:.1%}"]
    return failures + ([] if slowest <= stretched(FAST_S) else [f"p99 of {seen[0].practice} {slowest:.1f} s"])
