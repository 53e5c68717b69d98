"""Making a script's text cheap to run, so that `lua/` can be written to be read.

Redis runs the whole text of a script at each call: every function is made anew, at some 400 instructions and 200 to
1,000 more for each variable from outside that it names. So as few of them as possible are left over:

- constants and plain arguments stand where they are used: a number, a string, `ARGV[5]`
- so do `call`, `int` and `key` of `lua/lib/base.lua`
- of the parts of `lua/lib/` only what the script reaches is kept
- functions that a script names as `seldom:` are made when they are called, with all that only such functions need
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping
from functools import cache

# A statement at the beginning of a line with the indented lines below it, and the names that it makes if it is `local`.
_BLOCK = re.compile(r"^((?:local (?:function )?(\w+(?:, *\w+)*)|\S).*\n(?:(?:[ \t].*|end.*|)\n)*)", re.MULTILINE)
_TOKEN = re.compile(r"'(?:\\.|[^'\\\n])*'|[A-Za-z_]\w*|\d[\w.]*|\.\.\.?|[=~<>]=|\s+|.", re.DOTALL)
_WORD = re.compile(r"\b[A-Za-z_]\w*\b")
_BOUND = re.compile(r"\b(?:local|for) +(?!function)(\w+(?: *, *\w+)*)|\bfunction *(\w* *\([^)]*)\)")
_CONSTANT = re.compile(r"^local ([A-Z_]+) = (\d[\d.]*|'[^']*') *\n", re.MULTILINE)


def bound(text: str) -> list[str]:
    """Every name that is bound somewhere, as a local variable, a parameter or by a loop; as often as it is."""
    return [name for found in _BOUND.findall(text) for name in _WORD.findall(" ".join(found))]


@cache
def variables(text: str) -> frozenset[str]:
    """The names that are used as variables, and words of Lua."""
    tokens = _TOKEN.findall(text)
    return frozenset(tokens[at] for at in _places(tokens, frozenset(filter(_WORD.match, tokens))))


def with_values(text: str, values: Mapping[str, str]) -> str:
    """With these variables replaced by what they stand for. Fields of tables that are called alike stay."""
    tokens = _TOKEN.findall(text)
    places = _places(tokens, values.keys())
    return "".join(values[token] if at in places else token for at, token in enumerate(tokens))


def with_arguments(text: str, values: Mapping[str, str], numbers: Mapping[str, int]) -> str:
    """Arguments where they are used. Local variables are those that are called like another variable, and numbers that
    are used more than once: `numbers` are their places in ARGV."""
    taken, tokens = set(bound(text)), _TOKEN.findall(text)
    used = Counter(tokens[at] for at in _places(tokens, {*values, *numbers}))
    here = {name: value for name, value in values.items() if name not in taken}
    here |= {name: f"(ARGV[{at}] + 0)" for name, at in numbers.items() if used[name] == 1 and name not in taken}
    lines = [f"local {name} = {value}" for name, value in values.items() if used[name] and name not in here]
    lines += [f"local {name} = ARGV[{at}] + 0" for name, at in numbers.items() if used[name] and name not in here]
    return "\n".join([*lines, with_values(text, here)])


def _places(tokens: list[str], names: Collection[str]) -> set[int]:
    """Where one of these names is a variable: no field (`r.name`), no name of a table's member (`{name = 1}`)."""
    found, brackets = set(), ["("]
    solid = [at for at, token in enumerate(tokens) if not token.isspace()]
    for number, at in enumerate(solid):
        token = tokens[at]
        if token in "({[":
            brackets.append(token)
        elif token in ")}]":
            brackets.pop()
        elif token in names:
            before = tokens[solid[number - 1]] if number else ""
            after = tokens[solid[number + 1]] if number + 1 < len(solid) else ""
            if before not in (".", ":") and not (after == "=" and brackets[-1] == "{" and before in "{,"):
                found.add(at)
    return found


def without_constants(text: str) -> str:
    """With each constant's value in its place."""
    values = dict(_CONSTANT.findall(text))
    return with_values(_CONSTANT.sub("", text), values)


def without_helpers(text: str) -> str:
    """With what `call`, `int` and `key('name', …)` do in their place."""
    tokens = _TOKEN.findall(without_blocks(text, ("call", "int")))
    places = _places(tokens, {"call", "int", "key"})
    written: list[str] = []
    closing: list[str] = []
    at = 0
    while at < len(tokens):
        token = tokens[at]
        follow = tokens[at + 1 : at + 4]
        if at in places and token == "key" and follow[0] == "(" and follow[1][0] == "'" and follow[2] == ",":
            written.append(f"(KEYS[1] .. {follow[1][:-1]}:' .. (")
            closing.append("))")
            at += 5 if tokens[at + 4].isspace() else 4
            continue
        if at in places and token == "call":
            written.append("redis.call")
        elif at in places and token == "int":
            written.append("string.format('%d', ")
            closing.append(")")
            at += 1
        elif token == "(":
            written.append(token)
            closing.append(")")
        elif token == ")":
            written.append(closing.pop())
        else:
            written.append(token)
        at += 1
    return "".join(written)


def without_blocks(text: str, names: Collection[str]) -> str:
    return _BLOCK.sub(lambda block: "" if block[2] in names else block[0], text)


def needed(parts: str, text: str, seldom: Collection[str] = ()) -> str:
    """Of the parts the top-level locals that `text`, or what is needed so far, mentions; and what is no local.
    `seldom` functions hold what only they need. Raises ValueError for a seldom one that isn't there."""
    blocks = [(found[0], set(re.split(r"[, ]+", found[1])) if found[1] else set()) for found in _BLOCK.findall(parts)]
    functions = {name for block, names in blocks if block.startswith("local function") for name in names}
    if unknown := set(seldom) - functions:
        raise ValueError(f"no function of lua/lib: {', '.join(unknown)}")
    mentions = [variables(block) - names for block, names in blocks]

    def reach(known: frozenset[str], closed: Collection[str]) -> set[int]:
        """The blocks that are reached from these words, but not through the `closed` functions."""
        kept: set[int] = set()
        while added := [at for at, (_, names) in enumerate(blocks) if at not in kept and names & known]:
            for at in added:
                kept.add(at)
                if not blocks[at][1] & set(closed):
                    known = known | mentions[at]
        return kept

    unnamed = {at for at, (_, names) in enumerate(blocks) if not names}
    start = variables(text).union(*(mentions[at] for at in unnamed))
    usual = reach(start, seldom) | unnamed
    # What is neither a function nor a constant is state that must not begin anew: it stays outside.
    for at in sorted(reach(start, ()) - usual):
        if not any(name in functions or name.isupper() for name in blocks[at][1]):
            usual |= reach(frozenset(blocks[at][1]), seldom)
    written = []
    for at in sorted(usual):
        block, names = blocks[at]
        for name in names & set(seldom):
            within = reach(mentions[at], ()) - usual
            block = _made_when_called(name, block, [blocks[other][0] for other in sorted(within)])
        written.append(block)
    return "".join(written)


def _made_when_called(name: str, block: str, parts: list[str]) -> str:
    inner = "".join(f"  {line}\n" if line else "" for line in "".join([*parts, block]).split("\n"))
    return f"local function {name}(...)\n{inner}  return {name}(...)\nend\n"
