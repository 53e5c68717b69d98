"""Looking at a link before acting on it: what a page may know, and that nobody can tell it was looked at."""

from __future__ import annotations

import pytest

from authsvc.errors import LinkGone, LinkUnknown
from tests.flows.conftest import House


def test_a_live_link_says_what_it_is_for(house: House) -> None:
    house.patient()
    assert house.links.peek(house.act(), house.link()) == "pay-invoice"
    assert house.links.peek(house.act(), house.access_link()) == "portal"


def test_looking_spends_nothing_records_nothing_and_counts_nothing(house: House) -> None:
    house.patient()
    token = house.link(max_uses=1)
    before = {key: house.redis.dump(key) for key in house.redis.keys("*")}
    for _ in range(5):
        act = house.act()
        house.links.peek(act, token)
        assert act.limits == []
    assert {key: house.redis.dump(key) for key in house.redis.keys("*")} == before
    assert house.links.exchange(house.act(), token)


@pytest.mark.parametrize("token", ["al_nonsense", "ala_nonsense", "", "x" * 200])
def test_a_token_that_nobody_gave_is_unknown(house: House, token: str) -> None:
    with pytest.raises(LinkUnknown):
        house.links.peek(house.act(), token)


def test_another_practices_link_is_unknown(house: House) -> None:
    token = house.link()
    oak = house.service.practices.add("oak", name="Oak", actor="cli:test")
    with pytest.raises(LinkUnknown):
        house.links.peek(house.service.act(oak), token)


def test_a_dead_link_says_why(house: House) -> None:
    token = house.link(expires_in=60)
    house.clock.advance_s(61)
    with pytest.raises(LinkGone) as gone:
        house.links.peek(house.act(), token)
    assert gone.value.reason == "expired"
