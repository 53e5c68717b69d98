"""Looking at a link before acting on it: what a page may know, and that nobody can tell it was looked at."""

from __future__ import annotations

import pytest

from authsvc.errors import LinkGone, LinkUnknown
from authsvc.model import LinkView
from tests.flows.conftest import Harness


def test_a_live_link_says_what_it_is_for(harness: Harness) -> None:
    harness.patient()
    assert harness.links.describe(harness.act(), harness.link()) == LinkView("pay-invoice", False, client="portal")
    assert harness.links.describe(harness.act(), harness.access_link()) == LinkView(
        "portal", True, client="portal", email_hint="a•••@e•••.org"
    )


def test_an_access_link_for_whoever_has_the_mailbox_shows_that_mailbox_masked(harness: Harness) -> None:
    harness.patient("p1", "ann@example.org")
    for _ in range(5):
        harness.start()  # the fifth mail carries a link, for the mailbox and nobody in particular
    token = harness.mailed()["url"].rsplit("/", 1)[1]
    assert harness.links.describe(harness.act(), token).email_hint == "a•••@e•••.org"


def everything(harness: Harness) -> dict[str, bytes]:
    """All that is kept, but for the trail."""
    return {key: harness.redis.dump(key) for key in harness.redis.keys("*") if ":audit" not in key}


def test_looking_spends_nothing_and_counts_nothing_but_is_noted_once_an_hour(harness: Harness) -> None:
    harness.patient()
    token = harness.link(max_uses=1)
    link_id = harness.links.list(harness.act(), "p1")[0].id
    noted = f"authsvc:{{maple}}:opened:{link_id}"
    before = everything(harness)
    for _ in range(5):
        act = harness.act()
        harness.links.describe(act, token)
        assert act.limits == []
    after = everything(harness)
    assert after.pop(noted)
    assert after == before
    assert harness.redis.pttl(noted) <= 3_600_000
    harness.redis.delete(noted)  # as time would
    harness.links.describe(harness.act(), token)
    opened = [entry for entry in harness.audit_entries() if entry["event"] == "link.opened"]
    assert [(entry["link"], entry["patient"]) for entry in opened] == [(link_id, "p1")] * 2
    harness.links.exchange(harness.act(), token)


def test_a_link_that_nobody_gave_leaves_no_note_of_being_opened(harness: Harness) -> None:
    before = everything(harness)
    with pytest.raises(LinkUnknown):
        harness.links.describe(harness.act(), "al_" + "A" * 43)
    assert everything(harness) == before
    assert "link.opened" not in harness.events()


def test_the_page_speaks_the_language_of_the_patient_whom_the_link_now_means(harness: Harness) -> None:
    for patient, locale in (("p1", "es"), ("p2", "fr")):
        harness.patients.put(harness.act(), patient, email="ann@example.org", locale=locale, portal_access=True)
    token = harness.access_link()
    assert harness.links.describe(harness.act(), token).locale == "es"
    harness.patients.merge(harness.act(), "p1", "p2")
    assert harness.links.describe(harness.act(), token).locale == "fr"


@pytest.mark.parametrize("token", ["al_nonsense", "ala_nonsense", "", "x" * 200])
def test_a_token_that_nobody_gave_is_unknown(harness: Harness, token: str) -> None:
    with pytest.raises(LinkUnknown):
        harness.links.describe(harness.act(), token)


def test_another_practices_link_is_unknown(harness: Harness) -> None:
    token = harness.link()
    oak = harness.service.practices.add("oak", name="Oak", actor="cli:test")
    with pytest.raises(LinkUnknown):
        harness.links.describe(harness.service.act(oak), token)


def test_a_dead_link_says_why(harness: Harness) -> None:
    token = harness.link(expires_in=60)
    harness.clock.advance_s(61)
    with pytest.raises(LinkGone) as gone:
        harness.links.describe(harness.act(), token)
    assert gone.value.reason == "expired"
