"""What one script may cost: Redis does nothing else while it runs, for no practice.

A script has a few commands for each thing that it walks, and a command within a script takes about a microsecond. So
what is asserted is how many commands each script has where everything that a client can store is there as often as the
limits let it: `COMMANDS_MAX` of them stay below 5 ms on slow machines too.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import redis

from authsvc.errors import InvalidInput
from authsvc.flows.data_keys import DataKeys
from authsvc.flows.key_rotation import KeyRotation
from authsvc.model import AuditFilter, Choice, TokenGrant
from authsvc.store.outbox import CODES
from authsvc.store.script_files import LUA, Script
from tests.flows.conftest import Harness
from tests.flows.test_guessing import burn
from tests.flows.test_redis_keys import a_days_acts
from tests.flows.visitors import BROWSER, Portal, enter, page, press

pytestmark = pytest.mark.one_store

COMMANDS_MAX = 900

NAMES = sorted(entry.name.removesuffix(".lua") for entry in LUA.iterdir() if entry.name.endswith(".lua"))
SHARED, OTHER = "family@example.org", "elsewhere@example.org"
PEOPLE = 180  # on the mailbox, with the guardian's 20 dependents the most that may choose there


@pytest.fixture
def redis_client(real_redis_client: redis.Redis) -> redis.Redis:
    """A real server: it counts its commands."""
    return real_redis_client


class Meter:
    """The most commands that each script had, by Redis's own count."""

    def __init__(self, harness: Harness) -> None:
        self.most: Counter[str] = Counter()
        self._redis = harness.redis
        self._evaluate = harness.service.store.evaluate
        self._names = {Script(name).sha: name for name in NAMES}
        connection: Any = harness.service.store
        connection.evaluate = self._measured

    def _measured(self, source: str, sha: str, *args: Any, **how: Any) -> list[Any]:
        before = self._commands()
        try:
            return self._evaluate(source, sha, *args, **how)
        finally:
            name = self._names[sha]
            self.most[name] = max(self.most[name], self._commands() - before)

    def _commands(self) -> int:
        stats = self._redis.info("commandstats")
        own = ("cmdstat_info", "cmdstat_eval", "cmdstat_evalsha")
        return sum(entry["calls"] for name, entry in stats.items() if name not in own)


class Crowd:
    """A practice in which everything is there as often as it may be, and can be put back as it was."""

    def __init__(self, harness: Harness) -> None:
        self.harness = harness
        told = {"backchannel_logout_uri": "https://web.example/out"}
        self.portals = [Portal(harness, name, **told) for name in ("web1", "web2")]
        self._fill()
        pool = harness.redis.connection_pool
        given = {**harness.redis.get_connection_kwargs(), "decode_responses": False}
        self._raw: Any = redis.Redis(connection_pool=redis.ConnectionPool(pool.connection_class, **given))
        self._kept = {key: (self._raw.dump(key), max(0, self._raw.pttl(key))) for key in self._raw.keys("*")}

    def again(self) -> None:
        self._raw.flushall()
        with self._raw.pipeline(transaction=False) as pipe:
            for key, (value, ttl) in self._kept.items():
                pipe.restore(key, ttl, value)
            pipe.execute()

    def _fill(self) -> None:
        harness, clock = self.harness, self.harness.clock
        for number in range(PEOPLE):
            harness.patient(f"p{number}", SHARED)
            clock.advance_ms(20)
        for number in range(20):
            harness.patient(f"d{number}", f"d{number}@example.org")
            harness.patient(f"g{number}", f"g{number}@example.org")
            clock.advance_ms(40)
        relate = harness.service.dependents.put
        for number in range(20):
            relate(harness.act(), "p0", f"d{number}", until_ms=None, workflows=None)
        for number in range(1, 20):
            relate(harness.act(), f"g{number}", "d0", until_ms=None, workflows=None)
        for _ in range(20):  # half of them for the dependent: as many as either may have
            clock.advance_s(10)
            self.cookie = self.sign_in_with_children(acting="d0")
        for number in range(500):
            access = number % 2
            harness.link(patient="p0", **({"workflow": "portal", "resource": None} if access else {}))
            clock.advance_ms(20)
        for _ in range(100):
            harness.codes.start(harness.act(), patient="p0")
            clock.advance_s(1)

    def sign_in_with_children(self, acting: str) -> str:
        harness = self.harness
        started = harness.start(act=page(harness), patient="p0")
        choice = harness.service.browser_sessions.verify(page(harness), started.challenge, "314159", "")
        assert isinstance(choice, Choice)
        browser_session = harness.service.browser_sessions.choose(page(harness), choice.challenge, acting, "")
        for portal in self.portals:
            for _ in range(10):
                portal.tokens(browser_session.cookie)
        return browser_session.cookie


