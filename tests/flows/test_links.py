"""Emailed links: what holds for issue, exchange, resend, list and revoke."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest

from authsvc.config.workflows import Catalogue
from authsvc.errors import (
    IdempotencyConflict,
    InvalidCode,
    InvalidInput,
    LinkGone,
    LinkUnknown,
    NoPortalAccess,
    NotFound,
    PatientNotFound,
    RateLimited,
)
from authsvc.model import Started, TokenGrant
from tests.flows.conftest import House

DAY_S = 86_400


def exchange(house: House, token: str) -> TokenGrant:
    grant = house.links.exchange(house.act(), token)
    assert isinstance(grant, TokenGrant)
    return grant


def gone(house: House, token: str) -> str:
    with pytest.raises(LinkGone) as caught:
        house.links.exchange(house.act(), token)
    return caught.value.reason


def faults(house: House, **how: Any) -> set[str]:
    with pytest.raises(InvalidInput) as caught:
        house.link(**how)
    return {fault.pointer for fault in caught.value.faults}


# --- instant links ------------------------------------------------------------------------------------------------


def test_an_instant_link_gives_exactly_its_scopes_for_its_one_resource(house: House) -> None:
    grant = exchange(house, house.link())
    assert (grant.scope, grant.workflow, grant.resource) == ("invoice:view invoice:pay", "pay-invoice", "invoice:inv_1")
    assert grant.authorization_details == ({"type": "invoice", "identifier": "inv_1", "actions": ["view", "pay"]},)
    claims = house.introspected(grant.access_token)
    assert (claims["acr"], claims["resource"]) == ("instant", "invoice:inv_1")


def test_an_instant_link_gives_no_session_and_nothing_to_refresh(house: House) -> None:
    house.patient()
    grant = exchange(house, house.link())
    assert (grant.session, grant.refresh_token) == (None, None)
    assert house.sessions.list(house.act(), "p1") == []


def test_a_workflow_without_a_resource_names_none(house: House) -> None:
    grant = exchange(house, house.link(workflow="update-payment-info", resource=None))
    assert (grant.scope, grant.resource, grant.authorization_details) == ("payment_info:update", None, None)
    assert "resource" not in house.introspected(grant.access_token)


def test_the_patient_of_a_link_need_not_be_registered(house: House) -> None:
    assert exchange(house, house.link(patient="stranger")).patient == "stranger"


def test_registering_the_patient_later_leaves_the_link_alone(house: House) -> None:
    token = house.link(patient="p1")
    house.patient()
    exchange(house, token)


def test_the_token_is_the_urls_last_part_and_the_id_says_nothing_about_it(house: House) -> None:
    link = house.links.issue(house.act(), patient="p1", workflow="update-payment-info")
    assert re.fullmatch(r"http://127\.0\.0\.1:8080/p/maple/l/al_[A-Za-z0-9_-]{43}", link.url)
    assert link.id not in link.url


def test_the_practices_own_template_is_used(house: House) -> None:
    practice = house.service.practices.set("maple", actor="cli:test", link_url="https://maple.example/go/{token}")
    house.practice = practice
    assert house.links.issue(house.act(), patient="p1", workflow="update-payment-info").url.startswith(
        "https://maple.example/go/al_"
    )


def test_a_link_lasts_as_long_as_its_workflow_says_and_no_longer(house: House) -> None:
    now = house.clock.now_ms()
    link = house.links.issue(house.act(), patient="p1", workflow="pay-invoice", resource="invoice:inv_1")
    assert (link.expires_at_ms - now) == 30 * DAY_S * 1000
    assert link.max_uses is None
    token = link.url.rsplit("/", 1)[1]
    house.clock.advance_ms(30 * DAY_S * 1000 - 1)
    exchange(house, token)
    house.clock.advance_ms(1)
    assert gone(house, token) == "expired"


def test_a_shorter_life_can_be_asked_for_and_a_longer_one_is_refused(house: House) -> None:
    token = house.link(expires_in=60)
    house.clock.advance_s(60)
    assert gone(house, token) == "expired"
    assert faults(house, expires_in=30 * DAY_S + 1) == {"/expires_in"}


def test_a_link_may_be_used_often_unless_it_says_how_often(house: House) -> None:
    token = house.link()
    for _ in range(10):
        exchange(house, token)
    twice = house.link(max_uses=2)
    exchange(house, twice)
    exchange(house, twice)
    assert gone(house, twice) == "used_up"


@pytest.mark.parametrize(
    ("how", "pointers"),
    [
        ({"workflow": "no-such"}, {"/workflow"}),
        ({"workflow": "view-invoices", "resource": None}, {"/workflow"}),
        ({"resource": None}, {"/resource"}),
        ({"resource": "agreement:a1"}, {"/resource"}),
        ({"workflow": "update-payment-info"}, {"/resource"}),
        ({"resource": None, "expires_in": 10**9}, {"/resource", "/expires_in"}),
    ],
)
def test_a_link_that_makes_no_sense_is_refused_with_every_fault(
    house: House, how: dict[str, Any], pointers: set[str]
) -> None:
    assert faults(house, **how) == pointers


def test_a_workflow_that_left_the_catalogue_grants_nothing(house: House) -> None:
    token = house.link()
    catalogue = house.service.catalogue
    house.links._deps = dataclasses.replace(
        house.service.deps,
        catalogue=Catalogue(tuple(w for w in catalogue.all() if w.name != "pay-invoice")),
    )
    assert gone(house, token) == "revoked"


def test_attack_an_invented_token_is_unknown(house: House) -> None:
    for token in ("al_" + "A" * 43, "ala_" + "A" * 43, "", "x", "../../etc/passwd"):
        with pytest.raises(LinkUnknown):
            house.links.exchange(house.act(), token)


def test_attack_an_instant_token_does_not_pass_as_an_access_token_of_the_other_kind(house: House) -> None:
    house.patient()
    instant, access = house.link(), house.access_link()
    for token in (instant.replace("al_", "ala_", 1), access.replace("ala_", "al_", 1)):
        with pytest.raises(LinkUnknown):
            house.links.exchange(house.act(), token)


def test_attack_a_thousand_random_tokens_meet_the_networks_limit(house: House) -> None:
    with pytest.raises(RateLimited):
        for number in range(1000):
            house.clock.advance_ms(20)
            with pytest.raises(LinkUnknown):
                house.links.exchange(house.act(client_ip="192.0.2.7"), f"al_{number:043}")


# --- access links -------------------------------------------------------------------------------------------------


def test_an_access_link_sends_a_code_to_the_address_on_file(house: House) -> None:
    house.patient(email="ann@example.org")
    house.entropy.next_below(161803)
    started = house.links.exchange(house.act(), house.access_link())
    assert isinstance(started, Started)
    assert (started.email_hint, started.expires_in_s) == ("a•••@e•••.org", 600)
    assert house.mailed() == {"kind": "code", "to": "ann@example.org", "code": "161803", "url": "", "locale": ""}
    grant = house.codes.verify(house.act(), started.challenge, "161803")
    assert isinstance(grant, TokenGrant)
    assert house.introspected(grant.access_token)["acr"] == "extra"


def test_an_access_link_signs_in_its_own_patient_though_others_share_the_mailbox(house: House) -> None:
    house.patient("ann")
    house.patient("bob")
    house.entropy.next_below(161803)
    started = house.links.exchange(house.act(), house.access_link(patient="bob"))
    assert isinstance(started, Started)
    grant = house.codes.verify(house.act(), started.challenge, "161803")
    assert isinstance(grant, TokenGrant)
    assert grant.patient == "bob"


def test_an_access_link_works_five_times(house: House) -> None:
    house.patient()
    token = house.access_link()
    for _ in range(5):
        house.links.exchange(house.act(), token)
    assert gone(house, token) == "used_up"


def test_an_access_link_needs_an_address_and_the_right_to_sign_in(house: House) -> None:
    with pytest.raises(PatientNotFound):
        house.access_link()
    house.patient(access=False)
    with pytest.raises(NoPortalAccess):
        house.access_link()


def test_withdrawn_access_ends_access_links_for_good_and_leaves_instant_ones(house: House) -> None:
    house.patient()
    access, instant = house.access_link(), house.link()
    house.patient(access=False)
    house.patient(access=True)
    assert gone(house, access) == "revoked"
    exchange(house, instant)


def test_an_access_link_has_the_patients_budget(house: House) -> None:
    house.patient()
    token = house.access_link(max_uses=100)
    for _ in range(10):
        house.links.exchange(house.act(), token)
    with pytest.raises(RateLimited) as caught:
        house.links.exchange(house.act(client_ip="192.0.2.7"), token)
    assert caught.value.violated == ("issue-patient",)
    assert house.links.list(house.act(), "p1")[0].uses == 10


def test_a_resend_behind_an_access_link_spends_the_patients_budget(house: House) -> None:
    house.patient()
    started = house.links.exchange(house.act(), house.access_link())
    assert isinstance(started, Started)
    house.clock.advance_s(30)
    house.codes.resend(house.act(), started.challenge)
    assert house.mailed()["kind"] == "code"


def test_the_link_of_a_shared_mailbox_in_link_mode_leads_to_the_choice(wide: House) -> None:
    wide.patient("ann")
    wide.patient("bob")
    challenge = wide.start().challenge
    for _ in range(20):
        for _ in range(5):
            with pytest.raises(InvalidCode):
                wide.codes.verify(wide.act(), challenge, "271828")
        challenge = wide.start().challenge
    token = wide.mailed()["url"].rsplit("/", 1)[1]
    wide.entropy.next_below(161803)
    started = wide.links.exchange(wide.act(), token)
    assert isinstance(started, Started)
    assert not isinstance(wide.codes.verify(wide.act(), started.challenge, "161803"), TokenGrant)
    wide.clock.advance_s(31)
    again = wide.links.exchange(wide.act(), token)
    assert isinstance(again, Started)
    wide.clock.advance_s(31)
    wide.codes.resend(wide.act(), again.challenge)
    wide.patient("ann", access=False)
    wide.patient("bob", access=False)
    assert gone(wide, token) == "revoked"


# --- changes of address ---------------------------------------------------------------------------------------------


def test_a_changed_address_ends_the_links_that_rest_on_the_old_one(house: House) -> None:
    house.patient()
    instant, access = house.link(), house.access_link()
    house.patient(email="new@example.org")
    assert [gone(house, token) for token in (instant, access)] == ["address_changed", "address_changed"]


def test_a_changed_address_makes_the_links_tokens_inactive(house: House) -> None:
    house.patient()
    grant = exchange(house, house.link())
    house.patient(email="new@example.org")
    assert house.introspected(grant.access_token) == {"active": False}


def test_the_same_address_written_otherwise_changes_nothing(house: House) -> None:
    house.patient(email="ann@example.org")
    token = house.link()
    house.patient(email="ANN@example.org")
    exchange(house, token)


# --- revoking -----------------------------------------------------------------------------------------------------


def test_a_revoked_link_is_gone_and_so_are_its_tokens(house: House) -> None:
    token = house.link()
    grant = exchange(house, token)
    house.links.revoke(house.act(), house.links.list(house.act(), "p1")[0].id)
    assert gone(house, token) == "revoked"
    assert house.introspected(grant.access_token) == {"active": False}


def test_a_used_up_link_takes_nothing_back(house: House) -> None:
    grant = exchange(house, house.link(max_uses=1))
    assert house.introspected(grant.access_token)["active"]


def test_links_end_by_resource_when_the_invoice_is_paid(house: House) -> None:
    paid, other = house.link(), house.link(resource="invoice:inv_2")
    exchange(house, paid)
    assert house.links.revoke_where(house.act(), resource="invoice:inv_1") == 1
    assert house.links.revoke_where(house.act(), resource="invoice:inv_1") == 0
    assert gone(house, paid) == "revoked"
    exchange(house, other)


def test_links_end_by_patient(house: House) -> None:
    mine, also_mine, theirs = house.link(), house.link(resource="invoice:inv_2"), house.link(patient="p2")
    assert house.links.revoke_where(house.act(), patient="p1") == 2
    assert [gone(house, token) for token in (mine, also_mine)] == ["revoked", "revoked"]
    exchange(house, theirs)


def test_revoking_an_unknown_link_says_so_and_a_dead_one_is_no_error(house: House) -> None:
    with pytest.raises(NotFound):
        house.links.revoke(house.act(), "A" * 16)
    house.link(expires_in=1)
    house.clock.advance_s(2)
    house.links.revoke(house.act(), house.links.list(house.act(), "p1")[0].id)


def test_a_list_shows_every_state_and_never_a_token(house: House) -> None:
    house.patient()
    tokens = [
        house.link(max_uses=1),
        house.link(expires_in=5),
        house.link(resource="invoice:inv_3"),
        house.access_link(),
    ]
    exchange(house, tokens[0])
    house.links.revoke_where(house.act(), resource="invoice:inv_3")
    house.clock.advance_s(6)
    listed = house.links.list(house.act(), "p1")
    assert sorted(link.state for link in listed) == ["expired", "live", "revoked", "used_up"]
    assert not any(token in str(listed) for token in tokens)
    assert house.links.list(house.act(), "nobody") == []


def test_the_list_forgets_what_redis_has_forgotten(house: House) -> None:
    house.link()
    (key,) = house.redis.scan_iter("authsvc:{maple}:link:*")
    house.redis.delete(key)
    assert house.links.list(house.act(), "p1") == []
    assert house.redis.scard("authsvc:{maple}:links-of:p1") == 0


def test_a_tombstone_is_kept_for_ninety_days(house: House) -> None:
    token = house.link(expires_in=60)
    (key,) = house.redis.scan_iter("authsvc:{maple}:link:*")
    assert house.redis.pttl(key) > 90 * DAY_S * 1000
    house.clock.advance_s(89 * DAY_S)
    assert gone(house, token) == "expired"


# --- a new link in place of a dead one ------------------------------------------------------------------------------


def test_a_dead_link_is_followed_by_a_new_one_to_the_address_on_file(house: House) -> None:
    house.patient()
    token = house.link(expires_in=60)
    house.clock.advance_s(61)
    house.links.resend(house.act(), token)
    mail = house.mailed()
    assert (mail["kind"], mail["to"]) == ("new-link", "ann@example.org")
    grant = exchange(house, mail["url"].rsplit("/", 1)[1])
    assert grant.resource == "invoice:inv_1"


def test_a_used_up_access_link_is_followed_by_a_new_one(house: House) -> None:
    house.patient()
    token = house.access_link(max_uses=1)
    house.links.exchange(house.act(), token)
    house.links.resend(house.act(), token)
    assert house.mailed()["kind"] == "access-link"
    assert isinstance(house.links.exchange(house.act(), house.mailed()["url"].rsplit("/", 1)[1]), Started)


def test_attack_only_expired_or_used_up_links_are_followed_by_new_ones(house: House) -> None:
    house.patient()
    live, revoked, orphan = house.link(), house.link(resource="invoice:inv_2"), house.link(patient="p9", expires_in=1)
    house.links.revoke_where(house.act(), resource="invoice:inv_2")
    house.clock.advance_s(2)
    for token in (live, revoked, orphan, "al_" + "A" * 43, live.replace("al_", "ala_", 1)):
        house.links.resend(house.act(), token)
    assert house.outbox() == []


def test_attack_a_dead_link_can_not_be_used_to_flood_a_mailbox(house: House) -> None:
    house.patient()
    token = house.link(expires_in=60)
    house.clock.advance_s(61)
    for _ in range(3):
        house.links.resend(house.act(), token)
    assert len(house.outbox()) == 1
    for _ in range(5):
        house.clock.advance_s(901)
        house.links.resend(house.act(), token)
    assert len(house.outbox()) == 3


def test_new_links_count_on_the_addresss_budget(house: House) -> None:
    house.patient()
    token = house.link(expires_in=60)
    house.clock.advance_s(61)
    for _ in range(5):
        house.start()
    house.links.resend(house.act(), token)
    assert "new-link" not in [entry["kind"] for entry in house.outbox()]


def test_no_new_link_while_the_mail_is_braked(house: House) -> None:
    house.patient()
    token = house.link(expires_in=60)
    house.clock.advance_s(61)
    house.redis.set("authsvc:{maple}:mail-count", house.clock.now_ms() + 900_000)
    house.links.resend(house.act(), token)
    assert house.outbox() == []


def test_a_resend_is_limited_by_network_like_an_exchange(house: House) -> None:
    with pytest.raises(RateLimited):
        for _ in range(200):
            house.clock.advance_ms(11)
            house.links.resend(house.act(client_ip="192.0.2.7"), "al_" + "A" * 43)


# --- delivery and repetition ----------------------------------------------------------------------------------------


def test_a_link_delivered_by_mail_goes_to_the_patient_on_file(house: House) -> None:
    with pytest.raises(PatientNotFound):
        house.link(delivery="email")
    house.patients.put(house.act(), "p1", email="ann@example.org", locale="es", portal_access=False)
    token = house.link(delivery="email")
    mail = house.mailed()
    assert (mail["kind"], mail["to"], mail["locale"]) == ("link", "ann@example.org", "es")
    assert mail["url"].endswith(token)
    house.link(delivery="email", locale="en")
    assert house.mailed()["locale"] == "en"


def test_the_token_says_by_which_way_the_link_came(house: House) -> None:
    house.patient()
    by_mail, by_caller = exchange(house, house.link(delivery="email")), exchange(house, house.link())
    assert house.introspected(by_mail.access_token)["amr"] == ["email"]
    assert house.introspected(by_caller.access_token)["amr"] == ["caller"]


def test_issuing_again_with_the_same_key_gives_the_same_link(house: House) -> None:
    given: dict[str, Any] = {"patient": "p1", "workflow": "update-payment-info"}
    first, second = (house.links.issue(house.act(idempotency_key="k", fingerprint=b"1"), **given) for _ in range(2))
    assert first == second
    with pytest.raises(IdempotencyConflict):
        house.links.issue(house.act(idempotency_key="k", fingerprint=b"2"), **given)


def test_a_link_is_exchanged_by_a_client_only(house: House) -> None:
    token = house.link()
    act = dataclasses.replace(house.act(), client=None)
    with pytest.raises(ValueError, match="client"):
        house.links.exchange(act, token)


def test_attack_links_without_end_for_one_patient_are_refused_with_a_reason(house: House) -> None:
    for _ in range(500):
        house.link(expires_in=3600)
        house.clock.advance_ms(20)
    for _ in range(26):  # live ones go to the end of the list, however often it is asked
        with pytest.raises(InvalidInput, match="too many links"):
            house.link()
    assert len(house.links.list(house.act(), "p1")) == 500
    house.clock.advance_s(3600 + 720)
    assert house.link()


def test_links_that_are_revoked_make_room_for_new_ones_and_still_say_why_they_are_dead(house: House) -> None:
    tokens = []
    for number in range(500):
        tokens.append(house.link(resource=f"invoice:{number}"))
        house.clock.advance_ms(20)
    assert house.links.revoke_where(house.act(), resource="invoice:0") == 1
    house.link(resource="invoice:new")
    with pytest.raises(LinkGone, match="revoked"):
        house.links.describe(house.act(), tokens[0])


def test_the_entry_of_an_exchange_names_the_link_and_the_token_that_it_gave(house: House) -> None:
    house.patient()
    token = house.link(workflow="accept-agreement", resource="agreement:terms_2")
    grant = house.links.exchange(house.act(by="anna"), token)
    assert isinstance(grant, TokenGrant)
    claims = house.introspected(grant.access_token)
    entry = house.trail()[-1]
    assert (entry["event"], entry["link"], entry["jti"], entry["by"]) == (
        "link.exchanged",
        claims["link"],
        claims["jti"],
        "anna",
    )


def test_an_operator_invites_a_patient_by_the_practices_own_way(house: House) -> None:
    house.patient()
    issued = house.links.invite(house.service.act(house.practice, actor="cli:anna"), "p1", "es")
    (delivery,) = house.patients.deliveries(house.act(), "p1")
    assert (issued.delivery, delivery.kind, delivery.state) == (delivery.id, "access-link", "queued")
    assert (house.mailed()["to"], house.mailed()["locale"]) == ("ann@example.org", "es")
    assert house.mailed()["url"] == issued.url
