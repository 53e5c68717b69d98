"""What `authsvc worker` does: empties the outbox, tells clients of ended sessions, and seals the audit trail behind the
acts.

It is wired here rather than in `wiring`, because nothing that answers a request needs a mail host or calls a client.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Final

from authsvc.config.limits import Limits
from authsvc.crypto import addresses
from authsvc.delivery.backchannel import BackchannelSender
from authsvc.delivery.outbox_worker import Worker, run_workers
from authsvc.delivery.senders import sender_for
from authsvc.delivery.smtp import EmailSender
from authsvc.errors import Fault, InvalidInput
from authsvc.flows.backchannel_logout import BackchannelLogout
from authsvc.flows.polling import Poller
from authsvc.model import Message, Practice
from authsvc.ports import Sender
from authsvc.store.inbox import Inbox
from authsvc.store.outbox import LOGOUTS, MailCap
from authsvc.wiring import Service

SENDERS: Final = 2  # mails under way at once: each has a connection of its own; more processes give more
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
        return run_workers([*(_worker(service) for _ in range(SENDERS)), _teller(service)], stop)
    finally:
        for poller in (audit_sealer, key_poller):
            poller.stop()


def probe(service: Service) -> str:
    """Connect to the mail host and log in; what was found. Raises DeliveryDeferred, whose detail says what failed."""
    found = sender(service)
    if not isinstance(found, EmailSender):
        return f"{service.settings.mail_url.partition(':')[0]}: a sink for development, nothing leaves the machine"
    found.probe()
    found.close()
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


def _worker(service: Service) -> Worker:
    return Worker(
        service.outbox,
        {"email": sender(service)},
        service.deps.messages.open,
        service.practices.get,
        service.clock,
        service.entropy,
        practice_cap=_cap(service.limits, "mails-practice"),
        site_cap=_cap(service.limits, "mails-all"),
        on_event=lambda name, facts: _count(service, name, facts),
    )


def _teller(service: Service) -> Worker:
    """The worker of the logouts. One is enough for all clients: one that doesn't answer is left alone for a while."""
    logouts = BackchannelLogout(service.clients, service.signing_keys, service.clock, service.settings)
    return Worker(
        service.outbox,
        {"backchannel": BackchannelSender(service.clock)},
        logouts.open,
        service.practices.get,
        service.clock,
        service.entropy,
        on_event=lambda name, _: service.metrics.count("logouts", state=name.removeprefix("logout_")),
        carries="logout",
        queues=(LOGOUTS,),
    )


def _cap(limits: Limits, policy: str) -> MailCap:
    known = limits.policies[policy]
    return MailCap(known.quota, known.window_s, limits.typed_share)


def _count(service: Service, name: str, facts: Mapping[str, str | int]) -> None:
    service.metrics.count("mails", kind=str(facts["kind"]), state=name.removeprefix("mail_"))
