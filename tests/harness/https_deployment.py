"""The deployment of tests/journeys behind TLS and as in production, for clients that take nothing less.

`https://localhost:PORT` is the issuer: the one name that every program resolves to this machine by itself. `authsvc
worker` trusts the test's authority, so that relying parties can hear of a sign-out.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.harness.deployment import Deployment, find_code
from tests.harness.https_browser import HttpsBrowser
from tests.harness.processes import free_port
from tests.harness.tls_proxy import TRUSTED, TlsProxy

PRACTICE = "maple"
_PATIENTS = itertools.count(1)


@dataclass
class Patient:
    """Somebody on file, who reads every mail once."""

    deployment: HttpsDeployment
    id: str
    read: int = 0

    @property
    def email(self) -> str:
        return f"{self.id}@example.org"

    @property
    def sub(self) -> str:
        return f"{PRACTICE}:{self.id}"

    def code(self) -> str:
        """The code in the next mail."""
        self.read += 1
        return find_code(self.deployment.mailed(self.email, self.read))


class HttpsDeployment(Deployment):
    """Use as a context manager. `names`, `beside` and `portals` are the front's."""

    def __init__(
        self,
        folder: Path,
        names: tuple[str, ...] = ("localhost",),
        beside: Mapping[str, int] | None = None,
        portals: Mapping[int, int] | None = None,
        **settings: str,
    ) -> None:
        self._names, self._around, self._tls_port = names, {"beside": beside, "portals": portals}, free_port()
        self.issuer = f"https://{names[0]}:{self._tls_port}"
        production = {"AUTHSVC_ENV": "production", "AUTHSVC_PUBLIC_URL": self.issuer, **TRUSTED}
        super().__init__(folder, None, **{**production, **settings})

    def __enter__(self) -> HttpsDeployment:
        super().__enter__()
        try:
            front = TlsProxy(self.folder, self.port, self._names, port=self._tls_port, **self._around)
            self.front = self._stack.enter_context(front)
        except BaseException:
            self._stack.close()
            raise
        self.environ["SSL_CERT_FILE"] = str(self.front.ca)
        return self

    def add_relying_party(self, name: str, redirect_uri: str, *words: str) -> dict[str, Any]:
        """A client of the hosted pages, by the command line: its `client_id`, and its `client_secret` if it has one."""
        made: dict[str, Any] = self.cli(
            "clients", "add", name, "--practice", PRACTICE, "--redirect-uri", redirect_uri, *words
        ).document
        return made

    def browser(self) -> HttpsBrowser:
        """Somebody's browser, with nothing in it."""
        return HttpsBrowser(self.front.ca)

    def add_practice_with_desk(self) -> None:
        """The practice, and its own service that may do everything."""
        self.add_practice(PRACTICE)
        self.desk = self.add_client("desk", practice=PRACTICE)

    def patient(self) -> Patient:
        """A new one, with portal access."""
        made = Patient(self, f"p{next(_PATIENTS)}")
        self.desk.register(made.id, made.email)
        return made


def ask_for_code(browser: HttpsBrowser, patient: Patient) -> None:
    """From the sign-in page to the code page."""
    browser.press("Email me a code", email=patient.email)


def type_code(browser: HttpsBrowser, patient: Patient) -> str:
    """From the code page onward; where that leads."""
    return browser.press("Sign in", code=patient.code()).url


def sign_in(browser: HttpsBrowser, patient: Patient) -> str:
    """Both."""
    ask_for_code(browser, patient)
    return type_code(browser, patient)
