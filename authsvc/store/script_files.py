"""The Lua files of the scripts, and the arguments that each takes.

The head of each file in `lua/` is read here. `uses:` names the parts of `lua/lib/` that go in front, and of them only
what the script reaches, since Redis makes every function of a script anew at each call; `events:` the audit entries
that it may append; `reads:` the list that it reads, if it changes nothing; `args:` its arguments in their order, with
`:int` for a number and `*n` for rows with n columns; `unconfirmed:` a kind of credential, the arguments that name
caller and credential, and `call_id` or `now`, by which its record names the call that used it (`unconfirmed.py`);
`seldom:` the functions that it rarely calls (`script_text.py`).
Arguments travel as plain ARGV: Redis reads a JSON document at ten times the cost.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import resources
from typing import Any, Final

from authsvc.model import Bucket
from authsvc.store.script_records import expanded, with_fields_used
from authsvc.store.script_text import needed, with_arguments, without_constants, without_helpers

LUA: Final = resources.files("authsvc.store") / "lua"

_HEADINGS: Final = ("uses", "events", "reads", "args", "unconfirmed", "seldom")
_HEAD = re.compile(rf"^-- ({'|'.join(_HEADINGS)}): ?(.*)$", re.MULTILINE)
_ARGUMENT = re.compile(r"(?P<name>\w+)(?::(?P<int>int)|\*(?P<width>\d))?")
_SPLIT: Final = "\n-- the script itself\n"
ANY_EVENT: Final = "*"


class Script:
    """One Lua file behind the parts that it uses, known to the server by its SHA-1."""

    def __init__(self, name: str) -> None:
        text = (LUA / f"{name}.lua").read_text(encoding="utf-8")
        head = _head(text)
        self.events = tuple(head["events"])
        self.is_list_read = bool(head["reads"])
        self._arguments = [_argument(word) for word in head["args"]]
        self.uses_up = tuple(head["unconfirmed"])
        self.source = self._assembled(expanded(text), head)
        self.sha = hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()

    def arguments(self, values: Mapping[str, Any]) -> list[str | int | float | bytes]:
        """ARGV behind the first ones that every script has. Raises KeyError for a missing or unknown argument."""
        flat: list[str | int | float | bytes] = []
        for argument in self._arguments:
            value = values[str(argument["name"])]
            if argument["width"]:
                flat.append(len(value))
                for row in value:
                    cells = _bucket_row(row) if isinstance(row, Bucket) else row if isinstance(row, tuple) else (row,)
                    flat += [_plain(cell) for cell in cells]
            else:
                flat.append(_plain(value))
        if len(values) != len(self._arguments):
            raise KeyError(*(values.keys() - {argument["name"] for argument in self._arguments}))
        return flat

    def mark(self, prefix: str, args: Mapping[str, Any], call_id: str, now_ms: int) -> str:
        """The key under which this call of it is remembered as unconfirmed."""
        kind, *names = self.uses_up
        values = {**args, "call_id": call_id, "now": now_ms}
        return ",".join([f"{prefix}unconfirmed:{kind}", *(str(_plain(values[name])) for name in names)])

    def _assembled(self, text: str, head: Mapping[str, list[str]]) -> str:
        """The script's own text behind what it needs, with its arguments where they are used or as local variables."""
        values = {"now_text": "ARGV[1]", "call_id": "ARGV[3]", "audit_text": "ARGV[4]"}
        numbers = {"now": 1, "clock_offset": 2}
        parts: list[str] = []
        at = 5
        if self.events == (ANY_EVENT,):
            values["event"] = "ARGV[5]"
            parts.append("local function mac_of(event) return ARGV[6] end")
            at += 2
        else:
            parts.append(_mac_of(self.events, at))
            at += len(self.events)
        lists = [argument for argument in self._arguments if argument["width"]]
        for argument in self._arguments:
            if not argument["width"]:
                if argument["int"]:
                    numbers[str(argument["name"])] = at
                else:
                    values[str(argument["name"])] = f"ARGV[{at}]"
                at += 1
        if self.uses_up:
            kind, *names, _ = self.uses_up
            joined = ", ".join([f"KEYS[1] .. 'unconfirmed:{kind}'", *names, "used_by"])
            parts.append(f"local function unconfirmed_key(used_by) return table.concat({{{joined}}}, ',') end")
        rows: list[str] = []
        start = str(at)
        for number, argument in enumerate(lists, start=1):
            reader, text_of_reader = _reader(argument)
            if text_of_reader not in rows:
                rows.append(text_of_reader)
            rows.append(f"local {argument['name']}, end_{number} = {reader}({start}, {argument['width']})")
            start = f"end_{number}"
        library_text = needed("\n".join([*parts, library(head["uses"])]), text)
        library_text, text = without_helpers(without_constants(library_text + _SPLIT + text)).split(_SPLIT)
        body = with_fields_used(needed(library_text, text, head["seldom"]) + text)
        return "\n".join([*rows, with_arguments(body, values, numbers)])


