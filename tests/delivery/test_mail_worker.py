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


class House:
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
def house(store: Connection, redis_client: redis.Redis, clock: FakeClock) -> House:
    return House(store, redis_client, clock)


def look_until(house: House, worker: Worker, done: Callable[[], bool], *, at_most_s: int = 900) -> None:
    """Let the worker look around every two seconds of the clock until `done`."""
    for _ in range(at_most_s * 1000 // SWEEP_MS):
        worker.step()
        if done():
            return
        house.clock.advance_ms(SWEEP_MS)
    raise AssertionError("never came to that")


# --- sent ---------------------------------------------------------------------------------------------------------


def test_what_was_queued_is_sent_noted_and_told(house: House) -> None:
    sender = RecordingSender()
    house.queue(locale="es")
    house.clock.advance_ms(70)
    assert house.worker(sender).step() == 1
    (sent,) = sender.messages
    assert (sent.id, sent.to, sent.locale, sent.practice.name) == ("m1", "anna@example.org", "es", "Maple Clinic")
    assert house.left() == 0
    record = house.delivery()
    assert (record.state, record.attempts, record.detail) == ("sent", 1, "recorded")
    assert house.events == [
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


def test_the_doorbell_is_heard_before_the_next_sweep(house: House) -> None:
    sender = RecordingSender()
    worker = house.worker(sender)
    worker.step()
    house.queue()
    assert worker.step() == 0, "nobody rang, and the next sweep isn't due"
    house.outbox.wake_worker(["maple"])
    assert worker.step() == 1


def test_the_sweep_finds_what_no_bell_told(house: House) -> None:
    sender = RecordingSender()
    worker = house.worker(sender)
    worker.step()
    house.queue()
    house.clock.advance_ms(SWEEP_MS)
    assert worker.step() == 1


def test_a_clock_that_was_set_back_does_not_stop_the_sweep(house: House) -> None:
    worker = house.worker(RecordingSender())
    worker.step()
    house.clock.advance_s(-3600)
    house.queue()
    assert worker.step() == 1


def test_a_void_message_costs_no_opening_and_no_sending(house: House) -> None:
    def opened(practice: Practice, entry: Entry, recipient: Recipient) -> Message:
        raise AssertionError("a void message was opened")

    sender = RecordingSender()
    house.queue(nobody="1", patient="")
    assert house.worker(sender, open_entry=opened).step() == 1
    assert sender.messages == []
    assert house.events == []
    assert house.left() == 0
    assert house.client.keys("authsvc:{maple}:deliver*") == []


def test_a_practice_that_is_not_known_yet_waits_for_a_later_sweep(house: House) -> None:
    known = dict(PRACTICES)
    oak = known.pop("oak")
    worker = house.worker(sender := RecordingSender(), practice=known.get)
    house.queue(practice="oak")
    assert worker.step() == 0
    known["oak"] = oak
    house.clock.advance_ms(SWEEP_MS)
    assert worker.step() == 1
    assert sender.messages[0].practice.id == "oak"


def test_a_practice_with_many_mails_does_not_keep_another_waiting(house: House) -> None:
    for number in range(3 * TURN):
        house.queue(f"m{number}")
    house.queue("oak1", practice="oak")
    sender = RecordingSender()
    worker = house.worker(sender)
    assert worker.step() == TURN + 1
    assert sender.messages[-1].id == "oak1"
    assert worker.step() == TURN, "and the rest needs no bell and no sweep"
    assert worker.step() == TURN
    assert house.left() == 0


# --- deferred, refused, too late ----------------------------------------------------------------------------------


def test_a_deferred_mail_is_tried_again_until_it_is_sent(house: House) -> None:
    busy = DeliveryDeferred("451 4.7.1")
    sender = RecordingSender([busy, busy, busy])
    house.queue()
    worker = house.worker(sender)
    worker.step()
    assert house.delivery().state == "deferred"
    assert house.delivery().detail == "451 4.7.1"
    look_until(house, worker, lambda: bool(sender.messages))
    assert (house.delivery().state, house.delivery().attempts) == ("sent", 4)
    assert [name for name, _ in house.events] == ["mail_deferred"] * 3 + ["mail_sent"]


def test_the_pauses_grow_with_full_jitter_up_to_a_part_of_the_messages_life(house: House) -> None:
    class Highest(SeededEntropy):
        bounds: list[int] = []  # noqa: RUF012 - one test, one list

        def below(self, bound: int) -> int:
            self.bounds.append(bound)
            return bound - 1

    sender = RecordingSender([DeliveryDeferred("451")] * 100)
    house.queue()
    worker = house.worker(sender, entropy=Highest())
    look_until(house, worker, lambda: house.delivery().state == "too_late")
    assert Highest.bounds[:5] == [2_000, 4_000, 8_000, 16_000, 30_000]
    assert max(Highest.bounds) == 30_000


def test_a_host_that_says_when_is_not_asked_earlier(house: House) -> None:
    sender = RecordingSender([DeliveryDeferred("wait", retry_after_s=60)])
    house.queue()
    worker = house.worker(sender)
    worker.step()
    for _ in range(29):
        house.clock.advance_ms(SWEEP_MS)
        worker.step()
    assert sender.messages == []
    house.clock.advance_ms(SWEEP_MS)
    worker.step()
    assert len(sender.messages) == 1


def test_the_last_try_is_before_the_end_and_none_after(house: House) -> None:
    tries: list[int] = []

    class Busy:
        def send(self, message: Message) -> str:
            tries.append(house.clock.now_ms())
            raise DeliveryDeferred("451")

    house.queue()
    until_ms = house.clock.now_ms() + CODE_LIFE_MS
    look_until(house, house.worker(Busy()), lambda: house.left() == 0)
    assert until_ms - 2 * SWEEP_MS <= tries[-1] < until_ms
    assert (house.delivery().state, house.delivery().attempts) == ("too_late", len(tries) + 1)
    assert house.events[-1][0] == "mail_too_late"


def test_a_code_whose_time_is_over_is_never_sent(house: House) -> None:
    sender = RecordingSender()
    house.queue()
    house.clock.advance_ms(CODE_LIFE_MS)
    house.worker(sender).step()
    assert sender.messages == []
    assert house.delivery().state == "too_late"


def test_a_code_that_ends_while_the_host_dawdles_is_not_tried_again(house: House) -> None:
    class Slow:
        def send(self, message: Message) -> str:
            house.clock.advance_ms(CODE_LIFE_MS)
            raise DeliveryDeferred("connection lost")

    house.queue()
    house.worker(Slow()).step()
    assert (house.delivery().state, house.delivery().detail) == ("too_late", "connection lost")


def test_a_link_of_a_month_is_given_up_after_a_long_weekend(house: House) -> None:
    sender = RecordingSender()
    house.queue(kind="link", until=house.clock.now_ms() + 30 * 86_400_000)
    house.clock.advance_ms(LONGEST_LIFE_MS)
    house.worker(sender).step()
    assert house.delivery().state == "too_late"


def test_a_refused_mail_is_never_tried_again(house: House) -> None:
    sender = RecordingSender([DeliveryRefused("550 5.1.1")])
    house.queue()
    worker = house.worker(sender)
    worker.step()
    assert (house.delivery().state, house.delivery().detail) == ("refused", "550 5.1.1")
    assert house.left() == 0
    assert [name for name, _ in house.events] == ["mail_refused"]


def test_a_channel_without_a_sender_is_refused(house: House) -> None:
    house.queue(channel="fax")
    house.worker(RecordingSender()).step()
    assert (house.delivery().state, house.delivery().detail) == ("refused", "no sender for this channel")


def test_what_this_worker_can_not_open_waits_for_one_that_can(house: House) -> None:
    house.queue(body="sealed elsewhere")
    worker = house.worker(RecordingSender())
    worker.step()
    assert house.delivery().state == "deferred"
    assert "secrets of this worker" in house.delivery().detail


def test_a_fault_of_ours_defers_and_tells_its_kind_only(house: House, caplog: pytest.LogCaptureFixture) -> None:
    sender = RecordingSender([KeyError("anna@example.org 042917")])
    house.queue()
    house.worker(sender).step()
    assert house.delivery().detail == "fault: KeyError"
    assert "042917" not in caplog.text


def test_one_mail_that_fails_does_not_hold_up_the_next(house: House) -> None:
    sender = RecordingSender([DeliveryRefused("550"), DeliveryDeferred("451"), RuntimeError("x"), None])
    for number in range(4):
        house.queue(f"m{number}")
    house.worker(sender).step()
    assert len(sender.messages) == 1


# --- workers come and go ------------------------------------------------------------------------------------------


class Vanish(BaseException):
    """A worker is killed in the middle of a message."""


def test_the_message_of_a_worker_that_vanished_is_sent_by_another(house: House) -> None:
    class Killed:
        def send(self, message: Message) -> str:
            raise Vanish

    house.queue("m1")
    house.queue("m2")
    with pytest.raises(Vanish):
        house.worker(Killed()).step()
    sender = RecordingSender()
    second = house.worker(sender)
    assert second.step() == 0, "the lease still runs"
    house.clock.advance_ms(LEASE_MS)
    assert second.step() == 2
    assert sorted(each.id for each in sender.messages) == ["m1", "m2"]


def test_a_worker_that_was_too_slow_leaves_the_message_to_the_one_that_has_it(house: House) -> None:
    sent: list[str] = []
    other = RecordingSender()

    class Slow:
        def send(self, message: Message) -> str:
            sent.append(message.id)
            house.clock.advance_ms(LEASE_MS)
            second.step()
            return "250"

    first, second = house.worker(Slow()), house.worker(other)
    house.queue("m1")
    house.queue("m2")
    first.step()
    assert sent == ["m1"], "m2 went to the other worker in the meantime"
    assert sorted(each.id for each in other.messages) == ["m1", "m2"], "m1 twice, with one Message-ID"
    assert [name for name, _ in house.events] == ["mail_sent"] * 2
    assert house.delivery("m1").state == "sent"


def test_what_was_sent_but_could_not_be_noted_is_noted_later_and_not_sent_twice(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    sender = RecordingSender()
    worker = house.worker(sender)
    finish = house.outbox.finish

    def away(*args: Any) -> bool:
        raise Unavailable("store_away")

    house.queue()
    monkeypatch.setattr(house.outbox, "finish", away)
    worker.step()
    assert house.delivery().state == "queued"
    monkeypatch.setattr(house.outbox, "finish", finish)
    house.clock.advance_ms(practice_pauses.PAUSE_MS)
    worker.step()
    assert len(sender.messages) == 1
    assert house.delivery().state == "sent"


def test_a_fail_over_that_forgets_what_was_noted_has_nothing_sent_twice(house: House) -> None:
    copy: dict[str, bytes] = {}

    class Copied(RecordingSender):
        def send(self, message: Message) -> str:
            copy.update((key, house.client.dump(key)) for key in house.client.scan_iter("authsvc:{maple}:*"))
            return super().send(message)

    worker = house.worker(sender := Copied())
    house.queue()
    worker.step()
    for key, dumped in copy.items():  # the replica of before the note is the primary now
        house.client.restore(key, 0, dumped, replace=True)
    assert (house.left(), house.delivery().state) == (1, "queued")
    house.clock.advance_ms(LEASE_MS + 1)
    worker.step()
    assert [message.id for message in sender.messages] == ["m1"]
    assert (house.left(), house.delivery().state) == (0, "sent")
    assert [name for name, _ in house.events] == ["mail_sent"]


def test_nothing_is_sent_before_the_replicas_have_it(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a fail-over takes back the call that queued it, and its repeat has it sent once more."""
    begin = house.outbox.begin

    def unconfirmed(*args: Any) -> str:
        begin(*args)
        raise NotReplicated

    house.queue()
    worker = house.worker(sender := RecordingSender())
    monkeypatch.setattr(house.outbox, "begin", unconfirmed)
    worker.step()
    assert sender.messages == []
    monkeypatch.setattr(house.outbox, "begin", begin)
    house.clock.advance_ms(practice_pauses.PAUSE_MS)
    worker.step()
    assert len(sender.messages) == 1


def test_what_was_noted_on_too_few_replicas_is_noted_again_and_told_once(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish = house.outbox.finish

    def unconfirmed(*args: Any) -> bool:
        finish(*args)
        raise NotReplicated

    house.queue()
    worker = house.worker(sender := RecordingSender())
    monkeypatch.setattr(house.outbox, "finish", unconfirmed)
    worker.step()
    assert house.events == []
    monkeypatch.setattr(house.outbox, "finish", finish)
    house.clock.advance_ms(practice_pauses.PAUSE_MS)
    worker.step()
    assert len(sender.messages) == 1
    assert [name for name, _ in house.events] == ["mail_sent"]


def test_a_worker_remembers_so_many_ends_and_no_more(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "FINAL_MOST", 3)
    worker = house.worker(RecordingSender())
    for number in range(5):
        house.queue(f"m{number}")
    worker.step()
    assert [message_id for _, _, message_id in worker._jobs._final] == ["m2", "m3", "m4"]


def test_when_the_secrets_can_not_be_had_the_worker_waits(house: House) -> None:
    def away(practice: Practice, entry: Entry, recipient: Recipient) -> Message:
        raise Unavailable("store_away")

    house.queue()
    worker = house.worker(sender := RecordingSender(), open_entry=away)
    worker.step()
    assert house.delivery().state == "queued"
    assert sender.messages == []
    assert house.worker(sender).step() == 1, "and gives it back"


@pytest.mark.race
def test_many_workers_send_every_message_once(house: House) -> None:
    for number in range(60):
        house.queue(f"m{number}", practice="maple" if number % 2 else "oak")
    senders = [RecordingSender() for _ in range(4)]
    stop = threading.Event()

    def tell(name: str, facts: Mapping[str, str | int]) -> None:
        house.events.append((name, facts))
        if len(house.events) == 60:
            stop.set()

    timer = threading.Timer(20, stop.set)
    timer.start()
    assert run_workers([house.worker(sender, on_event=tell) for sender in senders], stop)
    timer.cancel()
    assert sorted(each.id for sender in senders for each in sender.messages) == sorted(f"m{n}" for n in range(60))


# --- running and ending -------------------------------------------------------------------------------------------


def test_at_the_end_the_message_in_hand_is_finished_and_the_rest_given_back(house: House) -> None:
    stop = threading.Event()
    sent: list[str] = []

    class Ending:
        def send(self, message: Message) -> str:
            stop.set()
            sent.append(message.id)
            return "250"

    for number in range(3):
        house.queue(f"m{number}")
    house.queue("oak1", practice="oak")
    house.worker(Ending()).run(stop)
    assert len(sent) == 1
    successor = RecordingSender()
    house.worker(successor).step()
    assert sorted([*sent, *(each.id for each in successor.messages)]) == ["m0", "m1", "m2", "oak1"], "without a wait"


def test_a_running_worker_survives_a_store_that_is_away_and_a_fault(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
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
    rung = house.outbox.woken

    def trouble(wakeups: str) -> set[str]:
        if troubles:
            raise troubles.pop(0)
        return rung(wakeups)

    monkeypatch.setattr(house.outbox, "woken", trouble)
    sender = RecordingSender()
    house.queue()
    house.worker(sender).run(Stop())
    assert len(sender.messages) == 1
    assert [record.message for record in caplog.records if record.levelno >= logging.WARNING] == [
        "the store is away, the outbox waits",
        "the worker failed, and goes on",
    ]
    assert "anna" not in caplog.text


def test_a_worker_that_hangs_does_not_hold_up_the_end(house: House) -> None:
    stop, release = threading.Event(), threading.Event()

    class Hanging:
        def send(self, message: Message) -> str:
            stop.set()
            release.wait(10)
            return "250"

    house.queue()
    assert not run_workers([house.worker(Hanging())], stop, grace_s=0.05)
    release.set()
    for thread in threading.enumerate():
        if thread.name == "outbox":
            thread.join(10)


def test_attack_a_provider_that_hangs_delays_no_other_practices_code(house: House) -> None:
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
        house.clock.advance_ms(SWEEP_MS)
        worker.step()
        return sorted(begun.get(timeout=20) for _ in range(count))

    worker = house.worker(
        RecordingSender(),
        senders={"webhook": Provider()},
        threads=9,
        threads_each=4,
        queues=(WEBHOOK_CODES, WEBHOOKS),
        wakeups=WEBHOOK_WAKEUPS,
    )
    for number in range(20):
        house.queue(f"link{number}", channel="webhook", queue="mails")
    assert len(next_begun(3)) == 3
    house.queue("code", channel="webhook")
    assert next_begun(1) == ["code"]
    house.queue("oak1", practice="oak", channel="webhook")
    assert next_begun(1) == ["oak1"]
    assert begun.empty()
    release.set()


# --- brakes -------------------------------------------------------------------------------------------------------


def test_mails_of_all_practices_are_counted_and_the_brake_published_and_loosened(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    worker = house.worker(RecordingSender(), counts=MailCounts(house.outbox, MailCap(10, 100, 0.8)))
    for number in range(4):
        house.queue(f"m{number}")
    house.queue("void", nobody="1", patient="")
    worker.step()
    assert house.client.get("authsvc:{@site}:mail-throttle") is None
    for number in range(5):
        house.queue(f"oak{number}", practice="oak")
    house.clock.advance_ms(SWEEP_MS)
    worker.step()
    assert house.client.get("authsvc:{@site}:mail-throttle") == "typed"
    house.clock.advance_s(80)
    worker.step()
    assert house.client.get("authsvc:{@site}:mail-throttle") is None
    warned = [record for record in caplog.records if record.message == "mails are throttled"]
    assert [record.__dict__["policy"] for record in warned] == ["mails-all"]


def test_a_mail_counts_once_however_often_it_is_tried(house: House) -> None:
    sender = RecordingSender([DeliveryDeferred("451")] * 4)
    worker = house.worker(sender, counts=MailCounts(house.outbox, MailCap(2, 10_000, 0.8)))
    house.queue()
    look_until(house, worker, lambda: bool(sender.messages))
    assert house.client.get("authsvc:{@site}:mail-throttle") is None


def test_a_count_that_the_store_did_not_take_is_published_the_next_time(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts, count = MailCounts(house.outbox, MailCap(1, 100, 0.8)), house.outbox.count

    def away(*_: Any) -> str:
        raise Unavailable("store_away")

    counts.add(1)
    monkeypatch.setattr(house.outbox, "count", away)
    counts.publish(now=True)
    monkeypatch.setattr(house.outbox, "count", count)
    counts.publish(now=True)
    assert house.client.get("authsvc:{@site}:mail-throttle") == "all"


# --- what is said -------------------------------------------------------------------------------------------------


def test_logs_say_what_happened_and_to_nobody_in_particular(house: House, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    sender = RecordingSender([DeliveryDeferred("451 4.7.1"), DeliveryRefused("550"), None])
    for number in range(3):
        house.queue(f"m{number}")
    house.worker(sender, on_event=None).step()
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


def test_the_whole_way_to_a_mail_host_that_greylists(house: House) -> None:
    host = MailHost()
    host.answers = ["451 4.7.1 greylisted", "250 OK", "550 5.1.1 no such user"]
    with serving(host):
        sender = EmailSender(
            Host.of_url(f"smtp://127.0.0.1:{host.port}"),
            Composer("no-reply@mail.example"),
            house.clock,
            development=True,
        )
        worker = house.worker(sender)
        house.queue("m1")
        look_until(house, worker, lambda: house.left() == 0)
        house.queue("m2")
        look_until(house, worker, lambda: house.left() == 0)
        sender.close()
    assert [mail["Message-ID"] for mail in host.mails] == ["<m1@mail.example>"]
    assert (house.delivery("m1").state, house.delivery("m1").attempts) == ("sent", 2)
    assert (house.delivery("m2").state, house.delivery("m2").detail) == ("refused", "550 5.1.1")
