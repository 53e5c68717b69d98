"""Mail hosts that take their time, name servers too, and practices that ask for much: nobody gets a mail twice for it,
and no code waits for it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest
import redis

from authsvc.delivery import lookup, practice_pauses
from authsvc.delivery.attempts import DOUBT_PAUSES_MS
from authsvc.delivery.compose import Composer
from authsvc.delivery.jobs import LEASE_MARGIN_MS, LEASE_MS, RENEW_MS, Jobs
from authsvc.delivery.mail_host import Host
from authsvc.delivery.outbox_worker import HELD_MS, SWEEP_MS, TURN, Worker
from authsvc.delivery.run_workers import run_workers
from authsvc.delivery.smtp import REUSED_ANSWER_S, EmailSender
from authsvc.delivery.submission import Submission
from authsvc.errors import DeliveryDeferred, Unavailable
from authsvc.model import DeliveryInfo, Message, Practice
from authsvc.ports import Sender
from authsvc.store.connection import Connection
from authsvc.store.outbox import Outbox
from tests.delivery.messages import message
from tests.delivery.smtp_script import SmtpScript, serving
from tests.delivery.test_mail_worker import PRACTICES, open_entry
from tests.fakes import FakeClock, RecordingSender, SeededEntropy
from tests.outboxes import WEEK_MS, enqueue

WITHIN_S = 20.0


class Clinic:
    """A store with mails of maple and oak, and workers on it."""

    def __init__(self, store: Connection, client: redis.Redis, clock: FakeClock) -> None:
        self.outbox = Outbox(store, clock, WEEK_MS // 1000)
        self.client = client
        self.clock = clock
        self.events: list[tuple[str, Any]] = []
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
            "on_event": lambda name, facts: self.events.append((name, facts.get("cause"))),
        } | changes
        return Worker(**options)

    def queue(self, message_id: str = "m1", **changes: Any) -> None:
        enqueue(self.client, message_id, now_ms=self.clock.now_ms(), **changes)

    def delivery(self, message_id: str = "m1", patient: str = "pat_1", practice: str = "maple") -> DeliveryInfo:
        (found,) = (each for each in self.outbox.deliveries(practice, patient) if each.id == message_id)
        return found

    def step_until(self, worker: Worker, done: Callable[[], bool]) -> None:
        until = time.monotonic() + WITHIN_S
        pause = threading.Event()
        while not done():
            assert time.monotonic() < until
            worker.step()
            pause.wait(0.01)


@pytest.fixture
def clinic(store: Connection, redis_client: redis.Redis, clock: FakeClock) -> Clinic:
    return Clinic(store, redis_client, clock)


@pytest.fixture
def sender_to(clock: FakeClock) -> Iterator[Callable[..., EmailSender]]:
    made: list[EmailSender] = []

    def make(url: str, **options: Any) -> EmailSender:
        made.append(
            EmailSender(Host.of_url(url), Composer("no-reply@mail.example"), clock, development=True, **options)
        )
        return made[-1]

    yield make
    for sender in made:
        sender.close()


# --- the answer to a whole mail -----------------------------------------------------------------------------------


def test_a_host_that_answers_late_gets_one_copy_however_many_workers_there_are(
    clinic: Clinic, sender_to: Callable[..., EmailSender]
) -> None:
    answer = threading.Event()
    host = SmtpScript(end=lambda: "250 2.0.0 at last" if answer.wait(WITHIN_S) else "")
    with serving(host):
        first = clinic.worker(sender_to(host.url), threads=2)
        second = clinic.worker(sender_to(host.url), threads=2)
        clinic.queue()
        first.step()
        assert host.arrived.acquire(timeout=WITHIN_S)
        for _ in range(2 * LEASE_MS // RENEW_MS):
            clinic.clock.advance_ms(RENEW_MS)
            first.step()
            second.step()
        answer.set()
        clinic.step_until(first, lambda: clinic.delivery().state == "sent")
    assert len(host.mails) == 1
    assert clinic.delivery().attempts == 1


@pytest.mark.parametrize("features", [("PIPELINING",), ()])
def test_fault_worker_paused_beyond_its_lease_sends_no_second_copy(
    clinic: Clinic, sender_to: Callable[..., EmailSender], features: tuple[str, ...]
) -> None:
    """It wakes in the middle of the dialogue, and another worker has sent the mail meanwhile."""
    paused = threading.Event()

    def pause() -> None:
        if not paused.is_set():
            paused.set()
            clinic.clock.advance_ms(LEASE_MS)
            second.step()

    host = SmtpScript(features=features, before_data=pause)
    with serving(host):
        first, second = clinic.worker(sender_to(host.url)), clinic.worker(sender_to(host.url))
        clinic.queue()
        first.step()
    assert len(host.mails) == 1
    assert clinic.events == [("mail_sent", None)]
    assert clinic.delivery().state == "sent"


def test_fault_worker_paused_beyond_its_lease_alone_sends_the_mail_in_its_next_try(
    clinic: Clinic, sender_to: Callable[..., EmailSender]
) -> None:
    host = SmtpScript()
    host.before_data = lambda: clinic.clock.advance_ms(LEASE_MS if not host.mails and host.count("DATA") == 1 else 0)
    with serving(host):
        worker = clinic.worker(sender_to(host.url))
        clinic.queue()
        worker.step()
        assert clinic.events == [("mail_deferred", "ours")]
        for _ in range(3):  # its pause is shorter
            clinic.clock.advance_ms(SWEEP_MS)
            worker.step()
    assert clinic.delivery().state == "sent"
    assert len(host.mails) == 1


def test_a_worker_that_was_paused_for_less_than_its_lease_goes_on(
    clinic: Clinic, sender_to: Callable[..., EmailSender]
) -> None:
    host = SmtpScript(before_data=lambda: clinic.clock.advance_ms(LEASE_MS - LEASE_MARGIN_MS - 1))
    with serving(host):
        clinic.queue()
        clinic.worker(sender_to(host.url)).step()
    assert len(host.mails) == 1
    assert clinic.delivery().attempts == 1


def test_a_lease_that_another_worker_has_is_not_taken_for_renewed(clinic: Clinic) -> None:
    """The thread that renews wakes first, and hears that the message isn't its own any more."""
    clinic.queue()
    first, second = (Jobs(clinic.outbox, clinic.clock, consumer) for consumer in ("one", "two"))
    (mine,), _ = first.take("codes", PRACTICES["maple"], 1)
    assert first.begin(mine)
    first.check_lease(mine)
    clinic.clock.advance_ms(LEASE_MS)
    (theirs,), _ = second.take("codes", PRACTICES["maple"], 1)
    assert second.begin(theirs)
    first.renew(mine)
    with pytest.raises(DeliveryDeferred):
        first.check_lease(mine)
    clinic.clock.advance_ms(RENEW_MS)
    second.renew(theirs)
    clinic.clock.advance_ms(LEASE_MS - RENEW_MS)
    second.check_lease(theirs)