def big_acts(crowd: Crowd) -> list[Callable[[], Any]]:
    """The acts that walk something. Each begins with everything in its place."""
    harness = crowd.harness
    service, act, clock = harness.service, harness.act, harness.clock
    cookie = crowd.cookie

    def start_and_verify(how: dict[str, Any], patient: str | None = None) -> Any:
        started = harness.start(act=page(harness), **how)
        clock.advance_s(31)
        harness.codes.resend(page(harness), started.challenge)
        return service.browser_sessions.verify(page(harness), started.challenge, "314159", cookie)

    def choose(patient: str) -> None:
        choice = start_and_verify({"email": SHARED})
        assert isinstance(choice, Choice)
        assert len(choice.patients) + len(choice.dependents) == 200
        harness.codes.choices(page(harness), choice.challenge)
        service.browser_sessions.choose(page(harness), choice.challenge, patient, cookie)

    def change_address(session: str) -> None:
        harness.entropy.next_below(161803)
        started = service.email_changes.start(act(), patient="p0", email=OTHER, session=session)
        service.email_changes.verify(act(), started.challenge, "161803")

    def refused() -> None:
        with pytest.raises(InvalidInput, match="too many patients"):
            harness.patient("p180", SHARED)
        with pytest.raises(InvalidInput, match="too many links"):
            harness.link(patient="p0")
        with pytest.raises(InvalidInput, match="too many dependents"):
            service.dependents.put(act(), "p0", "g0", until_ms=None, workflows=None)

    def by_typed_link() -> None:
        """A link that means everybody on the mailbox."""
        burn(harness, 100, SHARED)
        harness.start(email=SHARED)
        token = harness.mailed()["url"].rsplit("/", 1)[1]
        harness.links.describe(page(harness), token)
        harness.links.exchange(page(harness), token)

    def session_ends() -> None:
        listed = harness.sessions.list(act(), "p0")
        harness.sessions.end(act(), "p0", listed[0].id)
        harness.sessions.end_all(act(), "p0")

    def revoke_links() -> None:
        assert len(harness.links.list(act(), "p0")) == 500
        harness.links.revoke_where(act(), patient="p0")

    return [
        lambda: harness.patient("p0", OTHER),
        lambda: harness.patient("p0", SHARED, access=False),
        lambda: harness.patients.delete(act(), "p0"),
        lambda: harness.patients.delete(act(), "d0"),
        lambda: harness.patients.merge(act(), "p0", "p1"),
        lambda: harness.patients.merge(act(), "d0", "d19"),
        lambda: choose("p0"),
        lambda: choose("d0"),
        lambda: start_and_verify({"patient": "p0"}),
        lambda: change_address(""),
        lambda: change_address(harness.sessions.list(act(), "p0")[0].id),
        refused,
        by_typed_link,
        session_ends,
        revoke_links,
        lambda: harness.links.revoke_where(act(), resource="invoice:inv_1"),
        lambda: service.dependents.remove(act(), "p0", "d0"),
        lambda: service.dependents.put(act(), "p0", "d0", until_ms=None, workflows=("edit-contact",)),
        lambda: service.dependents.list(act(), "p0"),
        lambda: service.person_switch.choices(page(harness), cookie),
        lambda: service.person_switch.of_browser(page(harness), cookie, "d1"),
        lambda: crowd.portals[0].tokens(cookie),
        lambda: service.browser_sessions.sign_out(page(harness), cookie),
        lambda: service.revocations.feed("maple"),
        lambda: service.audit_log.search("maple", AuditFilter(by="nobody"), 200),
        service.practice_storage.recount,
    ]


