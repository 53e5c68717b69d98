"""A browser's own sign-in at the hosted pages: in, there, out, and what its clients have under it."""

from __future__ import annotations

import pytest

from authsvc.crypto import tokens
from authsvc.crypto.mint import b64u
from authsvc.errors import ChallengeGone, InvalidCode, InvalidGrant, InvalidInput, RateLimited
from authsvc.model import BrowserSession, Choice, NewBrowserSession, TokenGrant
from tests import records
from tests.fakes import NINE_O_CLOCK_MS
from tests.flows.conftest import Harness
from tests.flows.visitors import Portal, ended_in_feed, enter, everything, here, look, page

IDLE_MS = 1_800_000
DAY_MS = 43_200_000


@pytest.fixture
def portal(harness: Harness) -> Portal:
    harness.patient(label="Ann B.")
    return Portal(harness)


def gone(harness: Harness, challenge: str) -> str:
    with pytest.raises(ChallengeGone) as caught:
        harness.codes.choices(page(harness), challenge)
    return caught.value.reason


def shared(harness: Harness) -> str:
    """A challenge of a mailbox with two patients whose code was typed."""
    harness.patient("p2", label="Ben B.")
    started = harness.start(act=page(harness), email="ann@example.org")
    choice = harness.service.browser_sessions.verify(page(harness), started.challenge, "314159")
    assert choice == Choice(started.challenge, (("p1", "Ann B."), ("p2", "Ben B.")))
    return started.challenge


# --- in -----------------------------------------------------------------------------------------------------------


def test_a_code_opens_a_sign_in_and_its_cookie_says_who(harness: Harness, portal: Portal) -> None:
    browser_session = enter(harness)
    assert browser_session.cookie.startswith(browser_session.sid + ".")
    assert here(harness, browser_session) == BrowserSession(
        sid=browser_session.sid,
        patient="p1",
        label="Ann B.",
        locale="",
        hint="a•••@e•••.org",
        auth_time_ms=NINE_O_CLOCK_MS,
        last_used_ms=NINE_O_CLOCK_MS,
        idle_ends_ms=NINE_O_CLOCK_MS + IDLE_MS,
        ends_ms=NINE_O_CLOCK_MS + DAY_MS,
    )


def test_redis_does_not_hold_the_cookie_and_no_representation_shows_it(harness: Harness, portal: Portal) -> None:
    browser_session = enter(harness)
    secret = browser_session.cookie.partition(".")[2]
    assert secret not in str(harness.redis.get(f"authsvc:{{maple}}:session:{browser_session.sid}"))
    assert secret not in repr(browser_session)


def test_a_second_click_on_the_button_gets_the_same_cookie(harness: Harness, portal: Portal) -> None:
    before = enter(harness).cookie
    started = harness.start(act=page(harness), email="ann@example.org")
    first, second = (
        harness.service.browser_sessions.verify(page(harness), started.challenge, "314159", before) for _ in range(2)
    )
    assert first == second
    assert isinstance(second, NewBrowserSession)
    assert look(harness, second)
    assert harness.events().count("code.verified") == 2


def test_a_wrong_code_opens_nothing_and_leaves_the_browsers_sign_in(harness: Harness, portal: Portal) -> None:
    before = enter(harness)
    started = harness.start(act=page(harness), email="ann@example.org")
    with pytest.raises(InvalidCode):
        harness.service.browser_sessions.verify(page(harness), started.challenge, "000000", before.cookie)
    assert look(harness, before)


def test_an_access_link_leads_to_a_sign_in_too(harness: Harness, portal: Portal) -> None:
    harness.entropy.next_below(161803)
    started = harness.links.exchange(page(harness), harness.access_link())
    assert not isinstance(started, TokenGrant)
    browser_session = harness.service.browser_sessions.verify(page(harness), started.challenge, "161803")
    assert isinstance(browser_session, NewBrowserSession)
    assert here(harness, browser_session).patient == "p1"


def test_attack_a_code_is_typed_where_it_was_asked_for(harness: Harness, portal: Portal) -> None:
    """A challenge of the pages is none of a client's, and the other way round."""
    ours, theirs = harness.start(act=page(harness), email="ann@example.org"), harness.start()
    with pytest.raises(ChallengeGone):
        harness.codes.verify(harness.act(), ours.challenge, "314159")
    with pytest.raises(ChallengeGone):
        harness.service.browser_sessions.verify(page(harness), theirs.challenge, "314159")


