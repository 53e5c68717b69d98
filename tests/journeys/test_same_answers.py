"""Who is a patient here? Nobody learns it from what the service says or does.

An address that is unknown, one whose patient has no portal access, and one that guessing has locked get the same
answers to the byte, and cost the same: the same trips to the store, the same commands there, the same hashing. Time
itself is measured by the benchmarks; here the causes of time are counted. (An unknown address is locked by guesses like
any other, so locked addresses are compared with each other too.)
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest
import redis

from tests.harness.deployment import Client, Deployment, find_code, wrong
from tests.harness.processes import Answer, Process, children, until

pytestmark = pytest.mark.journey

LIMITS = """
[policies]
issue-address = "28 per 15 min"   # room for all that is counted here, and still to be exhausted in a moment
issue-address-day = "500 per day"
client-calls = "1,000 per s"      # so that what remains of it is the same in every answer

[guesses]
misses_consecutive = 15           # guesses that lock a mailbox
"""
LOCKED_BY = 15
STARTS = 28

OPEN = ("known", "without-access", "unknown")
LOCKED = ("locked", "locked-without-access", "locked-unknown")
EVERYBODY = (*OPEN, *LOCKED)
CALLS = 4  # of each kind are counted, for each of them

BACKGROUND = {"get", "ping", "rpush", "ltrim", "hello", "client", "eval", "hgetall", "info", "time"}
"""What pollers and the wake-up of the worker do beside the calls, and loading a script again after it was not known.

