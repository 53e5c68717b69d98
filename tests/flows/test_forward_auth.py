"""forward-auth's use case: for whom a token is, and tokens that our own key signed and we never issued."""

from __future__ import annotations

from typing import Any

import pytest

from authsvc.crypto.tokens import AccessTokens
from authsvc.errors import TokenInsufficient, TokenInvalid
from tests.flows.conftest import Harness


@pytest.fixture
def claims(harness: Harness) -> dict[str, Any]:
    """What a good token of a code sign-in says."""
    harness.patient()
    grant = harness.sign_in()
    return dict(harness.service.forward_auth.authorise(grant.access_token, "maple", None, None, None))


def signed(harness: Harness, claims: dict[str, Any]) -> str:
    return AccessTokens().issue(harness.service.signing_keys.signer(), claims)


def test_a_token_for_another_audience_is_refused_and_passes_where_that_audience_is_named(
    harness: Harness, claims: dict[str, Any]
) -> None:
    token = signed(harness, {**claims, "aud": "billing-api"})
    gateway = harness.service.forward_auth
    assert gateway.authorise(token, "maple", None, None, None, "billing-api")["aud"] == "billing-api"
    for audience in (None, "practice-services", "billing"):
        with pytest.raises(TokenInvalid, match="audience"):
            gateway.authorise(token, "maple", None, None, None, audience)


def test_an_unknown_way_of_signing_in_ranks_below_all_that_are_known(harness: Harness, claims: dict[str, Any]) -> None:
    token = signed(harness, {**claims, "acr": "gold"})
    for acr in ("instant", "extra"):
        with pytest.raises(TokenInsufficient):
            harness.service.forward_auth.authorise(token, "maple", None, None, acr)


def test_a_token_that_rests_on_nothing_is_refused(harness: Harness, claims: dict[str, Any]) -> None:
    token = signed(harness, {name: value for name, value in claims.items() if name != "sid"})
    with pytest.raises(TokenInvalid, match="revoked"):
        harness.service.forward_auth.authorise(token, "maple", None, None, None)
