"""The commands of every noun, over a real store."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from authsvc import wiring
from authsvc.config import load as config
from authsvc.crypto import keys as signing
from authsvc.model import PERMISSIONS
from tests.cli.conftest import Authsvc
from tests.fakes import SECRET_KEY, FakeClock
from tests.harness.cli import CommandResult, run_command

ALL = [word for permission in sorted(PERMISSIONS) for word in ("--allow", permission)]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    """The machine's clock, for a test that must wait minutes."""
    clock = FakeClock()
    monkeypatch.setattr(wiring, "SystemClock", lambda: clock)
    return clock


# --- practices ----------------------------------------------------------------------------------------------------


def test_a_practice_is_added_changed_listed_and_removed(authsvc: Authsvc) -> None:
    added = authsvc(
        *("practices", "add", "maple", "--name", "Maple Clinic", "--phone", "555 0199", "--locale", "es"),
        *("--portal-url", "https://portal.maple.example/start", "--link-url", "https://maple.example/go/{token}"),
        *("--reason", "first customer", "--json"),
    )
    assert added.code == 0
    assert added.document.pop("created_at").endswith("Z")
    assert authsvc("practices", "set", "maple", "--name", "Maple & Sons", "--link-url", "").code == 0
    (listed,) = authsvc("practices", "list", "--json").document["practices"]
    assert (listed["name"], listed["phone"], listed["link_url"], listed["locale"]) == (
        "Maple & Sons",
        "555 0199",
        "",
        "es",
    )
    assert "Maple & Sons" in authsvc("practices", "list").out
    assert authsvc("practices", "remove", "maple").code == 0
    assert "No practices yet" in authsvc("practices", "list").out
    assert authsvc("practices", "remove", "maple", "--json").document["error"]["code"] == "unknown"


@pytest.mark.parametrize(
    "template",
    [
        "http://maple.example/{token}",
        "https://maple.example/",
        "https://maple.example/?t={token}",
        "https://maple.example/?next=/{token}",
        "https://maple.example/#/{token}",
        "https://maple.example/{token}/{token}",
        "https://maple.example/{practice}/{token}",
        "https://maple.example/x{token}",
        "https://user:pw@maple.example/{token}",
        "https:///{token}",
        "https://maple.example:99999/{token}",
        "https://maple.example\\@evil.example/{token}",
        "https://maple.example/a b/{token}",
        "javascript://maple.example/{token}",
        "https://maple.example/" + "x" * 500 + "/{token}",
    ],
)
def test_a_link_template_that_would_leak_or_lose_the_token_is_wrong_usage(authsvc: Authsvc, template: str) -> None:
    ran = authsvc("practices", "add", "maple", "--name", "Maple", "--link-url", template)
    assert ran.code == 2
    assert "--link-url" in ran.err


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "[::1]:8080", "localhost"])
def test_while_developing_a_page_on_this_machine_may_be_plain_http(authsvc: Authsvc, host: str) -> None:
    done = authsvc("practices", "add", "maple", "--name", "Maple", "--link-url", f"http://{host}/go/{{token}}")
    assert done.code == 0


def test_a_portal_elsewhere_must_be_https(authsvc: Authsvc) -> None:
    ran = authsvc("practices", "add", "maple", "--name", "Maple", "--portal-url", "http://portal.example/")
    assert (ran.code, "--portal-url" in ran.err) == (2, True)


@pytest.mark.parametrize("name", ["", "Maple\r\nBcc: all@example.org", "x" * 101, "\u202eelpaM"])
def test_a_name_that_would_break_a_mail_is_wrong_usage(authsvc: Authsvc, name: str) -> None:
    assert authsvc("practices", "add", "maple", "--name", name).code == 2


@pytest.mark.parametrize("name", ["M", "Maple", "-maple", "maple_clinic", "@keys", "x" * 42, "máple"])
def test_an_id_of_another_shape_is_wrong_usage(authsvc: Authsvc, name: str) -> None:
    assert authsvc("practices", "add", name, "--name", "Maple").code == 2


