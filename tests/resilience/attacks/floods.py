"""Floods: mail for one mailbox, notices to strangers, one practice against another, storms of questions."""

from __future__ import annotations

import os
import secrets
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.resilience.attacks.guessing import LOOSE
from tests.resilience.attacks.registry import Found, attack
from tests.resilience.attacks.tokens import patient
from tests.resilience.browser import Browser
from tests.resilience.deployment import Deployment
from tests.resilience.http_caller import Client, call
from tests.resilience.redis_servers import RedisServer
from tests.resilience.shifted_clock import shifted

A_DAY = 40  # mails that strangers may cause to one mailbox in a day
SMALL_BUDGETS = """[policies]
mails-practice = "200 per 15 min"
mails-all = "600 per hour"
issue-patient = "5000 per 15 min"
issue-address = "5000 per 15 min"
issue-patient-day = "5000 per day"
issue-address-day = "5000 per day"
"""


def _clock(deployment: Deployment) -> Path:
    return deployment.folder / "offset"


def on_a_moved_clock(deployment: Deployment) -> None:
    """Everything runs on a clock that the attack moves: Redis, serve and worker alike."""
    environ = shifted("+0s", _clock(deployment))
    redis: RedisServer = deployment.redis
    redis.start(environ=dict(os.environ) | environ)
    deployment.enter()
    deployment.start_serve(environ=environ)
    deployment.start_worker(environ=environ)
    deployment.await_ready()


def _day(deployment: Deployment, found: Found, email: str, acts: list[object], hours: int) -> None:
    """`acts` every quarter of an hour, for so many hours; what arrives is counted and taken for a day."""
    for quarter in range(hours * 4):
        _clock(deployment).write_text(f"+{quarter * 15 * 60}s")
        time.sleep(1.3)
        for act in acts:
            act()  # type: ignore[operator]
            found.effort += 1
    time.sleep(4)
    mails = deployment.smtp.copies(email)
    found.figures.append(f"{mails} mails to one mailbox in {hours} h")
    found.expect(mails <= A_DAY, f"{mails} mails in {hours} h ({A_DAY} a day are bearable)")
    found.effort = max(found.effort, 1)


@attack(
    "mail-bomb-typed",
    "typed starts for one mailbox, 6 every 15 min for 12 hours on a moved clock",
    own=True,
    prepared=on_a_moved_clock,
)
def mail_bomb_typed(deployment: Deployment, found: Found) -> None:
    client = deployment.clients["maple"]
    email = f"{patient(client)}@example.org"
    _day(deployment, found, email, [lambda: client.post("codes", "codes", email=email)] * 6, 12)


@attack(
    "mail-bomb-by-client",
    "a client with codes:issue starts by patient id, 11 every 15 min for 6 hours",
    own=True,
    prepared=on_a_moved_clock,
)
def mail_bomb_client(deployment: Deployment, found: Found) -> None:
    name = patient(deployment.clients["maple"])
    thief = deployment.add_client("issuer", "maple", "codes:issue")
    _day(deployment, found, f"{name}@example.org", [lambda: thief.post("codes", "codes", patient=name)] * 11, 6)


@attack("mail-bomb-links", "a client with links:issue mails 150 links to one patient")
def mail_bomb_links(deployment: Deployment, found: Found) -> None:
    client = deployment.clients["maple"]
    name = patient(client)
    seen: Counter[int] = Counter()
    for _ in range(150):
        wanted = {"patient": name, "workflow": "update-payment-info", "delivery": "email"}
        seen[client.post("links", "links", **wanted).status] += 1
    found.effort = 150
    time.sleep(4)
    mails = deployment.smtp.copies(f"{name}@example.org")
    found.figures.append(f"answers {dict(seen)}, {mails} mails within seconds")
    found.expect(mails <= A_DAY, f"{mails} mails to one patient")


@attack(
    "lock-out-by-starts",
    "a client with codes:issue spends the patient's budgets; the patient tries to get in",
    own=True,
)
def lock_out_by_starts(deployment: Deployment, found: Found) -> None:
    client = deployment.clients["maple"]
    name = patient(client)
    email = f"{name}@example.org"
    thief = deployment.add_client("issuer", "maple", "codes:issue")
    for _ in range(15):
        thief.post("codes", "codes", patient=name)
        thief.post("codes", "codes", email=email)
        found.effort += 2
    time.sleep(4)
    ways = ways_in(deployment, client, email)
    found.figures.append(f"the patient's ways in: {ways}")
    found.expect(any(way == "in" for way in ways.values()), "the patient is kept out")


