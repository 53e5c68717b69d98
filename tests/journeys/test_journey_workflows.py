"""All that a patient may do, from the mail to the page, over the running service: HTTP, SMTP, and tokens that a
separate process verifies with nothing but the issuer's address.
"""

from __future__ import annotations

import re
from itertools import count
from typing import Any

import pytest

from tests.harness.browsing import Browser, http_transport
from tests.harness.deployment import Client, Deployment, find_code, find_link, token_of, wrong
from tests.harness.processes import Answer, until

pytestmark = pytest.mark.journey

INSTANT = [
    (
        "pay-invoice",
        "invoice:inv_1",
        "invoice:view invoice:pay",
        [("GET", "/invoices/inv_1"), ("POST", "/invoices/inv_1/pay")],
    ),
    ("update-payment-info", None, "payment_info:update", [("POST", "/payment-info")]),
    ("accept-agreement", "agreement:agr_7", "agreement:view agreement:accept", [("POST", "/agreements/agr_7/accept")]),
]
"""workflow, its resource, its scopes, and the pages that it opens"""

EXTRA = [
    ("GET", "/portal/invoices"),
    ("GET", "/portal/statements"),
    ("POST", "/portal/contact"),
    ("POST", "/portal/membership"),
    ("POST", "/portal/dependents"),
    ("POST", "/portal/payment-methods"),
]
"""The pages of the four extra-security workflows."""

_numbers = count(1)


@pytest.fixture
def anna(portal: Client) -> tuple[str, str]:
    """A patient of her own for each test: id and address."""
    name = f"anna{next(_numbers)}"
    portal.register(name, f"{name}@example.org", label="Anna Berg")
    return name, f"{name}@example.org"


def started(answer: Answer) -> str:
    """The challenge of a sign-in that has begun."""
    assert (answer.status, answer.json["expires_in"], answer.json["resend_in"]) == (202, 600, 30), answer
    return str(answer.json["challenge"])


def opens_the_portal(deployment: Deployment, token: str) -> None:
    for method, page in EXTRA:
        answer = deployment.visit(method, page, token)
        assert answer.status == 200, (page, answer)


# --- instant: a link, no login ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("workflow", "resource", "scopes", "pages"), INSTANT)
@pytest.mark.parametrize("delivery", ["caller", "email"])
def test_a_link_opens_exactly_what_it_is_for(
    deployment: Deployment,
    portal: Client,
    anna: tuple[str, str],
    workflow: str,
    resource: str | None,
    scopes: str,
    pages: list[tuple[str, str]],
    delivery: str,
) -> None:
    patient, email = anna
    about: dict[str, Any] = {"resource": resource} if resource else {}
    issued = portal.post("links", workflow=workflow, patient=patient, delivery=delivery, **about)
    assert issued.status == 201
    url = find_link(deployment.mailed(email)) if delivery == "email" else issued.json["url"]
    if delivery == "email":
        assert url == issued.json["url"]

    granted = portal.exchange_link(token_of(url))
    assert (granted["scope"], granted["workflow"], granted["patient"]) == (scopes, workflow, patient)
    assert "refresh_token" not in granted
    assert "session" not in granted
    for method, page in pages:
        shown = deployment.visit(method, page, granted["access_token"])
        assert shown.status == 200, shown
        assert (shown.json["sub"], shown.json["acr"]) == (f"maple:{patient}", "instant")
        assert shown.json.get("resource") == resource

    others = [page for name, _, _, theirs in INSTANT if name != workflow for page in theirs]
    assert {deployment.visit(*page, granted["access_token"]).status for page in others} == {403}
    assert {deployment.visit(*page, granted["access_token"]).status for page in EXTRA} == {401}


def test_attack_the_link_to_one_invoice_does_not_open_another(
    deployment: Deployment, portal: Client, anna: tuple[str, str]
) -> None:
    token = portal.exchange_link(portal.link("pay-invoice", anna[0], resource="invoice:inv_1"))["access_token"]
    assert deployment.visit("GET", "/invoices/inv_1", token).status == 200
    for method, page in (("GET", "/invoices/inv_2"), ("POST", "/invoices/inv_2/pay"), ("GET", "/invoices/inv_1x")):
        refused = deployment.visit(method, page, token)
        assert refused.status == 403, page
        assert 'error="insufficient_scope"' in refused.header("WWW-Authenticate")
    assert deployment.forward_auth(token, scope="invoice:view", resource="invoice:inv_1").status == 200
    assert deployment.forward_auth(token, scope="invoice:view", resource="invoice:inv_2").status == 403
    assert deployment.forward_auth(token, scope="invoice:view").status == 403