def test_changing_nothing_is_wrong_usage(maple: Authsvc) -> None:
    assert maple("practices", "set", "maple").code == 2
    assert maple("practices", "set", "oak", "--name", "Oak").code == 1


# --- clients ------------------------------------------------------------------------------------------------------


def test_a_client_gets_a_secret_that_is_shown_once_and_works(maple: Authsvc, settings: dict[str, str]) -> None:
    ran = maple("clients", "add", "billing", "--practice", "maple", "--allow", "links:issue", "--json")
    assert ran.code == 0
    assert set(ran.document) == {"client_id", "client_secret"}
    assert "not shown again" in ran.err
    secret = ran.document["client_secret"]
    service = wiring.bootstrap(config.load(settings))
    client = service.clients.authenticate("billing", secret, "203.0.113.9")
    assert (client.practices, client.permissions) == (("maple",), {"links:issue"})
    listed = maple("clients", "list", "--json")
    assert secret not in listed.out
    assert listed.document["clients"][0]["audience"] == "practice-services"

    rotated = maple("clients", "rotate-secret", "billing", "--json").document["client_secret"]
    assert rotated != secret
    assert service.clients.authenticate("billing", secret, "203.0.113.9")
    assert len(maple("clients", "list", "--json").document["clients"][0]["secrets"]) == 2
    assert secret not in maple("clients", "list").out
    assert maple("clients", "remove", "billing").code == 0
    assert "No clients yet" in maple("clients", "list").out


def test_a_practices_time_zone_is_one_that_exists(authsvc: Authsvc) -> None:
    added = authsvc("practices", "add", "maple", "--name", "Maple", "--time-zone", "America/Phoenix", "--json").document
    assert added["time_zone"] == "America/Phoenix"
    assert authsvc("practices", "set", "maple", "--time-zone", "", "--json").document["time_zone"] == ""
    for zone in ("Mars/Olympus", "../etc/passwd", "America"):
        assert authsvc("practices", "set", "maple", "--time-zone", zone).code == 2


def test_a_client_for_several_practices_names_each(maple: Authsvc) -> None:
    assert maple("practices", "add", "oak", "--name", "Oak").code == 0
    made = ("clients", "add", "both", "--practice", "maple", "--practice", "oak", "--practice", "maple", *ALL)
    assert maple(*made, "--audience", "portal").code == 0
    (listed,) = maple("clients", "list", "--json").document["clients"]
    assert (listed["practices"], listed["audience"], listed["permissions"]) == (
        ["maple", "oak"],
        "portal",
        sorted(PERMISSIONS),
    )


def test_a_client_for_every_practice_needs_none_to_exist(authsvc: Authsvc) -> None:
    assert authsvc("clients", "add", "all", "--practice", "*", "--allow", "codes:issue").code == 0
    assert authsvc("clients", "list", "--json").document["clients"][0]["practices"] == ["*"]


def test_an_unknown_practice_is_refused_and_the_known_ones_are_named(maple: Authsvc) -> None:
    ran = maple("clients", "add", "billing", "--practice", "oak", "--allow", "codes:issue")
    assert ran.code == 1
    assert "'oak'" in ran.err
    assert "maple" in ran.err
    assert maple("clients", "list", "--json").document == {"clients": []}


def test_an_unknown_permission_is_refused_and_the_known_ones_are_named(maple: Authsvc) -> None:
    ran = maple("clients", "add", "billing", "--practice", "maple", "--allow", "doors:open")
    assert ran.code == 2
    assert all(permission in ran.err for permission in PERMISSIONS)


def test_a_second_client_of_the_same_id_is_refused(maple: Authsvc) -> None:
    made = ("clients", "add", "billing", "--practice", "maple", "--allow", "codes:issue", "--json")
    assert maple(*made).code == 0
    assert maple(*made).document["error"]["code"] == "exists"
    assert maple("clients", "rotate-secret", "nobody").code == 1
    assert maple("clients", "remove", "nobody").code == 1


# --- patients -----------------------------------------------------------------------------------------------------