def test_who_shares_a_mailbox_is_asked_who_it_is(harness: Harness, portal: Portal) -> None:
    challenge = shared(harness)
    before = everything(harness)
    assert harness.codes.choices(page(harness), challenge).patients == (("p1", "Ann B."), ("p2", "Ben B."))
    assert everything(harness) == before
    browser_session = harness.service.browser_sessions.choose(page(harness), challenge, "p2")
    assert (browser_session.patient, here(harness, browser_session).label) == ("p2", "Ben B.")
    assert gone(harness, challenge) == "spent"


def test_a_second_click_on_a_name_gets_the_same_cookie_for_a_few_seconds(harness: Harness, portal: Portal) -> None:
    challenge = shared(harness)
    first = harness.service.browser_sessions.choose(page(harness), challenge, "p2")
    harness.clock.advance_s(harness.service.limits.replay_window_s)
    assert harness.service.browser_sessions.choose(page(harness), challenge, "p2") == first
    with pytest.raises(ChallengeGone, match="spent"):
        harness.service.browser_sessions.choose(page(harness), challenge, "p1")  # a second thought comes too late
    harness.clock.advance_ms(1)
    with pytest.raises(ChallengeGone, match="spent"):
        harness.service.browser_sessions.choose(page(harness), challenge, "p2")
    assert look(harness, first)


def test_attack_a_repeated_choice_does_not_open_a_sign_in_that_was_left(harness: Harness, portal: Portal) -> None:
    challenge = shared(harness)
    browser_session = harness.service.browser_sessions.choose(page(harness), challenge, "p2")
    harness.service.browser_sessions.sign_out(page(harness), browser_session.cookie)
    with pytest.raises(ChallengeGone, match="spent"):
        harness.service.browser_sessions.choose(page(harness), challenge, "p2")


def test_the_choice_is_between_those_who_may_sign_in_now(harness: Harness, portal: Portal) -> None:
    challenge = shared(harness)
    harness.patients.withdraw(harness.act(), "p1")
    assert harness.codes.choices(page(harness), challenge).patients == (("p2", "Ben B."),)
    with pytest.raises(InvalidInput):
        harness.service.browser_sessions.choose(page(harness), challenge, "p1")
    harness.patients.withdraw(harness.act(), "p2")
    assert harness.codes.choices(page(harness), challenge).patients == ()


def test_attack_the_choice_is_shown_to_who_has_typed_the_code_and_for_five_minutes(
    harness: Harness, portal: Portal
) -> None:
    assert gone(harness, "ach_" + "A" * 43) == "unknown"
    assert gone(harness, harness.start().challenge) == "unknown"  # another's
    assert gone(harness, harness.start(act=page(harness), email="ann@example.org").challenge) == "unproven"
    challenge = shared(harness)
    harness.clock.advance_s(300)
    assert harness.codes.choices(page(harness), challenge).patients
    harness.clock.advance_ms(1)
    assert gone(harness, challenge) == "expired"


# --- there --------------------------------------------------------------------------------------------------------


def test_looking_changes_nothing_and_keeps_nobody_signed_in(harness: Harness, portal: Portal) -> None:
    browser_session, act = enter(harness), page(harness)
    before = everything(harness)
    for _ in range(3):
        assert harness.service.browser_sessions.get(act, browser_session.cookie)
    assert everything(harness) == before
    assert act.limits == []
    harness.clock.advance_ms(IDLE_MS)
    assert look(harness, browser_session)
    harness.clock.advance_ms(1)
    assert look(harness, browser_session) is None


