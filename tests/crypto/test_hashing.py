"""The tag of a code, and the queue that bounds what hashing may cost."""

from __future__ import annotations

import hashlib
import hmac
import threading

import pytest
from argon2.low_level import Type, hash_secret_raw
from hypothesis import given, settings
from hypothesis import strategies as st

from authsvc.crypto import hashing
from authsvc.crypto.hashing import PROFILES, HashQueue, code_tag
from authsvc.crypto.mint import b64u
from authsvc.crypto.sealing import frame
from authsvc.errors import Unavailable

PEPPER = bytes(range(32))
SALT = b"sixteen bytes ok"


def tag(**changed: object) -> str:
    given = {"practice": "maple", "handle": "ach_h", "code": "123456", "profile": "light", **changed}
    return code_tag(
        given.get("pepper", PEPPER),  # type: ignore[arg-type]  # a table of changes, each of its own type
        str(given["practice"]),
        str(given["handle"]),
        str(given["code"]),
        given.get("salt", SALT),  # type: ignore[arg-type]
        str(given["profile"]),
    )


def test_the_library_computes_argon2id_as_the_reference_does() -> None:
    # A vector of the reference implementation's own test: version 19, t=2, m=256 KiB, p=1.
    made = hash_secret_raw(b"password", b"somesalt", 2, 256, 1, 32, Type.ID)
    assert made.hex() == "9dfeb910e80bad0311fee20f9c0e2b12c17987b4cac90c2ef54d5b3021c68bfe"


@pytest.mark.parametrize("profile,memory_kib,passes", [("light", 512, 1), ("owasp", 19456, 2)])
def test_a_tag_is_argon2id_over_the_peppered_hmac(profile: str, memory_kib: int, passes: int) -> None:
    payload = frame("authsvc code v1", "maple", "ach_h", "123456")
    inner = hmac.digest(PEPPER, payload, hashlib.sha256)
    outer = hash_secret_raw(inner, SALT, passes, memory_kib, 1, 32, Type.ID, 19)
    assert tag(profile=profile) == b64u(outer)
    assert len(b64u(outer)) == 43


def test_the_profiles_are_the_two_that_were_decided() -> None:
    assert {name: (cost.memory_kib, cost.passes) for name, cost in PROFILES.items()} == {
        "light": (512, 1),
        "owasp": (19456, 2),
    }


@pytest.mark.parametrize(
    "changed",
    [
        {"practice": "oak"},
        {"handle": "ach_i"},
        {"code": "123457"},
        {"salt": b"another sixteen!"},
        {"pepper": bytes(32)},
    ],
)
def test_attack_a_tag_is_good_for_its_own_practice_handle_code_and_pepper_only(changed: dict[str, object]) -> None:
    assert tag(**changed) != tag()


@settings(derandomize=True, deadline=None, max_examples=50)
@given(st.text(max_size=4), st.text(max_size=4), st.text(max_size=4))
def test_attack_letters_cannot_wander_from_one_field_into_the_next(one: str, two: str, three: str) -> None:
    whole = one + two + three
    if (one, two, three) != ("", "", whole):
        assert tag(practice=one, handle=two, code=three) != tag(practice="", handle="", code=whole)


def test_an_unknown_profile_is_a_fault_of_ours() -> None:
    with pytest.raises(KeyError):
        tag(profile="none")


def test_a_full_queue_is_said_at_once_and_a_place_given_back_is_free_again() -> None:
    queue = HashQueue(slots=1, queue=1)
    with queue.place():
        with queue.place():
            with pytest.raises(Unavailable) as refused, queue.place():
                pytest.fail("a third place was given")
            assert refused.value.reason == "hash_queue_full"
        with queue.place():
            pass


def test_a_place_is_given_back_when_the_act_fails() -> None:
    queue = HashQueue(slots=1, queue=0)
    for _ in range(3):
        with pytest.raises(RuntimeError), queue.place():
            raise RuntimeError
    with queue.place() as turn, turn:
        pass


def test_never_more_than_the_slots_hash_at_once() -> None:
    queue, gate, lock = HashQueue(slots=2, queue=14), threading.Barrier(8), threading.Lock()
    running, most = 0, 0

    def work() -> None:
        nonlocal running, most
        with queue.place() as turn:
            gate.wait(10)
            with turn:
                with lock:
                    running += 1
                    most = max(most, running)
                code_tag(PEPPER, "maple", "ach_h", "123456", SALT, "light")
                with lock:
                    running -= 1

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert 1 <= most <= 2


def test_salts_and_tags_have_the_documented_sizes() -> None:
    assert (hashing.SALT_BYTES, hashing.TAG_BYTES) == (16, 32)
