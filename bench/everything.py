"""All benchmarks in under ten minutes, and the table of targets: `make bench`, or `python -m bench.everything`.

Each part writes its own section of `docs/reference/performance.md`; then the targets are set beside what was reached,
and `docs/howto/size-it.md` is written anew. `make bench-scale` measures more records, and shards, and takes longer.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bench import __main__ as acts
from bench import overload, replay, results, scale, size, summary, worker

PARTS: Mapping[str, tuple[Callable[[list[str]], None], list[str]]] = {
    "throughput": (acts.main, ["--rounds", "3", "--seconds", "2"]),
    "replay": (replay.main, ["--acts", "500"]),
    "worker": (worker.main, ["--seconds", "6"]),
    "overload": (overload.main, ["--seconds", "6"]),
    "flatness": (scale.main, ["--quick"]),
}


def load(folder: Path) -> dict[str, Any]:
    """The results of the parts that are there."""
    paths = {name: folder / f"{name}.json" for name in (*PARTS, "scale")}
    return {name: json.loads(path.read_text(encoding="utf-8")) for name, path in paths.items() if path.exists()}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.everything", description="Run all benchmarks.")
    parser.add_argument("--tiny", action="store_true", help="a few requests of each kind, to see that it runs")
    parser.add_argument("--output", type=Path, default=results.OUTPUT, metavar="DIR", help="where JSON goes")
    parser.add_argument("--no-page", action="store_true", help="leave the pages below docs/ as they are")
    parser.add_argument("--parts", default=",".join(PARTS), help="which, with commas between (all)")
    arguments = parser.parse_args()
    shared = ["--output", str(arguments.output)]
    shared += [f"--{name}" for name, given in (("tiny", arguments.tiny), ("no-page", arguments.no_page)) if given]
    start = time.monotonic()
    for name in filter(None, arguments.parts.split(",")):
        run, own = PARTS[name]
        run([*shared, *own])
    text = summary.section(load(arguments.output), {name: results.before(name) for name in PARTS})
    print(f"{text}\n\nall in {time.monotonic() - start:.0f} s")
    if not (arguments.tiny or arguments.no_page):
        results.replace_section("targets", text)
        size.main(["--results", str(arguments.output)])


if __name__ == "__main__":
    main()