def test_whoever_is_still_there_says_so_but_not_for_longer_than_twelve_hours(harness: Harness, portal: Portal) -> None:
    browser_session = enter(harness)
    for _ in range(25):
        harness.clock.advance_ms(1_700_000)
        assert harness.service.browser_sessions.extend(page(harness), browser_session.cookie)
    found = here(harness, browser_session)
    assert (found.auth_time_ms, found.last_used_ms) == (NINE_O_CLOCK_MS, harness.clock.now_ms())
    assert found.idle_ends_ms == found.ends_ms == NINE_O_CLOCK_MS + DAY_MS
    harness.clock.advance_ms(found.ends_ms - harness.clock.now_ms() - 1)
    assert look(harness, browser_session)
    harness.clock.advance_ms(1)
    assert look(harness, browser_session) is None
    assert not harness.service.browser_sessions.extend(page(harness), browser_session.cookie)
    assert harness.events().count("session.extended") == 25


def test_it_is_too_late_to_be_still_there_after_half_an_hour(harness: Harness, portal: Portal) -> None:
    browser_session = enter(harness)
    harness.clock.advance_ms(IDLE_MS + 1)
    assert not harness.service.browser_sessions.extend(page(harness), browser_session.cookie)
    assert look(harness, browser_session) is None


def test_attack_being_still_there_is_limited_by_network(harness: Harness, portal: Portal) -> None:
    browser_session = enter(harness)
    with pytest.raises(RateLimited):
        for _ in range(1000):
            harness.service.browser_sessions.extend(page(harness, client_ip="192.0.2.7"), browser_session.cookie)


def forged(browser_session: NewBrowserSession) -> list[str]:
    sid, secret = browser_session.cookie.split(".")
    return ["", ".", sid, f"{sid}.", f".{secret}", f"{sid}.{secret[::-1]}", f"{sid}.{secret}\n", f"{secret}.{sid}"]


def test_attack_no_other_cookie_is_a_sign_in(harness: Harness, portal: Portal) -> None:
    browser_session = enter(harness)
    oak = harness.service.practices.add("oak", name="Oak", actor="cli:test")
    for cookie in [
        *forged(browser_session),
        f"{'A' * 22}.{browser_session.cookie[23:]}",
        "x" * 10_000,
        "ä" * 22 + "." + "ä" * 22,
    ]:
        assert harness.service.browser_sessions.get(page(harness), cookie) is None
        assert not harness.service.browser_sessions.extend(page(harness), cookie)
        assert not harness.service.browser_sessions.sign_out(page(harness), cookie)
    assert harness.service.browser_sessions.get(harness.service.act(oak), browser_session.cookie) is None
    assert look(harness, browser_session)


def test_attack_a_clients_session_is_no_sign_in_though_the_client_knows_its_nonce(
    harness: Harness, portal: Portal
) -> None:
    """Of a session that a client opened itself, and of one that it was given under a sign-in."""
    key = harness.service.data_keys.key("refresh")
    for grant, client in ((harness.sign_in(), "portal"), (portal.tokens(enter(harness).cookie), "web")):
        said = tokens.parse_refresh(key, grant.refresh_token or "", client)
        assert harness.service.browser_sessions.get(page(harness), f"{said.sid}.{b64u(said.nonce)}") is None
        assert not harness.service.browser_sessions.extend(page(harness), f"{said.sid}.{b64u(said.nonce)}")


def test_attack_a_cookie_is_no_refresh_token_even_to_who_could_make_one(harness: Harness, portal: Portal) -> None:
    browser_session = enter(harness)
    nonce = harness.service.data_keys.key("refresh")[:16]
    for client in ("", "web"):
        forged_token = tokens.build_refresh(
            harness.service.data_keys.key("refresh"),
            practice="maple",
            sid=browser_session.sid,
            generation=0,
            nonce=nonce,
            client=client,
        )
        with pytest.raises(InvalidGrant):
            harness.sessions.refresh(portal.client, forged_token, None, "")
    assert look(harness, browser_session)


def test_a_sign_in_of_a_patient_who_is_not_on_file_is_none(harness: Harness, portal: Portal) -> None:
    """As after a copy of Redis was put back in part."""
    browser_session = enter(harness)
    harness.redis.delete("authsvc:{maple}:patient:p1")
    assert look(harness, browser_session) is None


def test_the_list_shows_sign_ins_newest_first_and_not_what_their_clients_have(harness: Harness, portal: Portal) -> None:
    first = enter(harness)
    harness.clock.advance_s(60)
    second = enter(harness)
    portal.tokens(second.cookie)
    harness.patient("p2", "bob@example.org")
    enter(harness, "bob@example.org")
    listed = harness.service.browser_sessions.list(page(harness), here(harness, first))
    assert [session.id for session in listed] == [second.sid, first.sid]
    assert {session.client for session in listed} == {""}