def test_an_invitation_is_queued_and_the_command_names_the_delivery_and_no_secret(maple: Authsvc) -> None:
    maple("patients", "grant", "maple", "p_1", "--email", "anna@example.org")
    invited = maple("patients", "invite", "maple", "p_1", "--reason", "asked at the desk", "--json")
    assert invited.document.keys() == {"practice", "patient", "link", "delivery", "expires_at", "max_uses"}
    logged = maple("mail", "log", "maple", "--patient", "p_1", "--json").document
    assert invited.document["delivery"] in json.dumps(logged)
    said = maple("patients", "invite", "maple", "p_1")
    assert "is queued: delivery" in said.out
    assert "/l/" not in said.out + invited.out
    maple("patients", "add", "maple", "p_2", "--portal-access")
    refused = maple("patients", "invite", "maple", "p_2", "--json")
    assert (refused.code, refused.document["error"]["code"]) == (1, "no-address")
    assert maple("patients", "invite", "maple", "p_9").code == 1


def test_the_trail_is_searched_by_patient_event_actor_and_time(maple: Authsvc) -> None:
    for name in ("p_1", "p_2"):
        maple("patients", "grant", "maple", name, "--email", f"{name}@example.org")
    maple("patients", "grant", "maple", "p_1", "--email", "new@example.org", "--reason", "came to the desk")
    found = maple("audit", "tail", "maple", "--patient", "p_1", "--event", "patient.address_changed", "--json").document
    assert [(entry["patient"], entry["reason"]) for entry in found["entries"]] == [("p_1", "came to the desk")]
    assert found["next"] is None
    whole = maple("audit", "tail", "maple", "--json").document["entries"]
    assert [entry["n"] for entry in whole] == sorted(entry["n"] for entry in whole)
    newest = maple("audit", "tail", "maple", "--lines", "2", "--actor", whole[-1]["actor"], "--json").document
    assert newest["entries"] == whole[-2:]
    older = maple("audit", "tail", "maple", "--after", str(newest["next"]), "--json").document
    assert older["entries"] == whole[:-2]
    assert (
        maple("audit", "tail", "maple", "--since", "2100-01-01T00:00:00Z", "--by", "anna").out.strip() == "No entries."
    )
    assert maple("audit", "tail", "maple", "--until", "yesterday").code == 2
    maple("audit", "export", "maple", "--trim")


def test_a_patient_is_added_without_an_address_and_the_command_says_what_that_means(maple: Authsvc) -> None:
    added = maple("patients", "add", "maple", "p_1", "--label", "Anna", "--json")
    assert added.document == {
        "practice": "maple",
        "patient": "p_1",
        "email": "",
        "label": "Anna",
        "portal_access": False,
        "created": True,
    }
    shown = maple("patients", "show", "maple", "p_1")
    for ran in (added, shown, maple("patients", "grant", "maple", "p_1")):
        assert ran.code == 0
        assert "No email address is on file" in ran.err
    assert maple("patients", "add", "maple", "p_1", "--json").document["error"]["code"] == "exists"
    addressed = maple("patients", "add", "maple", "p_2", "--email", "ben@example.org", "--portal-access", "--json")
    assert (addressed.document["portal_access"], addressed.err) == (True, "")


def test_an_id_that_begins_with_a_hyphen_is_no_option(maple: Authsvc) -> None:
    """One kid in 64 does, and a patient's may: nobody should learn of `--` in an emergency."""
    maple("patients", "add", "maple", "-7", "--label", "Anna", "--json")
    assert maple("patients", "show", "maple", "-7", "--json").document["patient"] == "-7"
    refused = maple("keys", "revoke", "-7kYb1", "--yes")
    assert "-7kYb1" in refused.err
    assert "No such option" not in refused.err
    assert "No such option '--yess'" in maple("keys", "revoke", "--yess", "kid").err


