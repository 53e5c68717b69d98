"""Queueing messages as issuing does, for tests of the outbox and its worker."""

from __future__ import annotations

import json
from importlib import resources

import redis

from authsvc.store.connection import practice_prefix

WEEK_MS = 7 * 86_400_000
PRELUDE = (resources.files("authsvc.store") / "lua" / "lib.lua").read_text(encoding="utf-8")


def enqueue(client: redis.Redis, message_id: str, *, now_ms: int, practice: str = "maple", **changes: object) -> None:
    """Queue a message with the prelude's own `enqueue`, and enter the practice among those there are."""
    message = {
        "id": message_id,
        "kind": "code",
        "channel": "email",
        "patient": "pat_1",
        "to": "sealed-address",
        "body": "sealed-body",
        "locale": "en",
        "until_ms": now_ms + 600_000,
        "void": False,
    } | changes
    args = {"now": now_ms, "delivery_ttl_ms": WEEK_MS, "m": message}
    client.eval(f"{PRELUDE}\nenqueue(a.m)\nreturn answer({{}})", 1, practice_prefix(practice), json.dumps(args))
    client.sadd("authsvc:{@practices}:all", practice)
