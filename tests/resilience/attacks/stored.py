"""Somebody who writes to Redis: forged and replayed entries of the trail, swapped addresses; and who stores much."""

from __future__ import annotations

import json
import re
import secrets
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa

from tests.resilience.attacks.registry import Found, attack
from tests.resilience.attacks.tokens import patient, session
from tests.resilience.deployment import Deployment
from tests.resilience.processes import Skipped

TRAIL = "authsvc:{maple}:audit"


def _verified(deployment: Deployment, wanted: str = "maple") -> tuple[int, str]:
    done = deployment.run_cli("audit", "verify", wanted, "--json")
    return done.returncode, (done.stdout + done.stderr)[-200:]


def _entries(deployment: Deployment) -> list[Any]:
    admin, client = deployment.redis.admin, deployment.clients["maple"]
    for _ in range(3):
        session(client)
    challenge = client.post("codes", "codes", patient=patient(client)).json["challenge"]
    client.post("guess", "codes/verify", challenge=challenge, code="000000")
    if admin.type(TRAIL) != "stream":
        raise Skipped(f"no stream is called {TRAIL}")
    return list(admin.xrange(TRAIL))


def _tampered(how: str, change: Callable[[Any, list[Any]], None], *, sealed: bool, known_limit: bool = False) -> None:
    """With `known_limit` the check can't find it before the seal, some two seconds later (ADR 2): then it may not call
    the entries good."""

    @attack(
        f"trail-{how}",
        f"an entry {how.replace('-', ' ')} in Redis, {'sealed ones' if sealed else 'the younger tail'}",
        own=True,
    )
    def act(deployment: Deployment, found: Found) -> None:
        admin = deployment.redis.admin
        if not sealed:
            deployment.worker_program.pause()
        _entries(deployment)
        if sealed:
            time.sleep(7)
        code, words = _verified(deployment)
        found.expect(code == 0, f"an honest trail is refused: {words}")
        change(admin, admin.xrange(TRAIL))
        code, words = _verified(deployment)
        found.effort = 1
        found.figures.append(f"audit verify: {code}")
        unsealed = known_limit and re.search(r'"unsealed": [1-9]', words) is not None
        found.expect(code != 0 or unsealed, "audit verify finds nothing")
        deployment.worker_program.resume()


def _written(admin: Any, entries: list[Any], place: int, fields: dict[str, str]) -> None:
    """The entry at `place` with other fields: the stream is written anew from there on."""
    rest = entries[place:]
    ids = [name for name, _ in entries]
    admin.delete(TRAIL)
    for name, old in entries[:place]:
        admin.xadd(TRAIL, old, id=name)
    admin.xadd(TRAIL, fields, id=rest[0][0])
    for name, old in rest[1:]:
        admin.xadd(TRAIL, old, id=name)
    assert len(admin.xrange(TRAIL)) == len(ids)


def _added(admin: Any, fields: dict[str, str]) -> None:
    admin.xadd(TRAIL, fields, id=f"{admin.incr(f'{TRAIL}-n')}-0")


def _with_patient(entries: list[Any]) -> int:
    return next(place for place, (_, fields) in reversed(list(enumerate(entries))) if "patient=" in fields["d"])


def _outcome_changed(admin: Any, entries: list[Any]) -> None:
    place = _with_patient(entries)
    fields = dict(entries[place][1])
    _written(admin, entries, place, fields | {"d": fields["d"].replace("patient=", "patient=not-")})


def _event_changed(admin: Any, entries: list[Any]) -> None:
    place = _with_patient(entries)
    _written(admin, entries, place, dict(entries[place][1]) | {"e": "patient.created"})


def _text_changed(admin: Any, entries: list[Any]) -> None:
    fields = dict(entries[-2][1])
    assert "client:" in fields["t"]
    _written(admin, entries, len(entries) - 2, fields | {"t": fields["t"].replace("client:", "cli:")})


