"""Guessing codes, links and secrets by every strategy; keeping a patient out; burying a mailbox.

The bound is `guess_bound`, 0.001 a day and mailbox. A guess counts while the right code would open the mailbox: whether
it would is tried with the code that was mailed, after so many misses.
"""

from __future__ import annotations

import secrets
import time
from concurrent.futures import ThreadPoolExecutor

from tests.resilience.attacks.registry import Found, attack
from tests.resilience.attacks.tokens import patient
from tests.resilience.deployment import Deployment
from tests.resilience.http_caller import Answer, Client, call
from tests.resilience.smtp_conversation import Mail

LOOSE = """[policies]
issue-address = "5000 per 15 min"
issue-patient = "5000 per 15 min"
issue-address-day = "5000 per day"
issue-patient-day = "5000 per day"
issue-network = "5000 per 15 min"
verify-network = "50000 per 15 min"
exchange-network = "5000 per min"
client-calls = "500 per s"
"""
BOUND = 0.001
BY_THREE = 340  # misses, x 3 codes that are valid at once / 10^6 = 0.001
BY_ONE = 1005  # misses, where one code is valid


def wrong(client: Client, challenge: str, not_this: str = "") -> Answer:
    code = f"{secrets.randbelow(10**6):06d}"
    return client.post("guess", "codes/verify", challenge=challenge, code=code if code != not_this else "000000")


def five_misses(client: Client, challenge: str, found: Found) -> int:
    """How many of five were looked at at all."""
    with ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(lambda _: wrong(client, challenge), range(5)))
    found.effort += 5
    found.expect(all(answer.status != 200 for answer in answers), "a guess was right by chance")
    return sum(answer.status == 400 for answer in answers)


@attack("guess-one-challenge", "200 guesses at one challenge, 16 at a time")
def one_challenge(deployment: Deployment, found: Found) -> None:
    client = deployment.clients["maple"]
    challenge = client.post("codes", "codes", email=f"{patient(client)}@example.org").json["challenge"]
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: wrong(client, challenge), range(200)))
    found.effort = 200
    judged = sum(answer.status == 400 for answer in answers)
    found.figures.append(f"{judged} of 200 were compared")
    found.expect(judged <= 5, f"{judged} guesses at one challenge")


@attack("guess-spraying", "one guess at each of 150 mailboxes from one network (client_ip)")
def spraying(deployment: Deployment, found: Found) -> None:
    client, judged = deployment.clients["maple"], 0
    for number in range(150):
        where = "203.0.113.9"
        started = client.post("codes", "codes", email=f"s{number}@example.org", client_ip=where)
        challenge = started.json.get("challenge", "ach_" + "A" * 43)
        answer = client.post("guess", "codes/verify", challenge=challenge, code="123456", client_ip=where)
        judged += started.status == 202 and answer.status == 400
        found.effort += 2
    found.figures.append(f"{judged} guesses within the network's budget")
    found.expect(judged <= 62, f"{judged} guesses from one network")


def _misses(found: Found, begin: list[object], client: Client, wanted: int) -> int:
    """Misses on ever new challenges, until so many or until no challenge comes any more."""
    misses = 0
    while misses < wanted:
        for start in begin:
            challenge = start()  # type: ignore[operator]
            if challenge is None:
                return misses
            misses += five_misses(client, challenge, found)
    return misses


def _judge(found: Found, misses: int, opened: bool, live_codes: int) -> None:
    """A day's guesses are bounded when the right code has stopped working before `guess_bound` was reached."""
    chance = misses * live_codes / 10**6
    words = f"after {misses} misses the right code {'still opens' if opened else 'no longer opens'} the mailbox"
    found.figures.append(words)
    found.expect(
        not (opened and chance >= BOUND),
        f"a chance of {chance:.4f} and no end (the bound is {BOUND} a day and mailbox)",
    )


def _mailed(deployment: Deployment, email: str, number: int) -> Mail | None:
    return deployment.smtp.mail_to(email, 25, number)


@attack("guess-typed-starts", "340 misses on challenges by typed address", limits=LOOSE)
def typed_starts(deployment: Deployment, found: Found) -> None:
    client = deployment.clients["maple"]
    email = f"{patient(client)}@example.org"

    def start() -> str | None:
        return client.post("codes", "codes", email=email).json.get("challenge")

    misses = _misses(found, [start], client, BY_THREE)
    number = deployment.smtp.copies(email)
    challenge = start()
    mail = _mailed(deployment, email, number + 1)
    mail = deployment.smtp.mail_to(email, 1, deployment.smtp.copies(email)) or mail
    code = mail.code if mail else ""
    opened = bool(code) and client.post("v", "codes/verify", challenge=challenge, code=code).status == 200
    _judge(found, misses, opened, 3)
    link = mail.link if mail else ""
    found.expect(opened or link, "the patient has neither a code nor a link")


