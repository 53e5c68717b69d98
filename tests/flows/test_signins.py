"""A browser's own sign-in at the hosted pages: in, there, out, and what its clients have under it."""

from __future__ import annotations

import pytest

from authsvc.crypto import tokens
from authsvc.crypto.mint import b64u
from authsvc.errors import ChallengeGone, InvalidCode, InvalidGrant, InvalidInput, RateLimited
from authsvc.model import BrowserSession, Choice, NewBrowserSession, TokenGrant
from tests import records
from tests.fakes import NINE_O_CLOCK_MS
from tests.flows.conftest import House
from tests.flows.visitors import Portal, ended_in_feed, enter, everything, here, look, page

IDLE_MS = 1_800_000
DAY_MS = 43_200_000


@pytest.fixture
def portal(house: House) -> Portal:
    house.patient(label="Ann B.")
    return Portal(house)


def gone(house: House, challenge: str) -> str:
    with pytest.raises(ChallengeGone) as caught:
        house.codes.choices(page(house), challenge)
    return caught.value.reason


def shared(house: House) -> str:
    """A challenge of a mailbox with two patients whose code was typed."""
    house.patient("p2", label="Ben B.")
    started = house.start(act=page(house), email="ann@example.org")
    choice = house.service.browser_sessions.verify(page(house), started.challenge, "314159")
    assert choice == Choice(started.challenge, (("p1", "Ann B."), ("p2", "Ben B.")))
    return started.challenge


# --- in -----------------------------------------------------------------------------------------------------------


def test_a_code_opens_a_sign_in_and_its_cookie_says_who(house: House, portal: Portal) -> None:
    entered = enter(house)
    assert entered.cookie.startswith(entered.sid + ".")
    assert here(house, entered) == BrowserSession(
        sid=entered.sid,
        patient="p1",
        label="Ann B.",
        locale="",
        hint="a•••@e•••.org",
        auth_time_ms=NINE_O_CLOCK_MS,
        last_used_ms=NINE_O_CLOCK_MS,
        idle_ends_ms=NINE_O_CLOCK_MS + IDLE_MS,
        ends_ms=NINE_O_CLOCK_MS + DAY_MS,
    )


def test_redis_does_not_hold_the_cookie_and_no_representation_shows_it(house: House, portal: Portal) -> None:
    entered = enter(house)
    secret = entered.cookie.partition(".")[2]
    assert secret not in str(house.redis.get(f"authsvc:{{maple}}:session:{entered.sid}"))
    assert secret not in repr(entered)


def test_a_second_click_on_the_button_gets_the_same_cookie(house: House, portal: Portal) -> None:
    before = enter(house).cookie
    started = house.start(act=page(house), email="ann@example.org")
    first, second = (
        house.service.browser_sessions.verify(page(house), started.challenge, "314159", before) for _ in range(2)
    )
    assert first == second
    assert isinstance(second, NewBrowserSession)
    assert look(house, second)
    assert house.events().count("code.verified") == 2


def test_a_wrong_code_opens_nothing_and_leaves_the_browsers_sign_in(house: House, portal: Portal) -> None:
    before = enter(house)
    started = house.start(act=page(house), email="ann@example.org")
    with pytest.raises(InvalidCode):
        house.service.browser_sessions.verify(page(house), started.challenge, "000000", before.cookie)
    assert look(house, before)


def test_an_access_link_leads_to_a_sign_in_too(house: House, portal: Portal) -> None:
    house.entropy.next_below(161803)
    started = house.links.exchange(page(house), house.access_link())
    assert not isinstance(started, TokenGrant)
    entered = house.service.browser_sessions.verify(page(house), started.challenge, "161803")
    assert isinstance(entered, NewBrowserSession)
    assert here(house, entered).patient == "p1"


