"""Rolling up and back: what a newer release has written into a record is passed over here, and is still there after
this release has written it too."""

from __future__ import annotations

import json
from typing import Any

import pytest

from authsvc.flows.audit_log import entry_mac
from authsvc.model import AuditFilter, TokenGrant
from tests.audit_logs import tail
from tests.flows.conftest import Harness
from tests.flows.visitors import BROWSER, Portal, enter, page, press

NEWER = "of a newer release"


def packed(harness: Harness) -> list[str]:
    """The keys that hold one packed record each."""
    kinds = ("patient", "session", "challenge", "link", "authorization-code", "pending-link", "pushed-request")
    return [key for key in harness.redis.scan_iter("authsvc:{maple}:*") if key.split(":")[2] in kinds]


def add_fields(harness: Harness) -> set[str]:
    """As a newer release would have left them: each record has one more field behind those that are known here."""
    found = packed(harness)
    for key in found:
        # A pending link is written without the two fields that its authorization code adds.
        gap = "\n\n" if ":pending-link:" in key else ""
        harness.redis.set(key, f"{harness.redis.get(key)}{gap}\n{NEWER}", keepttl=True)
    for key in harness.redis.scan_iter("authsvc:{maple}:deliveries:*"):
        for name, record in harness.redis.hgetall(key).items():
            harness.redis.hset(key, name, f"{record}\n{NEWER}")
    return {key.split(":")[2] for key in found}


def lost(harness: Harness) -> list[str]:
    return [key for key in packed(harness) if not harness.redis.get(key).endswith(f"\n{NEWER}")]


def test_every_packed_record_of_a_newer_release_is_read_and_kept_when_it_is_written(harness: Harness) -> None:
    harness.patient()
    harness.patient("d1", "d1@example.org")
    portal = Portal(harness)
    browser_session = enter(harness)
    grant = portal.tokens(browser_session.cookie)
    code = portal.code(browser_session.cookie)
    token = harness.link()
    access = harness.access_link()
    started = harness.start()
    harness.service.dependents.put(harness.act(), "p1", "d1")
    hint = press(harness, portal, harness.link(resource="invoice:inv_2"))
    pushed = harness.service.pushed_requests.push(harness.client, harness.practice, "scope=openid", "")
    assert add_fields(harness) == {
        "patient",
        "session",
        "challenge",
        "link",
        "authorization-code",
        "pending-link",
        "pushed-request",
    }
    known = set(packed(harness))

    harness.patients.grant(harness.act(), "p1", label="Ann")  # as the command line does
    harness.service.dependents.put(harness.act(), "p1", "d1", workflows=("edit-contact",))
    harness.patients.show(harness.act(), "p1")
    assert portal.redeem(code)
    assert portal.works(portal.refresh(grant))
    harness.service.browser_sessions.extend(page(harness), browser_session.cookie)
    harness.sessions.list(harness.act(), "p1")
    harness.links.exchange(harness.act(), token)
    harness.links.exchange(harness.act(), access)
    assert len(harness.links.list(harness.act(), "p1")) == 3
    assert harness.service.authorization_codes.pending_link(page(harness), hint, BROWSER)
    assert harness.service.pushed_requests.open(page(harness), harness.client, pushed, BROWSER, on_page=False)
    harness.clock.advance_s(31)
    harness.codes.resend(harness.act(), started.challenge)
    assert len(harness.patients.deliveries(harness.act(), "p1")) > 0
    grant_by_code = harness.codes.verify(harness.act(), started.challenge, "314159")
    assert isinstance(grant_by_code, TokenGrant) or grant_by_code.dependents
    assert [key for key in lost(harness) if key in known] == []


@pytest.mark.parametrize("command", ["set", "rotate"])
def test_a_practice_of_a_newer_release_is_kept_down_to_its_secrets(harness: Harness, command: str) -> None:
    practices, key = harness.service.practices, "authsvc:{@practices}:one:maple"
    practices.rotate_webhook_secret("maple", actor="cli:test")
    stored = json.loads(harness.redis.get(key))
    stored["webhook_secrets"][0]["newer"] = NEWER
    harness.redis.set(key, json.dumps({**stored, "newer": NEWER}))
    if command == "set":
        practices.set("maple", actor="cli:test", phone="1")
    else:
        practices.rotate_webhook_secret("maple", actor="cli:test")
    after = json.loads(harness.redis.get(key))
    assert (after["newer"], after["webhook_secrets"][-1]["newer"]) == (NEWER, NEWER)


