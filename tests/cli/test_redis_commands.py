"""The commands that the service really sends, recorded, and those that `authsvc redis-acl` grants: they are the same.

What Python sends is taken down at the connections of the fenced user, what scripts call inside Redis from its MONITOR.
Recorded are every script, the worker, the command line, and what only a replica, a cluster or a database number brings.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.connection import AbstractConnection

from authsvc import wiring
from authsvc.config import load as config
from authsvc.errors import AuthsvcError, Unavailable
from authsvc.model import TokenGrant
from authsvc.store import redis_client as clients
from authsvc.store.outbox import CODES
from authsvc.store.script_files import LUA, Script
from tests.cli.test_redis_acl import PASSWORD, _walk
from tests.fakes import SECRET_KEY, FakeClock, SeededEntropy
from tests.flows import test_email_changes, test_redis_keys
from tests.flows.conftest import ENVIRON, Harness
from tests.flows.visitors import BROWSER, Portal, enter, page, press
from tests.harness.cli import run_command
from tests.store.test_cluster import cluster_port as cluster_port

CONTAINERS = {"client", "cluster"}  # of subcommands, each of which is granted by itself


class Recorder:
    """The names of commands, as an ACL writes them."""

    def __init__(self) -> None:
        self.sent: set[str] = set()
        self.called: set[str] = set()
        self.scripts: set[str] = set()

    def note(self, args: tuple[Any, ...]) -> None:
        words = [str(word).lower() for arg in args[:2] for word in str(arg).split(" ")]
        self.sent.add("|".join(words[:2]) if words[0] in CONTAINERS else words[0])
        if words[0] == "evalsha":
            self.scripts.add(str(args[1]))
        elif words[0] == "eval":
            self.scripts.add(hashlib.sha1(args[1].encode(), usedforsecurity=False).hexdigest())


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """What connections of the user `fenced` send."""
    found = Recorder()
    send, pack = AbstractConnection.send_command, AbstractConnection.pack_commands

    def sent(self: Any, *args: Any, **how: Any) -> Any:
        if self.username == "fenced":
            found.note(args)
        return send(self, *args, **how)

    def packed(self: Any, commands: Any) -> Any:
        commands = list(commands)
        for args in commands if self.username == "fenced" else ():
            found.note(tuple(args))
        return pack(self, commands)

    monkeypatch.setattr(AbstractConnection, "send_command", sent)
    monkeypatch.setattr(AbstractConnection, "pack_commands", packed)
    return found


@contextmanager
def monitored(url: str, recorder: Recorder) -> Iterator[None]:
    """What scripts call inside Redis meanwhile."""
    with redis.Redis.from_url(url) as admin, redis.Redis.from_url(url) as watcher, watcher.monitor() as monitor:

        def read() -> None:
            for line in monitor.listen():
                words = line["command"].lower().split(" ")
                if words[:2] == ["echo", "the-end"]:
                    return
                if line["client_type"] == "lua":
                    recorder.called.add(words[0])

        reader = threading.Thread(target=read)
        reader.start()
        try:
            yield
        finally:
            admin.execute_command("ECHO", "the-end")
            reader.join(30)
        assert not reader.is_alive()


def fence(url: str, *options: str, **more: str) -> dict[str, str]:
    """The environment of a service that may do no more at this store than the printed line says."""
    rules = run_command({}, "redis-acl", "--json", *options).document["rules"]
    with redis.Redis.from_url(url) as client:
        client.execute_command("ACL", "SETUSER", "fenced", "reset", "on", f">{PASSWORD}", *rules)
        client.execute_command("ACL", "LOG", "RESET")
    return {**ENVIRON, "AUTHSVC_REDIS_URL": url.replace("://", f"://fenced:{PASSWORD}@"), **more}


def granted(*options: str) -> set[str]:
    return {rule[1:] for rule in run_command({}, "redis-acl", "--json", *options).document["rules"] if rule[0] == "+"}


def refused(url: str) -> list[str]:
    """What the server has refused to anybody."""
    with redis.Redis.from_url(url, decode_responses=True) as client:
        return [str(entry["object"]) for entry in client.acl_log()]


COMMANDS = (
    "check --live",
    "keys list",
    "keys rewrap",
    "audit verify",
    "audit tail maple",
    "audit tail maple --patient ann",
    "audit tail @site",
    "audit export maple --trim",
    "practices list",
    "clients list",
    "patients show maple dan",
    "patients dependents list maple dan",
    "patients dependents remove maple dan ann",
    "links list maple --patient dan",
    "mail log maple --patient dan",
    "clients remove reports",
    "practices remove maple",
)


def the_rest(harness: Harness) -> None:
    """What the acts of a day leave out."""
    service = harness.service
    web = Portal(harness, "portal-2")
    harness.patient("hal", "hal@example.org")
    browser_session = enter(harness, "hal@example.org")
    service.browser_sessions.contact(page(harness), "hal")
    service.browser_sessions.extend(page(harness), browser_session.cookie)
    with suppress(AuthsvcError):
        service.person_switch.choices(page(harness), browser_session.cookie)
    for token in (web.tokens(browser_session.cookie), harness.links.exchange(harness.act(), harness.link())):
        assert isinstance(token, TokenGrant)
        harness.introspected(token.access_token)
        with suppress(AuthsvcError):  # a link's token is for its resource alone
            service.forward_auth.authorise(token.access_token, "maple", None, None, None)
    hint = press(harness, web, harness.link(patient="ann", resource="invoice:inv_2"))
    service.authorization_codes.pending_link(page(harness), hint, BROWSER)
    uri = service.pushed_requests.push(web.client, harness.practice, "scope=openid", "")
    service.pushed_requests.open(page(harness), web.client, uri, BROWSER, on_page=False)
    started = test_email_changes.start(harness, patient="hal")
    test_email_changes.verify(harness, started)
    harness.patient("eve", "dan@example.org")
    harness.patient("fay", "dan@example.org")
    harness.link(patient="eve")
    harness.patients.merge(harness.act(), "eve", "fay")
    harness.patient("gil", "dan@example.org")
    shared = harness.start(email="dan@example.org")
    harness.codes.verify(harness.act(), shared.challenge, "314159")
    harness.codes.choices(harness.act(), shared.challenge)
    service.revocations.feed("maple")
    service.practice_storage.recount()
    for entry in service.outbox.take("maple", CODES, "worker", 30_000, 5).entries:
        service.outbox.begin("maple", entry, "worker", 30_000)
        service.outbox.defer("maple", entry, "worker", harness.clock.now_ms(), "")
        harness.clock.advance_s(1)
        (again, *_) = service.outbox.take("maple", CODES, "worker", 30_000, 5).entries
        service.outbox.finish("maple", again, "sent", "")


def a_day(environment: dict[str, str], url: str) -> None:
    """Everything that the service does: the acts of a day, its pollers and worker, the command line."""
    settings = config.load(environment)
    with redis.Redis.from_url(url, decode_responses=True) as admin:
        harness = Harness(clients.connection(settings), admin, FakeClock(), SeededEntropy())
        test_redis_keys.a_days_acts(harness)
        the_rest(harness)
        later = {**environment, "AUTHSVC_SECRET_KEYS": f"{SECRET_KEY},{environment['AUTHSVC_SECRET_KEYS']}"}
        for line in COMMANDS:
            result = run_command(later, *line.split())
            assert result.code == 0, (line, result.err)
        admin.flushall()
    service = wiring.bootstrap(settings)
    service.start()
    try:
        _walk(service)
    finally:
        service.stop()


UNSEEN = {
    "auth": "redis-py before 8 logs in by AUTH; later ones by HELLO",
    "asking": "before a command that a moving slot's old node has sent on; no slot moves here",
}
"""What is granted and not seen in these tests, each with its reason."""


def test_every_command_that_is_sent_is_granted_and_every_granted_one_is_sent(
    settings: dict[str, str], recorder: Recorder
) -> None:
    url = settings["AUTHSVC_REDIS_URL"]
    environment = fence(url)
    with monitored(url, recorder):
        a_day(environment, url)
        ready_with(fence(url, AUTHSVC_REDIS_REPLICAS="1"))
        ready_with({**environment, "AUTHSVC_REDIS_URL": environment["AUTHSVC_REDIS_URL"] + "?db=1"})
    seen = recorder.sent | recorder.called
    assert refused(url) == [], "the service is granted what it sends"
    assert seen <= granted()
    assert granted() - seen == UNSEEN.keys() & granted(), "what is granted and not sent has a reason"
    names = {Path(file.name).stem for file in LUA.iterdir() if file.name.endswith(".lua")}
    assert [name for name in sorted(names) if Script(name).sha not in recorder.scripts] == [], "every script has run"


def ready_with(environment: dict[str, str]) -> None:
    """One look whether the store can be written, which needs replicas where some are asked for."""
    with suppress(Unavailable):
        clients.connection(config.load(environment)).check_writable()


def test_a_client_of_a_cluster_sends_what_is_granted_besides_and_no_more(cluster_port: int, recorder: Recorder) -> None:
    url = f"redis://127.0.0.1:{cluster_port}"
    environment = fence(url, "--cluster")
    address = environment["AUTHSVC_REDIS_URL"].replace("redis://", "redis+cluster://")
    connection = clients.connection(config.load({**environment, "AUTHSVC_REDIS_URL": address}))
    harness = Harness(connection, connection._connected(), FakeClock(), SeededEntropy())
    harness.patient()
    harness.sign_in()
    harness.links.exchange(harness.act(), harness.link())
    assert refused(url) == []
    assert recorder.sent <= granted("--cluster")
    assert (granted("--cluster") - granted()) - recorder.sent == UNSEEN.keys() - granted()


def test_the_reasons_are_those_of_commands_that_are_granted() -> None:
    assert granted("--cluster") >= UNSEEN.keys()
