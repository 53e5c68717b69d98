"""What an act costs on this machine: `make bench`, or `python -m bench [ACTS]`.

It wires the service as `serve` does, on a store of its own (redis-server, valkey-server or the wheel's Valkey, with its
file on), and runs each act from one thread and from four. HTTP is left out, so the figures are those of the use cases:
one script in Redis, one hash, one signature. Compare rows and runs on one machine; between machines they tell little.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TypeVar

from authsvc.config import limits
from authsvc.config import load as config
from authsvc.config.limits import Limits
from authsvc.demo.embedded import EmbeddedStore
from authsvc.model import PERMISSIONS, IssuedLink, RequestContext, Started, TokenGrant
from authsvc.verifier import Verifier
from authsvc.wiring import Service, bootstrap

ACTS = 1_000
THREADS = 4
ISSUER = "http://127.0.0.1:8000"

Given = TypeVar("Given")
Got = TypeVar("Got")


def measure(name: str, given: Iterable[Given], act: Callable[[Given], Got], threads: int) -> list[Got]:
    """Run `act` over everything given, say what it took, and hand on what it answered."""
    spent_ms: list[float] = []

    def timed(one: Given) -> Got:
        start = time.perf_counter()
        got = act(one)
        spent_ms.append((time.perf_counter() - start) * 1000)
        return got

    with ThreadPoolExecutor(threads) as pool:
        start = time.perf_counter()
        got = list(pool.map(timed, given))
        elapsed_s = time.perf_counter() - start
    centiles = statistics.quantiles(spent_ms, n=100)
    rate = len(got) / elapsed_s
    print(f"{name:<34} {threads:>7} {rate:>9.0f} {centiles[49]:>9.2f} {centiles[94]:>9.2f} {centiles[98]:>9.2f}")
    return got


class Walk:
    """The acts of a sign-in and of a link, each for a patient of its own."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.practice = service.practices.add("bench", name="Bench", actor="bench")
        self.client, _ = service.clients.add(
            "bench", practices=("bench",), permissions=PERMISSIONS, audience="practice-services", actor="bench"
        )

    def act(self) -> RequestContext:
        return self.service.act(self.practice, self.client)

    def register(self, patient: str) -> str:
        self.service.patients.put(
            self.act(), patient, email=f"{patient}@bench.example", label="", locale="en", portal_access=True
        )
        return patient

    def start(self, patient: str) -> Started:
        return self.service.codes.start(self.act(), patient=patient, delivery="caller")

    def verify(self, started: Started) -> TokenGrant:
        grant = self.service.codes.verify(self.act(), started.challenge, started.code or "")
        assert isinstance(grant, TokenGrant)
        return grant

    def refresh(self, grant: TokenGrant) -> TokenGrant:
        return self.service.sessions.refresh(self.client, grant.refresh_token or "", None, "")

    def authorise(self, grant: TokenGrant) -> object:
        return self.service.forward_auth.authorise(grant.access_token, "bench", "invoices:view", None, "extra")

    def link(self, patient: str) -> IssuedLink:
        return self.service.links.issue(self.act(), patient=patient, workflow="pay-invoice", resource="invoice:1")

    def exchange(self, link: IssuedLink) -> object:
        return self.service.links.exchange(self.act(), link.url.rpartition("/")[2])


def run(service: Service, acts: int) -> None:
    walk = Walk(service)
    keys, _ = service.signing_keys.jwks()
    verifier = Verifier(ISSUER, "practice-services", "bench", fetch=lambda _url: keys)
    print(f"{'act':<34} {'threads':>7} {'acts/s':>9} {'p50 ms':>9} {'p95 ms':>9} {'p99 ms':>9}")
    for threads in (1, THREADS):
        names = [f"t{threads}-{number}" for number in range(acts)]
        measure("register a patient", names, walk.register, threads)
        started = measure("issue a code", names, walk.start, threads)
        authorization_codes = measure("verify a code, open a session", started, walk.verify, threads)
        authorization_codes = measure("refresh", authorization_codes, walk.refresh, threads)
        measure("forward-auth", authorization_codes, walk.authorise, threads)
        measure(
            "verify a token, key set at hand",
            [grant.access_token for grant in authorization_codes],
            verifier.verify,
            threads,
        )
        links = measure("issue a link", names, walk.link, threads)
        measure("exchange a link", links, walk.exchange, threads)


def unthrottled(limits: Limits) -> Limits:
    """The limits as they ship, counted as ever, but one bench may call more often than one practice service."""
    policies = {name: replace(policy, quota=1_000_000) for name, policy in limits.policies.items()}
    return replace(limits, policies=policies)


def main() -> None:
    acts = int(sys.argv[1]) if len(sys.argv) > 1 else ACTS
    with EmbeddedStore({"PATH": os.environ.get("PATH", "")}) as store:
        print(f"store: {store.kind}; {acts} acts a row; profile light")
        settings = config.load(
            {
                "AUTHSVC_ENV": "development",
                "AUTHSVC_PUBLIC_URL": ISSUER,
                "AUTHSVC_REDIS_URL": store.url,
                "AUTHSVC_SECRET_KEYS": "YmVuY2gga2V5IHRoYXQgb3BlbnMgbm90aGluZyBlbHNlISE",
                "AUTHSVC_MAIL_URL": "inbox:",
                "AUTHSVC_MAIL_FROM": "bench@bench.example",
            }
        )
        service = bootstrap(settings, limits=unthrottled(limits.load(None)))
        service.start()
        try:
            run(service, acts)
        finally:
            service.stop()


if __name__ == "__main__":
    main()
