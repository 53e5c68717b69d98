"""The one place where objects meet. gunicorn, the CLI, the worker and the tests are wired by this same function.

Nothing connects here: the store is asked when the first act needs it, so that a service without its store still starts
and says so.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from authsvc.audit import Recorder
from authsvc.config import limits as limits_file
from authsvc.config import load as config
from authsvc.config import workflows
from authsvc.config.limits import Limits
from authsvc.config.load import Settings
from authsvc.config.workflows import Catalogue
from authsvc.crypto import mint, sealing
from authsvc.crypto.hashing import HashQueue
from authsvc.errors import AuthsvcError, Fault, SettingsInvalid
from authsvc.flows.audit_log import AuditLog
from authsvc.flows.authorization_codes import AuthorizationCodes
from authsvc.flows.browser_sessions import BrowserSessions
from authsvc.flows.challenges import Challenges
from authsvc.flows.clients import Clients
from authsvc.flows.codes import Codes
from authsvc.flows.cookies import Cookies
from authsvc.flows.data_keys import DataKeys
from authsvc.flows.forward_auth import ForwardAuth
from authsvc.flows.introspection import TokenIntrospection
from authsvc.flows.key_rotation import KeyRotation
from authsvc.flows.links import Links
from authsvc.flows.logos import Logos
from authsvc.flows.mail_throttle import MailThrottle
from authsvc.flows.patients import Patients
from authsvc.flows.polling import Poller
from authsvc.flows.practices import Practices
from authsvc.flows.relying_parties import RelyingParties
from authsvc.flows.revocations import Revocations
from authsvc.flows.script_runner import ScriptRunner
from authsvc.flows.sessions import Sessions
from authsvc.flows.site_audit import SiteAudit
from authsvc.flows.token_issuer import TokenIssuer
from authsvc.flows.userinfo import Userinfo
from authsvc.metrics import Metrics
from authsvc.model import Client, Message, Practice, RequestContext
from authsvc.ports import Clock, Entropy, SystemClock, SystemEntropy
from authsvc.store.connection import Store, connect
from authsvc.store.documents import DocumentStore
from authsvc.store.keys import KeyStore
from authsvc.store.logos import LogoStore
from authsvc.store.outbox import Outbox
from authsvc.store.outbox_wakeup import OutboxWakeup

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
        limits = limits_file.load(config.named_file(given, "limits_file"))
    except SettingsInvalid as invalid:
        faults += invalid.faults
    if settings and limits:
        faults += limits_file.check(limits, settings.guess_bound)
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
        self.data_keys = DataKeys(key_store, settings.secret_keys, entropy)
        self.recorder = Recorder(
            clock, lambda data: sealing.mac(self.data_keys.key("audit"), "authsvc audit v1", data), metrics.count
        )
        self.signing_keys = KeyRotation(key_store, self.data_keys, self.recorder, clock, entropy, settings)
        self.mail_throttle = MailThrottle(store)
        self.outbox = Outbox(store, settings.delivery_record_life_s)
        self._outbox_wakeup = OutboxWakeup(self.outbox)
        self.script_runner = ScriptRunner(
            store=store,
            clock=clock,
            entropy=entropy,
            recorder=self.recorder,
            data_keys=self.data_keys,
            settings=settings,
            limits=limits,
            mail_throttle=self.mail_throttle,
            outbox_wakeup=self._outbox_wakeup,
        )
        site = SiteAudit(store, self.recorder, entropy)
        pictures = LogoStore(store)
        self.practices = Practices(DocumentStore(store, "practices"), pictures, site, clock)
        self.logos = Logos(pictures)
        self.clients = Clients(self.script_runner, DocumentStore(store, "clients"), site)
        self.relying_parties = RelyingParties(self.clients)
        self.patients = Patients(self.script_runner, self.outbox)
        issuing = TokenIssuer(self.script_runner, self.signing_keys)
        queue = HashQueue(settings.code_hash_slots, settings.code_hash_queue)
        challenges = Challenges(self.script_runner, catalogue, queue)
        self.codes = Codes(self.script_runner, challenges, issuing, catalogue, queue)
        self.links = Links(self.script_runner, challenges, issuing, catalogue)
        bearers = TokenIntrospection(self.script_runner, self.signing_keys)
        self.sessions = Sessions(self.script_runner, issuing, bearers, self.practices)
        self.cookies = Cookies(self.data_keys, entropy)
        self.browser_sessions = BrowserSessions(self.script_runner, self.codes, self.sessions, issuing)
        self.authorization_codes = AuthorizationCodes(
            self.script_runner, self.signing_keys, self.links, self.practices, issuing, catalogue
        )
        self.userinfo = Userinfo(self.script_runner, bearers, self.practices)
        self.forward_auth = ForwardAuth(bearers, self.practices, settings.default_audience)
        self.revocations = Revocations(self.script_runner, self.signing_keys)
        self.audit_log = AuditLog(store, self.data_keys, self.practices, site)
        self._pollers = (
            Poller(settings.ring_poll_s, keys=self.signing_keys.refresh),
            Poller(FLAGS_EVERY_S, mail_throttle=self.mail_throttle.refresh),
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
    ) -> RequestContext:
        """One call from outside, with an act id of its own."""
        return RequestContext(
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
        body = json.loads(sealing.unseal(self.data_keys.key("outbox"), "mail", fields["body"], context))
        until_ms = int(fields["until"])
        return Message(
            id=fields["id"],
            practice=practice,
            kind=fields["kind"],
            channel=fields["channel"],
            to=self.script_runner.unseal(practice.id, "address", fields["to"], fields["patient"]),
            locale=fields["locale"],
            queued_at_ms=int(fields["queued"]),
            until_ms=until_ms,
            expires_at_ms=int(body.get("expires_at_ms", until_ms)),
            code=body.get("code", ""),
            url=body.get("url", ""),
            workflow=body.get("workflow", ""),
        )

    def start(self) -> None:
        """Have keys if the store is there, and start to poll. After a fork: threads don't cross one."""
        for first in (self.signing_keys.ensure, self.mail_throttle.refresh):
            try:
                first()
            except AuthsvcError:
                continue  # the pollers go on trying; until then /readyz says no
        for poller in self._pollers:
            poller.start()
        self._outbox_wakeup.start()

    def stop(self) -> None:
        for poller in self._pollers:
            poller.stop()
        self._outbox_wakeup.stop()

    def ready(self) -> bool:
        """Whether the store answers and there are keys to sign with."""
        try:
            self.signing_keys.signer()
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
        limits or limits_file.load(settings.limits_file or None),
        store=store,
        clock=clock or SystemClock(),
        entropy=entropy or SystemEntropy(),
        metrics=metrics or Metrics(),
    )
