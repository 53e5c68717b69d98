"""One table of what happens in a family, read at each of the four places where somebody decides by it: the API, the
hosted pages (and the client behind them), forward-auth, and a verifier elsewhere.

Ann is the patient `p1` and acts for `leo`, who has no mailbox and no portal access of his own. "leo by p1" says who
comes: Leo's data, Ann acting; "leo" is Leo alone; "over" is nobody any more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from authsvc.verifier import InsufficientScope, InvalidToken, Verifier, require
from tests.web.conftest import Web, slug
from tests.web.relying_party import Party, claims, party, sent_to
from tests.web.test_dependents import LEO, choose, enter, put, verifier
from tests.web.test_gateway_answers import ask
from tests.web.visitor import CODE, Visitor

ANN = "ann@example.org"
FEED_S, LEEWAY_S = 11, 30  # a verifier's own: how old its feed may be, how far its clock may be off


@dataclass
class Family:
    """Ann has signed in twice and acts for Leo both times: by the API, at a portal with pages of its own, and in a
    browser at the hosted pages."""

    web: Web
    app: Party
    reader: Verifier
    api: dict[str, Any] = field(default_factory=dict)
    cookie: str = ""

    def sign_in(self) -> None:
        self.api = choose(self.web, "leo")
        browser = Visitor(self.web)
        enter(browser, "leo")
        self.cookie = browser.cookies()["authsvc-maple"]
        assert self.reader.verify(self.api["access_token"]).actor == "maple:p1"  # which fetches keys and feed

    @property
    def browser(self) -> Visitor:
        """Closed, and opened again."""
        visitor = Visitor(self.web)
        visitor.plant("authsvc-maple", self.cookie)
        return visitor


# --- four places ----------------------------------------------------------------------------------------------------


def who(of: dict[str, Any]) -> str:
    """In the words of this table, what claims say."""
    subject, actor = str(of["sub"]), str(of.get("act", {}).get("sub", ""))
    return " by ".join(name.removeprefix("maple:") for name in (subject, actor) if name)


def api(family: Family, token: str) -> str:
    told = family.web.service.sessions.introspect(family.web.harness.client, token, "")
    return who(told) if told["active"] else "over"


def page(family: Family, visitor: Visitor) -> str:
    """What the hosted page says, and the ID token that the client behind it is given: never two things."""
    shown = visitor.page("/p/maple/session")
    _, answer = sent_to(visitor.open("GET", f"/oauth2/authorize?{family.app.query(prompt='none')}"))
    if "error" in answer:
        assert (answer["error"], shown.status) == ("login_required", 303)
        return "over"
    said = claims(family.app.redeem(answer["code"]).json["id_token"])
    assert ("You are acting for" in shown.text) == ("act" in said)
    return who(said)


def forward_auth(family: Family, token: str) -> str:
    answer = ask(family.web, token)
    if answer.status_code == 401:
        return "over"
    subject, actor = answer.headers["X-Auth-Subject"], answer.headers["X-Auth-Actor"]
    return who({"sub": subject, "act": {"sub": actor}})


def service(family: Family, token: str) -> str:
    """A practice's own service with our verifier, which asks nobody but the key set and the feed."""
    family.web.service.revocations._recent.forget("maple")  # half a second of the machine's own time
    try:
        return who(family.reader.verify(token))
    except InvalidToken:
        return "over"


AT: dict[str, Callable[[Family], str]] = {
    "api": lambda family: api(family, family.api["access_token"]),
    "page": lambda family: page(family, family.browser),
    "forward-auth": lambda family: forward_auth(family, family.api["access_token"]),
    "verifier": lambda family: service(family, family.api["access_token"]),
}


def anew_by_api(family: Family, email: str) -> str:
    """The token of a new sign-in, for Leo where he is offered; else why there is none."""
    challenge = family.web.start(email=email)
    answer = family.web.call("POST", "codes/verify", json={"challenge": challenge, "code": CODE})
    if answer.status_code != 200:
        assert slug(answer) == "invalid-code"
        return "no sign-in"
    if "leo" not in [one["patient"] for one in answer.json.get("choose", ())]:
        return "not offered"
    chosen = family.web.call("POST", "codes/choose", json={"challenge": challenge, "patient": "leo"})
    return str(chosen.json["access_token"])