def test_a_mail_that_the_host_perhaps_has_is_tried_at_most_twice_more_and_slowly(
    clinic: Clinic, sender_to: Callable[..., EmailSender]
) -> None:
    with serving(SmtpScript(end=lambda: "")) as host:
        clinic.queue("m1", until=clinic.clock.now_ms() + 3_600_000)
        began_ms = clinic.clock.now_ms()
        sent_ms: list[int] = []
        sender = sender_to(host.url)
        while clinic.delivery().state != "sent":
            assert clinic.clock.now_ms() - began_ms < 3_600_000
            clinic.worker(sender).step()  # a new worker each time: what was in doubt stands in the store
            if len(host.mails) > len(sent_ms):
                sent_ms.append(clinic.clock.now_ms())
            clinic.clock.advance_s(10)
    assert len(host.mails) == 3
    assert len(set(host.mails)) == 1, "to the byte"
    assert [after - before for before, after in pairwise(sent_ms)] == list(DOUBT_PAUSES_MS)
    assert clinic.delivery().detail == "perhaps sent: no answer to the whole mail (perhaps sent: 3)"
    assert clinic.events == [("mail_deferred", "in_doubt")] * 2 + [("mail_sent", "in_doubt")]


def test_what_staff_sees_is_the_reason_of_the_last_try_and_that_it_may_have_arrived(
    clinic: Clinic, sender_to: Callable[..., EmailSender]
) -> None:
    with serving(SmtpScript(end=lambda: "")) as host:
        worker = clinic.worker(sender_to(host.url))
        clinic.queue()
        worker.step()
        host.replies["RCPT"] = ["451 4.7.1 greylisted"]
        clinic.clock.advance_ms(DOUBT_PAUSES_MS[0])
        worker.step()
    assert clinic.delivery().detail == "451 4.7.1 (perhaps sent: 1)"


