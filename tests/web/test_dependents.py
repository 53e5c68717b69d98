"""Acting for a dependent at the API, at the hosted pages, at forward-auth, and in a verifier elsewhere."""

from __future__ import annotations

from typing import Any

import pytest
from werkzeug.test import TestResponse

from authsvc.verifier import InsufficientScope, InvalidToken, Verifier, require
from tests.web.conftest import Web, pointers, slug
from tests.web.relying_party import Party, claims, code_of, party, sent_to
from tests.web.test_gateway_answers import ask
from tests.web.visitor import CODE, Visitor

LEO = "patients/p1/dependents/leo"
SWITCH = "/p/maple/switch"


@pytest.fixture
def family(web: Web) -> Web:
    """p1 (Ann) acts for leo."""
    web.harness.patient("leo", "front-desk@maple.example", access=False, label="Leo")
    assert put(web).status_code == 201
    return web


@pytest.fixture
def app(family: Web) -> Party:
    return party(family)


def put(web: Web, path: str = LEO, **body: Any) -> TestResponse:
    return web.call("PUT", path, json=body)


def choose(web: Web, patient: str) -> dict[str, Any]:
    challenge = web.start()
    web.call("POST", "codes/verify", json={"challenge": challenge, "code": CODE})
    answer = web.call("POST", "codes/choose", json={"challenge": challenge, "patient": patient})
    assert answer.status_code == 200, answer.json
    return dict(answer.json)


def enter(visitor: Visitor, patient: str = "p1", query: str = "") -> TestResponse:
    """Sign in and choose."""
    who = visitor.press(visitor.ask(query=query), code=CODE).headers["Location"]
    return visitor.press(who, patient=patient)


# --- the API --------------------------------------------------------------------------------------------------------


def test_the_practice_puts_lists_and_removes_dependents(family: Web) -> None:
    answer = put(family, until="2031-05-01T02:00:00.5+02:00", workflows=["edit-contact"])
    relation = {"guardian": "p1", "dependent": "leo", "until": "2031-05-01T00:00:00Z", "workflows": ["edit-contact"]}
    assert (answer.status_code, answer.json) == (200, relation)
    assert family.call("GET", "patients/p1/dependents").json == {"dependents": [relation]}
    assert put(family, until=None, workflows=None).json == {**relation, "until": None, "workflows": None}
    assert family.call("DELETE", LEO).status_code == 204
    assert family.call("DELETE", LEO).status_code == 404
    assert family.call("GET", "patients/p1/dependents").json == {"dependents": []}


def test_what_makes_no_sense_is_refused_all_at_once(family: Web) -> None:
    assert pointers(put(family, until="tomorrow", workflows=[], more=1)) == ["/until", "/workflows", "/more"]
    assert pointers(put(family, until="2001-01-01T00:00:00Z", workflows=["pay-invoice"])) == ["/workflows/0", "/until"]
    assert pointers(put(family, until="9999-12-31T23:59:59-23:59")) == ["/until"]
    assert pointers(put(family, until=12)) == ["/until"]
    assert pointers(put(family, "patients/p%201/dependents/l%C3%A9o")) == ["/path/guardian", "/path/dependent"]
    assert slug(put(family, "patients/p1/dependents/nobody")) == "patient-not-found"
    assert slug(put(family, "patients/leo/dependents/p1")) == "dependent-chain"
    assert put(family, "patients/p1/dependents/p1").status_code == 409


def test_reading_and_writing_take_a_permission_each(family: Web) -> None:
    reader, secret = family.harness.new_client("reader", permissions=frozenset({"patients:read"}))
    headers = {"Authorization": _basic(reader.id, secret)}
    assert family.bare("GET", "/v1/practices/maple/patients/p1/dependents", headers=headers).status_code == 200
    for method in ("PUT", "DELETE"):
        answer = family.bare(method, f"/v1/practices/maple/{LEO}", json={}, headers=headers)
        assert slug(answer) == "forbidden"


def _basic(client_id: str, secret: str) -> str:
    from tests.web.conftest import basic

    return basic(client_id, secret)["Authorization"]


def test_after_a_code_the_chooser_marks_those_for_whom_one_acts(family: Web) -> None:
    challenge = family.start()
    answer = family.call("POST", "codes/verify", json={"challenge": challenge, "code": CODE})
    assert answer.json == {
        "choose": [{"patient": "p1", "label": "Ann"}, {"patient": "leo", "label": "Leo", "acting": True}],
        "challenge": challenge,
    }


