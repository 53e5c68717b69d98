"""The outbox worker: everything that was queued is sent once, in time, or noted why not."""

from __future__ import annotations

import json
import logging
import queue
import threading
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import redis

from authsvc.delivery import jobs, practice_pauses
from authsvc.delivery.attempts import LONGEST_LIFE_MS
from authsvc.delivery.compose import Composer
from authsvc.delivery.jobs import LEASE_MS
from authsvc.delivery.mail_counts import MailCounts
from authsvc.delivery.mail_host import Host
from authsvc.delivery.outbox_worker import SWEEP_MS, TURN, Worker
from authsvc.delivery.run_workers import run_workers
from authsvc.delivery.smtp import EmailSender
from authsvc.errors import DeliveryDeferred, DeliveryRefused, NotReplicated, Unavailable
from authsvc.model import DeliveryInfo, Message, Practice
from authsvc.ports import Sender
from authsvc.store.connection import Connection
from authsvc.store.outbox import PRACTICES as PRACTICES_KEY
from authsvc.store.outbox import WEBHOOK_CODES, WEBHOOK_WAKEUPS, WEBHOOKS, Entry, MailCap, Outbox, Recipient
from tests.delivery.mail_hosts import MailHost, serving
from tests.fakes import FakeClock, RecordingSender, SeededEntropy
from tests.outboxes import WEEK_MS, enqueue

PRACTICES = {"maple": Practice(id="maple", name="Maple Clinic"), "oak": Practice(id="oak", name="Oak Clinic")}
CODE_LIFE_MS = 600_000


def open_entry(practice: Practice, entry: Entry, recipient: Recipient) -> Message:
    """Opens what `tests.outboxes.enqueue` queued. A body "sealed elsewhere" is one for another master secret."""
    if entry.body == "sealed elsewhere":
        raise ValueError("unsealing failed")
    return Message(
        id=entry.message_id,
        practice=practice,
        kind=entry.kind,
        channel=entry.channel,
        to="anna@example.org",
        locale=entry.locale,
        queued_at_ms=entry.queued_ms,
        until_ms=entry.until_ms,
        expires_at_ms=entry.until_ms,
        code="042917",
    )


