"""What a good token reaches: scope, step-up, resource; and the answers of RFC 6750 and RFC 9470 when it doesn't."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from authsvc import verifier as under_test
from authsvc.verifier import (
    AccessRefused,
    InsufficientAuthentication,
    InsufficientScope,
    InvalidToken,
    Verifier,
    VerifierError,
    require,
)
from tests.vectors import generate as kit

if TYPE_CHECKING:
    from tests.verifier.conftest import Clock

SIGN_IN = kit.SIGN_IN | {"scope": "invoices:view invoice:view contact:edit"}
LINK = kit.LINK


def test_a_token_with_the_scope_passes(verifier: Verifier) -> None:
    verifier.require(SIGN_IN, "contact:edit")
    verifier.require(SIGN_IN, "contact:edit invoices:view", acr="extra", max_age=120)
    require(SIGN_IN, "contact:edit", now=lambda: kit.NOW)


@pytest.mark.parametrize(
    "scope", ["membership:edit", "invoices:view membership:edit", "invoices", "Invoices:view", "view"]
)
def test_a_missing_scope_is_a_403_that_names_it(scope: str, verifier: Verifier) -> None:
    with pytest.raises(InsufficientScope) as refusal:
        verifier.require(SIGN_IN, scope)
    assert refusal.value.status == 403
    assert refusal.value.www_authenticate == f'Bearer realm="authsvc", error="insufficient_scope", scope="{scope}"'


# --- resources ----------------------------------------------------------------------------------------------------


def test_a_bound_token_passes_for_its_resource(verifier: Verifier) -> None:
    verifier.require(LINK, "invoice:view", resource="invoice:inv_1")


@pytest.mark.parametrize(
    "resource", [None, "invoice:inv_2", "invoice:inv_1 ", "invoice:INV_1", "agreement:inv_1", "inv_1"]
)
def test_a_bound_token_never_passes_where_no_resource_or_another_was_named(
    resource: str | None, verifier: Verifier
) -> None:
    with pytest.raises(InsufficientScope) as refusal:
        verifier.require(LINK, "invoice:view", resource=resource)
    assert (refusal.value.status, refusal.value.reason) == (403, "resource")
    assert 'error="insufficient_scope"' in refusal.value.www_authenticate


def test_a_code_sign_in_passes_for_any_resource(verifier: Verifier) -> None:
    verifier.require(SIGN_IN, "invoice:view", resource="invoice:inv_2")
    verifier.require(SIGN_IN, "invoice:view")


@pytest.mark.parametrize(
    "changed",
    [
        {"resource": "invoice:inv_2"},
        {"resource": None},
        {"resource": ""},
        {"authorization_details": []},
        {"authorization_details": [{"type": "invoice", "identifier": "inv_1"}, {"type": "invoice"}]},
    ],
)
def test_details_that_disagree_with_the_resource_are_refused_here_too(
    changed: dict[str, Any], verifier: Verifier
) -> None:
    with pytest.raises(InvalidToken):
        verifier.require(LINK | changed, "invoice:view", resource="invoice:inv_1")


def test_details_without_resource_never_read_as_unbound(verifier: Verifier) -> None:
    with pytest.raises(InvalidToken):
        verifier.require({k: v for k, v in LINK.items() if k != "resource"}, "invoice:view", resource="invoice:inv_1")


def test_a_token_with_resource_alone_is_bound_as_well(verifier: Verifier) -> None:
    alone = {k: v for k, v in LINK.items() if k != "authorization_details"}
    verifier.require(alone, "invoice:view", resource="invoice:inv_1")
    with pytest.raises(InsufficientScope):
        verifier.require(alone, "invoice:view")


# --- step-up ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "held, wanted, reached",
    [
        ("extra", "extra", True),
        ("extra", "instant", True),
        ("instant", "instant", True),
        ("instant", "extra", False),
        ("gold", "instant", False),
        ("EXTRA", "extra", False),
        (None, "instant", False),
        (["extra"], "extra", False),
    ],
)
def test_instant_ranks_below_extra_and_an_unknown_acr_nowhere(
    held: Any, wanted: str, reached: bool, verifier: Verifier
) -> None:
    claims = SIGN_IN | {"acr": held}
    if reached:
        verifier.require(claims, "invoices:view", acr=wanted)
        return
    with pytest.raises(InsufficientAuthentication) as refusal:
        verifier.require(claims, "invoices:view", acr=wanted)
    assert refusal.value.status == 401
    assert refusal.value.www_authenticate == (
        f'Bearer realm="authsvc", error="insufficient_user_authentication", acr_values="{wanted}"'
    )


def test_a_sign_in_older_than_max_age_must_be_renewed(verifier: Verifier, clock: Clock) -> None:
    verifier.require(SIGN_IN, "invoices:view", max_age=120)
    clock.now += 1
    with pytest.raises(InsufficientAuthentication) as refusal:
        verifier.require(SIGN_IN, "invoices:view", max_age=120)
    assert refusal.value.status == 401
    assert refusal.value.www_authenticate == (
        'Bearer realm="authsvc", error="insufficient_user_authentication", max_age="120"'
    )


def test_a_step_up_answer_names_all_that_is_needed_at_once(verifier: Verifier) -> None:
    with pytest.raises(InsufficientAuthentication) as refusal:
        verifier.require(LINK, "invoices:view", acr="extra", max_age=60)
    assert refusal.value.parameters == {"acr_values": "extra", "max_age": "60"}


def test_a_links_token_is_told_to_step_up_before_it_is_told_of_scope_or_resource(verifier: Verifier) -> None:
    with pytest.raises(InsufficientAuthentication):
        verifier.require(LINK, "invoices:view", acr="extra")


def test_the_function_reads_the_time_of_day_when_not_told_otherwise() -> None:
    with pytest.raises(InsufficientAuthentication):
        require(SIGN_IN | {"auth_time": 0}, "invoices:view", max_age=60)


def test_claims_without_auth_time_are_as_old_as_can_be(verifier: Verifier) -> None:
    with pytest.raises(InsufficientAuthentication):
        verifier.require({"scope": "a", "acr": "extra"}, "a", max_age=10_000)


@pytest.mark.parametrize("claims", [{}, {"scope": None}, {"scope": ["invoices:view"]}, {"scope": 7}])
def test_claims_without_a_scope_reach_nothing(claims: dict[str, Any], verifier: Verifier) -> None:
    with pytest.raises(InsufficientScope):
        verifier.require(claims, "invoices:view")


# --- routes that ask nonsense -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "asked",
    [
        {"scope": ""},
        {"scope": None},
        {"scope": "a  b"},
        {"scope": 'a"b'},
        {"scope": "a\r\nSet-Cookie: b"},
        {"scope": ["a"]},
        {"scope": "a", "acr": "gold"},
        {"scope": "a", "acr": ""},
        {"scope": "a", "max_age": -1},
        {"scope": "a", "max_age": True},
        {"scope": "a", "max_age": 1.5},
        {"scope": "a", "max_age": "60"},
        {"scope": "a", "resource": ""},
    ],
)
def test_a_route_that_asks_nonsense_is_a_mistake_of_the_service(asked: dict[str, Any], verifier: Verifier) -> None:
    with pytest.raises(ValueError, match="must"):
        verifier.require(SIGN_IN | {"scope": "a b"}, **asked)


def test_nonsense_is_found_when_the_route_is_declared(verifier: Verifier) -> None:
    with pytest.raises(ValueError, match="scope"):
        verifier.flask("")
    with pytest.raises(ValueError, match="acr"):
        verifier.wsgi(lambda environ, start_response: [], "a", acr="aal2")


# --- answers ------------------------------------------------------------------------------------------------------


def test_a_value_can_not_break_out_of_its_quotes_in_the_challenge() -> None:
    refusal = InsufficientScope("scope", scope='a", error="none\\\r\nSet-Cookie: x=é')
    assert refusal.www_authenticate == (
        'Bearer realm="authsvc", error="insufficient_scope", scope="a, error=noneSet-Cookie: x="'
    )


def test_every_refusal_has_its_status_and_its_code() -> None:
    table = {
        name: (kind.status, kind.error)
        for name, kind in vars(under_test).items()
        if isinstance(kind, type) and issubclass(kind, VerifierError)
    }
    assert table == {
        "VerifierError": (401, ""),
        "NoCredentials": (401, ""),
        "InvalidRequest": (400, "invalid_request"),
        "InvalidToken": (401, "invalid_token"),
        "InvalidProof": (401, "invalid_dpop_proof"),
        "KeysUnavailable": (503, "temporarily_unavailable"),
        "AccessRefused": (401, ""),
        "InsufficientScope": (403, "insufficient_scope"),
        "InsufficientAuthentication": (401, "insufficient_user_authentication"),
    }


def test_what_a_good_token_lacks_is_one_family_and_what_is_no_good_token_another() -> None:
    assert issubclass(InsufficientScope, AccessRefused)
    assert issubclass(InsufficientAuthentication, AccessRefused)
    assert not issubclass(InvalidToken, AccessRefused)


# --- who acts -------------------------------------------------------------------------------------------------------

ACTING = SIGN_IN | {"act": {"sub": f"{kit.PRACTICE}:guardian"}}


def test_a_token_in_which_somebody_acts_passes_unless_the_patient_is_wanted_in_person(verifier: Verifier) -> None:
    verifier.require(ACTING, "contact:edit")
    verifier.require(SIGN_IN, "contact:edit", acting=False)
    for refuse in (require, verifier.require):
        with pytest.raises(InsufficientScope) as refusal:
            refuse(ACTING, "contact:edit", acting=False)
        assert (refusal.value.status, refusal.value.reason) == (403, "acting")


def test_a_slip_of_the_keyboard_lets_nobody_act() -> None:
    slip: Any = "no"
    with pytest.raises(ValueError, match="acting"):
        require(SIGN_IN, "contact:edit", acting=slip)