def test_a_paid_invoice_ends_its_links_and_their_tokens(
    deployment: Deployment, portal: Client, anna: tuple[str, str]
) -> None:
    link = portal.link("pay-invoice", anna[0], resource="invoice:paid_1")
    token = portal.exchange_link(link)["access_token"]
    assert portal.call("DELETE", "links?resource=invoice:paid_1").json == {"revoked": 1}
    gone = portal.post("links/exchange", token=link)
    assert (gone.status, gone.json["reason"]) == (410, "revoked")
    assert deployment.forward_auth(token, scope="invoice:view", resource="invoice:paid_1").status == 401
    assert portal.oauth("introspect", token=token).json == {"active": False}


def test_attack_a_mail_scanner_that_opens_every_link_spends_nothing(
    deployment: Deployment, portal: Client, anna: tuple[str, str]
) -> None:
    issued = portal.post("links", workflow="update-payment-info", patient=anna[0], max_uses=1, delivery="email")
    assert issued.status == 201
    url = find_link(deployment.mailed(anna[1]))
    for _ in range(3):
        scanner = Browser(http_transport())
        scanner.request("HEAD", url)
        assert scanner.open(url).status == 200
        assert len(scanner.at.forms) == 1
    (listed,) = portal.call("GET", f"links?patient={anna[0]}").json["links"]
    assert (listed["uses"], listed["state"]) == (0, "live")
    portal.exchange_link(token_of(url))
    assert portal.post("links/exchange", token=token_of(url)).json["reason"] == "used_up"


# --- sign-in, both ways -------------------------------------------------------------------------------------------


def test_an_access_link_leads_to_a_code_and_the_code_to_the_portal(
    deployment: Deployment, portal: Client, anna: tuple[str, str]
) -> None:
    patient, email = anna
    assert portal.post("links", workflow="portal", patient=patient, delivery="email").status == 201
    answer = portal.post("links/exchange", token=token_of(find_link(deployment.mailed(email))))
    challenge = started(answer)
    assert answer.json["email_hint"] == "a•••@e•••.org"
    assert "access_token" not in answer.json

    code = find_code(deployment.mailed(email, 2))
    missed = portal.post("codes/verify", challenge=challenge, code=wrong(code))
    assert (missed.status, missed.json["attempts_left"]) == (400, 4)
    granted = portal.post("codes/verify", challenge=challenge, code=code)
    assert granted.status == 200
    opens_the_portal(deployment, granted.json["access_token"])


def test_a_typed_address_leads_to_a_code_and_the_code_to_the_portal(
    deployment: Deployment, portal: Client, anna: tuple[str, str]
) -> None:
    patient, email = anna
    challenge = started(portal.post("codes", email=f" {email.upper()} ", client_ip="203.0.113.9"))
    code = find_code(deployment.mailed(email))
    typed = f"{code[:3]} {code[3:]}".translate(str.maketrans("0123456789", "０１２３４５６７８９"))
    granted = portal.post("codes/verify", challenge=challenge, code=typed)
    assert granted.status == 200
    assert granted.json["patient"] == patient
    opens_the_portal(deployment, granted.json["access_token"])

    # A sign-in by code isn't bound to a resource: the things behind links are open too.
    for _, _, _, pages in INSTANT:
        assert {deployment.visit(*page, granted.json["access_token"]).status for page in pages} == {200}


def test_what_the_mail_host_was_given_came_encrypted_and_says_no_code_in_its_subject(
    deployment: Deployment, portal: Client, anna: tuple[str, str]
) -> None:
    portal.post("codes", email=anna[1])
    code = find_code(deployment.mailed(anna[1]))
    assert all(session.ssl is not None and session.authenticated for session in deployment.mail.sessions)
    (mail,) = (mail for mail in deployment.mail.mails if anna[1] in str(mail["To"]))
    assert (mail["Auto-Submitted"], code in mail["Subject"]) == ("auto-generated", False)
    assert code not in str(mail["Message-ID"])
    rows = until(
        lambda: [
            row for row in portal.call("GET", f"patients/{anna[0]}/deliveries").json["deliveries"]
            if row["state"] == "sent"
        ]
    )  # fmt: skip
    assert [(row["kind"], row["attempts"]) for row in rows] == [("code", 1)]


