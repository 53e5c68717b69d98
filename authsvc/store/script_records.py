"""The functions of Lua that pack and unpack records.

`fields{…}` becomes two functions that are written out for these fields, at a third of the cost of a loop. `read`,
`write` and `rewrite` are given the one that they need. Where a record is only read, what no line of the script mentions
stays packed: a session of 16 fields costs half as much where five of them are looked at.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

from authsvc.store.script_text import variables

_FIELDS = re.compile(r"^local ([A-Z_]+) = fields\{([^}]*)\}", re.MULTILINE)
_COMMENT = re.compile(r"^--.*\n|(?<=\s)--(?!\[).*$", re.MULTILINE)
_PACKED = re.compile(r"\b(read|write|rewrite)\(([A-Z_]+)(?=, )")
_PACKS = re.compile(r"\b([A-Z_]+)\.(unpack|pack)\(")
_UNPACK = re.compile(r"local function ([A-Z_]+)_unpack\(text\)\n.*\n.*\n *return \{([^}]*)\}\n *end\n")
_PACKED_FIELD = re.compile(r"r\['\w+'\] or ''")
_FIELD = re.compile(r"\.([a-z]\w*)\b|\['(\w+)'\]")
LUA_CAPTURES_MAX: Final = 32


def expanded(text: str) -> str:
    """Without comments, and with the functions that `fields{…}` stands for. Raises ValueError for too many fields."""
    text = _FIELDS.sub(lambda found: _record(found[1], re.findall(r"\w+", found[2])), _COMMENT.sub("", text))
    text = _PACKED.sub(lambda found: f"{found[1]}({found[2]}_{'unpack' if found[1] == 'read' else 'pack'}", text)
    return _PACKS.sub(r"\1_\2(", text)


def with_fields_used(text: str) -> str:
    """With unpacking of what the script mentions, for records that it doesn't pack again."""
    packed = variables(text)
    names = {name for found in _FIELD.findall(_PACKED_FIELD.sub("", _UNPACK.sub("", text))) for name in found}

    def cut(found: re.Match[str]) -> str:
        if f"{found[1]}_pack" in packed:
            return found[0]
        *fields, _ = re.findall(r"\['(\w+)'\]", found[2])
        return _unpack(found[1], fields, names.intersection(fields) or fields[:1])

    return _UNPACK.sub(cut, text)


def _record(name: str, fields: list[str]) -> str:
    if len(fields) > LUA_CAPTURES_MAX - 1:
        raise ValueError(f"{name} has more fields than a pattern of Lua has captures")
    packed = ", ".join(f"r['{field}'] or ''" for field in fields)
    # Whole numbers below 10^14 are written as they are by table.concat.
    return f"""{_unpack(name, fields, fields, more=True)}local function {name}_pack(r)
  local text = table.concat({{{packed}}}, '\\n')
  if r.more and r.more ~= '' then text = text .. '\\n' .. r.more end
  return text
end"""


def _unpack(name: str, fields: list[str], wanted: Collection[str], more: bool = False) -> str:
    """`more` are the fields that a newer version has added. A record of an older one has fewer."""
    while fields and fields[-1] not in wanted:
        fields = fields[:-1]
    values = [f"v{at}" for at, field in enumerate(fields) if field in wanted]
    pattern = r"\n".join("([^\\n]*)" if field in wanted else "[^\\n]*" for field in fields)
    table = [f"['{field}'] = v{at}" for at, field in enumerate(fields) if field in wanted]
    if more:
        values, pattern, table = [*values, "more"], pattern + r"\n?(.*)$", [*table, "['more'] = more"]
    return f"""local function {name}_unpack(text)
  local {", ".join(values)} = string.match(text, '^{pattern}')
  if not {values[-1]} then return {name}_unpack(text .. '\\n') end
  return {{{", ".join(table)}}}
end
"""
