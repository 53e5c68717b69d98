"""The one place where objects meet. gunicorn, the CLI, the worker and the tests are wired by this same function.

Nothing connects here: the store is asked when the first act needs it, so that a service without its store still starts
and says so.
"""

from __future__ import annotations

from typing import Any

from authsvc.audit import Recorder
from authsvc.config import limits as limits_file
from authsvc.config import workflows
from authsvc.config.limits import Limits
from authsvc.config.settings import Settings
from authsvc.config.workflows import Catalogue
from authsvc.crypto import mint
from authsvc.crypto.hashing import HashQueue
from authsvc.errors import AuthsvcError
from authsvc.flows.audit_log import AuditLog, entry_mac
from authsvc.flows.authorization_codes import AuthorizationCodes
from authsvc.flows.browser_sessions import BrowserSessions
from authsvc.flows.challenges import Challenges
from authsvc.flows.clients import Clients
from authsvc.flows.codes import Codes
from authsvc.flows.cookies import Cookies
from authsvc.flows.data_keys import DataKeys
from authsvc.flows.dependencies import Dependencies
from authsvc.flows.dependents import Dependents
from authsvc.flows.dpop import Dpop
from authsvc.flows.email_changes import EmailChanges
from authsvc.flows.forward_auth import ForwardAuth
from authsvc.flows.idempotency import IdempotentAnswers
from authsvc.flows.introspection import TokenIntrospection
from authsvc.flows.key_rotation import KeyRotation
from authsvc.flows.links import Links
from authsvc.flows.logos import Logos
from authsvc.flows.mail_messages import MailMessages
from authsvc.flows.patients import Patients
from authsvc.flows.person_switch import PersonSwitch
from authsvc.flows.personal_data import PersonalData
from authsvc.flows.polling import Poller
from authsvc.flows.practice_storage import PracticeStorage
from authsvc.flows.practices import Practices
from authsvc.flows.pushed_requests import PushedRequests
from authsvc.flows.rate_limits import RateLimits
from authsvc.flows.relying_parties import RelyingParties
from authsvc.flows.revocations import Revocations
from authsvc.flows.session_cleanup import SessionCleanup
from authsvc.flows.session_scopes import SessionScopes
from authsvc.flows.sessions import Sessions
from authsvc.flows.site_audit import SiteAudit
from authsvc.flows.token_issuer import TokenIssuer
from authsvc.flows.userinfo import Userinfo
from authsvc.flows.webhooks import Webhooks
from authsvc.metrics import Metrics
from authsvc.model import Client, Practice, RequestContext
from authsvc.ports import Clock, Entropy, SystemClock, SystemEntropy
from authsvc.store.authorization_codes import AuthorizationCodeStore
from authsvc.store.clients import ClientStore
from authsvc.store.codes import CodeStore
from authsvc.store.connection import Connection
from authsvc.store.dependents import DependentStore
from authsvc.store.documents import DocumentStore
from authsvc.store.dpop_proofs import DpopProofStore
from authsvc.store.email_changes import EmailChangeStore
from authsvc.store.keys import KeyStore
from authsvc.store.links import LinkStore
from authsvc.store.logos import LogoStore
from authsvc.store.mail_throttle import MailThrottle
from authsvc.store.mailing import Mailing
from authsvc.store.outbox import Outbox
from authsvc.store.outbox_wakeup import OutboxWakeup
from authsvc.store.patients import PatientStore
from authsvc.store.pushed_requests import PushedRequestStore
from authsvc.store.redis_client import connection
from authsvc.store.scripts import ScriptRunner
from authsvc.store.sessions import SessionStore
from authsvc.store.storage import StorageStore
from authsvc.store.watch import StoreWatch

THROTTLE_POLL_S = 1.0  # how old the state of the mail throttle may be
UNCONFIRMED_POLL_S = 0.1  # other processes know by then, once Redis is back, which calls were answered 503


