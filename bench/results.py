"""Where results go: JSON under `var/bench`, and the benchmark's own section of `docs/reference/performance.md`.

`bench/before.json` holds the same results of an earlier state of the code, by benchmark; the page shows both.
"""

from __future__ import annotations

import argparse
import json
import re
import signal
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.processes import ROOT

PAGE = ROOT / "docs" / "reference" / "performance.md"
OUTPUT = ROOT / "var" / "bench"
BEFORE = Path(__file__).with_name("before.json")


def options(command: str, description: str) -> argparse.ArgumentParser:
    """The command line that all benchmarks share."""
    parser = argparse.ArgumentParser(prog=command, description=description)
    parser.add_argument("--tiny", action="store_true", help="a few requests of each kind, to see that it runs")
    parser.add_argument("--output", type=Path, default=OUTPUT, metavar="DIR", help="where JSON goes")
    parser.add_argument("--root", type=Path, default=ROOT, metavar="DIR", help="measure the service of this checkout")
    parser.add_argument("--no-page", action="store_true", help="leave docs/reference/performance.md as it is")
    parser.add_argument("--render", action="store_true", help="measure nothing: write the page from the JSON again")
    return parser


def before(benchmark: str) -> dict[str, Any]:
    """The earlier results of a benchmark; empty if there are none."""
    if not BEFORE.exists():
        return {}
    found: dict[str, Any] = json.loads(BEFORE.read_text(encoding="utf-8")).get(benchmark, {})
    return found


def run(
    benchmark: str,
    arguments: argparse.Namespace,
    measure: Callable[[argparse.Namespace], dict[str, Any]],
    section: Callable[[dict[str, Any], dict[str, Any]], str],
    charts: Callable[[dict[str, Any]], dict[str, str]] = lambda _result: {},
) -> None:
    """Measure, write the JSON, and the section and charts of the page unless that isn't wanted."""
    path = arguments.output / f"{benchmark}.json"
    if arguments.render:
        result = json.loads(path.read_text(encoding="utf-8"))
    else:
        signal.signal(signal.SIGTERM, _leave)
        result = measure(arguments) | {"date": datetime.now(UTC).date().isoformat()}
        arguments.output.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    text = section(result, before(benchmark))
    print(text)
    print(f"results: {path}", file=sys.stderr)
    if arguments.no_page or arguments.tiny or arguments.root != ROOT:
        return
    for name, svg in charts(result).items():
        PAGE.with_name(name).write_text(svg, encoding="utf-8")
    replace_section(benchmark, text)
    print(f"written: {PAGE}", file=sys.stderr)


def _leave(*_: object) -> None:
    """SIGTERM ends a benchmark like Ctrl-C, so that what it started is stopped."""
    raise SystemExit(143)


def replace_section(benchmark: str, text: str) -> None:
    """Put `text` between the markers of this benchmark on the page."""
    page = PAGE.read_text(encoding="utf-8")
    marked = re.compile(rf"(<!-- {benchmark} -->\n).*?(<!-- end -->)", re.DOTALL)
    assert marked.search(page), f"the page has no section {benchmark}"
    PAGE.write_text(marked.sub(lambda found: f"{found[1]}\n{text.strip()}\n\n{found[2]}", page), encoding="utf-8")


def machine_line(result: dict[str, Any], command: str) -> str:
    """The command that reproduces a section, and where it was run."""
    where = result["machine"]
    packages = ", ".join(f"{name} {number}" for name, number in where["packages"].items())
    return (
        f"`{command}`, {result['date']}: {where['cores']} cores of {where['cpu']}, shared with the load generator"
        f" (load average before the run: {where['load_average']}); Python {where['python']}, {where['redis']},"
        f" {packages}."
    )


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def progress() -> Callable[[str], None]:
    """Says on stderr what is going on, and how long it has been."""
    start = time.monotonic()

    def say(what: str) -> None:
        print(f"{time.monotonic() - start:6.0f} s  {what}", file=sys.stderr, flush=True)

    return say
