"""Emailed links: issue, exchange, send a new one, list, revoke.

A link is a capability: its 256-bit token is shown once and found by digest; its public id is a one-way image of the
token. An instant link leads to one token for one resource. An access link leads to a code at the address on file.
"""

from __future__ import annotations

import builtins
import dataclasses
from collections.abc import Mapping
from functools import partial
from typing import Any

from authsvc.config.workflows import Workflow
from authsvc.crypto import mint
from authsvc.errors import Fault, InvalidInput, LinkGone, NotFound
from authsvc.flows.challenges import Challenges, check_webhook
from authsvc.flows.dependencies import Dependencies
from authsvc.flows.token_issuer import TokenIssuer
from authsvc.model import Bucket, IssuedLink, LinkInfo, LinkView, RequestContext, Started, TokenGrant
from authsvc.store.authorization_codes import RedeemedLink
from authsvc.store.links import LinkStore
from authsvc.store.values import NO_ANSWER, LinkName, Mail, NewLink, PendingLinkName
from authsvc.text import ACCESS_LINK_TOKEN, LINK_TOKEN


class Links:
    """The use cases of emailed links."""

    def __init__(self, deps: Dependencies, store: LinkStore, challenges: Challenges, token_issuer: TokenIssuer) -> None:
        self._deps = deps
        self._store = store
        self._challenges = challenges
        self._token_issuer = token_issuer

    def issue(
        self,
        context: RequestContext,
        *,
        patient: str,
        workflow: str,
        resource: str | None = None,
        expires_in: int | None = None,
        max_uses: int | None = None,
        delivery: str = "caller",
        locale: str | None = None,
    ) -> IssuedLink:
        """A new link of a workflow. `expires_in` in seconds, at most the workflow's own life.

        Raises InvalidInput (all faults), RateLimited, StorageFull, IdempotencyConflict; PatientNotFound and
        NoPortalAccess where the link needs an address on file.
        """
        known = self._check(workflow, resource, expires_in)
        life_s = expires_in if expires_in is not None else known.link_life_s or 0
        uses = max_uses if max_uses is not None else known.max_uses
        access = known.security == "access"
        token = mint.token(self._deps.entropy, ACCESS_LINK_TOKEN if access else LINK_TOKEN)
        expires_ms = self._deps.clock.now_ms() + life_s * 1000
        answer = IssuedLink(
            mint.link_id(token), self._deps.messages.link_url(context.practice, token), expires_ms, uses
        )
        if delivery == "webhook":
            check_webhook(context.practice)
        link = NewLink(
            id=answer.id,
            digest=mint.digest(token),
            patient=patient,
            workflow=workflow,
            kind=_kind(access),
            resource=resource or "",
            expires_ms=expires_ms,
            max_uses=uses,
            channel=delivery,
        )
        mail, earlier = None if delivery == "caller" else Mail("-", "access-link" if access else "link", ""), None
        answers, buckets = self._deps.answers, self._buckets(context)
        issue = partial(self._store.issue, context, link, locale=locale or "", buckets=buckets)
        if mail or context.idempotency_key is not None:  # before anything is sealed
            earlier = issue(mail=mail, stored_answer=answers.name(context), check_only=True)
        if earlier is None:
            if mail:
                fields = {"url": answer.url, "workflow": workflow, "expires_at_ms": expires_ms}
                mail = self._mail(context, mail.kind, fields)
                answer = dataclasses.replace(answer, delivery=mail.id)
            earlier = issue(mail=mail, stored_answer=answers.keep(context, vars(answer)))
        return answer if earlier is None else IssuedLink(**answers.open(context, earlier))

    def invite(self, context: RequestContext, patient: str, locale: str | None = None) -> IssuedLink:
        """For an operator: mail the patient an access link. Raises as `issue`, NoAddress among it."""
        workflow, delivery = self._deps.messages.access_workflow, context.practice.delivery
        return self.issue(context, patient=patient, workflow=workflow, delivery=delivery, locale=locale)

    def exchange(self, context: RequestContext, token: str) -> TokenGrant | Started:
        """Exchange a link's token: a token for an instant link, a started challenge for an access link.

        Raises LinkUnknown, LinkGone, RateLimited, IdempotencyConflict.
        """
        if token.startswith(ACCESS_LINK_TOKEN):
            return self._start_challenge(context, token)
        client = context.client
        if client is None:
            raise ValueError("a link is exchanged by a client; at the hosted page it is redeemed")
        self._token_issuer.check_signer()
        jti = self._deps.new_id()
        buckets = self._buckets(context, "exchange-network")
        used = self._store.use(context, name_of(token), buckets, NO_ANSWER, jti=jti)
        workflow = self._deps.catalogue.get(used.workflow)
        if workflow is None:
            # The site has taken the workflow out of its catalogue: nothing is granted by name alone.
            raise LinkGone("revoked")
        link = RedeemedLink(
            id=mint.link_id(token),
            patient=used.patient,
            workflow=used.workflow,
            resource=used.resource,
            channel=used.channel,
            redeemed_ms=self._deps.clock.now_ms(),
            jti=jti,
        )
        return self._token_issuer.for_link(client, context.practice.id, link, workflow)

    def _start_challenge(self, context: RequestContext, token: str) -> Started:
        """An Idempotency-Key brings the answer again, but for the hint at the address."""
        limits, answers, channel = self._deps.rate_limits, self._deps.answers, context.practice.delivery
        buckets = self._buckets(context, "exchange-network")
        buckets += limits.of_networks("issue-network", limits.networks(context))
        start = partial(self._store.start_challenge, context, name_of(token))
        prepared = self._challenges.prepared(context, channel)
        if prepared is None:
            outline = self._challenges.outline(context, channel)
            started = start(outline, buckets, answers.name(context), check_only=True)
            if started.earlier_answer is not None:
                return Started(**answers.open(context, started.earlier_answer))
            prepared, buckets = self._challenges.new(context, channel), []  # they have been counted
        answer = Started(prepared.challenge, self._deps.settings.code_life_s, self._deps.settings.resend_after_s)
        with self._challenges.started_with(context, prepared):
            started = start(prepared.new, buckets, answers.keep(context, vars(answer)))
        if started.earlier_answer is not None:
            return Started(**answers.open(context, started.earlier_answer))
        if prepared.new.channel == "webhook":
            return answer  # which address or phone it reaches is the provider's to know
        hint = self._deps.personal_data.email_hint(context.practice.id, started.address, started.patient)
        return dataclasses.replace(answer, email_hint=hint)

    def redeem(
        self,
        context: RequestContext,
        token: str,
        pending: PendingLinkName,
        client: str,
        until_ms: int,
        answer: Mapping[str, str],
    ) -> dict[str, str]:
        """Use an instant link at its hosted page and leave it for its client. Gives `answer`, or what the call's
        Idempotency-Key was answered before. Raises as `exchange`; for an access link LinkUnknown."""
        used = self._store.use(
            context,
            dataclasses.replace(name_of(token), kind=_kind(False)),
            self._buckets(context, "exchange-network"),
            self._deps.answers.keep(context, answer),
            pending,
            client,
            until_ms,
        )
        if used.earlier_answer is not None:
            return self._deps.answers.open(context, used.earlier_answer)
        return dict(answer)

    def describe(self, context: RequestContext, token: str) -> LinkView:
        """What a link leads to; spends nothing, however often it is asked. Raises LinkUnknown, LinkGone."""
        found = self._store.describe(context, name_of(token))
        hint = ""
        if found.address:
            hint = self._deps.personal_data.email_hint(context.practice.id, found.address, found.patient)
        return LinkView(found.workflow, token.startswith(ACCESS_LINK_TOKEN), found.locale, found.client, hint)

    def resend(self, context: RequestContext, token: str) -> None:
        """Send a new link in the place of an expired or used-up one; says nothing about it. Raises RateLimited."""
        fresh = mint.token(self._deps.entropy, ACCESS_LINK_TOKEN if token.startswith(ACCESS_LINK_TOKEN) else LINK_TOKEN)
        name, new, buckets = name_of(token), name_of(fresh), self._buckets(context, "exchange-network")
        if self._store.resend(context, name, new, buckets=buckets):  # before anything is sealed
            mail = self._mail(context, "", {"url": self._deps.messages.link_url(context.practice, fresh)})
            self._store.resend(context, name, new, mail)

    def list(self, context: RequestContext, patient: str) -> list[LinkInfo]:
        """Every remembered link of a patient, newest first. Raises RateLimited."""
        found = self._store.list(context, patient, self._buckets(context))
        return sorted(found, key=lambda link: (-link.created_at_ms, link.id))

    def revoke(self, context: RequestContext, link_id: str) -> None:
        """End one link; its tokens become inactive. Raises NotFound for an id this practice never gave."""
        _, known = self._store.revoke(context, self._buckets(context), link_id=link_id)
        if not known:
            raise NotFound

    def revoke_where(self, context: RequestContext, *, patient: str | None = None, resource: str | None = None) -> int:
        """End all live links of a patient or for a resource; how many those were."""
        revoked, _ = self._store.revoke(context, self._buckets(context), patient=patient or "", resource=resource or "")
        return revoked

    def _buckets(self, context: RequestContext, network_policy: str | None = None) -> builtins.list[Bucket]:
        return self._deps.rate_limits.of_caller(context, network_policy)

    def _mail(self, context: RequestContext, kind: str, fields: Mapping[str, Any]) -> Mail:
        message_id = self._deps.messages.new_id()
        return Mail(message_id, kind, self._deps.messages.seal(context.practice.id, message_id, **fields))

    def _check(self, workflow: str, resource: str | None, expires_in: int | None) -> Workflow:
        """The workflow, if a link of it may be issued like this. Raises InvalidInput with all faults."""
        known = self._deps.catalogue.get(workflow)
        if known is None:
            raise InvalidInput(Fault("/workflow", "is not a workflow of this service"))
        if known.link_life_s is None:
            raise InvalidInput(Fault("/workflow", "needs a sign-in; no link leads there"))
        faults = []
        kind = (resource or "").partition(":")[0]
        if known.resource is None and resource is not None:
            faults.append(Fault("/resource", "this workflow has no resource"))
        elif known.resource is not None and resource is None:
            faults.append(Fault("/resource", f'this workflow needs one, such as "{known.resource}:…"'))
        elif known.resource is not None and kind != known.resource:
            faults.append(Fault("/resource", f'must be of type "{known.resource}"'))
        if expires_in is not None and expires_in > known.link_life_s:
            faults.append(Fault("/expires_in", f"at most {known.link_life_s} seconds for this workflow"))
        if faults:
            raise InvalidInput(*faults)
        return known


def name_of(token: str) -> LinkName:
    """How the link of a token is found."""
    return LinkName(mint.link_id(token), mint.digest(token), _kind(token.startswith(ACCESS_LINK_TOKEN)))


def _kind(access: bool) -> str:
    return "access" if access else "instant"
