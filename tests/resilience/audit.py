"""Holds the service to the book: what was acknowledged is there, once, and what was ended has stayed ended."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from tests.resilience import acknowledged as book_of
from tests.resilience.acknowledged import Book, Entry, Faults
from tests.resilience.deployment import Deployment
from tests.resilience.http_caller import Answer, Client
from tests.resilience.patience import stretched

MAIL_WITHIN_S = 40.0  # a deferred code is tried again after 30 s at most
CODE_LIFE_S = 590.0
TOKEN_LIFE_S = 590.0  # then its refresh token alone shows that the session lives


@dataclass
class Subject:
    """All that the book holds about one patient, by kind."""

    client: Client
    patient: str
    entries: dict[str, list[Entry]] = field(default_factory=lambda: defaultdict(list))

    def last(self, kind: str) -> Entry | None:
        return self.entries[kind][-1] if self.entries[kind] else None


def subjects(deployment: Deployment, entries: list[Entry]) -> list[Subject]:
    found: dict[str, Subject] = {}
    for entry in entries:
        client = deployment.clients[entry.practice]
        subject = found.setdefault(entry.subject, Subject(client, entry.subject.partition(":")[2]))
        subject.entries[entry.kind].append(entry)
    return list(found.values())


def check(
    deployment: Deployment,
    book: Book,
    *,
    copies: int = 1,
    mail: bool = True,
    until: float | None = None,
    practices: tuple[str, ...] = (),
) -> Faults:
    """`copies` of one mail that are allowed; `until`: only what was acknowledged before; `practices`: only these."""
    entries = [
        entry
        for entry in book.entries()
        if (until is None or entry.at < until) and (not practices or entry.practice in practices)
    ]
    found = Faults()
    found.add(book.seen)
    all_subjects = subjects(deployment, entries)
    if until is not None:  # journeys that were under way at that moment may have left anything behind
        all_subjects = [subject for subject in all_subjects if subject.last(book_of.MAIL)]
    with ThreadPoolExecutor(4) as pool:
        for faults in pool.map(_check_subject, all_subjects):
            found.add(faults)
    if mail:
        found.add(_check_mail(deployment, entries, copies))
    return found


def _check_subject(subject: Subject) -> Faults:
    found = Faults()
    client, patient = subject.client, subject.patient
    put = subject.last(book_of.PUT)
    if put:
        answer = _asked(lambda: client.api("check", "GET", f"patients/{patient}"))
        if answer.status != 200 or answer.json.get("email") != put.facts["email"]:
            found.lost.append(f"patient ({answer.seen})")
    _check_sign_in(subject, found)
    _check_link(subject, found)
    return found


def _check_sign_in(subject: Subject, found: Faults) -> None:
    client = subject.client
    revoked = bool(subject.entries[book_of.REVOKED])
    verified = subject.last(book_of.VERIFIED)
    newest = subject.last(book_of.REFRESHED) or verified
    young = newest and time.monotonic() - newest.at < TOKEN_LIFE_S
    if newest and young and not subject.entries["revoked?"]:
        answer = _asked(lambda: client.introspect(newest.facts["access"]))
        active = answer.json.get("active")
        if revoked and active:
            found.doubled.append("a revoked session lives again")
        elif not revoked and active is not True:
            found.lost.append(f"session ({answer.seen} active={active})")
    if newest and "refresh" in newest.facts and not revoked and not subject.entries["revoked?"]:
        token = newest.facts["refresh"]
        answer = _asked(lambda: client.oauth("check", "token", grant_type="refresh_token", refresh_token=token))
        if answer.status != 200:
            found.lost.append(f"refresh token ({answer.seen})")
    challenge = subject.last(book_of.CHALLENGE)
    if challenge and time.monotonic() - challenge.at > CODE_LIFE_S:
        return
    if challenge and not verified and not subject.entries["verified?"]:
        facts = challenge.facts
        answer = _asked(lambda: client.post("check", "codes/verify", challenge=facts["challenge"], code=facts["code"]))
        if answer.status != 200:
            found.lost.append(f"challenge ({answer.seen})")
    if verified and not revoked:
        answer = _asked(lambda: client.api("check", "GET", f"patients/{subject.patient}/sessions"))
        if len(answer.json.get("sessions", [])) > 1:
            found.doubled.append("two sessions of one code")


def _check_link(subject: Subject, found: Faults) -> None:
    client, link = subject.client, subject.last(book_of.LINK)
    if link is None:
        return
    listed = _asked(lambda: client.api("check", "GET", f"links?patient={subject.patient}"))
    if link.facts["id"] not in [each.get("id") for each in listed.json.get("links", [])]:
        found.lost.append(f"link ({listed.seen}, not listed)")
        return
    if subject.entries["exchanged?"]:
        return
    exchanged = bool(subject.entries[book_of.EXCHANGED])
    answer = _asked(lambda: client.post("check", "links/exchange", token=link.facts["token"]))
    if exchanged and answer.status == 200:
        found.doubled.append("a link for one use was used twice")
    elif not exchanged and answer.status != 200:
        found.lost.append(f"link ({answer.seen})")


def _asked(act: Callable[[], Answer]) -> Answer:
    """Once more while the answer is 503, 429 or none: the service is well by now, but a burst is a burst."""
    answer = act()
    for _ in range(20):
        if answer.status not in (0, 429, 503):
            break
        time.sleep(0.25)
        answer = act()
    return answer


def _check_mail(deployment: Deployment, entries: list[Entry], copies: int) -> Faults:
    found = Faults()
    booked = [entry.facts["email"] for entry in entries if entry.kind == book_of.MAIL]
    waiting = set(booked)
    deadline = time.monotonic() + stretched(MAIL_WITHIN_S)
    while waiting and time.monotonic() < deadline:
        waiting -= {mail.recipient for mail in list(deployment.smtp.taken)}
        time.sleep(0.1)
    found.lost += [f"mail (not within {MAIL_WITHIN_S:g} s)"] * len(waiting)
    for email in {entry.facts["email"] for entry in entries if entry.kind == book_of.PUT}:
        if deployment.smtp.copies(email) > copies:
            found.doubled.append(f"a mail in {deployment.smtp.copies(email)} copies")
    return found
