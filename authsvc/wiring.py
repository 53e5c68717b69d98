"""The one place where objects meet. gunicorn, the CLI, the worker and the tests are wired by this same function.

Nothing connects here: the store is asked when the first act needs it, so that a service without its store still starts
and says so.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from authsvc import config, ratelimit, workflows
from authsvc.audit import Recorder
from authsvc.config import Settings
from authsvc.crypto import mint, sealing
from authsvc.crypto.hashing import HashQueue
from authsvc.errors import AuthsvcError, Fault, SettingsInvalid
from authsvc.flows.acts import Acts
from authsvc.flows.bearers import Bearers
from authsvc.flows.challenges import Challenges
from authsvc.flows.clients import Clients
from authsvc.flows.codes import Codes
from authsvc.flows.cookies import Cookies
from authsvc.flows.flags import Flags
from authsvc.flows.follow import Follower
from authsvc.flows.gateway import Gateway
from authsvc.flows.grants import Grants
from authsvc.flows.keys import Keys
from authsvc.flows.links import Links
from authsvc.flows.logos import Logos
from authsvc.flows.patients import Patients
from authsvc.flows.practices import Practices
from authsvc.flows.revocations import Revocations
from authsvc.flows.sessions import Sessions
from authsvc.flows.signins import SignIns
from authsvc.flows.site import Site
from authsvc.flows.targets import Targets
from authsvc.flows.tokens import Issuing
from authsvc.flows.trails import Trails
from authsvc.flows.userinfo import Userinfo
from authsvc.flows.vault import Vault
from authsvc.metrics import Metrics
from authsvc.model import Act, Client, Message, Practice
from authsvc.ratelimit import Limits
from authsvc.seams import Clock, Entropy, SystemClock, SystemEntropy
from authsvc.store.bell import Bell
from authsvc.store.connection import Store, connect
from authsvc.store.keys import KeyStore
from authsvc.store.outbox import Outbox
from authsvc.store.pictures import Pictures
from authsvc.store.registry import Registry
from authsvc.workflows import Catalogue

FLAGS_EVERY_S = 1.0  # how old the mail brake may be


def load(environ: Mapping[str, str] | None = None) -> tuple[Settings, Catalogue, Limits]:
    """Settings, catalogue and limits of this environment. Raises SettingsInvalid with the faults of all three."""
    faults: list[Fault] = []
    settings, catalogue, limits = None, None, None
    given = os.environ if environ is None else environ
    try:
        settings = config.load(given)
    except SettingsInvalid as invalid:
        faults += invalid.faults
    try:
        catalogue = workflows.load(config.named_file(given, "workflows_file"))
    except SettingsInvalid as invalid:
        faults += invalid.faults
    try:
        limits = ratelimit.load(config.named_file(given, "limits_file"))
    except SettingsInvalid as invalid:
        faults += invalid.faults
    if settings and limits:
        faults += ratelimit.check(limits, settings.guess_bound)
    if faults or settings is None or catalogue is None or limits is None:
        raise SettingsInvalid(*faults)
    return settings, catalogue, limits


class Service:
    """Everything that is wired, by name. Threads run between `start` and `stop` only."""

    def __init__(
        self,
        settings: Settings,
        catalogue: Catalogue,
        limits: Limits,
        *,
        store: Store,
        clock: Clock,
        entropy: Entropy,
        metrics: Metrics,
    ) -> None:
        self.settings = settings
        self.catalogue = catalogue
        self.limits = limits
        self.store = store
        self.clock = clock
        self.entropy = entropy
        self.metrics = metrics

        key_store = KeyStore(store)
        self.vault = Vault(key_store, settings.secret_keys, entropy)
        self.recorder = Recorder(
            clock, lambda data: sealing.mac(self.vault.key("audit"), "authsvc audit v1", data), metrics.count
        )
        self.keys = Keys(key_store, self.vault, self.recorder, clock, entropy, settings)
        self.flags = Flags(store)
        self.outbox = Outbox(store, settings.delivery_record_life_s)
        self._bell = Bell(self.outbox)
        self.acts = Acts(
            store=store,
            clock=clock,
            entropy=entropy,
            recorder=self.recorder,
            vault=self.vault,
            settings=settings,
            limits=limits,
            flags=self.flags,
            bell=self._bell,
        )
        site = Site(store, self.recorder, entropy)
        pictures = Pictures(store)
        self.practices = Practices(Registry(store, "practices"), pictures, site, clock)
        self.logos = Logos(pictures)
        self.clients = Clients(self.acts, Registry(store, "clients"), site)
        self.targets = Targets(self.clients)
        self.patients = Patients(self.acts, self.outbox)
        issuing = Issuing(self.acts, self.keys)
        queue = HashQueue(settings.code_hash_slots, settings.code_hash_queue)
        challenges = Challenges(self.acts, catalogue, queue)
        self.codes = Codes(self.acts, challenges, issuing, catalogue, queue)
        self.links = Links(self.acts, challenges, issuing, catalogue)
        bearers = Bearers(self.acts, self.keys)
        self.sessions = Sessions(self.acts, issuing, bearers, self.practices)
        self.cookies = Cookies(self.vault, entropy)
        self.signins = SignIns(self.acts, self.codes, self.sessions, issuing)
        self.grants = Grants(self.acts, self.keys, self.links, self.practices, issuing, catalogue)
        self.userinfo = Userinfo(self.acts, bearers, self.practices)
        self.gateway = Gateway(bearers, self.practices, settings.default_audience)
        self.revocations = Revocations(self.acts, self.keys)
        self.trails = Trails(store, self.vault, self.practices, site)
        self._followers = (
            Follower(settings.ring_poll_s, keys=self.keys.refresh),
            Follower(FLAGS_EVERY_S, flags=self.flags.refresh),
        )

    def act(
        self,
        practice: Practice,
        client: Client | None = None,
        *,
        client_ip: str | None = None,
        idempotency_key: str | None = None,
        fingerprint: bytes = b"",
        request_id: str = "",
        reason: str = "",
        actor: str | None = None,
    ) -> Act:
        """One call from outside, with an act id of its own."""
        return Act(
            id=mint.short_id(self.entropy),
            actor=actor or (f"client:{client.id}" if client else "page"),
            practice=practice,
            client=client,
            client_ip=client_ip,
            request_id=request_id,
            reason=reason,
            idempotency_key=idempotency_key,
            fingerprint=fingerprint,
        )

    def open_entry(self, practice: Practice, fields: Mapping[str, str]) -> Message:
        """Open one sealed outbox entry, in the worker's memory. Raises ValueError for one that doesn't open."""
        context = f"{practice.id}:{fields['id']}"
        body = json.loads(sealing.unseal(self.vault.key("outbox"), "mail", fields["body"], context))
        until_ms = int(fields["until"])
        return Message(
            id=fields["id"],
            practice=practice,
            kind=fields["kind"],
            channel=fields["channel"],
            to=self.acts.unseal(practice.id, "address", fields["to"], fields["patient"]),
            locale=fields["locale"],
            queued_at_ms=int(fields["queued"]),
            until_ms=until_ms,
            expires_at_ms=int(body.get("expires_at_ms", until_ms)),
            code=body.get("code", ""),
            url=body.get("url", ""),
            workflow=body.get("workflow", ""),
        )

    def start(self) -> None:
        """Have keys if the store is there, and start to follow. After a fork: threads don't cross one."""
        for first in (self.keys.ensure, self.flags.refresh):
            try:
                first()
            except AuthsvcError:
                continue  # the followers go on trying; until then /readyz says no
        for follower in self._followers:
            follower.start()
        self._bell.start()

    def stop(self) -> None:
        for follower in self._followers:
            follower.stop()
        self._bell.stop()

    def ready(self) -> bool:
        """Whether the store answers and there are keys to sign with."""
        try:
            self.keys.signer()
            self.store.call(lambda client: client.ping())
        except AuthsvcError:
            return False
        return True


def bootstrap(
    settings: Settings,
    catalogue: Catalogue | None = None,
    limits: Limits | None = None,
    *,
    redis_client: Any = None,
    clock: Clock | None = None,
    entropy: Entropy | None = None,
    metrics: Metrics | None = None,
) -> Service:
    """Wire a service for these settings; tests hand in a client, a clock and entropy of their own."""
    client = connect(settings) if redis_client is None else redis_client
    store = Store(
        client,
        deadline_s=settings.redis_deadline_s,
        waiting_limit=max(1, settings.threads // 2),
        replicas=settings.redis_replicas,
        timeout_s=settings.redis_timeout_s,
    )
    return Service(
        settings,
        catalogue or workflows.load(settings.workflows_file or None),
        limits or ratelimit.load(settings.limits_file or None),
        store=store,
        clock=clock or SystemClock(),
        entropy=entropy or SystemEntropy(),
        metrics=metrics or Metrics(),
    )