def test_a_host_that_never_answers_a_whole_mail_is_waited_for_as_long_as_the_setting_says(
    sender_to: Callable[..., EmailSender],
) -> None:
    never = threading.Event()
    with serving(SmtpScript(end=lambda: str(never.wait(WITHIN_S)) and "")) as host:
        with pytest.raises(DeliveryDeferred, match="perhaps sent") as deferral:
            sender_to(host.url, patience_s=0.2).send(message())
        never.set()
    assert deferral.value.cause == "in_doubt"


@pytest.mark.parametrize("reply", ["250", "gibberish", "999 what"])
def test_an_answer_that_is_none_leaves_the_mail_in_doubt_or_sent(
    sender_to: Callable[..., EmailSender], reply: str
) -> None:
    with serving(SmtpScript(end=lambda: reply)) as host:
        if reply == "250":
            assert sender_to(host.url).send(message()) == "250"
        else:
            with pytest.raises(DeliveryDeferred):
                sender_to(host.url).send(message())


def test_a_slow_greeting_is_waited_for(sender_to: Callable[..., EmailSender]) -> None:
    greeting = threading.Event()
    with serving(SmtpScript(greeting=greeting)) as host:
        timer = threading.Timer(0.3, greeting.set)
        timer.start()
        assert sender_to(host.url, answer_s=0.1).send(message()) == "250"
        timer.join()


def test_a_host_that_asks_the_recipients_own_before_it_answers_is_waited_for(
    sender_to: Callable[..., EmailSender], monkeypatch: pytest.MonkeyPatch
) -> None:
    """RFC 5321 §4.5.3.2.3: five minutes for RCPT; only a connection that waited may have died without a word."""
    spans: list[float] = []
    transmit = Submission.transmit

    def noting(self: Submission, *args: Any) -> Any:
        spans.append(args[-1])
        return transmit(self, *args)

    monkeypatch.setattr(Submission, "transmit", noting)
    with serving(SmtpScript()) as host:
        sender = sender_to(host.url)
        for _ in range(2):
            sender.send(message())
        sender_to(host.url, patience_s=60).send(message())
    assert spans == [300, REUSED_ANSWER_S, 60]


def test_sigterm_ends_in_time_and_notes_what_the_host_perhaps_has(
    clinic: Clinic, sender_to: Callable[..., EmailSender]
) -> None:
    ended = threading.Event()
    with serving(SmtpScript(end=lambda: str(ended.wait(WITHIN_S)) and "")) as host:
        sender = sender_to(host.url)
        worker = clinic.worker(sender, threads=2, cut=sender.cut)
        clinic.queue()
        stop = threading.Event()
        running = threading.Thread(target=run_workers, args=([worker], stop, 0.1))
        running.start()
        assert host.arrived.acquire(timeout=WITHIN_S)
        stop.set()
        running.join(WITHIN_S)
        assert not running.is_alive()
        assert (clinic.delivery().state, clinic.delivery().attempts) == ("deferred", 1)
        assert "perhaps sent: 1" in clinic.delivery().detail
        assert clinic.worker(RecordingSender()).step() == 0, "it isn't sent again at once"
        ended.set()


