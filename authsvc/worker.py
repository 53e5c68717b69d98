"""What `authsvc worker` does: empties the outbox, tells clients of ended sessions, and seals the audit trail behind the
acts.

It is wired here rather than in `wiring`, because nothing that answers a request needs a mail host or calls a client.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from functools import partial
from typing import Final

from authsvc.config.limits import Limits
from authsvc.crypto import addresses
from authsvc.delivery.backchannel import BackchannelSender
from authsvc.delivery.mail_counts import MailCounts
from authsvc.delivery.mail_host import ADVICE
from authsvc.delivery.outbox_worker import Worker, run_workers
from authsvc.delivery.senders import sender_for
from authsvc.delivery.smtp import EmailSender
from authsvc.errors import DeliveryDeferred, Fault, InvalidInput
from authsvc.flows.backchannel_logout import BackchannelLogout
from authsvc.flows.polling import Poller
from authsvc.model import Message, Practice
from authsvc.ports import Sender
from authsvc.store.inbox import Inbox
from authsvc.store.outbox import LOGOUTS, MailCap
from authsvc.wiring import Service

LOGOUT_CALLS: Final = 4  # under way at once
SEAL_EVERY_S: Final = 2.0  # the trail promises 5 s
TEST_LIFE_MS: Final = 60_000


def work(service: Service, stop: threading.Event) -> bool:
    """Send and seal until `stop`; True when what was in hand could be finished. Raises SettingsInvalid."""
    audit_sealer = Poller(SEAL_EVERY_S, audit_log=service.audit_log.seal_all)
    key_poller = Poller(service.settings.ring_poll_s, keys=service.signing_keys.refresh)  # logouts are signed
    key_poller.poll()
    for poller in (audit_sealer, key_poller):
        poller.start()
    try:
        return run_workers([_mail_worker(service), logout_worker(service)], stop)
    finally:
        for poller in (audit_sealer, key_poller):
            poller.stop()


def probe(service: Service) -> str:
    """Connect to the mail host, log in and ask whether we may send as our sender; what was found.

    Raises DeliveryDeferred, whose detail says what failed and what to do.
    """
    found = sender(service)
    if not isinstance(found, EmailSender):
        return f"{service.settings.mail_url.partition(':')[0]}: a sink for development, nothing leaves the machine"
    try:
        found.probe()
    except DeliveryDeferred as problem:
        raise DeliveryDeferred(f"{problem.detail} ({ADVICE[problem.cause]})", cause=problem.cause) from None
    return "the mail host answers and takes our log-in"


def send_test(service: Service, practice: Practice, address: str) -> str:
    """Send one test mail now; the mail host's answer. Raises InvalidInput, DeliveryDeferred, DeliveryRefused."""
    try:
        addresses.canonical(address)
    except ValueError as problem:
        raise InvalidInput(Fault("/address", str(problem))) from None
    now_ms = service.clock.now_ms()
    return sender(service).send(
        Message(
            id=service.deps.new_id(),
            practice=practice,
            kind="test",
            channel="email",
            to=address.strip(),
            locale=practice.locale,
            queued_at_ms=now_ms,
            until_ms=now_ms + TEST_LIFE_MS,
            expires_at_ms=now_ms + TEST_LIFE_MS,
        )
    )


def sender(service: Service) -> Sender:
    """The configured way to reach a mailbox. Raises SettingsInvalid."""
    return sender_for(service.settings, service.clock, inbox=Inbox(service.store).append)


def _mail_worker(service: Service) -> Worker:
    email = sender(service)
    smtp = email if isinstance(email, EmailSender) else None
    return Worker(
        service.outbox,
        {"email": email},
        service.deps.messages.open,
        service.practices.get,
        service.clock,
        service.entropy,
        threads=service.settings.mail_connections if smtp else 1,
        counts=MailCounts(
            service.outbox,
            practice_cap=_cap(service.limits, "mails-practice"),
            site_cap=_cap(service.limits, "mails-all"),
        ),
        on_event=partial(_count_mail, service),
        cut=smtp.cut if smtp else lambda: None,
    )


def logout_worker(service: Service, threads: int = LOGOUT_CALLS) -> Worker:
    """The worker of the queue of logouts. `threads` 0 calls clients in the thread of the caller."""
    logouts = BackchannelLogout(service.clients, service.signing_keys, service.clock, service.settings)
    return Worker(
        service.outbox,
        {"backchannel": BackchannelSender(service.clock)},
        logouts.open,
        service.practices.get,
        service.clock,
        service.entropy,
        threads=threads,
        on_event=lambda name, _: service.metrics.count("logouts", state=name.removeprefix("logout_")),
        carries="logout",
        queues=(LOGOUTS,),
    )


def _cap(limits: Limits, policy: str) -> MailCap:
    known = limits.policies[policy]
    return MailCap(known.quota, known.window_s, limits.typed_share)


def _count_mail(service: Service, name: str, facts: Mapping[str, str | int]) -> None:
    service.metrics.count("mails", kind=str(facts["kind"]), state=name.removeprefix("mail_"))
    if "cause" in facts:
        service.metrics.count("mails_deferred", cause=str(facts["cause"]))