def test_a_client_switches_and_the_old_session_ends(family: Web) -> None:
    own = choose(family, "p1")
    answer = family.call("POST", f"patients/p1/sessions/{own['session']}/switch", json={"patient": "leo"})
    assert (answer.status_code, answer.json["patient"]) == (200, "leo")
    assert claims(answer.json["access_token"])["act"] == {"sub": "maple:p1"}
    (row,) = family.call("GET", "patients/leo/sessions").json["sessions"]
    assert (row["patient"], row["guardian"]) == ("leo", "p1")
    assert family.call("GET", "patients/p1/sessions").json["sessions"] == [row]
    old = family.call("POST", f"patients/p1/sessions/{own['session']}/switch", json={"patient": "leo"})
    assert slug(old) == "not-found"
    path = f"patients/leo/sessions/{answer.json['session']}/switch"
    assert pointers(family.call("POST", path, json={"patient": "eve"})) == ["/patient"]
    assert slug(family.call("POST", "patients/p1/sessions/x/switch", json={"patient": "leo"})) == "not-found"


def test_a_switch_from_a_sign_in_older_than_its_idle_time_is_refused(family: Web) -> None:
    own = choose(family, "p1")
    for _ in range(2):
        family.clock.advance_s(901)
        own = family.service.sessions.refresh(family.harness.client, str(own["refresh_token"]), None, "").__dict__
    answer = family.call("POST", f"patients/p1/sessions/{own['session']}/switch", json={"patient": "leo"})
    assert (answer.status_code, slug(answer)) == (409, "code-needed")


# --- forward-auth and a verifier elsewhere --------------------------------------------------------------------------


def test_forward_auth_names_who_acts_and_knows_at_once_when_that_is_over(family: Web) -> None:
    acting, own = choose(family, "leo")["access_token"], choose(family, "p1")["access_token"]
    answer = ask(family, acting)
    assert (answer.headers["X-Auth-Patient"], answer.headers["X-Auth-Actor"]) == ("leo", "maple:p1")
    assert ask(family, own).headers["X-Auth-Actor"] == ""
    family.call("DELETE", LEO)
    assert (ask(family, acting).status_code, ask(family, own).status_code) == (401, 200)


def test_forward_auth_refuses_what_was_cut_and_what_is_over_to_the_second(family: Web) -> None:
    until_ms = family.clock.now_ms() // 1000 * 1000 + 120_000
    family.service.dependents.put(family.harness.act(), "p1", "leo", until_ms=until_ms, workflows=["edit-contact"])
    token = choose(family, "leo")["access_token"]
    assert ask(family, token, "practice=maple&scope=contact:view").status_code == 200
    assert ask(family, token, "practice=maple&scope=invoices:view").status_code == 403
    family.clock.advance_ms(until_ms - family.clock.now_ms() - 1)
    assert ask(family, token).status_code == 200
    family.clock.advance_ms(1)
    assert ask(family, token).status_code == 401


def verifier(web: Web, **more: Any) -> Verifier:
    """A service's own, offline but for the key set and the feed."""

    def fetch(url: str) -> bytes:
        answer = web.bare("GET", url.removeprefix(web.service.settings.public_url))
        assert answer.status_code == 200, url
        return bytes(answer.data)

    given = {"audience": "practice-services", "practice": "maple", "now": lambda: web.clock.now_ms() / 1000, **more}
    return Verifier(web.service.settings.public_url, fetch=fetch, **given)


def test_a_verifier_says_who_acts_and_refuses_it_where_the_patient_is_wanted_in_person(family: Web) -> None:
    reader = verifier(family)
    acting, own = (reader.verify(choose(family, patient)["access_token"]) for patient in ("leo", "p1"))
    assert (acting.actor, own.actor) == ("maple:p1", "")
    require(acting, "contact:view")
    require(own, "contact:view", acting=False)
    for refuse in (require, reader.require):
        with pytest.raises(InsufficientScope, match="acting"):
            refuse(acting, "contact:view", acting=False)


@pytest.mark.parametrize("way", ["removed", "withdrawn", "mailbox"])
def test_an_offline_verifier_learns_by_the_feed(family: Web, way: str) -> None:
    reader = verifier(family, revocations=True)
    token = choose(family, "leo")["access_token"]
    assert reader.verify(token)["patient"] == "leo"
    match way:
        case "removed":
            family.call("DELETE", LEO)
        case "withdrawn":
            family.harness.patient("p1", access=False)
        case "mailbox":
            family.harness.patient("p1", "new@example.org")
    family.clock.advance_s(11)
    family.service.revocations._recent.forget("maple")  # half a second of the machine's own time
    with pytest.raises(InvalidToken, match="revoked"):
        reader.verify(token)


