"""Acting for a dependent: who may, with which tokens, until when, and what ends it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import jwt
import pytest

from authsvc.config import limits
from authsvc.errors import (
    CodeNeeded,
    DependentChain,
    InvalidInput,
    InvalidRefreshToken,
    InvalidScope,
    NotFound,
    PatientNotFound,
    SignInNeeded,
    TokenInvalid,
)
from authsvc.model import Choice, Dependent, NewBrowserSession, TokenGrant
from tests.flows.conftest import Harness
from tests.flows.visitors import Portal, ended_in_feed, enter, here, look, page

DAY_MS = 86_400_000


@pytest.fixture
def family(harness: Harness) -> Harness:
    """mom (ann@example.org) acts for leo, who has neither access nor a mailbox of his own to sign in with."""
    harness.patient("mom", "ann@example.org", label="Ann Ortiz")
    harness.patient("leo", "front-desk@maple.example", access=False, label="Leo Ortiz")
    relate(harness)
    return harness


def relate(harness: Harness, guardian: str = "mom", dependent: str = "leo", **more: Any) -> Dependent:
    return harness.service.dependents.put(harness.act(), guardian, dependent, **more)[0]


def proven(harness: Harness, email: str = "ann@example.org") -> Choice:
    """A typed code, and whom one may go on as."""
    choice = harness.codes.verify(harness.act(), harness.start(email=email).challenge, "314159")
    assert isinstance(choice, Choice)
    return choice


def act_for(harness: Harness, patient: str = "leo", email: str = "ann@example.org") -> TokenGrant:
    return harness.codes.choose(harness.act(), proven(harness, email).challenge, patient)


def enter_as(harness: Harness, patient: str = "leo", email: str = "ann@example.org") -> NewBrowserSession:
    """The same at the hosted pages."""
    started = harness.start(act=page(harness), email=email)
    sessions = harness.service.browser_sessions
    assert isinstance(sessions.verify(page(harness), started.challenge, "314159"), Choice)
    return sessions.choose(page(harness), started.challenge, patient)


def claims_of(token: str | None) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(token or "", options={"verify_signature": False})
    return claims


def active(harness: Harness, grant: TokenGrant) -> bool:
    return bool(harness.introspected(grant.access_token)["active"])


# --- the relation ---------------------------------------------------------------------------------------------------


def test_the_practice_says_who_may_act_for_whom(family: Harness) -> None:
    put = relate(family, until_ms=family.clock.now_ms() + DAY_MS, workflows=["edit-contact", "edit-contact"])
    until_ms = (family.clock.now_ms() + DAY_MS) // 1000 * 1000
    assert put == Dependent("mom", "leo", until_ms, ("edit-contact",))
    assert family.service.dependents.list(family.act(), "mom") == [put]
    assert family.service.dependents.put(family.act(), "mom", "leo") == (Dependent("mom", "leo"), False)
    family.service.dependents.remove(family.act(), "mom", "leo")
    assert family.service.dependents.list(family.act(), "mom") == []
    with pytest.raises(NotFound):
        family.service.dependents.remove(family.act(), "mom", "leo")


def test_both_ids_stand_in_the_trail(family: Harness) -> None:
    grant = act_for(family)
    family.sessions.refresh(family.client, grant.refresh_token or "", None, "")
    family.service.dependents.remove(family.act(), "mom", "leo")
    about_leo = [
        entry
        for entry in family.audit_entries()
        if entry.get("patient") == "leo" and entry["event"] != "patient.created"
    ]
    assert [entry["event"] for entry in about_leo] == [
        "dependent.added",
        "code.verified",
        "session.refreshed",
        "session.ended",
        "dependent.removed",
    ]
    assert {entry["guardian"] for entry in about_leo} == {"mom"}


@pytest.mark.parametrize(("guardian", "dependent"), [("gran", "mom"), ("leo", "pet"), ("mom", "mom")])
def test_a_chain_is_refused_at_both_ends(family: Harness, guardian: str, dependent: str) -> None:
    for name in ("gran", "pet"):
        family.patient(name, f"{name}@example.org")
    with pytest.raises(DependentChain):
        relate(family, guardian, dependent)


def test_what_is_over_makes_no_chain(family: Harness) -> None:
    family.patient("gran", "gran@example.org")
    relate(family, until_ms=family.clock.now_ms() + 60_000)
    family.clock.advance_s(60)
    relate(family, "gran", "mom")
    with pytest.raises(DependentChain):
        relate(family)


@pytest.mark.parametrize("who", [("mom", "nobody"), ("nobody", "leo")])
def test_both_must_be_on_file(family: Harness, who: tuple[str, str]) -> None:
    with pytest.raises(PatientNotFound):
        relate(family, *who)
    with pytest.raises(PatientNotFound):
        family.service.dependents.list(family.act(), "nobody")
    with pytest.raises(PatientNotFound):
        family.service.dependents.remove(family.act(), "nobody", "leo")


def test_workflows_that_need_no_code_and_an_end_that_has_passed_are_refused_together(family: Harness) -> None:
    with pytest.raises(InvalidInput) as caught:
        relate(family, until_ms=family.clock.now_ms(), workflows=["view-invoices", "pay-invoice", "unheard-of"])
    assert [fault.pointer for fault in caught.value.faults] == ["/workflows/1", "/workflows/2", "/until"]


def test_attack_a_guardian_of_hundreds(family: Harness) -> None:
    for number in range(20):
        family.patient(f"kid{number}", "front-desk@maple.example", access=False)
        if number < 19:
            relate(family, "mom", f"kid{number}")
    with pytest.raises(InvalidInput, match="/path/dependent"):
        relate(family, "mom", "kid19")
    relate(family, "mom", "leo", workflows=["edit-contact"])  # a change needs no more room


# --- the token ------------------------------------------------------------------------------------------------------


def test_a_token_says_whose_data_it_is_about_and_who_acts(family: Harness) -> None:
    claims = claims_of(act_for(family).access_token)
    assert (claims["sub"], claims["patient"], claims["act"]) == ("maple:leo", "leo", {"sub": "maple:mom"})
    assert family.introspected(act_for(family).access_token)["act"] == {"sub": "maple:mom"}


def test_a_token_without_act_has_the_claims_that_it_always_had(family: Harness) -> None:
    own = claims_of(family.codes.choose(family.act(), proven(family).challenge, "mom").access_token)
    family.patient("bob", "bob@example.org")
    alone = claims_of(family.sign_in(email="bob@example.org").access_token)
    assert list(own) == list(alone)
    assert "act" not in own
    assert own["scope"] == alone["scope"]


def test_a_token_of_ordinary_ids_stays_below_a_kilobyte(family: Harness) -> None:
    for name in ("pat_1234567890ab", "pat_ba0987654321"):
        family.patient(name, "family@example.org", access=name == "pat_1234567890ab")
    relate(family, "pat_1234567890ab", "pat_ba0987654321")
    assert len(act_for(family, "pat_ba0987654321", "family@example.org").access_token) < 1024


def test_scopes_are_cut_to_the_workflows(family: Harness) -> None:
    relate(family, workflows=["edit-contact", "view-invoices"])
    grant = act_for(family)
    assert grant.scope == "invoices:view statements:generate contact:view contact:edit"
    assert family.sessions.refresh(family.client, grant.refresh_token or "", "contact:view", "").scope == "contact:view"


def test_attack_a_refresh_asks_for_what_was_cut(family: Harness) -> None:
    relate(family, workflows=["edit-contact"])
    with pytest.raises(InvalidScope):
        family.sessions.refresh(family.client, act_for(family).refresh_token or "", "invoices:view", "")


def test_named_at_once_a_dependent_needs_no_choice(family: Harness) -> None:
    relate(family, workflows=["edit-contact"])
    grant = family.codes.verify(family.act(), family.start().challenge, "314159", "leo")
    assert isinstance(grant, TokenGrant)
    assert (grant.patient, grant.scope) == ("leo", "contact:view contact:edit")


def test_workflows_that_have_left_the_catalogue_grant_nothing(family: Harness) -> None:
    relate(family, workflows=["edit-contact"])
    family.service.codes._scopes.by_workflow = ()
    grant = act_for(family)
    assert (grant.scope, family.introspected(grant.access_token)["scope"]) == ("-", "-")


# --- twelve cases of a family (beside those above) ------------------------------------------------------------------


def test_added_a_dependent_is_listed_behind_the_mailboxs_own(family: Harness) -> None:
    choice = proven(family)
    assert (choice.patients, choice.dependents) == ((("mom", "Ann Ortiz"),), (("leo", "Leo Ortiz"),))
    assert family.codes.choices(family.act(), choice.challenge) == choice


def test_it_is_over_to_the_second(family: Harness) -> None:
    relate(family, until_ms=family.clock.now_ms() // 1000 * 1000 + 300_000)
    until_s = family.clock.now_ms() // 1000 + 300
    grant = act_for(family)
    assert claims_of(grant.access_token)["exp"] == until_s
    family.clock.advance_ms(until_s * 1000 - 1 - family.clock.now_ms())
    assert active(family, grant)
    family.clock.advance_ms(1)
    assert not active(family, grant)
    with pytest.raises(InvalidRefreshToken):
        family.sessions.refresh(family.client, grant.refresh_token or "", None, "")
    assert isinstance(family.codes.verify(family.act(), family.start().challenge, "314159"), TokenGrant)  # mom, alone


END: dict[str, Callable[[Harness], object]] = {
    "removed": lambda harness: harness.service.dependents.remove(harness.act(), "mom", "leo"),
    "an earlier end": lambda harness: relate(harness, until_ms=harness.clock.now_ms() + DAY_MS),
    "fewer workflows": lambda harness: relate(harness, workflows=["edit-contact"]),
    "the guardian loses portal access": lambda harness: harness.patient("mom", "ann@example.org", access=False),
    "the guardian has another mailbox": lambda harness: harness.patient("mom", "new@example.org"),
    "the guardian is removed from file": lambda harness: harness.patients.delete(harness.act(), "mom"),
    "the guardian is merged": lambda harness: harness.patients.merge(harness.act(), "mom", "bob"),
    "the guardian is signed out everywhere": lambda harness: harness.sessions.end_all(harness.act(), "mom"),
    "the dependent is removed from file": lambda harness: harness.patients.delete(harness.act(), "leo"),
    "the dependent is signed out everywhere": lambda harness: harness.sessions.end_all(harness.act(), "leo"),
}


@pytest.mark.parametrize("how", END)
def test_withdrawn_while_signed_in_it_ends_at_once_and_is_in_the_feed(family: Harness, how: str) -> None:
    family.patient("bob", "bob@example.org")
    grant, browser_session, portal = act_for(family), enter_as(family), Portal(family)
    tokens, code = portal.tokens(browser_session.cookie), portal.code(browser_session.cookie)
    END[how](family)
    assert not active(family, grant)
    assert not portal.works(tokens)
    assert look(family, browser_session) is None
    assert portal.refused(code) == "ended"
    assert {grant.session, browser_session.sid, tokens.session} <= set(ended_in_feed(family))
    with pytest.raises(InvalidRefreshToken):
        family.sessions.refresh(family.client, grant.refresh_token or "", None, "")
    for name in ("mom", "leo"):
        with suppress(PatientNotFound):
            assert family.sessions.list(family.act(), name) == []


def test_the_same_said_again_ends_nothing(family: Harness) -> None:
    grant = act_for(family)
    relate(family)
    assert active(family, grant)


def test_a_dependent_who_gets_a_mailbox_of_its_own_signs_in_alone_and_the_guardian_still_acts(family: Harness) -> None:
    grant = act_for(family)
    family.patient("leo", "leo@example.org", label="Leo Ortiz")
    alone = family.sign_in(email="leo@example.org")
    assert "act" not in claims_of(alone.access_token)
    assert active(family, grant)
    family.patient("leo", "leo@example.org", access=False)
    assert not active(family, alone)
    assert active(family, grant)


def test_both_on_one_mailbox_stand_once_and_as_themselves(family: Harness) -> None:
    family.patient("leo", "ann@example.org", label="Leo Ortiz")
    choice = proven(family)
    assert (choice.patients, choice.dependents) == ((("leo", "Leo Ortiz"), ("mom", "Ann Ortiz")), ())
    assert "act" not in claims_of(family.codes.choose(family.act(), choice.challenge, "leo").access_token)
    family.patient("leo", "ann@example.org", access=False, label="Leo Ortiz")
    assert proven(family).dependents == (("leo", "Leo Ortiz"),)


def test_two_guardians_on_one_mailbox_name_a_dependent_once(family: Harness) -> None:
    family.patient("dad", "ann@example.org", label="Dan Ortiz")
    relate(family, "dad", "leo")
    assert [name for name, _ in proven(family).dependents] == ["leo"]
    assert claims_of(act_for(family).access_token)["act"] == {"sub": "maple:dad"}


def test_a_sign_in_that_began_with_a_patient_offers_its_own_dependents_alone(family: Harness) -> None:
    family.patient("dad", "ann@example.org")
    family.patient("mia", "front-desk@maple.example", access=False)
    relate(family, "dad", "mia")
    choice = family.codes.verify(family.act(), family.start(patient="mom").challenge, "314159")
    assert isinstance(choice, Choice)
    assert [name for name, _ in (*choice.patients, *choice.dependents)] == ["mom", "leo"]


def test_a_merged_patients_relations_go_over_where_they_make_no_chain(family: Harness) -> None:
    for name in ("bob", "mia", "gran"):
        family.patient(name, f"{name}@example.org")
    family.patients.merge(family.act(), "mom", "bob")
    assert family.service.dependents.list(family.act(), "bob") == [Dependent("bob", "leo")]
    relate(family, "gran", "mia", workflows=["edit-contact"])
    family.patients.merge(family.act(), "leo", "mia")
    assert family.service.dependents.list(family.act(), "bob") == [Dependent("bob", "mia")]
    assert family.service.dependents.list(family.act(), "gran") == [Dependent("gran", "mia", None, ("edit-contact",))]
    family.patients.merge(family.act(), "bob", "mia")  # nobody acts for itself
    assert family.service.dependents.list(family.act(), "mia") == []


def test_a_patient_that_is_put_on_file_again_has_nobody_to_act_for_it(family: Harness) -> None:
    family.patients.delete(family.act(), "leo")
    family.patient("leo", "front-desk@maple.example", access=False)
    assert family.service.dependents.list(family.act(), "mom") == []


def test_a_record_from_before_is_read_and_keeps_what_is_not_known(family: Harness) -> None:
    key = "authsvc:{maple}:patient:mom"
    family.redis.set(key, "\n".join(family.redis.get(key).split("\n")[:9]))
    assert family.service.dependents.list(family.act(), "mom") == []
    family.patient("bob", "bob@example.org")
    grant = family.sign_in(email="bob@example.org")
    session = f"authsvc:{{maple}}:session:{grant.session}"
    family.redis.set(session, "\n".join(family.redis.get(session).split("\n")[:14]), keepttl=True)
    assert active(family, grant)
    assert "act" not in claims_of(
        family.sessions.refresh(family.client, grant.refresh_token or "", None, "").access_token
    )


# --- attacks --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("patient", ["eve", "mia", "nobody"])
def test_attack_choosing_a_dependent_that_is_not_ones_own(family: Harness, patient: str) -> None:
    family.patient("eve", "eve@example.org")
    family.patient("mia", "front-desk@maple.example", access=False)
    relate(family, "eve", "mia")
    choice = proven(family)
    with pytest.raises(InvalidInput, match="/patient"):
        family.codes.choose(family.act(), choice.challenge, patient)
    grant = family.codes.choose(family.act(), choice.challenge, "mom")
    with pytest.raises(InvalidInput, match="/patient"):
        family.service.person_switch.of_client(family.act(), "mom", grant.session or "", patient)


def test_attack_choosing_a_dependent_who_was_taken_away_after_the_code(family: Harness) -> None:
    choice = proven(family)
    family.service.dependents.remove(family.act(), "mom", "leo")
    with pytest.raises(InvalidInput):
        family.codes.choose(family.act(), choice.challenge, "leo")


def test_attack_an_address_tells_nothing_of_its_dependents(family: Harness) -> None:
    family.patient("bob", "bob@example.org")
    answers = []
    for email in ("ann@example.org", "bob@example.org", "nobody@example.org"):
        started = family.start(email=email)
        answers.append((len(started.challenge), started.expires_in_s, started.resend_in_s, started.email_hint))
    assert len(set(answers)) == 1
    assert len({len(mail["body"]) for mail in family.outbox()[-3:]}) == 1


def test_attack_wrong_codes_for_a_guardian_lead_to_link_mode_all_the_same(
    build: Callable[..., Harness],
) -> None:
    harness = build(misses_consecutive=2)
    harness.patient("mom", "ann@example.org")
    harness.patient("leo", "front-desk@maple.example", access=False)
    relate(harness)
    started = harness.start()
    for _ in range(2):
        with pytest.raises(Exception, match="wrong"):
            harness.codes.verify(harness.act(), started.challenge, "000000", "leo")
    with pytest.raises(Exception, match="link_mode"):
        harness.codes.verify(harness.act(), started.challenge, "314159", "leo")


# --- switching ------------------------------------------------------------------------------------------------------


def test_a_client_switches_without_a_mail_and_the_old_session_ends(family: Harness) -> None:
    own = family.codes.choose(family.act(), proven(family).challenge, "mom")
    mails = len(family.outbox())
    family.clock.advance_s(60)
    grant = family.service.person_switch.of_client(family.act(), "mom", own.session or "", "leo")
    claims, before = claims_of(grant.access_token), claims_of(own.access_token)
    assert (claims["sub"], claims["act"]["sub"]) == ("maple:leo", "maple:mom")
    assert (claims["auth_time"], claims["acr"], claims["amr"]) == (before["auth_time"], "extra", ["email"])
    assert (active(family, own), active(family, grant)) == (False, True)
    back = family.service.person_switch.of_client(family.act(), "leo", grant.session or "", "mom")
    assert list(claims_of(back.access_token)) == list(before)
    assert len(family.outbox()) == mails
    assert family.events()[-2:] == ["session.switched", "session.ended"]
    (session,) = family.sessions.list(family.act(), "mom")
    assert session.expires_at_ms == session.created_at_ms + 12 * 3_600_000


def test_back_from_a_dependent_whose_time_is_short_the_sign_in_has_its_own_end(family: Harness) -> None:
    relate(family, until_ms=family.clock.now_ms() + 60_000)
    grant = family.service.person_switch.of_client(family.act(), "mom", act_for(family).session or "", "mom")
    family.clock.advance_s(120)
    assert active(family, grant)


def test_a_sign_in_older_than_its_idle_time_needs_a_code(family: Harness) -> None:
    own = family.codes.choose(family.act(), proven(family).challenge, "mom")
    browser_session = enter_as(family, "mom")
    for _ in range(2):
        family.clock.advance_s(901)
        family.sessions.refresh(family.client, own.refresh_token or "", None, "")
        own = family.sessions.refresh(family.client, own.refresh_token or "", None, "")
        family.service.browser_sessions.extend(page(family), browser_session.cookie)
    with pytest.raises(CodeNeeded):
        family.service.person_switch.of_client(family.act(), "mom", own.session or "", "leo")
    with pytest.raises(CodeNeeded):
        family.service.person_switch.of_browser(page(family), browser_session.cookie, "leo")
    assert family.service.person_switch.choices(page(family), browser_session.cookie) == Choice("", ())


def test_attack_switching_a_session_that_is_not_ones_own(family: Harness) -> None:
    own = family.codes.choose(family.act(), proven(family).challenge, "mom")
    browser_session = enter_as(family, "mom")
    family.patient("bob", "bob@example.org")
    other, _ = family.new_client("other")
    switch = family.service.person_switch
    for act, owner, sid in (
        (family.act(other), "mom", own.session or ""),
        (family.act(), "bob", own.session or ""),
        (family.act(), "mom", browser_session.sid),
        (family.act(), "mom", "A" * 22),
    ):
        with pytest.raises(NotFound):
            switch.of_client(act, owner, sid, "leo")
    for cookie in ("", "junk", f"{browser_session.sid}.{'A' * 22}", f"{own.session}.{'A' * 22}"):
        with pytest.raises(NotFound):
            switch.of_browser(page(family), cookie, "leo")
    assert active(family, own)


def test_a_clients_session_from_the_hosted_pages_is_switched_there(family: Harness) -> None:
    web = Portal(family, permissions=frozenset({"codes:verify"}))
    tokens = web.tokens(enter_as(family, "mom").cookie)
    with pytest.raises(InvalidInput, match="/path/sid"):
        family.service.person_switch.of_client(family.act(web.client), "mom", tokens.session or "", "leo")


# --- at the hosted pages --------------------------------------------------------------------------------------------


def test_a_browser_that_acts_shows_whom_for_and_keeps_the_guardians_address(family: Harness) -> None:
    found = here(family, enter_as(family))
    assert (found.patient, found.guardian, found.person, found.label) == ("leo", "mom", "mom", "Leo Ortiz")
    assert found.hint.startswith("a")


def test_its_clients_get_tokens_with_act_and_never_more_than_the_workflows(family: Harness) -> None:
    relate(family, workflows=["view-invoices"])
    web, browser_session = Portal(family), enter_as(family)
    tokens = web.tokens(browser_session.cookie)
    assert claims_of(tokens.access_token)["act"] == claims_of(tokens.id_token)["act"] == {"sub": "maple:mom"}
    assert tokens.scope == "openid invoices:view"
    hint = family.service.authorization_codes.read_id_token_hint(tokens.id_token or "")
    assert hint is not None
    assert (hint.patient, hint.guardian, hint.person) == ("leo", "mom", "mom")
    uncut = relate(family)
    assert uncut.workflows is None
    assert web.tokens(enter_as(family).cookie).scope == "openid invoices:view contact:view"
    assert "act" not in claims_of(web.tokens(enter_as(family, "mom").cookie).id_token)


def test_a_switch_in_a_browser_ends_what_its_clients_had(family: Harness) -> None:
    web, browser_session = Portal(family), enter_as(family, "mom")
    tokens, mails = web.tokens(browser_session.cookie), len(family.outbox())
    choice = family.service.person_switch.choices(page(family), browser_session.cookie)
    assert (choice.patients, choice.dependents) == ((("mom", "Ann Ortiz"),), (("leo", "Leo Ortiz"),))
    switched = family.service.person_switch.of_browser(page(family), browser_session.cookie, "leo")
    assert not web.works(tokens)
    assert look(family, browser_session) is None
    assert here(family, switched).patient == "leo"
    assert len(family.outbox()) == mails
    with pytest.raises(SignInNeeded, match="other_patient"):
        web.code(switched.cookie, expected_patient="mom")
    assert family.service.person_switch.choices(page(family), switched.cookie) == choice


def test_the_session_page_lists_what_this_person_has_opened(family: Harness) -> None:
    acting = enter_as(family)
    family.patient("leo", "leo@example.org", label="Leo Ortiz")
    alone, own = enter(family, "leo@example.org"), enter_as(family, "mom")
    sessions = family.service.browser_sessions
    assert {one.id for one in sessions.list(page(family), here(family, acting))} == {acting.sid, own.sid}
    assert [one.id for one in sessions.list(page(family), here(family, alone))] == [alone.sid]
    sessions.end(page(family), here(family, own), acting.sid)
    assert look(family, acting) is None
    acting = enter_as(family)
    assert sessions.end_others(page(family), here(family, own)) == 1
    assert look(family, alone) is not None
    assert sessions.sign_out(page(family), own.cookie)


def test_the_same_browser_that_proves_the_mailbox_again_keeps_its_clients_only_for_the_same_two(
    family: Harness,
) -> None:
    web, browser_session = Portal(family), enter_as(family)
    tokens = web.tokens(browser_session.cookie)
    started = family.start(act=page(family), email="ann@example.org")
    sessions = family.service.browser_sessions
    sessions.verify(page(family), started.challenge, "314159", browser_session.cookie)
    again = sessions.choose(page(family), started.challenge, "leo", browser_session.cookie)
    assert web.works(tokens)
    family.patient("leo", "ann@example.org", label="Leo Ortiz")
    started = family.start(act=page(family), email="ann@example.org")
    sessions.verify(page(family), started.challenge, "314159", again.cookie)
    sessions.choose(page(family), started.challenge, "leo", again.cookie)
    assert not web.works(tokens)


def test_of_too_many_sessions_the_one_that_ends_first_goes_from_both_lists(build: Callable[..., Harness]) -> None:
    policies = limits.load(None).policies
    family = build(policies={name: replace(policy, quota=10_000) for name, policy in policies.items()})
    family.patient("mom", "ann@example.org")
    family.patient("leo", "front-desk@maple.example", access=False)
    relate(family)
    first = act_for(family)
    for _ in range(20):
        family.clock.advance_s(200)
        act_for(family)
    assert not active(family, first)
    for name in ("mom", "leo"):
        assert len(family.redis.get(f"authsvc:{{maple}}:patient:{name}").split("\n")[8].split(",")) == 20


def test_forward_auth_knows_at_once(family: Harness) -> None:
    grant = act_for(family)
    claims = family.service.forward_auth.authorise(grant.access_token, "maple", None, None, None)
    assert claims.actor == "maple:mom"
    family.service.dependents.remove(family.act(), "mom", "leo")
    with pytest.raises(TokenInvalid):
        family.service.forward_auth.authorise(grant.access_token, "maple", None, None, None)
