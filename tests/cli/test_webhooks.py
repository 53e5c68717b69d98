"""A practice's webhook at the command line: its URL, its secret, a test of it."""

from __future__ import annotations

import re

import pytest

from tests.cli.conftest import Authsvc

URL = "https://hooks.example/authsvc"


def test_a_webhook_is_registered_and_its_secret_shown_once(maple: Authsvc) -> None:
    shown = maple("practices", "rotate-webhook-secret", "maple", "--json").document
    assert shown["practice"] == "maple"
    assert re.fullmatch(r"whsec_[A-Za-z0-9+/]{44}", shown["webhook_secret"])
    known = maple("practices", "set", "maple", "--webhook-url", URL, "--delivery", "webhook", "--json").document
    assert (known["webhook_url"], known["delivery"]) == (URL, "webhook")
    listed = maple("practices", "list", "--json")
    assert shown["webhook_secret"] not in listed.out
    assert "webhook_secrets" not in listed.out


def test_what_is_missing_is_said(maple: Authsvc) -> None:
    refused = maple("practices", "set", "maple", "--delivery", "webhook")
    assert (refused.code, "URL is missing" in refused.err) == (1, True)
    assert maple("practices", "set", "maple", "--webhook-url", URL).code == 0
    tested = maple("practices", "webhook-test", "maple")
    assert (tested.code, "secret is missing" in tested.err) == (1, True)


def test_a_test_that_reaches_nobody_says_why(maple: Authsvc) -> None:
    maple("practices", "rotate-webhook-secret", "maple")
    assert maple("practices", "set", "maple", "--webhook-url", "https://localhost:9/hook").code == 0
    tested = maple("practices", "webhook-test", "maple")
    assert (tested.code, "not reachable" in tested.err) == (1, True)


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example/authsvc",
        "https://10.0.0.1/hook",
        "https://192.168.1.1/hook",
        "https://169.254.169.254/latest/meta-data",
        "https://[fe80::1]/hook",
        "https://[fd00::1]/hook",
        "https://[::ffff:10.0.0.1]/hook",
        "https://[64:ff9b::a00:1]/hook",
        "https://user:secret@hooks.example/",
        "https://hooks.example/#part",
    ],
)
def test_attack_a_webhook_that_leads_inside_is_not_registered(maple: Authsvc, url: str) -> None:
    assert maple("practices", "set", "maple", "--webhook-url", url).code == 2
