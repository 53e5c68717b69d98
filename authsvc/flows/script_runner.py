"""How a use case talks to its script: what every act carries along, and what refusals mean.

One act is one script in one slot. This adds the instant, the act id, the prepared audit entries and the flags that
come from other slots; afterwards it turns the script's words into the errors of the house and tells log and doorbell.
"""

from __future__ import annotations

import hmac
import json
import math
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from authsvc.audit import Event, Recorder
from authsvc.config.limits import Limits
from authsvc.config.load import Settings
from authsvc.crypto import addresses, mint, sealing
from authsvc.errors import (
    ChallengeGone,
    Fault,
    IdempotencyConflict,
    InvalidAuthorizationCode,
    InvalidCode,
    InvalidInput,
    InvalidRefreshToken,
    InvalidScope,
    LinkGone,
    LinkUnknown,
    NoPortalAccess,
    PatientNotFound,
    RateLimited,
    SignInNeeded,
)
from authsvc.flows.data_keys import DataKeys
from authsvc.flows.mail_throttle import MailThrottle
from authsvc.model import LimitState, RequestContext
from authsvc.ports import Clock, Entropy
from authsvc.store.connection import Store, practice_prefix, site_prefix
from authsvc.store.outbox_wakeup import OutboxWakeup

Bucket = tuple[str, str, int, int, bool]
"""policy, id, quota, window_s, shown in the RateLimit fields"""


