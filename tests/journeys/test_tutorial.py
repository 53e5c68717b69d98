"""The tutorial is true: its commands run as printed and answer as printed, but for what differs each time."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.harness.demo import CODE, Demo, arrived
from tests.harness.machine import require
from tests.harness.processes import free_port, reachable, until

pytestmark = pytest.mark.journey

TUTORIAL = Path(__file__).parents[2] / "docs" / "tutorial.md"
END = "printf '\\n<<<end>>>\\n'\n"


def blocks() -> list[tuple[str, str, str]]:
    """Every command block with the answer printed under it: (commands, kind of answer, answer)."""
    found = re.findall(r"^```sh\n(.*?)^```\n(?:```(\w*)\n(.*?)^```)?", TUTORIAL.read_text(), re.DOTALL | re.MULTILINE)
    assert len(found) > 10
    return [(commands, kind, answer) for commands, kind, answer in found]


def shape(value: Any) -> Any:
    """A JSON document without what differs each time: the names of its members, at every depth."""
    if isinstance(value, dict):
        return {name: shape(one) for name, one in value.items()}
    if isinstance(value, list):
        return [shape(one) for one in value[:1]]
    return type(value).__name__


def test_every_command_of_the_tutorial_answers_as_printed(tmp_path: Path) -> None:
    """On a demo of its own: the tutorial's rotation is refused since the keys are younger than five minutes."""
    require("curl")
    with Demo(tmp_path / "demo") as demo:
        follow_the_tutorial(demo, tmp_path)


def follow_the_tutorial(demo: Demo, tmp_path: Path) -> None:
    seen = set(re.findall(CODE, demo.inbox()))  # of tests before this one
    folder = tmp_path / "terminal"
    (folder / ".venv" / "bin").mkdir(parents=True)
    programs = folder / ".venv" / "bin"
    for name, words in {"authsvc": "-m authsvc", "python": ""}.items():
        (programs / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {words} "$@"\n')
        (programs / name).chmod(0o755)
    (programs / "activate").write_text(f'PATH="{programs}:$PATH"\n')
    port = str(free_port())
    environ = os.environ | {"PYTHONPATH": str(TUTORIAL.parents[1])}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with subprocess.Popen(["sh"], cwd=folder, env=environ, text=True, **pipes) as terminal, ExitStack() as stack:
        assert terminal.stdin
        assert terminal.stdout
        stack.callback(terminal.stdin.write, "kill $RUNNING 2> portal.gone\n")  # should the tutorial stop halfway
        for commands, kind, answer in blocks():
            mine = re.sub(r"^\. /tmp/authsvc-demo-\w+/env", f". {demo.env}", commands, flags=re.MULTILINE)
            if "CODE=" in mine:
                mine = re.sub(r"^CODE=\d{6}", lambda _: f"CODE={arrived(demo, CODE, seen)}", mine)
            terminal.stdin.write(mine.replace("8090", port) + END)
            terminal.stdin.flush()
            said = "".join(iter(terminal.stdout.readline, "<<<end>>>\n")).strip()
            if kind == "json":
                expected, actual = json.loads(answer), json.loads(said[said.index("{") :])
                assert shape(actual) == shape(expected), commands
                for name in ("status", "reason", "detail", "title", "active", "attempts_left", "workflow", "resource"):
                    assert actual.get(name) == expected.get(name), commands
            elif kind == "http":
                status, *headers = answer.splitlines()
                assert said.splitlines()[0].strip() == status.strip(), commands
                for header in headers:
                    name, _, value = header.partition(":")
                    [line] = [line for line in said.splitlines() if line.lower().startswith(name.lower() + ":")]
                    assert all(part.strip() in line for part in value.split(", ")), (header, line)
            elif answer:
                for word in re.findall(r"\b[A-Z_]{5,}\b|exit \d|Refused as unsafe|code\.verified|current|next", answer):
                    assert word in said, (word, said)
            else:
                assert said == "", said
            if "RUNNING=$!" in commands:
                signs_in(demo, f"http://127.0.0.1:{port}/", seen, folder / "portal.log")


def signs_in(demo: Demo, portal: str, seen: set[str], log: Path) -> None:
    """What the reader does in the browser with a portal of her own."""
    until(lambda: reachable(f"{portal}favicon.ico"), why=log.read_text)
    dora = demo.browser()
    dora.open(portal)
    dora.press("Email me a code", email="dora@example.com")
    dora.press("Sign in", code=arrived(demo, CODE, seen))
    assert dora.at.url == portal
    assert dora.at.text == "Hello dora, you may: openid invoices:view"