# --- the hosted pages -----------------------------------------------------------------------------------------------


def test_after_the_code_a_page_asks_you_or_leo(family: Web) -> None:
    ann = Visitor(family)
    who = ann.press(ann.ask(), code=CODE).headers["Location"]
    page = ann.page(who)
    assert "Who is this for?" in page.text
    assert "You (Ann)" in page.text
    assert "Leo" in page.text
    spanish = ann.page(f"{who}?ui_locales=es")
    assert "¿Para quién es?" in spanish.text
    assert "Usted (Ann)" in spanish.text
    assert ann.press(who, patient="leo").status_code == 303
    assert "You are acting for" in ann.page("/p/maple/session").text


def test_whoever_shares_a_mailbox_sees_for_whom_they_act(family: Web) -> None:
    family.harness.patient("p2", "ann@example.org", label="Bo")
    ann = Visitor(family)
    page = ann.page(ann.press(ann.ask(), code=CODE).headers["Location"])
    assert "Who is signing in?" in page.text
    assert "Leo, for whom you act" in page.text


def test_switch_person_on_the_session_page_sends_no_mail(family: Web) -> None:
    ann = Visitor(family)
    enter(ann)
    mails, before = len(family.harness.outbox()), ann.cookies()
    assert "Switch person" in ann.page("/p/maple/session").labels
    answer = ann.press(SWITCH, patient="leo")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/p/maple/session")
    assert ann.cookies()["authsvc-maple"] != before["authsvc-maple"]
    assert "You are acting for" in ann.page("/p/maple/session").text
    assert len(family.harness.outbox()) == mails
    old = Visitor(family)
    old.plant("authsvc-maple", before["authsvc-maple"])
    assert not old.signed_in
    assert ann.press(SWITCH, patient="p1").status_code == 303
    assert "You are acting for" not in ann.page("/p/maple/session").text


def test_who_stays_the_same_keeps_the_session(family: Web) -> None:
    ann = Visitor(family)
    enter(ann, "leo")
    before = ann.cookies()["authsvc-maple"]
    assert ann.press(SWITCH, patient="leo").headers["Location"] == "/p/maple/session"
    assert ann.cookies()["authsvc-maple"] == before


@pytest.mark.parametrize("patient", ["", "p2", "é"])
def test_attack_switching_to_somebody_else(family: Web, patient: str) -> None:
    family.harness.patient("p2", "bob@example.org")
    ann = Visitor(family)
    enter(ann)
    answer = ann.press(SWITCH, patient=patient)
    assert answer.status_code == 400
    assert "Please choose one of these names." in answer.get_data(as_text=True)


def test_attack_a_form_of_another_site_switches_nobody(family: Web) -> None:
    ann = Visitor(family)
    enter(ann)
    assert ann.post(SWITCH, {"patient": "leo"}).status_code == 403
    assert "You are acting for" not in ann.page("/p/maple/session").text


def test_there_is_nothing_to_switch_without_dependents_or_with_an_old_sign_in(family: Web) -> None:
    ann = Visitor(family)
    assert ann.open("GET", SWITCH).headers["Location"] == "/p/maple/sign-in"
    enter(ann)
    page = ann.page(SWITCH)
    for _ in range(2):
        family.clock.advance_s(901)
        assert ann.press("/p/maple/session", "extend").status_code == 303
    assert ann.open("GET", SWITCH).headers["Location"] == "/p/maple/sign-in"
    assert ann.press(SWITCH, page=page, patient="leo").headers["Location"] == "/p/maple/sign-in"
    assert "Switch person" not in ann.page("/p/maple/session").labels


# --- a client that lets its patients switch -------------------------------------------------------------------------


