"""Running scripts: one call is one script in one slot, so that a check and the change it guards can't be parted."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Final

from authsvc.audit import Event, Recorder
from authsvc.errors import NotReplicated, Unavailable
from authsvc.model import RequestContext
from authsvc.ports import Clock
from authsvc.store.connection import Connection, practice_prefix
from authsvc.store.script_errors import limit_states, refusal
from authsvc.store.script_files import Script, script
from authsvc.store.unconfirmed import UnconfirmedCalls

UNKNOWN: Final = frozenset(
    (
        *("challenge-gone", "link-gone", "link-unknown", "patient-not-found", "session-not-found"),
        *("invalid-refresh-token", "invalid-authorization-code"),
    )
)
"""Refusals that an emptied store would give to everybody: before one is told, the keys are looked for."""

Reply = Mapping[str, Any]
"""Names and values of a script's answer: text, numbers or lists."""


class ScriptRunner:
    """Runs scripts for the stores of one noun each: adds what every call has, records, and raises refusals."""

    def __init__(
        self,
        connection: Connection,
        clock: Clock,
        recorder: Recorder,
        check_keys: Callable[[], None] = lambda: None,
        took: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        """`check_keys` raises where this process has keys that the store hasn't: then what is unknown may be lost.
        `took` is told the seconds that each script took, failed ones included."""
        self._connection = connection
        self._clock = clock
        self._recorder = recorder
        self.check_keys = check_keys
        self._took = took
        self.unconfirmed = UnconfirmedCalls(connection, clock)

    def run(self, name: str, context: RequestContext, *, durable: bool = False, **args: Any) -> Reply:
        """Run lua/<name>.lua in the slot of the context's practice.

        `durable` changes also wait for a replica, where replicas are configured. Raises what the refusal means, and
        Unavailable.
        """
        now_ms, details = self._clock.now_ms(), context.audit_details
        text = self._recorder.text(now_ms, context.actor, context.audit_call, details, context.reason)
        called, call_id, prefix = script(name), context.next_script_id(), practice_prefix(context.practice.id)
        marks = {called.mark(prefix, args, call_id, now_ms)} if called.uses_up else set()
        try:
            if marks:
                self.unconfirmed.write(prefix)
            reply = self._evaluate(called, context.practice.id, call_id, now_ms, text, durable, args)
        except Unavailable as error:
            self._unanswered(context, marks if durable else set(), error)
            raise
        self._recorder.log(context, reply.get("recorded", ()))
        context.limits.extend(limit_states(reply))
        if "err" in reply:
            if reply["err"] in UNKNOWN:
                self.check_keys()
            raise refusal(reply)
        if durable:
            context.used_up.update(marks)
        return reply

    def run_in_parts(self, name: str, context: RequestContext, durable: bool = False, **args: Any) -> Iterator[Reply]:
        """The same for a script that does a part at a time, so that Redis serves others in between: it is run until it
        replies no `more`. Limits are charged once. A call that was cut off is simply called again."""
        while True:
            reply = self.run(name, context, durable=durable, **args)
            yield reply
            if "more" not in reply:
                return
            args |= {name: value for name, value in (("limits", []), ("after", reply["more"])) if name in args}

    def _unanswered(self, context: RequestContext, marks: set[str], error: Unavailable) -> None:
        """The call will be answered 503: what it has used up before is as unconfirmed as this script."""
        self.unconfirmed.add(context.used_up | marks)
        if isinstance(error, NotReplicated):  # Redis is there: a repeat may come at once, to another process
            with suppress(Unavailable):
                self.unconfirmed.write(practice_prefix(context.practice.id))

    def run_for_site(
        self,
        name: str,
        slot: str,
        call_id: str,
        *,
        actor: str = "",
        reason: str = "",
        event: Event | None = None,
        details: Mapping[str, str] | None = None,
        durable: bool = False,
        **args: Any,
    ) -> Reply:
        """The same in a slot of the site, such as `@keys`. `event` and its `details` are recorded if the script says
        so. A refusal is left to the caller, as `err`."""
        now_ms = self._clock.now_ms()
        text = self._recorder.text(now_ms, actor, f"-{call_id}", details, reason)
        reply = self._evaluate(script(name), slot, call_id, now_ms, text, durable, args, event)
        for recorded, _ in reply.get("recorded", ()):
            self._recorder.log_site(recorded, actor=actor, reason=reason, **(details or {}))
        return reply

    def _evaluate(
        self,
        called: Script,
        slot: str,
        call_id: str,
        now_ms: int,
        audit_text: str,
        durable: bool,
        args: Mapping[str, Any],
        event: Event | None = None,
    ) -> Reply:
        argv: list[Any] = [now_ms, self._connection.clock_offset_ms, call_id, audit_text if called.events else ""]
        if event is not None:
            argv += [event.value, self._recorder.mac(slot, audit_text, event.value)]
        else:
            counted = args.get("limits") != () or "storage_max" in args
            argv += [
                self._recorder.mac(slot, audit_text, known) if counted or known != Event.LIMITED else ""
                for known in called.events
            ]
        argv += called.arguments(args)
        prefix = practice_prefix(slot)
        start = time.perf_counter()
        try:
            flat = self._connection.evaluate(
                called.source, called.sha, (prefix, f"{prefix}audit"), argv, durable, list_read=called.is_list_read
            )
        finally:
            self._took(time.perf_counter() - start)
        return dict(zip(flat[::2], flat[1::2], strict=True))