def test_attack_a_code_is_typed_where_it_was_asked_for(house: House, portal: Portal) -> None:
    """A challenge of the pages is none of a client's, and the other way round."""
    ours, theirs = house.start(act=page(house), email="ann@example.org"), house.start()
    with pytest.raises(ChallengeGone):
        house.codes.verify(house.act(), ours.challenge, "314159")
    with pytest.raises(ChallengeGone):
        house.service.browser_sessions.verify(page(house), theirs.challenge, "314159")


def test_who_shares_a_mailbox_is_asked_who_it_is(house: House, portal: Portal) -> None:
    challenge = shared(house)
    before = everything(house)
    assert house.codes.choices(page(house), challenge).patients == (("p1", "Ann B."), ("p2", "Ben B."))
    assert everything(house) == before
    entered = house.service.browser_sessions.choose(page(house), challenge, "p2")
    assert (entered.patient, here(house, entered).label) == ("p2", "Ben B.")
    assert gone(house, challenge) == "spent"


def test_a_second_click_on_a_name_gets_the_same_cookie_for_a_few_seconds(house: House, portal: Portal) -> None:
    challenge = shared(house)
    first = house.service.browser_sessions.choose(page(house), challenge, "p2")
    house.clock.advance_s(house.service.limits.replay_window_s)
    assert house.service.browser_sessions.choose(page(house), challenge, "p2") == first
    with pytest.raises(ChallengeGone, match="spent"):
        house.service.browser_sessions.choose(page(house), challenge, "p1")  # a second thought comes too late
    house.clock.advance_ms(1)
    with pytest.raises(ChallengeGone, match="spent"):
        house.service.browser_sessions.choose(page(house), challenge, "p2")
    assert look(house, first)


def test_attack_a_repeated_choice_does_not_open_a_sign_in_that_was_left(house: House, portal: Portal) -> None:
    challenge = shared(house)
    entered = house.service.browser_sessions.choose(page(house), challenge, "p2")
    house.service.browser_sessions.sign_out(page(house), entered.cookie)
    with pytest.raises(ChallengeGone, match="spent"):
        house.service.browser_sessions.choose(page(house), challenge, "p2")


def test_the_choice_is_between_those_who_may_sign_in_now(house: House, portal: Portal) -> None:
    challenge = shared(house)
    house.patients.withdraw(house.act(), "p1")
    assert house.codes.choices(page(house), challenge).patients == (("p2", "Ben B."),)
    with pytest.raises(InvalidInput):
        house.service.browser_sessions.choose(page(house), challenge, "p1")
    house.patients.withdraw(house.act(), "p2")
    assert house.codes.choices(page(house), challenge).patients == ()


def test_attack_the_choice_is_shown_to_who_has_typed_the_code_and_for_five_minutes(
    house: House, portal: Portal
) -> None:
    assert gone(house, "ach_" + "A" * 43) == "unknown"
    assert gone(house, house.start().challenge) == "unknown"  # another's
    assert gone(house, house.start(act=page(house), email="ann@example.org").challenge) == "unproven"
    challenge = shared(house)
    house.clock.advance_s(300)
    assert house.codes.choices(page(house), challenge).patients
    house.clock.advance_ms(1)
    assert gone(house, challenge) == "expired"


# --- there --------------------------------------------------------------------------------------------------------


def test_looking_changes_nothing_and_keeps_nobody_signed_in(house: House, portal: Portal) -> None:
    entered, act = enter(house), page(house)
    before = everything(house)
    for _ in range(3):
        assert house.service.browser_sessions.get(act, entered.cookie)
    assert everything(house) == before
    assert act.limits == []
    house.clock.advance_ms(IDLE_MS)
    assert look(house, entered)
    house.clock.advance_ms(1)
    assert look(house, entered) is None