# --- out ----------------------------------------------------------------------------------------------------------


def test_signing_out_takes_along_what_the_clients_have(harness: Harness, portal: Portal) -> None:
    browser_session, elsewhere = enter(harness), enter(harness)
    other = Portal(harness, "other")
    held = [(portal, portal.tokens(browser_session.cookie)), (other, other.tokens(browser_session.cookie))]
    kept = portal.tokens(elsewhere.cookie)
    assert harness.service.browser_sessions.sign_out(page(harness), browser_session.cookie)
    assert look(harness, browser_session) is None
    for party, grant in held:
        assert not party.works(grant)
        with pytest.raises(InvalidGrant, match="unknown"):
            party.refresh(grant)
    assert set(ended_in_feed(harness)) == {browser_session.sid, *(grant.session for _, grant in held)}
    assert records.children(harness.redis, browser_session.sid) == set()
    assert portal.works(kept)
    assert look(harness, elsewhere)
    assert not harness.service.browser_sessions.sign_out(page(harness), browser_session.cookie)


def test_one_of_the_patients_sign_ins_ends_from_another(harness: Harness, portal: Portal) -> None:
    browser_session, elsewhere = enter(harness), enter(harness)
    grant = portal.tokens(elsewhere.cookie)
    for _ in range(2):  # a second click is no error
        harness.service.browser_sessions.end(page(harness), here(harness, browser_session), elsewhere.sid)
    assert look(harness, elsewhere) is None
    assert not portal.works(grant)
    assert look(harness, browser_session)


def test_all_the_others_end_at_once(harness: Harness, portal: Portal) -> None:
    browser_session, others = enter(harness), [enter(harness) for _ in range(3)]
    authorization_codes = [portal.tokens(other.cookie) for other in others]
    kept = portal.tokens(browser_session.cookie)
    assert harness.service.browser_sessions.end_others(page(harness), here(harness, browser_session)) == 3
    assert [look(harness, other) for other in others] == [None] * 3
    assert not any(portal.works(grant) for grant in authorization_codes)
    assert portal.works(kept)
    assert harness.service.browser_sessions.end_others(page(harness), here(harness, browser_session)) == 0


def test_attack_nobody_ends_another_patients_sign_in(harness: Harness, portal: Portal) -> None:
    harness.patient("p2", "bob@example.org")
    ann, bob = enter(harness), enter(harness, "bob@example.org")
    harness.service.browser_sessions.end(page(harness), here(harness, bob), ann.sid)
    harness.service.browser_sessions.end_others(page(harness), here(harness, bob))
    assert look(harness, ann)


def test_ending_a_sign_in_of_a_patient_who_was_just_deleted_is_no_error(harness: Harness, portal: Portal) -> None:
    browser_session = enter(harness)
    seen = here(harness, browser_session)
    harness.patients.delete(harness.act(), "p1")
    harness.service.browser_sessions.end(page(harness), seen, browser_session.sid)


def test_a_client_session_that_is_gone_already_ends_once(harness: Harness, portal: Portal) -> None:
    browser_session = enter(harness)
    grant = portal.tokens(browser_session.cookie)
    harness.redis.delete(f"authsvc:{{maple}}:session:{grant.session}")
    harness.service.browser_sessions.sign_out(page(harness), browser_session.cookie)
    assert ended_in_feed(harness) == [browser_session.sid]


# --- signed in anew -----------------------------------------------------------------------------------------------


def test_a_new_proof_takes_the_old_sign_ins_place_and_its_clients_stay(harness: Harness, portal: Portal) -> None:
    before = enter(harness)
    grant, late = portal.tokens(before.cookie), portal.tokens(before.cookie)
    harness.redis.delete(f"authsvc:{{maple}}:session:{late.session}")
    harness.clock.advance_s(500)
    after = enter(harness, before=before.cookie)
    assert (after.sid != before.sid, look(harness, before)) == (True, None)
    assert here(harness, after).auth_time_ms == harness.clock.now_ms()
    assert ended_in_feed(harness) == [before.sid]
    assert portal.works(grant)
    harness.clock.advance_s(590)
    fresh = portal.refresh(grant)
    assert here(harness, after).last_used_ms == harness.clock.now_ms()
    harness.service.browser_sessions.sign_out(page(harness), after.cookie)
    assert not portal.works(fresh)


