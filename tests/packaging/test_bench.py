"""The benchmarks run as they stand, in their smallest form."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="the benchmarks read /proc and use epoll")


def run(benchmark: str, output: Path) -> dict[str, Any]:
    """The results of a benchmark in its smallest form."""
    command = [sys.executable, "-m", benchmark, "--tiny", "--output", str(output)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-3000:]
    (path,) = output.glob("*.json")
    result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return result


@on_linux
def test_every_act_is_measured_and_answered(tmp_path: Path) -> None:
    result = run("bench", tmp_path)
    acts = {"start", "verify", "refresh", "link", "exchange", "introspect", "forward-auth", "keys"}
    assert acts | {"bare Flask", "bare WSGI"} == set(result["closed"]) == set(result["open"])
    assert [act for act, row in result["closed"].items() if row["failed"] or not row["per_s"]] == []
    assert acts == set(result["round_trips"])
    assert result["bytes"]["a session (a code verified)"]["lasting"] > 0


@on_linux
def test_replayed_calls_are_answered_as_they_were_when_they_were_recorded(tmp_path: Path) -> None:
    result = run("bench.replay", tmp_path)
    assert {act: row["answers_differ"] for act, row in result["acts"].items() if row["answers_differ"]} == {}
    assert all(row["scripts"] >= 1 for row in result["acts"].values())


def test_no_benchmark_looks_into_the_package() -> None:
    """They measure what is installed: by its commands, over HTTP and by Redis' own counters."""
    files = [path for path in (ROOT / "bench").glob("*.py") if path.name != "memory.py"]
    assert [
        path.name for path in files if "authsvc import" in (text := path.read_text()) or "import authsvc" in text
    ] == []


@pytest.mark.parametrize("benchmark", ["throughput", "scale", "overload", "worker", "replay", "flatness", "targets"])
def test_the_page_has_a_section_for_every_benchmark(benchmark: str) -> None:
    page = (ROOT / "docs/reference/performance.md").read_text(encoding="utf-8")
    assert f"<!-- {benchmark} -->\n" in page
