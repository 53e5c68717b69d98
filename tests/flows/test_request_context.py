"""What all acts share, and words that nobody knows."""

from __future__ import annotations

import hashlib

import pytest

from authsvc.crypto.tokens import AccessTokens
from authsvc.model import TokenGrant
from authsvc.store.script_errors import refusal
from tests.flows.conftest import Harness


def test_a_script_that_refuses_with_an_unknown_word_is_a_fault_of_ours() -> None:
    with pytest.raises(ValueError, match="unknown word"):
        refusal({"err": "hm"})


def test_a_page_may_ask_what_a_link_is_for_and_spends_nothing(harness: Harness) -> None:
    token = harness.link(max_uses=1)
    before = {key: harness.redis.dump(key) for key in harness.redis.scan_iter("authsvc:{maple}:link*")}
    for _ in range(20):
        assert harness.links.describe(harness.act(), token).workflow == "pay-invoice"
    assert {key: harness.redis.dump(key) for key in harness.redis.scan_iter("authsvc:{maple}:link*")} == before
    assert isinstance(harness.links.exchange(harness.act(), token), TokenGrant)


def test_a_result_that_was_reached_under_an_older_key_set_is_not_remembered(harness: Harness) -> None:
    """The ring changes while a token is being checked: what was found may rest on a key that has just gone."""
    harness.patient()
    grant = harness.sign_in()
    bearers = harness.service.introspection
    digest = hashlib.sha256(grant.access_token.encode()).digest()

    class Slow:
        def verify(self, *given: object) -> dict[str, object]:
            bearers._remembered(digest, "another key set")
            return {"exp": 2**40}

    bearers._access = Slow()  # type: ignore[assignment]  # a check that takes long enough for a rotation
    assert bearers.claims(grant.access_token)
    assert digest not in bearers._checked


def test_attack_a_well_signed_token_that_rests_on_neither_session_nor_link_is_inactive(harness: Harness) -> None:
    harness.patient()
    claims = harness.introspected(harness.sign_in().access_token)
    del claims["active"], claims["token_type"], claims["sid"]
    assert harness.introspected(AccessTokens().issue(harness.service.signing_keys.signer(), claims)) == {
        "active": False
    }