def test_attack_a_planted_cookie_is_worth_nothing_once_the_victim_has_signed_in(
    harness: Harness, portal: Portal
) -> None:
    """Session fixation: the attacker puts a cookie of their own into the victim's browser."""
    harness.patient("p2", "eve@example.org")
    planted = enter(harness, "eve@example.org")
    eves = portal.tokens(planted.cookie)
    victim = enter(harness, before=planted.cookie)
    assert (here(harness, victim).patient, look(harness, planted)) == ("p1", None)
    assert not portal.works(eves)
    assert portal.tokens(victim.cookie).patient == "p1"
    causes = [entry["cause"] for entry in harness.audit_entries() if entry["event"] == "session.ended"]
    assert causes == ["succeeded", "succeeded"]


def test_attack_knowing_the_id_of_a_sign_in_does_not_end_it(harness: Harness, portal: Portal) -> None:
    """Ids are in tokens and feeds. Only the browser that has the secret is signed in there."""
    victim = enter(harness)
    grant = portal.tokens(victim.cookie)
    harness.patient("p2", "eve@example.org")
    for before in (victim.sid, f"{victim.sid}.{'A' * 22}", f"{grant.session}.{'A' * 22}", "junk"):
        enter(harness, "eve@example.org", before=before)
    assert look(harness, victim)
    assert portal.works(grant)


def test_a_choice_succeeds_the_sign_in_that_was_there_too(harness: Harness, portal: Portal) -> None:
    before = enter(harness)
    grant = portal.tokens(before.cookie)
    challenge = shared(harness)
    after = harness.service.browser_sessions.choose(page(harness), challenge, "p1", before.cookie)
    assert (look(harness, before), portal.works(grant)) == (None, True)
    harness.service.browser_sessions.sign_out(page(harness), after.cookie)
    assert not portal.works(grant)


# --- what keeps and what ends it, besides the browser -------------------------------------------------------------


def test_a_client_that_refreshes_keeps_its_sign_in_in_use(harness: Harness, portal: Portal) -> None:
    browser_session = enter(harness)
    grant = portal.tokens(browser_session.cookie)
    for _ in range(4):
        harness.clock.advance_ms(1_000_000)
        grant = portal.refresh(grant)
    assert here(harness, browser_session).idle_ends_ms == harness.clock.now_ms() + IDLE_MS
    assert harness.service.browser_sessions.list(page(harness), here(harness, browser_session))


def test_a_code_for_a_client_keeps_it_in_use(harness: Harness, portal: Portal) -> None:
    browser_session = enter(harness)
    harness.clock.advance_ms(IDLE_MS)
    portal.code(browser_session.cookie)
    assert here(harness, browser_session).last_used_ms == harness.clock.now_ms()


def test_no_client_session_outlives_its_sign_in(harness: Harness, portal: Portal) -> None:
    browser_session = enter(harness)
    for _ in range(25):
        harness.clock.advance_ms(1_700_000)
        harness.service.browser_sessions.extend(page(harness), browser_session.cookie)
    grant = portal.tokens(browser_session.cookie)
    for _ in range(2):
        grant = portal.refresh(grant)
    left_ms = NINE_O_CLOCK_MS + DAY_MS - harness.clock.now_ms()
    harness.clock.advance_ms(left_ms - 300_000)
    assert portal.refresh(grant).expires_in_s == 300


def test_a_redeemed_code_keeps_it_in_use_so_that_nothing_wakes_it_once_it_is_over(
    harness: Harness, portal: Portal
) -> None:
    browser_session = enter(harness)
    code = portal.code(browser_session.cookie)
    harness.clock.advance_s(50)
    grant = portal.redeem(code)
    harness.clock.advance_ms(IDLE_MS)
    assert look(harness, browser_session)
    harness.clock.advance_ms(1)
    assert look(harness, browser_session) is None
    assert not portal.works(grant)


