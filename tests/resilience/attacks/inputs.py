"""What is typed and sent: header injection, crafted strings, oversize requests, reused keys, enumeration."""

from __future__ import annotations

import json
import os
import secrets
import statistics
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tests.resilience.attacks.registry import Found, attack
from tests.resilience.attacks.tokens import patient
from tests.resilience.deployment import Deployment
from tests.resilience.faults.http_clients import HEAD, connected
from tests.resilience.http_caller import Answer, call
from tests.resilience.processes import children

INJECTIONS = (
    "\r\nBcc: evil@evil.example",
    "\nBcc: evil@evil.example",
    "%0d%0aBcc: evil@evil.example",
    "\u2028Bcc: a",
    "\0",
)


@attack("header-injection-in-mail", "line ends in addresses, labels, locales, ids and the practice's name", own=True)
def header_injection(deployment: Deployment, found: Found) -> None:
    client = deployment.clients["maple"]
    for text in INJECTIONS:
        name = f"i-{secrets.token_hex(4)}"
        tries: list[dict[str, Any]] = [
            {"email": f"{name}@example.org{text}"},
            {"email": f"{name}{text}@example.org"},
            {"email": f"{name}@example.org", "label": f"Ada{text}"},
            {"email": f"{name}@example.org", "locale": f"en{text}"},
        ]
        for members in tries:
            client.api("put", "PUT", f"patients/{name}", portal_access=True, **members)
            client.post("codes", "codes", patient=name)
            found.effort += 2
        done = deployment.run_cli("practices", "set", "maple", "--name", f"Maple{text}") if "\0" not in text else None
        found.effort += 1
        if done is not None and done.returncode == 0:
            client.post("codes", "codes", patient=patient(client))
    time.sleep(4)
    for mail in deployment.smtp.taken:
        head = mail.text.partition("\r\n\r\n")[0].lower()
        found.expect("\r\nbcc:" not in head, "a header was added to a mail")
        found.expect("evil.example" not in mail.recipient, "a mail went to an injected recipient")
    found.figures.append(f"{len(deployment.smtp.taken)} mails looked at")


@attack("idempotency-key-reuse", "the same key with another body, from another client, for another act")
def idempotency(deployment: Deployment, found: Found) -> None:
    maple, birch = deployment.clients["maple"], deployment.clients["birch"]
    name, key = patient(maple), secrets.token_hex(8)
    first = maple.post("links", "links", key, patient=name, workflow="update-payment-info").json
    same = maple.post("links", "links", key, patient=name, workflow="update-payment-info").json
    other_body = maple.post("links", "links", key, patient=name, workflow="portal")
    other_act = maple.post("codes", "codes", key, patient=name)
    thief = deployment.add_client(f"thief-{secrets.token_hex(3)}", "maple")
    stolen = thief.post("links", "links", key, patient=name, workflow="update-payment-info")
    elsewhere = birch.post("links", "links", key, patient=name, workflow="update-payment-info")
    found.effort = 6
    found.expect(first == same, "a repeat is another answer")
    found.expect(other_body.status == 409, f"another body: {other_body.status}")
    found.expect(other_act.json.get("url") is None, "another act brings the link back")
    for answer in (stolen, elsewhere):
        found.expect(answer.json.get("url") != first.get("url"), "somebody else gets the link")


CRAFTED = {
    "secret prefix": "ach_" * 2000,
    "link addresses": "http://a/p/a/l/" * 500,
    "dots": "eyJ." * 2000,
    "at signs": "@" * 8000,
    "addresses": "a@a." * 2000,
    "digits": "1" * 8000,
    "spaces": " " * 7000 + "x",
    "quotes": '"' * 8000,
    "equals": "a=" * 4000,
    "bearer": "Bearer " * 1100,
    "percent": "%25" * 2600,
    "base64": "A" * 7999 + "!",
}
SLOW_MS = 40.0
REPEATS = 4


@attack("crafted-strings", f"{len(CRAFTED)} strings of 8 kB in path, query, headers and body: quadratic patterns")
def crafted(deployment: Deployment, found: Found) -> None:
    client = deployment.clients["maple"]
    places = {
        "X-Request-Id": lambda text: call("GET", f"{deployment.url}/nowhere", {"X-Request-Id": text}),
        "User-Agent": lambda text: call("GET", f"{deployment.url}/p/maple/sign-in", {"User-Agent": text}),
        "bearer": lambda text: call(
            "GET", f"{deployment.url}/v1/forward-auth?practice=maple", {"Authorization": f"Bearer {text}"}
        ),
        "basic": lambda text: call("GET", f"{deployment.url}/v1/practices/maple/x", {"Authorization": f"Basic {text}"}),
        "cookie": lambda text: call("GET", f"{deployment.url}/p/maple/sign-in", {"Cookie": f"__Host-authsvc={text}"}),
        "language": lambda text: call("GET", f"{deployment.url}/p/maple/sign-in", {"Accept-Language": text}),
        "query": lambda text: call("GET", f"{deployment.url}/p/maple/sign-in?x={text[:3500].replace(' ', '+')}"),
        "path": lambda text: call("GET", f"{deployment.url}/p/maple/l/{text[:3500].replace(' ', '+')}"),
        "email": lambda text: client.post("x", "codes", email=text),
        "code": lambda text: client.post("x", "codes/verify", challenge="ach_" + "A" * 43, code=text),
        "token": lambda text: client.post("x", "links/exchange", token=text),
        "introspect": lambda text: client.introspect(text),
    }
    for place, act in places.items():
        usual = min(_cpu_ms(deployment, act, "plain") for _ in range(3))
        for words, text in CRAFTED.items():
            took = _cpu_ms(deployment, act, text)
            if took > usual + SLOW_MS:  # once more: the neighbour's calls are in it too
                took = min(took, _cpu_ms(deployment, act, text))
            found.effort += REPEATS
            if took > usual + SLOW_MS:
                found.got.append(f"{words} in {place}: {took:.0f} ms (usually {usual:.0f})")
    found.figures.append(f"processor time of serve for a call; {SLOW_MS:.0f} ms above the usual counts")


