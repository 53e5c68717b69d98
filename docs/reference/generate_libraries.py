"""Writes the table of client libraries into `docs/howto/plug-in-a-portal.md`. Run it after changing one:

    python docs/reference/generate_libraries.py

What `--for` sets is in authsvc/cli/libraries.py; versions and acts are those of tests/interop. A test compares what it
would write with what is there.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from authsvc.cli.libraries import LIBRARIES  # noqa: E402
from tests.interop import libraries as tried  # noqa: E402

PAGE = ROOT / "docs/howto/plug-in-a-portal.md"
BEGIN, END = "<!-- libraries -->\n", "<!-- end of libraries -->\n"
HEAD = """\
| library | version | `--for` | it sets | in the library | tried |
| --- | --- | --- | --- | --- | --- |
"""


def table() -> str:
    """A row for each library."""
    tests = {each.name: each for each in (*tried.LIBRARIES, *tried.ELSEWHERE)}
    rows = []
    for name, library in sorted(LIBRARIES.items()):
        sets = "<br>".join(f"`{words}`" for words in library.written) or "–"
        cells = [library.title, tests[name].version, f"`{name}`", sets, library.settings or "–", tests[name].tried]
        rows.append(f"| {' | '.join(cells)} |\n")
    return HEAD + "".join(rows)


def whole() -> str:
    """The page with the table as it is now."""
    head, begin, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, end, tail = rest.partition(END)
    return f"{head}{begin}\n{table()}\n{end}{tail}"


if __name__ == "__main__":
    PAGE.write_text(whole(), encoding="utf-8")