class Harness:
    """A store, a clock, and workers on them; `events` are what the workers told."""

    def __init__(self, store: Connection, client: redis.Redis, clock: FakeClock) -> None:
        self.outbox = Outbox(store, clock, WEEK_MS // 1000)
        self.client = client
        self.clock = clock
        self.events: list[tuple[str, Mapping[str, str | int]]] = []
        self._workers = 0

    def worker(self, sender: Sender, **changes: Any) -> Worker:
        self._workers += 1
        options: dict[str, Any] = {
            "outbox": self.outbox,
            "senders": {"email": sender},
            "open_entry": open_entry,
            "practice": PRACTICES.get,
            "clock": self.clock,
            "entropy": SeededEntropy(self._workers),
            "counts": MailCounts(self.outbox, MailCap(20_000, 3_600, 0.8)),
            "on_event": lambda name, facts: self.events.append((name, facts)),
        } | changes
        return Worker(**options)

    def queue(self, message_id: str = "m1", **changes: Any) -> None:
        enqueue(self.client, message_id, now_ms=self.clock.now_ms(), **changes)

    def delivery(self, message_id: str = "m1", patient: str = "pat_1", practice: str = "maple") -> DeliveryInfo:
        (found,) = (each for each in self.outbox.deliveries(practice, patient) if each.id == message_id)
        return found

    def left(self, practice: str = "maple") -> int:
        left: int = self.client.xlen(f"authsvc:{{{practice}}}:codes")
        return left


@pytest.fixture
def harness(store: Connection, redis_client: redis.Redis, clock: FakeClock) -> Harness:
    return Harness(store, redis_client, clock)


def look_until(harness: Harness, worker: Worker, done: Callable[[], bool], *, at_most_s: int = 900) -> None:
    """Let the worker look around every two seconds of the clock until `done`."""
    for _ in range(at_most_s * 1000 // SWEEP_MS):
        worker.step()
        if done():
            return
        harness.clock.advance_ms(SWEEP_MS)
    raise AssertionError("never came to that")


# --- sent ---------------------------------------------------------------------------------------------------------


def test_what_was_queued_is_sent_noted_and_told(harness: Harness) -> None:
    sender = RecordingSender()
    harness.queue(locale="es")
    harness.clock.advance_ms(70)
    assert harness.worker(sender).step() == 1
    (sent,) = sender.messages
    assert (sent.id, sent.to, sent.locale, sent.practice.name) == ("m1", "anna@example.org", "es", "Maple Clinic")
    assert harness.left() == 0
    record = harness.delivery()
    assert (record.state, record.attempts, record.detail) == ("sent", 1, "recorded")
    assert harness.events == [
        (
            "mail_sent",
            {
                "practice": "maple",
                "patient": "pat_1",
                "kind": "code",
                "channel": "email",
                "message_id": "m1",
                "attempts": 1,
                "waited_ms": 70,
            },
        )
    ]


def test_how_many_messages_wait_is_told_by_queue_for_all_practices_until_none_does(harness: Harness) -> None:
    told: list[tuple[str, int]] = []
    worker = harness.worker(RecordingSender(), on_waiting=lambda queue, count: told.append((queue, count)))
    for practice in PRACTICES:
        for number in range(TURN + 2):
            harness.queue(f"m{number}", practice=practice)
    worker.step()
    assert told == [("codes", 12), ("codes", 24)]
    look_until(harness, worker, lambda: told[-1:] == [("codes", 0)])


def test_a_practice_that_was_removed_has_nothing_that_waits(harness: Harness) -> None:
    told: list[tuple[str, int]] = []
    away = RecordingSender([DeliveryDeferred("the host is away", cause="unreachable")])
    worker = harness.worker(away, on_waiting=lambda queue, count: told.append((queue, count)))
    harness.queue("m1", practice="oak")
    worker.step()
    harness.client.srem(PRACTICES_KEY, "oak")
    harness.clock.advance_ms(SWEEP_MS)
    harness.queue("m2")
    worker.step()
    assert told == [("codes", 1), ("codes", 1)]


def test_the_doorbell_is_heard_before_the_next_sweep(harness: Harness) -> None:
    sender = RecordingSender()
    worker = harness.worker(sender)
    worker.step()
    harness.queue()
    assert worker.step() == 0, "nobody rang, and the next sweep isn't due"
    harness.outbox.wake_worker(["maple"])
    assert worker.step() == 1


def test_the_sweep_finds_what_no_bell_told(harness: Harness) -> None:
    sender = RecordingSender()
    worker = harness.worker(sender)
    worker.step()
    harness.queue()
    harness.clock.advance_ms(SWEEP_MS)
    assert worker.step() == 1


def test_a_clock_that_was_set_back_does_not_stop_the_sweep(harness: Harness) -> None:
    worker = harness.worker(RecordingSender())
    worker.step()
    harness.clock.advance_s(-3600)
    harness.queue()
    assert worker.step() == 1


def test_a_void_message_costs_no_opening_and_no_sending(harness: Harness) -> None:
    def opened(practice: Practice, entry: Entry, recipient: Recipient) -> Message:
        raise AssertionError("a void message was opened")

    sender = RecordingSender()
    harness.queue(nobody="1", patient="")
    assert harness.worker(sender, open_entry=opened).step() == 1
    assert sender.messages == []
    assert harness.events == []
    assert harness.left() == 0
    assert harness.client.keys("authsvc:{maple}:deliver*") == []


def test_a_practice_that_is_not_known_yet_waits_for_a_later_sweep(harness: Harness) -> None:
    known = dict(PRACTICES)
    oak = known.pop("oak")
    worker = harness.worker(sender := RecordingSender(), practice=known.get)
    harness.queue(practice="oak")
    assert worker.step() == 0
    known["oak"] = oak
    harness.clock.advance_ms(SWEEP_MS)
    assert worker.step() == 1
    assert sender.messages[0].practice.id == "oak"


def test_a_practice_with_many_mails_does_not_keep_another_waiting(harness: Harness) -> None:
    for number in range(3 * TURN):
        harness.queue(f"m{number}")
    harness.queue("oak1", practice="oak")
    sender = RecordingSender()
    worker = harness.worker(sender)
    assert worker.step() == TURN + 1
    assert sender.messages[-1].id == "oak1"
    assert worker.step() == TURN, "and the rest needs no bell and no sweep"
    assert worker.step() == TURN
    assert harness.left() == 0


# --- deferred, refused, too late ----------------------------------------------------------------------------------


def test_a_deferred_mail_is_tried_again_until_it_is_sent(harness: Harness) -> None:
    busy = DeliveryDeferred("451 4.7.1")
    sender = RecordingSender([busy, busy, busy])
    harness.queue()
    worker = harness.worker(sender)
    worker.step()
    assert harness.delivery().state == "deferred"
    assert harness.delivery().detail == "451 4.7.1"
    look_until(harness, worker, lambda: bool(sender.messages))
    assert (harness.delivery().state, harness.delivery().attempts) == ("sent", 4)
    assert [name for name, _ in harness.events] == ["mail_deferred"] * 3 + ["mail_sent"]


def test_the_pauses_grow_with_full_jitter_up_to_a_part_of_the_messages_life(harness: Harness) -> None:
    class Highest(SeededEntropy):
        bounds: list[int] = []  # noqa: RUF012 - one test, one list

        def below(self, bound: int) -> int:
            self.bounds.append(bound)
            return bound - 1

    sender = RecordingSender([DeliveryDeferred("451")] * 100)
    harness.queue()
    worker = harness.worker(sender, entropy=Highest())
    look_until(harness, worker, lambda: harness.delivery().state == "too_late")
    assert Highest.bounds[:5] == [2_000, 4_000, 8_000, 16_000, 30_000]
    assert max(Highest.bounds) == 30_000


def test_a_host_that_says_when_is_not_asked_earlier(harness: Harness) -> None:
    sender = RecordingSender([DeliveryDeferred("wait", retry_after_s=60)])
    harness.queue()
    worker = harness.worker(sender)
    worker.step()
    for _ in range(29):
        harness.clock.advance_ms(SWEEP_MS)
        worker.step()
    assert sender.messages == []
    harness.clock.advance_ms(SWEEP_MS)
    worker.step()
    assert len(sender.messages) == 1


def test_the_last_try_is_before_the_end_and_none_after(harness: Harness) -> None:
    tries: list[int] = []

    class Busy:
        def send(self, message: Message) -> str:
            tries.append(harness.clock.now_ms())
            raise DeliveryDeferred("451")

    harness.queue()
    until_ms = harness.clock.now_ms() + CODE_LIFE_MS
    look_until(harness, harness.worker(Busy()), lambda: harness.left() == 0)
    assert until_ms - 2 * SWEEP_MS <= tries[-1] < until_ms
    assert (harness.delivery().state, harness.delivery().attempts) == ("too_late", len(tries) + 1)
    assert harness.events[-1][0] == "mail_too_late"


def test_a_code_whose_time_is_over_is_never_sent(harness: Harness) -> None:
    sender = RecordingSender()
    harness.queue()
    harness.clock.advance_ms(CODE_LIFE_MS)
    harness.worker(sender).step()
    assert sender.messages == []
    assert harness.delivery().state == "too_late"


def test_a_code_that_ends_while_the_host_dawdles_is_not_tried_again(harness: Harness) -> None:
    class Slow:
        def send(self, message: Message) -> str:
            harness.clock.advance_ms(CODE_LIFE_MS)
            raise DeliveryDeferred("connection lost")

    harness.queue()
    harness.worker(Slow()).step()
    assert (harness.delivery().state, harness.delivery().detail) == ("too_late", "connection lost")


def test_a_link_of_a_month_is_given_up_after_a_long_weekend(harness: Harness) -> None:
    sender = RecordingSender()
    harness.queue(kind="link", until=harness.clock.now_ms() + 30 * 86_400_000)
    harness.clock.advance_ms(LONGEST_LIFE_MS)
    harness.worker(sender).step()
    assert harness.delivery().state == "too_late"


def test_a_refused_mail_is_never_tried_again(harness: Harness) -> None:
    sender = RecordingSender([DeliveryRefused("550 5.1.1")])
    harness.queue()
    worker = harness.worker(sender)
    worker.step()
    assert (harness.delivery().state, harness.delivery().detail) == ("refused", "550 5.1.1")
    assert harness.left() == 0
    assert [name for name, _ in harness.events] == ["mail_refused"]


def test_a_channel_without_a_sender_is_refused(harness: Harness) -> None:
    harness.queue(channel="fax")
    harness.worker(RecordingSender()).step()
    assert (harness.delivery().state, harness.delivery().detail) == ("refused", "no sender for this channel")


def test_what_this_worker_can_not_open_waits_for_one_that_can(harness: Harness) -> None:
    harness.queue(body="sealed elsewhere")
    worker = harness.worker(RecordingSender())
    worker.step()
    assert harness.delivery().state == "deferred"
    assert "secrets of this worker" in harness.delivery().detail


def test_a_fault_of_ours_defers_and_tells_its_kind_only(harness: Harness, caplog: pytest.LogCaptureFixture) -> None:
    sender = RecordingSender([KeyError("anna@example.org 042917")])
    harness.queue()
    harness.worker(sender).step()
    assert harness.delivery().detail == "fault: KeyError"
    assert "042917" not in caplog.text


def test_one_mail_that_fails_does_not_hold_up_the_next(harness: Harness) -> None:
    sender = RecordingSender([DeliveryRefused("550"), DeliveryDeferred("451"), RuntimeError("x"), None])
    for number in range(4):
        harness.queue(f"m{number}")
    harness.worker(sender).step()
    assert len(sender.messages) == 1


# --- workers come and go ------------------------------------------------------------------------------------------


class Vanish(BaseException):
    """A worker is killed in the middle of a message."""


def test_the_message_of_a_worker_that_vanished_is_sent_by_another(harness: Harness) -> None:
    class Killed:
        def send(self, message: Message) -> str:
            raise Vanish

    harness.queue("m1")
    harness.queue("m2")
    with pytest.raises(Vanish):
        harness.worker(Killed()).step()
    sender = RecordingSender()
    second = harness.worker(sender)
    assert second.step() == 0, "the lease still runs"
    harness.clock.advance_ms(LEASE_MS)
    assert second.step() == 2
    assert sorted(each.id for each in sender.messages) == ["m1", "m2"]


def test_a_worker_that_was_too_slow_leaves_the_message_to_the_one_that_has_it(harness: Harness) -> None:
    sent: list[str] = []
    other = RecordingSender()

    class Slow:
        def send(self, message: Message) -> str:
            sent.append(message.id)
            harness.clock.advance_ms(LEASE_MS)
            second.step()
            return "250"

    first, second = harness.worker(Slow()), harness.worker(other)
    harness.queue("m1")
    harness.queue("m2")
    first.step()
    assert sent == ["m1"], "m2 went to the other worker in the meantime"
    assert sorted(each.id for each in other.messages) == ["m1", "m2"], "m1 twice, with one Message-ID"
    assert [name for name, _ in harness.events] == ["mail_sent"] * 2
    assert harness.delivery("m1").state == "sent"


def test_what_was_sent_but_could_not_be_noted_is_noted_later_and_not_sent_twice(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    sender = RecordingSender()
    worker = harness.worker(sender)
    finish = harness.outbox.finish

    def away(*args: Any) -> bool:
        raise Unavailable("store_away")

    harness.queue()
    monkeypatch.setattr(harness.outbox, "finish", away)
    worker.step()
    assert harness.delivery().state == "queued"
    monkeypatch.setattr(harness.outbox, "finish", finish)
    harness.clock.advance_ms(practice_pauses.PAUSE_MS)
    worker.step()
    assert len(sender.messages) == 1
    assert harness.delivery().state == "sent"


def test_a_fail_over_that_forgets_what_was_noted_has_nothing_sent_twice(harness: Harness) -> None:
    copy: dict[str, bytes] = {}

    class Copied(RecordingSender):
        def send(self, message: Message) -> str:
            copy.update((key, harness.client.dump(key)) for key in harness.client.scan_iter("authsvc:{maple}:*"))
            return super().send(message)

    worker = harness.worker(sender := Copied())
    harness.queue()
    worker.step()
    for key, dumped in copy.items():  # the replica of before the note is the primary now
        harness.client.restore(key, 0, dumped, replace=True)
    assert (harness.left(), harness.delivery().state) == (1, "queued")
    harness.clock.advance_ms(LEASE_MS + 1)
    worker.step()
    assert [message.id for message in sender.messages] == ["m1"]
    assert (harness.left(), harness.delivery().state) == (0, "sent")
    assert [name for name, _ in harness.events] == ["mail_sent"]


def done_and_unconfirmed(act: Callable[..., object]) -> Callable[..., object]:
    """The act happens, on too few replicas."""

    def unconfirmed(*args: Any) -> object:
        act(*args)
        raise NotReplicated

    return unconfirmed


def test_nothing_is_sent_before_the_replicas_have_it(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a fail-over takes back the call that queued it, and its repeat has it sent once more."""
    harness.queue()
    worker = harness.worker(sender := RecordingSender())
    with monkeypatch.context() as away:
        away.setattr(harness.outbox, "begin", done_and_unconfirmed(harness.outbox.begin))
        worker.step()
    assert sender.messages == []
    harness.clock.advance_ms(practice_pauses.PAUSE_MS)
    worker.step()
    assert len(sender.messages) == 1


def test_what_was_noted_on_too_few_replicas_is_noted_again_and_told_once(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness.queue()
    worker = harness.worker(sender := RecordingSender())
    with monkeypatch.context() as away:
        away.setattr(harness.outbox, "finish", done_and_unconfirmed(harness.outbox.finish))
        worker.step()
    assert harness.events == []
    harness.clock.advance_ms(practice_pauses.PAUSE_MS)
    worker.step()
    assert len(sender.messages) == 1
    assert [name for name, _ in harness.events] == ["mail_sent"]


def test_a_worker_remembers_so_many_ends_and_no_more(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "FINAL_MOST", 3)
    worker = harness.worker(RecordingSender())
    for number in range(5):
        harness.queue(f"m{number}")
    worker.step()
    assert [message_id for _, _, message_id in worker._jobs._final] == ["m2", "m3", "m4"]


def test_when_the_secrets_can_not_be_had_the_worker_waits(harness: Harness) -> None:
    def away(practice: Practice, entry: Entry, recipient: Recipient) -> Message:
        raise Unavailable("store_away")

    harness.queue()
    worker = harness.worker(sender := RecordingSender(), open_entry=away)
    worker.step()
    assert harness.delivery().state == "queued"
    assert sender.messages == []
    assert harness.worker(sender).step() == 1, "and gives it back"


@pytest.mark.race
def test_many_workers_send_every_message_once(harness: Harness) -> None:
    for number in range(60):
        harness.queue(f"m{number}", practice="maple" if number % 2 else "oak")
    senders = [RecordingSender() for _ in range(4)]
    stop = threading.Event()

    def tell(name: str, facts: Mapping[str, str | int]) -> None:
        harness.events.append((name, facts))
        if len(harness.events) == 60:
            stop.set()

    timer = threading.Timer(20, stop.set)
    timer.start()
    assert run_workers([harness.worker(sender, on_event=tell) for sender in senders], stop)
    timer.cancel()
    assert sorted(each.id for sender in senders for each in sender.messages) == sorted(f"m{n}" for n in range(60))


# --- running and ending -------------------------------------------------------------------------------------------


def test_at_the_end_the_message_in_hand_is_finished_and_the_rest_given_back(harness: Harness) -> None:
    stop = threading.Event()
    sent: list[str] = []

    class Ending:
        def send(self, message: Message) -> str:
            stop.set()
            sent.append(message.id)
            return "250"

    for number in range(3):
        harness.queue(f"m{number}")
    harness.queue("oak1", practice="oak")
    harness.worker(Ending()).run(stop)
    assert len(sent) == 1
    successor = RecordingSender()
    harness.worker(successor).step()
    assert sorted([*sent, *(each.id for each in successor.messages)]) == ["m0", "m1", "m2", "oak1"], "without a wait"


def test_a_running_worker_survives_a_store_that_is_away_and_a_fault(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Stop(threading.Event):
        """Ends after so many pauses, and doesn't make the test wait for them."""

        pauses = 0

        def wait(self, timeout: float | None = None) -> bool:
            self.pauses += 1
            if self.pauses == 3:
                self.set()
            return self.is_set()

    troubles: list[Exception] = [Unavailable("breaker_open"), RuntimeError("anna@example.org")]
    rung = harness.outbox.woken

    def trouble(wakeups: str) -> set[str]:
        if troubles:
            raise troubles.pop(0)
        return rung(wakeups)

    monkeypatch.setattr(harness.outbox, "woken", trouble)
    sender = RecordingSender()
    harness.queue()
    harness.worker(sender).run(Stop())
    assert len(sender.messages) == 1
    assert [record.message for record in caplog.records if record.levelno >= logging.WARNING] == [
        "the store is away, the outbox waits",
        "the worker failed, and goes on",
    ]
    assert "anna" not in caplog.text


def test_a_worker_that_hangs_does_not_hold_up_the_end(harness: Harness) -> None:
    stop, release = threading.Event(), threading.Event()

    class Hanging:
        def send(self, message: Message) -> str:
            stop.set()
            release.wait(10)
            return "250"

    harness.queue()
    assert not run_workers([harness.worker(Hanging())], stop, grace_s=0.05)
    release.set()
    for thread in threading.enumerate():
        if thread.name == "outbox":
            thread.join(10)


def test_attack_a_provider_that_hangs_delays_no_other_practices_code(harness: Harness) -> None:
    """Forty codes wait for one practice's provider; another's leaves while all that may be under way hang. Of its own
    threads the practice keeps one for codes."""
    release = threading.Event()
    begun: queue.SimpleQueue[str] = queue.SimpleQueue()

    class Provider:
        def send(self, message: Message) -> str:
            begun.put(message.id)
            assert message.practice.id != "maple" or release.wait(20)
            return "204"

    def next_begun(count: int) -> list[str]:
        harness.clock.advance_ms(SWEEP_MS)
        worker.step()
        return sorted(begun.get(timeout=20) for _ in range(count))

    worker = harness.worker(
        RecordingSender(),
        senders={"webhook": Provider()},
        threads=9,
        threads_each=4,
        queues=(WEBHOOK_CODES, WEBHOOKS),
        wakeups=WEBHOOK_WAKEUPS,
    )
    for number in range(20):
        harness.queue(f"link{number}", channel="webhook", queue="mails")
    assert len(next_begun(3)) == 3
    harness.queue("code", channel="webhook")
    assert next_begun(1) == ["code"]
    harness.queue("oak1", practice="oak", channel="webhook")
    assert next_begun(1) == ["oak1"]
    assert begun.empty()
    release.set()


# --- brakes -------------------------------------------------------------------------------------------------------


def test_mails_of_all_practices_are_counted_and_the_brake_published_and_loosened(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    worker = harness.worker(RecordingSender(), counts=MailCounts(harness.outbox, MailCap(10, 100, 0.8)))
    for number in range(4):
        harness.queue(f"m{number}")
    harness.queue("void", nobody="1", patient="")
    worker.step()
    assert harness.client.get("authsvc:{@site}:mail-throttle") is None
    for number in range(5):
        harness.queue(f"oak{number}", practice="oak")
    harness.clock.advance_ms(SWEEP_MS)
    worker.step()
    assert harness.client.get("authsvc:{@site}:mail-throttle") == "typed"
    harness.clock.advance_s(80)
    worker.step()
    assert harness.client.get("authsvc:{@site}:mail-throttle") is None
    warned = [record for record in caplog.records if record.message == "mails are throttled"]
    assert [record.__dict__["policy"] for record in warned] == ["mails-all"]


def test_a_mail_counts_once_however_often_it_is_tried(harness: Harness) -> None:
    sender = RecordingSender([DeliveryDeferred("451")] * 4)
    worker = harness.worker(sender, counts=MailCounts(harness.outbox, MailCap(2, 10_000, 0.8)))
    harness.queue()
    look_until(harness, worker, lambda: bool(sender.messages))
    assert harness.client.get("authsvc:{@site}:mail-throttle") is None


def test_a_count_that_the_store_did_not_take_is_published_the_next_time(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts, count = MailCounts(harness.outbox, MailCap(1, 100, 0.8)), harness.outbox.count

    def away(*_: Any) -> str:
        raise Unavailable("store_away")

    counts.add(1)
    monkeypatch.setattr(harness.outbox, "count", away)
    counts.publish(now=True)
    monkeypatch.setattr(harness.outbox, "count", count)
    counts.publish(now=True)
    assert harness.client.get("authsvc:{@site}:mail-throttle") == "all"


# --- what is said -------------------------------------------------------------------------------------------------


def test_logs_say_what_happened_and_to_nobody_in_particular(harness: Harness, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    sender = RecordingSender([DeliveryDeferred("451 4.7.1"), DeliveryRefused("550"), None])
    for number in range(3):
        harness.queue(f"m{number}")
    harness.worker(sender, on_event=None).step()
    records = [record for record in caplog.records if record.name == "authsvc.delivery"]
    assert [(record.message, record.levelname) for record in records] == [
        ("mail_deferred", "WARNING"),
        ("mail_refused", "WARNING"),
        ("mail_sent", "INFO"),
    ]
    everything = json.dumps([record.__dict__ for record in records], default=str)
    for secret in ("anna", "042917", "sealed", "https://"):
        assert secret not in everything


# --- to a real mail host ------------------------------------------------------------------------------------------


def test_the_whole_way_to_a_mail_host_that_greylists(harness: Harness) -> None:
    host = MailHost()
    host.answers = ["451 4.7.1 greylisted", "250 OK", "550 5.1.1 no such user"]
    with serving(host):
        sender = EmailSender(
            Host.of_url(f"smtp://127.0.0.1:{host.port}"),
            Composer("no-reply@mail.example"),
            harness.clock,
            development=True,
        )
        worker = harness.worker(sender)
        harness.queue("m1")
        look_until(harness, worker, lambda: harness.left() == 0)
        harness.queue("m2")
        look_until(harness, worker, lambda: harness.left() == 0)
        sender.close()
    assert [mail["Message-ID"] for mail in host.mails] == ["<m1@mail.example>"]
    assert (harness.delivery("m1").state, harness.delivery("m1").attempts) == ("sent", 2)
    assert (harness.delivery("m2").state, harness.delivery("m2").detail) == ("refused", "550 5.1.1")