class ScriptRunner:
    """What all use cases of a practice share."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        entropy: Entropy,
        recorder: Recorder,
        data_keys: DataKeys,
        settings: Settings,
        limits: Limits,
        mail_throttle: MailThrottle,
        outbox_wakeup: OutboxWakeup,
    ) -> None:
        self.store = store
        self.clock = clock
        self.entropy = entropy
        self.recorder = recorder
        self.data_keys = data_keys
        self.settings = settings
        self.limits = limits
        self._mail_throttle = mail_throttle
        self._outbox_wakeup = outbox_wakeup

    def run(
        self,
        context: RequestContext,
        script: str,
        outcomes: Mapping[str, Event],
        *,
        durable: bool = False,
        mails: bool = False,
        **args: Any,
    ) -> dict[str, Any]:
        """Run one script on the practice of `context`. Raises the error the script's refusal means, or Unavailable.

        `mails`: the script may queue a mail, so the worker is told.
        """
        reply = self.store.run(
            script,
            practice_prefix(context.practice.id),
            {
                "now": self.clock.now_ms(),
                "act": f"{context.id}.{script}",
                "audit": self.recorder.entries(context, outcomes),
                "brake": self._mail_throttle.brake,
                "mail_rate": self.rate("mails-practice"),
                "delivery_ttl_ms": self.settings.delivery_record_life_s * 1000,
                "tombstone_ms": self.settings.tombstone_life_s * 1000,
                **args,
            },
            durable=durable,
        )
        self.recorder.happened(context, reply.get("did", ()))
        context.limits.extend(limit_states(reply))
        if "err" in reply:
            raise _refusal(reply)
        if mails:
            self._outbox_wakeup.ring(context.practice.id)
        return reply

    # --- limits -----------------------------------------------------------------------------------------------------

    def bucket(self, policy: str, of: str, *, shown: bool = True) -> Bucket:
        """One bucket of a policy: the act counts against it and is refused when it is spent."""
        known = self.limits.policies[policy]
        return (policy, of, known.quota, known.window_s, shown)

    def rate(self, policy: str) -> tuple[int, int]:
        """(quota, window_s), for a bucket whose id only the script knows."""
        known = self.limits.policies[policy]
        return (known.quota, known.window_s)

    def callers(self, context: RequestContext, network_policy: str | None = None) -> list[Bucket]:
        """The buckets of who calls: the client, and the patient's networks where the caller told the address.

        A public client has none of its own, since anybody can call in its name: its callers were counted one by one.
        """
        buckets = (
            [self.bucket("client-calls", context.client.id)] if context.client and not context.client.public else []
        )
        if network_policy is not None:
            buckets += [self.bucket(network_policy, network) for network in self.networks(context)]
        return buckets

    def networks(self, context: RequestContext) -> list[str]:
        """The patient's networks as keyed hashes; none when the caller didn't say."""
        if context.client_ip is None:
            return []
        key = self.data_keys.key("address-index")
        return [addresses.network_index(key, context.practice.id, net) for net in addresses.networks(context.client_ip)]

    def charge_failure(
        self, buckets: list[Bucket], outcomes: Mapping[str, Event], *, actor: str, **fields: str
    ) -> None:
        """Count a credential that proved nothing, before any practice is known. Raises RateLimited, Unavailable."""
        audit = {name: self.recorder.entry(event, actor=actor, **fields) for name, event in outcomes.items()}
        args = {"now": self.clock.now_ms(), "limits": buckets, "audit": audit}
        reply = self.store.run("charge", site_prefix("clients"), args)
        for event, *_ in reply.get("did", ()):
            self.recorder.publish(event, actor=actor, **fields)
        if "err" in reply:
            raise rate_limited(reply)

    # --- addresses --------------------------------------------------------------------------------------------------

    def mailbox(self, context: RequestContext, email: str) -> str:
        """The keyed hash of an address as somebody wrote it. Raises InvalidInput at /email."""
        try:
            canonical = addresses.canonical(email)
        except ValueError as error:
            raise InvalidInput(Fault("/email", str(error))) from None
        return addresses.index(self.data_keys.key("address-index"), context.practice.id, canonical)

    def seal(self, context: RequestContext, what: str, text: str, patient_id: str = "") -> str:
        """Seal something personal of a patient; `what` is `address` or `label`.

        It opens for this patient only: whoever can write to Redis can't put their own address in another's place.
        """
        owner = f"{context.practice.id}:{patient_id}"
        return sealing.seal(self.data_keys.key("addresses"), what, text.encode(), owner, self.entropy)

    def unseal(self, practice_id: str, what: str, sealed: str, patient_id: str) -> str:
        return sealing.unseal(self.data_keys.key("addresses"), what, sealed, f"{practice_id}:{patient_id}").decode()

    def email_hint(self, practice_id: str, sealed: str, patient_id: str) -> str:
        """A sealed address, masked as its owner may see it on a page."""
        return addresses.hint(addresses.canonical(self.unseal(practice_id, "address", sealed, patient_id)))

    def mail_body(self, practice_id: str, message_id: str, **fields: Any) -> str:
        """Seal what a mail shall say."""
        plain = json.dumps(fields, separators=(",", ":")).encode()
        return sealing.seal(self.data_keys.key("outbox"), "mail", plain, f"{practice_id}:{message_id}", self.entropy)

    # --- Idempotency-Key --------------------------------------------------------------------------------------------

    def idempotent(self, context: RequestContext, answer: Mapping[str, Any]) -> dict[str, Any] | None:
        """What the script keeps so that the same key and body get `answer` again; None without a key."""
        if context.idempotency_key is None:
            return None
        key = self._idempotency_key(context)
        return {
            "k": sealing.mac(key, "id", b""),
            "f": sealing.mac(key, "body", context.fingerprint),
            "r": sealing.seal(key, "answer", json.dumps(answer).encode(), context.practice.id, self.entropy),
            "ttl_ms": self.settings.idempotency_life_s * 1000,
        }

    def answered_before(self, context: RequestContext, reply: Mapping[str, Any]) -> dict[str, Any] | None:
        """The answer that this Idempotency-Key already got, if it did."""
        if "again" not in reply:
            return None
        plain = sealing.unseal(self._idempotency_key(context), "answer", reply["again"], context.practice.id)
        return dict(json.loads(plain))

    def _idempotency_key(self, context: RequestContext) -> bytes:
        """From the caller's key, which is never stored, under a key of ours: a weak one can't be searched for."""
        client = context.client.id if context.client else context.actor
        said = sealing.frame(context.practice.id, client, context.idempotency_key or "")
        return hmac.digest(self.data_keys.key("idempotency"), said, sha256)

    def new_id(self) -> str:
        return mint.short_id(self.entropy)


def limit_states(reply: Mapping[str, Any]) -> tuple[LimitState, ...]:
    """What a script says of the limits that may be shown."""
    return tuple(LimitState(*state) for state in reply.get("limits", ()))


def rate_limited(reply: Mapping[str, Any]) -> RateLimited:
    """A limiter's refusal, with everything that a 429 tells."""
    return RateLimited(max(1, math.ceil(reply["wait_ms"] / 1000)), tuple(reply["violated"]), limit_states(reply))


def _refusal(reply: Mapping[str, Any]) -> Exception:
    """The error that a script's `err` means."""
    match reply["err"]:
        case "rate-limited":
            return rate_limited(reply)
        case "idempotency-conflict":
            return IdempotencyConflict()
        case "patient-not-found":
            return PatientNotFound()
        case "no-portal-access":
            return NoPortalAccess()
        case "challenge-gone":
            return ChallengeGone(reply["reason"])
        case "invalid-code":
            return InvalidCode(int(reply["left"]), reply["reason"])
        case "not-choosable":
            return InvalidInput(Fault("/patient", "is not one of the patients to choose from"))
        case "link-unknown":
            return LinkUnknown()
        case "link-gone":
            return LinkGone(reply["reason"])
        case "invalid-refresh-token":
            return InvalidRefreshToken(reply["reason"])
        case "invalid-authorization-code":
            return InvalidAuthorizationCode(reply["reason"])
        case "invalid-scope":
            return InvalidScope()
        case "sign-in-needed":
            return SignInNeeded(reply["reason"])
        case unknown:
            raise ValueError(f"a script refused with a word nobody knows: {unknown}")
