"""A store that was emptied, or torn, or is another site's: nobody is let in or sent away on its word.

Nothing is made or written in it, and everything sealed opens again once it is back. A new store is set up as ever."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import redis

from authsvc.config import load as config
from authsvc.errors import AuthsvcError, KeysetUnusable, NotFound, StoreLost, Unauthenticated, Unavailable
from authsvc.model import PERMISSIONS, Client, Practice, TokenGrant
from authsvc.store.keys import DATA, KEYSET, LOST
from authsvc.wiring import Service, bootstrap
from tests.fakes import SeededEntropy, environ
from tests.flows.keysets import NEW, spellings
from tests.harness.cli import CommandResult, run_command

WRITES = (
    "practices add oak --name Oak",
    "practices set maple --name Maple",
    "practices rotate-webhook-secret maple",
    "practices remove maple",
    "clients add desk --practice maple --allow patients:read",
    "clients set portal --redirect-uri https://portal.maple.example/in",
    "clients rotate-secret portal",
    "clients remove portal",
    "patients add maple p2 --email ben@example.org",
    "patients grant maple p1 --email ann@example.org",
    "patients invite maple p1",
    "patients withdraw maple p1",
    "patients unlock maple p1",
    "patients sign-out maple p1",
    "patients merge maple p1 p2",
    "patients dependents add maple p1 p2",
    "patients dependents remove maple p1 p2",
    "links revoke maple --patient p1",
    "keys revoke " + "k" * 43,
    "keys rewrap",
    "audit export maple --trim",
)
"""Every command that writes, but for `keys rotate --force`, which begins a keyset anew, and `keys import`."""


class OneStore:
    """One installation on a real server: what `serve` has in memory, and an operator's command line."""

    def __init__(self, url: str) -> None:
        self.url, self.settings = url, environ(url)
        self.redis: Any = redis.Redis.from_url(url)
        self.service = self.process()
        self.secret = ""

    def process(self) -> Service:
        """Another process that starts now, as far as it gets."""
        service = bootstrap(config.load(self.settings), entropy=SeededEntropy(f"process {id(self)}"))
        for first in (service.signing_keys.ensure, service.data_keys.refresh):
            try:
                first()
            except AuthsvcError:
                continue
        return service

    def furnish(self) -> None:
        self.service.practices.add("maple", name="Maple Clinic", actor="cli:test")
        given = {"practices": ("maple",), "permissions": PERMISSIONS, "audience": None}
        _, self.secret = self.service.clients.add("portal", actor="cli:test", **given)
        self.put("p1", "ann@example.org")

    def put(self, patient: str, email: str, service: Service | None = None) -> None:
        service = service or self.service
        service.patients.put(act(service), patient, email=email, label="", locale="", portal_access=True)

    def cli(self, words: str, **changed: str) -> CommandResult:
        return run_command({**self.settings, **changed}, *words.split())

    def copied(self) -> dict[bytes, tuple[int, bytes]]:
        return {key: (max(self.redis.pttl(key), 0), self.redis.dump(key)) for key in self.redis.scan_iter()}

    def restore(self, copy: dict[bytes, tuple[int, bytes]]) -> None:
        self.redis.flushall()
        for key, (ttl_ms, value) in copy.items():
            self.redis.restore(key, ttl_ms, value)

    def notice(self) -> str:
        """What the polling thread finds, within five seconds of the loss."""
        reasons = []
        for poll in (self.service.signing_keys.refresh, self.service.data_keys.refresh):
            try:
                poll()
            except KeysetUnusable as error:
                reasons.append(error.reason)
        return " ".join(reasons)


def act(service: Service) -> Any:
    """A call of the portal about maple, both known from before."""
    client = Client("portal", ("maple",), PERMISSIONS, "practice-services", (), 0)
    return service.act(Practice("maple", "Maple Clinic"), client)


@pytest.fixture
def new_site(store_url: str) -> OneStore:
    return OneStore(store_url)


