"""Portals with a library of another author each, run beside one deployment."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from cryptography.hazmat.primitives.serialization import NoEncryption
from cryptography.hazmat.primitives.serialization.pkcs12 import PKCS12Certificate, serialize_java_truststore
from cryptography.x509 import load_pem_x509_certificate

from tests.harness.browsing import Page
from tests.harness.https_browser import HttpsBrowser
from tests.harness.https_deployment import HttpsDeployment
from tests.harness.machine import require
from tests.harness.processes import Process, free_port, reachable, until
from tests.interop.libraries import APPS, LIBRARIES, Library

COOKIE_BYTES = 4096
"""What browsers keep of a name and its value (RFC 6265bis §5.6); a longer one is dropped without a word."""


class Portal:
    """The portal of one library, running."""

    def __init__(self, library: Library, url: str, deployment: HttpsDeployment) -> None:
        self.library, self.url, self.deployment = library, url, deployment
        self.program: Process | None = None

    def begin(self, browser: HttpsBrowser) -> Page:
        """Open its sign-in, and press its button if it has one."""
        page = browser.open(f"{self.url}{self.library.login}")
        if page.url.startswith(self.url) and page.forms:
            form = page.forms[0]
            answer = browser.request(form.method, form.action, form.fields)
            page = browser.open(urljoin(answer.url, answer.header("Location")))
        return page

    def told(self, browser: HttpsBrowser) -> dict[str, Any]:
        """What it knows of who is signed in."""
        page = browser.request("GET", f"{self.url}/me")
        assert page.status == 200, (page.status, page.url, page.header("Location"), page.text[:400])
        large = {cookie.name: len(cookie.name + (cookie.value or "")) for cookie in browser.jar}
        assert max(large.values()) <= COOKIE_BYTES, large
        return dict(json.loads(page.html))

    def knows_nobody(self, browser: HttpsBrowser) -> bool:
        return browser.request("GET", f"{self.url}/me").status != 200

    def api(self, browser: HttpsBrowser, token: str) -> tuple[int, Any]:
        """What its resource server makes of an access token."""
        page = browser.request("GET", f"{self.url}/api/me", headers={"Authorization": f"Bearer {token}"})
        return page.status, json.loads(page.html) if page.status == 200 else None


class Portals:
    """Every library's, started when it is first asked for."""

    def __init__(self) -> None:
        self.ports = {library.name: (free_port(), free_port()) for library in LIBRARIES}
        self._running: dict[str, Portal] = {}
        self._programs: list[Process] = []

    @property
    def fronts(self) -> Mapping[int, int]:
        """For the proxy that speaks TLS."""
        return dict(self.ports.values())

    def of(self, library: Library, deployment: HttpsDeployment) -> Portal:
        if library.name not in self._running:
            command = _command(library, deployment)
            self._running[library.name] = self._started(library, deployment, command)
        return self._running[library.name]

    def _started(self, library: Library, deployment: HttpsDeployment, command: list[str]) -> Portal:
        outside, inside = self.ports[library.name]
        portal = Portal(library, f"https://localhost:{outside}", deployment)
        words = ["--for", library.name, "--post-logout-uri", f"{portal.url}{library.signed_out}"]
        if library.hears:
            words += ["--backchannel-logout-uri", f"{portal.url}{library.hears}"]
        registered = deployment.add_relying_party(library.name, f"{portal.url}{library.callback}", *words)
        folder = deployment.folder / "portals"
        folder.mkdir(exist_ok=True)
        ca = str(deployment.front.ca)
        environ = {name: value for name, value in os.environ.items() if not name.startswith("AUTHSVC_")} | {
            "ISSUER": deployment.issuer,
            "CLIENT_ID": registered["client_id"],
            "CLIENT_SECRET": registered["client_secret"],
            "URL": portal.url,
            "PORT": str(inside),
            "FOLDER": str(folder),
            **dict.fromkeys(("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"), ca),
        }
        portal.program = program = Process(library.name, command, environ, folder)
        self._programs.append(program)
        until(lambda: reachable(f"http://127.0.0.1:{inside}/") or not program.runs, why=program.output)
        assert program.runs, program.output()
        return portal

    def stop(self) -> None:
        for program in self._programs:
            program.close_pipes()
        for program in self._programs:
            program.discard()


def _command(library: Library, deployment: HttpsDeployment) -> list[str]:
    """How its portal is started. Skips loudly where that can't be."""
    if library.app.endswith(".py"):
        return [require("interop/bin/python"), str(APPS / "python" / library.app)]
    if library.app.endswith(".mjs"):
        return [require("node", "interop/node_modules"), str(node_programs(deployment.folder) / library.app)]
    if library.app == "next":
        return [require("node", "interop/next/.next"), str(Path(require("interop/next/.next")).parent / "server.mjs")]
    if library.app.endswith(".go"):
        return [require(f"interop/portals/{library.app.removesuffix('.go')}")]
    if library.app.endswith(".jar"):
        java, jar = require("java"), require(f"interop/java/{library.app}")
        trusted = f"-Djavax.net.ssl.trustStore={java_trust_store(deployment)}"
        return [java, "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx256m", trusted, "-jar", jar]
    raise AssertionError(library.app)


def java_trust_store(deployment: HttpsDeployment) -> Path:
    """The authority's certificate, as Java reads it."""
    ca = load_pem_x509_certificate(deployment.front.ca.read_bytes())
    store = deployment.folder / "authority.p12"
    store.write_bytes(serialize_java_truststore([PKCS12Certificate(ca, b"authority")], NoEncryption()))
    return store


def node_programs(folder: Path) -> Path:
    """A copy of the programs for Node, beside the packages that they import."""
    copied = folder / "node"
    if not copied.exists():
        shutil.copytree(APPS / "node", copied)
        (copied / "node_modules").symlink_to(require("interop/node_modules"))
    return copied
