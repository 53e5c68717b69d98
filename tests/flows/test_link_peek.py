"""Looking at a link before acting on it: what a page may know, and that nobody can tell it was looked at."""

from __future__ import annotations

import pytest

from authsvc.errors import LinkGone, LinkUnknown
from authsvc.model import LinkView
from tests.flows.conftest import House


def test_a_live_link_says_what_it_is_for(house: House) -> None:
    house.patient()
    assert house.links.peek(house.act(), house.link()) == LinkView("pay-invoice", False, client="portal")
    assert house.links.peek(house.act(), house.access_link()) == LinkView("portal", True, client="portal")


def test_looking_spends_nothing_and_counts_nothing_but_is_noted_once_an_hour(house: House) -> None:
    house.patient()
    token = house.link(max_uses=1)
    keys = {key: house.redis.dump(key) for key in house.redis.keys("*")}
    for _ in range(5):
        act = house.act()
        house.links.peek(act, token)
        assert act.limits == []
    assert {key: house.redis.dump(key) for key in keys if not key.endswith(("audit", "audit:n"))} == {
        key: kept for key, kept in keys.items() if not key.endswith(("audit", "audit:n"))
    }
    house.clock.advance_s(3601)
    house.redis.delete("authsvc:{maple}:opened:" + house.links.list(house.act(), "p1")[0].id)  # as time would
    house.links.peek(house.act(), token)
    assert [entry["facts"] for entry in house.trail() if entry["event"] == "link.opened"] == [
        {"link": house.links.list(house.act(), "p1")[0].id, "patient": "p1"}
    ] * 2
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
