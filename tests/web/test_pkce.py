"""PKCE (RFC 7636): always for public clients; for confidential ones unless they are registered without."""

from __future__ import annotations

import pytest

from tests.web.conftest import Web
from tests.web.relying_party import CHALLENGE, VERIFIER, Party, code_of, party, sent_to, sign_in

WITHOUT = {"code_challenge": None, "code_challenge_method": None}


@pytest.fixture
def app(web: Web) -> Party:
    """A client whose library knows no PKCE, with a patient signed in."""
    made = party(web, pkce="optional")
    sign_in(web)
    return made


def test_a_client_registered_for_it_signs_in_without(web: Web, app: Party) -> None:
    code = code_of(app.authorize(**WITHOUT))
    assert app.redeem(code, code_verifier=None).status_code == 200


def test_the_sign_in_page_carries_a_request_without_pkce_along(web: Web, app: Party) -> None:
    _, carried = sent_to(app.authorize(prompt="login", **WITHOUT))
    assert not {"code_challenge", "code_challenge_method"} & carried.keys()


def test_it_may_use_pkce_all_the_same_and_then_the_verifier_is_compulsory(web: Web, app: Party) -> None:
    code = code_of(app.authorize())
    for verifier in (None, "A" * 43):
        assert app.redeem(code, code_verifier=verifier).json["error"] == "invalid_grant"
    assert app.redeem(code, code_verifier=VERIFIER).status_code == 200


def test_attack_downgrade_a_verifier_for_a_code_that_was_asked_for_without_a_challenge(web: Web, app: Party) -> None:
    """RFC 9700 §2.1.1: somebody has taken the challenge out of the request on its way."""
    code = code_of(app.authorize(**WITHOUT))
    assert app.redeem(code, code_verifier=VERIFIER).json["error"] == "invalid_grant"


@pytest.mark.parametrize(
    "half",
    [
        {"code_challenge": CHALLENGE, "code_challenge_method": None},
        {"code_challenge": CHALLENGE, "code_challenge_method": "plain"},
        {"code_challenge": "short", "code_challenge_method": "S256"},
        {"code_challenge": None, "code_challenge_method": "S256"},
    ],
)
def test_half_a_challenge_and_the_method_plain_are_refused(web: Web, app: Party, half: dict[str, str | None]) -> None:
    _, said = sent_to(app.authorize(**half))
    assert said["error"] == "invalid_request"


def test_attack_a_code_asked_for_without_pkce_is_of_no_use_to_another_client(web: Web, app: Party) -> None:
    other = party(web, "other", pkce="optional")
    code = code_of(app.authorize(**WITHOUT))
    assert other.redeem(code, code_verifier=None).json["error"] == "invalid_grant"
    assert app.redeem(code, code_verifier=None).status_code == 200


def test_every_other_client_is_refused_without(web: Web) -> None:
    strict = party(web)
    sign_in(web)
    _, said = sent_to(strict.authorize(**WITHOUT))
    assert said["error"] == "invalid_request"
    code = code_of(strict.authorize())
    assert strict.redeem(code, code_verifier=None).json["error"] == "invalid_request"
