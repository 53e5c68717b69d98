"""What Redis keeps of a six-digit code.

A million guesses are nothing, so a hash alone protects no code from somebody who reads Redis: argon2id at OWASP's
strength falls within a code's ten minutes to some thirty rented cores. Therefore the tag is argon2id over
HMAC-SHA-256 under a *pepper* that Redis never sees, bound to the practice and to the challenge handle that only
the caller holds. Without the pepper there is nothing to search; argon2id is the depth behind it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Final

from argon2.low_level import ARGON2_VERSION, Type, hash_secret_raw

from authsvc.crypto.mint import b64u
from authsvc.crypto.sealing import raw_mac
from authsvc.errors import Unavailable

SALT_BYTES: Final = 16  # RFC 9106 §3.1; one per challenge, so that one hash answers for its three live codes
TAG_BYTES: Final = 32
LABEL: Final = "authsvc code v1"


@dataclass(frozen=True)
class Profile:
    """Cost of one argon2id (RFC 9106), always with one lane: the work is bounded by `HashQueue`, not by lanes."""

    memory_kib: int
    passes: int


PROFILES: Final[Mapping[str, Profile]] = {
    # 0.24 ms a guess. If the pepper leaked too: 4 minutes of one core for all codes of a challenge.
    "light": Profile(memory_kib=512, passes=1),
    # OWASP Password Storage, first argon2id choice; ASVS 5.0 6.5.2 by the letter. 20 ms a guess; 5.5 hours likewise.
    "owasp": Profile(memory_kib=19 * 1024, passes=2),
}


def code_tag(pepper: bytes, practice: str, handle: str, code: str, salt: bytes, profile: str) -> str:
    """The tag of one code, 43 characters. `profile` is stored beside it, so that a change of profile leaves the codes
    under way alone. Releases the interpreter lock. Raises KeyError for an unknown profile."""
    cost = PROFILES[profile]
    tag = hash_secret_raw(
        secret=raw_mac(pepper, LABEL, practice, handle, code),
        salt=salt,
        time_cost=cost.passes,
        memory_cost=cost.memory_kib,
        parallelism=1,
        hash_len=TAG_BYTES,
        type=Type.ID,
        version=ARGON2_VERSION,
    )
    return b64u(tag)


class HashQueue:
    """Bounds the memory and the cores that hashing may take.

    A place is taken before an attempt is charged, so that a full queue costs the patient nothing; the turn is taken
    only around the hash, so that nobody hashes less because somebody waits for Redis:

        with queue.place() as turn:
            charged = ...
            with turn:
                tag = code_tag(...)
    """

    def __init__(self, slots: int, queue: int) -> None:
        self._places = threading.BoundedSemaphore(slots + queue)
        self._turn = threading.BoundedSemaphore(slots)

    @contextmanager
    def place(self) -> Iterator[AbstractContextManager[bool]]:
        """A place in the queue and, as its value, the turn to hash. Raises Unavailable when the queue is full."""
        if not self._places.acquire(blocking=False):
            raise Unavailable("hash_queue_full")
        try:
            yield self._turn
        finally:
            self._places.release()
