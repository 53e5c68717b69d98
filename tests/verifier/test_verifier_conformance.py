"""Our verifier against every row of the conformance kit, each refused for what is wrong with it and nothing else."""

from __future__ import annotations

import json

import pytest

from authsvc.verifier import InvalidToken, Verifier
from tests.vectors import generate as kit

KIT = json.loads(kit.KIT.read_text(encoding="utf-8"))
GOOD = [row for row in KIT["rows"] if row["verdict"] == "accept"]
BAD = [row for row in KIT["rows"] if row["verdict"] == "refuse"]

REASONS = {
    "algorithm": {"shape", "header", "algorithm", "algorithm_of_another_key"},
    "key": {"header", "kid", "unknown_kid", "signature", "algorithm"},
    "header": {"typ", "header", "encoding"},
    "signature": {"signature"},
    "shape": {"shape", "size", "encoding"},
    "payload": {"payload_json", "claim_iss"},
    "actor": {"claim_act", "payload_json"},
}
"""Why a row of a group may be refused. For `claim` and `meaning` the reason names the claim or the disagreement."""

MEANINGS = {
    "issuer", "audience", "practice", "subject", "expired", "from_the_future", "life",
    "resource_and_details_disagree", "session_and_link", "payload_json",
}  # fmt: skip


def names(row: dict[str, str]) -> str:
    return f"{row['group']}: {row['name']}"


@pytest.mark.parametrize("row", GOOD, ids=names)
def test_a_good_token_of_the_kit_is_accepted(row: dict[str, str], verifier: Verifier) -> None:
    assert verifier.verify(row["token"])["patient"] == "p_1001"


def test_of_the_kits_good_tokens_one_is_a_guardians_and_the_verifier_says_so(verifier: Verifier) -> None:
    acting = {row["name"]: verifier.verify(row["token"]).actor for row in GOOD}
    assert {name: actor for name, actor in acting.items() if actor} == {"a guardian acts for the patient": kit.GUARDIAN}


@pytest.mark.parametrize("row", BAD, ids=names)
def test_a_bad_token_of_the_kit_is_refused_for_its_own_fault(row: dict[str, str], verifier: Verifier) -> None:
    with pytest.raises(InvalidToken) as refusal:
        verifier.verify(row["token"])
    reason = refusal.value.reason
    assert refusal.value.status == 401
    if row["group"] in REASONS:
        assert reason in REASONS[row["group"]]
    else:
        assert reason.startswith("claim_") or reason in MEANINGS
    if row["name"].endswith((" missing", " null")) and row["group"] == "claim":
        assert reason == f"claim_{row['name'].split()[0]}"


def test_the_kit_is_as_large_as_promised_and_names_no_row_twice() -> None:
    assert len(GOOD) >= 6
    assert len(BAD) >= 60
    assert len({names(row) for row in KIT["rows"]}) == len(KIT["rows"]) == len({row["token"] for row in KIT["rows"]})


def test_the_kit_covers_every_required_claim_missing_and_mistyped() -> None:
    written = {row["name"] for row in BAD}
    assert all(f"{claim} missing" in written and f"{claim} null" in written for claim in kit.CLAIMS)


def test_the_kit_and_the_table_in_its_page_are_what_the_script_writes() -> None:
    assert kit.KIT.read_text(encoding="utf-8") == kit.kit()
    page = kit.DOC.read_text(encoding="utf-8")
    assert page == kit.page(page)


def test_the_page_explains_every_group_and_every_member() -> None:
    page = kit.DOC.read_text(encoding="utf-8")
    assert all(f"| `{group}` |" in page for group in {row["group"] for row in KIT["rows"]})
    assert all(f"`{name}`" in page for name in [*KIT, *KIT["rows"][0]] if name != "about")


def test_a_bare_library_call_accepts_much_that_the_kit_refuses() -> None:
    passed = {names(row) for row in BAD if kit.bare_pyjwt_accepts(row["token"])}
    assert {"key: unknown kid", "header: typ 'JWT'", "claim: exp missing", "meaning: another practice"} <= passed
    assert "algorithm: HS256 with the public key as secret: PEM" not in passed
    assert kit.bare_pyjwt_accepts(GOOD[0]["token"])


def test_no_private_key_stands_in_the_kit() -> None:
    assert not {"d", "p", "q", "k"} & {member for key in KIT["jwks"]["keys"] for member in key}
