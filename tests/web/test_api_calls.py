"""What each call about a practice answers when all is well, and the refusals that are part of its contract."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import http_sf
import pytest

from tests.web.conftest import Web, pointers, slug

INSTANT_KEYS = {
    *("access_token", "token_type", "expires_in", "scope", "patient", "practice"),
    *("workflow", "resource", "authorization_details"),
}
SESSION_KEYS = {
    *("access_token", "token_type", "expires_in", "scope", "patient", "practice"),
    *("session", "refresh_token"),
}
RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


# --- codes --------------------------------------------------------------------------------------------------------


def test_a_code_sign_in_gives_the_documented_answers(web: Web) -> None:
    started = web.call("POST", "codes", json={"email": "ann@example.org", "client_ip": "203.0.113.7"})
    assert started.status_code == 202
    assert set(started.json) == {"challenge", "expires_in", "resend_in"}
    assert (started.json["expires_in"], started.json["resend_in"]) == (600, 30)
    tokens = web.sign_in()
    assert set(tokens) == SESSION_KEYS
    assert (tokens["token_type"], tokens["expires_in"], tokens["patient"]) == ("Bearer", 600, "p1")


def test_known_and_unknown_addresses_get_answers_that_differ_in_nothing_but_random_ids(web: Web) -> None:
    web.harness.patient("p2", "bob@example.org", access=False)

    def seen(email: str) -> Any:
        web.clock.advance_s(60)
        answer = web.call("POST", "codes", json={"email": email})
        headers = {name: value for name, value in answer.headers if name != "X-Request-Id"}
        return answer.status, headers, re.sub(r"ach_[\w-]{43}", "ach", answer.get_data(as_text=True))

    known, unknown, without = seen("ann@example.org"), seen("nobody@example.org"), seen("bob@example.org")
    assert known == unknown == without


def test_by_patient_the_caller_is_told_what_is_wrong(web: Web) -> None:
    web.harness.patient("p2", "bob@example.org", access=False)
    unknown = web.call("POST", "codes", json={"patient": "p9"})
    assert (unknown.status_code, slug(unknown)) == (404, "patient-not-found")
    without = web.call("POST", "codes", json={"patient": "p2"})
    assert (without.status_code, slug(without)) == (409, "no-portal-access")


def test_a_patient_without_an_address_is_on_file_and_a_mail_is_refused(web: Web) -> None:
    put = web.call("PUT", "patients/p3", json={"portal_access": True})
    assert put.status_code == 201
    assert put.json == web.call("GET", "patients/p3").json
    assert "email" not in put.json
    link = {"patient": "p3", "workflow": "pay-invoice", "resource": "invoice:inv_1"}
    refused = [
        web.call("POST", "codes", json={"patient": "p3"}),
        web.call("POST", "links", json={**link, "delivery": "email"}),
    ]
    assert [(answer.status_code, slug(answer)) for answer in refused] == [(409, "no-address")] * 2
    assert web.call("POST", "links", json=link).status_code == 201


def test_a_code_for_the_caller_is_in_the_answer(web: Web) -> None:
    answer = web.call("POST", "codes", json={"patient": "p1", "delivery": "caller"})
    assert re.fullmatch("[0-9]{6}", answer.json["code"])


def test_misses_count_down_to_zero_and_then_the_challenge_is_gone(web: Web) -> None:
    challenge = web.start()
    body = {"challenge": challenge, "code": "000000"}
    answers = [web.call("POST", "codes/verify", json=body) for _ in range(6)]
    assert [answer.json.get("attempts_left") for answer in answers] == [4, 3, 2, 1, 0, None]
    assert [slug(answer) for answer in answers] == ["invalid-code"] * 5 + ["challenge-gone"]
    assert [answer.status_code for answer in answers] == [400] * 5 + [410]


def test_one_clients_challenge_is_gone_for_another(web: Web) -> None:
    other = web.client("other", "codes:verify", "codes:issue")
    body = {"challenge": web.start(), "code": "314159"}
    strange = web.call("POST", "codes/verify", headers=other, json=body)
    unknown = web.call("POST", "codes/verify", headers=other, json={**body, "challenge": "ach_nonsense"})
    assert strange.json == unknown.json
    assert slug(strange) == "challenge-gone"
    assert web.call("POST", "codes/verify", json=body).status_code == 200


def test_a_resend_comes_after_thirty_seconds_and_both_codes_are_good(web: Web) -> None:
    challenge = web.start()
    early = web.call("POST", "codes/resend", json={"challenge": challenge})
    assert (early.status_code, early.headers["Retry-After"]) == (429, "30")
    web.clock.advance_s(31)
    assert web.call("POST", "codes/resend", json={"challenge": challenge}).status_code == 202
    assert web.call("POST", "codes/verify", json={"challenge": challenge, "code": "314159"}).status_code == 200


def test_patients_who_share_a_mailbox_are_asked_who_they_are(web: Web) -> None:
    web.harness.patient("p2", "ann@example.org", label="Bo")
    web.harness.patient("p3", "ann@example.org", access=False)
    challenge = web.start()
    answer = web.call("POST", "codes/verify", json={"challenge": challenge, "code": "314159"})
    assert answer.json["challenge"] == challenge
    assert sorted(answer.json["choose"], key=lambda one: one["patient"]) == [
        {"patient": "p1", "label": "Ann"},
        {"patient": "p2", "label": "Bo"},
    ]
    assert pointers(web.call("POST", "codes/choose", json={"challenge": challenge, "patient": "p3"})) == ["/patient"]
    chosen = web.call("POST", "codes/choose", json={"challenge": challenge, "patient": "p2"})
    assert (chosen.status_code, chosen.json["patient"]) == (200, "p2")
    assert web.call("POST", "codes/choose", json={"challenge": challenge, "patient": "p1"}).status_code == 410


# --- the audit ------------------------------------------------------------------------------------------------------


def test_who_signed_in_as_her_is_one_call(web: Web) -> None:
    web.sign_in()
    auditor = web.client("auditor", "audit:read")
    path = "audit?patient=p1&event=code.verified&actor=client%3Aportal&since=2020-01-01T00%3A00%3A00Z&limit=1"
    found = web.call("GET", path, headers=auditor)
    assert found.status_code == 200
    assert set(found.json) == {"entries", "next"}
    (entry,) = found.json["entries"]
    assert (entry["event"], entry["patient"], entry["actor"]) == ("code.verified", "p1", "client:portal")
    assert RFC3339.fullmatch(entry["at"])
    rest = web.call("GET", f"{path}&after={found.json['next']}", headers=auditor)
    assert rest.json == {"entries": [], "next": None}
    assert "RateLimit" in found.headers


def test_who_acted_for_leo_is_one_call(web: Web) -> None:
    web.harness.patient("leo", access=False)
    web.harness.service.dependents.put(web.harness.act(), "p1", "leo")
    web.call("POST", "codes/verify", json={"challenge": web.start(), "code": "314159", "patient": "leo"})
    for query in ("audit?patient=leo&event=code.verified", "audit?guardian=p1&event=code.verified"):
        (entry,) = web.call("GET", query).json["entries"]
        assert (entry["patient"], entry["guardian"]) == ("leo", "p1")


def test_the_audit_needs_its_own_permission(web: Web) -> None:
    blind = web.client("blind", "patients:read", "patients:write", "sessions:revoke")
    assert slug(web.call("GET", "audit", headers=blind)) == "forbidden"


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=201",
        "since=yesterday",
        "until=1",
        "after=x",
        "event=A",
        "actor=%20",
        "by=a,b",
        "patient=%2F",
        "guardian=a,b",
        "x=1",
    ],
)
def test_a_filter_of_another_shape_is_refused(web: Web, query: str) -> None:
    answer = web.call("GET", f"audit?{query}")
    assert (answer.status_code, pointers(answer)) == (400, [f"/{query.partition('=')[0]}"])


def test_what_was_trimmed_is_said(web: Web) -> None:
    log = web.service.audit_log
    log.seal("maple")
    entries, mark = log.export("maple")
    assert len(list(entries)) == mark
    log.trim("maple", mark, actor="cli:anna")
    assert web.call("GET", "audit").json == {"entries": [], "next": None, "trimmed_to": mark}


# --- a change of the email address --------------------------------------------------------------------------------


def test_a_changed_address_is_proved_by_a_code_and_the_answer_is_the_patient(web: Web) -> None:
    session = web.sign_in()["session"]
    new = {"patient": "p1", "email": "ann.new@example.org", "client_ip": "203.0.113.7"}
    web.entropy.next_below(271828)
    started = web.call("POST", "email-changes", json={**new, "session": session, "locale": "es"})
    assert started.status_code == 202
    assert set(started.json) == {"challenge", "expires_in", "resend_in"}
    wrong = web.call("POST", "email-changes/verify", json={"challenge": started.json["challenge"], "code": "000000"})
    assert (wrong.status_code, slug(wrong), wrong.json["attempts_left"]) == (400, "invalid-code", 4)
    right = {"challenge": started.json["challenge"], "code": "271 828", "client_ip": "203.0.113.7"}
    changed = web.call("POST", "email-changes/verify", json=right)
    assert changed.status_code == 200
    assert changed.json == web.call("GET", "patients/p1").json
    assert changed.json["email"] == "ann.new@example.org"
    assert [one["id"] for one in web.call("GET", "patients/p1/sessions").json["sessions"]] == [session]


def test_a_new_address_gets_the_same_answer_whoever_has_it(web: Web) -> None:
    web.harness.patient("p2", "bob@example.org")

    def seen(email: str) -> Any:
        web.clock.advance_s(86_400)  # every limit is full again
        answer = web.call("POST", "email-changes", json={"patient": "p1", "email": email})
        headers = {name: value for name, value in answer.headers if name != "X-Request-Id"}
        return answer.status, headers, re.sub(r"ach_[\w-]{43}", "ach", answer.get_data(as_text=True))

    assert seen("bob@example.org") == seen("nobody@example.org")


# --- who does it --------------------------------------------------------------------------------------------------


def test_the_person_at_the_desk_stands_in_the_audit_and_in_its_log(web: Web, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "authsvc.audit")
    put = {"email": "ben@example.org", "portal_access": True}
    web.call("PUT", "patients/p2", json=put, headers={"X-Acting-User": "anna.b@front_desk-1"})
    web.call("PUT", "patients/p2", json={**put, "label": "Ben"})
    entries = [entry for entry in web.harness.audit_entries() if entry.get("patient") == "p2"]
    assert [(entry["event"], entry["actor"], entry.get("by")) for entry in entries] == [
        ("patient.created", "client:portal", "anna.b@front_desk-1"),
        ("patient.granted", "client:portal", "anna.b@front_desk-1"),
        ("patient.changed", "client:portal", None),
    ]
    logged = [record for record in caplog.records if getattr(record, "patient", "") == "p2"]
    assert [getattr(record, "by", None) for record in logged] == [entry.get("by") for entry in entries]
    assert web.service.audit_log.verify("maple").faults == ()


# --- links --------------------------------------------------------------------------------------------------------


def test_an_instant_link_is_issued_and_exchanged(web: Web) -> None:
    body = {"patient": "p1", "workflow": "pay-invoice", "resource": "invoice:inv_1"}
    issued = web.call("POST", "links", json=body)
    assert issued.status_code == 201
    assert set(issued.json) == {"id", "url", "expires_at", "max_uses"}
    assert RFC3339.fullmatch(issued.json["expires_at"])
    assert issued.json["max_uses"] is None
    token = issued.json["url"].rsplit("/", 1)[1]
    answer = web.call("POST", "links/exchange", json={"token": token})
    assert (answer.status_code, set(answer.json)) == (200, INSTANT_KEYS)
    assert answer.json["authorization_details"] == [
        {"type": "invoice", "identifier": "inv_1", "actions": ["view", "pay"]}
    ]


def test_a_link_without_a_resource_says_nothing_of_one(web: Web) -> None:
    token = web.link(workflow="update-payment-info", resource=None)
    answer = web.call("POST", "links/exchange", json={"token": token})
    assert set(answer.json) == INSTANT_KEYS - {"resource", "authorization_details"}


def test_an_access_link_sends_a_code_and_says_where_to_masked(web: Web) -> None:
    token = web.link(workflow="portal", resource=None)
    answer = web.call("POST", "links/exchange", json={"token": token})
    assert answer.status_code == 202
    assert set(answer.json) == {"challenge", "expires_in", "resend_in", "email_hint"}
    assert answer.json["email_hint"] == "a•••@e•••.org"


def test_dead_links_say_why_and_unknown_ones_that_they_are_unknown(web: Web) -> None:
    unknown = web.call("POST", "links/exchange", json={"token": "al_nonsense"})
    assert (unknown.status_code, slug(unknown)) == (404, "link-unknown")
    token = web.link(max_uses=1)
    assert web.call("POST", "links/exchange", json={"token": token}).status_code == 200
    gone = web.call("POST", "links/exchange", json={"token": token})
    assert (gone.status_code, slug(gone), gone.json["reason"]) == (410, "link-gone", "used_up")
    for of in (token, "al_nonsense"):
        again = web.call("POST", "links/resend", json={"token": of})
        assert (again.status_code, again.json) == (202, {})


def test_links_are_listed_and_ended_by_id_by_resource_and_by_patient(web: Web) -> None:
    web.link()
    web.link(resource="invoice:inv_2")
    rows = web.call("GET", "links?patient=p1").json["links"]
    assert {row["resource"] for row in rows} == {"invoice:inv_1", "invoice:inv_2"}
    assert all(row["state"] == "live" and RFC3339.fullmatch(row["created_at"]) for row in rows)
    assert "token" not in json.dumps(rows)
    one = next(row["id"] for row in rows if row["resource"] == "invoice:inv_2")
    gone = web.call("DELETE", f"links/{one}")
    assert (gone.status_code, gone.data) == (204, b"")
    assert web.call("DELETE", "links?resource=invoice:inv_1").json == {"revoked": 1}
    assert web.call("DELETE", "links?patient=p1").json == {"revoked": 0}
    assert slug(web.call("DELETE", "links/AAAAAAAAAAAAAAAA")) == "not-found"


# --- patients and sessions ----------------------------------------------------------------------------------------


def test_a_patient_is_put_read_changed_and_forgotten(web: Web) -> None:
    body = {"email": "Bo@Example.org", "label": "Bo", "locale": "es", "portal_access": True}
    created = web.call("PUT", "patients/p.2_-", json=body)
    assert (created.status_code, created.json) == (201, {"id": "p.2_-", **body})
    assert (
        web.call("PUT", "patients/p.2_-", json={"email": "bo@example.org", "portal_access": False}).status_code == 200
    )
    read = web.call("GET", "patients/p.2_-")
    assert read.json == {"id": "p.2_-", "email": "bo@example.org", "label": "", "locale": "", "portal_access": False}
    assert web.call("DELETE", "patients/p.2_-").status_code == 204
    for method in ("GET", "DELETE"):
        assert slug(web.call(method, "patients/p.2_-")) == "patient-not-found"


def test_sessions_are_listed_and_ended(web: Web) -> None:
    sid = web.sign_in()["session"]
    rows = web.call("GET", "patients/p1/sessions").json["sessions"]
    assert [(row["id"], row["client"]) for row in rows] == [(sid, "portal")]
    assert set(rows[0]) == {"id", "patient", "client", "created_at", "last_used_at", "expires_at"}
    assert web.call("DELETE", f"patients/p1/sessions/{sid}").status_code == 204
    assert slug(web.call("DELETE", f"patients/p1/sessions/{sid}")) == "not-found"
    web.sign_in()
    assert web.call("DELETE", "patients/p1/sessions").status_code == 204
    assert web.call("GET", "patients/p1/sessions").json == {"sessions": []}


def test_what_happened_to_the_mail_is_told(web: Web) -> None:
    web.start()
    rows = web.call("GET", "patients/p1/deliveries").json["deliveries"]
    assert [(row["kind"], row["channel"], row["state"]) for row in rows] == [("code", "email", "queued")]
    assert "ann@example.org" not in json.dumps(rows)


# --- repeats and limits -------------------------------------------------------------------------------------------


def test_the_same_idempotency_key_and_body_get_the_same_answer(web: Web) -> None:
    again = {"Idempotency-Key": "one-order"}
    bodies = {"codes": {"email": "ann@example.org"}, "links": {"patient": "p1", "workflow": "update-payment-info"}}
    for path, body in bodies.items():
        first, second = (web.call("POST", path, json=body, headers=again) for _ in range(2))
        assert (first.status, first.json) == (second.status, second.json)
        again = {"Idempotency-Key": "another-order"}


@pytest.mark.parametrize("other", [b'{"email":"bob@example.org"}', b'{"email": "ann@example.org"}'])
def test_the_same_idempotency_key_with_another_body_is_a_conflict(web: Web, other: bytes) -> None:
    key = {"Idempotency-Key": "one-order", "Content-Type": "application/json"}
    assert web.call("POST", "codes", data=b'{"email":"ann@example.org"}', headers=key).status_code == 202
    conflict = web.call("POST", "codes", data=other, headers=key)
    assert (conflict.status_code, slug(conflict)) == (409, "idempotency-conflict")


def test_another_clients_key_is_another_key(web: Web) -> None:
    key = {"Idempotency-Key": "one-order"}
    body = {"email": "ann@example.org"}
    mine = web.call("POST", "codes", json=body, headers=key)
    theirs = web.call("POST", "codes", json=body, headers={**web.client("other", "codes:issue"), **key})
    assert mine.json["challenge"] != theirs.json["challenge"]


def test_ratelimit_fields_are_structured_and_say_what_is_left(web: Web) -> None:
    web.clock.advance_s(60)
    answer = web.call("POST", "codes", json={"email": "ann@example.org", "client_ip": "2001:db8::1"})
    policies = dict(http_sf.parse(answer.headers["RateLimit-Policy"].encode(), tltype="list"))
    limits = dict(http_sf.parse(answer.headers["RateLimit"].encode(), tltype="list"))
    assert set(policies) == set(limits) == {"client-calls", "issue-network"}
    assert "address" not in answer.headers["RateLimit"]
    assert policies["client-calls"] == {"q": 100, "w": 1}
    assert limits["client-calls"]["r"] == 99


def test_a_refusal_names_the_policies_and_when_to_come_back(build: Callable[..., Web]) -> None:
    web = build()
    answers = [
        web.call("POST", "codes", json={"email": f"a{number}@example.org", "client_ip": "203.0.113.7"})
        for number in range(31)
    ]
    last = answers[-1]
    assert (last.status_code, slug(last)) == (429, "rate-limited")
    assert last.json["violated-policies"] == ["issue-network"]
    shown = dict(http_sf.parse(last.headers["RateLimit"].encode(), tltype="list"))
    assert int(last.headers["Retry-After"]) >= shown["issue-network"]["t"] > 0
    assert last.headers["Cache-Control"] == "no-store"


def test_a_practice_that_keeps_as_much_as_it_may_gets_409_for_what_is_new_and_nothing_else(web: Web) -> None:
    web.harness.redis.set("authsvc:{maple}:storage", f"stays {4 * 2**30}")
    relation = "patients/p1/dependents/p1"
    for path, method, body in (
        ("patients/p2", "PUT", {"email": "bob@example.org", "portal_access": True}),
        ("links", "POST", {"patient": "p1", "workflow": "pay-invoice", "resource": "invoice:inv_1"}),
    ):
        answer = web.call(method, path, json=body)
        assert (answer.status_code, slug(answer)) == (409, "storage-full")
        assert "4294967296 bytes" in answer.json["detail"]
        assert "Retry-After" not in answer.headers
    assert slug(web.call("PUT", relation, json={})) == "dependent-chain"
    assert web.call("PUT", "patients/p1", json={"email": "ann@example.org", "portal_access": True}).status_code == 200
    assert web.sign_in()["patient"] == "p1"
    assert web.call("DELETE", "patients/p1").status_code == 204
    assert b'authsvc_limiter_refusals_total{policy="storage"} 2.0' in web.service.metrics.render()[0]


def test_the_store_away_is_503_with_retry_after_and_never_not_signed_in(web: Web) -> None:
    tokens = web.sign_in()
    web.stop_the_store()
    for method, path, body in (
        ("POST", "codes", {"email": "ann@example.org"}),
        ("GET", "patients/p1", None),
        ("DELETE", "patients/p1/sessions", None),
    ):
        answer = web.call(method, path, json=body) if body else web.call(method, path)
        assert (answer.status_code, slug(answer)) == (503, "unavailable")
        assert int(answer.headers["Retry-After"]) > 0
    refresh = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    answer = web.call("POST", "/oauth2/token", data=refresh)
    assert (answer.status_code, answer.json["error"]) == (503, "temporarily_unavailable")
    assert "Retry-After" in answer.headers
