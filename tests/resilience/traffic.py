"""Callers that go on while a fault happens: journeys whose every success is booked, and a prober of every act.

A journey's step that is answered 503, or not at all, is tried again as a client would: with the same Idempotency-Key,
the same code, the same token. The prober never tries again; it shows what each act answers during the fault.
"""

from __future__ import annotations

import itertools
import secrets
import threading
import time
from collections.abc import Callable
from typing import Any

from tests.resilience import acknowledged as book_of
from tests.resilience.acknowledged import Book
from tests.resilience.deployment import Deployment
from tests.resilience.http_caller import Answer, Client

TRIES_AGAIN_S = 45.0  # how long a journey tries one step
PACE_S = 0.05
AFTER_503_S = 1.0  # Retry-After says 2: clients are impatient


class Stopped(Exception):
    """The traffic ends; the step in hand was not acknowledged."""


class Traffic:
    """`with Traffic(...)`: it runs. `pause` holds journeys at their next step."""

    def __init__(self, deployment: Deployment, book: Book, *, probing: bool = True, pace_s: float = PACE_S) -> None:
        self._deployment, self._book, self._pace_s = deployment, book, pace_s
        self._stop = threading.Event()
        self._numbers = itertools.count()
        self._tag = secrets.token_hex(3)
        clients = list(deployment.clients.values())
        self._threads = [threading.Thread(target=self._journeys, args=(client,), daemon=True) for client in clients]
        if probing:
            self._threads += [threading.Thread(target=self._probe, args=(client,), daemon=True) for client in clients]

    def __enter__(self) -> Traffic:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self, within_s: float = 15.0) -> None:
        self._stop.set()
        deadline = time.monotonic() + within_s
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    # --- journeys -----------------------------------------------------------------------------------------------------

    def _journeys(self, client: Client) -> None:
        while not self._stop.is_set():
            number = next(self._numbers)
            try:
                self._journey(client, f"{self._tag}-{number}", number)
            except Stopped:
                continue

    def _journey(self, client: Client, patient: str, number: int) -> None:
        """One patient: put on file, signed in, refreshed, perhaps revoked; a link; two mails."""
        book, practice, email = self._book, client.practice, f"{patient}@example.org"
        subject = f"{practice}:{patient}"
        path = f"patients/{patient}"
        self._step(lambda: client.api("put", "PUT", path, email=email, portal_access=True), (200, 201))
        book.acknowledged(book_of.PUT, practice, subject, email=email)

        started = self._step(lambda: client.post("codes", "codes", f"s-{patient}", patient=patient, delivery="caller"))
        challenge, code = started.json["challenge"], started.json["code"]
        book.acknowledged(book_of.CHALLENGE, practice, subject, challenge=challenge, code=code)
        if number % 4 != 3:
            self._sign_in(client, subject, challenge, code, revoke=number % 3 == 0)

        resource = f"invoice:{patient}"
        link = self._step(
            lambda: client.post(
                "links", "links", f"l-{patient}", patient=patient, workflow="pay-invoice", resource=resource, max_uses=1
            )
        )
        token = link.json["url"].rpartition("/")[2]
        book.acknowledged(book_of.LINK, practice, subject, id=link.json["id"], token=token)
        if number % 2:
            self._exchange(client, subject, token)

        if number % 4 == 3:  # by mail, in the place of the code above
            self._step(lambda: client.post("codes by mail", "codes", f"m-{patient}", patient=patient))
        else:
            wanted = {"patient": patient, "workflow": "update-payment-info", "delivery": "email"}
            self._step(lambda: client.post("links by mail", "links", f"m-{patient}", **wanted))
        book.acknowledged(book_of.MAIL, practice, subject, email=email)

    def _sign_in(self, client: Client, subject: str, challenge: str, code: str, *, revoke: bool) -> None:
        book, practice = self._book, client.practice
        history: list[Answer] = []
        answer = self._step(
            lambda: client.post("verify", "codes/verify", challenge=challenge, code=code), (200, 400, 410), history
        )
        if answer.status != 200:
            book.unknown(book_of.VERIFIED, practice, subject)
            if all(each.status == 503 for each in history[:-1]):  # none was lost on the way
                book.lost(f"a right code: {'503 then ' if len(history) > 1 else ''}{answer.status}")
            return
        session = answer.json
        book.acknowledged(book_of.VERIFIED, practice, subject, access=session["access_token"], sid=session["session"])

        seen = self._step(lambda: client.introspect(session["access_token"]), (200,))
        if not seen.json.get("active"):
            book.wrong("a live token was called inactive")

        refresh = session["refresh_token"]
        answer = self._step(
            lambda: client.oauth("refresh", "token", grant_type="refresh_token", refresh_token=refresh), (200, 400)
        )
        if answer.status == 200:
            tokens = answer.json
            book.acknowledged(
                book_of.REFRESHED, practice, subject, access=tokens["access_token"], refresh=tokens["refresh_token"]
            )
        else:
            book.lost("a refresh token was refused")
        if revoke:
            path = f"patients/{subject.partition(':')[2]}/sessions/{session['session']}"
            try:
                self._step(lambda: client.api("sign out", "DELETE", path), (204, 404))
            except Stopped:
                book.unknown(book_of.REVOKED, practice, subject)
                raise
            book.acknowledged(book_of.REVOKED, practice, subject)

    def _exchange(self, client: Client, subject: str, token: str) -> None:
        history: list[Answer] = []
        try:
            answer = self._step(
                lambda: client.post("exchange", "links/exchange", token=token), (200, 410, 404), history
            )
        except Stopped:
            self._book.unknown(book_of.EXCHANGED, client.practice, subject)
            raise
        if answer.status == 200:
            self._book.acknowledged(book_of.EXCHANGED, client.practice, subject, access=answer.json["access_token"])
            return
        self._book.unknown(book_of.EXCHANGED, client.practice, subject)
        if all(each.status == 503 for each in history[:-1]):
            self._book.lost(f"a live link: {'503 then ' if len(history) > 1 else ''}{answer.status}")

    def _step(
        self,
        act: Callable[[], Answer],
        wanted: tuple[int, ...] = (200, 201, 202),
        history: list[Answer] | None = None,
    ) -> Answer:
        """The first answer with a wanted status; the rest goes into `history`."""
        deadline = time.monotonic() + TRIES_AGAIN_S
        history = [] if history is None else history
        while True:
            self._stop.wait(self._pace_s)
            answer = act()
            history.append(answer)
            if answer.status in wanted:
                return answer
            if self._stop.is_set() or time.monotonic() > deadline:
                raise Stopped
            if answer.status not in (0, 429, 500, 502, 503):
                slug = str(answer.json.get("type", "")).rpartition("/")[2] or answer.json.get("error", "")
                self._book.wrong(f"{answer.status} {slug} where {wanted[0]} was due")
                raise Stopped
            self._stop.wait(AFTER_503_S if answer.status == 503 else 0.2)

    # --- the prober ---------------------------------------------------------------------------------------------------

    def _probe(self, client: Client) -> None:
        for act in itertools.cycle(probes(client)):
            if self._stop.wait(self._pace_s):
                return
            act()


