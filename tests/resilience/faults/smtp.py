"""The mail host at each step of the conversation: late, temporarily or finally refusing, dropping, silent, odd.

What the host says before it has seen the message says nothing about the message: it goes later, once. What it says
about a recipient or a message for good (5xx at RCPT, DATA or the dot) ends that one mail, and staff can see it.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterator

from tests.resilience.http_caller import Client
from tests.resilience.patience import stretched
from tests.resilience.registry import Doing, Run, fault
from tests.resilience.smtp_conversation import Step

DEFERRED_S = 30.0  # a code's mail is tried again after 30 s at most


def _queued(run: Run) -> tuple[Client, str, str]:
    """A code by mail, asked for while the fault is on."""
    client, patient = run.deployment.clients["maple"], f"mailed-{secrets.token_hex(4)}"
    email = f"{patient}@example.org"
    client.api("put", "PUT", f"patients/{patient}", email=email, portal_access=True)
    answer = client.post("codes by mail", "codes", patient=patient)
    run.expect(answer.status == 202, f"a code was asked for: {answer.seen}")
    return client, patient, email


def _at(step: str, what: Step, hold_s: float = 4.0, within_s: float = DEFERRED_S, extra_s: float = 0.0) -> Doing:
    """The plan is on for `hold_s`; the mail that was queued meanwhile arrives afterwards, once."""

    def act(run: Run) -> Iterator[float]:
        host = run.deployment.smtp
        host.plan[step] = what
        host.hang_up()  # no connection from before the fault
        _, _, email = _queued(run)
        yield hold_s
        host.well()
        started = time.monotonic()
        run.expect(host.mail_to(email, within_s), f"the code did not leave within {within_s:g} s")
        run.notes.append(f"the waiting code left after {time.monotonic() - started:.1f} s")
        time.sleep(extra_s)
        run.expect(host.copies(email) < 2, f"one code in {host.copies(email)} copies")

    act.__module__ = __name__
    return act


BEFORE_THE_MESSAGE = {
    "greeting-late": ("greeting", Step(delay_s=6), "the greeting comes after 6 s"),
    "greeting-421": ("greeting", Step("421 4.3.2 too busy", end="close"), "421 in the place of the greeting"),
    "greeting-554": ("greeting", Step("554 5.3.2 no service for you", end="close"), "554 in the place of the greeting"),
    "greeting-dropped": ("greeting", Step("", end="close"), "the connection ends before the greeting"),
    "greeting-never": ("greeting", Step("", delay_s=60), "connected, and never a word"),
    "greeting-garbage": ("greeting", Step("SSH-2.0-OpenSSH_9.2"), "another protocol answers"),
    "greeting-dripping": ("greeting", Step(drip_s=0.3), "the greeting byte by byte, 0.3 s between them"),
    "ehlo-421": ("ehlo", Step("421 4.3.2 closing", end="close"), "421 to EHLO"),
    "ehlo-502": ("ehlo", Step("502 5.5.1 not here"), "502 to EHLO: no STARTTLS is offered"),
    "ehlo-dropped": ("ehlo", Step("", end="reset"), "reset at EHLO"),
    "starttls-not-offered": ("no-starttls", Step(), "a host without STARTTLS: nothing may go in the clear"),
    "starttls-454": ("starttls", Step("454 4.7.0 TLS not available"), "454 to STARTTLS"),
    "starttls-dropped": ("starttls", Step("", end="reset"), "reset at STARTTLS"),
    "auth-454": ("auth", Step("454 4.7.0 temporary authentication failure"), "454 to AUTH"),
    "auth-535": ("auth", Step("535 5.7.8 authentication credentials invalid"), "535 to AUTH: password changed"),
    "auth-dropped": ("auth", Step("", end="reset"), "reset at AUTH"),
    "mail-451": ("mail", Step("451 4.3.0 later"), "451 at MAIL FROM"),
    "mail-550-sender": ("mail", Step("550 5.7.60 not allowed to send as this sender"), "550 5.7.60 at MAIL FROM"),
    "mail-530": ("mail", Step("530 5.7.57 client not authenticated"), "530 5.7.57 at MAIL FROM"),
    "mail-dropped": ("mail", Step("", end="reset"), "reset at MAIL FROM"),
    "rcpt-450": ("rcpt", Step("450 4.2.1 greylisted"), "450 at RCPT TO: greylisting"),
    "rcpt-421": ("rcpt", Step("421 4.7.0 too many messages", end="close"), "421 at RCPT TO"),
    "rcpt-dropped": ("rcpt", Step("", end="reset"), "reset at RCPT TO"),
    "data-451": ("data", Step("451 4.3.0 later"), "451 to DATA"),
    "data-dropped": ("data", Step("", end="reset"), "reset at DATA"),
    "content-dropped": ("content", Step(end="reset"), "reset in the middle of the message"),
    "dot-451": ("dot", Step("451 4.3.0 later"), "451 after the dot"),
    "dot-452-full": ("dot", Step("452 4.3.1 out of storage"), "452 after the dot"),
}
for _name, (_step, _what, _how) in BEFORE_THE_MESSAGE.items():
    fault(f"smtp-{_name}", _how)(_at(_step, _what))

fault("smtp-dot-answered-after-6s", "the answer after the dot takes 6 s: the host has the mail")(
    _at("dot", Step(delay_s=6), hold_s=14, within_s=2)
)
fault("smtp-dot-answered-after-25s", "the answer after the dot takes 25 s, once", timeout_s=300)(
    _at("dot", Step(delay_s=25, times=1), hold_s=32, within_s=2)
)
fault("smtp-dot-dropped", "reset after the dot: in doubt, three copies at most", copies=3)(
    _at("dot", Step("", end="reset", times=3), hold_s=10, within_s=20)
)
fault("smtp-quit-never", "no answer to QUIT")(_at("quit", Step("", delay_s=60), hold_s=2))


def _refused(step: str, answer: str) -> Doing:
    """For good, and only this one: it is not sent again, staff sees it, and the next mail goes."""

    def act(run: Run) -> Iterator[float]:
        host = run.deployment.smtp
        time.sleep(0.5)
        host.plan[step] = Step(answer, times=1)
        client, patient, email = _queued(run)
        yield 3
        host.well()
        time.sleep(3)
        listed = client.api("deliveries", "GET", f"patients/{patient}/deliveries").json.get("deliveries", [])
        state = listed[0].get("state") if listed else None
        other = host.copies(email) == 1  # the planned answer went to another mail of the traffic
        run.expect(other or state == "refused", f"after {answer[:9]} the delivery is {state}")

    act.__module__ = __name__
    return act


fault("smtp-rcpt-550", "550 5.1.1 at RCPT TO, once: this mail is refused", check_mail=False)(
    _refused("rcpt", "550 5.1.1 no such user")
)
fault("smtp-dot-550", "550 5.1.1 after the dot, once: this mail is refused", check_mail=False)(
    _refused("dot", "550 5.1.1 no such user")
)


def _gone(refusing: bool) -> Doing:
    def act(run: Run) -> Iterator[float]:
        host = run.deployment.smtp
        host.refusing = refusing
        host.hang_up()
        _, _, email = _queued(run)
        yield 5
        host.well()
        run.expect(host.mail_to(email, DEFERRED_S), f"the code did not leave within {DEFERRED_S:g} s")

    act.__module__ = __name__
    return act


fault("smtp-refused", "the mail host resets every connection for 5 s")(_gone(refusing=True))


@fault("smtp-hangs-up-when-idle", "the host ends its idle connections again and again, without a word")
def hangs_up(run: Run) -> Iterator[float]:
    for _ in range(10):
        run.deployment.smtp.hang_up()
        time.sleep(0.4)
    yield 0.1


@fault("smtp-certificate-of-a-stranger", "a certificate that the authority didn't sign")
def untrusted(run: Run) -> Iterator[float]:
    from tests.resilience.certificates import Authority

    host = run.deployment.smtp
    host.tls = Authority(run.deployment.folder, "stranger").server_context()
    yield from _bad_certificate(run)


@fault("smtp-certificate-for-another-name", "the certificate is for another host")
def another_name(run: Run) -> Iterator[float]:
    run.deployment.smtp.tls = run.deployment.authority.server_context("other.example")
    yield from _bad_certificate(run)


@fault("smtp-certificate-expired", "the certificate ended a month ago")
def expired(run: Run) -> Iterator[float]:
    run.deployment.smtp.tls = run.deployment.authority.server_context(expired=True)
    yield from _bad_certificate(run)


def _bad_certificate(run: Run) -> Iterator[float]:
    host = run.deployment.smtp
    host.hang_up()
    before = len(host.taken)
    _, _, email = _queued(run)
    time.sleep(4)
    run.expect(not host.copies(email) and len(host.taken) == before, "a mail went to a host that is not ours")
    yield 0.1
    host.well()
    run.expect(host.mail_to(email, DEFERRED_S), f"the code did not leave within {DEFERRED_S:g} s")


@fault("smtp-slow-host", "each mail takes 2 s, 60 links wait: birch's code leaves within 5 s", copies=1, timeout_s=300)
def slow_host(run: Run) -> Iterator[float]:
    host = run.deployment.smtp
    host.plan["dot"] = Step(delay_s=2)
    client = run.deployment.clients["maple"]

    def flood(number: int) -> None:
        client.api("put", "PUT", f"patients/f{number}", email=f"flood-{number}@example.org", portal_access=True)
        client.post("links by mail", "links", patient=f"f{number}", workflow="update-payment-info", delivery="email")

    threads = [threading.Thread(target=flood, args=(number,)) for number in range(60)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    other = run.deployment.clients["birch"]
    waits = []
    for number in range(2):
        email = f"code-{number}-{secrets.token_hex(3)}@example.org"
        other.api("put", "PUT", f"patients/c{number}", email=email, portal_access=True)
        started = time.monotonic()
        other.post("codes by mail", "codes", patient=f"c{number}")
        mail = host.mail_to(email, 30)
        waits.append((mail.at if mail else time.monotonic()) - started)
    run.expect(max(waits) < stretched(5), f"a code of the neighbour waited {max(waits):.0f} s behind bulk mail")
    yield 0.1
    host.well()
