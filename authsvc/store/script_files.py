"""The Lua files of the scripts, and the arguments that each takes.

The head of each file in `lua/` is read here. `uses:` names the parts of `lua/lib/` that go in front, and those alone,
since Redis runs them at every call; `events:` the audit entries that it may append; `reads:` the list that it reads, if
it changes nothing; `args:` its arguments in their order, with `:int` for a number and `*n` for rows with n columns;
`unconfirmed:` a kind of credential and the arguments that name caller and credential (`unconfirmed.py`). Arguments
travel as plain ARGV: Redis reads a JSON document at ten times the cost.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from importlib import resources
from typing import Any, Final

LUA: Final = resources.files("authsvc.store") / "lua"

_HEAD = re.compile(r"^-- (uses|events|reads|args|unconfirmed): ?(.*)$", re.MULTILINE)
_ARGUMENT = re.compile(r"(?P<name>\w+)(?::(?P<int>int)|\*(?P<width>\d))?")
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
    head: dict[str, list[str]] = {"uses": [], "events": [], "reads": [], "args": [], "unconfirmed": []}
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
