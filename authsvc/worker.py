"""What `authsvc worker` does: empties the outbox by mail and by webhook, tells clients of ended sessions, and seals the
audit trail behind the acts.

It is wired here rather than in `wiring`, because nothing that answers a request needs a mail host or calls a client.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from functools import partial
from typing import Final

from authsvc.crypto import addresses
from authsvc.delivery.backchannel import BackchannelSender
from authsvc.delivery.mail_counts import MailCounts
from authsvc.delivery.mail_host import ADVICE
from authsvc.delivery.outbox_worker import Worker
from authsvc.delivery.run_workers import run_workers
from authsvc.delivery.senders import sender_for
from authsvc.delivery.smtp import EmailSender
from authsvc.delivery.webhook import WebhookSender
from authsvc.errors import DeliveryDeferred, Fault, InvalidInput
from authsvc.flows.backchannel_logout import BackchannelLogout
from authsvc.flows.polling import Poller
from authsvc.model import Message, Practice
from authsvc.ports import Sender
from authsvc.store.inbox import Inbox
from authsvc.store.outbox import LOGOUTS, WEBHOOK_CODES, WEBHOOK_WAKEUPS, WEBHOOKS, MailCap
from authsvc.wiring import Service

LOGOUT_CALLS: Final = 4  # under way at once
WEBHOOK_CALLS: Final = 32
WEBHOOK_CALLS_EACH: Final = 4  # of one practice
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
        return run_workers([_mail_worker(service), webhook_worker(service), logout_worker(service)], stop)
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
    return sender(service).send(_test_message(service, practice, "email", address.strip()))


def _test_message(service: Service, practice: Practice, channel: str, to: str) -> Message:
    now_ms = service.clock.now_ms()
    return Message(
        id=service.deps.new_id(),
        practice=practice,
        kind="test",
        channel=channel,
        to=to,
        locale=practice.locale,
        queued_at_ms=now_ms,
        until_ms=now_ms + TEST_LIFE_MS,
        expires_at_ms=now_ms + TEST_LIFE_MS,
    )


def send_webhook_test(service: Service, practice: Practice) -> str:
    """Send one test notice to the practice's webhook now; the status that it answered. Raises InvalidInput,
    DeliveryDeferred, DeliveryRefused."""
    if practice.missing_for_webhook:
        raise InvalidInput(Fault("/id", f"the practice has no webhook: {practice.missing_for_webhook}"))
    return _webhook_sender(service).send(_test_message(service, practice, "webhook", "test"))


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
        counts=_counts(service),
        on_event=partial(_count_mail, service, "mails"),
        on_waiting=service.metrics.outbox_waiting,
        cut=smtp.cut if smtp else lambda: None,
    )


def webhook_worker(service: Service, threads: int = WEBHOOK_CALLS) -> Worker:
    """The worker of what practices' own providers carry. It has threads of its own, and no practice gets all of them: a
    provider that hangs delays neither mail nor another practice's messages. `threads` as for `logout_worker`."""
    return Worker(
        service.outbox,
        {"webhook": _webhook_sender(service)},
        service.deps.messages.open,
        service.practices.get,
        service.clock,
        service.entropy,
        threads=threads,
        threads_each=WEBHOOK_CALLS_EACH,
        counts=_counts(service),
        on_event=partial(_count_mail, service, "webhooks"),
        on_waiting=service.metrics.outbox_waiting,
        carries="webhook",
        queues=(WEBHOOK_CODES, WEBHOOKS),
        wakeups=WEBHOOK_WAKEUPS,
        uses=lambda practice: bool(practice.webhook_secrets),  # they stay when the URL is taken away
    )


def _webhook_sender(service: Service) -> WebhookSender:
    return WebhookSender(service.clock, service.webhooks.target, development=not service.settings.production)


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
        on_waiting=service.metrics.outbox_waiting,
        carries="logout",
        queues=(LOGOUTS,),
        wakeups="",  # no patient waits for it, and the sweep finds it
    )


def _counts(service: Service) -> MailCounts:
    known = service.limits.policies["mails-all"]
    return MailCounts(service.outbox, MailCap(known.quota, known.window_s, service.limits.typed_share))


def _count_mail(service: Service, metric: str, name: str, facts: Mapping[str, str | int]) -> None:
    service.metrics.count(metric, kind=str(facts["kind"]), state=name.partition("_")[2])
    if "cause" in facts:
        service.metrics.count(f"{metric}_deferred", cause=str(facts["cause"]))
