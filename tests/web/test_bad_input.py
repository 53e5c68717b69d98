"""Every way a request can be wrong, for every call: the right 4xx, and the place named."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from authsvc.web.endpoint import Operation
from tests.web.conftest import API, Web, pointers, slug

GOOD: dict[str, dict[str, Any]] = {
    "startCode": {"email": "ann@example.org", "locale": "es", "client_ip": "203.0.113.7"},
    "resendCode": {"challenge": "ach_x", "client_ip": "203.0.113.7"},
    "verifyCode": {"challenge": "ach_x", "code": "123456", "patient": "p1", "client_ip": "2001:db8::1"},
    "choosePatient": {"challenge": "ach_x", "patient": "p1"},
    "issueLink": {
        "patient": "p1",
        "workflow": "pay-invoice",
        "resource": "invoice:inv_1",
        "expires_in": 60,
        "max_uses": 2,
        "delivery": "caller",
        "locale": "en",
    },
    "exchangeLink": {"token": "al_x", "client_ip": "203.0.113.7"},
    "resendLink": {"token": "al_x"},
    "startEmailChange": {"patient": "p1", "email": "new@example.org", "locale": "es", "client_ip": "203.0.113.7"},
    "verifyEmailChange": {"challenge": "ach_x", "code": "123456", "client_ip": "203.0.113.7"},
    "putPatient": {"email": "ann@example.org", "label": "Ann", "locale": "es", "portal_access": True},
}
"""For each call with a body, one that is understood."""

BESIDE = {"putDependent", "switchPatient"}
"""Calls about a relation, which has to be on file before a body is looked at: see `test_dependents.py`."""

TAKING = [operation for operation in API if operation.body is not None and operation.id not in BESIDE]
MEMBERS = [(operation, name) for operation in TAKING for name in GOOD[operation.id]]
CONTROL = ["\x00", "\n", "\x1b[31m", "\x7f", "\x85", "\u2028", "\u202e", "\ud800"]


def send(shared: Web, operation: Operation, body: bytes, content_type: str = "application/json", **more: Any) -> Any:
    path = operation.path.format(practice="maple", id="p1", link_id="x", sid="x")
    return shared.call(operation.method, path, data=body, content_type=content_type, **more)


def send_json(shared: Web, operation: Operation, document: Any) -> Any:
    return send(shared, operation, json.dumps(document).encode())


def named(operations_and_names: Any) -> Any:
    return operations_and_names.id if isinstance(operations_and_names, Operation) else None


every = pytest.mark.parametrize("operation", TAKING, ids=named)
every_member = pytest.mark.parametrize("operation,name", MEMBERS, ids=[f"{one.id}-{name}" for one, name in MEMBERS])


def test_every_call_with_a_body_is_in_these_tables() -> None:
    assert {operation.id for operation in TAKING} == set(GOOD)


@every
def test_the_good_bodies_of_this_file_are_understood(shared: Web, operation: Operation) -> None:
    answer = send_json(shared, operation, GOOD[operation.id])
    assert answer.status_code < 300 or slug(answer) in ("challenge-gone", "link-unknown"), answer.json


@every_member
@pytest.mark.parametrize("value", [None, [], {}, ["a"], {"a": 1}], ids=repr)
def test_a_member_of_the_wrong_type_is_named(shared: Web, operation: Operation, name: str, value: Any) -> None:
    answer = send_json(shared, operation, {**GOOD[operation.id], name: value})
    assert f"/{name}" in pointers(answer)


@every_member
def test_booleans_numbers_and_strings_are_never_taken_for_each_other(
    shared: Web, operation: Operation, name: str
) -> None:
    good = GOOD[operation.id]
    lookalike: Any = {bool: "true", int: str(good[name]), str: 123456}[type(good[name])]
    assert pointers(send_json(shared, operation, {**good, name: lookalike})) == [f"/{name}"]


@every_member
def test_control_characters_are_refused_where_they_are(shared: Web, operation: Operation, name: str) -> None:
    good = GOOD[operation.id]
    if not isinstance(good[name], str):
        return
    for char in CONTROL:
        if name == "code" and char.isspace():
            continue  # white space around a pasted code is understood
        assert f"/{name}" in pointers(send_json(shared, operation, {**good, name: good[name] + char})), repr(char)


@every_member
def test_every_missing_member_is_named_if_it_is_needed(shared: Web, operation: Operation, name: str) -> None:
    body = {known: value for known, value in GOOD[operation.id].items() if known != name}
    schema = operation.body
    assert schema is not None
    answer = send_json(shared, operation, body)
    if schema.fields[name].required or name in getattr(schema, "one_of", ()):
        assert f"/{name}" in pointers(answer)
    else:
        assert answer.status_code != 400 or "/resource" in pointers(answer), answer.json  # pay-invoice needs one


@every
def test_all_missing_members_are_named_at_once(shared: Web, operation: Operation) -> None:
    schema = operation.body
    assert schema is not None
    wanted = {f"/{name}" for name, field in schema.fields.items() if field.required}
    assert wanted <= set(pointers(send_json(shared, operation, {})))


@every
def test_unknown_members_are_named_all_of_them(shared: Web, operation: Operation) -> None:
    body = {**GOOD[operation.id], "emial": "x", "a/b~c": 1, "x" * 100: 1}
    assert set(pointers(send_json(shared, operation, body))) == {"/emial", "/a~1b~0c", "/" + "x" * 64}


@every
def test_repeated_members_are_named_even_deep_down_and_with_other_faults(shared: Web, operation: Operation) -> None:
    good = json.dumps(GOOD[operation.id])[1:-1]
    name = next(iter(GOOD[operation.id]))
    assert pointers(send(shared, operation, f'{{"{name}": "x", {good}}}'.encode())) == [f"/{name}"]
    deep = f'{{{good}, "more": [{{"a": 1, "a": 2}}], "zzz": 1}}'.encode()
    assert set(pointers(send(shared, operation, deep))) == {"/more/0/a", "/more", "/zzz"}


@every
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"   ",
        b"null",
        b"[]",
        b'"text"',
        b"1",
        b"{",
        b"{}{}",
        b"{'a': 1}",
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": -Infinity}',
        b'{"a": 1e999}',
        b'{"a": ' + b"9" * 5000 + b"}",
        b"\xef\xbb\xbf{}",
        b'{"a": "\xff"}',
        b'{"a": "\x01"}',
        "{}".encode("utf-16"),
        b"[" * 8000,
        b'{"a":' * 2500,
        b'{"a":' + b"[" * 20 + b"]" * 20 + b"}",
    ],
    ids=lambda body: repr(body[:20]),
)
def test_what_is_not_one_json_object_in_utf8_is_refused_as_a_whole(
    shared: Web, operation: Operation, body: bytes
) -> None:
    assert pointers(send(shared, operation, body)) == [""]


@every
@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "text/plain",
        "text/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/problem+json",
        "application/jsonx",
        "application/json; charset=utf-16",
        "application/json; charset=latin-1",
    ],
)
def test_another_media_type_or_charset_is_refused(shared: Web, operation: Operation, content_type: str) -> None:
    answer = send(shared, operation, json.dumps(GOOD[operation.id]).encode(), content_type)
    assert (answer.status_code, slug(answer)) == (415, "unsupported-media-type")


def test_json_with_a_charset_of_utf8_is_taken_and_compressed_bodies_are_not(shared: Web) -> None:
    body = json.dumps(GOOD["startCode"]).encode()
    for content_type in ("application/json; charset=UTF-8", 'Application/JSON;charset="utf-8"', "application/json;v=1"):
        assert send(shared, TAKING[0], body, content_type).status_code == 202
    assert send(shared, TAKING[0], body, headers={"Content-Encoding": "gzip"}).status_code == 415


@every
def test_a_body_over_16_kib_is_refused_however_its_length_is_said(shared: Web, operation: Operation) -> None:
    body = b'{"a": "' + b"x" * 17_000 + b'"}'
    assert slug(send(shared, operation, body)) == "too-large"
    chunked = {"wsgi.input_terminated": True, "CONTENT_LENGTH": ""}
    path = operation.path.format(practice="maple", id="p1", sid="s1", guardian="p1", dependent="leo")
    answer = shared.call(
        operation.method,
        path,
        headers={"Transfer-Encoding": "chunked", "Content-Type": "application/json"},
        input_stream=io.BytesIO(body),
        environ_overrides=chunked,
    )
    assert slug(answer) == "too-large"


def test_a_chunked_body_within_the_limit_is_read(shared: Web) -> None:
    answer = shared.call(
        "POST",
        "codes",
        headers={"Transfer-Encoding": "chunked", "Content-Type": "application/json"},
        input_stream=io.BytesIO(b'{"email": "ann@example.org"}'),
        environ_overrides={"wsgi.input_terminated": True, "CONTENT_LENGTH": ""},
    )
    assert answer.status_code == 202


@pytest.mark.parametrize(
    "length,status", [("-1", 400), ("1e3", 400), ("٣", 400), ("99999999999999", 413), ("500", 400)]
)
def test_a_lying_content_length_is_refused(shared: Web, length: str, status: int) -> None:
    answer = shared.call(
        "POST", "codes", content_type="application/json", data=b'{"email": "ann@example.org"}',
        environ_overrides={"CONTENT_LENGTH": length},
    )  # fmt: skip
    assert answer.status_code == status


def test_a_large_body_is_refused_even_where_none_is_taken_and_a_small_one_ignored(shared: Web) -> None:
    assert slug(shared.call("GET", "patients/p1", data=b"x" * 20_000)) == "too-large"
    assert shared.call("GET", "patients/p1", data=b"{not json").status_code == 200


# --- particular values --------------------------------------------------------------------------------------------

STRANGE_VALUES = [
    (
        "startCode",
        "email",
        ["", "no address", "a@", "@b.example", "a@b@c.example", "a b@example.org", "x" * 250 + "@b.example"],
    ),
    ("startCode", "locale", ["", "english!", "e", "en_US", "../etc", "en-"]),
    ("startCode", "delivery", ["", "sms", "Email", "pigeon"]),
    (
        "startCode",
        "client_ip",
        ["", "1.2.3", "1.2.3.4.5", "::g", "fe80::1%eth0", "1.2.3.4/32", "localhost", "１.2.3.4"],
    ),
    ("verifyCode", "challenge", ["", "ach x", "a" * 201, "achä"]),
    ("verifyCode", "patient", ["", "p 1", "p/1", "a" * 65, "pä", "<script>"]),
    ("issueLink", "patient", ["", "p:1", "a" * 65]),
    ("issueLink", "workflow", ["", "Pay-Invoice", "no-such", "view-invoices", "../pay"]),
    (
        "issueLink",
        "resource",
        ["", "inv_1", "invoice:", ":inv_1", "invoice:a b", "agreement:x", "Invoice:x", "invoice:" + "a" * 65],
    ),
    ("issueLink", "expires_in", [0, -1, 1.5, 31 * 86_400, 10**12]),
    ("issueLink", "max_uses", [0, -1, 0.5, 10**9]),
    ("issueLink", "delivery", ["webhook", "none"]),
    ("exchangeLink", "token", ["", "a" * 201, "al x", "alä"]),
    ("putPatient", "label", ["x" * 101]),
    ("putPatient", "email", ["ﬁ@example.org", "a@exa mple.org"]),
]


@pytest.mark.parametrize(
    "call,name,value",
    [(call, name, value) for call, name, values in STRANGE_VALUES for value in values],
    ids=lambda part: repr(part)[:40],
)
def test_values_that_cannot_be_meant_are_refused_where_they_are(shared: Web, call: str, name: str, value: Any) -> None:
    operation = next(one for one in TAKING if one.id == call)
    assert set(pointers(send_json(shared, operation, {**GOOD[call], name: value}))) == {f"/{name}"}


@pytest.mark.parametrize(
    "code",
    [
        "",
        "12345",
        "1234567",
        "12345a",
        "١٢٣٤٥٦",
        "²³¹²³¹",
        "𝟏𝟐𝟑𝟒𝟓𝟔",
        "①②③④⑤⑥",
        "+12345",
        "-1.2e5",
        "0x1234",
        "12345\x00",
        "1" * 70,
    ],
)
def test_a_code_that_is_not_six_digits_is_named_and_not_charged(shared: Web, code: str) -> None:
    challenge = shared.start()
    assert pointers(shared.call("POST", "codes/verify", json={"challenge": challenge, "code": code})) == ["/code"]
    right = shared.call("POST", "codes/verify", json={"challenge": challenge, "code": "000000"})
    assert right.json["attempts_left"] == 4


@pytest.mark.parametrize(
    "code", ["314159", " 314 159 ", "314-159", "３１４１５９", "3\u00a01\u20034-159", "314\u2011159", "314159\r\n"]
)
def test_a_code_is_understood_however_it_was_pasted(shared: Web, code: str) -> None:
    assert shared.call("POST", "codes/verify", json={"challenge": shared.start(), "code": code}).status_code == 200


def test_codes_keep_their_leading_zeros(shared: Web) -> None:
    challenge = shared.start("000042")
    assert shared.call("POST", "codes/verify", json={"challenge": challenge, "code": "000042"}).status_code == 200


def test_thirty_point_zero_is_a_whole_number(shared: Web) -> None:
    body = {**GOOD["issueLink"], "max_uses": 3.0}
    assert shared.call("POST", "links", json=body).json["max_uses"] == 3


@pytest.mark.parametrize(
    "body,wanted",
    [({}, {"/patient", "/email"}), ({"patient": "p1", "email": "ann@example.org"}, {"/patient", "/email"})],
)
def test_a_sign_in_needs_exactly_one_of_patient_and_email(shared: Web, body: Any, wanted: set[str]) -> None:
    assert set(pointers(shared.call("POST", "codes", json=body))) == wanted


def test_a_code_is_told_only_to_who_may_and_names_the_patient(shared: Web) -> None:
    assert pointers(shared.call("POST", "codes", json={"email": "ann@example.org", "delivery": "caller"})) == [
        "/delivery"
    ]
    blind = shared.client("blind", "codes:issue")
    answer = shared.call("POST", "codes", headers=blind, json={"patient": "p1", "delivery": "caller"})
    assert (answer.status_code, slug(answer)) == (403, "forbidden")


@pytest.mark.parametrize("key", ["", " ", "a" * 65, "a b", "ä", "a\tb"])
def test_an_idempotency_key_is_1_to_64_visible_characters(shared: Web, key: str) -> None:
    answer = shared.call(
        "POST", "codes", json={"email": "ann@example.org"}, environ_overrides={"HTTP_IDEMPOTENCY_KEY": key}
    )
    assert pointers(answer) == ["/headers/Idempotency-Key"]


@pytest.mark.parametrize("person", ["", " ", "a" * 65, "a b", "ä", "anna\tb", "anna,ben", "anna&by=ben", "<b>"])
@pytest.mark.parametrize("operation", API, ids=lambda operation: operation.id)
def test_attack_a_person_at_the_desk_of_another_shape_is_refused_at_every_call(
    shared: Web, operation: Operation, person: str
) -> None:
    path = operation.path.format(practice="maple", id="p1", sid="s1", link_id="l1", guardian="p1", dependent="leo")
    answer = shared.call(operation.method, path, json={}, environ_overrides={"HTTP_X_ACTING_USER": person})
    assert answer.status_code == 400
    assert "/headers/X-Acting-User" in pointers(answer)


def test_faults_in_body_query_path_and_headers_are_told_together(shared: Web) -> None:
    answer = shared.call("PUT", "patients/p%201?x=1", json={"email": 1, "zzz": 1})
    assert set(pointers(answer)) == {"/path/id", "/x", "/email", "/zzz", "/portal_access"}
    broken = shared.call("PUT", "patients/p%201", data=b"{", content_type="application/json")
    assert set(pointers(broken)) == {"", "/path/id"}


@pytest.mark.parametrize(
    "query,wanted",
    [
        ("", {"/patient"}),
        ("patient=", {"/patient"}),
        ("patient=p%201", {"/patient"}),
        ("patient=p1&patient=p2", {"/patient"}),
        ("patient=p1&state=live", {"/state"}),
        ("patient=%ff", {"/query", "/patient"}),
        ("&".join(f"a{n}=1" for n in range(40)), {"/query", "/patient"}),
    ],
)
def test_query_strings_are_as_strict_as_bodies(shared: Web, query: str, wanted: set[str]) -> None:
    assert set(pointers(shared.call("GET", f"links?{query}"))) == wanted


@pytest.mark.parametrize("query", ["", "resource=inv_1", "patient=p1&resource=invoice:inv_1", "patiemt=p1"])
def test_ending_links_without_exactly_one_filter_ends_none(shared: Web, query: str) -> None:
    token = shared.link()
    assert pointers(shared.call("DELETE", f"links?{query}"))
    assert shared.call("POST", "links/exchange", json={"token": token}).status_code == 200


@pytest.mark.parametrize("path", ["patients/p%201", "patients/" + "a" * 65, "patients/p%00", "patients/p1%0a"])
@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_an_impossible_patient_id_is_named(shared: Web, path: str, method: str) -> None:
    assert pointers(shared.call(method, path)) == ["/path/id"]


@pytest.mark.parametrize("path", ["links/" + "a" * 65, "links/a%20b", "patients/p1/sessions/a%20b"])
def test_an_impossible_public_id_is_simply_not_found(shared: Web, path: str) -> None:
    assert slug(shared.call("DELETE", path)) == "not-found"


def test_a_flood_of_faults_is_cut(shared: Web) -> None:
    body = {f"a{number}": 1 for number in range(500)}
    assert len(pointers(shared.call("POST", "codes", json=body))) == 50
