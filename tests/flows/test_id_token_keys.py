"""Keys for ID tokens of another algorithm than that of access tokens: made when needed, and rotated alike."""

from __future__ import annotations

import json

import pytest

from authsvc.flows.keyset import Keyset
from authsvc.store.connection import Connection
from tests.flows.keysets import Instance, KeyInstances, jwks_kids

PUBLISHED_S = 360


@pytest.fixture
def site(store: Connection, redis_client: object) -> KeyInstances:
    return KeyInstances(store, redis_client)


@pytest.fixture
def one(site: KeyInstances) -> Instance:
    made = site.start()
    made.keys.ensure()
    return made


def states(instance: Instance, alg: str = "RS256") -> list[str]:
    return [key.state for key in instance.keys.list() if key.alg == alg]


def test_they_are_made_when_first_needed_and_every_instance_has_the_same(site: KeyInstances, one: Instance) -> None:
    assert states(one) == []
    other = site.start()
    other.keys.ensure()
    key = one.keys.signer_of("RS256")
    assert other.keys.signer_of("RS256").kid == key.kid
    assert states(one) == states(other) == ["current", "next"]
    assert key.kid in jwks_kids(other.keys)
    assert [entry["event"] for entry in site.audit()] == ["key.created", "key.created"]
    assert site.audit()[-1]["kid"] == key.kid


def test_access_tokens_are_signed_as_before(one: Instance) -> None:
    signer = one.keys.signer()
    one.keys.signer_of("RS256")
    assert one.keys.signer() is signer
    assert one.keys.signer_of("") is one.keys.signer_of("ES256") is signer
    assert next(iter(one.keys.verification_keys())) == signer.kid


def test_a_rotation_moves_them_too_once_their_next_key_is_known_to_verifiers(site: KeyInstances, one: Instance) -> None:
    site.clock.advance_s(PUBLISHED_S)
    before = one.keys.signer_of("RS256").kid
    one.keys.rotate("cli:anna")
    assert one.keys.signer_of("RS256").kid == before
    assert states(one) == ["current", "next"]
    site.clock.advance_s(PUBLISHED_S)
    one.keys.rotate("cli:anna")
    assert one.keys.signer_of("RS256").kid != before
    assert states(one) == ["current", "next", "retiring"]
    assert before in jwks_kids(one.keys)
    site.clock.advance_s(3600)
    assert before not in jwks_kids(one.keys)


def test_a_revoked_one_is_replaced_by_one_of_its_algorithm(site: KeyInstances, one: Instance) -> None:
    one.keys.signer_of("RS256")
    first, waiting = (key.kid for key in one.keys.list() if key.alg == "RS256")
    step = one.keys.revoke(first, "cli:anna")
    assert "refuse new tokens for up to 360 s" in step.cost
    assert one.keys.signer_of("RS256").kid == waiting
    one.keys.revoke(next(key.kid for key in one.keys.list() if (key.alg, key.state) == ("RS256", "next")), "cli:anna")
    assert states(one) == ["current", "next"]
    assert states(one, "ES256") == ["current", "next"]
    assert first not in jwks_kids(one.keys)


def test_a_retiring_one_is_revoked_without_a_successor(site: KeyInstances, one: Instance) -> None:
    gone = one.keys.signer_of("RS256").kid
    site.clock.advance_s(PUBLISHED_S)
    one.keys.rotate("cli:anna")
    one.keys.revoke(gone, "cli:anna")
    assert states(one) == ["current", "next"]


def test_an_older_version_reads_the_record_and_what_it_drops_is_made_anew(site: KeyInstances, one: Instance) -> None:
    """It knows `version`, `keys` and `revoked`, and in `keys` nothing but what it signs access tokens with."""
    lost = one.keys.signer_of("RS256").kid
    record = site.keyset()
    assert {key["alg"] for key in record["keys"]} == {"ES256"}
    site.put_keyset(json.dumps({name: record[name] for name in ("version", "keys", "revoked")}))
    one.keys.refresh()
    assert one.keys.signer_of("RS256").kid != lost


def test_a_record_without_them_is_written_as_an_older_version_writes_it(site: KeyInstances, one: Instance) -> None:
    assert site.keyset().keys() == {"version", "keys", "revoked"}
    assert site.keyset()["keys"][0].keys() == {
        *("kid", "alg", "state", "created_ms", "signs_from_ms", "sealed", "gone_at_ms")
    }


def test_what_a_newer_version_has_added_is_passed_over_and_stays(site: KeyInstances, one: Instance) -> None:
    record = site.keyset()
    record["from_the_future"] = {"a": 1}
    site.put_keyset(json.dumps(record))
    one.keys.refresh()
    one.keys.signer_of("RS256")
    assert site.keyset()["from_the_future"] == {"a": 1}


def test_a_series_without_a_next_key_is_no_keyset(site: KeyInstances, one: Instance) -> None:
    one.keys.signer_of("RS256")
    record = site.keyset()
    record["id_token_keys"].pop()
    with pytest.raises(ValueError, match="exactly one current and one next"):
        Keyset.from_json(json.dumps(record))