def test_access_is_granted_shown_unlocked_and_withdrawn(maple: Authsvc) -> None:
    granted = maple("patients", "grant", "maple", "p_1", "--email", "anna@example.org", "--label", "Anna", "--json")
    assert granted.document == {
        "practice": "maple",
        "patient": "p_1",
        "email": "anna@example.org",
        "label": "Anna",
        "portal_access": True,
        "created": True,
    }
    again = maple("patients", "grant", "maple", "p_1", "--email", "anna@example.org", "--json")
    assert (again.document["created"], again.document["label"]) == (False, "Anna")
    shown = maple("patients", "show", "maple", "p_1", "--json").document
    assert (shown["portal_access"], shown["link_mode"], shown["sessions"]) == (True, False, 0)
    assert maple("patients", "unlock", "maple", "p_1", "--reason", "spoke on the phone").code == 0
    assert maple("patients", "sign-out", "maple", "p_1", "--json").document["sessions_ended"] == 0
    assert maple("patients", "withdraw", "maple", "p_1", "--json").document["portal_access"] is False
    assert maple("patients", "show", "maple", "p_1", "--json").document["portal_access"] is False


def test_a_patient_who_is_not_on_file_is_unknown(maple: Authsvc) -> None:
    ran = maple("patients", "show", "maple", "p_9", "--json")
    assert (ran.code, ran.document["error"]["code"]) == (1, "unknown")
    assert maple("patients", "show", "oak", "p_9").code == 1


def test_an_address_that_is_none_is_named_as_the_fault(maple: Authsvc) -> None:
    ran = maple("patients", "grant", "maple", "p_1", "--email", "nonsense", "--json")
    assert (ran.code, ran.document["error"]["errors"][0]["pointer"]) == (1, "/email")


def test_merging_two_charts_keeps_one(maple: Authsvc) -> None:
    for patient in ("p_1", "p_2"):
        maple("patients", "grant", "maple", patient, "--email", "anna@example.org")
    assert maple("patients", "merge", "maple", "p_1", "p_2", "--json").document == {
        "practice": "maple",
        "merged": "p_1",
        "into": "p_2",
    }
    assert maple("patients", "show", "maple", "p_1", "--json").document["patient"] == "p_2"
    assert maple("patients", "merge", "maple", "p_2", "p_2").code == 2


# --- links --------------------------------------------------------------------------------------------------------


def _link(settings: dict[str, str], resource: str) -> str:
    service = wiring.bootstrap(config.load(settings))
    act = service.act(service.practices.known("maple"), None, actor="test")
    return service.links.issue(act, patient="p_1", workflow="pay-invoice", resource=resource).id


def test_links_are_listed_and_revoked_by_id_by_resource_and_by_patient(
    maple: Authsvc, settings: dict[str, str]
) -> None:
    one, _, _ = (_link(settings, f"invoice:inv_{number}") for number in range(3))
    assert "pay-invoice" in maple("links", "list", "maple", "--patient", "p_1").out
    assert maple("links", "revoke", "maple", "--id", one, "--json").document["revoked"] == 1
    assert maple("links", "revoke", "maple", "--resource", "invoice:inv_1", "--json").document["revoked"] == 1
    assert maple("links", "revoke", "maple", "--patient", "p_1", "--json").document["revoked"] == 1
    states = [link["state"] for link in maple("links", "list", "maple", "--patient", "p_1", "--json").document["links"]]
    assert states == ["revoked"] * 3
    assert maple("links", "revoke", "maple", "--id", "nothing-like-it").code == 1
    assert maple("links", "list", "maple", "--patient", "p_9").out == "No links.\n"


@pytest.mark.parametrize("named", [(), ("--id", "abc", "--patient", "p_1"), ("--resource", "invoice")])
def test_links_are_revoked_by_exactly_one_name(maple: Authsvc, named: tuple[str, ...]) -> None:
    assert maple("links", "revoke", "maple", *named).code == 2


# --- keys ---------------------------------------------------------------------------------------------------------


def _made(authsvc: Authsvc, settings: dict[str, str]) -> CommandResult:
    wiring.bootstrap(config.load(settings)).signing_keys.ensure()
    return authsvc("keys", "list", "--json")


def test_before_the_first_start_there_are_no_keys(authsvc: Authsvc) -> None:
    assert authsvc("keys", "list", "--json").document == {"keys": []}
    assert "authsvc serve" in authsvc("keys", "list").out


