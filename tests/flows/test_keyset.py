"""The keyset as a value: its steps, its times, and the texts it refuses to be."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from authsvc.flows.keyset import CURRENT, NEXT, RETIRING, REVOKED_MAX, Keyset, KeysetEntry, Timing
from tests.fakes import NINE_O_CLOCK_MS
from tests.flows.keysets import settings_with

T = NINE_O_CLOCK_MS
TIMING = Timing.of(settings_with())


def fresh(kid: str, now_ms: int = T) -> KeysetEntry:
    return KeysetEntry(kid, "ES256", NEXT, now_ms, now_ms + TIMING.before_ms, f"sealed {kid}")


def first() -> Keyset:
    return Keyset(1, (replace(fresh("k1"), state=CURRENT, signs_from_ms=T), fresh("k2")))


def states(keyset: Keyset) -> dict[str, str]:
    return {key.kid: key.state for key in keyset.keys}


def test_times_are_computed_from_the_settings() -> None:
    assert Timing(before_ms=360_000, after_ms=665_000) == TIMING
    wider = Timing.of(settings_with(jwks_max_age_s=3600, jwks_slack_s=120, clock_skew_s=120))
    assert wider == Timing(before_ms=3_720_000, after_ms=725_000)


def test_shorter_tokens_do_not_shorten_retirement_since_settings_may_have_changed() -> None:
    assert Timing.of(settings_with(access_token_life_s=60)).after_ms == TIMING.after_ms


def test_a_rotation_moves_every_key_one_state_on() -> None:
    keyset = first().rotated(fresh("k3"), T + 5, TIMING)
    assert states(keyset) == {"k1": RETIRING, "k2": CURRENT, "k3": NEXT}
    assert keyset.current.signs_from_ms == T + 5
    assert keyset.find("k1") == replace(first().current, state=RETIRING, gone_at_ms=T + 5 + TIMING.after_ms)
    assert keyset.version == 2


def test_a_retiring_key_is_gone_at_its_time_though_nobody_removed_it() -> None:
    keyset = first().rotated(fresh("k3"), T, TIMING)
    gone_at_ms = keyset.changes_at_ms()
    assert gone_at_ms == T + TIMING.after_ms
    assert "k1" in states(keyset.at(gone_at_ms - 1))
    assert "k1" not in states(keyset.at(gone_at_ms))
    assert keyset.at(gone_at_ms).changes_at_ms() is None


def test_a_revoked_current_key_is_followed_by_the_next_at_once() -> None:
    keyset = first().without("k1", fresh("k3"), T + 5)
    assert states(keyset) == {"k2": CURRENT, "k3": NEXT}
    assert keyset.current.signs_from_ms == T + 5
    assert keyset.revoked == ("k1",)


def test_a_revoked_next_key_is_replaced() -> None:
    assert states(first().without("k2", fresh("k3"), T)) == {"k1": CURRENT, "k3": NEXT}


def test_a_revoked_retiring_key_is_gone_and_the_others_stay() -> None:
    keyset = first().rotated(fresh("k3"), T, TIMING).without("k1", fresh("k4"), T)
    assert states(keyset) == {"k2": CURRENT, "k3": NEXT}
    assert keyset.revoked == ("k1",)


def test_revoked_keys_are_remembered_up_to_a_bound() -> None:
    keyset = replace(first(), revoked=tuple(f"r{n}" for n in range(REVOKED_MAX)))
    assert keyset.without("k1", fresh("k3"), T).revoked == (*(f"r{n}" for n in range(1, REVOKED_MAX)), "k1")


def test_a_brought_key_waits_in_place_of_the_next() -> None:
    assert states(first().with_next(fresh("mine"))) == {"k1": CURRENT, "mine": NEXT}


def test_people_see_what_signs_then_what_will_then_what_did() -> None:
    keyset = first().rotated(fresh("k3", T + 1), T + 1, TIMING).rotated(fresh("k4", T + 2), T + 2, TIMING)
    assert [key.kid for key in keyset.in_order()] == ["k3", "k4", "k1", "k2"]


@settings(derandomize=True, deadline=None, max_examples=200)
@given(st.lists(st.tuples(st.sampled_from(["rotate", "revoke", "import"]), st.integers(0, 400_000)), max_size=12))
def test_whatever_is_done_there_is_one_current_and_one_next_key(steps: list[tuple[str, int]]) -> None:
    keyset, now_ms = first(), T
    for number, (step, pause_ms) in enumerate(steps):
        now_ms += pause_ms
        keyset, made = keyset.at(now_ms), fresh(f"n{number}", now_ms)
        if step == "rotate":
            keyset = keyset.rotated(made, now_ms, TIMING)
        elif step == "revoke":
            keyset = keyset.without(keyset.keys[pause_ms % len(keyset.keys)].kid, made, now_ms)
        else:
            keyset = keyset.with_next(made)
        assert Keyset.from_json(keyset.to_json()) == keyset
        assert keyset.current.state == CURRENT
        assert keyset.next.kid == f"n{number}" or step == "revoke"
        assert not set(keyset.revoked) & set(states(keyset))
        assert keyset.version == number + 2


def broken(**changed: object) -> str:
    return json.dumps(json.loads(first().to_json()) | changed)


KEYS = json.loads(first().to_json())["keys"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "{}",
        "{",
        '"keyset"',
        broken(keys=None),
        broken(keys=[]),
        broken(keys=[KEYS[0]]),
        broken(keys=[KEYS[1]]),
        broken(keys=[KEYS[0], KEYS[0], KEYS[1]]),
        broken(keys=[*KEYS, KEYS[1] | {"kid": "k9"}]),
        broken(keys=[*KEYS, KEYS[1] | {"kid": "k9", "state": "gone"}]),
        broken(keys=[*KEYS, KEYS[0] | {"state": "retiring"}]),
        broken(keys=[KEYS[0], {"kid": "k2"}]),
        broken(revoked=None),
    ],
)
def test_what_is_not_a_whole_keyset_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="keyset"):
        Keyset.from_json(text)
