"""Without a key to sign with nothing is used up: what could not be answered works once the keys are back."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from authsvc.errors import KeysetUnusable
from tests.flows import test_unconfirmed as acts
from tests.flows.conftest import Harness


@pytest.mark.parametrize(
    "prepared",
    [
        acts.repeat_link,
        acts.repeat_code,
        acts.repeat_choice,
        acts.repeat_refresh,
        acts.repeat_authorization_code,
        acts.repeat_switch,
    ],
)
def test_fault_a_credential_outlives_the_loss_of_the_signing_keys(
    harness: Harness, prepared: Callable[[Harness], Callable[[], object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    harness.patient()
    act = prepared(harness)

    def gone() -> None:
        raise KeysetUnusable("keyset_missing")

    with monkeypatch.context() as away:
        away.setattr(harness.service.signing_keys, "signer", gone)
        for _ in range(2):
            with pytest.raises(KeysetUnusable):
                act()
        harness.clock.advance_s(30)  # after the grace of repeats
    assert act()