def test_rotating_too_early_is_refused_as_unsafe_and_says_until_when(
    authsvc: Authsvc, settings: dict[str, str], clock: FakeClock
) -> None:
    before = _made(authsvc, settings).document["keys"]
    refused = authsvc("keys", "rotate", "--json")
    assert refused.code == 3
    assert refused.document["error"]["safe_at"] == before[1]["signs_from"]
    assert before[1]["signs_from"] in refused.err
    assert authsvc("keys", "list", "--json").document["keys"] == before

    clock.advance_s(361)
    rotated = authsvc("keys", "rotate", "--reason", "monthly", "--json")
    assert (rotated.code, rotated.document["rotated"], rotated.document["cost"]) == (0, True, "")
    assert rotated.document["current"] == before[1]["kid"]
    states = [key["state"] for key in authsvc("keys", "list", "--json").document["keys"]]
    assert states == ["current", "next", "retiring"]
    assert "retiring" in authsvc("keys", "list").out


def test_a_forced_rotation_says_its_price(authsvc: Authsvc, settings: dict[str, str]) -> None:
    _made(authsvc, settings)
    ran = authsvc("keys", "rotate", "--force")
    assert ran.code == 0
    assert "rotated       yes" in ran.out
    assert "The price: verifiers" in ran.err


def test_a_rotation_from_cron_does_nothing_before_its_time(
    authsvc: Authsvc, settings: dict[str, str], clock: FakeClock
) -> None:
    _made(authsvc, settings)
    clock.advance_s(29 * 86_400)
    assert authsvc("keys", "rotate", "--if-older-than", "30d", "--json").document["rotated"] is False
    assert "no: not due yet" in authsvc("keys", "rotate", "--if-older-than", "30d").out
    clock.advance_s(86_400)
    assert authsvc("keys", "rotate", "--if-older-than", "30 d", "--json").document["rotated"] is True


def test_a_span_that_is_none_is_wrong_usage(authsvc: Authsvc) -> None:
    assert authsvc("keys", "rotate", "--if-older-than", "a month").code == 2


def test_a_compromised_key_is_revoked_at_once(authsvc: Authsvc, settings: dict[str, str]) -> None:
    kid = _made(authsvc, settings).document["keys"][0]["kid"]
    ran = authsvc("keys", "revoke", kid, "--reason", "lost laptop", "--json")
    assert (ran.code, ran.document["revoked"]) == (0, kid)
    assert ran.document["cost"]
    assert kid not in [key["kid"] for key in authsvc("keys", "list", "--json").document["keys"]]
    assert authsvc("keys", "revoke", kid).code == 1


def test_public_keys_are_exported_for_verifiers_that_cannot_fetch(authsvc: Authsvc, settings: dict[str, str]) -> None:
    kids = [key["kid"] for key in _made(authsvc, settings).document["keys"]]
    jwks = json.loads(authsvc("keys", "export").out)
    assert [key["kid"] for key in jwks["keys"]] == kids
    assert authsvc("keys", "export", "--json").document == jwks
    pem = authsvc("keys", "export", "--format", "pem")
    assert pem.out.count("BEGIN PUBLIC KEY") == 2
    assert "PRIVATE" not in pem.out
    assert authsvc("keys", "export", "--format", "haproxy", "--json").document["text"].count(".pem") == 2


def test_a_key_that_somebody_brings_becomes_the_next(
    authsvc: Authsvc, settings: dict[str, str], tmp_path: Path
) -> None:
    _made(authsvc, settings)
    brought = signing.generate("ES256")
    file = tmp_path / "key.pem"
    file.write_text(_private_pem(brought))
    ran = authsvc("keys", "import", str(file), "--json")
    assert (ran.code, ran.document["next"]) == (0, brought.kid)
    assert authsvc("keys", "import", "-", "--json", input=file.read_text()).document["error"]["code"] == "exists"
    assert authsvc("keys", "import", "-", input="no key").code == 1
    assert authsvc("keys", "import", str(tmp_path / "missing.pem")).code == 2
    for unread in (b"-----BEGIN PRIVATE KEY-----\n\xfc", file.read_text().encode("utf-16")):
        (tmp_path / "latin.pem").write_bytes(unread)
        ran = authsvc("keys", "import", str(tmp_path / "latin.pem"), "--json")
        assert (ran.code, ran.document["error"]["detail"]) == (1, "No PEM file: it isn't UTF-8.")
        assert authsvc("keys", "import", "-", input=unread).code == 1


