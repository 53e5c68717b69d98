"""Who mails much stops itself: no practice, and no stranger at one, turns another practice's sign-in into 429.

Each attack goes on for ten minutes, while no worker sends anything: the queue is what grows. Then a worker takes
everything up at once, and the other practice signs its patients in.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from authsvc.config import limits
from authsvc.errors import RateLimited
from authsvc.model import Client, Practice, TokenGrant
from authsvc.store.outbox import CODES, MAILS, MailCap
from tests.flows.conftest import Harness

ACTS, EVERY_S = 120, 5
SMALL = {"mails-practice": (20, 900), "mails-all": (200, 3600)}  # the defaults' proportions, a hundredth of their size


class TwoPractices:
    """Maple, whose client or visitors attack, and oak, which wants to go on."""

    def __init__(self, build: Callable[..., Harness]) -> None:
        policies = dict(limits.load(None).policies)
        for name, (quota, window_s) in SMALL.items():
            policies[name] = dataclasses.replace(policies[name], quota=quota, window_s=window_s)
        self.harness = harness = build(policies=policies)
        self.service = harness.service
        self.oak: Practice = self.service.practices.add("oak", name="Oak Clinic", actor="cli:test")
        self.oaks, _ = harness.new_client("oaks", practices=("oak",))
        act = self.service.act(self.oak, self.oaks)
        self.service.patients.put(act, "o1", email="o@example.org", portal_access=True)
        self.violated: Counter[str] = Counter()

    def sixty_patients(self) -> None:
        """Of maple, `w0` to `w59`."""
        for number in range(60):
            self.harness.patient(f"w{number}", f"w{number}@example.com")
            self.harness.clock.advance_ms(20)

    def client(self, *permissions: str) -> Client:
        return self.harness.new_client("attacker", permissions=frozenset(permissions))[0]

    def attack(self, act: Callable[[int], Any]) -> None:
        for number in range(ACTS):
            self.harness.clock.advance_s(EVERY_S)
            try:
                act(number)
            except RateLimited as refused:
                self.violated.update(refused.violated)

    def queued(self) -> int:
        return sum(self.harness.redis.xlen(f"authsvc:{{maple}}:{queue}") for queue in (CODES, MAILS))

    def sent_at_once(self) -> None:
        """A worker comes back and takes everything up."""
        known = self.service.limits.policies["mails-all"]
        cap = MailCap(known.quota, known.window_s, self.service.limits.typed_share)
        self.service.outbox.count(self.queued(), cap)
        self.service.mail_throttle.refresh()

    def the_other_signs_in(self) -> None:
        """By every way, more often than the part of its quota that nobody else can touch."""
        for how in ({"email": "o@example.org"}, {"patient": "o1"}) * 2:
            self.harness.entropy.next_below(314159)
            started = self.service.codes.start(self.service.act(self.oak, self.oaks), **how)
            grant = self.service.codes.verify(self.service.act(self.oak, self.oaks), started.challenge, "314159")
            assert isinstance(grant, TokenGrant)


@pytest.fixture
def site(build: Callable[..., Harness]) -> TwoPractices:
    return TwoPractices(build)


def test_attack_a_client_that_only_writes_patients_mails_notices_to_everybody(site: TwoPractices) -> None:
    client = site.client("patients:write")

    def change(number: int) -> None:
        act = site.harness.act(client)
        place = number % 30
        site.service.patients.put(act, f"w{place}", email=f"{number // 30}.{place}@example.com", portal_access=True)

    site.attack(change)
    assert site.violated.keys() == {"mails-practice"}
    assert 0 < site.queued() <= 0.72 * 20 + 10 * 20 / 15 + 2
    site.sent_at_once()
    site.the_other_signs_in()


def test_attack_a_client_that_only_writes_patients_starts_changes_of_address(site: TwoPractices) -> None:
    client = site.client("patients:write")
    site.sixty_patients()
    site.attack(
        lambda number: site.service.email_changes.start(
            site.harness.act(client), patient=f"w{number % 60}", email=f"new{number}@example.com"
        )
    )
    assert site.violated.keys() == {"mails-practice"}
    site.sent_at_once()
    site.the_other_signs_in()


def test_attack_a_client_that_only_issues_links_mails_them(site: TwoPractices) -> None:
    client = site.client("links:issue")
    site.sixty_patients()
    site.attack(
        lambda number: site.harness.link(
            site.harness.act(client), patient=f"w{number % 60}", resource=f"invoice:{number}", delivery="email"
        )
    )
    assert site.violated.keys() == {"mails-practice"}
    site.harness.codes.start(site.harness.act(), patient="w1")  # the own patients' codes go on as well
    site.sent_at_once()
    site.the_other_signs_in()


@pytest.mark.parametrize("known", [True, False])
def test_attack_strangers_type_addresses_from_everywhere(site: TwoPractices, known: bool) -> None:
    for number in range(60 if known else 0):
        site.harness.patient(f"w{number}", f"w{number}@example.com")
        site.harness.clock.advance_ms(20)

    def typed(number: int) -> None:
        act = site.service.act(site.harness.practice, client_ip=f"192.0.2.{number % 250}")
        site.service.codes.start(act, email=f"w{number % 60}@example.com")

    site.attack(typed)
    assert ("mails-practice" in site.violated) == known, "addresses that nobody has cost no budget"
    site.harness.patient("own", "own@example.org")
    site.harness.codes.start(site.harness.act(), patient="own")
    site.sent_at_once()
    site.the_other_signs_in()


def test_attack_a_practice_that_mails_by_every_way_uses_no_more_than_its_share_of_the_site(
    build: Callable[..., Harness],
) -> None:
    harness = build(practice_share=0.1)
    site = harness.service.limits.policies["mails-all"]
    harness.redis.set("authsvc:{maple}:mail-count", f"0 {harness.clock.now_ms() + site.window_s * 1000 - 1000}")
    harness.patient()
    with pytest.raises(RateLimited) as caught:
        for _ in range(10):
            harness.codes.start(harness.act(), patient="p1")
    assert caught.value.violated == ("mails-share",)
    with suppress(RateLimited):
        harness.start()
