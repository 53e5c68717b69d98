"""The outbox worker: takes what was queued, has it sent, and notes how it went.

Where to look: a wake-up says at once, a sweep over all practices every two seconds finds what it missed, what was
deferred, and what a vanished worker left. Each practice gets a short turn, so one that mails thousands doesn't keep the
others' codes waiting; a turn that fails ends for itself alone. Queues are emptied in the order that they are given in,
and only the first may use every thread: codes don't wait behind bulk mail, however slow the mail host is. Any number of
workers may run; the leases of the outbox keep them apart.

The thread that runs a worker talks to the store, `Threads` of its own talk to the hosts. When the store is away the
worker waits; what it had sent but could not note is kept in memory and noted later, so that no mail goes out twice.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from authsvc.delivery.attempts import Attempts
from authsvc.delivery.jobs import Event, Job, Jobs
from authsvc.delivery.mail_counts import MailCounts
from authsvc.delivery.practice_pauses import PracticePauses
from authsvc.delivery.threads import Threads
from authsvc.errors import Unavailable
from authsvc.model import Message, Practice
from authsvc.ports import Clock, Entropy, Sender
from authsvc.store.outbox import CODES, MAILS, WAKEUPS, Entry, Outbox, Recipient

SWEEP_MS: Final = 2_000
LISTEN_S: Final = 0.1  # between two looks for wake-ups: the most that an idle worker adds to a mail's way
BUSY_LISTEN_S: Final = 0.05  # and at least that, while results come in faster
STORE_AWAY_S: Final = 1.0  # pause when the store is away
HELD_MS: Final = 5_000  # what was taken and hasn't begun by then is given back, for another worker
TURN: Final = 10  # messages of one practice before the next practice's turn

GRACE_S: Final = 10.0  # to finish what is under way at SIGTERM; `authsvc worker` must have ended after 15 s
CUT_S: Final = 1.5  # and to note what was cut off then

LOG: Final = logging.getLogger("authsvc.delivery")


class Worker:
    """One consumer of the outbox; not to be shared between threads (run several instead)."""

    def __init__(
        self,
        outbox: Outbox,
        senders: Mapping[str, Sender],
        open_entry: Callable[[Practice, Entry, Recipient], Message],
        practice: Callable[[str], Practice | None],
        clock: Clock,
        entropy: Entropy,
        *,
        threads: int = 0,
        counts: MailCounts | None = None,
        on_event: Event | None = None,
        on_waiting: Callable[[str, int], None] | None = None,
        cut: Callable[[], None] = lambda: None,
        carries: str = "mail",
        queues: tuple[str, ...] = (CODES, MAILS),
        wakeups: str = WAKEUPS,
        uses: Callable[[Practice], bool] = lambda _: True,
        threads_each: int = 0,
    ) -> None:
        """`queues` are emptied in this order; `senders` by channel; `open_entry` unseals (ValueError when it
        can't); `practice` looks one up by id; `cut` ends every send that is under way. `threads` 0 sends in the thread
        of the caller; with `threads_each` a practice has at most so many of them at once. `wakeups` is the list to
        listen to (empty: sweeps only); `uses` says of a practice whether these queues may hold anything of it."""
        consumer = entropy.token_bytes(12).hex()
        self._jobs = Jobs(
            outbox, clock, consumer, counts=counts, on_event=on_event, on_waiting=on_waiting, carries=carries
        )
        self._attempts = Attempts(senders, open_entry, self._jobs.last_detail, clock, entropy)
        self._practice = practice
        self._clock = clock
        self._threads: Threads[Job] = Threads(threads)
        self._counts = counts
        self._cut = cut
        self._wakeups = wakeups
        self._uses = uses
        self._threads_each = threads_each
        self._looked_s = 0.0
        self._swept_ms: int | None = None
        self._waiting: dict[str, dict[str, None]] = {queue: {} for queue in queues}  # practices, in their order
        self._held: dict[str, list[Job]] = {queue: [] for queue in queues}  # taken, not begun
        self._running: dict[tuple[str, str], Job] = {}
        self._unnoted: list[Job] = []
        self._pauses = PracticePauses(clock)

    def run(self, stop: threading.Event, grace_s: float = GRACE_S) -> bool:
        """Work until `stop`; then finish what is under way and give back the rest. True when that could be done."""
        away = ""
        while not stop.is_set():
            try:
                begun = self.step(stop)
            except Unavailable as error:
                if away != error.reason:
                    LOG.warning("the store is away, the outbox waits", extra={"reason": error.reason})
                away = error.reason
                stop.wait(STORE_AWAY_S)
            except Exception as error:  # noqa: BLE001 - the words of an unknown fault may hold secrets
                LOG.error("the worker failed, and goes on", extra={"reason": type(error).__name__})
                stop.wait(STORE_AWAY_S)
            else:
                away = ""
                if self._running:
                    self._unnoted += self._threads.results(LISTEN_S)
                elif not begun:
                    stop.wait(LISTEN_S)
        return self._end(grace_s)

    def step(self, stop: threading.Event | None = None) -> int:
        """One look around; how many messages were begun. Raises `Unavailable` when not even that could be done."""
        self._note_and_renew()
        self._poll_outbox()
        begun = 0
        for number, queue in enumerate(self._waiting):
            begun += self._serve(queue, self._threads.count // 3 if number else 0, stop)
        self._note_and_renew()
        if self._counts is not None:
            self._counts.publish(now=not self._threads.count)
        return begun

    def _poll_outbox(self) -> None:
        now_ms, now_s = self._clock.now_ms(), time.monotonic()
        sweep = self._swept_ms is None or not 0 <= now_ms - self._swept_ms < SWEEP_MS
        if self._threads.count and not sweep and now_s - self._looked_s < BUSY_LISTEN_S:
            return
        found = self._jobs.practices_to_look_at(wakeups=self._wakeups, sweep=sweep)
        self._looked_s = now_s
        for waiting in self._waiting.values():
            waiting.update(dict.fromkeys(found))
        if sweep:
            self._swept_ms = now_ms
            if self._counts is not None:
                self._counts.look_again()

    def _serve(self, queue: str, reserve: int, stop: threading.Event | None) -> int:
        """Begin what there is room for; `reserve` threads are kept for more urgent queues."""
        begun = 0
        for practice_id in dict.fromkeys([*(job.practice.id for job in self._held[queue]), *self._waiting[queue]]):
            if (stop is not None and stop.is_set()) or self._room(reserve) < 1:
                break
            if self._pauses.must_wait(practice_id):
                self._waiting[queue].pop(practice_id, None)  # the sweep comes by again
                continue
            try:
                begun += self._turn(queue, practice_id, reserve, stop)
            except Exception as error:  # noqa: BLE001 - a practice's failure must not end the others' mail
                self._pauses.failed(practice_id, error)
            else:
                self._pauses.recovered(practice_id)
        return begun

    def _room(self, reserve: int) -> int:
        return self._threads.count - reserve - len(self._running) if self._threads.count else TURN

    def _room_of(self, practice_id: str, reserve: int) -> int:
        """The room for one practice: of its own threads, too, one is kept for more urgent queues."""
        room = self._room(reserve)
        if not self._threads.count or not self._threads_each:
            return room
        running = sum(1 for running_id, _ in self._running if running_id == practice_id)
        return min(room, self._threads_each - (1 if reserve else 0) - running)

    def _turn(self, queue: str, practice_id: str, reserve: int, stop: threading.Event | None) -> int:
        if self._room_of(practice_id, reserve) < 1:  # it stays in line
            return 0
        self._waiting[queue].pop(practice_id, None)
        held = self._held[queue]
        if not any(job.practice.id == practice_id for job in held):
            practice = self._practice(practice_id)
            if practice is None or not self._uses(
                practice
            ):  # just made, and not known here yet, or just removed: the sweep comes by again
                return 0
            jobs, more = self._jobs.take(queue, practice, min(TURN, self._room_of(practice_id, reserve)))
            held += jobs
            if more:
                self._waiting[queue][practice_id] = None
        begun, problem = 0, None
        for job in [job for job in held if job.practice.id == practice_id]:
            if (stop is not None and stop.is_set()) or self._room_of(practice_id, reserve) < 1:
                break
            held.remove(job)
            try:
                if self._clock.now_ms() - job.lease_ms >= HELD_MS:
                    self._jobs.release(job)
                elif self._jobs.begin(job):
                    self._running[practice_id, job.entry.id] = job
                    self._threads.submit(partial(self._tried, job))
            except Unavailable:
                raise
            except Exception as error:  # noqa: BLE001 - nor may one message that can't be read end its practice's
                problem = error
            begun += 1
        if problem is not None:
            raise problem
        return begun

    def _tried(self, job: Job) -> Job:
        if job.recipient is not None:
            check_lease = partial(self._jobs.check_lease, job)
            job.outcome = self._attempts.make(job.practice, job.entry, job.recipient, check_lease)
        return job

    def _note_and_renew(self) -> None:
        jobs, self._unnoted = [*self._unnoted, *self._threads.results()], []
        for job in jobs:
            self._running.pop((job.practice.id, job.entry.id), None)
            if not self._for_practice(self._jobs.note, job) and job.outcome.state != "untried":
                self._unnoted.append(job)
        for job in self._running.values():
            self._for_practice(self._jobs.renew, job)

    def _for_practice(self, act: Callable[[Job], None], job: Job) -> bool:
        """Whether this was done; not while the practice's mail has to wait."""
        if self._pauses.must_wait(job.practice.id):
            return False
        try:
            act(job)
        except Exception as error:  # noqa: BLE001 - as for a turn
            self._pauses.failed(job.practice.id, error)
            return False
        return True

    # --- the end ------------------------------------------------------------------------------------------------------

    def _end(self, grace_s: float) -> bool:
        """Give back what hasn't begun, finish what has. What is still under way when the time is over is cut off, and
        noted: what a host perhaps has isn't sent again at once."""
        for held in self._held.values():
            while held:
                self._for_practice(self._jobs.release, held.pop())
        if self._await_running(grace_s):
            return True
        self._cut()
        return self._await_running(CUT_S)

    def _await_running(self, span_s: float) -> bool:
        ends_s = time.monotonic() + span_s
        while True:
            self._note_and_renew()
            left_s = ends_s - time.monotonic()
            if not self._running or left_s <= 0:
                return not self._running
            self._unnoted += self._threads.results(min(left_s, 1.0))
