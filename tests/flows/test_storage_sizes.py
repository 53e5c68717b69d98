"""What a practice keeps is counted by stated sizes: no record takes more, however long its fields are."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from authsvc.errors import InvalidCode
from tests.flows.conftest import Harness

MANY = 200
WORKFLOWS = ("view-invoices", "edit-contact", "edit-membership", "edit-payment-methods")


@pytest.fixture
def redis_client(real_redis_client: redis.Redis) -> redis.Redis:
    """A real server: it knows how much memory it takes."""
    return real_redis_client


def taken(harness: Harness, *kinds: str) -> int:
    """Bytes of all keys of these kinds."""
    keys = [key for key in harness.redis.scan_iter("authsvc:{maple}:*") if key.split(":")[2] in kinds]
    return sum(harness.redis.memory_usage(key, samples=0) for key in keys)


def counted(harness: Harness) -> int:
    return sum(int(line.split(" ")[1]) for line in harness.redis.get("authsvc:{maple}:storage").splitlines())


def longest(number: int) -> dict[str, Any]:
    """A patient whose every field is as long as it may be."""
    domain = ".".join(["d" * 60] * 3)
    return {"name": f"{number:064d}", "email": f"{number:060d}@{domain}.org", "label": "🙂" * 100}


def test_attack_patients_with_the_longest_fields_take_no_more_than_is_counted(wide: Harness) -> None:
    for number in range(MANY):
        wide.patient(**longest(number))
        with pytest.raises(InvalidCode):
            wide.codes.verify(wide.act(), wide.start(email=longest(number)["email"]).challenge, "000000")
    assert taken(wide, "patient", "mailbox", "guesses") <= counted(wide)
    for number in range(1, 21):
        wide.service.dependents.put(wide.act(), f"{0:064d}", f"{number:064d}", until_ms=2**42, workflows=WORKFLOWS)
    assert taken(wide, "patient", "mailbox", "guesses") <= counted(wide)
    before, kept = counted(wide), taken(wide, "merged")
    wide.patients.merge(wide.act(), f"{30:064d}", f"{31:064d}")
    assert taken(wide, "merged") - kept <= counted(wide) - before + 1800


def test_attack_links_with_the_longest_fields_take_no_more_than_is_counted(wide: Harness) -> None:
    for number in range(MANY):
        wide.link(patient=f"{number:064d}", resource=f"invoice:{number:064d}", max_uses=1_000_000)
    assert taken(wide, "link", "links") <= counted(wide)


def test_attack_misses_of_many_addresses_take_no_more_than_is_counted(wide: Harness) -> None:
    for number in range(MANY):
        with pytest.raises(InvalidCode):
            wide.codes.verify(wide.act(), wide.start(email=f"{number}@example.org").challenge, "000000")
    assert taken(wide, "guesses") <= counted(wide)
