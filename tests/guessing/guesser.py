"""Somebody who guesses: what a stranger or a client of the practice can do, one move at a time.

A move that is refused says until when, and isn't tried again before: what is refused for sure costs the guesser nothing
and the simulation time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from typing import Any

from authsvc.errors import AuthsvcError, RateLimited
from authsvc.flows.challenges import challenge_id
from authsvc.model import Client, RequestContext, Started
from authsvc.store.values import NO_COOKIE
from tests.guessing.month import HOUR_MS, Month

RESEND_MS = 31_000
CODE_MS = 600_000
SPENT_MS = 25 * HOUR_MS  # until every miss of the present hour is forgotten


@dataclass
class Target:
    """A challenge that the guesser has started."""

    challenge: str
    code_ms: int  # when its newest code was made
    codes: int = 1
    attempts: int = 0
    budget: str = "mailbox"  # that its misses are counted on: the mailbox's own, or that of links
    change: bool = False


class Guesser:
    """Without permissions a stranger at the sign-in page; with some a client. `networks`: how many addresses to use in
    turn; 0: a client that doesn't say where the patient is."""

    def __init__(
        self, month: Month, permissions: Iterable[str] = (), networks: int = 1, spent_ms: int = SPENT_MS
    ) -> None:
        """`spent_ms`: how long a budget is left alone, once a guess was worth nothing."""
        self.month = month
        self.may = frozenset(permissions)
        self.client: Client | None = None
        if self.may:
            self.client, _ = month.harness.new_client("guesser", permissions=self.may)
        self.targets: list[Target] = []
        self._networks, self._number, self._spent_ms = networks, count(), spent_ms
        self._not_before: dict[tuple[str, str], int] = {}
        self._spent: dict[str, tuple[int, int]] = {}  # until when, and how often the patient had signed in
        self._most = month.harness.service.limits.attempts_per_challenge

    @property
    def now_ms(self) -> int:
        return self.month.clock.now_ms()

    def context(self) -> RequestContext:
        """One act. The HTTP edge has looked at the permission; each move here does it again."""
        number = next(self._number) % self._networks if self._networks else 0
        client_ip = f"203.0.{number // 250}.{1 + number % 250}" if self._networks else None
        return self.month.harness.service.act(self.month.harness.practice, self.client, client_ip=client_ip)

    def _allowed(self, *permissions: str) -> bool:
        return not self.may or self.may.issuperset(permissions)

    def _try(self, policy: str, whom: str, act: Callable[[], Any]) -> Any:
        """What an act gives; None where it is refused."""
        if self.now_ms < self._not_before.get((policy, whom), 0):
            return None
        try:
            return act()
        except RateLimited as refused:
            self._not_before[policy, whom] = self.now_ms + refused.retry_after_s * 1000
        except AuthsvcError:
            pass
        return None

    def next_ms(self) -> int:
        """When the next refused move may be tried again; a day from now where none was refused."""
        return min([at for at in self._not_before.values() if at > self.now_ms], default=self.now_ms + 86_400_000)

    # --- starts -------------------------------------------------------------------------------------------------------

    def _started(self, policy: str, whom: str, act: Callable[[], Any], **how: Any) -> Target | None:
        started = self._try(policy, whom, act)
        if not isinstance(started, Started):
            return None
        target = Target(started.challenge, self.now_ms, **how)
        self.targets.append(target)
        return target

    def start_by_address(self) -> Target | None:
        if not self._allowed("codes:issue"):
            return None
        email = self.month.email
        return self._started("address", email, lambda: self.month.harness.codes.start(self.context(), email=email))

    def start_by_patient(self, name: str = "p1") -> Target | None:
        """A client only."""
        if not self.may or not self._allowed("codes:issue"):
            return None
        return self._started("patient", name, lambda: self.month.harness.codes.start(self.context(), patient=name))

    def start_by_link(self, name: str = "p1") -> Target | None:
        """An access link of the client's own, exchanged at once."""
        if not self.may or not self._allowed("links:issue", "links:exchange"):
            return None
        links = self.month.harness.links

        def exchanged() -> Started:
            url = links.issue(self.context(), patient=name, workflow="portal", max_uses=5).url
            started = links.exchange(self.context(), url.rpartition("/")[2])
            assert isinstance(started, Started)
            return started

        return self._started("link", name, exchanged, budget="links")

    def start_change(self, name: str = "p1", email: str = "") -> Target | None:
        """A change of a patient's address to the mailbox that is guessed at: its code is one of that mailbox too."""
        if not self._allowed("patients:write") or not self.may:
            return None
        changes, email = self.month.harness.service.email_changes, email or self.month.email
        act = lambda: changes.start(self.context(), patient=name, email=email)  # noqa: E731
        return self._started("change", name, act, change=True)

    # --- guesses ------------------------------------------------------------------------------------------------------

    def resend(self, target: Target) -> bool:
        """One more live code for a challenge, in half a minute's time."""
        if not self._allowed("codes:issue"):
            return False
        resend = self.month.harness.codes.resend
        if self._try("resend", target.challenge, lambda: resend(self.context(), target.challenge)) is None:
            return False
        target.code_ms, target.codes = self.now_ms, min(target.codes + 1, 3)
        return True

    def reserve(self, target: Target) -> Callable[[], None] | None:
        """Reserve an attempt; what is given compares the guess, whenever it is called. None: it was refused."""
        if not self._allowed("codes:verify"):
            return None
        harness, change = self.month.harness, target.change
        use_cases: Any = harness.service.email_changes if change else harness.codes
        context, reserved_ms, signed_in = self.context(), self.now_ms, self.month.signed_in
        check = use_cases._challenges.check
        reserved = self._try("verify", "", lambda: check(context, target.challenge, "000000", email_change=change))
        if reserved is None:
            if self.now_ms >= self._not_before.get(("verify", ""), 0):  # gone, and no limit of a network
                self.drop(target)
            return None
        target.attempts += 1
        if target.attempts >= self._most:
            self.drop(target)

        def compare() -> None:
            with self.month.judging(reserved_ms):
                with suppress(AuthsvcError):
                    finish(use_cases, context, target, *reserved)
            if not self.month.last_worth:
                self._spent[target.budget] = reserved_ms + self._spent_ms, signed_in

        return compare

    def is_spent(self, budget: str) -> bool:
        """A guess was worth nothing, and the patient hasn't signed in since. To go on would only add to the misses."""
        until_ms, signed_in = self._spent.get(budget, (0, 0))
        return self.now_ms < until_ms and (budget == "links" or signed_in == self.month.signed_in)

    def guess(self, target: Target, times: int = 5) -> int:
        """Guess at one challenge; how often it was taken."""
        taken = 0
        for _ in range(times):
            compare = self.reserve(target)
            if compare is None:
                break
            compare()
            taken += 1
            if not self.month.last_worth:
                break
        return taken

    def burst(self, between: Callable[[], object] = lambda: None, most: int = 1000) -> int:
        """Every attempt at every challenge at once: all are reserved before the first is compared. `between`: what
        happens meanwhile."""
        compares: list[Callable[[], None]] = []
        for target in list(self.targets):
            while len(compares) < most and target in self.targets and (compare := self.reserve(target)) is not None:
                compares.append(compare)
        between()
        for compare in reversed(compares):
            compare()
        return len(compares)

    def drop(self, target: Target) -> None:
        if target in self.targets:
            self.targets.remove(target)

    def forget_old(self) -> None:
        """Challenges whose codes have all ended are worth nothing."""
        self.targets = [target for target in self.targets if self.now_ms - target.code_ms < CODE_MS]


def finish(use_cases: Any, context: RequestContext, target: Target, charged: Any, tag: str) -> None:
    """The second half of a guess, as the use case does it."""
    name = challenge_id(target.challenge)
    if target.change:
        messages = use_cases._deps.messages
        notices = [messages.address_notice(context.practice.id) for _ in range(2)]
        until_ms = messages.notice_until_ms(use_cases._deps.clock.now_ms())
        use_cases._store.settle(context, name, charged, tag, *notices, until_ms)
    else:
        session = use_cases._new_session(context, target.challenge)
        use_cases._store.settle(context, name, charged, tag, "", session, NO_COOKIE)