def test_attack_sent_round_and_round_a_client_leaves_no_pile_of_sessions(wide: Harness) -> None:
    portal, other = Portal(wide), Portal(wide, "other")
    wide.patient()
    browser_session = enter(wide)
    stays = other.tokens(browser_session.cookie)
    authorization_codes = []
    for _ in range(30):
        authorization_codes.append(portal.tokens(browser_session.cookie))
        wide.clock.advance_ms(1000)
        authorization_codes[0] = portal.refresh(authorization_codes[0])  # the first one is the one in use
    assert [portal.works(grant) for grant in authorization_codes] == [True] + [False] * 11 + [True] * 18
    assert len(records.children(wide.redis, browser_session.sid)) == 20
    assert other.works(stays)


def test_staff_that_ends_a_clients_session_ends_the_sign_in_that_it_came_from(harness: Harness, portal: Portal) -> None:
    """Else the browser, which is still signed in, would simply open the next."""
    browser_session = enter(harness)
    grant, other = portal.tokens(browser_session.cookie), Portal(harness, "other")
    sibling = other.tokens(browser_session.cookie)
    harness.sessions.end(harness.act(), "p1", grant.session or "")
    assert look(harness, browser_session) is None
    assert not portal.works(grant)
    assert not other.works(sibling)


def test_a_client_that_gives_its_session_back_ends_that_alone(harness: Harness, portal: Portal) -> None:
    browser_session = enter(harness)
    grant, sibling = portal.tokens(browser_session.cookie), portal.tokens(browser_session.cookie)
    harness.sessions.revoke(portal.client, grant.refresh_token or "", "")
    assert not portal.works(grant)
    assert portal.works(sibling)
    assert look(harness, browser_session)
    assert records.children(harness.redis, browser_session.sid) == {sibling.session}


def test_attack_a_copied_refresh_token_ends_the_clients_session_and_not_the_sign_in(
    harness: Harness, portal: Portal
) -> None:
    browser_session = enter(harness)
    grant = portal.tokens(browser_session.cookie)
    newest = portal.refresh(portal.refresh(grant))
    with pytest.raises(InvalidGrant, match="reused"):
        portal.refresh(grant)
    assert not portal.works(newest)
    assert look(harness, browser_session)


@pytest.mark.parametrize("end", ["delete", "withdraw", "move", "merge", "staff"])
def test_what_ends_sessions_ends_sign_ins_and_all_under_them(harness: Harness, portal: Portal, end: str) -> None:
    harness.patient("p2", "bob@example.org")
    browser_session, bob = enter(harness), enter(harness, "bob@example.org")
    grant, code = portal.tokens(browser_session.cookie), portal.code(browser_session.cookie)
    cause = {"delete": "deleted", "withdraw": "access_withdrawn", "move": "address_changed", "merge": "merged"}
    match end:
        case "delete":
            harness.patients.delete(harness.act(), "p1")
        case "withdraw":
            harness.patients.withdraw(harness.act(), "p1")
        case "move":
            harness.patient(email="new@example.org")
        case "merge":
            harness.patients.merge(harness.act(), "p1", "p2")
        case "staff":
            assert harness.sessions.end_all(harness.act(), "p1") == 1
    assert look(harness, browser_session) is None
    assert not portal.works(grant)
    assert portal.refused(code) == "ended"
    assert set(ended_in_feed(harness)) == {browser_session.sid, grant.session}
    ended = [entry for entry in harness.audit_entries() if entry["event"] == "session.ended"]
    assert [(entry["sid"], entry["cause"]) for entry in ended] == [
        (browser_session.sid, cause.get(end, "signed_out")),
        (grant.session, cause.get(end, "signed_out")),
    ]
    assert look(harness, bob)


# --- who could be asked -------------------------------------------------------------------------------------------


def test_where_a_patients_code_would_go_is_told_masked_and_only_for_who_may_sign_in(harness: Harness) -> None:
    harness.patient("p1")
    harness.patient("p2", "ben@example.org", access=False)
    before = everything(harness)
    assert harness.service.browser_sessions.contact(page(harness), "p1") == ("a•••@e•••.org", "")
    assert harness.service.browser_sessions.contact(page(harness), "p2") is None
    assert harness.service.browser_sessions.contact(page(harness), "nobody") is None
    assert everything(harness) == before
