"""Packed records: one field a line, in a fixed order (`lua/lib/base.lua` says why)."""

from __future__ import annotations

from authsvc.model import Session

JKT = 14  # its place among the fields


def session(text: str) -> Session:
    """A session as a script replies it: the fields of lua/lib/sessions.lua, and its sid behind them."""
    fields = text.split("\n")
    patient, client, audience, channel, opened, used, generation, generation_at, _, expires, scope = fields[:11]
    return Session(
        id=fields[-1],
        patient=patient,
        client=client,
        audience=audience,
        channel=channel,
        opened_ms=int(opened),
        used_ms=int(used),
        generation=int(generation),
        generation_ms=int(generation_at),
        expires_ms=int(expires),
        scope=scope,
        jkt=fields[JKT] if len(fields) > JKT + 1 else "",
        guardian=fields[JKT + 1] if len(fields) > JKT + 2 else "",
    )