def test_patients_of_one_mailbox_choose_who_they_are_after_the_code(
    deployment: Deployment, portal: Client, anna: tuple[str, str]
) -> None:
    patient, email = anna
    portal.register(f"{patient}-son", email, label="Ben Berg")
    portal.register(f"{patient}-out", email, label="Not let in", portal_access=False)
    challenge = started(portal.post("codes", email=email))
    choice = portal.post("codes/verify", challenge=challenge, code=find_code(deployment.mailed(email)))
    assert choice.status == 200
    assert choice.json["choose"] == [
        {"patient": patient, "label": "Anna Berg"},
        {"patient": f"{patient}-son", "label": "Ben Berg"},
    ]
    assert portal.post("codes/choose", challenge=challenge, patient=f"{patient}-out").status == 400
    granted = portal.post("codes/choose", challenge=challenge, patient=f"{patient}-son")
    assert (granted.status, granted.json["patient"]) == (200, f"{patient}-son")
    assert (
        deployment.visit("GET", "/portal/invoices", granted.json["access_token"]).json["sub"] == f"maple:{patient}-son"
    )
    assert portal.post("codes/choose", challenge=challenge, patient=patient).status == 410


# --- step-up ------------------------------------------------------------------------------------------------------


def test_a_link_is_not_enough_for_the_portal_and_the_challenge_leads_to_a_code(
    deployment: Deployment, portal: Client, anna: tuple[str, str]
) -> None:
    patient, email = anna
    token = portal.exchange_link(portal.link("pay-invoice", patient, resource="invoice:inv_1"))["access_token"]
    refused = deployment.visit("GET", "/portal/invoices", token)
    assert refused.status == 401
    assert refused.header("WWW-Authenticate").startswith("Bearer ")
    told = dict(re.findall(r'(\w+)="([^"]*)"', refused.header("WWW-Authenticate")))
    assert (told["error"], told["acr_values"]) == ("insufficient_user_authentication", "extra")
    gateway = deployment.forward_auth(token, scope="invoices:view", acr="extra")
    assert gateway.status == 401
    assert 'error="insufficient_user_authentication"' in gateway.header("WWW-Authenticate")

    # The portal knows from the token who is meant, so nobody types an address.
    challenge = started(portal.post("codes", patient=patient))
    granted = portal.post("codes/verify", challenge=challenge, code=find_code(deployment.mailed(email)))
    assert deployment.visit("GET", "/portal/invoices", granted.json["access_token"]).status == 200
    assert deployment.forward_auth(granted.json["access_token"], scope="invoices:view", acr="extra").status == 200


def test_a_page_that_wants_a_fresh_sign_in_asks_for_another_code(
    deployment: Deployment, portal: Client, anna: tuple[str, str]
) -> None:
    session = portal.signed_in(anna[0])

    def refused() -> Answer | None:
        answer = deployment.visit("POST", "/portal/closing", session["access_token"])
        return answer if answer.status == 401 else None

    told = until(refused).header("WWW-Authenticate")
    assert 'error="insufficient_user_authentication"' in told
    assert 'max_age="3"' in told
    assert deployment.visit("POST", "/portal/membership", session["access_token"]).status == 200
    # A refresh proves nothing anew: the time of the sign-in stays what it was.
    fresh = portal.refreshed(session["refresh_token"]).json["access_token"]
    assert deployment.visit("POST", "/portal/closing", fresh).status == 401
    again = portal.signed_in(anna[0])["access_token"]
    assert deployment.visit("POST", "/portal/closing", again).status == 200


# --- refresh and sign-out -----------------------------------------------------------------------------------------