@pytest.fixture
def site(new_site: OneStore) -> OneStore:
    new_site.furnish()
    new_site.service.data_keys.refresh()
    return new_site


LOSSES: dict[str, tuple[Callable[[OneStore], object], str]] = {
    "emptied": (lambda site: site.redis.flushall(), "store_emptied"),
    "the keyset deleted": (lambda site: site.redis.delete(KEYSET), "ring_missing"),
    "the data keys deleted": (lambda site: site.redis.delete(DATA), "data_keys_missing"),
    "both deleted": (lambda site: site.redis.delete(KEYSET, DATA), "store_emptied"),
    "the shard of the keys came back empty": (
        lambda site: site.redis.delete(*site.redis.scan_iter("authsvc:{@keys}:*")),
        "store_emptied",
    ),
}


@pytest.mark.parametrize("loss", LOSSES)
def test_it_is_not_ready_and_nothing_is_written_into_it(site: OneStore, loss: str) -> None:
    copy = site.copied()
    lose, reason = LOSSES[loss]
    lose(site)
    site.notice()
    assert not site.service.ready()
    before = site.copied().keys()
    for words in WRITES:
        refused = site.cli(words)
        assert (refused.code, refused.out) == (3, ""), words
        assert refused.err.count("\n") == 1, words
    assert "Restore" in refused.err
    assert site.cli("practices add oak --name Oak --json").document["error"]["reason"] == reason
    assert site.copied().keys() == before
    site.restore(copy)
    site.notice()
    assert site.service.ready()
    assert site.cli("practices add oak --name Oak").code == 0


@pytest.mark.parametrize("loss", LOSSES)
def test_a_process_that_starts_on_it_makes_no_keys_and_opens_everything_once_it_is_back(
    site: OneStore, loss: str
) -> None:
    copy = site.copied()
    LOSSES[loss][0](site)
    site.notice()
    left = site.redis.hgetall(DATA), site.redis.get(KEYSET)
    started = site.process()
    assert not started.ready()
    with pytest.raises(KeysetUnusable):
        started.signing_keys.signer()
    if loss != "the keyset deleted":  # then everything that seals is there
        with pytest.raises((Unavailable, KeysetUnusable)):
            site.put("p2", "ben@example.org", started)
    assert (site.redis.hgetall(DATA), site.redis.get(KEYSET)) == left
    site.restore(copy)
    started.signing_keys.ensure()
    started.data_keys.refresh()
    assert started.ready()
    assert started.patients.get(act(started), "p1").email == "ann@example.org"
    assert site.process().patients.get(act(started), "p1").email == "ann@example.org"


def test_a_shard_that_came_back_empty_is_seen_by_what_the_others_hold(site: OneStore) -> None:
    """Though no process runs that knew the keys."""
    site.redis.delete(*site.redis.scan_iter("authsvc:{@keys}:*"))
    refused = site.cli("patients add maple p2 --email ben@example.org")
    assert (refused.code, refused.out) == (3, "")
    assert "The data keys are gone" in refused.err
    assert not site.process().ready()
    assert not list(site.redis.scan_iter("authsvc:{@keys}:*"))