def test_whoever_is_still_there_says_so_but_not_for_longer_than_twelve_hours(house: House, portal: Portal) -> None:
    entered = enter(house)
    for _ in range(25):
        house.clock.advance_ms(1_700_000)
        assert house.service.browser_sessions.extend(page(house), entered.cookie)
    found = here(house, entered)
    assert (found.auth_time_ms, found.last_used_ms) == (NINE_O_CLOCK_MS, house.clock.now_ms())
    assert found.idle_ends_ms == found.ends_ms == NINE_O_CLOCK_MS + DAY_MS
    house.clock.advance_ms(found.ends_ms - house.clock.now_ms() - 1)
    assert look(house, entered)
    house.clock.advance_ms(1)
    assert look(house, entered) is None
    assert not house.service.browser_sessions.extend(page(house), entered.cookie)
    assert house.events().count("session.extended") == 25


def test_it_is_too_late_to_be_still_there_after_half_an_hour(house: House, portal: Portal) -> None:
    entered = enter(house)
    house.clock.advance_ms(IDLE_MS + 1)
    assert not house.service.browser_sessions.extend(page(house), entered.cookie)
    assert look(house, entered) is None


def test_attack_being_still_there_is_limited_by_network(house: House, portal: Portal) -> None:
    entered = enter(house)
    with pytest.raises(RateLimited):
        for _ in range(1000):
            house.service.browser_sessions.extend(page(house, client_ip="192.0.2.7"), entered.cookie)


def forged(entered: NewBrowserSession) -> list[str]:
    sid, secret = entered.cookie.split(".")
    return ["", ".", sid, f"{sid}.", f".{secret}", f"{sid}.{secret[::-1]}", f"{sid}.{secret}\n", f"{secret}.{sid}"]


def test_attack_no_other_cookie_is_a_sign_in(house: House, portal: Portal) -> None:
    entered = enter(house)
    oak = house.service.practices.add("oak", name="Oak", actor="cli:test")
    for cookie in [*forged(entered), f"{'A' * 22}.{entered.cookie[23:]}", "x" * 10_000, "ä" * 22 + "." + "ä" * 22]:
        assert house.service.browser_sessions.get(page(house), cookie) is None
        assert not house.service.browser_sessions.extend(page(house), cookie)
        assert not house.service.browser_sessions.sign_out(page(house), cookie)
    assert house.service.browser_sessions.get(house.service.act(oak), entered.cookie) is None
    assert look(house, entered)


def test_attack_a_clients_session_is_no_sign_in_though_the_client_knows_its_nonce(house: House, portal: Portal) -> None:
    """Of a session that a client opened itself, and of one that it was given under a sign-in."""
    key = house.service.data_keys.key("refresh")
    for grant, client in ((house.sign_in(), "portal"), (portal.tokens(enter(house).cookie), "web")):
        said = tokens.parse_refresh(key, grant.refresh_token or "", client)
        assert house.service.browser_sessions.get(page(house), f"{said.sid}.{b64u(said.nonce)}") is None
        assert not house.service.browser_sessions.extend(page(house), f"{said.sid}.{b64u(said.nonce)}")


def test_attack_a_cookie_is_no_refresh_token_even_to_who_could_make_one(house: House, portal: Portal) -> None:
    entered = enter(house)
    nonce = house.service.data_keys.key("refresh")[:16]
    for client in ("", "web"):
        forged_token = tokens.build_refresh(
            house.service.data_keys.key("refresh"),
            practice="maple",
            sid=entered.sid,
            generation=0,
            nonce=nonce,
            client=client,
        )
        with pytest.raises(InvalidGrant):
            house.sessions.refresh(portal.client, forged_token, None, "")
    assert look(house, entered)


def test_a_sign_in_of_a_patient_who_is_not_on_file_is_none(house: House, portal: Portal) -> None:
    """As after a copy of Redis was put back in part."""
    entered = enter(house)
    house.redis.delete("authsvc:{maple}:patient:p1")
    assert look(house, entered) is None


def test_the_list_shows_sign_ins_newest_first_and_not_what_their_clients_have(house: House, portal: Portal) -> None:
    first = enter(house)
    house.clock.advance_s(60)
    second = enter(house)
    portal.tokens(second.cookie)
    house.patient("p2", "bob@example.org")
    enter(house, "bob@example.org")
    listed = house.service.browser_sessions.list(page(house), here(house, first))
    assert [session.id for session in listed] == [second.sid, first.sid]
    assert {session.client for session in listed} == {""}


