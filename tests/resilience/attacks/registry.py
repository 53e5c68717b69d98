"""What an attack is, what came of it, and the honest neighbour who goes on beside it."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.resilience.deployment import Deployment
from tests.resilience.http_caller import Client

NEIGHBOUR_SHARE = 0.99


@dataclass
class Found:
    """`effort` requests; `got` is what the attacker has of it, one line each; `figures` is what was measured."""

    effort: int = 0
    got: list[str] = field(default_factory=list)
    figures: list[str] = field(default_factory=list)

    def expect(self, right: bool, otherwise: str) -> None:
        if not right:
            self.got.append(otherwise)


Doing = Callable[[Deployment, Found], None]


@dataclass(frozen=True)
class Attack:
    name: str
    how: str
    act: Doing
    area: str
    limits: str = ""  # a limits file, where a state has to be reached quickly; the row says so
    own: bool = False
    settings: dict[str, str] = field(default_factory=dict)
    prepared: Callable[[Deployment], None] | None = None  # in the place of `start`
    timeout_s: int = 180


ATTACKS: dict[str, Attack] = {}


def attack(name: str, how: str, **options: Any) -> Callable[[Doing], Doing]:
    def register(act: Doing) -> Doing:
        assert name not in ATTACKS, name
        ATTACKS[name] = Attack(name, how, act, act.__module__.rpartition(".")[2], **options)
        return act

    return register


class Neighbour:
    """birch's own patients sign in and follow links, five calls a second, each of them within its limits."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._stop = threading.Event()
        self.right = self.wrong = 0
        self.slowest_s = 0.0
        self.refusals: list[str] = []
        self._thread = threading.Thread(target=self._go_on, daemon=True)

    def __enter__(self) -> Neighbour:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(15)

    @property
    def share(self) -> float:
        return self.right / max(1, self.right + self.wrong)

    def _go_on(self) -> None:
        while not self._stop.is_set():
            self._journey(f"n-{secrets.token_hex(5)}")

    def _journey(self, patient: str) -> None:
        client, email = self._client, f"{patient}@example.net"
        self._call(201, lambda: client.api("n", "PUT", f"patients/{patient}", email=email, portal_access=True))
        self._call(202, lambda: client.post("n", "codes", email=email))
        started = self._call(202, lambda: client.post("n", "codes", patient=patient, delivery="caller"))
        challenge, code = started.json.get("challenge", "x"), started.json.get("code", "123456")
        verified = self._call(200, lambda: client.post("n", "codes/verify", challenge=challenge, code=code))
        token = verified.json.get("access_token", "x")
        self._call(200, lambda: client.introspect(token))
        self._call(200, lambda: client.get("n", "/p/birch/sign-in"))

    def _call(self, wanted: int, act: Callable[[], Any]) -> Any:
        self._stop.wait(0.15)
        started = time.monotonic()
        answer = act()
        self.slowest_s = max(self.slowest_s, time.monotonic() - started)
        if answer.status == wanted:
            self.right += 1
        else:
            self.wrong += 1
            self.refusals.append(answer.seen)
        return answer
