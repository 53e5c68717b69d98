"""Emailed links: what holds for issue, exchange, resend, list and revoke."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest

from authsvc.config.workflows import Catalogue
from authsvc.crypto.mint import link_id
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
from tests import records
from tests.flows.conftest import Harness

DAY_S = 86_400


def exchange(harness: Harness, token: str) -> TokenGrant:
    grant = harness.links.exchange(harness.act(), token)
    assert isinstance(grant, TokenGrant)
    return grant


def gone(harness: Harness, token: str) -> str:
    with pytest.raises(LinkGone) as caught:
        harness.links.exchange(harness.act(), token)
    return caught.value.reason


def faults(harness: Harness, **how: Any) -> set[str]:
    with pytest.raises(InvalidInput) as caught:
        harness.link(**how)
    return {fault.pointer for fault in caught.value.faults}


# --- instant links ------------------------------------------------------------------------------------------------


def test_an_instant_link_gives_exactly_its_scopes_for_its_one_resource(harness: Harness) -> None:
    grant = exchange(harness, harness.link())
    assert (grant.scope, grant.workflow, grant.resource) == ("invoice:view invoice:pay", "pay-invoice", "invoice:inv_1")
    assert grant.authorization_details == ({"type": "invoice", "identifier": "inv_1", "actions": ["view", "pay"]},)
    claims = harness.introspected(grant.access_token)
    assert (claims["acr"], claims["resource"]) == ("instant", "invoice:inv_1")


def test_an_instant_link_gives_no_session_and_nothing_to_refresh(harness: Harness) -> None:
    harness.patient()
    grant = exchange(harness, harness.link())
    assert (grant.session, grant.refresh_token) == (None, None)
    assert harness.sessions.list(harness.act(), "p1") == []


def test_a_workflow_without_a_resource_names_none(harness: Harness) -> None:
    grant = exchange(harness, harness.link(workflow="update-payment-info", resource=None))
    assert (grant.scope, grant.resource, grant.authorization_details) == ("payment_info:update", None, None)
    assert "resource" not in harness.introspected(grant.access_token)


def test_the_patient_of_a_link_need_not_be_registered(harness: Harness) -> None:
    assert exchange(harness, harness.link(patient="stranger")).patient == "stranger"


def test_registering_the_patient_later_leaves_the_link_alone(harness: Harness) -> None:
    token = harness.link(patient="p1")
    harness.patient()
    exchange(harness, token)


def test_the_token_is_the_urls_last_part_and_the_id_says_nothing_about_it(harness: Harness) -> None:
    link = harness.links.issue(harness.act(), patient="p1", workflow="update-payment-info")
    assert re.fullmatch(r"http://127\.0\.0\.1:8080/p/maple/l/al_[A-Za-z0-9_-]{43}", link.url)
    assert link.id not in link.url


def test_the_practices_own_template_is_used(harness: Harness) -> None:
    practice = harness.service.practices.set("maple", actor="cli:test", link_url="https://maple.example/go/{token}")
    harness.practice = practice
    assert harness.links.issue(harness.act(), patient="p1", workflow="update-payment-info").url.startswith(
        "https://maple.example/go/al_"
    )


def test_a_link_lasts_as_long_as_its_workflow_says_and_no_longer(harness: Harness) -> None:
    now = harness.clock.now_ms()
    link = harness.links.issue(harness.act(), patient="p1", workflow="pay-invoice", resource="invoice:inv_1")
    assert (link.expires_at_ms - now) == 30 * DAY_S * 1000
    assert link.max_uses is None
    token = link.url.rsplit("/", 1)[1]
    harness.clock.advance_ms(30 * DAY_S * 1000 - 1)
    exchange(harness, token)
    harness.clock.advance_ms(1)
    assert gone(harness, token) == "expired"


def test_a_shorter_life_can_be_asked_for_and_a_longer_one_is_refused(harness: Harness) -> None:
    token = harness.link(expires_in=60)
    harness.clock.advance_s(60)
    assert gone(harness, token) == "expired"
    assert faults(harness, expires_in=30 * DAY_S + 1) == {"/expires_in"}


def test_a_link_may_be_used_often_unless_it_says_how_often(harness: Harness) -> None:
    token = harness.link()
    for _ in range(10):
        exchange(harness, token)
    twice = harness.link(max_uses=2)
    exchange(harness, twice)
    exchange(harness, twice)
    assert gone(harness, twice) == "used_up"


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
    harness: Harness, how: dict[str, Any], pointers: set[str]
) -> None:
    assert faults(harness, **how) == pointers


def test_a_workflow_that_left_the_catalogue_grants_nothing(harness: Harness) -> None:
    token = harness.link()
    catalogue = harness.service.catalogue
    harness.links._deps = dataclasses.replace(
        harness.service.deps,
        catalogue=Catalogue(tuple(w for w in catalogue.all() if w.name != "pay-invoice")),
    )
    assert gone(harness, token) == "revoked"


def test_attack_an_invented_token_is_unknown(harness: Harness) -> None:
    for token in ("al_" + "A" * 43, "ala_" + "A" * 43, "", "x", "../../etc/passwd"):
        with pytest.raises(LinkUnknown):
            harness.links.exchange(harness.act(), token)


def test_attack_an_instant_token_does_not_pass_as_an_access_token_of_the_other_kind(harness: Harness) -> None:
    harness.patient()
    instant, access = harness.link(), harness.access_link()
    for token in (instant.replace("al_", "ala_", 1), access.replace("ala_", "al_", 1)):
        with pytest.raises(LinkUnknown):
            harness.links.exchange(harness.act(), token)


def test_attack_a_thousand_random_tokens_meet_the_networks_limit(harness: Harness) -> None:
    with pytest.raises(RateLimited):
        for number in range(1000):
            harness.clock.advance_ms(20)
            with pytest.raises(LinkUnknown):
                harness.links.exchange(harness.act(client_ip="192.0.2.7"), f"al_{number:043}")


# --- access links -------------------------------------------------------------------------------------------------


def test_an_access_link_sends_a_code_to_the_address_on_file(harness: Harness) -> None:
    harness.patient(email="ann@example.org")
    harness.entropy.next_below(161803)
    started = harness.links.exchange(harness.act(), harness.access_link())
    assert isinstance(started, Started)
    assert (started.email_hint, started.expires_in_s) == ("a•••@e•••.org", 600)
    assert harness.mailed() == {"kind": "code", "to": "ann@example.org", "code": "161803", "url": "", "locale": ""}
    grant = harness.codes.verify(harness.act(), started.challenge, "161803")
    assert isinstance(grant, TokenGrant)
    assert harness.introspected(grant.access_token)["acr"] == "extra"


def test_an_access_link_signs_in_its_own_patient_though_others_share_the_mailbox(harness: Harness) -> None:
    harness.patient("ann")
    harness.patient("bob")
    harness.entropy.next_below(161803)
    started = harness.links.exchange(harness.act(), harness.access_link(patient="bob"))
    assert isinstance(started, Started)
    grant = harness.codes.verify(harness.act(), started.challenge, "161803")
    assert isinstance(grant, TokenGrant)
    assert grant.patient == "bob"


def test_an_access_link_works_five_times(harness: Harness) -> None:
    harness.patient()
    token = harness.access_link()
    for _ in range(5):
        harness.links.exchange(harness.act(), token)
    assert gone(harness, token) == "used_up"


def test_an_access_link_needs_an_address_and_the_right_to_sign_in(harness: Harness) -> None:
    with pytest.raises(PatientNotFound):
        harness.access_link()
    harness.patient(access=False)
    with pytest.raises(NoPortalAccess):
        harness.access_link()


def test_withdrawn_access_ends_access_links_for_good_and_leaves_instant_ones(harness: Harness) -> None:
    harness.patient()
    access, instant = harness.access_link(), harness.link()
    harness.patient(access=False)
    harness.patient(access=True)
    assert gone(harness, access) == "revoked"
    exchange(harness, instant)


def test_an_access_link_has_the_patients_budget(harness: Harness) -> None:
    harness.patient()
    token = harness.access_link(max_uses=100)
    for _ in range(10):
        harness.links.exchange(harness.act(), token)
    with pytest.raises(RateLimited) as caught:
        harness.links.exchange(harness.act(client_ip="192.0.2.7"), token)
    assert caught.value.violated == ("issue-patient",)
    assert harness.links.list(harness.act(), "p1")[0].uses == 10


def test_a_resend_behind_an_access_link_spends_the_patients_budget(harness: Harness) -> None:
    harness.patient()
    started = harness.links.exchange(harness.act(), harness.access_link())
    assert isinstance(started, Started)
    harness.clock.advance_s(30)
    harness.codes.resend(harness.act(), started.challenge)
    assert harness.mailed()["kind"] == "code"


def test_the_link_of_a_shared_mailbox_in_link_mode_leads_to_the_choice(wide: Harness) -> None:
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


def test_a_changed_address_ends_the_links_that_rest_on_the_old_one(harness: Harness) -> None:
    harness.patient()
    instant, access = harness.link(), harness.access_link()
    harness.patient(email="new@example.org")
    assert [gone(harness, token) for token in (instant, access)] == ["address_changed", "address_changed"]


def test_a_changed_address_makes_the_links_tokens_inactive(harness: Harness) -> None:
    harness.patient()
    grant = exchange(harness, harness.link())
    harness.patient(email="new@example.org")
    assert harness.introspected(grant.access_token) == {"active": False}


def test_the_same_address_written_otherwise_changes_nothing(harness: Harness) -> None:
    harness.patient(email="ann@example.org")
    token = harness.link()
    harness.patient(email="ANN@example.org")
    exchange(harness, token)


# --- revoking -----------------------------------------------------------------------------------------------------


def test_a_revoked_link_is_gone_and_so_are_its_tokens(harness: Harness) -> None:
    token = harness.link()
    grant = exchange(harness, token)
    harness.links.revoke(harness.act(), harness.links.list(harness.act(), "p1")[0].id)
    assert gone(harness, token) == "revoked"
    assert harness.introspected(grant.access_token) == {"active": False}


def test_a_used_up_link_takes_nothing_back(harness: Harness) -> None:
    grant = exchange(harness, harness.link(max_uses=1))
    assert harness.introspected(grant.access_token)["active"]


def test_links_end_by_resource_when_the_invoice_is_paid(harness: Harness) -> None:
    paid, other = harness.link(), harness.link(resource="invoice:inv_2")
    exchange(harness, paid)
    assert harness.links.revoke_where(harness.act(), resource="invoice:inv_1") == 1
    assert harness.links.revoke_where(harness.act(), resource="invoice:inv_1") == 0
    assert gone(harness, paid) == "revoked"
    exchange(harness, other)


def test_links_end_by_patient(harness: Harness) -> None:
    mine, also_mine, theirs = harness.link(), harness.link(resource="invoice:inv_2"), harness.link(patient="p2")
    assert harness.links.revoke_where(harness.act(), patient="p1") == 2
    assert [gone(harness, token) for token in (mine, also_mine)] == ["revoked", "revoked"]
    exchange(harness, theirs)


def test_revoking_an_unknown_link_says_so_and_a_dead_one_is_no_error(harness: Harness) -> None:
    with pytest.raises(NotFound):
        harness.links.revoke(harness.act(), "A" * 16)
    harness.link(expires_in=1)
    harness.clock.advance_s(2)
    harness.links.revoke(harness.act(), harness.links.list(harness.act(), "p1")[0].id)


def test_a_list_shows_every_state_and_never_a_token(harness: Harness) -> None:
    harness.patient()
    tokens = [
        harness.link(max_uses=1),
        harness.link(expires_in=5),
        harness.link(resource="invoice:inv_3"),
        harness.access_link(),
    ]
    exchange(harness, tokens[0])
    harness.links.revoke_where(harness.act(), resource="invoice:inv_3")
    harness.clock.advance_s(6)
    listed = harness.links.list(harness.act(), "p1")
    assert sorted(link.state for link in listed) == ["expired", "live", "revoked", "used_up"]
    assert not any(token in str(listed) for token in tokens)
    assert harness.links.list(harness.act(), "nobody") == []


def test_the_list_forgets_what_redis_has_forgotten(harness: Harness) -> None:
    harness.link()
    (key,) = harness.redis.scan_iter("authsvc:{maple}:link:*")
    harness.redis.delete(key)
    assert harness.links.list(harness.act(), "p1") == []
    assert harness.redis.scard("authsvc:{maple}:links-of:p1") == 0


def test_a_tombstone_is_kept_for_ninety_days(harness: Harness) -> None:
    token = harness.link(expires_in=60)
    (key,) = harness.redis.scan_iter("authsvc:{maple}:link:*")
    assert harness.redis.pttl(key) > 90 * DAY_S * 1000
    harness.clock.advance_s(89 * DAY_S)
    assert gone(harness, token) == "expired"


# --- a new link in place of a dead one ------------------------------------------------------------------------------


def test_a_dead_link_is_followed_by_a_new_one_to_the_address_on_file(harness: Harness) -> None:
    harness.patient()
    token = harness.link(expires_in=60)
    harness.clock.advance_s(61)
    harness.links.resend(harness.act(), token)
    mail = harness.mailed()
    assert (mail["kind"], mail["to"]) == ("new-link", "ann@example.org")
    grant = exchange(harness, mail["url"].rsplit("/", 1)[1])
    assert grant.resource == "invoice:inv_1"


def test_a_new_link_lives_as_long_as_the_one_before_and_names_the_first_of_its_line(harness: Harness) -> None:
    harness.patient()
    token = harness.link(expires_in=60)
    first = link_id(token)
    assert records.read(harness.redis, "link", first)["root"] == ""
    for _ in range(2):
        harness.clock.advance_s(901)
        harness.links.resend(harness.act(), token)
        token = harness.mailed()["url"].rsplit("/", 1)[1]
        record = records.read(harness.redis, "link", link_id(token))
        assert record["root"] == first
        assert int(record["expires"]) - int(record["issued"]) == 60_000


def test_a_link_that_an_earlier_release_has_issued_is_followed_by_a_new_one(harness: Harness) -> None:
    harness.patient()
    token = harness.link(expires_in=60)
    name = link_id(token)
    records.change(harness.redis, "link", name, root=name, life=90_000)
    harness.clock.advance_s(61)
    harness.links.resend(harness.act(), token)
    record = records.read(harness.redis, "link", link_id(harness.mailed()["url"].rsplit("/", 1)[1]))
    assert int(record["expires"]) - int(record["issued"]) == 90_000
    assert (record["root"], records.read(harness.redis, "link", name)["resends"]) == (name, "1")


def test_a_used_up_access_link_is_followed_by_a_new_one(harness: Harness) -> None:
    harness.patient()
    token = harness.access_link(max_uses=1)
    harness.links.exchange(harness.act(), token)
    harness.links.resend(harness.act(), token)
    assert harness.mailed()["kind"] == "access-link"
    assert isinstance(harness.links.exchange(harness.act(), harness.mailed()["url"].rsplit("/", 1)[1]), Started)


def test_attack_only_expired_or_used_up_links_are_followed_by_new_ones(harness: Harness) -> None:
    harness.patient()
    live, revoked, orphan = (
        harness.link(),
        harness.link(resource="invoice:inv_2"),
        harness.link(patient="p9", expires_in=1),
    )
    harness.links.revoke_where(harness.act(), resource="invoice:inv_2")
    harness.clock.advance_s(2)
    for token in (live, revoked, orphan, "al_" + "A" * 43, live.replace("al_", "ala_", 1)):
        harness.links.resend(harness.act(), token)
    assert harness.outbox() == []


def test_attack_a_dead_link_can_not_be_used_to_flood_a_mailbox(harness: Harness) -> None:
    harness.patient()
    token = harness.link(expires_in=60)
    harness.clock.advance_s(61)
    for _ in range(3):
        harness.links.resend(harness.act(), token)
    assert len(harness.outbox()) == 1
    for _ in range(5):
        harness.clock.advance_s(901)
        harness.links.resend(harness.act(), token)
    assert len(harness.outbox()) == 3


def test_new_links_count_on_the_addresss_budget(harness: Harness) -> None:
    harness.patient()
    token = harness.link(expires_in=60)
    harness.clock.advance_s(61)
    for _ in range(5):
        harness.start()
    harness.links.resend(harness.act(), token)
    assert "new-link" not in [entry["kind"] for entry in harness.outbox()]


def test_no_new_link_while_the_mail_is_braked(harness: Harness) -> None:
    harness.patient()
    token = harness.link(expires_in=60)
    harness.clock.advance_s(61)
    harness.redis.set("authsvc:{maple}:mail-count", harness.clock.now_ms() + 900_000)
    harness.links.resend(harness.act(), token)
    assert harness.outbox() == []


def test_a_resend_is_limited_by_network_like_an_exchange(harness: Harness) -> None:
    with pytest.raises(RateLimited):
        for _ in range(200):
            harness.clock.advance_ms(11)
            harness.links.resend(harness.act(client_ip="192.0.2.7"), "al_" + "A" * 43)


# --- delivery and repetition ----------------------------------------------------------------------------------------


def test_a_link_delivered_by_mail_goes_to_the_patient_on_file(harness: Harness) -> None:
    with pytest.raises(PatientNotFound):
        harness.link(delivery="email")
    harness.patients.put(harness.act(), "p1", email="ann@example.org", locale="es", portal_access=False)
    token = harness.link(delivery="email")
    mail = harness.mailed()
    assert (mail["kind"], mail["to"], mail["locale"]) == ("link", "ann@example.org", "es")
    assert mail["url"].endswith(token)
    harness.link(delivery="email", locale="en")
    assert harness.mailed()["locale"] == "en"


def test_the_token_says_by_which_way_the_link_came(harness: Harness) -> None:
    harness.patient()
    by_mail, by_caller = exchange(harness, harness.link(delivery="email")), exchange(harness, harness.link())
    assert harness.introspected(by_mail.access_token)["amr"] == ["email"]
    assert harness.introspected(by_caller.access_token)["amr"] == ["caller"]


def test_issuing_again_with_the_same_key_gives_the_same_link(harness: Harness) -> None:
    given: dict[str, Any] = {"patient": "p1", "workflow": "update-payment-info"}
    first, second = (harness.links.issue(harness.act(idempotency_key="k", fingerprint=b"1"), **given) for _ in range(2))
    assert first == second
    with pytest.raises(IdempotencyConflict):
        harness.links.issue(harness.act(idempotency_key="k", fingerprint=b"2"), **given)


def test_a_link_is_exchanged_by_a_client_only(harness: Harness) -> None:
    token = harness.link()
    act = dataclasses.replace(harness.act(), client=None)
    with pytest.raises(ValueError, match="client"):
        harness.links.exchange(act, token)


def test_attack_links_without_end_for_one_patient_are_refused_with_a_reason(harness: Harness) -> None:
    for _ in range(500):
        harness.link(expires_in=3600)
        harness.clock.advance_ms(20)
    for _ in range(26):  # live ones go to the end of the list, however often it is asked
        with pytest.raises(InvalidInput, match="too many links"):
            harness.link()
    assert len(harness.links.list(harness.act(), "p1")) == 500
    harness.clock.advance_s(3600 + 720)
    assert harness.link()


def test_links_that_are_revoked_make_room_for_new_ones_and_still_say_why_they_are_dead(harness: Harness) -> None:
    tokens = []
    for number in range(500):
        tokens.append(harness.link(resource=f"invoice:{number}"))
        harness.clock.advance_ms(20)
    assert harness.links.revoke_where(harness.act(), resource="invoice:0") == 1
    harness.link(resource="invoice:new")
    with pytest.raises(LinkGone, match="revoked"):
        harness.links.describe(harness.act(), tokens[0])


def test_the_entry_of_an_exchange_names_the_link_and_the_token_that_it_gave(harness: Harness) -> None:
    harness.patient()
    token = harness.link(workflow="accept-agreement", resource="agreement:terms_2")
    grant = harness.links.exchange(harness.act(by="anna"), token)
    assert isinstance(grant, TokenGrant)
    claims = harness.introspected(grant.access_token)
    entry = harness.audit_entries()[-1]
    assert (entry["event"], entry["link"], entry["jti"], entry["by"]) == (
        "link.exchanged",
        claims["link"],
        claims["jti"],
        "anna",
    )


def test_an_operator_invites_a_patient_by_the_practices_own_way(harness: Harness) -> None:
    harness.patient()
    issued = harness.links.invite(harness.service.act(harness.practice, actor="cli:anna"), "p1", "es")
    (delivery,) = harness.patients.deliveries(harness.act(), "p1")
    assert (issued.delivery, delivery.kind, delivery.state) == (delivery.id, "access-link", "queued")
    assert (harness.mailed()["to"], harness.mailed()["locale"]) == ("ann@example.org", "es")
    assert harness.mailed()["url"] == issued.url
