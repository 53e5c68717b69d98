"""A month in the life of a mailbox: its patients sign in once a day while somebody guesses at their codes.

The service is the real one on a real store; time is a clock that jumps. What a guess was worth is read from the
challenge itself, at the moment when the guess is compared: the codes that are live then. A guess that is worth nothing
by that count is exchanged for the *right* code before it is compared, and must be refused all the same. So no guess
that could have opened anything is counted too low.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict, deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from typing import Any

import redis

from authsvc.config import limits as limits_module
from authsvc.config.limits import CODES, Limits, guess_chance
from authsvc.errors import AuthsvcError, ChallengeGone, InvalidCode, LinkGone, RateLimited
from authsvc.model import PERMISSIONS, Choice, Message, RequestContext, Started
from authsvc.store.connection import Connection, practice_prefix
from authsvc.store.values import Charged
from tests import outboxes, records
from tests.fakes import FakeClock, SeededEntropy
from tests.flows.conftest import Harness

DAY_MS = 86_400_000
HOUR_MS = 3_600_000
HOME = "198.51.100.7"
PREFIX = practice_prefix("maple")
STARTS = ("issue-address", "issue-patient", "issue-address-day", "issue-patient-day", "issue-network", "verify-network")

TIGHT = {"misses_per_day": 30, "misses_consecutive": 10, "misses_by_links_per_day": 6, "misses_per_link": 4}
"""Budgets of misses that a strategy reaches in few calls. What is judged by them is judged by any others."""


def limits_with(loose: bool, **numbers: Any) -> Limits:
    """The packaged limits with other numbers. `loose`: nothing but misses stops a guesser."""
    known = limits_module.load(None)
    if loose:
        loosened = {name: dataclasses.replace(known.policies[name], quota=100_000) for name in (*STARTS, "link-mails")}
        numbers["policies"] = {**known.policies, **loosened}
    return dataclasses.replace(known, **numbers)


class Month:
    """One practice, one mailbox with its patients, and the counts of what was guessed."""

    def __init__(self, client: redis.Redis, limits: Limits, patients: int = 1, seed: int = 0) -> None:
        client.flushall()
        self.clock = FakeClock()
        numbers = {field.name: getattr(limits, field.name) for field in dataclasses.fields(limits)}
        store = Connection(client, deadline_s=30, waiting_limit=256)
        self.harness = Harness(store, client, self.clock, SeededEntropy(seed), **numbers)
        self.redis: Any = client
        self.began_ms = self.clock.now_ms()
        self.email = "ann@example.org"
        self.names = [f"p{number}" for number in range(1, patients + 1)]
        for name in self.names:
            self.harness.patient(name, self.email)
        self.counted: dict[str, list[tuple[int, int]]] = defaultdict(list)  # mailbox: (instant, live codes)
        self.guesses = self.signed_in = 0
        self.last_worth = 0  # of the newest guess: the codes that it was compared with
        self.longest_wait_ms = 0
        self.ways: dict[str, int] = defaultdict(int)
        self._inbox: deque[dict[str, Any]] = deque(maxlen=200)
        self._reserved_ms: int | None = None  # of the guess that is compared now
        self._wants_in_since: int | None = None
        for use_cases in (self.harness.codes, self.harness.service.email_changes):
            self._judge(use_cases._store)

    @property
    def bound(self) -> float:
        """What `authsvc check` prints for these limits."""
        return guess_chance(self.harness.service.limits)

    @property
    def worst_day(self) -> float:
        """The largest chance of entering one mailbox within any 24 hours."""
        worst = 0
        for counted in self.counted.values():
            within: deque[tuple[int, int]] = deque()
            total = 0
            for at_ms, live in sorted(counted):
                within.append((at_ms, live))
                total += live
                while within[0][0] <= at_ms - DAY_MS:
                    total -= within.popleft()[1]
                worst = max(worst, total)
        return worst / CODES

    @property
    def by_day(self) -> list[float]:
        """The chance of each day, all mailboxes together."""
        days: dict[int, int] = defaultdict(int)
        for counted in self.counted.values():
            for at_ms, live in counted:
                days[(at_ms - self.began_ms) // DAY_MS] += live
        return [days[day] / CODES for day in range(max(days, default=-1) + 1)]

    # --- guesses ------------------------------------------------------------------------------------------------------

    @contextmanager
    def judging(self, reserved_ms: int | None = None) -> Iterator[None]:
        """What is compared inside is a guess, of the instant when its attempt was reserved."""
        self._reserved_ms = self.clock.now_ms() if reserved_ms is None else reserved_ms
        try:
            yield
        finally:
            self._reserved_ms = None

    def _judge(self, store: Any) -> None:
        settle = store.settle

        def judged(context: RequestContext, challenge_id: str, charged: Charged, tag: str, *rest: Any) -> Any:
            if self._reserved_ms is None:
                return settle(context, challenge_id, charged, tag, *rest)
            known = records.read(self.redis, "challenge", challenge_id)
            codes = [known[name].partition("|") for name in ("code1", "code2", "code3") if known[name]]
            live = {code for code, _, until in codes if int(until) > self.clock.now_ms()}
            may_open = not charged.link_mode and not known["unknown"] and int(known["expires"]) > self.clock.now_ms()
            wrong_or_right = next(iter(live)) if live and not may_open else "wrong"
            with suppress(InvalidCode, ChallengeGone):
                settle(context, challenge_id, charged, wrong_or_right, *rest)
                raise AssertionError(f"a guess that counts as worth nothing has opened a challenge: {known}")
            self.guesses += 1
            self.last_worth = len(live) if may_open else 0
            if self.last_worth:
                self.counted[known["mailbox"]].append((self._reserved_ms, self.last_worth))
            raise InvalidCode(0)

        store.settle = judged

    # --- the patient --------------------------------------------------------------------------------------------------

    def page(self, client_ip: str = HOME) -> RequestContext:
        """An act of a browser at the hosted pages."""
        return self.harness.service.act(self.harness.practice, client_ip=client_ip)

    def wants_in(self) -> None:
        """From now on the patient tries to sign in, whenever `patient_tries` is called."""
        if self._wants_in_since is None:
            self._wants_in_since = self.clock.now_ms()
        waited_ms = self.clock.now_ms() - self._wants_in_since
        assert waited_ms < DAY_MS // 2, "the patient has tried for half a day and is not in"

    def gives_up(self) -> None:
        """The patient leaves it for today."""
        self._wants_in_since = None

    def patient_tries(self) -> bool:
        """One look of the patient at the page and the mailbox. True when nothing is left to do."""
        if self._wants_in_since is None:
            return True
        way = self._enter()
        if not way:
            return False
        self.ways[way] += 1
        self.signed_in += 1
        self.longest_wait_ms = max(self.longest_wait_ms, self.clock.now_ms() - self._wants_in_since)
        self._wants_in_since = None
        return True

    def _enter(self) -> str:
        """How the patient came in: `code` or `link`; empty where it must be tried again later."""
        self._collect()
        asked = None
        with suppress(RateLimited):
            asked = self.harness.codes.start(self.page(), email=self.email)
        mails = list(islice(self._mails(), 10))
        if asked and mails[0].kind == "code":
            return "code" if self._verify(asked.challenge, mails[0].code) else ""
        # A link in the place of the code; or the page has refused, and an earlier link lies in the mailbox.
        for mail in [mail for mail in mails if mail.kind == "access-link"][:3]:
            with suppress(LinkGone, RateLimited):
                started = self.harness.links.exchange(self.page(), mail.url.rpartition("/")[2])
                assert isinstance(started, Started)
                return "link" if self._verify(started.challenge, next(self._mails()).code) else ""
        return ""

    def _verify(self, challenge: str, code: str) -> bool:
        try:
            opened = self.harness.service.browser_sessions.verify(self.page(), challenge, code)
        except RateLimited:
            return False
        if isinstance(opened, Choice):
            self.harness.service.browser_sessions.choose(self.page(), challenge, opened.patients[0][0])
        return True

    def _mails(self) -> Iterator[Message]:
        """The mails to this mailbox, the newest first."""
        self._collect()
        for queued in reversed(self._inbox):
            if queued["nobody"] or queued["kind"] not in ("code", "access-link"):
                continue
            recipient = outboxes.recipient(self.redis, queued)
            message = self.harness.service.deps.messages.open(self.harness.practice, outboxes.entry(queued), recipient)
            if message.to == self.email:
                yield message

    def _collect(self) -> None:
        """Mail is delivered at once, so that the queues stay short."""
        self._inbox += outboxes.queued(self.redis)
        self.redis.delete(PREFIX + "codes", PREFIX + "mails")

    # --- the practice -------------------------------------------------------------------------------------------------

    def move(self, email: str) -> bool:
        """The practice writes another address for all of the mailbox's patients. False where that is refused."""
        try:
            for name in self.names:
                self.harness.patient(name, email)
        except RateLimited:
            for name in self.names:  # all on one mailbox, whatever could be written
                with suppress(RateLimited):
                    self.harness.patient(name, self.email)
            return False
        self.email = email
        return True

    def merge(self) -> bool:
        """Somebody who was put on file twice is merged into the first patient, with a link that was issued before."""
        name = f"twin{self.guesses}-{self.clock.now_ms()}"
        try:
            self.harness.patient(name, self.email)
            self.harness.access_link(patient=name, max_uses=5)
            self.harness.patients.merge(self.harness.act(), name, self.names[0])
        except AuthsvcError:
            return False
        return True


def all_permissions() -> frozenset[str]:
    """What a client may have without being told codes, or writing its own address for a patient."""
    return PERMISSIONS - {"codes:reveal", "patients:write"}