# --- name servers -------------------------------------------------------------------------------------------------


def test_a_silent_name_server_holds_up_one_look_up_and_no_mail_twice(
    clinic: Clinic, sender_to: Callable[..., EmailSender], monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = threading.Event()
    calls: list[str] = []

    def silent(host: str, *_: Any, **__: Any) -> Any:
        calls.append(host)
        answer.wait(WITHIN_S)
        raise socket.gaierror("no such host")

    monkeypatch.setattr(socket, "getaddrinfo", silent)
    monkeypatch.setattr(lookup, "RESOLVER", lookup.Resolver(lookup_s=0.1))
    worker = clinic.worker(sender_to("smtp://mail.example"), threads=4)
    for number in range(4):
        clinic.queue(f"m{number}")
    clinic.step_until(worker, lambda: len(clinic.events) == 4)
    assert {clinic.delivery(f"m{number}").state for number in range(4)} == {"deferred"}
    assert {clinic.delivery(f"m{number}").detail for number in range(4)} <= {
        "not reachable: the name server doesn't answer",
        "mail host not reachable a moment ago",
    }
    assert calls == ["mail.example"]
    answer.set()


def test_while_the_name_server_is_away_the_last_answer_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    resolver = lookup.Resolver()
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 25))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    assert resolver.addresses("mail.example", 25) == [("192.0.2.1", 25)]
    monkeypatch.setattr(lookup, "FRESH_S", 0)

    def gone(*_: Any, **__: Any) -> Any:
        raise socket.gaierror("no answer")

    monkeypatch.setattr(socket, "getaddrinfo", gone)
    assert resolver.addresses("mail.example", 25) == [("192.0.2.1", 25)]
    with pytest.raises(socket.gaierror):
        resolver.addresses("other.example", 25)


def test_attack_many_names_at_a_silent_name_server_do_not_fill_the_process_with_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answer = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answer.wait(WITHIN_S) and [])
    resolver = lookup.Resolver(lookup_s=0.001)
    for number in range(3 * lookup.UNDER_WAY):
        with pytest.raises(TimeoutError, match="doesn't answer"):
            resolver.addresses(f"{number}.example", 443)
    assert sum(thread.name == "name-look-up" for thread in threading.enumerate()) <= lookup.UNDER_WAY
    answer.set()


# --- one practice and the others ----------------------------------------------------------------------------------


def test_a_practice_whose_turn_fails_ends_its_own_turn_only_and_is_named_once(
    clinic: Clinic, caplog: pytest.LogCaptureFixture
) -> None:
    broken = {"maple": True}

    def practice(practice_id: str) -> Practice | None:
        if broken.get(practice_id):
            raise KeyError("a record that can't be read, anna@example.org")
        return PRACTICES.get(practice_id)

    caplog.set_level("INFO")
    clinic.queue("m1")
    clinic.queue("m2", practice="oak")
    worker = clinic.worker(sender := RecordingSender(), practice=practice)
    for _ in range(5):
        worker.step()
        clinic.clock.advance_ms(practice_pauses.PAUSE_MS)
    assert [each.id for each in sender.messages] == ["m2"]
    broken.clear()
    worker.step()
    assert [each.id for each in sender.messages] == ["m2", "m1"]
    said = [record.message for record in caplog.records if "practice's mail" in record.message]
    assert said == ["a practice's mail waits", "a practice's mail goes on"]
    assert "anna" not in caplog.text


