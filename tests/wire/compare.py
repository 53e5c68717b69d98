"""Compares two recordings: `python -m tests.wire.compare BEFORE.json AFTER.json`. Exit 1 if anything differs."""

from __future__ import annotations

import argparse
import difflib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

CONTEXT_LINES = 2
LONGEST = 400


def differences(before: Any, after: Any, at: str = "") -> Iterator[str]:
    """Each difference in one text: where, what it was, what it is."""
    if before == after and type(before) is type(after):
        return
    if isinstance(before, dict) and isinstance(after, dict):
        for name in dict.fromkeys([*before, *after]):
            if name not in after:
                yield f"{at}/{name}\n    before: {_shown(before[name])}\n    after:  (absent)"
            elif name not in before:
                yield f"{at}/{name}\n    before: (absent)\n    after:  {_shown(after[name])}"
            else:
                yield from differences(before[name], after[name], f"{at}/{name}")
    elif _texts(before) and _texts(after):
        yield f"{at}\n" + "\n".join(_lines(before, after))
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for number, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from differences(one, other, f"{at}/{number}")
    elif isinstance(before, list) and isinstance(after, list):
        told = [[_whole(member) for member in members] for members in (before, after)]
        yield f"{at}\n" + "\n".join(_lines(*told))
    else:
        yield f"{at}\n    before: {_shown(before)}\n    after:  {_shown(after)}"


def _texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(member, str) for member in value)


def _lines(before: list[str], after: list[str]) -> Iterator[str]:
    for line in list(difflib.unified_diff(before, after, lineterm="", n=CONTEXT_LINES))[2:]:
        yield "    " + _cut(line)


def _whole(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)


def _shown(value: Any) -> str:
    return _cut(_whole(value))


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} … ({len(text)} characters)"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--most", type=int, default=0, help="show so many exchanges that differ; 0 for all")
    parser.add_argument("--ignore", action="append", default=[], metavar="TEXT", help="leave out names with this text")
    given = parser.parse_args()
    before, after = (json.loads(path.read_text(encoding="utf-8")) for path in (given.before, given.after))
    names = [name for name in dict.fromkeys([*before, *after]) if not any(text in name for text in given.ignore)]
    different = [name for name in names if before.get(name) != after.get(name)]
    for name in different[: given.most or None]:
        if name not in after:
            print(f"--- {name}\n  only before\n")
        elif name not in before:
            print(f"--- {name}\n  only after\n")
        else:
            told = [f"  {each}" for each in differences(before[name], after[name])]
            print(f"--- {name}", *told, "", sep="\n")
    print(f"{len(before)} exchanges before, {len(after)} after, {len(names)} compared, {len(different)} differ")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