# --- out ----------------------------------------------------------------------------------------------------------


def test_signing_out_takes_along_what_the_clients_have(house: House, portal: Portal) -> None:
    entered, elsewhere = enter(house), enter(house)
    other = Portal(house, "other")
    held = [(portal, portal.tokens(entered.cookie)), (other, other.tokens(entered.cookie))]
    kept = portal.tokens(elsewhere.cookie)
    assert house.service.browser_sessions.sign_out(page(house), entered.cookie)
    assert look(house, entered) is None
    for party, grant in held:
        assert not party.works(grant)
        with pytest.raises(InvalidGrant, match="unknown"):
            party.refresh(grant)
    assert set(ended_in_feed(house)) == {entered.sid, *(grant.session for _, grant in held)}
    assert records.children(house.redis, entered.sid) == set()
    assert portal.works(kept)
    assert look(house, elsewhere)
    assert not house.service.browser_sessions.sign_out(page(house), entered.cookie)


def test_one_of_the_patients_sign_ins_ends_from_another(house: House, portal: Portal) -> None:
    entered, elsewhere = enter(house), enter(house)
    grant = portal.tokens(elsewhere.cookie)
    for _ in range(2):  # a second click is no error
        house.service.browser_sessions.end(page(house), here(house, entered), elsewhere.sid)
    assert look(house, elsewhere) is None
    assert not portal.works(grant)
    assert look(house, entered)


def test_all_the_others_end_at_once(house: House, portal: Portal) -> None:
    entered, others = enter(house), [enter(house) for _ in range(3)]
    authorization_codes = [portal.tokens(other.cookie) for other in others]
    kept = portal.tokens(entered.cookie)
    assert house.service.browser_sessions.end_others(page(house), here(house, entered)) == 3
    assert [look(house, other) for other in others] == [None] * 3
    assert not any(portal.works(grant) for grant in authorization_codes)
    assert portal.works(kept)
    assert house.service.browser_sessions.end_others(page(house), here(house, entered)) == 0


def test_attack_nobody_ends_another_patients_sign_in(house: House, portal: Portal) -> None:
    house.patient("p2", "bob@example.org")
    ann, bob = enter(house), enter(house, "bob@example.org")
    house.service.browser_sessions.end(page(house), here(house, bob), ann.sid)
    house.service.browser_sessions.end_others(page(house), here(house, bob))
    assert look(house, ann)


def test_ending_a_sign_in_of_a_patient_who_was_just_deleted_is_no_error(house: House, portal: Portal) -> None:
    entered = enter(house)
    seen = here(house, entered)
    house.patients.delete(house.act(), "p1")
    house.service.browser_sessions.end(page(house), seen, entered.sid)


def test_a_client_session_that_is_gone_already_ends_once(house: House, portal: Portal) -> None:
    entered = enter(house)
    grant = portal.tokens(entered.cookie)
    house.redis.delete(f"authsvc:{{maple}}:session:{grant.session}")
    house.service.browser_sessions.sign_out(page(house), entered.cookie)
    assert ended_in_feed(house) == [entered.sid]


# --- signed in anew -----------------------------------------------------------------------------------------------


def test_a_new_proof_takes_the_old_sign_ins_place_and_its_clients_stay(house: House, portal: Portal) -> None:
    before = enter(house)
    grant, late = portal.tokens(before.cookie), portal.tokens(before.cookie)
    house.redis.delete(f"authsvc:{{maple}}:session:{late.session}")
    house.clock.advance_s(500)
    after = enter(house, before=before.cookie)
    assert (after.sid != before.sid, look(house, before)) == (True, None)
    assert here(house, after).auth_time_ms == house.clock.now_ms()
    assert ended_in_feed(house) == [before.sid]
    assert portal.works(grant)
    house.clock.advance_s(590)
    fresh = portal.refresh(grant)
    assert here(house, after).last_used_ms == house.clock.now_ms()
    house.service.browser_sessions.sign_out(page(house), after.cookie)
    assert not portal.works(fresh)