def test_before_it_is_noticed_nobody_is_told_that_something_is_unknown(site: OneStore) -> None:
    service = site.service
    started = service.codes.start(act(service), patient="p1", delivery="caller")
    grant = service.codes.verify(act(service), started.challenge, started.code or "")
    assert isinstance(grant, TokenGrant)
    client, asked = act(service).client, service.browser_sessions
    link = service.links.issue(act(service), patient="p1", workflow="update-payment-info").url.rpartition("/")[2]
    copy = site.copied()
    site.redis.flushall()
    acts: tuple[Callable[[], object], ...] = (
        lambda: service.codes.verify(act(service), started.challenge, started.code or ""),
        lambda: service.links.exchange(act(service), link),
        lambda: service.sessions.refresh(client, grant.refresh_token or "", None, ""),
        lambda: service.sessions.introspect(client, grant.access_token, ""),
        lambda: service.patients.get(act(service), "p1"),
        lambda: asked.get(act(service), f"{grant.session}.{'c' * 22}"),
        lambda: service.clients.authenticate("nobody", "acs_wrong", "127.0.0.1"),
        lambda: service.practices.get("oak"),
    )
    for ask in acts:
        service.data_keys._apart = False  # as if each were the first
        with pytest.raises((Unavailable, KeysetUnusable)):
            ask()
    site.restore(copy)
    service.data_keys.refresh()
    assert service.sessions.introspect(client, grant.access_token, "")["active"]
    with pytest.raises(Unauthenticated):
        service.clients.authenticate("nobody", "acs_wrong", "127.0.0.1")
    with pytest.raises(NotFound):
        service.sessions.end(act(service), "p1", "unknown")


def test_another_sites_store_is_not_written_into_and_not_called_lost(site: OneStore) -> None:
    other = {"AUTHSVC_SECRET_KEYS": spellings(NEW)[2]}
    before = site.copied()
    refused = site.cli("practices add oak --name Oak", **other)
    assert refused.code == 1
    assert "AUTHSVC_SECRET_KEYS" in refused.err
    site.redis.flushall()
    assert site.cli("practices add maple --name Another", **other).code == 0
    foreign = bootstrap(config.load({**site.settings, **other}))
    foreign.signing_keys.ensure()
    assert "data_keys_changed" in site.notice()
    assert not site.redis.exists(LOST)
    assert site.cli("practices add oak --name Oak", **other).code == 0
    assert site.cli("practices add elm --name Elm").code == 1
    site.restore(before)
    site.notice()
    assert site.service.ready()


def test_a_new_store_is_set_up_by_the_command_line_before_anything_serves(store_url: str) -> None:
    site = OneStore.__new__(OneStore)
    site.url, site.settings = store_url, environ(store_url)
    site.redis = redis.Redis.from_url(store_url)
    for words in (
        "practices add maple --name Maple",
        "clients add portal --practice maple --allow codes:issue",
        "patients add maple p1 --email ann@example.org",
        "patients grant maple p2 --email ben@example.org",
    ):
        done = site.cli(words)
        assert done.code == 0, done.err
    assert site.process().ready()
    assert site.cli("patients show maple p1").code == 0


def test_an_operator_who_means_it_begins_anew(site: OneStore) -> None:
    """As the refusal says: everything stopped, and the store emptied once more."""
    site.redis.flushall()
    site.notice()
    with pytest.raises(StoreLost):
        site.process().signing_keys.check_store()
    site.redis.flushall()
    assert site.process().ready()
    assert site.cli("practices add oak --name Oak").code == 0


def test_every_data_key_is_made_at_the_first_start_so_that_an_older_copy_lacks_none(new_site: OneStore) -> None:
    new_site.service.data_keys.refresh()
    copy = new_site.copied()
    new_site.furnish()
    new_site.restore(copy)
    assert new_site.notice() == ""
    assert new_site.service.ready()


def test_a_master_secret_that_this_process_lacks_ends_nothing_before_its_next_start(site: OneStore) -> None:
    both = {"AUTHSVC_SECRET_KEYS": f"{spellings(NEW)[2]},{site.settings['AUTHSVC_SECRET_KEYS']}"}
    assert site.cli("keys rewrap", **both).code == 0
    assert "needs master secret" in site.notice()
    site.put("p2", "ben@example.org")
    assert site.cli("keys rotate --force", **both).code == 0
    assert "needs master secret" in site.notice()
    site.put("p3", "cat@example.org")
    site.redis.set(KEYSET, "{")
    assert "data_keys_changed" in site.notice()
    with pytest.raises(Unavailable):
        site.put("p4", "dan@example.org")
