"""The Lua scripts: one call is one script in one slot, so that a check and the change it guards can't be parted.

The head of each file in `lua/` is read here. `uses:` names the parts of `lua/lib/` that go in front, and those alone,
since Redis runs them at every call; `events:` the audit entries that the script may append; `args:` its arguments in
their order, with `:int` for a number and `*n` for a list of rows with n columns; `unconfirmed:` a kind of credential
and the arguments that name caller and credential (`unconfirmed.py`). Arguments travel as plain ARGV: Redis reads a
JSON document at ten times the cost.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from importlib import resources
from typing import Any, Final

from authsvc.audit import Event, Recorder
from authsvc.errors import NotReplicated, Unavailable
from authsvc.model import LimitState, RequestContext
from authsvc.ports import Clock
from authsvc.store.connection import Connection, practice_prefix
from authsvc.store.script_errors import refusal
from authsvc.store.unconfirmed import UnconfirmedCalls

LUA: Final = resources.files("authsvc.store") / "lua"

_HEAD = re.compile(r"^-- (uses|events|args|unconfirmed): ?(.*)$", re.MULTILINE)
_ARGUMENT = re.compile(r"(?P<name>\w+)(?::(?P<int>int)|\*(?P<width>\d))?")
ANY_EVENT: Final = "*"

Reply = Mapping[str, Any]
"""Names and values of a script's answer: text, numbers or lists."""


class Script:
    """One Lua file behind the parts that it uses, known to the server by its SHA-1."""

    def __init__(self, name: str) -> None:
        text = (LUA / f"{name}.lua").read_text(encoding="utf-8")
        head = _head(text)
        self.events = tuple(head["events"])
        self._arguments = [_argument(word) for word in head["args"]]
        self.uses_up = tuple(head["unconfirmed"])
        parts = [*_parts(head["uses"]), text]
        self.source = "\n".join([self._locals(), *parts])
        self.sha = hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()

    def arguments(self, values: Mapping[str, Any]) -> list[str | int | float | bytes]:
        """ARGV behind the first ones that every script has. Raises KeyError for a missing or unknown argument."""
        flat: list[str | int | float | bytes] = []
        for argument in self._arguments:
            value = values[str(argument["name"])]
            if argument["width"]:
                flat.append(len(value))
                for row in value:
                    flat += [_plain(cell) for cell in (row if isinstance(row, tuple) else (row,))]
            else:
                flat.append(_plain(value))
        if len(values) != len(self._arguments):
            raise KeyError(*(values.keys() - {argument["name"] for argument in self._arguments}))
        return flat

    def mark(self, prefix: str, args: Mapping[str, Any]) -> str:
        """The key under which a call of it is remembered as unconfirmed."""
        kind, *names = self.uses_up
        return ",".join([f"{prefix}unconfirmed:{kind}", *(str(_plain(args[name])) for name in names)])

    def _locals(self) -> str:
        """The arguments as local variables of Lua."""
        lines = ["local now, call_id, audit_text = tonumber(ARGV[1]), ARGV[2], ARGV[3]"]
        at = 4
        if self.events == (ANY_EVENT,):
            lines.append(f"local event = ARGV[{at}] local macs = {{[event] = ARGV[{at + 1}]}}")
            at += 2
        else:
            macs = ", ".join(f"['{event}'] = ARGV[{at + number}]" for number, event in enumerate(self.events))
            lines.append(f"local macs = {{{macs}}}")
            at += len(self.events)
        lists = [argument for argument in self._arguments if argument["width"]]
        for argument in self._arguments:
            if not argument["width"]:
                value = f"ARGV[{at}]"
                lines.append(f"local {argument['name']} = {f'tonumber({value})' if argument['int'] else value}")
                at += 1
        if lists:
            lines.append(_ROWS)
        start = str(at)
        for number, argument in enumerate(lists, start=1):
            lines.append(f"local {argument['name']}, end_{number} = rows({start}, {argument['width']})")
            start = f"end_{number}"
        if self.uses_up:
            kind, *names = self.uses_up
            parts = ", ".join([f"KEYS[1] .. 'unconfirmed:{kind}'", *names])
            lines.append(f"local function unconfirmed_key() return table.concat({{{parts}}}, ',') end")
        return "\n".join(lines)


