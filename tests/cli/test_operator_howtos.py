"""An operator who follows the how-tos on practices, patients, clients and workflows word by word gets what they say."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis

from authsvc.config import load as config
from authsvc.config import workflows
from authsvc.errors import Unauthenticated
from authsvc.model import Client, LinkInfo, Patient, TokenGrant
from authsvc.verifier import Verifier
from authsvc.wiring import Service, bootstrap
from tests.audit_logs import tail
from tests.cli.conftest import store_address
from tests.cli.test_key_howtos import HOWTO, Admin
from tests.conftest import Backends
from tests.fakes import FakeClock
from tests.flows.signers import Signer
from tests.harness import machine
from tests.harness.processes import until
from tests.pictures import picture

ROOT = Path(__file__).parents[2]


class Operator(Admin):
    """The same shell, and a look at what the commands have done."""

    @property
    def service(self) -> Service:
        return bootstrap(config.load(self.settings))

    def clients(self) -> dict[str, Client]:
        return {client.id: client for client in self.service.clients.list()}

    def patient(self, name: str) -> Patient:
        service = self.service
        return service.patients.get(service.act(service.practices.known("maple")), name)

    def links(self, patient: str) -> list[LinkInfo]:
        service = self.service
        return service.links.list(service.act(service.practices.known("maple")), patient)

    def link(self, patient: str, resource: str) -> None:
        service = self.service
        act = service.act(service.practices.known("maple"))
        service.links.issue(act, patient=patient, workflow="pay-invoice", resource=resource)

    def events(self, trail: str) -> list[str]:
        return [entry["event"] for entry in tail(self.service.audit_log, trail, 1000)]

    def authenticates(self, client: str, secret: str) -> bool:
        try:
            return self.service.clients.authenticate(client, secret, "127.0.0.1").id == client
        except Unauthenticated:
            return False


@pytest.fixture
def operator(servers: Backends, tmp_path: Path) -> Operator:
    """On an empty store; one kind is enough, since some forty commands are run as processes."""
    return on_empty_store(servers, tmp_path)


def on_empty_store(servers: Backends, folder: Path) -> Operator:
    url = store_address(servers)
    with redis.Redis.from_url(url) as client:
        client.flushall()
    operator = Operator(url, folder)
    operator.start_service()
    (folder / "maple.png").write_bytes(picture())
    return operator


@dataclass(frozen=True)
class Onboarded:
    """What the first steps of `onboard-a-practice.md` leave, for every test that begins after them."""

    folder: Path
    records: dict[bytes, tuple[bytes, int]]
    """By key: what DUMP says, and the life that is left in ms."""


@pytest.fixture(scope="module")
def after_onboarding(servers: Backends, tmp_path_factory: pytest.TempPathFactory) -> Onboarded:
    operator = on_empty_store(servers, tmp_path_factory.mktemp("onboarded"))
    for block in range(5):
        operator.follow("onboard-a-practice.md", block)
    with redis.Redis.from_url(operator.url) as client:
        records = {key: (client.dump(key), max(client.pttl(key), 0)) for key in client.keys("*")}
    return Onboarded(operator.folder, records)


@pytest.fixture
def onboarded(servers: Backends, after_onboarding: Onboarded, tmp_path: Path) -> Operator:
    shutil.copytree(after_onboarding.folder, tmp_path, dirs_exist_ok=True)
    url = store_address(servers)
    with redis.Redis.from_url(url) as client, client.pipeline() as restored:
        restored.flushall()
        for key, (record, life_ms) in after_onboarding.records.items():
            restored.restore(key, life_ms, record)
        restored.execute()
    return Operator(url, tmp_path)


def test_onboard_a_practice(operator: Operator) -> None:
    page = "onboard-a-practice.md"
    added = operator.follow(page, 0)
    assert "Maple Family Practice" in added
    assert str(operator.folder / "preview-maple" / "index.html") in operator.follow(page, 1)
    assert operator.service.practices.known("maple").logo
    secrets = re.findall(r"acs_[A-Za-z0-9_-]{43}", operator.follow(page, 2))
    clients = operator.clients()
    assert set(clients) == {"maple-billing", "maple-portal", "maple-desk"}
    for client, secret in zip(("maple-billing", "maple-portal", "maple-desk"), secrets, strict=True):
        assert operator.authenticates(client, secret)
    assert not any("codes:reveal" in client.permissions for client in clients.values())
    assert "Sent" in operator.follow(page, 3)
    shown = operator.follow(page, 4)
    assert operator.patient("pat_1").portal_access
    assert "ada@example.org" in shown
    looked = operator.follow(page, 5)
    assert all(word in looked for word in ("maple-desk", "client.added", "patient.granted"))
    operator.follow(page, 6)
    assert operator.clients() == {}
    assert operator.service.practices.list() == []
    assert "patient.granted" in (operator.folder / "maple-trail.jsonl").read_text()
    # "Its records stay in Redis, and would be there again if the id were added once more."
    operator.follow(page, 0)
    assert operator.patient("pat_1").email == "ada@example.org"


def test_plug_in_a_portal(onboarded: Operator) -> None:
    page = "plug-in-a-portal.md"
    assert re.search(r"acs_[A-Za-z0-9_-]{43}", onboarded.follow(page, 0))
    portal = onboarded.clients()["portal"]
    assert portal.redirect_uris == ("https://portal.maple.example/signed-in",)
    assert portal.initiate_login_uri == "https://portal.maple.example/open"
    (told,) = re.findall(r"`(authsvc practices set [^`]*)`", (HOWTO / page).read_text(encoding="utf-8"))
    assert onboarded.run(told).returncode == 0
    assert onboarded.service.practices.known("maple").portal_url == "https://portal.maple.example/"


def test_help_a_patient(onboarded: Operator) -> None:
    page = "help-a-patient.md"
    onboarded.run("authsvc patients grant maple pat_1_old --email ada@example.org")
    onboarded.link("pat_1", "invoice:inv_1")
    onboarded.follow(page, 0)
    assert "link_mode" in onboarded.follow(page, 1)
    onboarded.follow(page, 2)
    onboarded.follow(page, 3)
    assert onboarded.patient("pat_1").email == "ada.new@example.org"
    onboarded.link("pat_1", "invoice:inv_1")
    onboarded.follow(page, 4)
    assert onboarded.patient("pat_2").email == ""
    onboarded.follow(page, 6)
    onboarded.follow(page, 5)
    assert {link.state for link in onboarded.links("pat_1")} <= {"revoked", "address_changed"}
    onboarded.follow(page, 7)
    onboarded.follow(page, 8)
    onboarded.link("pat_1", "invoice:inv_1")
    assert "invoice:inv_1" in onboarded.follow(page, 9)
    assert "live" not in {link.state for link in onboarded.links("pat_1")}
    onboarded.follow(page, 10)
    assert onboarded.patient("pat_1_old").id == "pat_1"
    onboarded.link("pat_1", "invoice:inv_2")
    onboarded.follow(page, 11)
    assert not onboarded.patient("pat_1").portal_access
    assert [link.state for link in onboarded.links("pat_1")].count("live") == 1
    entries = tail(onboarded.service.audit_log, "maple", 1000)
    reasons = {entry.get("reason") for entry in entries}
    assert {"phone lost", "sent to the wrong patient", "duplicate chart", "left the practice"} <= reasons


def test_rotate_client_secrets(onboarded: Operator) -> None:
    page = "rotate-client-secrets.md"
    assert "maple-billing" in onboarded.follow(page, 0)
    secret = re.compile(r"acs_[A-Za-z0-9_-]{43}")
    (second,) = secret.findall(onboarded.follow(page, 1))
    assert len(onboarded.clients()["maple-billing"].secrets) == 2
    third, fourth = secret.findall(onboarded.follow(page, 2))
    assert [onboarded.authenticates("maple-billing", one) for one in (second, third, fourth)] == [False, True, True]
    onboarded.link("pat_1", "invoice:inv_1")
    onboarded.run("authsvc audit export maple")
    old, new = (Signer("maple-reports", FakeClock(), kid=kid) for kid in ("old", "new"))
    for name, keys in {"old": old.jwks(), "both": old.jwks(new), "new": new.jwks()}.items():
        (onboarded.folder / f"{name}.json").write_text(keys)
    added = "authsvc clients add maple-reports --practice maple --allow tokens:introspect --jwks old.json"
    assert onboarded.run(added).returncode == 0
    onboarded.follow(page, 4)
    assert [key["kid"] for key in onboarded.clients()["maple-reports"].jwks] == ["new"]
    ends = json.loads(onboarded.follow(page, 5))["clients"]
    assert all(one["expires_at"] for client in ends for one in client["secrets"])


@contextmanager
def redis_with_append_only_file(folder: Path) -> Iterator[str]:
    """A Redis as in production: `appendonly yes`. Its address."""
    socket = folder / "spare.sock"
    command = [machine.find("redis-server"), "--port", "0", "--unixsocket", str(socket), "--dir", str(folder / "data")]
    server = subprocess.Popen(
        [*command, "--appendonly", "yes", "--save", "", "--maxmemory-policy", "noeviction"], stdout=subprocess.DEVNULL
    )
    client = redis.Redis(unix_socket_path=str(socket))
    try:
        until(lambda: answers(client) or None)
        yield f"unix://{socket}"
    finally:
        client.close()
        server.terminate()
        server.wait(10)


def answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False


def test_back_up_and_restore(onboarded: Operator) -> None:
    machine.require("redis-server", "redis-cli")
    page, folder = "back-up-and-restore.md", onboarded.folder
    onboarded.follow(page, 0, **{"redis-cli": f"redis-cli -s {urlsplit(onboarded.url).path}"})
    onboarded.follow(page, 1)
    exported = {name: (folder / f"{name}.jsonl").read_text() for name in ("maple", "site", "keys")}
    assert "patient.granted" in exported["maple"]
    assert "client.added" in exported["site"]
    assert "key.created" in exported["keys"]
    kid = onboarded.service.signing_keys.list()[0].kid
    data = folder / "data"
    data.mkdir()
    shutil.copy(folder / "authsvc.rdb", data / "dump.rdb")  # what the page warns of
    with redis_with_append_only_file(folder) as url:
        assert redis.Redis.from_url(url).dbsize() == 0
    shutil.rmtree(data)
    data.mkdir()
    onboarded.follow(page, 2, **{"$DATA": str(data)})
    with redis_with_append_only_file(folder) as url:
        onboarded.url = url
        looked = onboarded.follow(page, 3)
        assert all(word in looked for word in ("noeviction", kid, "Maple Family Practice"))
        assert onboarded.patient("pat_1").email == "ada@example.org"
        assert set(onboarded.clients()) == {"maple-billing", "maple-portal", "maple-desk"}
        onboarded.run("authsvc patients grant maple pat_9 --email ben@example.org")
    with redis_with_append_only_file(folder) as url:  # and what was written since is there after the next start
        onboarded.url = url
        assert onboarded.patient("pat_9").email == "ben@example.org"
        assert onboarded.patient("pat_1").email == "ada@example.org"


def test_add_a_workflow(onboarded: Operator) -> None:
    page = "add-a-workflow.md"
    (onboarded.folder / "config").mkdir()
    shutil.copy(ROOT / "config/workflows.toml", onboarded.folder / "config")
    onboarded.follow(page, 0)
    (table,) = re.findall(r"^```toml\n(.*?)^```", (HOWTO / page).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    own = onboarded.folder / "workflows.toml"
    own.write_text(own.read_text() + "\n" + table)
    assert "guess bound" in onboarded.follow(page, 1)
    catalogue = workflows.load(str(own))
    added = catalogue.get("confirm-appointment")
    assert added is not None
    assert {"appointments:view", "appointment:confirm"} <= set(catalogue.code_scopes)
    service = bootstrap(config.load(onboarded.settings), catalogue)
    service.signing_keys.ensure()
    client = service.clients.known("maple-billing")
    act = service.act(service.practices.known("maple"), client)
    asked = re.search(r"-d '(\{.*\})'", (HOWTO / page).read_text(encoding="utf-8"))
    assert asked is not None
    issued = service.links.issue(act, **json.loads(asked[1]))
    grant = service.links.exchange(service.act(act.practice, client), issued.url.rpartition("/")[2])
    keys = service.signing_keys.jwks()[0]
    verifier = Verifier(service.settings.public_url, "practice-services", "maple", fetch=lambda _url: keys)
    assert isinstance(grant, TokenGrant)
    claims = verifier.verify(grant.access_token)
    verifier.require(claims, "appointment:confirm", resource="appointment:apt_7")