@cache
def script(name: str) -> Script:
    """The script `lua/<name>.lua`, read once a process."""
    return Script(name)


def load_all() -> None:
    """Read every script. A server does so before it serves: later a file descriptor may be lacking (EMFILE), or the
    files may be those of another version. About 0.5 s."""
    for file in LUA.iterdir():
        name, _, kind = file.name.partition(".")
        if kind == "lua":
            script(name)


_ROWS = """local function rows(at, width)
  local found, count = {}, tonumber(ARGV[at])
  for row = 1, count do
    found[row] = {unpack(ARGV, at + 1 + (row - 1) * width, at + row * width)}
  end
  return found, at + 1 + count * width
end"""

# The buckets of lib/limits.lua.
_BUCKETS = """local function buckets(at, width)
  local found, behind = {}, at + 1 + ARGV[at] * width
  for first = at + 1, behind - 1, width do
    found[#found + 1] = {ARGV[first], KEYS[1] .. 'limit:' .. ARGV[first + 1], tonumber(ARGV[first + 2]),
      tonumber(ARGV[first + 3]), ARGV[first + 4], '', 0}
  end
  return found, behind
end"""


def _reader(argument: Mapping[str, str | None]) -> tuple[str, str]:
    """The name of the function that reads an argument with rows, and its text."""
    return ("buckets", _BUCKETS) if str(argument["name"]).endswith("limits") else ("rows", _ROWS)


def _bucket_row(bucket: Bucket) -> tuple[str, str, int, int, str]:
    """Policy, name, and in ms what one act takes and what all of the quota take; what the caller is shown of it."""
    policy, of, quota, window_s, shown = bucket
    step_ms = -(-window_s * 1000 // quota)
    return policy, f"{policy}:{of}", step_ms, step_ms * quota, f"{policy} {quota} {window_s}" if shown else ""


def _argument(word: str) -> dict[str, str | None]:
    found = _ARGUMENT.fullmatch(word)
    if found is None:
        raise ValueError(f"no argument of a script: {word}")
    return found.groupdict()


def _head(text: str) -> dict[str, list[str]]:
    head: dict[str, list[str]] = {name: [] for name in _HEADINGS}
    for name, words in _HEAD.findall(text):
        head[name] += words.split()
    return head


def library(names: Iterable[str]) -> str:
    """The text of these parts of `lua/lib/`, those that they use included."""
    return expanded("\n".join(_parts(names)))


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


def _mac_of(events: Iterable[str], at: int) -> str:
    cases = "".join(f" if event == '{event}' then return ARGV[{at + n}] end" for n, event in enumerate(events))
    return f"local function mac_of(event){cases} end"


def _plain(value: Any) -> str | int | float | bytes:
    if value is None or value is False:
        return ""
    plain: str | int | float | bytes = 1 if value is True else value
    return plain
