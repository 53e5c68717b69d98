"""A verifier that can't be safe refuses to be made."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from authsvc.verifier import ANY_PRACTICE, InvalidToken, Verifier
from tests.vectors import generate as kit

GOOD: dict[str, Any] = {"issuer": "https://auth.example", "audience": "practice-services", "practice": "maple"}


@pytest.mark.parametrize("name", ["issuer", "audience", "practice"])
@pytest.mark.parametrize("value", ["", None, "two words", 7, ["maple"], "line\nend"])
def test_issuer_audience_and_practice_must_be_given(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match="must be"):
        Verifier(**(GOOD | {name: value}))


@pytest.mark.parametrize("practice", ["*", "any", "maple:p_1", "maple/birch"])
def test_every_practice_is_said_aloud_or_not_at_all(practice: str) -> None:
    if practice == "any":  # a practice of that name, nothing more
        assert Verifier(**(GOOD | {"practice": practice}))._practice is not ANY_PRACTICE
    else:
        with pytest.raises(ValueError, match="ANY_PRACTICE"):
            Verifier(**(GOOD | {"practice": practice}))


@pytest.mark.parametrize(
    "url",
    [
        "http://auth.example/jwks.json",
        "http://127.0.0.1.evil.example/jwks.json",
        "http://2130706433/jwks.json",
        "http://192.168.1.5/jwks.json",
        "HTTP://auth.example/jwks.json",
        "file:///etc/passwd",
        "ftp://127.0.0.1/jwks.json",
        "data:application/json,{}",
        "//auth.example/jwks.json",
        "auth.example/jwks.json",
        "https:///jwks.json",
        "https://anna:secret@auth.example/jwks.json",
        "https://auth.example/jwks.json#part",
        "https://auth.example:99999/jwks.json",
        "https://auth.example:0/jwks.json",
        "https://auth.example/\njwks.json",
        "https://auth.example/ä",
        "https://[::1/jwks.json",
        "",
    ],
)
def test_an_address_that_could_be_tampered_with_on_the_way_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"jwks_url|port|Invalid IPv6|Port"):
        Verifier(**GOOD, jwks_url=url)


@pytest.mark.parametrize("issuer", ["http://auth.example", "auth.example", "urn:authsvc"])
def test_an_issuer_that_leads_to_no_safe_address_needs_one_given(issuer: str) -> None:
    with pytest.raises(ValueError, match="jwks_url"):
        Verifier(issuer, "a", "maple")
    Verifier(issuer, "a", "maple", jwks_url="https://auth.example/jwks.json")


@pytest.mark.parametrize(
    "url",
    ["https://auth.example/jwks.json?v=1", "http://127.0.0.1:8080/j", "http://[::1]:8080/j", "http://localhost/j"],
)
def test_https_is_taken_and_plain_http_to_this_machine(url: str) -> None:
    Verifier(**GOOD, jwks_url=url)


@pytest.mark.parametrize("issuer", ["https://auth.example", "https://auth.example/"])
def test_the_key_set_is_looked_for_under_the_issuer(issuer: str) -> None:
    asked = []

    def fetch(url: str) -> bytes:
        asked.append(url)
        raise OSError("not now")

    with pytest.raises(InvalidToken):
        Verifier(issuer, "a", "maple", fetch=fetch).verify(kit.token())
    assert asked == ["https://auth.example/.well-known/jwks.json"]


def test_making_a_verifier_opens_no_connection() -> None:
    Verifier(**GOOD, fetch=lambda url: pytest.fail("fetched"))


def test_the_verifier_needs_neither_flask_nor_anything_else_of_ours() -> None:
    loaded = "import sys, authsvc.verifier; print(*sorted(m.split('.')[0] for m in sys.modules), *sys.modules)"
    modules = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True).stdout.split()
    assert not {"flask", "werkzeug", "redis", "requests", "argon2"} & set(modules)
    assert {one for one in modules if one.startswith("authsvc.")} == {"authsvc.verifier"}
