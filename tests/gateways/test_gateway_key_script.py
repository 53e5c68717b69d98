"""haproxy/fetch-keys.sh: what is there stays until something better is wholly there."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from authsvc.crypto import keys as signing
from authsvc.crypto.keys import SigningKey
from tests.gateways.environment import serving
from tests.gateways.recipes import RECIPES
from tests.harness.machine import SEARCH_PATH, require
from tests.harness.processes import free_port

pytestmark = pytest.mark.gateway


class Published(BaseHTTPRequestHandler):
    """A key set, and the PEM of each of its keys."""

    keys: tuple[SigningKey, ...] = ()

    def do_GET(self) -> None:
        pems = {f"/keys/{key.kid}.pem": key.pem for key in self.keys}
        jwks = json.dumps({"keys": [dict(key.jwk) for key in self.keys]}, separators=(",", ":"))
        body = {"/.well-known/jwks.json": jwks, **pems}.get(self.path, "").encode()
        self.send_response(200 if body else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        """Nothing."""


class Host:
    """A machine with HAProxy's folder, and an authsvc that publishes what it is told."""

    def __init__(self, folder: Path, port: int, published: Any) -> None:
        self.folder = folder
        self.port = port
        self.published = published
        self.reloads = folder.parent / "reloads"

    def publish(self, *keys: SigningKey) -> None:
        self.published.keys = keys

    def fetch(self, reload: str | None = None, port: int | None = None) -> int:
        environ = {
            "PATH": SEARCH_PATH,
            "AUTHSVC": f"http://127.0.0.1:{port or self.port}",
            "FOLDER": str(self.folder),
            "RELOAD": reload or f"cp {self.folder}/kids.map {self.reloads}",
        }
        script = ["sh", str(RECIPES / "haproxy/fetch-keys.sh")]
        return subprocess.run(script, env=environ, capture_output=True, timeout=30).returncode

    def files(self) -> set[str]:
        return {path.name for path in self.folder.iterdir()}

    def reloaded(self) -> bool:
        """Whether that happened since the last look."""
        done = self.reloads.exists()
        self.reloads.unlink(missing_ok=True)
        return done


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    require("curl")
    folder = tmp_path / "authsvc"
    folder.mkdir()
    published = type("Published", (Published,), {})
    with serving(published) as port:
        yield Host(folder, port, published)


FIRST, SECOND, THIRD = (signing.generate("ES256") for _ in range(3))
OURS = {"kids.map", "keys.cfg", "kids.loaded"}


def test_keys_come_and_go_and_haproxy_is_reloaded_for_that_only(host: Host) -> None:
    host.publish(FIRST, SECOND, signing.generate("EdDSA"))
    assert (host.fetch(), host.reloaded()) == (0, True)
    assert host.files() == OURS | {f"{FIRST.kid}.pem", f"{SECOND.kid}.pem"}
    assert (host.fetch(), host.reloaded()) == (0, False)
    host.publish(SECOND, THIRD)
    assert (host.fetch(), host.reloaded()) == (0, True)
    assert host.files() == OURS | {f"{SECOND.kid}.pem", f"{THIRD.kid}.pem"}
    assert (host.folder / f"{THIRD.kid}.pem").read_text() == THIRD.pem


def test_files_that_are_not_its_own_are_let_be(host: Host) -> None:
    (host.folder / "site.pem").write_text("the site's certificate")
    for keys in ((FIRST,), (SECOND,)):
        host.publish(*keys)
        assert host.fetch() == 0
    assert host.files() == OURS | {"site.pem", f"{SECOND.kid}.pem"}


def test_a_failed_reload_is_tried_again(host: Host) -> None:
    host.publish(FIRST)
    assert host.fetch(reload="false") != 0
    assert (host.fetch(), host.reloaded()) == (0, True)


def test_what_is_no_key_set_changes_nothing(host: Host) -> None:
    host.publish(FIRST)
    assert host.fetch() == 0
    before, _ = host.files(), host.reloaded()
    host.publish()
    assert host.fetch() != 0
    host.publish(signing.generate("EdDSA"))
    assert host.fetch() != 0
    assert host.fetch(port=free_port()) != 0
    assert (host.files(), host.reloaded()) == (before, False)


def test_attack_a_kid_that_is_a_path_is_not_a_files_name(host: Host) -> None:
    class Named:
        def __init__(self, kid: str) -> None:
            self.kid, self.pem, self.jwk = kid, FIRST.pem, {**FIRST.jwk, "kid": kid}

    host.published.keys = (FIRST, Named("../../evil"), Named("a b; touch evil"))
    assert host.fetch() == 0
    assert host.files() == OURS | {f"{FIRST.kid}.pem"}
    assert not list(host.folder.parent.rglob("*evil*"))
