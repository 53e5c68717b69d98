"""The outbox as tests see it: queueing messages as scripts do, and reading what is queued."""

from __future__ import annotations

from typing import Any

import redis

from authsvc.store.connection import practice_prefix
from authsvc.store.outbox import Entry, Recipient

WEEK_MS = 7 * 86_400_000
FIELDS = ("id", "kind", "channel", "patient", "address", "body", "locale", "until", "queued", "nobody", "basis")
PATIENT_ADDRESS = 0  # place of the sealed address in a patient's record


def enqueue(client: redis.Redis, message_id: str, *, now_ms: int, practice: str = "maple", **changes: Any) -> None:
    """Queue a mail with the scripts' own `enqueue_mail`, for a patient on file, and enter the practice among all."""
    from authsvc.store.script_files import library

    message = {
        "id": message_id,
        "kind": "code",
        "channel": "email",
        "patient": "pat_1",
        "address": "sealed-address",
        "body": "sealed-body",
        "locale": "en",
        "until": now_ms + 600_000,
        "nobody": "",
        "basis": "",
        "queue": "codes",
    } | changes
    prefix = practice_prefix(practice)
    names = [name for name in message if name != "queue"]
    fields = ", ".join(f"['{name}'] = ARGV[{at}]" for at, name in enumerate(names, start=4))
    script = (
        "local now, now_text, clock_offset, call_id, delivery_ms = tonumber(ARGV[1]), ARGV[1], 0, '', ARGV[2]\n"
        f"{library(['outbox'])}\nlocal message = {{{fields}}}\n"
        "if ARGV[3] == 'logouts' then enqueue(ARGV[3], message) else enqueue_mail(ARGV[3], message) end return 1"
    )
    client.eval(
        script, 2, prefix, f"{prefix}audit", now_ms, WEEK_MS, message["queue"], *[message[name] for name in names]
    )
    if message["patient"] and not client.exists(f"{prefix}patient:{message['patient']}"):
        client.set(f"{prefix}patient:{message['patient']}", "sealed-address\nmailbox\nlabel\nen\n1\n0\n0\n0\n")
    client.sadd("authsvc:{@practices}:all", practice)


def queued(client: Any, practice: str = "maple", *queues: str) -> list[dict[str, str]]:
    """What is queued for the worker, oldest first, still sealed."""
    prefix = practice_prefix(practice)
    found = []
    for queue in queues or ("codes", "mails"):
        for entry_id, fields in client.xrange(prefix + queue):
            message = dict(zip(FIELDS, fields["m"].split("\n"), strict=False))
            at_ms, _, number = entry_id.partition("-")
            order = (int(message["queued"]), int(at_ms), int(number))
            found.append((order, {**message, "entry": entry_id, "queue": queue, "record": fields["m"]}))
    return [message for _, message in sorted(found, key=lambda one: one[0])]


def recipient(client: Any, message: dict[str, str], practice: str = "maple") -> Recipient:
    """Whom the worker would send a queued message to."""
    if message["address"]:
        return Recipient(message["patient"], message["address"])
    prefix, patient = practice_prefix(practice), message["patient"]
    patient = client.get(f"{prefix}merged:{patient}") or patient
    record = client.get(f"{prefix}patient:{patient}")
    return Recipient(patient, record.split("\n")[PATIENT_ADDRESS] if record else "")


def entry(message: dict[str, str]) -> Entry:
    """A queued message as the worker takes it."""
    return Entry.of(message["queue"], message["entry"], "0", message["record"])