class Service:
    """Everything that is wired, by name. Threads run between `start` and `stop` only."""

    def __init__(
        self,
        settings: Settings,
        catalogue: Catalogue,
        limits: Limits,
        *,
        store: Connection,
        clock: Clock,
        entropy: Entropy,
        metrics: Metrics,
        prepared_challenges: int = 0,
    ) -> None:
        self.settings, self.catalogue, self.limits = settings, catalogue, limits
        self.store, self.clock, self.entropy, self.metrics = store, clock, entropy, metrics

        recorder = Recorder(lambda stream, text, event: entry_mac(self.data_keys, stream, text, event), metrics.count)
        runner = ScriptRunner(store, clock, recorder, lambda: self.data_keys.refresh(), metrics.store_time)
        self.unconfirmed = runner.unconfirmed
        key_store, storage = KeyStore(store, runner), StorageStore(store, runner, limits, clock)
        self.data_keys = DataKeys(key_store, settings.secret_keys, entropy)
        self.signing_keys = KeyRotation(key_store, self.data_keys, clock, entropy, settings)
        self.mail_throttle = MailThrottle(store)
        self.outbox = Outbox(store, clock, settings.delivery_record_life_s)
        self._outbox_wakeup = OutboxWakeup(self.outbox)
        personal_data = PersonalData(self.data_keys, entropy)
        self.deps = deps = Dependencies(
            settings=settings,
            limits=limits,
            catalogue=catalogue,
            clock=clock,
            entropy=entropy,
            data_keys=self.data_keys,
            personal_data=personal_data,
            messages=MailMessages(self.data_keys, personal_data, entropy, settings, catalogue),
            rate_limits=RateLimits(limits, self.data_keys),
            answers=IdempotentAnswers(self.data_keys, entropy, settings.idempotency_life_s),
            hash_queue=HashQueue(settings.code_hash_slots, settings.code_hash_queue),
        )
        mailing = Mailing(settings, limits, self.mail_throttle, self._outbox_wakeup)
        client_store, logo_store = ClientStore(runner), LogoStore(store)
        code_store = CodeStore(runner, mailing, settings, limits)
        patient_store = PatientStore(runner, mailing, limits, storage)
        session_store = SessionStore(runner, store, settings, limits)
        site, scopes = SiteAudit(runner, entropy), SessionScopes(session_store, catalogue)
        self.webhooks = Webhooks(self.data_keys, entropy, clock)
        cleanup, practices = SessionCleanup(deps, session_store), DocumentStore(store, "practices", runner.check_keys)
        self.practices = Practices(practices, logo_store, site, clock, self.webhooks, cleanup)
        self.practice_storage = PracticeStorage(storage, self.practices)
        self.logos = Logos(logo_store)
        self.clients = Clients(deps, client_store, DocumentStore(store, "clients", runner.check_keys), site, cleanup)
        self.relying_parties = RelyingParties(self.clients)
        self.patients = Patients(deps, patient_store, self.outbox)
        self.dependents = Dependents(deps, DependentStore(runner, mailing, storage))
        issuer = TokenIssuer(deps, self.signing_keys, scopes, self.clients)
        challenges = Challenges(deps, code_store, prepared_challenges)
        self.codes = Codes(deps, code_store, challenges, issuer, scopes)
        self.email_changes = EmailChanges(deps, EmailChangeStore(runner, mailing, limits), patient_store, challenges)
        self.links = Links(deps, LinkStore(runner, mailing, limits, storage), challenges, issuer)
        self.introspection = introspection = TokenIntrospection(deps, session_store, self.signing_keys)
        self.dpop = dpop = Dpop(deps, DpopProofStore(runner))
        self.sessions = Sessions(deps, session_store, client_store, issuer, introspection, self.practices, dpop)
        self.person_switch = PersonSwitch(deps, session_store, issuer, scopes)
        self.cookies = Cookies(self.data_keys, entropy)
        self.browser_sessions = BrowserSessions(deps, session_store, patient_store, self.codes, self.sessions, issuer)
        self.authorization_codes = AuthorizationCodes(
            deps, AuthorizationCodeStore(runner, settings), self.signing_keys, self.links, self.practices, issuer, dpop
        )
        self.pushed_requests = PushedRequests(deps, PushedRequestStore(runner))
        self.userinfo = Userinfo(deps, patient_store, introspection, self.practices, self.clients, dpop)
        self.forward_auth = ForwardAuth(introspection, self.practices, dpop, settings.default_audience)
        self.revocations = Revocations(deps, session_store, self.signing_keys, self.practices)
        self.audit_log = AuditLog(store, runner, self.data_keys, self.practices, site, deps.rate_limits)
        self.store_watch = StoreWatch(store, clock, settings.production, metrics.clock_offset)
        self._pollers = (
            Poller(
                settings.ring_poll_s,
                keys=self.signing_keys.refresh,
                data_keys=self.data_keys.refresh,
                store=self.store_watch.refresh,
            ),
            Poller(THROTTLE_POLL_S, mail_throttle=self.mail_throttle.refresh),
            Poller(UNCONFIRMED_POLL_S, unconfirmed=self.unconfirmed.write),
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
        by: str = "",
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
            by=by,
            idempotency_key=idempotency_key,
            fingerprint=fingerprint,
        )

    def start(self) -> None:
        """Have keys if the store is there, and start to poll. After a fork: threads don't cross one."""
        for first in (self.signing_keys.ensure, self.store_watch.refresh, self.mail_throttle.refresh):
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
            self.signing_keys.refresh()
            self.data_keys.refresh()
            self.store.check_writable()
        except AuthsvcError:
            return False
        return not self.store.refusal


def bootstrap(
    settings: Settings,
    catalogue: Catalogue | None = None,
    limits: Limits | None = None,
    *,
    redis_client: Any = None,
    clock: Clock | None = None,
    entropy: Entropy | None = None,
    metrics: Metrics | None = None,
    prepared_challenges: int = 0,
) -> Service:
    """Wire a service for these settings; tests hand in a client, a clock and entropy of their own. So many
    `prepared_challenges` of a practice may wait, in a process that answers its starts."""
    return Service(
        settings,
        catalogue or workflows.load(settings.workflows_file or None),
        limits or limits_file.load(settings.limits_file or None),
        store=connection(settings, redis_client),
        clock=clock or SystemClock(),
        entropy=entropy or SystemEntropy(),
        metrics=metrics or Metrics(),
        prepared_challenges=prepared_challenges,
    )