def anew_at_page(family: Family, email: str) -> str:
    visitor = Visitor(family.web)
    answer = visitor.press(visitor.ask(email), code=CODE)
    if answer.status_code != 303:
        return "no sign-in"
    if visitor.signed_in:
        return "not offered"
    assert "Leo" in visitor.page(answer.headers["Location"]).text
    visitor.press(answer.headers["Location"], patient="leo")
    return page(family, visitor)


def anew(at: str, family: Family, email: str) -> str:
    if at == "page":
        return anew_at_page(family, email)
    token = anew_by_api(family, email)
    look = {"api": api, "forward-auth": forward_auth, "verifier": service}[at]
    return look(family, token) if token.startswith("ey") else token


# --- the table ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """What happens after Ann has signed in; what then becomes of those who are signed in, and of a new sign-in at
    `email`. `ends_in_s`: the relation has such an end from the beginning."""

    happens: Callable[[Family], object]
    session: str
    anew: str
    email: str = ANN
    ends_in_s: int | None = None


def nothing(family: Family) -> None:
    """Time stands still."""


def withdraw(family: Family) -> None:
    assert family.web.call("DELETE", LEO).status_code == 204


def leo_on_file(family: Family, **changes: Any) -> None:
    body = {"email": "leo@example.org", "label": "Leo", "portal_access": True, **changes}
    assert family.web.call("PUT", "patients/leo", json=body).status_code == 200


def ann_on_file(family: Family, **changes: Any) -> None:
    body = {"email": ANN, "label": "Ann", "portal_access": True, **changes}
    assert family.web.call("PUT", "patients/p1", json=body).status_code == 200


def delete(family: Family, patient: str) -> None:
    assert family.web.call("DELETE", f"patients/{patient}").status_code == 204


def merge_into_bob(family: Family) -> None:
    family.web.harness.patient("bob", "bob@example.org", label="Bob")
    family.web.harness.patients.merge(family.web.harness.act(), "p1", "bob")


def chain_of_two(family: Family) -> None:
    family.web.harness.patient("kim", "front-desk@maple.example", access=False)
    family.web.harness.patient("gran", "gran@example.org")
    for path in ("patients/leo/dependents/kim", "patients/gran/dependents/p1"):
        assert slug(put(family.web, path)) == "dependent-chain"


def switch_to_herself(family: Family) -> None:
    mails = len(family.web.harness.outbox())
    path = f"patients/leo/sessions/{family.api['session']}/switch"
    assert claims(family.web.call("POST", path, json={"patient": "p1"}).json["access_token"])["sub"] == "maple:p1"
    switched = family.browser
    switched.press("/p/maple/switch", patient="p1")
    assert page(family, switched) == "p1"
    assert len(family.web.harness.outbox()) == mails


def remembered(family: Family) -> None:
    """For an hour, by refreshing and by saying "still there", each within the idle time."""
    for _ in range(3):
        family.web.clock.advance_s(1200)
        refreshed = family.web.call(
            "POST", "/oauth2/token", data={"grant_type": "refresh_token", "refresh_token": family.api["refresh_token"]}
        )
        family.api |= refreshed.json
        assert family.browser.press("/p/maple/session", "extend").status_code == 303


def until_its_end(family: Family, more_ms: int) -> None:
    (relation,) = family.web.service.dependents.list(family.web.harness.act(), "p1")
    assert relation.until_ms is not None
    family.web.clock.advance_ms(relation.until_ms - family.web.clock.now_ms() + more_ms)


CASES = {
    "added": Case(nothing, "leo by p1", "leo by p1"),
    "a millisecond before its end": Case(lambda f: until_its_end(f, -1), "leo by p1", "leo by p1", ends_in_s=400),
    "expired, to the second": Case(lambda f: until_its_end(f, 0), "over", "not offered", ends_in_s=400),
    "withdrawn while signed in": Case(withdraw, "over", "not offered"),
    "the dependent gets a mailbox of its own": Case(leo_on_file, "leo by p1", "leo by p1"),
    "the dependent signs in there alone": Case(leo_on_file, "leo by p1", "not offered", "leo@example.org"),
    "both share a mailbox": Case(lambda f: leo_on_file(f, email=ANN), "leo by p1", "leo"),
    "both share one, the dependent without access": Case(
        lambda f: leo_on_file(f, email=ANN, portal_access=False), "leo by p1", "leo by p1"
    ),
    "scopes are cut": Case(lambda f: put(f.web, workflows=["edit-contact"]), "over", "leo by p1"),
    "an earlier end": Case(lambda f: put(f.web, until="2099-01-01T00:00:00Z"), "over", "leo by p1"),
    "said again": Case(lambda f: put(f.web), "leo by p1", "leo by p1"),
    "a chain of two is refused": Case(chain_of_two, "leo by p1", "leo by p1"),
    "the guardian is deleted": Case(lambda f: delete(f, "p1"), "over", "no sign-in"),
    "the guardian is merged": Case(merge_into_bob, "over", "leo by bob", "bob@example.org"),
    "the guardian loses access": Case(lambda f: ann_on_file(f, portal_access=False), "over", "no sign-in"),
    "the guardian has another mailbox": Case(
        lambda f: ann_on_file(f, email="new@example.org"), "over", "leo by p1", "new@example.org"
    ),
    "the guardian is signed out everywhere": Case(
        lambda f: f.web.call("DELETE", "patients/p1/sessions"), "over", "leo by p1"
    ),
    "the dependent is deleted": Case(lambda f: delete(f, "leo"), "over", "not offered"),
    "the dependent is signed out everywhere": Case(
        lambda f: f.web.call("DELETE", "patients/leo/sessions"), "over", "leo by p1"
    ),
    "she switches to herself, without a mail": Case(switch_to_herself, "over", "leo by p1"),
    "remembered for an hour": Case(remembered, "leo by p1", "leo by p1"),
}


@pytest.fixture
def family(web: Web, request: pytest.FixtureRequest) -> Family:
    web.harness.patient("leo", "front-desk@maple.example", access=False, label="Leo")
    case = CASES[request.node.callspec.params["case"]] if "case" in request.node.callspec.params else None
    until_ms = web.clock.now_ms() + case.ends_in_s * 1000 if case and case.ends_in_s else None
    web.service.dependents.put(web.harness.act(), "p1", "leo", until_ms=until_ms)
    made = Family(web, party(web), verifier(web, revocations=True))
    made.sign_in()
    return made


@pytest.mark.parametrize("at", AT)
@pytest.mark.parametrize("case", CASES)
def test_what_becomes_of_those_who_are_signed_in_and_of_a_new_sign_in(family: Family, case: str, at: str) -> None:
    CASES[case].happens(family)
    if at == "verifier" and CASES[case].session == "over":
        family.web.clock.advance_s(max(FEED_S, LEEWAY_S))
    assert AT[at](family) == CASES[case].session
    assert anew(at, family, CASES[case].email) == CASES[case].anew


@pytest.mark.parametrize("at", AT)
def test_what_was_cut_is_refused_and_what_is_left_passes(family: Family, at: str) -> None:
    assert put(family.web, workflows=["edit-contact"]).status_code == 200
    family.sign_in()
    token = family.api["access_token"]
    match at:
        case "api":
            assert family.api["scope"] == "contact:view contact:edit"
            form = {
                "grant_type": "refresh_token",
                "refresh_token": family.api["refresh_token"],
                "scope": "invoices:view",
            }
            assert family.web.call("POST", "/oauth2/token", data=form).json["error"] == "invalid_scope"
        case "page":
            query = family.app.query(prompt="none", scope="openid contact:view invoices:view")
            code = sent_to(family.browser.open("GET", f"/oauth2/authorize?{query}"))[1]["code"]
            assert family.app.redeem(code).json["scope"] == "openid contact:view"
        case "forward-auth":
            scopes = [
                ask(family.web, token, f"practice=maple&scope={name}") for name in ("contact:view", "invoices:view")
            ]
            assert [answer.status_code for answer in scopes] == [200, 403]
        case _:
            read = family.reader.verify(token)
            require(read, "contact:view")
            with pytest.raises(InsufficientScope):
                require(read, "invoices:view")


@pytest.mark.parametrize("at", AT)
def test_attack_whoever_acts_for_one_child_reaches_no_other(family: Family, at: str) -> None:
    family.web.harness.patient("eve", "eve@example.org", label="Eve")
    family.web.harness.patient("mia", "front-desk@maple.example", access=False, label="Mia")
    family.web.service.dependents.put(family.web.harness.act(), "eve", "mia")
    match at:
        case "page":
            answer = family.browser.press("/p/maple/switch", patient="mia")
            assert answer.status_code == 400
            assert page(family, family.browser) == "leo by p1"
        case _:
            path = f"patients/leo/sessions/{family.api['session']}/switch"
            assert slug(family.web.call("POST", path, json={"patient": "mia"})) == "invalid-request"
            assert AT[at](family) == "leo by p1"