def the_rest(harness: Harness) -> None:
    """The few scripts that neither a crowd nor a day's acts have run."""
    service, portal = harness.service, Portal(harness, "rest")
    harness.patient("rest", "rest@example.org")
    browser_session = enter(harness, "rest@example.org")
    service.browser_sessions.extend(page(harness), browser_session.cookie)
    signed_in = harness.sign_in(patient="rest").access_token
    harness.introspected(signed_in)
    service.forward_auth.authorise(signed_in, "maple", None, None, None)
    by_link = harness.links.exchange(harness.act(), harness.link(patient="rest"))
    assert isinstance(by_link, TokenGrant)
    harness.introspected(by_link.access_token)
    service.authorization_codes.pending_link(
        page(harness), press(harness, portal, harness.link(patient="rest")), BROWSER
    )
    service.patients.unlock(harness.act(), "rest")
    service.browser_sessions.contact(page(harness), "rest")
    request = service.pushed_requests.push(harness.client, harness.practice, "scope=openid", "")
    service.pushed_requests.open(page(harness), harness.client, request, BROWSER, on_page=False)
    for number, entry in enumerate(service.outbox.take("maple", CODES, "worker", 30_000, 10).entries):
        if number:
            service.outbox.finish("maple", entry, "sent", "")
        else:
            service.outbox.defer("maple", entry, "worker", harness.clock.now_ms(), "")
    service.audit_log.seal_all()
    service.audit_log.trim("maple", 1, actor="cli:test")
    service.practice_storage.recount()
    service.practice_storage.uses()


def rewrap(harness: Harness) -> None:
    """With a master secret that the service itself doesn't have, so this comes last."""
    service = harness.service
    renewed = dataclasses.replace(service.settings, secret_keys=(b"n" * 32, *service.settings.secret_keys))
    keys = DataKeys(service.signing_keys._store, renewed.secret_keys, harness.entropy)
    KeyRotation(service.signing_keys._store, keys, harness.clock, harness.entropy, renewed).rewrap("cli:test")


def test_attack_no_script_has_more_to_do_whatever_a_client_has_stored(
    wide: Harness, build: Callable[..., Harness]
) -> None:
    crowd, meter = Crowd(wide), Meter(wide)
    for act in big_acts(crowd):
        crowd.again()
        act()
    walked = Counter(meter.most)
    wide.redis.flushall()
    harness = build()
    the_rest(harness)
    a_days_acts(harness)
    rewrap(harness)
    assert set(NAMES) - set(meter.most) == set(), "every script of the folder was run"
    assert {name: most for name, most in meter.most.items() if most > COMMANDS_MAX} == {}
    assert walked["patient_put"] > 200, "the crowd was there"


def test_attack_a_long_past_is_forgotten_a_part_at_a_time(wide: Harness) -> None:
    old_ms = wide.clock.now_ms() - 800_000
    wide.redis.zadd("authsvc:{maple}:revocations", {f"s:{number}": old_ms + number for number in range(20_000)})
    for number in range(5):
        wide.redis.hset(f"authsvc:{{maple}}:audit-newest:{number}", mapping={f"p{at}": 1 for at in range(5_000)})
    meter = Meter(wide)
    wide.patient()
    wide.sessions.end(wide.act(), "p1", wide.sign_in().session or "")
    assert wide.redis.zcard("authsvc:{maple}:revocations") == 20_000 + 1 - 4
    assert len(wide.service.revocations._store.revocations(wide.act(), 25_000)) == 1, "what is over isn't read"
    wide.service.audit_log.seal_all()
    _, sealed = wide.service.audit_log.export("maple")
    wide.service.audit_log.trim("maple", sealed, actor="cli:test")
    assert wide.redis.hlen("authsvc:{maple}:audit-newest:0") == 0
    assert max(meter.most.values()) <= COMMANDS_MAX