def test_a_client_of_a_newer_release_is_kept_down_to_its_secrets(harness: Harness) -> None:
    key = "authsvc:{@clients}:one:portal"
    stored = json.loads(harness.redis.get(key))
    stored["secrets"][0]["newer"] = NEWER
    harness.redis.set(key, json.dumps({**stored, "newer": NEWER}))
    harness.service.clients.rotate_secret("portal", actor="cli:test")
    after = json.loads(harness.redis.get(key))
    assert after["newer"] == NEWER
    assert [secret.get("newer") for secret in after["secrets"]].count(NEWER) == 1
    harness.clock.advance_s(6)
    assert harness.service.clients.authenticate("portal", harness.secret, "192.0.2.1").id == "portal"


def test_a_keyset_of_a_newer_release_is_kept_down_to_its_keys(harness: Harness) -> None:
    key = "authsvc:{@keys}:keyset"
    stored = json.loads(harness.redis.get(key))
    for entry in stored["keys"]:
        entry["newer"] = NEWER
    harness.redis.set(key, json.dumps({**stored, "newer": NEWER}))
    harness.service.signing_keys.refresh()
    harness.service.signing_keys.rotate("cli:test", force=True)
    after = json.loads(harness.redis.get(key))
    assert after["newer"] == NEWER
    kids = {entry["kid"] for entry in stored["keys"]}
    assert {entry["kid"] for entry in after["keys"] if entry.get("newer") == NEWER} == kids


def age_backwards(harness: Harness, numbers: set[int]) -> None:
    """Write these entries of the audit stream as a newer release would: with one more line in the text, under the MAC,
    and with two more fields."""
    stream = "authsvc:{maple}:audit"
    entries = harness.redis.xrange(stream)
    harness.redis.delete(stream)
    for entry_id, fields in entries:
        if int(entry_id.partition("-")[0]) in numbers:
            text = f"{fields['t']}\n{NEWER}"
            mac = entry_mac(harness.service.data_keys, "maple", text, fields["e"])
            fields |= {"t": text, "m": mac, "em": "1", "x": "y"}
        harness.redis.xadd(stream, fields, id=entry_id)


def test_audit_entries_of_a_newer_release_are_read_sealed_found_checked_and_kept(harness: Harness) -> None:
    audit_log = harness.service.audit_log
    harness.patient()
    harness.sign_in()
    age_backwards(harness, {1, 2, 3})
    audit_log.seal_all()
    harness.link()
    age_backwards(harness, {harness.redis.xlen("authsvc:{maple}:audit")})
    newer = [NEWER, "em=1", "x=y"]
    youngest = tail(audit_log, "maple", 100)
    assert [entry["n"] for entry in youngest if entry.get("newer") == newer] == [1, 2, 3, youngest[-1]["n"]]
    assert audit_log.verify("maple").faults == ()
    for wanted in (AuditFilter(), AuditFilter(patient="p1"), AuditFilter(event="link.issued")):
        found = audit_log.search("maple", wanted, 100).entries
        assert found[0]["newer"] == newer
        assert found[0]["event"] == "link.issued"
    exported, sealed_to = audit_log.export("maple")
    assert [entry.get("newer") for entry in exported][:3] == [newer] * 3
    audit_log.seal_all()
    assert audit_log.verify("maple").faults == ()
    audit_log.trim("maple", sealed_to, actor="cli:test")
    assert audit_log.verify("maple").faults == ()


def test_attack_what_a_newer_release_has_added_to_a_sealed_entry_is_under_the_seal(harness: Harness) -> None:
    harness.patient()
    age_backwards(harness, {1})
    harness.service.audit_log.seal_all()
    stream = "authsvc:{maple}:audit"
    entries = harness.redis.xrange(stream)
    harness.redis.delete(stream)
    for entry_id, fields in entries:
        harness.redis.xadd(stream, {**fields, **({"x": "z"} if "x" in fields else {})}, id=entry_id)
    assert "entry 1 is not what was sealed" in harness.service.audit_log.verify("maple").faults


def test_a_relation_of_a_newer_release_is_kept_when_another_one_is_added(harness: Harness) -> None:
    for name in ("p1", "d1", "d2"):
        harness.patient(name, f"{name}@example.org")
    harness.service.dependents.put(harness.act(), "p1", "d1", workflows=("edit-contact",))
    key: Any = "authsvc:{maple}:patient:p1"
    harness.redis.set(key, harness.redis.get(key).replace("|edit-contact", "|edit-contact|newer"))
    harness.service.dependents.put(harness.act(), "p1", "d2")
    assert "|edit-contact|newer" in harness.redis.get(key)
    assert harness.service.dependents.list(harness.act(), "p1")[0].workflows == ("edit-contact",)
