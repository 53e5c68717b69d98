"""Running one script by itself."""

from __future__ import annotations

from typing import Any

from authsvc.audit import Recorder
from authsvc.model import Practice, RequestContext
from authsvc.store.connection import Connection
from authsvc.store.scripts import ScriptRunner
from tests.fakes import FakeClock


def runner_on(store: Connection) -> ScriptRunner:
    return ScriptRunner(store, FakeClock(), Recorder(lambda *entry: "mac", lambda event: None))


def charge(store: Connection, limits: Any = (), *, durable: bool = False) -> list[Any]:
    """Run `charge`, the smallest script that writes; the limits to be shown."""
    context = RequestContext("call", "cli:test", Practice("maple", "Maple"))
    runner_on(store).run("charge", context, durable=durable, recorded_event="", limits=limits)
    return context.limits