@attack("guess-started-by-patient", "340 misses on challenges that a client starts by patient id", limits=LOOSE)
def started_by_patient(deployment: Deployment, found: Found) -> None:
    client = deployment.clients["maple"]
    name = patient(client)

    def start() -> str | None:
        return client.post("codes", "codes", patient=name).json.get("challenge")

    misses = _misses(found, [start], client, BY_THREE)
    opened = _opens(deployment, client, name, start())
    _judge(found, misses, opened, 3)


def _opens(deployment: Deployment, client: Client, name: str, challenge: str | None) -> bool:
    """Whether a code that was mailed to the patient opens this challenge: the newest ones are tried."""
    email = f"{name}@example.org"
    deployment.smtp.mail_to(email, 25, 1)
    time.sleep(2.5)
    codes = [mail.code for mail in deployment.smtp.taken if mail.recipient == email and mail.code][-2:]
    if challenge is None:
        return False
    return any(client.post("v", "codes/verify", challenge=challenge, code=code).status == 200 for code in codes)


def link_born(client: Client, name: str) -> str | None:
    """A new access link by the client itself, exchanged at once: a challenge that no typed address began."""
    issued = client.post("links", "links", patient=name, workflow="portal")
    if issued.status != 201:
        return None
    return client.post("exchange", "links/exchange", token=issued.json["url"].rpartition("/")[2]).json.get("challenge")


@attack(
    "guess-link-born",
    "1,005 misses on challenges of ever new access links, by a client with links and codes:verify",
    limits=LOOSE,
)
def link_born_guesses(deployment: Deployment, found: Found) -> None:
    client = deployment.clients["maple"]
    name = patient(client)
    misses = _misses(found, [lambda: link_born(client, name)], client, BY_ONE)
    _judge(found, misses, _opens(deployment, client, name, link_born(client, name)), 1)


@attack("guess-mailbox-mates", "the same over four patients of one mailbox, 1,005 misses in all", limits=LOOSE)
def mailbox_mates(deployment: Deployment, found: Found) -> None:
    client = deployment.clients["maple"]
    email = f"family-{secrets.token_hex(4)}@example.org"
    names = [patient(client, email) for _ in range(4)]
    misses = _misses(found, [lambda name=name: link_born(client, name) for name in names], client, BY_ONE)
    challenge = link_born(client, names[0])
    time.sleep(3)
    codes = [mail.code for mail in deployment.smtp.taken if mail.recipient == email and mail.code][-3:]
    opened = challenge is not None and any(
        client.post("v", "codes/verify", challenge=challenge, code=code).status == 200 for code in codes
    )
    _judge(found, misses, opened, 1)


@attack(
    "guess-resend-resets", "five misses, then sent again, then five more", settings={"resend_after_s": "10 s"}, own=True
)
def resend_resets(deployment: Deployment, found: Found) -> None:
    client = deployment.clients["maple"]
    challenge = client.post("codes", "codes", patient=patient(client)).json["challenge"]
    judged = sum(wrong(client, challenge).status == 400 for _ in range(4))
    time.sleep(10.5)
    again = client.post("resend", "codes/resend", challenge=challenge)
    judged += sum(wrong(client, challenge).status == 400 for _ in range(6))
    found.effort = 11
    found.figures.append(f"{judged} guesses, resend {again.status}")
    found.expect(judged <= 5, f"{judged} guesses at one challenge")


@attack("guess-link-tokens", "600 random link tokens, by API and pages")
def link_tokens(deployment: Deployment, found: Found) -> None:
    client, right, seen = deployment.clients["maple"], 0, set()
    for number in range(600):
        token = "al_" + secrets.token_urlsafe(32)
        if number % 2:
            answer = client.post("exchange", "links/exchange", token=token, client_ip="203.0.113.77")
        else:
            answer = call("GET", f"{deployment.url}/p/maple/l/{token}", {"Accept": "text/html"})
        seen.add(answer.status)
        right += answer.status == 200
    found.effort = 600
    found.figures.append(f"answers {sorted(seen)}")
    found.expect(not right, f"{right} random tokens were known")


@attack("guess-client-secrets", "300 wrong secrets for maple's client; the right one is used beside them", own=True)
def client_secrets(deployment: Deployment, found: Found) -> None:
    client = deployment.clients["maple"]
    name, refused, seen = patient(client), 0, set()
    for number in range(300):
        thief = Client(client.urls, "maple", client.id, "acs_" + secrets.token_urlsafe(32))
        seen.add(thief.api("call", "GET", "patients/x").status)
        if number % 10 == 0:
            refused += client.api("get", "GET", f"patients/{name}").status != 200
    found.effort = 300
    found.figures.append(f"wrong secrets: {sorted(seen)}; the right one was refused {refused} of 30 times")
    found.expect(not refused, "the honest client is locked out")
    found.expect(seen <= {401, 429}, f"answers {seen}")