def test_select_account_switches_without_a_mail(family: Web, app: Party) -> None:
    ann = Visitor(family)
    answer = enter(ann, query=app.query())
    own = app.redeem(sent_to(answer)[1]["code"]).json
    mails = len(family.harness.outbox())
    path = ann.open("GET", f"/oauth2/authorize?{app.query(prompt='select_account')}").headers["Location"]
    assert path.startswith(f"{SWITCH}?")
    assert "Use another email address" in ann.page(path).text
    tokens = app.redeem(code_of(ann.press(path, patient="leo"))).json
    assert claims(tokens["id_token"])["act"] == claims(tokens["access_token"])["act"] == {"sub": "maple:p1"}
    assert claims(tokens["id_token"])["sub"] == "maple:leo"
    assert len(family.harness.outbox()) == mails
    introspected = family.service.sessions.introspect(family.harness.client, own["access_token"], "")
    assert introspected == {"active": False}
    # From now on the client's other requests are answered for whom was chosen.
    silent = ann.open("GET", f"/oauth2/authorize?{app.query(prompt='none')}")
    assert claims(app.redeem(code_of(silent)).json["id_token"])["sub"] == "maple:leo"


@pytest.mark.parametrize("asked", [{"prompt": "select_account login"}, {"prompt": "select_account", "max_age": "0"}])
def test_a_proof_that_is_wanted_anew_takes_a_code(family: Web, app: Party, asked: dict[str, str]) -> None:
    ann = Visitor(family)
    enter(ann)
    answer = ann.open("GET", f"/oauth2/authorize?{app.query(**asked)}")
    assert sent_to(answer)[0] == "/p/maple/sign-in"


def test_without_dependents_select_account_asks_for_an_address_as_ever(family: Web, app: Party) -> None:
    family.harness.patient("p2", "bob@example.org")
    bob = Visitor(family)
    bob.sign_in("bob@example.org")
    answer = bob.open("GET", f"/oauth2/authorize?{app.query(prompt='select_account')}")
    assert sent_to(answer)[0] == "/p/maple/sign-in"


def test_a_dependents_own_address_is_not_verified_by_a_code_to_the_guardian(family: Web) -> None:
    family.harness.patient("leo", "leo@example.org", label="Leo")
    family.service.practices.set("maple", actor="cli:test", claims=("email",))
    app = party(family, "reader", claims=("email",))
    answer = enter(Visitor(family), "leo", app.query(scope="openid email"))
    token = app.redeem(sent_to(answer)[1]["code"]).json["access_token"]
    known = family.bare("GET", "/oauth2/userinfo", headers={"Authorization": f"Bearer {token}"}).json
    assert (known["sub"], known["email"]) == ("maple:leo", "leo@example.org")
    assert known["email_verified"] is False


def test_a_switch_to_whom_the_client_does_not_want_asks_again(family: Web, app: Party) -> None:
    ann = Visitor(family)
    tokens = app.redeem(sent_to(enter(ann, query=app.query()))[1]["code"]).json
    query = app.query(prompt="select_account", id_token_hint=tokens["id_token"])
    path = ann.open("GET", f"/oauth2/authorize?{query}").headers["Location"]
    answer = ann.press(path, patient="leo")
    assert sent_to(answer)[0] == "/p/maple/sign-in"


def test_whoever_acts_and_has_to_prove_it_again_gets_the_code_at_their_own_address(family: Web, app: Party) -> None:
    ann = Visitor(family)
    tokens = app.redeem(sent_to(enter(ann, "leo", app.query()))[1]["code"]).json
    query = app.query(prompt="login", id_token_hint=tokens["id_token"])
    page = ann.page(ann.open("GET", f"/oauth2/authorize?{query}").headers["Location"])
    assert "a•••@e•••.org" in page.text
    assert "front" not in page.text
    family.entropy.next_below(int(CODE))
    code = ann.press(f"/p/maple/sign-in?{query}").headers["Location"]
    who = ann.press(code, code=CODE).headers["Location"]
    again = app.redeem(code_of(ann.press(who, patient="leo"))).json
    assert claims(again["id_token"])["sub"] == "maple:leo"


def test_when_the_store_goes_away_after_the_switch_the_browser_still_has_its_session(
    family: Web, app: Party, monkeypatch: pytest.MonkeyPatch
) -> None:
    from authsvc.errors import Unavailable

    ann = Visitor(family)
    enter(ann)
    path = f"{SWITCH}?{app.query(prompt='select_account')}"
    page = ann.page(path)

    def away(*_: Any, **__: Any) -> str:
        raise Unavailable("store")

    with monkeypatch.context() as patch:
        patch.setattr(family.service.authorization_codes, "for_browser_session", away)
        assert ann.press(path, page=page, patient="leo").status_code == 503
    assert "You are acting for" in ann.page("/p/maple/session").text