def _private_pem(key: signing.SigningKey) -> str:
    from cryptography.hazmat.primitives import serialization

    loaded = serialization.load_der_private_key(key.to_der(), None)
    pem = serialization.Encoding.PEM
    plain = serialization.NoEncryption()
    return loaded.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain).decode()


def test_data_keys_move_to_a_new_master_secret(authsvc: Authsvc, settings: dict[str, str]) -> None:
    _made(authsvc, settings)
    assert "nothing: all were there already" in authsvc("keys", "rewrap").out
    newer = {**settings, "AUTHSVC_SECRET_KEYS": "A" * 22 + "BCDEFGHIJKLMNOPQRSTUV" + "," + SECRET_KEY}
    moved = run_command(newer, "keys", "rewrap", "--json")
    assert moved.code == 0
    assert "signing" in " ".join(moved.document["moved"]) or moved.document["moved"]
    assert moved.document["keep_old_until"].endswith("Z")
    alone = {**settings, "AUTHSVC_SECRET_KEYS": newer["AUTHSVC_SECRET_KEYS"].partition(",")[0]}
    assert run_command(alone, "keys", "list").code == 0
    locked_out = authsvc("keys", "list", "--json")
    assert (locked_out.code, locked_out.document["error"]["code"]) == (1, "key-ring-unusable")


# --- audit, mail --------------------------------------------------------------------------------------------------


def test_what_an_admin_does_is_in_the_trail_with_name_and_reason(maple: Authsvc) -> None:
    maple("patients", "grant", "maple", "p_1", "--email", "anna@example.org", "--reason", "asked at the desk")
    entries = maple("audit", "tail", "maple", "--json").document["entries"]
    assert [entry["event"] for entry in entries] == ["patient.created", "patient.granted"]
    assert all(entry["actor"].startswith("cli:") and entry["reason"] == "asked at the desk" for entry in entries)
    assert "anna@example.org" not in maple("audit", "tail", "maple").out
    site = maple("audit", "tail", "@site", "--lines", "1", "--json").document["entries"]
    assert [entry["event"] for entry in site] == ["practice.added"]
    assert maple("audit", "tail", "oak").code == 1
    assert maple("audit", "tail", "@clients").out == "No entries.\n"


def test_the_trail_is_exported_as_json_lines_or_as_one_document(maple: Authsvc, settings: dict[str, str]) -> None:
    maple("patients", "grant", "maple", "p_1", "--email", "anna@example.org")
    lines = [json.loads(line) for line in maple("audit", "export", "maple").out.splitlines()]
    assert [line["n"] for line in lines] == [1, 2]
    assert maple("audit", "export", "maple", "--json").document["entries"] == lines
    wiring.bootstrap(config.load(settings)).audit_log.seal_all()
    assert len(maple("audit", "export", "maple", "--trim").out.splitlines()) == 2
    assert maple("audit", "export", "maple").out == ""
    assert maple("audit", "tail", "@site", "--json").document["entries"][-1]["event"] == "audit.trimmed"
    assert maple("audit", "verify", "maple").code == 0


def test_a_trail_that_was_changed_fails_the_check_and_the_entry_is_named(
    maple: Authsvc, settings: dict[str, str]
) -> None:
    maple("patients", "grant", "maple", "p_1", "--email", "anna@example.org")
    service = wiring.bootstrap(config.load(settings))
    service.audit_log.seal_all()
    good = maple("audit", "verify", "--json")
    assert (good.code, good.document["intact"]) == (0, True)
    assert {trail["name"] for trail in good.document["trails"]} == {"@site", "@keys", "@clients", "maple"}
    first = service.store.call(lambda client: client.xrange("authsvc:{maple}:audit", count=1))[0][0]
    service.store.call(lambda client: client.xdel("authsvc:{maple}:audit", first))
    ran = maple("audit", "verify")
    assert ran.code == 1
    assert "maple: entry 1 is missing" in ran.out
    bad = maple("audit", "verify", "maple", "--json")
    assert (bad.code, bad.document["intact"]) == (1, False)