def test_attack_a_planted_cookie_is_worth_nothing_once_the_victim_has_signed_in(house: House, portal: Portal) -> None:
    """Session fixation: the attacker puts a cookie of their own into the victim's browser."""
    house.patient("p2", "eve@example.org")
    planted = enter(house, "eve@example.org")
    eves = portal.tokens(planted.cookie)
    victim = enter(house, before=planted.cookie)
    assert (here(house, victim).patient, look(house, planted)) == ("p1", None)
    assert not portal.works(eves)
    assert portal.tokens(victim.cookie).patient == "p1"
    causes = [entry["cause"] for entry in house.trail() if entry["event"] == "session.ended"]
    assert causes == ["succeeded", "succeeded"]


def test_attack_knowing_the_id_of_a_sign_in_does_not_end_it(house: House, portal: Portal) -> None:
    """Ids are in tokens and feeds. Only the browser that has the secret is signed in there."""
    victim = enter(house)
    grant = portal.tokens(victim.cookie)
    house.patient("p2", "eve@example.org")
    for before in (victim.sid, f"{victim.sid}.{'A' * 22}", f"{grant.session}.{'A' * 22}", "junk"):
        enter(house, "eve@example.org", before=before)
    assert look(house, victim)
    assert portal.works(grant)


def test_a_choice_succeeds_the_sign_in_that_was_there_too(house: House, portal: Portal) -> None:
    before = enter(house)
    grant = portal.tokens(before.cookie)
    challenge = shared(house)
    after = house.service.browser_sessions.choose(page(house), challenge, "p1", before.cookie)
    assert (look(house, before), portal.works(grant)) == (None, True)
    house.service.browser_sessions.sign_out(page(house), after.cookie)
    assert not portal.works(grant)


# --- what keeps and what ends it, besides the browser -------------------------------------------------------------


def test_a_client_that_refreshes_keeps_its_sign_in_in_use(house: House, portal: Portal) -> None:
    entered = enter(house)
    grant = portal.tokens(entered.cookie)
    for _ in range(4):
        house.clock.advance_ms(1_000_000)
        grant = portal.refresh(grant)
    assert here(house, entered).idle_ends_ms == house.clock.now_ms() + IDLE_MS
    assert house.service.browser_sessions.list(page(house), here(house, entered))


def test_a_code_for_a_client_keeps_it_in_use(house: House, portal: Portal) -> None:
    entered = enter(house)
    house.clock.advance_ms(IDLE_MS)
    portal.code(entered.cookie)
    assert here(house, entered).last_used_ms == house.clock.now_ms()


def test_no_client_session_outlives_its_sign_in(house: House, portal: Portal) -> None:
    entered = enter(house)
    for _ in range(25):
        house.clock.advance_ms(1_700_000)
        house.service.browser_sessions.extend(page(house), entered.cookie)
    grant = portal.tokens(entered.cookie)
    for _ in range(2):
        grant = portal.refresh(grant)
    left_ms = NINE_O_CLOCK_MS + DAY_MS - house.clock.now_ms()
    house.clock.advance_ms(left_ms - 300_000)
    assert portal.refresh(grant).expires_in_s == 300


def test_a_redeemed_code_keeps_it_in_use_so_that_nothing_wakes_it_once_it_is_over(house: House, portal: Portal) -> None:
    entered = enter(house)
    code = portal.code(entered.cookie)
    house.clock.advance_s(50)
    grant = portal.redeem(code)
    house.clock.advance_ms(IDLE_MS)
    assert look(house, entered)
    house.clock.advance_ms(1)
    assert look(house, entered) is None
    assert not portal.works(grant)


