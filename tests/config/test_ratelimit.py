"""The limits: their numbers, the chance they leave a guesser, and the fields that callers see."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import http_sf
import pytest

from authsvc.config import limits
from authsvc.config.limits import POLICIES, Policy, check, fields, guess_chance, load
from authsvc.config.units import rate, say_size, size_bytes, span_s
from authsvc.errors import SettingsInvalid
from authsvc.model import LimitState

ROOT = Path(__file__).parents[2]


def overlaid(tmp_path: Path, text: str) -> limits.Limits:
    path = tmp_path / "limits.toml"
    path.write_text(text)
    return load(str(path))


def refused(tmp_path: Path, text: str) -> dict[str, str]:
    with pytest.raises(SettingsInvalid) as caught:
        overlaid(tmp_path, text)
    return {fault.pointer: fault.detail for fault in caught.value.faults}


# --- the numbers --------------------------------------------------------------------------------------------------


def test_the_packaged_limits_are_the_documented_ones() -> None:
    limits = load()
    assert {name: (policy.quota, policy.window_s) for name, policy in limits.policies.items()} == {
        "issue-address": (5, 900),
        "issue-patient": (10, 900),
        "issue-address-day": (20, 86_400),
        "issue-patient-day": (20, 86_400),
        "issue-network": (30, 900),
        "verify-network": (60, 900),
        "exchange-network": (120, 60),
        "client-calls": (100, 1),
        "auth-failures": (60, 900),
        "link-mails": (20, 86_400),
        "address-change": (5, 86_400),
        "address-notices": (10, 86_400),
        "mails-practice": (2_000, 900),
        "mails-all": (20_000, 3_600),
        "link-resend": (1, 900),
    }
    assert (limits.attempts_per_challenge, limits.live_codes) == (5, 3)
    assert (limits.misses_consecutive, limits.misses_per_day, limits.misses_per_link) == (100, 300, 20)
    assert limits.misses_by_links_per_day == 30
    assert (limits.resends_per_challenge, limits.link_resends_per_lineage) == (5, 3)
    assert (limits.replays, limits.replay_window_s, limits.refresh_grace_s) == (5, 5, 30)
    assert (limits.typed_share, limits.link_resend_every_s) == (0.8, 900)


def test_the_packaged_limits_travel_with_the_package_and_config_shows_the_same() -> None:
    assert (ROOT / "authsvc") in limits.DEFAULT.parents
    assert (ROOT / "config" / "limits.toml").read_bytes() == limits.DEFAULT.read_bytes()


def test_the_numbers_in_the_reference_are_the_packaged_ones() -> None:
    page = (ROOT / "docs" / "reference" / "limits.md").read_text()
    rows = dict(re.findall(r"^\| `(.+?)` \| (.+?) \|", page, re.MULTILINE))
    limits = load()
    scalars = {each.name for each in dataclasses.fields(limits)} - {"policies"} | {"live_codes"}
    assert set(rows) == set(POLICIES) | scalars
    for name, policy in limits.policies.items():
        assert rate(rows[name]) == (policy.quota, policy.window_s)
    for name in scalars:
        read = size_bytes if name.endswith("_storage") else span_s if name.endswith("_s") else float
        written = read(rows[name])
        assert written == getattr(limits, name)
    assert f"1,000,000 = {guess_chance(limits):g}." in " ".join(page.split())


def test_a_site_writes_down_only_what_differs(tmp_path: Path) -> None:
    text = (
        '[policies]\nclient-calls = "20 per s"\n[guesses]\nmisses_per_link = 1\n[repeats]\nreplay_window_s = "10 s"\n'
    )
    limits = overlaid(tmp_path, text)
    assert limits.policies["client-calls"] == Policy("client-calls", 20, 1)
    assert (limits.misses_per_link, limits.replay_window_s, limits.misses_per_day) == (1, 10, 300)


def test_a_size_is_written_in_units_of_1024(tmp_path: Path) -> None:
    assert overlaid(tmp_path, '[storage]\npractice_storage = "512 MiB"\n').practice_storage == 512 * 2**20
    assert [say_size(size) for size in (0, 3 * 2**19, 5 * 2**29, 2**40)] == ["0.0 MiB", "1.5 MiB", "2.5 GiB", "1.0 TiB"]


def test_a_pause_between_two_acts_is_rounded_up(tmp_path: Path) -> None:
    assert overlaid(tmp_path, '[policies]\nlink-resend = "2 per 15 s"\n').link_resend_every_s == 8


@pytest.mark.parametrize(
    "text, at",
    [
        ('[polices]\nclient-calls = "1 per s"', "limits: 'polices'"),
        ("guesses = 5", "limits: 'guesses'"),
        ('[policies]\nclient-call = "1 per s"', "limits: policies 'client-call'"),
        ('[policies]\nclient-calls = "many"', "limits: policies client-calls"),
        ("[policies]\nclient-calls = 5", "limits: policies client-calls"),
        ('[policies]\nclient-calls = "1001 per s"', "limits: policies client-calls"),
        ("[guesses]\nattempts_per_challenge = 50", "limits: guesses attempts_per_challenge"),
        ("[guesses]\nmisses_consecutive = 101", "limits: guesses misses_consecutive"),
        ("[guesses]\nlive_codes = 1", "limits: guesses 'live_codes'"),
        ("[guesses]\nmisses_per_day = true", "limits: guesses misses_per_day"),
        ("[guesses]\nmisses_per_link = -1", "limits: guesses misses_per_link"),
        ("[repeats]\nresends_per_challenge = 99", "limits: repeats resends_per_challenge"),
        ("[repeats]\nlink_resends_per_lineage = 99", "limits: repeats link_resends_per_lineage"),
        ("[repeats]\nreplays = 99", "limits: repeats replays"),
        ('[repeats]\nrefresh_grace_s = "1 h"', "limits: repeats refresh_grace_s"),
        ("[shares]\ntyped_share = 1.1", "limits: shares typed_share"),
        ("[shares]\nstorage_share = 2", "limits: shares storage_share"),
        ("[storage]\npractice_storage = 4", "limits: storage practice_storage"),
        ('[storage]\npractice_storage = "4 GB"', "limits: storage practice_storage"),
        ('[storage]\npractice_storage = "0 GiB"', "limits: storage practice_storage"),
    ],
)
def test_a_limit_that_is_unknown_or_out_of_range_is_refused(tmp_path: Path, text: str, at: str) -> None:
    assert list(refused(tmp_path, text)) == [at]


def test_all_faults_of_the_limits_are_reported_at_once(tmp_path: Path) -> None:
    faults = refused(tmp_path, '[policies]\nissue-adress = "1 per s"\n[guesses]\nmisses_per_day = 0\n[x]\n')
    assert len(faults) == 3
    assert "did you mean issue-address?" in faults["limits: policies 'issue-adress'"]


def test_limits_that_cannot_be_read_say_why(tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid, match="AUTHSVC_LIMITS_FILE: the file can't be read"):
        load(str(tmp_path / "absent"))


# --- guessing -----------------------------------------------------------------------------------------------------


def test_the_chance_of_guessing_a_way_in_is_below_one_in_a_thousand_a_day() -> None:
    assert guess_chance(load()) == pytest.approx(0.00099)
    assert check(load(), 0.001) == ()


def test_limits_that_leave_a_guesser_too_much_are_refused(tmp_path: Path) -> None:
    (fault,) = check(overlaid(tmp_path, "[guesses]\nmisses_per_day = 304\n"), 0.001)
    assert fault.pointer == "AUTHSVC_GUESS_BOUND"
    assert "0.001002" in fault.detail


# --- what a caller sees -------------------------------------------------------------------------------------------

ISSUE = LimitState("issue-network", 30, 900, 29, 30)
SPENT = LimitState("verify-network", 60, 900, 0, 900)


def parsed(value: str) -> dict[str, dict[str, object]]:
    """A list of strings with parameters (RFC 9651 §3.1), read by a parser of other authors."""
    items: Any = http_sf.parse(value.encode(), tltype="list")
    assert all(type(name) is str for name, _ in items)
    return {name: dict(parameters) for name, parameters in items}


def test_the_fields_are_structured_and_name_quota_window_remainder_and_reset() -> None:
    shown = fields([ISSUE, SPENT])
    assert shown["RateLimit-Policy"] == '"issue-network";q=30;w=900, "verify-network";q=60;w=900'
    assert shown["RateLimit"] == '"issue-network";r=29;t=30, "verify-network";r=0;t=900'
    assert parsed(shown["RateLimit-Policy"])["issue-network"] == {"q": 30, "w": 900}
    assert parsed(shown["RateLimit"])["verify-network"] == {"r": 0, "t": 900}


def test_a_refusal_never_says_to_come_back_earlier_than_its_reset() -> None:
    shown = parsed(fields([ISSUE, SPENT], retry_after_s=15)["RateLimit"])
    assert shown == {"issue-network": {"r": 29, "t": 30}, "verify-network": {"r": 0, "t": 15}}


def test_a_policy_that_guards_two_networks_is_shown_once_as_the_tighter() -> None:
    wide, narrow = LimitState("issue-network", 30, 900, 12, 540), LimitState("issue-network", 30, 900, 3, 810)
    for states in ([wide, narrow], [narrow, wide]):
        assert fields(states)["RateLimit"] == '"issue-network";r=3;t=810'
        assert fields(states)["RateLimit-Policy"] == '"issue-network";q=30;w=900'


def test_no_limits_no_fields() -> None:
    assert fields([]) == {}


def test_every_policy_has_a_name_that_a_structured_string_can_hold() -> None:
    states = [LimitState(name, 1, 1, 0, 1) for name in POLICIES]
    assert list(parsed(fields(states)["RateLimit"])) == list(POLICIES)