def test_staff_can_ask_what_happened_to_the_mail(maple: Authsvc, settings: dict[str, str]) -> None:
    maple("patients", "grant", "maple", "p_1", "--email", "anna@example.org")
    assert maple("mail", "log", "maple", "--patient", "p_1").out == "No mail in the last days.\n"
    service = wiring.bootstrap(config.load(settings))
    service.codes.start(service.act(service.practices.known("maple"), None, actor="test"), patient="p_1")
    (delivery,) = maple("mail", "log", "maple", "--patient", "p_1", "--json").document["deliveries"]
    assert (delivery["kind"], delivery["state"], delivery["attempts"]) == ("code", "queued", 0)


def test_a_test_mail_goes_out_at_once(maple: Authsvc, settings: dict[str, str], tmp_path: Path) -> None:
    there = {**settings, "AUTHSVC_MAIL_URL": f"file://{tmp_path}/mail"}
    ran = run_command(there, "mail", "test", "maple", "ops@example.org", "--json")
    assert (ran.code, ran.document["answer"]) == (0, "written")
    (mail,) = (tmp_path / "mail").glob("*.eml")
    assert "ops@example.org" in mail.read_text()
    wrong = run_command(there, "mail", "test", "maple", "ops", "--json")
    assert (wrong.code, wrong.document["error"]["errors"][0]["pointer"]) == (1, "/address")


def test_a_mail_host_that_is_away_fails_the_test_mail(maple: Authsvc, settings: dict[str, str]) -> None:
    ran = run_command(
        {**settings, "AUTHSVC_MAIL_URL": "smtp://127.0.0.1:1"}, "mail", "test", "maple", "a@example.org", "--json"
    )
    assert (ran.code, ran.document["error"]["code"]) == (1, "deferred")


# --- dependents -----------------------------------------------------------------------------------------------------


def test_who_may_act_for_whom_is_added_listed_and_removed(authsvc: Authsvc) -> None:
    authsvc("practices", "add", "maple", "--name", "Maple Clinic")
    for patient in ("ann", "leo"):
        authsvc("patients", "grant", "maple", patient, "--email", f"{patient}@example.org")
    dependents = ("patients", "dependents")
    assert authsvc(*dependents, "list", "maple", "ann").out.strip() == "ann acts for nobody."
    added = authsvc(
        *dependents, "add", "maple", "ann", "leo", "--until", "2099-05-01", "--workflow", "edit-contact", "--json"
    )
    relation = {"guardian": "ann", "dependent": "leo", "until": "2099-05-01T00:00:00Z", "workflows": ["edit-contact"]}
    assert added.document == {"practice": "maple", **relation, "created": True}
    assert authsvc(*dependents, "list", "maple", "ann", "--json").document == {
        "practice": "maple",
        "dependents": [relation],
    }
    assert "until 2099-05-01T00:00:00Z: edit-contact" in authsvc(*dependents, "list", "maple", "ann").out
    changed = authsvc(*dependents, "add", "maple", "ann", "leo", "--reason", "of age later")
    assert "ann acts for leo: all that needs a code." in changed.out
    found = authsvc("audit", "tail", "maple", "--patient", "leo", "--event", "dependent.added")
    assert found.out.split()[-3:-1] == ["leo", "ann"], "who may act for Leo, and who does, is one command"
    as_guardian = authsvc("audit", "tail", "maple", "--guardian", "ann", "--json").document["entries"]
    assert [entry["event"] for entry in as_guardian] == ["dependent.added", "dependent.changed"]
    assert authsvc(*dependents, "add", "maple", "leo", "ann", "--json").document["error"]["code"] == "dependent-chain"
    assert authsvc(*dependents, "add", "maple", "ann", "leo", "--until", "tomorrow").code == 2
    assert authsvc(*dependents, "remove", "maple", "ann", "leo", "--json").document["removed"] is True
    assert authsvc(*dependents, "remove", "maple", "ann", "leo").code == 1
