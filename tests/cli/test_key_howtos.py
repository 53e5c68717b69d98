"""An admin who follows the key how-tos word by word gets what they promise: their commands are run here."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import redis

from authsvc.config import load as config
from authsvc.store.keys import KEYSET
from authsvc.wiring import bootstrap
from tests.fakes import environ
from tests.flows.keysets import NEW, OLD, spellings
from tests.harness.machine import require

pytestmark = pytest.mark.one_store

HOWTO = Path(__file__).parents[2] / "docs/howto"
OLD_SECRET, NEW_SECRET = (spellings(secret)[2] for secret in (OLD, NEW))


class Admin:
    """A shell with the service's settings and an `authsvc` on its PATH."""

    def __init__(self, url: str, folder: Path) -> None:
        self.folder = folder
        (folder / "authsvc").write_text(f'#!/bin/sh\nexec {sys.executable} -m authsvc "$@"\n')
        (folder / "authsvc").chmod(0o755)
        self.url = url
        self.secrets = OLD_SECRET
        self.client = redis.Redis.from_url(url, decode_responses=True)

    @property
    def settings(self) -> dict[str, str]:
        return environ(self.url, AUTHSVC_SECRET_KEYS=self.secrets)

    def start_service(self) -> None:
        bootstrap(config.load(self.settings)).signing_keys.ensure()

    def let_pass(self, span_s: int) -> None:
        """The ring as it is when this much time has passed; the commands read the real clock."""
        ring = json.loads(self.client.get(KEYSET) or "")
        for key in ring["keys"]:
            for name in ("created_ms", "signs_from_ms", "gone_at_ms"):
                key[name] = key[name] and key[name] - span_s * 1000
        self.client.set(KEYSET, json.dumps(ring))

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        path = f"{self.folder}:{os.environ['PATH']}"
        root = str(Path(__file__).parents[2])
        return subprocess.run(
            ["bash", "-ec", command],
            cwd=self.folder,
            env={**self.settings, "PATH": path, "PYTHONPATH": root},
            capture_output=True,
            text=True,
            timeout=60,
        )

    def follow(self, name: str, block: int, **replaced: str) -> str:
        """Run one shell block of a how-to; what it printed."""
        blocks = re.findall(r"^```sh\n(.*?)^```", (HOWTO / name).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
        command = blocks[block]
        for word, value in replaced.items():
            command = command.replace(word, value)
        done = self.run(command)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def states(self) -> dict[str, str]:
        """State by kid, as a service with these settings sees it."""
        return {key.kid: key.state for key in bootstrap(config.load(self.settings)).signing_keys.list()}

    def kid(self, state: str) -> str:
        return next(kid for kid, its in self.states().items() if its == state)


@pytest.fixture
def admin(store_url: str, tmp_path: Path) -> Admin:
    require("openssl", "bash")
    admin = Admin(store_url, tmp_path)
    admin.start_service()
    return admin


def test_rotate_keys(admin: Admin) -> None:
    page = "rotate-keys.md"
    current, waiting = admin.kid("current"), admin.kid("next")
    assert current in admin.follow(page, 0)
    too_early = admin.run("authsvc keys rotate")
    assert too_early.returncode == 3
    admin.let_pass(360)
    admin.follow(page, 1)
    assert admin.states()[current] == "retiring"
    assert admin.states()[waiting] == "current"
    admin.follow(page, 2)
    assert admin.kid("current") == waiting  # not due
    admin.let_pass(30 * 86_400)
    admin.follow(page, 2)
    assert admin.kid("current") != waiting
    admin.follow(page, 3)
    pem, kids = (admin.folder / "keys.pem").read_text(), (admin.folder / "kids.map").read_text()
    assert all(kid in pem and kid in kids for kid in admin.states())
    before = admin.kid("next")
    admin.follow(page, 4)
    assert before not in admin.states()


def test_key_compromise(admin: Admin) -> None:
    page = "key-compromise.md"
    stolen, waiting = admin.kid("current"), admin.kid("next")
    printed = admin.follow(page, 0, KID=stolen)
    assert stolen in printed
    assert stolen not in admin.states()
    assert admin.kid("current") == waiting
    admin.follow(page, 1)
    assert stolen not in (admin.folder / "keys.pem").read_text() + (admin.folder / "kids.map").read_text()
    assert "laptop stolen" in admin.follow(page, 2)


def test_rotate_master_secret(admin: Admin) -> None:
    page = "rotate-master-secret.md"
    before = admin.states()
    admin.follow(page, 0)
    made = (admin.folder / "new_secret").read_text().strip()
    for secrets in (f"{OLD_SECRET},{made}", f"{made},{OLD_SECRET}"):
        admin.secrets = secrets
        assert admin.states() == before
    assert "audit keys" in admin.follow(page, 1)
    admin.secrets = made
    assert all(kid in admin.follow(page, 2) for kid in before)
    admin.secrets = OLD_SECRET
    assert admin.run("authsvc keys list").returncode == 1
