"""The Lua files of the scripts, and the arguments that each takes.

The head of each file in `lua/` is read here. `uses:` names the parts of `lua/lib/` that go in front, and of them only
what the script reaches, since Redis makes every function of a script anew at each call; `events:` the audit entries
that it may append; `reads:` the list that it reads, if it changes nothing; `args:` its arguments in their order, with
`:int` for a number and `*n` for rows with n columns; `unconfirmed:` a kind of credential, the arguments that name
caller and credential, and `call_id` or `now`, by which its record names the call that used it (`unconfirmed.py`).
Arguments travel as plain ARGV: Redis reads a JSON document at ten times the cost. `fields{…}` becomes two functions
that are written out for these fields, at a third of the cost of a loop.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import resources
from typing import Any, Final

LUA: Final = resources.files("authsvc.store") / "lua"

_HEAD = re.compile(r"^-- (uses|events|reads|args|unconfirmed): ?(.*)$", re.MULTILINE)
_ARGUMENT = re.compile(r"(?P<name>\w+)(?::(?P<int>int)|\*(?P<width>\d))?")
# A statement at the beginning of a line with the indented lines below it, and the names that it makes if it is `local`.
_BLOCK = re.compile(r"^((?:local (?:function )?(\w+(?:, *\w+)*)|\S).*\n(?:(?:[ \t].*|end.*|)\n)*)", re.MULTILINE)
_FIELDS = re.compile(r"^local ([A-Z_]+) = fields\{([^}]*)\}", re.MULTILINE)
_COMMENT = re.compile(r"^--.*\n|(?<=\s)--(?!\[).*$", re.MULTILINE)
_WORD = re.compile(r"\b[A-Za-z_]\w*\b")
LUA_CAPTURES_MAX: Final = 32
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
        text = expanded(text)
        self.source = "\n".join([self._locals(), _needed(library(head["uses"]), text), text])
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

    def mark(self, prefix: str, args: Mapping[str, Any], call_id: str, now_ms: int) -> str:
        """The key under which this call of it is remembered as unconfirmed."""
        kind, *names = self.uses_up
        values = {**args, "call_id": call_id, "now": now_ms}
        return ",".join([f"{prefix}unconfirmed:{kind}", *(str(_plain(values[name])) for name in names)])

    def _locals(self) -> str:
        """The arguments as local variables of Lua."""
        lines = [
            "local now, clock_offset = tonumber(ARGV[1]), tonumber(ARGV[2])",
            "local call_id, audit_text = ARGV[3], ARGV[4]",
        ]
        at = 5
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
            kind, *names, _ = self.uses_up
            parts = ", ".join([f"KEYS[1] .. 'unconfirmed:{kind}'", *names, "used_by"])
            lines.append(f"local function unconfirmed_key(used_by) return table.concat({{{parts}}}, ',') end")
        return "\n".join(lines)


@cache
def script(name: str) -> Script:
    """The script `lua/<name>.lua`, read once a process."""
    return Script(name)


def load_all() -> None:
    """Read every script. A server does so before it serves: later a file descriptor may be lacking (EMFILE), or the
    files may be those of another version. About 0.2 s."""
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


def expanded(text: str) -> str:
    """Without comments, and with the functions that `fields{…}` stands for. Raises ValueError for too many fields."""
    return _FIELDS.sub(lambda found: _record(found[1], re.findall(r"\w+", found[2])), _COMMENT.sub("", text))


def _record(name: str, fields: list[str]) -> str:
    if len(fields) > LUA_CAPTURES_MAX - 1:
        raise ValueError(f"{name} has more fields than a pattern of Lua has captures")
    values = ", ".join(f"v{at}" for at in range(len(fields)))
    pattern = r"\n".join([r"([^\n]*)"] * len(fields))
    table = ", ".join(f"{field} = v{at}" for at, field in enumerate(map(_index, fields)))
    packed = ", ".join(f"r{_index(field)} or ''" for field in fields)
    # A record of an older version has fewer fields. Whole numbers below 10^14 are written as they are by table.concat.
    return f"""local {name} = {{}}
  function {name}.unpack(text)
  local {values}, more = string.match(text, '^{pattern}\\n?(.*)$')
  if not more then return {name}.unpack(text .. '\\n') end
  return {{{table}, more = more}}
end
  function {name}.pack(r)
  local text = table.concat({{{packed}}}, '\\n')
  if r.more and r.more ~= '' then text = text .. '\\n' .. r.more end
  return text
end"""


def _index(field: str) -> str:
    """As an index, since some are words of Lua, such as `until`."""
    return f"['{field}']"


def _needed(parts: str, text: str) -> str:
    """Of the parts the top-level locals that `text`, or what is needed so far, mentions; and what is no local."""
    blocks = _BLOCK.findall(parts)
    names = [set(re.split(r"[,\s]+", block[1])) if block[1] else set() for block in blocks]
    kept = [not block[1] for block in blocks]
    known = set(_WORD.findall(text)).union(*(_WORD.findall(block[0]) for block in blocks if not block[1]))
    while added := [at for at, own in enumerate(names) if not kept[at] and own & known]:
        for at in added:
            kept[at] = True
            known.update(_WORD.findall(blocks[at][0]))
    return "".join(block[0] for block, wanted in zip(blocks, kept, strict=True) if wanted)


def _plain(value: Any) -> str | int | float | bytes:
    if value is None or value is False:
        return ""
    plain: str | int | float | bytes = 1 if value is True else value
    return plain