def ways_in(deployment: Deployment, client: Client, email: str) -> dict[str, str]:
    """What somebody with the mailbox can try: type the address, or press the link in the newest mail that has one."""
    ways = {}
    before = deployment.smtp.copies(email)
    browser = Browser(deployment.url)
    browser.open("/p/maple/sign-in")
    answer = browser.submit(email=email)
    ways["typed"] = str(answer.status)
    if answer.status == 200:
        mail = deployment.smtp.mail_to(email, 10, before + 1)
        if mail and mail.code:
            browser.submit(code=mail.code)
            ways["typed"] = "in" if browser.at.status in (200, 303) and "code" not in browser.path else "refused"
    links = [mail.link for mail in deployment.smtp.taken if mail.recipient == email and mail.link]
    if links:
        before = deployment.smtp.copies(email)
        answer = client.post("exchange", "links/exchange", token=links[-1].rpartition("/")[2])
        ways["link"] = str(answer.status)
        mail = deployment.smtp.mail_to(email, 10, before + 1) if answer.status == 202 else None
        if mail and mail.code:
            verified = client.post("v", "codes/verify", challenge=answer.json["challenge"], code=mail.code)
            ways["link"] = "in" if verified.status == 200 else str(verified.status)
    return ways


@attack("lock-out-by-misses", "330 misses on typed starts; the patient tries to get in", limits=LOOSE)
def lock_out_by_misses(deployment: Deployment, found: Found) -> None:
    client = deployment.clients["maple"]
    name = patient(client)
    email = f"{name}@example.org"
    for _ in range(66):
        challenge = client.post("codes", "codes", email=email).json.get("challenge", "x")
        for _ in range(5):
            client.post("guess", "codes/verify", challenge=challenge, code="123456")
        found.effort += 6
    time.sleep(3)
    ways = ways_in(deployment, client, email)
    found.figures.append(f"the patient's ways in: {ways}")
    found.expect(any(way == "in" for way in ways.values()), "the patient is kept out")


@attack(
    "notices-flood",
    "patients:write changes addresses at 100/s for 6 s: both mailboxes get a notice each time",
    limits=SMALL_BUDGETS,
    own=True,
    settings={"workers": "2"},
)
def notices_flood(deployment: Deployment, found: Found) -> None:
    client = deployment.add_client("writer", "maple", "patients:write")
    deadline = time.monotonic() + 6
    strangers = [f"stranger-{secrets.token_hex(3)}@example.com" for _ in range(2)]

    def change(number: int) -> int:
        place = 0
        while time.monotonic() < deadline:
            place += 1
            email = strangers[place % 2]
            client.api("put", "PUT", f"patients/w{number}", email=email, portal_access=True)
        return place

    with ThreadPoolExecutor(6) as pool:
        found.effort = sum(pool.map(change, range(6)))
    time.sleep(6)
    sent = [deployment.smtp.copies(email) for email in strangers]
    found.figures.append(f"{found.effort} changes, {sum(sent)} notices to two mailboxes")
    found.expect(max(sent) <= A_DAY, f"{max(sent)} mails to one stranger")


@attack(
    "practice-flood",
    "maple mails codes to 300 patients and links to 600; birch signs in",
    limits=SMALL_BUDGETS,
    own=True,
)
def practice_flood(deployment: Deployment, found: Found) -> None:
    client = deployment.clients["maple"]

    def one(number: int) -> None:
        name = patient(client)
        client.post("codes", "codes", patient=name)
        for _ in range(2):
            client.post("links", "links", patient=name, workflow="update-payment-info", delivery="email")

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(one, range(300)))
    found.effort = 1200
    time.sleep(6)
    found.figures.append(f"{len(deployment.smtp.taken)} mails left")


@attack("key-storm", "2,000 GET of the key set and metadata from 16 callers")
def key_storm(deployment: Deployment, found: Found) -> None:
    paths = ("/.well-known/jwks.json", "/.well-known/openid-configuration", "/livez")
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda number: call("GET", deployment.url + paths[number % 3]), range(2000)))
    found.effort = 2000
    bad = Counter(answer.seen for answer in answers if answer.status != 200)
    slowest = sorted(answer.took_s for answer in answers)[1980]
    found.figures.append(f"p99 {slowest * 1000:.0f} ms")
    found.expect(not bad, f"answers {dict(bad)}")


@attack(
    "strangers-grow-the-trail",
    "2,000 acts of strangers: wrong secrets, unknown links, unknown challenges, junk tokens",
    own=True,
)
def grow_the_audit(deployment: Deployment, found: Found) -> None:
    admin, client = deployment.redis.admin, deployment.clients["maple"]

    def size() -> tuple[int, int]:
        streams = [name for name in admin.scan_iter("*audit*") if admin.type(name) == "stream"]
        return sum(admin.xlen(name) for name in streams if "birch" not in name), admin.dbsize()

    before, keys = size()

    def one(number: int) -> None:
        thief = Client(client.urls, "maple", f"nobody-{number}", "acs_" + "A" * 43)
        thief.api("call", "GET", "patients/x")
        call("GET", f"{deployment.url}/p/maple/l/al_{secrets.token_urlsafe(32)}", {"Accept": "text/html"})
        call("GET", f"{deployment.url}/v1/forward-auth?practice=maple", {"Authorization": "Bearer a.b.c"})
        browser = Browser(deployment.url)
        browser.open("/p/maple/sign-in")
        browser.submit(email=f"x{number}@example.org")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(one, range(400)))
    found.effort = 2000
    after, keys_after = size()
    found.figures.append(f"{after - before} entries, {keys_after - keys} keys (the neighbour's among them)")
    found.expect(after - before <= 200, f"{after - before} entries in the trail by strangers")
