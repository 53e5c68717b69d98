"""`authsvc redis-acl`: what it prints is enough, and no more than what is used."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import redis

import authsvc.store
from authsvc import wiring, worker
from authsvc.cli import redis_acl
from authsvc.config import load as config
from authsvc.errors import AuthsvcError
from authsvc.model import TokenGrant
from tests.fakes import environ
from tests.harness.cli import run_command

STORE = Path(next(iter(authsvc.store.__path__)))
PASSWORD = "a-password-of-the-test"
OURS = {"pipeline", "close", "get_node_from_key", "get_redis_connection", "execute", "connection_pool"}
SPELLED = {"delete": "del", "scan_iter": "scan"}


def test_every_command_that_the_source_sends_is_on_the_list() -> None:
    sent = set()
    for file in STORE.glob("*.py"):
        sent |= set(re.findall(r"\b(?:client|pipe)\.([a-z_]+)\(", file.read_text()))
    allowed = redis_acl.CLIENT | {name for name in redis_acl.CONNECTION if "|" not in name}
    assert {SPELLED.get(name, name) for name in sent - OURS} <= allowed
    assert {SPELLED.get(name, name) for name in sent} >= redis_acl.CLIENT, "more is allowed than is sent"


def test_the_shipped_file_of_users_grants_what_the_command_prints_and_no_more(settings: dict[str, str]) -> None:
    shipped = (Path(__file__).parents[2] / "config/redis/users.acl").read_text(encoding="utf-8")
    off, line, health = shipped.splitlines()
    assert (off, health) == ("user default off", "user health on nopass -@all +ping")
    assert line == run_command(settings, "redis-acl").out.strip().replace("resetpass", "#SHA256_OF_THE_PASSWORD")


def test_the_line_is_for_our_keys_only_and_names_commands_one_by_one() -> None:
    line = run_command({}, "redis-acl").out.strip()
    assert "~authsvc:*" in line
    assert "+@" not in line
    assert "allkeys" not in line
    assert "+cluster|slots" not in line
    assert (
        run_command({}, "redis-acl", "--user", "svc", "--cluster", "--json").document["line"].startswith("user svc on ")
    )
    assert "+cluster|slots" in run_command({}, "redis-acl", "--cluster").out
    assert run_command({}, "redis-acl", "--user", "a b").code == 2


def test_the_line_loads_as_it_is_and_lets_nobody_in_until_it_has_a_password(settings: dict[str, str]) -> None:
    _, name, *rules = run_command({}, "redis-acl", "--user", "unsaid").out.split()
    url = settings["AUTHSVC_REDIS_URL"]
    with redis.Redis.from_url(url) as client:
        client.execute_command("ACL", "SETUSER", name, *rules)
        with pytest.raises(redis.AuthenticationError):
            redis.Redis.from_url(url.replace("unix://", f"unix://{name}:guess@")).ping()
        client.execute_command("ACL", "DELUSER", name)


@pytest.fixture
def fenced(settings: dict[str, str]) -> dict[str, str]:
    """The settings of a service that may do no more than the printed line says."""
    rules = run_command({}, "redis-acl", "--json").document["rules"]
    url = settings["AUTHSVC_REDIS_URL"]
    with redis.Redis.from_url(url) as client:
        client.execute_command("ACL", "SETUSER", "fenced", "reset", "on", f">{PASSWORD}", *rules)
        client.execute_command("ACL", "LOG", "RESET")
    return environ(url.replace("unix://", f"unix://fenced:{PASSWORD}@"))


def test_the_whole_service_runs_under_the_line_that_is_printed(
    fenced: dict[str, str], settings: dict[str, str]
) -> None:
    service = wiring.bootstrap(config.load(fenced))
    service.start()
    try:
        _walk(service)
    finally:
        service.stop()
    for words in (("keys", "list"), ("check", "--live"), ("audit", "verify"), ("audit", "export", "maple", "--trim")):
        assert run_command(fenced, *words).code == 0, words
    with redis.Redis.from_url(settings["AUTHSVC_REDIS_URL"]) as client:
        refused = {str(entry["object"]) for entry in client.acl_log()}
    assert refused <= {"client|setinfo"}


def _walk(service: wiring.Service) -> None:
    """Every script and every command once, or nearly."""
    maple = service.practices.add("maple", actor="test", name="Maple")
    client, _ = service.clients.add(
        "desk",
        practices=("maple",),
        permissions=frozenset({"codes:issue", "codes:reveal"}),
        audience=None,
        actor="test",
    )
    act = lambda: service.act(maple, client, client_ip="203.0.113.9")  # noqa: E731 - a new act each time
    service.patients.put(act(), "p_1", email="anna@example.org", portal_access=True)
    started = service.codes.start(act(), patient="p_1", delivery="caller")
    with pytest.raises(AuthsvcError):
        service.codes.resend(act(), started.challenge)
    with pytest.raises(AuthsvcError):
        service.codes.verify(act(), started.challenge, "000000" if started.code != "000000" else "000001")
    granted = service.codes.verify(act(), started.challenge, str(started.code))
    assert isinstance(granted, TokenGrant)
    assert service.sessions.list(act(), "p_1")
    refreshed = service.sessions.refresh(client, str(granted.refresh_token), None, "")
    assert service.sessions.introspect(client, refreshed.access_token, "")["active"]
    assert service.forward_auth.authorise(refreshed.access_token, "maple", None, None, None)
    service.sessions.revoke(client, str(refreshed.refresh_token), "")
    link = service.links.issue(act(), patient="p_1", workflow="pay-invoice", resource="invoice:inv_1")
    service.links.exchange(act(), link.url.rpartition("/")[2])
    service.links.list(act(), "p_1")
    service.links.revoke_where(act(), patient="p_1")
    service.links.resend(act(), link.url.rpartition("/")[2])
    service.codes.start(act(), email="anna@example.org")
    with pytest.raises(AuthsvcError):
        service.clients.authenticate("desk", "wrong", "203.0.113.9")
    mail_worker = worker._mail_worker(service)
    while mail_worker.step():
        pass
    service.patients.deliveries(act(), "p_1")
    service.patients.unlock(act(), "p_1")
    service.patients.put(act(), "p_2", email="anna@example.org", portal_access=True)
    service.patients.merge(act(), "p_2", "p_1")
    service.sessions.end_all(act(), "p_1")
    service.patients.delete(act(), "p_1")
    service.audit_log.seal_all()
    service.signing_keys.rotate("test", force=True)
    service.signing_keys.rewrap("test")
    service.practices.set("maple", actor="test", name="Maple & Sons")
    assert service.ready()


def test_a_stranger_with_that_line_cannot_read_other_keys_or_the_configuration(fenced: dict[str, str]) -> None:
    with redis.Redis.from_url(fenced["AUTHSVC_REDIS_URL"]) as client:
        for command in (("GET", "other:key"), ("CONFIG", "GET", "*"), ("KEYS", "*"), ("FLUSHALL",), ("ACL", "LIST")):
            with pytest.raises(redis.exceptions.NoPermissionError):
                client.execute_command(*command)