_ROWS = """local function rows(at, width)
  local found, count = {}, tonumber(ARGV[at])
  for row = 1, count do
    found[row] = {unpack(ARGV, at + 1 + (row - 1) * width, at + row * width)}
  end
  return found, at + 1 + count * width
end"""


def _argument(word: str) -> dict[str, str | None]:
    found = _ARGUMENT.fullmatch(word)
    if found is None:
        raise ValueError(f"no argument of a script: {word}")
    return found.groupdict()


def _head(text: str) -> dict[str, list[str]]:
    head: dict[str, list[str]] = {"uses": [], "events": [], "args": [], "unconfirmed": []}
    for name, words in _HEAD.findall(text):
        head[name] += words.split()
    return head


def _parts(names: Iterable[str]) -> list[str]:
    """The parts with those that they use themselves, each once, in the order in which they build on each other."""
    found: dict[str, str] = {}

    def add(name: str) -> None:
        if name not in found:
            text = (LUA / "lib" / f"{name}.lua").read_text(encoding="utf-8")
            for used in _head(text)["uses"]:
                add(used)
            found[name] = text

    for name in ("base", *names):
        add(name)
    return list(found.values())


def _plain(value: Any) -> str | int | float | bytes:
    if value is None or value is False:
        return ""
    plain: str | int | float | bytes = 1 if value is True else value
    return plain


class ScriptRunner:
    """Runs scripts for the stores of one noun each: adds what every call has, records, and raises refusals."""

    def __init__(self, connection: Connection, clock: Clock, recorder: Recorder) -> None:
        self._connection = connection
        self._clock = clock
        self._recorder = recorder
        self.unconfirmed = UnconfirmedCalls(connection, clock)
        self._scripts: dict[str, Script] = {}

    def run(self, name: str, context: RequestContext, *, durable: bool = False, **args: Any) -> Reply:
        """Run lua/<name>.lua in the slot of the context's practice.

        `durable` changes also wait for a replica, where replicas are configured. Raises what the refusal means, and
        Unavailable.
        """
        now_ms, details = self._clock.now_ms(), context.audit_details
        text = self._recorder.text(now_ms, context.actor, context.audit_call, details, context.reason)
        script, call_id = self._script(name), context.next_script_id()
        prefix = practice_prefix(context.practice.id)
        marks = {script.mark(prefix, args): f"{call_id}|{now_ms}"} if script.uses_up else {}
        try:
            if marks:
                self.unconfirmed.write(prefix)
            reply = self._evaluate(script, context.practice.id, call_id, now_ms, text, durable, args)
        except Unavailable as error:
            self._unanswered(context, marks if durable else {}, error)
            raise
        self._recorder.log(context, reply.get("recorded", ()))
        context.limits.extend(LimitState(*state) for state in reply.get("limits", ()))
        if "err" in reply:
            raise refusal(reply)
        if durable:
            context.used_up.update(marks)
        return reply

    def _unanswered(self, context: RequestContext, marks: Mapping[str, str], error: Unavailable) -> None:
        """The whole call will be answered 503: what it has used up before is as unconfirmed as this script."""
        self.unconfirmed.add({**context.used_up, **marks})
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
        reply = self._evaluate(self._script(name), slot, call_id, now_ms, text, durable, args, event)
        for recorded, _ in reply.get("recorded", ()):
            self._recorder.log_site(recorded, actor=actor, reason=reason, **(details or {}))
        return reply

    def _script(self, name: str) -> Script:
        known = self._scripts.get(name)
        return known if known is not None else self._scripts.setdefault(name, Script(name))

    def _evaluate(
        self,
        script: Script,
        slot: str,
        call_id: str,
        now_ms: int,
        audit_text: str,
        durable: bool,
        args: Mapping[str, Any],
        event: Event | None = None,
    ) -> Reply:
        argv: list[Any] = [now_ms, call_id, audit_text if script.events else ""]
        if event is not None:
            argv += [event.value, self._recorder.mac(slot, audit_text, event.value)]
        else:
            counted = args.get("limits") != ()
            argv += [
                self._recorder.mac(slot, audit_text, known) if counted or known != Event.LIMITED else ""
                for known in script.events
            ]
        argv += script.arguments(args)
        prefix = practice_prefix(slot)
        flat = self._connection.evaluate(script.source, script.sha, (prefix, f"{prefix}audit"), argv, durable)
        return dict(zip(flat[::2], flat[1::2], strict=True))
