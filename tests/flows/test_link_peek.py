"""Looking at a link before acting on it: what a page may know, and that nobody can tell it was looked at."""

from __future__ import annotations

import pytest

from authsvc.errors import LinkGone, LinkUnknown
from authsvc.model import LinkView
from tests.flows.conftest import House


def test_a_live_link_says_what_it_is_for(house: House) -> None:
    house.patient()
    assert house.links.describe(house.act(), house.link()) == LinkView("pay-invoice", False, client="portal")
    assert house.links.describe(house.act(), house.access_link()) == LinkView(
        "portal", True, client="portal", email_hint="a•••@e•••.org"
    )


def test_an_access_link_for_whoever_has_the_mailbox_shows_that_mailbox_masked(house: House) -> None:
    house.patient("p1", "ann@example.org")
    for _ in range(5):
        house.start()  # the fifth mail carries a link, for the mailbox and nobody in particular
    token = house.mailed()["url"].rsplit("/", 1)[1]
    assert house.links.describe(house.act(), token).email_hint == "a•••@e•••.org"


def everything(house: House) -> dict[str, bytes]:
    """All that is kept, but for the trail."""
    return {key: house.redis.dump(key) for key in house.redis.keys("*") if ":audit" not in key}


def test_looking_spends_nothing_and_counts_nothing_but_is_noted_once_an_hour(house: House) -> None:
    house.patient()
    token = house.link(max_uses=1)
    link_id = house.links.list(house.act(), "p1")[0].id
    noted = f"authsvc:{{maple}}:opened:{link_id}"
    before = everything(house)
    for _ in range(5):
        act = house.act()
        house.links.describe(act, token)
        assert act.limits == []
    after = everything(house)
    assert after.pop(noted)
    assert after == before
    assert house.redis.pttl(noted) <= 3_600_000
    house.redis.delete(noted)  # as time would
    house.links.describe(house.act(), token)
    opened = [entry for entry in house.trail() if entry["event"] == "link.opened"]
    assert [(entry["link"], entry["patient"]) for entry in opened] == [(link_id, "p1")] * 2
    house.links.exchange(house.act(), token)


def test_a_link_that_nobody_gave_leaves_no_note_of_being_opened(house: House) -> None:
    before = everything(house)
    with pytest.raises(LinkUnknown):
        house.links.describe(house.act(), "al_" + "A" * 43)
    assert everything(house) == before
    assert "link.opened" not in house.events()


def test_the_page_speaks_the_language_of_the_patient_whom_the_link_now_means(house: House) -> None:
    for patient, locale in (("p1", "es"), ("p2", "fr")):
        house.patients.put(house.act(), patient, email="ann@example.org", locale=locale, portal_access=True)
    token = house.access_link()
    assert house.links.describe(house.act(), token).locale == "es"
    house.patients.merge(house.act(), "p1", "p2")
    assert house.links.describe(house.act(), token).locale == "fr"


@pytest.mark.parametrize("token", ["al_nonsense", "ala_nonsense", "", "x" * 200])
def test_a_token_that_nobody_gave_is_unknown(house: House, token: str) -> None:
    with pytest.raises(LinkUnknown):
        house.links.describe(house.act(), token)


def test_another_practices_link_is_unknown(house: House) -> None:
    token = house.link()
    oak = house.service.practices.add("oak", name="Oak", actor="cli:test")
    with pytest.raises(LinkUnknown):
        house.links.describe(house.service.act(oak), token)


def test_a_dead_link_says_why(house: House) -> None:
    token = house.link(expires_in=60)
    house.clock.advance_s(61)
    with pytest.raises(LinkGone) as gone:
        house.links.describe(house.act(), token)
    assert gone.value.reason == "expired"
