"""The outbox from the worker's side."""

from __future__ import annotations

import threading

import pytest
import redis

from authsvc.store.connection import Connection
from authsvc.store.inbox import NEWEST, Inbox
from authsvc.store.outbox import CODES, WAKEUPS_MAX, Batch, Entry, MailCap, Outbox, Recipient
from tests.fakes import FakeClock
from tests.outboxes import WEEK_MS, enqueue

LEASE_MS = 30_000
CAP = MailCap(quota=10, window_s=100, typed_share=0.8)


@pytest.fixture
def outbox(store: Connection, clock: FakeClock) -> Outbox:
    return Outbox(store, clock, record_life_s=WEEK_MS // 1000)


def take(outbox: Outbox, clock: FakeClock, consumer: str = "one", count: int = 10, practice: str = "maple") -> Batch:
    return outbox.take(practice, CODES, consumer, LEASE_MS, count)


def only(batch: Batch) -> Entry:
    (entry,) = batch.entries
    return entry


def ids(batch: Batch) -> list[str]:
    return sorted(entry.message_id for entry in batch.entries)


def leftovers(client: redis.Redis) -> tuple[int, int, int]:
    prefix = "authsvc:{maple}:codes"
    return client.xlen(prefix), client.zcard(f"{prefix}:due"), client.hlen(f"{prefix}:held")


def test_an_empty_outbox_hands_out_nothing(outbox: Outbox, clock: FakeClock) -> None:
    assert take(outbox, clock) == Batch((), 0, False, 0)


def test_a_message_is_handed_out_as_it_was_queued(outbox: Outbox, redis_client: redis.Redis, clock: FakeClock) -> None:
    enqueue(redis_client, "m1", now_ms=clock.now_ms(), locale="es")
    batch = take(outbox, clock)
    entry = only(batch)
    assert (batch.fresh, batch.full) == (1, False)
    assert entry.tries == 0
    assert not entry.nobody
    assert entry.queued_ms == clock.now_ms()
    assert entry.until_ms == clock.now_ms() + 600_000
    assert (entry.message_id, entry.kind, entry.channel, entry.patient) == ("m1", "code", "email", "pat_1")
    assert (entry.body, entry.locale, entry.queue) == ("sealed-body", "es", CODES)


def test_nobody_else_gets_a_leased_message(outbox: Outbox, redis_client: redis.Redis, clock: FakeClock) -> None:
    enqueue(redis_client, "m1", now_ms=clock.now_ms())
    take(outbox, clock)
    assert take(outbox, clock, "two").entries == ()


def test_a_worker_whose_answer_was_lost_gets_the_same_messages_again(
    outbox: Outbox, redis_client: redis.Redis, clock: FakeClock
) -> None:
    enqueue(redis_client, "m1", now_ms=clock.now_ms())
    first = take(outbox, clock)
    again = take(outbox, clock)
    assert again.entries == first.entries
    assert again.fresh == 0, "it was counted already"


def test_when_a_worker_vanishes_another_takes_over_after_the_lease(
    outbox: Outbox, redis_client: redis.Redis, clock: FakeClock
) -> None:
    enqueue(redis_client, "m1", now_ms=clock.now_ms())
    entry = only(take(outbox, clock))
    assert outbox.begin("maple", entry, "one", LEASE_MS) == Recipient("pat_1", "sealed-address")
    clock.advance_ms(LEASE_MS - 1)
    assert take(outbox, clock, "two").entries == ()
    clock.advance_ms(1)
    assert only(take(outbox, clock, "two")).tries == 1


def test_a_worker_that_comes_back_late_finds_its_message_gone(
    outbox: Outbox, redis_client: redis.Redis, clock: FakeClock
) -> None:
    enqueue(redis_client, "m1", now_ms=clock.now_ms())
    entry = only(take(outbox, clock))
    clock.advance_ms(LEASE_MS)
    take(outbox, clock, "two")
    assert outbox.begin("maple", entry, "one", LEASE_MS) == "lost"
    assert not outbox.defer("maple", entry, "one", clock.now_ms(), "451")
    assert take(outbox, clock, "one").entries == ()


def test_beginning_renews_the_lease(outbox: Outbox, redis_client: redis.Redis, clock: FakeClock) -> None:
    enqueue(redis_client, "m1", now_ms=clock.now_ms())
    entry = only(take(outbox, clock))
    clock.advance_ms(LEASE_MS - 1)
    assert outbox.begin("maple", entry, "one", LEASE_MS) == Recipient("pat_1", "sealed-address")
    clock.advance_ms(LEASE_MS - 1)
    assert take(outbox, clock, "two").entries == ()


def test_beginning_twice_is_one_attempt(outbox: Outbox, redis_client: redis.Redis, clock: FakeClock) -> None:
    enqueue(redis_client, "m1", now_ms=clock.now_ms())
    entry = only(take(outbox, clock))
    outbox.begin("maple", entry, "one", LEASE_MS)
    outbox.begin("maple", entry, "one", LEASE_MS)
    assert outbox.deliveries("maple", "pat_1")[0].attempts == 1


def test_a_sent_message_leaves_nothing_but_its_record(
    outbox: Outbox, redis_client: redis.Redis, clock: FakeClock
) -> None:
    enqueue(redis_client, "m1", now_ms=clock.now_ms())
    entry = only(take(outbox, clock))
    outbox.begin("maple", entry, "one", LEASE_MS)
    clock.advance_ms(40)
    assert outbox.finish("maple", entry, "sent", "250")
    assert leftovers(redis_client) == (0, 0, 0)
    (record,) = outbox.deliveries("maple", "pat_1")
    assert (record.id, record.kind, record.channel, record.state) == ("m1", "code", "email", "sent")
    assert (record.queued_at_ms, record.updated_at_ms) == (clock.now_ms() - 40, clock.now_ms())
    assert (record.attempts, record.detail) == (1, "250")


def test_what_is_final_stays_as_it_is(outbox: Outbox, redis_client: redis.Redis, clock: FakeClock) -> None:
    enqueue(redis_client, "m1", now_ms=clock.now_ms())
    entry = only(take(outbox, clock))
    outbox.finish("maple", entry, "sent", "250")
    assert not outbox.finish("maple", entry, "too_late", "")
    assert outbox.deliveries("maple", "pat_1")[0].state == "sent"


def test_a_deferred_message_comes_back_when_it_is_due(
    outbox: Outbox, redis_client: redis.Redis, clock: FakeClock
) -> None:
    enqueue(redis_client, "m1", now_ms=clock.now_ms())
    entry = only(take(outbox, clock))
    outbox.begin("maple", entry, "one", LEASE_MS)
    assert outbox.defer("maple", entry, "one", clock.now_ms() + 5_000, "451 4.7.1")
    (record,) = outbox.deliveries("maple", "pat_1")
    assert (record.state, record.detail) == ("deferred", "451 4.7.1")
    clock.advance_ms(4_999)
    assert take(outbox, clock).entries == ()
    clock.advance_ms(1)
    batch = take(outbox, clock, "two")
    assert only(batch).tries == 1
    assert batch.fresh == 0, "a message counts once, however often it is tried"


def test_a_message_given_back_untried_is_there_at_once_and_still_queued(
    outbox: Outbox, redis_client: redis.Redis, clock: FakeClock
) -> None:
    enqueue(redis_client, "m1", now_ms=clock.now_ms())
    assert outbox.release("maple", only(take(outbox, clock)), "one")
    assert outbox.deliveries("maple", "pat_1")[0].state == "queued"
    assert only(take(outbox, clock, "two")).tries == 0


def test_void_messages_leave_no_record_and_count_as_no_mail(
    outbox: Outbox, redis_client: redis.Redis, clock: FakeClock
) -> None:
    enqueue(redis_client, "m1", now_ms=clock.now_ms(), nobody="1", patient="")
    batch = take(outbox, clock)
    assert only(batch).nobody
    assert batch.fresh == 0
    outbox.finish("maple", only(batch), "void", "")
    assert leftovers(redis_client) == (0, 0, 0)
    assert redis_client.keys("authsvc:{maple}:deliveries:*") == []


def test_a_turn_is_bounded_and_says_that_there_is_more(
    outbox: Outbox, redis_client: redis.Redis, clock: FakeClock
) -> None:
    for number in range(5):
        enqueue(redis_client, f"m{number}", now_ms=clock.now_ms())
    first, second, third = (take(outbox, clock, consumer, count=2) for consumer in ("one", "two", "three"))
    assert (ids(first), first.full) == (["m0", "m1"], True)
    assert (ids(second), second.full) == (["m2", "m3"], True)
    assert (ids(third), third.full) == (["m4"], False)


def test_many_deferred_messages_do_not_hold_up_a_new_one(
    outbox: Outbox, redis_client: redis.Redis, clock: FakeClock
) -> None:
    for number in range(5):
        enqueue(redis_client, f"old{number}", now_ms=clock.now_ms())
    for entry in take(outbox, clock).entries:
        outbox.defer("maple", entry, "one", clock.now_ms() + 1_000, "451")
    clock.advance_ms(1_000)
    enqueue(redis_client, "new", now_ms=clock.now_ms())
    batch = take(outbox, clock, count=2)
    assert "new" in ids(batch)
    assert len(batch.entries) == 3
    assert batch.full


def test_an_entry_that_was_deleted_under_the_worker_is_forgotten(
    outbox: Outbox, redis_client: redis.Redis, clock: FakeClock
) -> None:
    enqueue(redis_client, "m1", now_ms=clock.now_ms())
    take(outbox, clock)
    redis_client.delete("authsvc:{maple}:codes")
    assert take(outbox, clock).entries == ()
    assert leftovers(redis_client) == (0, 0, 0)


def test_a_message_whose_record_has_ended_is_still_worked_off(
    outbox: Outbox, redis_client: redis.Redis, clock: FakeClock
) -> None:
    enqueue(redis_client, "m1", now_ms=clock.now_ms())
    entry = only(take(outbox, clock))
    redis_client.delete("authsvc:{maple}:deliveries:pat_1")
    assert outbox.begin("maple", entry, "one", LEASE_MS) == Recipient("pat_1", "sealed-address")
    assert outbox.defer("maple", entry, "one", clock.now_ms(), "451")
    assert outbox.finish("maple", only(take(outbox, clock)), "sent", "250")
    assert not redis_client.exists("authsvc:{maple}:deliveries:pat_1"), "a record made now would never end"
    assert outbox.deliveries("maple", "pat_1") == []


@pytest.mark.race
def test_two_workers_at_once_lose_no_message_and_get_none_twice(
    outbox: Outbox, redis_client: redis.Redis, clock: FakeClock
) -> None:
    for number in range(40):
        enqueue(redis_client, f"m{number}", now_ms=clock.now_ms())
    got: list[str] = []
    start = threading.Barrier(4)

    def work(consumer: str) -> None:
        start.wait()
        while batch := take(outbox, clock, consumer, count=3).entries:
            for entry in batch:
                if outbox.begin("maple", entry, consumer, LEASE_MS) != "lost":
                    got.append(entry.message_id)
                    outbox.finish("maple", entry, "sent", "250")

    threads = [threading.Thread(target=work, args=(f"worker{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got) == sorted(f"m{number}" for number in range(40))


# --- doorbell -----------------------------------------------------------------------------------------------------


def test_the_doorbell_tells_each_practice_once(outbox: Outbox) -> None:
    for practice in ("maple", "oak", "maple"):
        outbox.wake_worker([practice])
    assert outbox.woken() == {"maple", "oak"}
    assert outbox.woken() == set()


def test_a_doorbell_that_nobody_hears_does_not_grow_for_ever(outbox: Outbox, redis_client: redis.Redis) -> None:
    redis_client.rpush("authsvc:{@outbox}:wakeups", *["maple"] * WAKEUPS_MAX)
    outbox.wake_worker(["oak"])
    assert redis_client.llen("authsvc:{@outbox}:wakeups") == WAKEUPS_MAX
    assert "oak" in outbox.woken()


def test_the_sweep_knows_every_practice(outbox: Outbox, redis_client: redis.Redis, clock: FakeClock) -> None:
    assert outbox.practices() == set()
    enqueue(redis_client, "m1", now_ms=clock.now_ms(), practice="oak")
    assert outbox.practices() == {"oak"}


# --- what staff may ask -------------------------------------------------------------------------------------------


def test_deliveries_are_listed_newest_first_and_by_patient(
    outbox: Outbox, redis_client: redis.Redis, clock: FakeClock
) -> None:
    enqueue(redis_client, "m1", now_ms=clock.now_ms())
    clock.advance_s(1)
    enqueue(redis_client, "m2", now_ms=clock.now_ms(), kind="link")
    enqueue(redis_client, "m3", now_ms=clock.now_ms(), patient="pat_2")
    assert [record.id for record in outbox.deliveries("maple", "pat_1")] == ["m2", "m1"]
    assert outbox.deliveries("oak", "pat_1") == []


def test_a_delivery_is_shown_for_as_long_as_its_record_shall_live(
    outbox: Outbox, redis_client: redis.Redis, clock: FakeClock
) -> None:
    enqueue(redis_client, "m1", now_ms=clock.now_ms())
    take(outbox, clock)
    clock.advance_ms(WEEK_MS)
    enqueue(redis_client, "m2", now_ms=clock.now_ms())
    assert [record.id for record in outbox.deliveries("maple", "pat_1")] == ["m2"]


def test_of_a_patients_deliveries_the_newest_hundred_are_kept(
    outbox: Outbox, redis_client: redis.Redis, clock: FakeClock
) -> None:
    for number in range(103):
        enqueue(redis_client, f"m{number}", now_ms=clock.now_ms())
        clock.advance_ms(1)
    assert redis_client.hlen("authsvc:{maple}:deliveries:pat_1") == 100
    assert {"m0", "m1", "m2"}.isdisjoint(record.id for record in outbox.deliveries("maple", "pat_1"))


# --- the brakes ---------------------------------------------------------------------------------------------------


def throttle(client: redis.Redis, key: str = "authsvc:{@site}:mail-throttle") -> str | None:
    found = client.get(key)
    assert found is None or isinstance(found, str)
    return found


def test_below_the_share_of_typed_starts_nothing_is_braked(
    outbox: Outbox, redis_client: redis.Redis, clock: FakeClock
) -> None:
    assert outbox.count(7, CAP) == ""
    assert throttle(redis_client) is None


def test_at_four_fifths_typed_starts_are_braked_and_when_spent_everything(
    outbox: Outbox, redis_client: redis.Redis, clock: FakeClock
) -> None:
    assert outbox.count(8, CAP) == "typed"
    assert throttle(redis_client) == "typed"
    assert outbox.count(2, CAP) == "all"
    assert throttle(redis_client) == "all"


def test_the_brake_is_loosened_step_by_step(outbox: Outbox, redis_client: redis.Redis, clock: FakeClock) -> None:
    outbox.count(25, CAP)
    clock.advance_s(10)  # room for one again
    assert outbox.count(0, CAP) == "typed"
    clock.advance_s(11)
    assert outbox.count(0, CAP) == "bulk"
    clock.advance_s(8)
    assert outbox.count(0, CAP) == ""
    assert throttle(redis_client) is None


def test_a_brake_ends_by_itself_when_every_worker_has_vanished(
    outbox: Outbox, redis_client: redis.Redis, clock: FakeClock
) -> None:
    outbox.count(10, CAP)
    assert 19_000 < redis_client.pttl("authsvc:{@site}:mail-throttle") <= 20_001, "until four fifths are left"


def test_looking_at_an_unused_counter_writes_nothing(
    outbox: Outbox, redis_client: redis.Redis, clock: FakeClock
) -> None:
    assert outbox.count(0, CAP) == ""
    assert redis_client.keys("*") == []


# --- the demo's inbox ---------------------------------------------------------------------------------------------


def test_the_inbox_shows_the_newest_first_and_keeps_so_many(store: Connection, redis_client: redis.Redis) -> None:
    inbox = Inbox(store)
    assert inbox.mails() == []
    for number in range(NEWEST + 1):
        inbox.append(str(number))
    mails = inbox.mails()
    assert (mails[0], mails[-1], len(mails)) == (str(NEWEST), "1", NEWEST)