def test_a_session_is_refreshed_and_its_old_refresh_token_is_spent(
    deployment: Deployment, portal: Client, anna: tuple[str, str]
) -> None:
    first = portal.signed_in(anna[0])
    second = portal.refreshed(first["refresh_token"])
    assert (second.status, second.json["session"]) == (200, first["session"])
    assert portal.refreshed(first["refresh_token"]).json["refresh_token"] == second.json["refresh_token"], "two tabs"
    third = portal.refreshed(second.json["refresh_token"])
    assert third.status == 200
    opens_the_portal(deployment, third.json["access_token"])
    claims = [
        deployment.visit("GET", "/portal/invoices", each).json
        for each in (first["access_token"], third.json["access_token"])
    ]
    assert claims[0]["jti"] != claims[1]["jti"]
    assert [claims[0][name] for name in ("auth_time", "acr", "amr", "sid")] == [
        claims[1][name] for name in ("auth_time", "acr", "amr", "sid")
    ]


def test_attack_a_stolen_refresh_token_ends_the_family_when_it_is_used_late(
    deployment: Deployment, portal: Client, anna: tuple[str, str]
) -> None:
    first = portal.signed_in(anna[0])
    second = portal.refreshed(first["refresh_token"]).json
    third = portal.refreshed(second["refresh_token"]).json
    stolen = portal.refreshed(first["refresh_token"])
    assert (stolen.status, stolen.json["error"]) == (400, "invalid_grant")
    assert portal.refreshed(third["refresh_token"]).json["error"] == "invalid_grant"
    assert deployment.forward_auth(third["access_token"], scope="invoices:view").status == 401


@pytest.mark.parametrize("how", ["one session", "all sessions", "revoked refresh token", "the operator"])
def test_sign_out_is_at_once_where_the_service_is_asked(
    deployment: Deployment, portal: Client, anna: tuple[str, str], how: str
) -> None:
    patient = anna[0]
    session = portal.signed_in(patient)
    access = session["access_token"]
    assert portal.oauth("introspect", token=access).json["active"] is True
    assert deployment.forward_auth(access, scope="invoices:view", acr="extra").header("X-Auth-Patient") == patient

    match how:
        case "one session":
            assert portal.call("DELETE", f"patients/{patient}/sessions/{session['session']}").status == 204
        case "all sessions":
            assert portal.call("DELETE", f"patients/{patient}/sessions").status == 204
        case "revoked refresh token":
            assert portal.oauth("revoke", token=session["refresh_token"]).status == 200
        case "the operator":
            assert deployment.cli("patients", "sign-out", "maple", patient).document["sessions_ended"] == 1

    refused = portal.refreshed(session["refresh_token"])
    assert (refused.status, refused.json["error"]) == (400, "invalid_grant")
    assert portal.oauth("introspect", token=access).json == {"active": False}
    assert portal.oauth("introspect", token=session["refresh_token"]).json == {"active": False}
    gone = deployment.forward_auth(access, scope="invoices:view", acr="extra")
    assert gone.status == 401
    assert 'error="invalid_token"' in gone.header("WWW-Authenticate")
    # Who verifies without asking goes on until the token dies: the documents say so.
    assert deployment.visit("GET", "/portal/invoices", access).status == 200
    assert portal.call("GET", f"patients/{patient}/sessions").json == {"sessions": []}


# --- strangers ----------------------------------------------------------------------------------------------------


def test_nobody_passes_without_a_token_of_this_practice(
    deployment: Deployment, portal: Client, anna: tuple[str, str]
) -> None:
    assert deployment.visit("GET", "/portal/invoices", None).header("WWW-Authenticate") == 'Bearer realm="authsvc"'
    good = portal.signed_in(anna[0])["access_token"]
    head, body, signature = good.split(".")
    for forged in ("junk", f"{head}.{body}.", f"{head}.{body}.{signature[::-1]}", f"{head}.{body[:-4]}.{signature}"):
        assert deployment.visit("GET", "/portal/invoices", forged).status == 401, forged
    deployment.add_practice("oak")
    oak = deployment.add_client("oak-portal", practice="oak")
    oak.register(anna[0], anna[1])
    theirs = oak.signed_in(anna[0])["access_token"]
    assert deployment.visit("GET", "/portal/invoices", theirs).status == 401
    assert deployment.forward_auth(theirs, scope="invoices:view").status == 403
    assert portal.call("GET", f"patients/{anna[0]}/sessions").json["sessions"][0]["patient"] == anna[0]
    assert oak.post("codes/verify", challenge="ach_" + "A" * 43, code="123456").status == 410