def test_a_dead_shard_keeps_its_own_practices_waiting_and_no_other(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    take = clinic.outbox.take

    def dead(practice: str, *args: Any) -> Any:
        if practice == "maple":
            raise Unavailable("store_away")
        return take(practice, *args)

    monkeypatch.setattr(clinic.outbox, "take", dead)
    clinic.queue("m1")
    clinic.queue("m2", practice="oak")
    worker = clinic.worker(sender := RecordingSender())
    assert worker.step() == 1
    assert [each.id for each in sender.messages] == ["m2"]


def test_one_message_that_can_not_be_read_does_not_end_its_practices_turn(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = clinic.outbox.begin

    def unreadable(practice: str, entry: Any, *args: Any) -> bool:
        if entry.message_id == "m1":
            raise KeyError("queued")
        return begin(practice, entry, *args)

    monkeypatch.setattr(clinic.outbox, "begin", unreadable)
    clinic.queue("m1")
    clinic.queue("m2")
    clinic.worker(sender := RecordingSender()).step()
    assert [each.id for each in sender.messages] == ["m2"]


# --- codes before bulk --------------------------------------------------------------------------------------------


class Slow:
    """A host that takes a mail only when the test says so."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.go_on = threading.Semaphore(0)

    def send(self, message: Message) -> str:
        self.begun.append(message.id)
        assert self.go_on.acquire(timeout=WITHIN_S)
        return "250"


def test_codes_go_before_bulk_and_have_connections_of_their_own(clinic: Clinic) -> None:
    slow = Slow()
    worker = clinic.worker(slow, threads=6)
    for number in range(50):
        clinic.queue(f"bulk{number}", kind="link", queue="mails")
    clinic.step_until(worker, lambda: len(slow.begun) == 4)
    worker.step()
    assert len(slow.begun) == 4, "two of six are kept for codes"
    clinic.queue("code1")  # also of the one that floods
    clinic.queue("code2", practice="oak")
    clinic.clock.advance_ms(SWEEP_MS)
    clinic.step_until(worker, lambda: len(slow.begun) == 6)
    assert set(slow.begun[4:]) == {"code1", "code2"}
    clinic.queue("code3", practice="oak")
    clinic.clock.advance_ms(SWEEP_MS)
    worker.step()
    slow.go_on.release()
    clinic.step_until(worker, lambda: len(slow.begun) == 7)
    assert slow.begun[6] == "code3", "the next that is free takes a code"
    slow.go_on.release(100)
    clinic.step_until(worker, lambda: len(slow.begun) == 53)


def test_a_mail_that_is_not_wanted_any_more_is_cancelled_and_never_sent(clinic: Clinic) -> None:
    clinic.queue()
    clinic.client.delete("authsvc:{maple}:patient:pat_1")
    assert clinic.worker(sender := RecordingSender()).step() == 1
    assert sender.messages == []
    assert clinic.delivery().state == "cancelled"
    assert clinic.events == [("mail_cancelled", None)]


def test_what_was_taken_and_can_not_begin_is_given_back_for_another_worker(clinic: Clinic) -> None:
    slow = Slow()
    worker = clinic.worker(slow, threads=1)
    for number in range(2):
        clinic.queue(f"m{number}")
    clinic.step_until(worker, lambda: len(slow.begun) == 1)
    slow.go_on.release()
    clinic.step_until(worker, lambda: len(slow.begun) == 2)
    clinic.clock.advance_ms(HELD_MS)
    other = RecordingSender()
    clinic.queue("m2")
    clinic.worker(other).step()
    assert [each.id for each in other.messages] == ["m2"]
    slow.go_on.release()
    clinic.step_until(worker, lambda: clinic.delivery("m1").state == "sent")


def test_a_flood_of_one_practice_does_not_keep_anothers_bulk_waiting(clinic: Clinic) -> None:
    for number in range(5 * TURN):
        clinic.queue(f"m{number}")
    slow = Slow()
    worker = clinic.worker(slow, threads=2)
    clinic.step_until(worker, lambda: len(slow.begun) == 2)
    clinic.queue("oak1", practice="oak")
    clinic.clock.advance_ms(SWEEP_MS)
    for done in range(3, 7):
        slow.go_on.release()
        clinic.step_until(worker, lambda done=done: len(slow.begun) == done)
    assert "oak1" in slow.begun
    slow.go_on.release(100)
    clinic.step_until(worker, lambda: len(slow.begun) == 5 * TURN + 1)