def _cpu_ms(deployment: Deployment, act: Any, text: str) -> float:
    """What serve's processes spend on one call, which a busy machine doesn't change."""
    before = _cpu_s(deployment)
    for _ in range(REPEATS):
        answer: Answer = act(text)
        assert answer.status != 500, (text[:20], answer.body[:100])
    return (_cpu_s(deployment) - before) * 1000 / REPEATS


def _cpu_s(deployment: Deployment) -> float:
    ticks = 0
    for pid in children(deployment.serve_program.pid):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


@attack("oversize-and-slow-requests", "64 kB bodies, deep JSON, 64 senders that drip beside honest calls")
def oversize(deployment: Deployment, found: Found) -> None:
    client = deployment.clients["maple"]
    headers = {"Authorization": client.authorization, "Content-Type": "application/json"}
    bodies = [
        b" " * 65_000,
        b"[" * 8000,
        b'{"a":' * 3000,
        b'{"email":"' + b"a" * 15_000 + b'"}',
        b"1e999999",
        b"9" * 9000,
    ]
    seen: Counter[str] = Counter()
    for body in bodies * 5:
        seen[call("POST", f"{deployment.url}/v1/practices/maple/codes", headers, body).seen] += 1
        found.effort += 1
    found.expect(not [word for word in seen if word.startswith("5") or word == "hang"], f"answers {dict(seen)}")
    lines = connected(deployment.port, 64, HEAD)
    deadline = time.monotonic() + 6
    while time.monotonic() < deadline:
        for line in lines:
            try:
                line.send(b"a")
            except OSError:
                continue
        time.sleep(0.3)
    for line in lines:
        line.close()
    found.figures.append(f"answers {dict(seen)}")


def _commands(deployment: Deployment) -> Counter[str]:
    stats = deployment.redis.admin.info("commandstats")
    ours = {name: value["calls"] for name, value in stats.items() if not name.startswith("cmdstat_info")}
    return Counter(ours)


@attack(
    "enumeration-by-api",
    "known, unknown and withdrawn addresses: bytes, header names, commands in Redis, time",
    own=True,
    limits='[policies]\nissue-address = "500 per 15 min"\n',
)
def enumeration(deployment: Deployment, found: Found) -> None:
    client = deployment.clients["maple"]
    known = f"{patient(client)}@example.org"
    withdrawn = f"w-{secrets.token_hex(4)}@example.org"
    client.api("put", "PUT", "patients/withdrawn", email=withdrawn, portal_access=False)
    emails = {"known": known, "withdrawn": withdrawn, "unknown": f"u-{secrets.token_hex(4)}@example.org"}
    deployment.worker_program.pause()
    shapes, commands, times = {}, {}, {}
    for email in emails.values():
        client.post("x", "codes", email=email)
    for words, email in emails.items():
        answers = [client.post("x", "codes", email=email) for _ in range(30)]
        found.effort += 30
        shapes[words] = {
            (
                answer.status,
                tuple((name, len(value)) for name, value in answer.headers if not name.startswith(("Date", "Rate"))),
                len(answer.body),
                tuple(json.loads(answer.body)),
            )
            for answer in answers
        }
        times[words] = statistics.median(answer.took_s for answer in answers) * 1000
    deployment.worker_program.resume()
    found.expect(
        len({str(sorted(map(str, shape))) for shape in shapes.values()}) == 1, "answers differ in bytes or headers"
    )
    found.figures.append(" ".join(f"{words} {took:.1f} ms" for words, took in times.items()))
    found.expect(max(times.values()) - min(times.values()) < 10, "answers differ by 10 ms or more")
    commands = _counted(deployment, emails)
    found.expect(len({str(each) for each in commands.values()}) == 1, f"commands in Redis differ: {_differ(commands)}")


def _counted(deployment: Deployment, emails: dict[str, str]) -> dict[str, dict[str, int]]:
    """Commands of one start each, when nothing but serve's own polling goes on: the least of several tries."""
    client, found = deployment.clients["maple"], {}
    deployment.worker_program.pause()
    for words, email in emails.items():
        tries = []
        for _ in range(12):
            before = _commands(deployment)
            client.post("x", "codes", email=email)
            tries.append(_commands(deployment) - before)
        names = set().union(*tries)
        found[words] = {name: min(each[name] for each in tries) for name in sorted(names)}
        found[words] = {name: number for name, number in found[words].items() if number}
    deployment.worker_program.resume()
    return found


def _differ(commands: dict[str, dict[str, int]]) -> str:
    names = set().union(*commands.values())
    return ", ".join(
        f"{name} {[each.get(name, 0) for each in commands.values()]}"
        for name in sorted(names)
        if len({each.get(name, 0) for each in commands.values()}) > 1
    )
