"""One Chromium a test process: `launched()` for scripts, the fixture `chromium` (tests/conftest.py) for tests.

It takes the certificates of `TLS_KEY` for good ones, so that nothing is different from life, and no others. Each test
opens browser profiles of its own in it (`new_context`), which share nothing.
"""

from __future__ import annotations

import base64
import hashlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.harness import machine

FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
)
LIKE_PEOPLES = ["--disable-back-forward-cache"]
"""A flag of Playwright's that is left out: browsers keep pages to go back to."""

TLS_KEY = ec.generate_private_key(ec.SECP256R1())
"""The key of every site by https that these tests put up."""


def spki(key: ec.EllipticCurvePrivateKey) -> str:
    """The key's name to Chromium: base64 of the SHA-256 of its SubjectPublicKeyInfo."""
    der = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(der).digest()).decode()


@contextmanager
def launched() -> Iterator[Any]:
    """The browser, as Playwright's `Browser`. Skips the test where it is missing."""
    import pytest

    machine.require("chromium-headless-shell")
    playwright = pytest.importorskip("playwright.sync_api", reason="NOT TESTED, there is no playwright here: make test")
    with warnings.catch_warnings(), playwright.sync_playwright() as driver:
        browser = launch(driver.chromium, "chromium-headless-shell")
        yield browser
        browser.close()


def launch(chromium: Any, program: str) -> Any:
    """One more `Browser` of Playwright's `BrowserType`. Skips the test where the program is missing."""
    trusting = f"--ignore-certificate-errors-spki-list={spki(TLS_KEY)}"
    return chromium.launch(
        executable_path=machine.require(program), args=[*FLAGS, trusting], ignore_default_args=LIKE_PEOPLES
    )