Only outside scripts: what a script does is the call's own.
"""
HASHING_VARIES = 1.8  # at most, between two runs of the same work; leaving one hash out would be five-fold


@dataclass
class SixMailboxes:
    """Six addresses, and for each of them sign-ins that have begun."""

    deployment: Deployment
    serve: Process
    portal: Client
    store: redis.Redis
    begun: dict[str, list[str]] = field(default_factory=dict)
    codes: dict[str, str] = field(default_factory=dict)
    network: Iterator[int] = field(default_factory=lambda: iter(range(1, 255)))

    def start(self, who: str) -> Answer:
        """Each from a network of its own, as different people would."""
        return self.portal.post("codes", email=address(who), client_ip=f"198.51.100.{next(self.network)}")

    def challenge(self, who: str) -> str:
        """A sign-in that has begun for this address and was not used yet."""
        return self.begun[who].pop()


def address(who: str) -> str:
    return f"{who}@example.org"


@pytest.fixture(scope="module")
def mailboxes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SixMailboxes]:
    folder = tmp_path_factory.mktemp("mailboxes")
    limits = folder / "limits.toml"
    limits.write_text(LIMITS)
    with Deployment(
        folder,
        AUTHSVC_LIMITS_FILE=str(limits),
        AUTHSVC_RESEND_AFTER_S="10 s",
        AUTHSVC_CODE_HASH_PROFILE="owasp",
    ) as deployment:
        deployment.store.start()
        deployment.add_practice()
        worker, serve = deployment.work(), deployment.serve()
        with redis.Redis(unix_socket_path=str(deployment.store.socket_path), decode_responses=True) as store:
            mailboxes = SixMailboxes(deployment, serve, deployment.add_client("portal"), store)
            _settle(mailboxes, worker)
            yield mailboxes


def _settle(mailboxes: SixMailboxes, worker: Process) -> None:
    """`jim` and `leaver` get a good code first, then the worker rests, so as not to be counted. Everybody begins."""
    portal, deployment = mailboxes.portal, mailboxes.deployment
    for who in ("known", "locked", "jim", "leaver"):
        portal.register(who, address(who))
    for who in ("without-access", "locked-without-access"):
        portal.register(who, address(who), portal_access=False)
    for who in ("jim", "leaver"):
        mailboxes.begun[who] = [mailboxes.start(who).json["challenge"]]
        mailboxes.codes[who] = find_code(deployment.mailed(address(who)))
    portal.register("leaver", address("leaver"), portal_access=False)
    worker.stop()
    for who in EVERYBODY:
        mailboxes.begun[who] = [mailboxes.start(who).json["challenge"] for _ in range(2 * CALLS + 3)]
    for who in (*LOCKED, "jim"):
        for _ in range(LOCKED_BY // 5):
            challenge = mailboxes.start(who).json["challenge"]
            for _ in range(5):
                assert portal.post("codes/verify", challenge=challenge, code="000000").status == 400
    assert deployment.cli("patients", "show", "maple", "locked").document["link_mode"] is True
    assert deployment.cli("patients", "show", "maple", "known").document["link_mode"] is False


def seen(answer: Answer) -> tuple[int, list[tuple[str, str]], bytes]:
    """All that a caller sees of an answer, but for what is different each time: the date, the request's id, the
    handle."""
    headers = [(name, "*" if name in ("Date", "X-Request-Id") else value) for name, value in answer.headers]
    return answer.status, headers, re.sub(rb"ach_[A-Za-z0-9_-]{43}", b"ach_*", answer.body)


def all_alike(answers: dict[str, Answer]) -> Answer:
    """One of them, when they are the same to the byte."""
    shown = {who: seen(answer) for who, answer in answers.items()}
    first = next(iter(shown.values()))
    assert shown == dict.fromkeys(shown, first)
    assert len({len(answer.body) for answer in answers.values()}) == 1
    return next(iter(answers.values()))


# --- the same answers ---------------------------------------------------------------------------------------------


def test_attack_starting_a_sign_in_tells_nothing(mailboxes: SixMailboxes) -> None:
    answer = all_alike({who: mailboxes.start(who) for who in EVERYBODY})
    assert answer.status == 202
    assert set(answer.json) == {"challenge", "expires_in", "resend_in"}
    assert "issue-address" not in answer.header("RateLimit")


def test_attack_asking_again_too_early_tells_nothing(mailboxes: SixMailboxes) -> None:
    def early(who: str) -> Answer:
        return mailboxes.portal.post("codes/resend", challenge=mailboxes.start(who).json["challenge"])

    answers = {who: early(who) for who in EVERYBODY}
    waits = {int(answer.header("Retry-After")) for answer in answers.values()}
    assert waits <= {8, 9, 10}, "what is left of ten seconds"
    assert len({_without_seconds(seen(answer)) for answer in answers.values()}) == 1
    assert next(iter(answers.values())).status == 429


def _without_seconds(shown: tuple[int, list[tuple[str, str]], bytes]) -> str:
    """Where an answer says how long to wait, the second may have changed between two of them."""
    status, headers, body = shown
    return re.sub(r"'Retry-After', '\d+'|;t=\d+|\d+ seconds?", "*", f"{status} {headers} {body!r}")


def test_attack_guessing_tells_nothing_until_the_challenge_is_gone(mailboxes: SixMailboxes) -> None:
    challenges = {who: mailboxes.challenge(who) for who in EVERYBODY}
    for left in (4, 3, 2, 1, 0):
        answers = {
            who: mailboxes.portal.post("codes/verify", challenge=challenge, code="123456")
            for who, challenge in challenges.items()
        }
        answer = all_alike(answers)
        assert (answer.status, answer.json["attempts_left"]) == (400, left)
    gone = {
        who: mailboxes.portal.post("codes/verify", challenge=challenge, code="123456")
        for who, challenge in challenges.items()
    }
    gone["never begun"] = mailboxes.portal.post("codes/verify", challenge="ach_" + "A" * 43, code="123456")
    assert all_alike(gone).status == 410


def test_attack_the_right_code_of_a_locked_mailbox_is_answered_like_a_wrong_one(mailboxes: SixMailboxes) -> None:
    first, code = mailboxes.challenge("jim"), mailboxes.codes["jim"]
    answers = {
        "locked, right": mailboxes.portal.post("codes/verify", challenge=first, code=code),
        "access withdrawn, right": mailboxes.portal.post(
            "codes/verify", challenge=mailboxes.begun["leaver"].pop(), code=mailboxes.codes["leaver"]
        ),
        "unknown, wrong": mailboxes.portal.post(
            "codes/verify", challenge=mailboxes.challenge("unknown"), code="123456"
        ),
        "known, wrong": mailboxes.portal.post("codes/verify", challenge=mailboxes.challenge("known"), code="123456"),
    }
    assert all_alike(answers).json["attempts_left"] == 4
    # Staff spoke with the patient: the same code is good again, and a wrong one still isn't.
    mailboxes.deployment.cli("patients", "unlock", "maple", "jim")
    assert mailboxes.portal.post("codes/verify", challenge=first, code=wrong(code)).status == 400
    granted = mailboxes.portal.post("codes/verify", challenge=first, code=code)
    assert (granted.status, granted.json["patient"]) == (200, "jim")


# --- the same work ------------------------------------------------------------------------------------------------


@dataclass
class Work:
    """What some calls cost: commands in the store by name, and processor time of the service in 1/100 s."""

    commands: Counter[str]
    ticks: int

    @property
    def trips(self) -> int:
        """Scripts that were run: each is one trip to the store."""
        return self.commands["evalsha"]

    @property
    def own(self) -> dict[str, int]:
        """The commands that only the calls themselves can have caused."""
        return {name: count for name, count in self.commands.items() if name not in BACKGROUND}


def counted(mailboxes: SixMailboxes, act: Callable[[], Answer], status: int) -> Work:
    """The work of CALLS calls, each of which gets this answer."""
    workers = children(mailboxes.serve.pid)
    before = _ticks(workers)
    end = f"end-{next(mailboxes.network)}"
    commands: Counter[str] = Counter()
    with mailboxes.store.monitor() as monitor:
        for _ in range(CALLS):
            assert act().status == status
        mailboxes.store.echo(end)
        for seen_command in monitor.listen():
            name, _, arguments = seen_command["command"].partition(" ")
            if arguments == end:
                break
            in_script = seen_command["client_type"] == "lua"
            commands[f"script {name.lower()}" if in_script else name.lower()] += 1
    return Work(commands, _ticks(workers) - before)


def _ticks(pids: set[int]) -> int:
    """Processor time of these processes so far: user and system (proc(5), fields 14 and 15)."""
    stats = [Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split() for pid in pids]
    return sum(int(fields[11]) + int(fields[12]) for fields in stats)


def the_same_work(work: dict[str, Work]) -> None:
    trips = {who: each.trips for who, each in work.items()}
    assert len(set(trips.values())) == 1, trips
    for alike in (OPEN, LOCKED):
        own = {who: work[who].own for who in alike if who in work}
        print(own)
        assert len({tuple(sorted(each.items())) for each in own.values()}) <= 1, own
    ticks = {who: each.ticks for who, each in work.items()}
    assert min(ticks.values()) >= CALLS, "no call without hashing: an owasp hash takes 20 ms and more"
    assert max(ticks.values()) <= HASHING_VARIES * min(ticks.values()) + 2, ticks


def test_attack_starting_a_sign_in_costs_the_same(mailboxes: SixMailboxes) -> None:
    the_same_work({who: counted(mailboxes, partial(mailboxes.start, who), 202) for who in EVERYBODY})


def test_attack_guessing_costs_the_same(mailboxes: SixMailboxes) -> None:
    def guess(who: str) -> Answer:
        return mailboxes.portal.post("codes/verify", challenge=mailboxes.challenge(who), code="123456")

    work = {who: counted(mailboxes, partial(guess, who), 400) for who in EVERYBODY}
    the_same_work(work)
    assert len({tuple(sorted(each.own.items())) for each in work.values()}) == 1, "locked or not"


def test_attack_asking_again_costs_the_same(mailboxes: SixMailboxes) -> None:
    def again(who: str) -> Answer:
        return mailboxes.portal.post("codes/resend", challenge=mailboxes.challenge(who))

    # Everybody's sign-ins began before the last one of this list did.
    late = mailboxes.begun[EVERYBODY[-1]][-1]
    until(lambda: mailboxes.portal.post("codes/resend", challenge=late).status == 202)
    mailboxes.begun[EVERYBODY[-1]].pop()
    the_same_work({who: counted(mailboxes, partial(again, who), 202) for who in EVERYBODY})
    answer = all_alike({who: again(who) for who in EVERYBODY if mailboxes.begun[who]})
    assert answer.status == 202


# --- what they do get ---------------------------------------------------------------------------------------------


def test_attack_an_address_asked_for_too_often_is_refused_alike(mailboxes: SixMailboxes) -> None:
    mailboxes.portal.register("often", address("often"))
    mailboxes.portal.register("often-without", address("often-without"), portal_access=False)

    def spent(who: str) -> Answer:
        for _ in range(STARTS):
            assert mailboxes.portal.post("codes", email=address(who)).status == 202
        return mailboxes.portal.post("codes", email=address(who))

    answers = {who: spent(who) for who in ("often", "often-without", "often-unknown")}
    assert {answer.status for answer in answers.values()} == {429}
    assert len({_without_seconds(seen(answer)) for answer in answers.values()}) == 1


def test_only_the_known_get_mail(mailboxes: SixMailboxes) -> None:
    """The worker comes back: all that was queued leaves, and nothing of it for those who must get none."""
    mailboxes.deployment.work()
    mailboxes.deployment.mailed(address("often"), STARTS)
    mailboxes.deployment.mailed(address("known"), CALLS)

    def waiting() -> int:
        return sum(mailboxes.store.xlen(f"authsvc:{{maple}}:{queue}") for queue in ("codes", "mails"))

    until(lambda: waiting() == 0, why=waiting)
    to = {str(mail["To"]) for mail in mailboxes.deployment.mail.mails}
    assert to == {address(who) for who in ("known", "locked", "jim", "leaver", "often")}
