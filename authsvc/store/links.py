"""Links: instant ones and access links."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from authsvc.config.limits import Limits
from authsvc.model import Bucket, LinkInfo, RequestContext
from authsvc.store.mailing import Mailing, idempotency_args
from authsvc.store.script_args import challenge_args
from authsvc.store.scripts import ScriptRunner
from authsvc.store.storage import StorageStore
from authsvc.store.values import LinkName, Mail, NewChallenge, NewLink, PendingLinkName, StoredAnswer


@dataclass(frozen=True)
class UsedLink:
    """An instant link that was used: what its token is made of, or the earlier answer of the Idempotency-Key."""

    patient: str = ""
    workflow: str = ""
    resource: str = ""
    channel: str = ""
    earlier_answer: str | None = None


@dataclass(frozen=True)
class StartedByLink:
    """A challenge was started: the sealed address that its code goes to, and the patient it is sealed for."""

    address: str = ""
    patient: str = ""
    earlier_answer: str | None = None


@dataclass(frozen=True)
class LinkPurpose:
    """What a link is for; of an access link also the sealed address of the patient that its code would go to."""

    workflow: str
    client: str
    locale: str
    address: str
    patient: str


class LinkStore:
    """Every method may raise RateLimited and Unavailable."""

    def __init__(self, runner: ScriptRunner, mailing: Mailing, limits: Limits, storage: StorageStore) -> None:
        self._runner = runner
        self._mailing = mailing
        self._limits = limits
        self._storage = storage

    def issue(
        self,
        context: RequestContext,
        link: NewLink,
        mail: Mail | None,
        locale: str,
        buckets: Sequence[Bucket],
        stored_answer: StoredAnswer,
        *,
        check_only: bool = False,
    ) -> str | None:
        """Keep a link and queue its mail, if there is one. The earlier answer of the Idempotency-Key, if any. With
        `check_only` nothing is kept or counted unless it is refused.

        Raises InvalidInput (too many links), PatientNotFound, NoPortalAccess, StorageFull, IdempotencyConflict.
        """
        reply = self._mailing.run(
            self._runner,
            "link_issue",
            context,
            stored_answer,
            check_only=check_only,
            mails=mail is not None,
            storage_max=self._storage.limit_bytes(),
            link_id=link.id,
            link_digest=link.digest,
            patient=link.patient,
            workflow=link.workflow,
            kind=link.kind,
            resource=link.resource,
            expires=link.expires_ms,
            max_uses=link.max_uses,
            channel=link.channel,
            client=context.client_id,
            mail_id=mail.id if mail else "",
            mail_kind=mail.kind if mail else "",
            mail_body=mail.body if mail else "",
            locale=locale,
            mail_limits=self._limits.buckets("link-mails"),
            limits=buckets,
        )
        return reply.get("earlier_answer")

    def use(
        self,
        context: RequestContext,
        name: LinkName,
        buckets: Sequence[Bucket],
        stored_answer: StoredAnswer,
        pending: PendingLinkName | None = None,
        pending_client: str = "",
        pending_until_ms: int = 0,
        *,
        jti: str = "",
    ) -> UsedLink:
        """Use an instant link: for the token `jti`, or with `pending` leave it for that client and this browser.

        Raises LinkUnknown, LinkGone, IdempotencyConflict.
        """
        pending = pending or PendingLinkName()
        reply = self._runner.run(
            "link_exchange",
            context,
            durable=True,
            **_named(name),
            client=context.client_id,
            pending_id=pending.id,
            pending_browser=pending.browser,
            pending_client=pending_client,
            pending_until=pending_until_ms,
            jti=jti,
            limits=buckets,
            **idempotency_args(stored_answer),
        )
        return UsedLink(**_of(reply, "patient", "workflow", "resource", "channel", "earlier_answer"))

    def start_challenge(
        self,
        context: RequestContext,
        name: LinkName,
        challenge: NewChallenge,
        buckets: Sequence[Bucket],
        stored_answer: StoredAnswer,
        *,
        check_only: bool = False,
    ) -> StartedByLink:
        """Start a challenge from an access link. With `check_only` the buckets alone are counted, unless it is refused.

        Raises LinkUnknown, LinkGone, IdempotencyConflict.
        """
        reply = self._mailing.run(
            self._runner,
            "link_start_challenge",
            context,
            stored_answer,
            check_only=check_only,
            link_id=name.id,
            link_digest=name.digest,
            misses_consecutive=self._limits.misses_consecutive,
            misses_per_day=self._limits.misses_per_day,
            misses_by_links_per_day=self._limits.misses_by_links_per_day,
            patient_limits=self._limits.of_patient(),
            limits=buckets,
            **challenge_args(context, challenge),
        )
        return StartedByLink(**_of(reply, "address", "patient", "earlier_answer"))

    def describe(self, context: RequestContext, name: LinkName) -> LinkPurpose:
        """What a link is for; spends nothing. Raises LinkUnknown, LinkGone."""
        reply = self._runner.run("link_describe", context, **_named(name))
        return LinkPurpose(
            reply["workflow"], reply["client"], reply["locale"], reply.get("address", ""), reply.get("patient", "")
        )

    def resend(
        self,
        context: RequestContext,
        name: LinkName,
        new: LinkName,
        mail: Mail | None = None,
        buckets: Sequence[Bucket] = (),
    ) -> bool:
        """Send a new link in the place of one that has expired or is used up. Without a `mail` nothing is sent yet: the
        buckets are counted, and whether one would be."""
        reply = self._runner.run(
            "link_resend",
            context,
            durable=mail is not None,
            check_only=mail is None,
            **_named(name),
            new_id=new.id,
            new_digest=new.digest,
            channel=context.practice.delivery,
            mail_id=mail.id if mail else "",
            mail_body=mail.body if mail else "",
            address_limits=self._limits.of_address(),
            every_ms=self._limits.link_resend_every_s * 1000,
            resends_max=self._limits.link_resends_per_lineage,
            limits=buckets,
            **self._mailing.args(),
        )
        if mail is not None:
            self._mailing.wake(context.practice.id)
        return "sends" in reply

    def list(self, context: RequestContext, patient: str, buckets: Sequence[Bucket]) -> list[LinkInfo]:
        """Every link of a patient that is still remembered."""
        pages = self._runner.run_in_parts("link_list", context, patient=patient, after="", limits=buckets)
        return [
            LinkInfo(
                id=link_id,
                patient=whose,
                workflow=workflow,
                resource=resource or None,
                created_at_ms=int(issued),
                expires_at_ms=int(expires),
                uses=int(uses),
                max_uses=int(max_uses) if max_uses else None,
                state=state,
            )
            for page in pages
            for link_id, whose, workflow, resource, issued, expires, uses, max_uses, state in page.get("links", ())
        ]

    def revoke(
        self,
        context: RequestContext,
        buckets: Sequence[Bucket],
        *,
        link_id: str = "",
        patient: str = "",
        resource: str = "",
    ) -> tuple[int, bool]:
        """End one link, or all live ones of a patient or for a resource: how many, and whether the link is known."""
        args = {"link_id": link_id, "patient": patient, "resource": resource, "after": "", "limits": buckets}
        replies = list(self._runner.run_in_parts("link_revoke", context, durable=True, **args))
        return sum(int(reply["revoked"]) for reply in replies), any("known" in reply for reply in replies)


def _named(name: LinkName) -> dict[str, Any]:
    return {"link_id": name.id, "link_digest": name.digest, "kind": name.kind}


def _of(reply: Any, *names: str) -> dict[str, Any]:
    return {name: reply[name] for name in names if name in reply}
