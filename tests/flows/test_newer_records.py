"""Rolling up and back: what a newer release has written into a record is passed over here, and is still there after
this release has written it too."""

from __future__ import annotations

import json
from typing import Any

import pytest

from authsvc.model import TokenGrant
from tests.flows.conftest import House
from tests.flows.visitors import BROWSER, Portal, enter, page, press

NEWER = "of a newer release"


def packed(house: House) -> list[str]:
    """The keys that hold one packed record each."""
    kinds = ("patient", "session", "challenge", "link", "authorization-code", "pending-link", "pushed-request")
    return [key for key in house.redis.scan_iter("authsvc:{maple}:*") if key.split(":")[2] in kinds]


def add_fields(house: House) -> set[str]:
    """As a newer release would have left them: each record has one more field behind those that are known here."""
    found = packed(house)
    for key in found:
        # A pending link is written without the two fields that its authorization code adds.
        gap = "\n\n" if ":pending-link:" in key else ""
        house.redis.set(key, f"{house.redis.get(key)}{gap}\n{NEWER}", keepttl=True)
    for key in house.redis.scan_iter("authsvc:{maple}:deliveries:*"):
        for name, record in house.redis.hgetall(key).items():
            house.redis.hset(key, name, f"{record}\n{NEWER}")
    return {key.split(":")[2] for key in found}


def lost(house: House) -> list[str]:
    return [key for key in packed(house) if not house.redis.get(key).endswith(f"\n{NEWER}")]


def test_every_packed_record_of_a_newer_release_is_read_and_kept_when_it_is_written(house: House) -> None:
    house.patient()
    house.patient("d1", "d1@example.org")
    portal = Portal(house)
    entered = enter(house)
    grant = portal.tokens(entered.cookie)
    code = portal.code(entered.cookie)
    token = house.link()
    access = house.access_link()
    started = house.start()
    house.service.dependents.put(house.act(), "p1", "d1")
    hint = press(house, portal, house.link(resource="invoice:inv_2"))
    pushed = house.service.pushed_requests.push(house.client, house.practice, "scope=openid", "")
    assert add_fields(house) == {
        "patient",
        "session",
        "challenge",
        "link",
        "authorization-code",
        "pending-link",
        "pushed-request",
    }
    known = set(packed(house))

    house.patients.grant(house.act(), "p1", label="Ann")  # as the command line does
    house.service.dependents.put(house.act(), "p1", "d1", workflows=("edit-contact",))
    house.patients.show(house.act(), "p1")
    assert portal.redeem(code)
    assert portal.works(portal.refresh(grant))
    house.service.browser_sessions.extend(page(house), entered.cookie)
    house.sessions.list(house.act(), "p1")
    house.links.exchange(house.act(), token)
    house.links.exchange(house.act(), access)
    assert len(house.links.list(house.act(), "p1")) == 3
    assert house.service.authorization_codes.pending_link(page(house), hint, BROWSER)
    assert house.service.pushed_requests.open(page(house), house.client, pushed, BROWSER, on_page=False)
    house.clock.advance_s(31)
    house.codes.resend(house.act(), started.challenge)
    assert len(house.patients.deliveries(house.act(), "p1")) > 0
    grant_by_code = house.codes.verify(house.act(), started.challenge, "314159")
    assert isinstance(grant_by_code, TokenGrant) or grant_by_code.dependents
    assert [key for key in lost(house) if key in known] == []


@pytest.mark.parametrize("command", ["set", "rotate"])
def test_a_practice_of_a_newer_release_is_kept_down_to_its_secrets(house: House, command: str) -> None:
    practices, key = house.service.practices, "authsvc:{@practices}:one:maple"
    practices.rotate_webhook_secret("maple", actor="cli:test")
    stored = json.loads(house.redis.get(key))
    stored["webhook_secrets"][0]["newer"] = NEWER
    house.redis.set(key, json.dumps({**stored, "newer": NEWER}))
    if command == "set":
        practices.set("maple", actor="cli:test", phone="1")
    else:
        practices.rotate_webhook_secret("maple", actor="cli:test")
    after = json.loads(house.redis.get(key))
    assert (after["newer"], after["webhook_secrets"][-1]["newer"]) == (NEWER, NEWER)


def test_a_client_of_a_newer_release_is_kept_down_to_its_secrets(house: House) -> None:
    key = "authsvc:{@clients}:one:portal"
    stored = json.loads(house.redis.get(key))
    stored["secrets"][0]["newer"] = NEWER
    house.redis.set(key, json.dumps({**stored, "newer": NEWER}))
    house.service.clients.rotate_secret("portal", actor="cli:test")
    after = json.loads(house.redis.get(key))
    assert after["newer"] == NEWER
    assert [secret.get("newer") for secret in after["secrets"]].count(NEWER) == 1
    house.clock.advance_s(6)
    assert house.service.clients.authenticate("portal", house.secret, "192.0.2.1").id == "portal"


def test_a_keyset_of_a_newer_release_is_kept_down_to_its_keys(house: House) -> None:
    key = "authsvc:{@keys}:keyset"
    stored = json.loads(house.redis.get(key))
    for entry in stored["keys"]:
        entry["newer"] = NEWER
    house.redis.set(key, json.dumps({**stored, "newer": NEWER}))
    house.service.signing_keys.refresh()
    house.service.signing_keys.rotate("cli:test", force=True)
    after = json.loads(house.redis.get(key))
    assert after["newer"] == NEWER
    kids = {entry["kid"] for entry in stored["keys"]}
    assert {entry["kid"] for entry in after["keys"] if entry.get("newer") == NEWER} == kids


def test_a_relation_of_a_newer_release_is_kept_when_another_one_is_added(house: House) -> None:
    for name in ("p1", "d1", "d2"):
        house.patient(name, f"{name}@example.org")
    house.service.dependents.put(house.act(), "p1", "d1", workflows=("edit-contact",))
    key: Any = "authsvc:{maple}:patient:p1"
    house.redis.set(key, house.redis.get(key).replace("|edit-contact", "|edit-contact|newer"))
    house.service.dependents.put(house.act(), "p1", "d2")
    assert "|edit-contact|newer" in house.redis.get(key)
    assert house.service.dependents.list(house.act(), "p1")[0].workflows == ("edit-contact",)
