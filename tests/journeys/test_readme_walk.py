"""The README's first walk with curl, each command as printed, against a real `authsvc serve` and `authsvc worker`."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis

from authsvc.verifier import Verifier, require
from tests.cli.conftest import store_address
from tests.conftest import Backends
from tests.fakes import environ
from tests.harness import machine
from tests.harness.processes import ROOT, Process, free_port, reachable, until

pytestmark = pytest.mark.journey

README = (ROOT / "README.md").read_text(encoding="utf-8")


@dataclass
class ReadmeCommands:
    """A shell in which the README's words mean something: `$URL`, `$CLIENT`, and mail that lands in a folder."""

    url: str
    client: str
    mails: Path

    def says(self, command: str, **more: str) -> str:
        definition = next(line for line in steps() if line.startswith("call()"))
        done = subprocess.run(
            ["bash", "-ec", f"{definition}\n{command}"],
            env={"PATH": os.environ["PATH"], "URL": self.url, "CLIENT": self.client, **more},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        return done.stdout

    def answers(self, command: str) -> Any:
        return json.loads(self.says(command))

    def code(self) -> str:
        """The one of the newest mail."""

        def look() -> str | None:
            for mail in sorted(self.mails.glob("*.eml"), key=lambda mail: mail.stat().st_mtime, reverse=True):
                if alone := re.search(r"^(\d{6})$", mail.read_text(), re.MULTILINE):
                    return alone[1]
            return None

        return until(look)


def steps() -> list[str]:
    """The commands of the walk, in order, lines that belong together as one."""
    section = README[README.index("## A first walk with curl") :]
    (block,) = re.findall(r"^```sh\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    joined = block.replace("\\\n", " ")
    return [line for line in joined.splitlines() if line and not line.startswith("#")]


@pytest.fixture
def walk(servers: Backends, tmp_path: Path) -> Iterator[ReadmeCommands]:
    machine.require("curl", "bash")
    store, port, mails = store_address(servers), free_port(), tmp_path / "mails"
    with redis.Redis.from_url(store) as client:
        client.flushall()
    url = f"http://127.0.0.1:{port}"
    settings = environ(
        store,
        AUTHSVC_PUBLIC_URL=url,
        AUTHSVC_BIND=f"127.0.0.1:{port}",
        AUTHSVC_ADMIN_BIND=f"127.0.0.1:{free_port()}",
        AUTHSVC_MAIL_URL=f"file://{mails}",
        AUTHSVC_WORKERS="1",
    )
    surroundings = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **settings}

    def authsvc(*words: str) -> str:
        command = [sys.executable, "-m", "authsvc", *words]
        return subprocess.run(command, env=surroundings, capture_output=True, text=True, check=True, timeout=60).stdout

    authsvc("practices", "add", "maple", "--name", "Maple Clinic")
    allowed = [word for name in ("codes:issue", "codes:verify", "links:issue", "links:exchange", "patients:write")
               for word in ("--allow", name)]  # fmt: skip
    made = json.loads(authsvc("clients", "add", "portal", "--practice", "maple", *allowed, "--json"))
    command = [sys.executable, "-m", "authsvc"]
    programs = [Process(name, [*command, name], surroundings, tmp_path) for name in ("serve", "worker")]
    try:
        until(lambda: (answer := reachable(f"{url}/readyz")) and answer.status == 200, why=programs[0].output)
        yield ReadmeCommands(url, f"{made['client_id']}:{made['client_secret']}", mails)
    finally:
        for program in programs:
            program.stop()


def test_the_first_walk_goes_as_the_readme_says(walk: ReadmeCommands) -> None:
    define, put, discover, start, verify, issue, exchange, jwks, forward = steps()
    assert define.startswith("call()")
    assert walk.answers(put)["portal_access"] is True
    assert walk.answers(discover)["authorization_endpoint"] == f"{walk.url}/oauth2/authorize"
    challenge = walk.answers(start)["challenge"]
    session = walk.answers(verify.replace("ach_…", challenge).replace("123456", walk.code()))
    assert {"access_token", "session", "refresh_token"} <= session.keys()
    link = walk.answers(issue)
    assert link["url"].startswith(f"{walk.url}/p/maple/l/al_")
    token = link["url"].rpartition("/")[2]
    granted = walk.answers(exchange.replace("al_…", token))
    assert granted["resource"] == "invoice:inv_1"
    keys = walk.says(jwks)
    assert walk.says(forward, TOKEN=granted["access_token"]).startswith("HTTP/1.1 200")
    verifier = Verifier(walk.url, "practice-services", "maple", fetch=lambda _url: keys.encode())
    require(verifier.verify(granted["access_token"]), scope="invoice:pay", resource="invoice:inv_1")


def test_the_readmes_map_shows_what_is_there() -> None:
    rows = re.findall(r"^\| `([^`]+)` \|", README, re.MULTILINE)
    assert len(rows) > 8
    assert [row for row in rows if not (ROOT / row).exists()] == []
    there = {f"authsvc/{path.name}/" for path in (ROOT / "authsvc").iterdir() if (path / "__init__.py").exists()}
    there |= {f"authsvc/{path.name}" for path in (ROOT / "authsvc").glob("[a-z]*.py")}
    assert there == {row for row in rows if row.startswith("authsvc/")}