def test_attack_sent_round_and_round_a_client_leaves_no_pile_of_sessions(wide: House) -> None:
    portal, other = Portal(wide), Portal(wide, "other")
    wide.patient()
    entered = enter(wide)
    stays = other.tokens(entered.cookie)
    authorization_codes = []
    for _ in range(30):
        authorization_codes.append(portal.tokens(entered.cookie))
        wide.clock.advance_ms(1000)
        authorization_codes[0] = portal.refresh(authorization_codes[0])  # the first one is the one in use
    assert [portal.works(grant) for grant in authorization_codes] == [True] + [False] * 11 + [True] * 18
    assert len(records.children(wide.redis, entered.sid)) == 20
    assert other.works(stays)


def test_staff_that_ends_a_clients_session_ends_the_sign_in_that_it_came_from(house: House, portal: Portal) -> None:
    """Else the browser, which is still signed in, would simply open the next."""
    entered = enter(house)
    grant, other = portal.tokens(entered.cookie), Portal(house, "other")
    sibling = other.tokens(entered.cookie)
    house.sessions.end(house.act(), "p1", grant.session or "")
    assert look(house, entered) is None
    assert not portal.works(grant)
    assert not other.works(sibling)


def test_a_client_that_gives_its_session_back_ends_that_alone(house: House, portal: Portal) -> None:
    entered = enter(house)
    grant, sibling = portal.tokens(entered.cookie), portal.tokens(entered.cookie)
    house.sessions.revoke(portal.client, grant.refresh_token or "", "")
    assert not portal.works(grant)
    assert portal.works(sibling)
    assert look(house, entered)
    assert records.children(house.redis, entered.sid) == {sibling.session}


def test_attack_a_copied_refresh_token_ends_the_clients_session_and_not_the_sign_in(
    house: House, portal: Portal
) -> None:
    entered = enter(house)
    grant = portal.tokens(entered.cookie)
    newest = portal.refresh(portal.refresh(grant))
    with pytest.raises(InvalidGrant, match="reused"):
        portal.refresh(grant)
    assert not portal.works(newest)
    assert look(house, entered)


@pytest.mark.parametrize("end", ["delete", "withdraw", "move", "merge", "staff"])
def test_what_ends_sessions_ends_sign_ins_and_all_under_them(house: House, portal: Portal, end: str) -> None:
    house.patient("p2", "bob@example.org")
    entered, bob = enter(house), enter(house, "bob@example.org")
    grant, code = portal.tokens(entered.cookie), portal.code(entered.cookie)
    cause = {"delete": "deleted", "withdraw": "access_withdrawn", "move": "address_changed", "merge": "merged"}
    match end:
        case "delete":
            house.patients.delete(house.act(), "p1")
        case "withdraw":
            house.patients.withdraw(house.act(), "p1")
        case "move":
            house.patient(email="new@example.org")
        case "merge":
            house.patients.merge(house.act(), "p1", "p2")
        case "staff":
            assert house.sessions.end_all(house.act(), "p1") == 1
    assert look(house, entered) is None
    assert not portal.works(grant)
    assert portal.refused(code) == "ended"
    assert set(ended_in_feed(house)) == {entered.sid, grant.session}
    ended = [entry for entry in house.trail() if entry["event"] == "session.ended"]
    assert [(entry["sid"], entry["cause"]) for entry in ended] == [
        (entered.sid, cause.get(end, "signed_out")),
        (grant.session, cause.get(end, "signed_out")),
    ]
    assert look(house, bob)


# --- who could be asked -------------------------------------------------------------------------------------------


def test_where_a_patients_code_would_go_is_told_masked_and_only_for_who_may_sign_in(house: House) -> None:
    house.patient("p1")
    house.patient("p2", "ben@example.org", access=False)
    before = everything(house)
    assert house.service.browser_sessions.contact(page(house), "p1") == ("a•••@e•••.org", "")
    assert house.service.browser_sessions.contact(page(house), "p2") is None
    assert house.service.browser_sessions.contact(page(house), "nobody") is None
    assert everything(house) == before