def probes(client: Client) -> list[Callable[[], Any]]:
    """Every guarded act once, with things that lead nowhere, and what needs no store."""
    junk, token = "ach_" + "A" * 43, "al_" + "A" * 43
    bearer = {"Authorization": "Bearer " + "e30." * 2 + "x"}
    patient = f"patients/probe-{client.practice}"
    return [
        lambda: client.get("readyz", "/readyz"),
        lambda: client.get("jwks", "/.well-known/jwks.json"),
        lambda: client.post("probe start", "codes", email=f"{secrets.token_hex(6)}@example.org"),
        lambda: client.post("probe verify", "codes/verify", challenge=junk, code="123456"),
        lambda: client.get("sign-in page", f"/p/{client.practice}/sign-in", {"Accept": "text/html"}),
        lambda: client.post("probe exchange", "links/exchange", token=token),
        lambda: client.get("livez", "/livez"),
        lambda: client.api("probe put", "PUT", patient, email="probe@example.org", portal_access=False),
        lambda: client.api("probe get", "GET", patient),
        lambda: client.api("probe links", "GET", "links?patient=probe"),
        lambda: client.get("forward-auth", f"/v1/forward-auth?practice={client.practice}", bearer),
        lambda: client.oauth("probe refresh", "token", grant_type="refresh_token", refresh_token="ar_junk"),
        lambda: client.introspect("junk"),
        lambda: client.get("link page", f"/p/{client.practice}/l/{token}", {"Accept": "text/html"}),
    ]