def _removed(admin: Any, entries: list[Any]) -> None:
    admin.xdel(TRAIL, entries[len(entries) // 2][0])


def _swapped(admin: Any, entries: list[Any]) -> None:
    (first, one), (second, other), last = entries[-3:]
    admin.delete(TRAIL)
    for name, fields in (*entries[:-3], (first, other), (second, one), last):
        admin.xadd(TRAIL, fields, id=name)


_tampered("with-another-outcome", _outcome_changed, sealed=False, known_limit=True)
_tampered("with-another-event", _event_changed, sealed=False)
_tampered("with-another-text", _text_changed, sealed=False)
_tampered(
    "replayed-as-a-new-one",
    lambda admin, entries: _added(admin, dict(entries[_with_patient(entries)][1])),
    sealed=False,
)
_tampered("swapped-with-the-next", _swapped, sealed=False, known_limit=True)
_tampered("removed", _removed, sealed=True)
_tampered(
    "replayed-into-sealed-ones", lambda admin, entries: _written(admin, entries, 2, dict(entries[1][1])), sealed=True
)


@attack("swapped-sealed-addresses", "the sealed address of one patient is put in another's place", own=True)
def swapped_addresses(deployment: Deployment, found: Found) -> None:
    admin, client = deployment.redis.admin, deployment.clients["maple"]
    victim, thief = patient(client), patient(client)
    own, other = (admin.get(f"authsvc:{{maple}}:patient:{name}").split("\n") for name in (victim, thief))
    changed = [theirs if theirs.startswith("v1.") else ours for ours, theirs in zip(own, other, strict=True)]
    assert changed != own
    admin.set(f"authsvc:{{maple}}:patient:{victim}", "\n".join(changed))
    client.post("codes", "codes", patient=victim)
    client.post("links", "links", patient=victim, workflow="update-payment-info", delivery="email")
    time.sleep(5)
    found.effort = 1
    got = deployment.smtp.copies(f"{thief}@example.org")
    found.expect(not got, f"{got} mails for the victim came to the attacker")
    shown = client.api("get", "GET", f"patients/{victim}")
    found.figures.append(f"the patient's record answers {shown.status}")
    found.expect(f"{thief}@" not in shown.body.decode(), "the API shows the swapped address")


SLOW_SCRIPT_US = 5_000


@attack(
    "much-stored-by-a-client",
    "1,200 links of one patient and 400 patients of one mailbox, then everything that reads them",
    limits='[policies]\nclient-calls = "1000 per s"\n',
    own=True,
    timeout_s=240,
)
def much_stored(deployment: Deployment, found: Found) -> None:
    admin, client = deployment.redis.admin, deployment.clients["maple"]
    name, mailbox = patient(client), "everybody@example.org"

    def link(number: int) -> int:
        wanted = {"patient": name, "workflow": "pay-invoice", "resource": f"invoice:i{number % 7}"}
        return client.post("links", "links", **wanted).status

    def mate(number: int) -> int:
        return client.api("put", "PUT", f"patients/mate{number}", email=mailbox, portal_access=True).status

    with ThreadPoolExecutor(6) as pool:
        links, mates = list(pool.map(link, range(1200))), list(pool.map(mate, range(400)))
    found.effort = 1600
    found.figures.append(f"{links.count(201)} links and {mates.count(201)} patients were taken")
    admin.config_set("slowlog-log-slower-than", 1000)
    admin.config_set("slowlog-max-len", 1000)
    admin.slowlog_reset()
    acts = {
        "list links": lambda: client.api("call", "GET", f"links?patient={name}"),
        "start": lambda: client.post("call", "codes", email=mailbox),
        "address change": lambda: client.api(
            "call", "PUT", f"patients/{name}", email="new@example.org", portal_access=True
        ),
        "withdraw": lambda: client.api("call", "PUT", "patients/mate1", email=mailbox, portal_access=False),
        "revoke by resource": lambda: client.api("call", "DELETE", "links?resource=invoice:i3"),
        "revoke by patient": lambda: client.api("call", "DELETE", f"links?patient={name}"),
        "delete": lambda: client.api("call", "DELETE", f"patients/{name}"),
    }
    for words, act in acts.items():
        admin.slowlog_reset()
        answer = act()
        longest = max((entry["duration"] for entry in admin.slowlog_get(50)), default=0)
        found.figures.append(f"{words} {answer.seen} {longest / 1000:.1f} ms")
        found.expect(longest <= SLOW_SCRIPT_US, f"{words} stops Redis for {longest / 1000:.0f} ms")


def _jwk(number: int, exponent: int = 65537) -> dict[str, str]:
    import base64

    def text(value: int) -> str:
        return base64.urlsafe_b64encode(value.to_bytes((value.bit_length() + 7) // 8, "big")).decode().rstrip("=")

    return {"kty": "RSA", "kid": secrets.token_hex(4), "use": "sig", "n": text(number), "e": text(exponent)}


def _roca_modulus() -> int:
    """A modulus with the fingerprint of CVE-2017-15361: modulo each small prime it is a power of 65537."""
    primes = [number for number in range(3, 168) if all(number % other for other in range(2, number))]
    product = 1
    for prime in primes:
        product *= prime
    base = secrets.randbits(2047 - product.bit_length()) | 1 << (2046 - product.bit_length())
    return base * product + pow(65537, secrets.randbelow(10**6), product)


@attack(
    "weak-client-keys",
    "registering keys that are broken: RSA 1024, exponent 1 and 3, ROCA, a secret key, an even modulus",
)
def weak_keys(deployment: Deployment, found: Found) -> None:
    good = rsa.generate_private_key(65537, 2048).public_key().public_numbers().n
    keys = {
        "RSA 1024": _jwk(secrets.randbits(1024) | 1 << 1023 | 1),
        "exponent 1": _jwk(good, 1),
        "exponent 3": _jwk(good, 3),
        "ROCA": _jwk(_roca_modulus()),
        "even modulus": _jwk(good * 2),
        "symmetric": {"kty": "oct", "kid": "k", "k": "A" * 43},
        "point off the curve": {"kty": "EC", "crv": "P-256", "kid": "k", "x": "A" * 43, "y": "A" * 42 + "E"},
    }
    for words, key in keys.items():
        file = deployment.folder / "jwks.json"
        file.write_text(json.dumps({"keys": [key]}))
        name = f"weak-{secrets.token_hex(3)}"
        addresses = ("--redirect-uri", "https://portal.example/signed-in")
        done = deployment.run_cli("clients", "add", name, "--practice", "maple", *addresses, "--jwks", str(file))
        found.effort += 1
        found.expect(done.returncode != 0, f"{words} is registered")
