"""Emailed links: issue, exchange, send a new one, list, revoke.

A link is a capability: its 256-bit token is shown once and found by digest; its public id is a one-way image of the
token. An instant link leads to one token for one resource. An access link leads to a code at the address on file.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from authsvc.audit import Event
from authsvc.config.workflows import Catalogue, Workflow
from authsvc.crypto import mint
from authsvc.errors import Fault, InvalidInput, LinkGone, NotFound
from authsvc.flows.challenges import ACCESS, Challenges
from authsvc.flows.script_runner import ScriptRunner
from authsvc.flows.token_issuer import TokenIssuer
from authsvc.model import IssuedLink, LinkInfo, LinkView, RequestContext, Started, TokenGrant


class Links:
    """The use cases of emailed links."""

    def __init__(
        self, runner: ScriptRunner, challenges: Challenges, token_issuer: TokenIssuer, catalogue: Catalogue
    ) -> None:
        self._runner = runner
        self._challenges = challenges
        self._token_issuer = token_issuer
        self._catalogue = catalogue

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

        Raises InvalidInput (all faults), RateLimited, IdempotencyConflict; PatientNotFound and NoPortalAccess where
        the link needs an address on file.
        """
        known = self._check(workflow, resource, expires_in)
        life_s = expires_in if expires_in is not None else known.link_life_s or 0
        uses = max_uses if max_uses is not None else known.max_uses
        access = known.security == "access"
        token = mint.token(self._runner.entropy, ACCESS if access else mint.LINK)
        expires_ms = self._runner.clock.now_ms() + life_s * 1000
        url = self._challenges.link_url(context, token)
        answer = IssuedLink(mint.link_id(token), url, expires_ms, uses)
        mail = None
        if delivery == "email":
            message_id = self._runner.new_id()
            body = self._runner.mail_body(
                context.practice.id, message_id, url=url, workflow=workflow, expires_at_ms=expires_ms
            )
            mail = {"id": message_id, "kind": "access-link" if access else "link", "body": body}
        reply = self._runner.run(
            context,
            "link_issue",
            {"issued": Event.LINK_ISSUED},
            mails=mail is not None,
            limits=self._runner.callers(context),
            link={
                "id": answer.id,
                "d": mint.digest(token),
                "p": patient,
                "w": workflow,
                "k": _kind(access),
                "r": resource or "",
                "e": expires_ms,
                "m": uses if uses is not None else "",
                "ch": delivery,
                "c": context.client.id if context.client else "",
                "life": life_s * 1000,
            },
            mail=mail,
            locale=locale or "",
            idem=self._runner.idempotent(context, vars(answer)),
        )
        before = self._runner.answered_before(context, reply)
        return answer if before is None else IssuedLink(**before)

    def exchange(self, context: RequestContext, token: str) -> TokenGrant | Started:
        """Redeem a link's token: a token for an instant link, a started challenge for an access link.

        An Idempotency-Key brings an access link's answer again, but for the hint at the address.

        Raises LinkUnknown, LinkGone, RateLimited, IdempotencyConflict.
        """
        access = token.startswith(ACCESS)
        args: dict[str, Any] = {}
        answer = Started("", self._runner.settings.code_life_s, self._runner.settings.resend_after_s)
        if access:
            filler = self._runner.seal(context, "address", "nobody@nowhere.invalid")
            made = self._challenges.new(context, channel="email", locale="", filler=filler)
            args, answer = made.args, dataclasses.replace(answer, challenge=made.handle)
        limits = self._runner.callers(context, "exchange-network")
        if access:
            limits += [self._runner.bucket("issue-network", network) for network in self._runner.networks(context)]
        reply = self._runner.run(
            context,
            "link_exchange",
            {"exchanged": Event.LINK_EXCHANGED, "refused": Event.LINK_REFUSED, "started": Event.CODE_STARTED},
            durable=True,
            mails=access,
            limits=limits,
            by_patient=self._runner.rate("issue-patient"),
            idem=self._runner.idempotent(context, vars(answer)) if access else None,
            **{**args, **_named(token)},
        )
        before = self._runner.answered_before(context, reply)
        if before is not None:
            return Started(**before)
        if access:
            email_hint = self._runner.email_hint(context.practice.id, reply["to"], reply["patient"])
            return dataclasses.replace(answer, email_hint=email_hint)
        link = reply["link"]
        workflow = self._catalogue.get(link["w"])
        if workflow is None:
            # The site has taken the workflow out of its catalogue: nothing is granted by name alone.
            raise LinkGone("revoked")
        if context.client is None:
            raise ValueError("a link is exchanged by a client; at the hosted page it is pressed")
        return self._token_issuer.for_link(
            context.client, context.practice.id, {**link, "id": mint.link_id(token)}, workflow
        )

    def spend(
        self, context: RequestContext, token: str, landing: Mapping[str, Any], answer: Mapping[str, str]
    ) -> dict[str, str]:
        """Use an instant link at its hosted page; `landing` is what waits for its client. Gives `answer`, or what the
        act's Idempotency-Key was answered before. Raises as `exchange`; an access link is none, so LinkUnknown."""
        reply = self._runner.run(
            context,
            "link_exchange",
            {"exchanged": Event.LINK_EXCHANGED, "refused": Event.LINK_REFUSED},
            durable=True,
            limits=self._runner.callers(context, "exchange-network"),
            landing=landing,
            idem=self._runner.idempotent(context, answer),
            **{**_named(token), "k": _kind(False)},
        )
        return self._runner.answered_before(context, reply) or dict(answer)

    def peek(self, context: RequestContext, token: str) -> LinkView:
        """What a link leads to; spends nothing, however often it is asked. Raises LinkUnknown, LinkGone."""
        reply = self._runner.run(context, "link_peek", {"opened": Event.LINK_OPENED}, **_named(token))
        email_hint = (
            self._runner.email_hint(context.practice.id, reply["to"], reply["patient"]) if "to" in reply else ""
        )
        return LinkView(reply["w"], token.startswith(ACCESS), reply["loc"], reply["c"], email_hint)

    def resend(self, context: RequestContext, token: str) -> None:
        """Send a new link in the place of an expired or used-up one; says nothing about it. Raises RateLimited."""
        access = token.startswith(ACCESS)
        fresh = mint.token(self._runner.entropy, ACCESS if access else mint.LINK)
        message_id = self._runner.new_id()
        self._runner.run(
            context,
            "link_resend",
            {"resent": Event.LINK_RESENT},
            mails=True,
            limits=self._runner.callers(context, "exchange-network"),
            **_named(token),
            link={"id": mint.link_id(fresh), "d": mint.digest(fresh)},
            mail={
                "id": message_id,
                "body": self._runner.mail_body(
                    context.practice.id, message_id, url=self._challenges.link_url(context, fresh)
                ),
            },
            address=self._runner.rate("issue-address"),
            every_ms=self._runner.limits.link_resend_every_s * 1000,
            most=self._runner.limits.link_resends_per_lineage,
        )

    def list(self, context: RequestContext, patient: str) -> list[LinkInfo]:
        """Every remembered link of a patient, newest first. Raises RateLimited."""
        reply = self._runner.run(context, "links_of", {}, limits=self._runner.callers(context), patient=patient)
        found = [
            LinkInfo(
                id=link["id"],
                patient=link["p"],
                workflow=link["w"],
                resource=link["r"] or None,
                created_at_ms=int(link["t"]),
                expires_at_ms=int(link["e"]),
                uses=int(link["u"]),
                max_uses=int(link["m"]) if link["m"] else None,
                state=link["state"],
            )
            for link in reply.get("links", ())
        ]
        return sorted(found, key=lambda link: (-link.created_at_ms, link.id))

    def revoke(self, context: RequestContext, link_id: str) -> None:
        """End one link; its tokens become inactive. Raises NotFound for an id this practice never gave."""
        reply = self._end(context, id=link_id)
        if not reply["known"]:
            raise NotFound

    def revoke_where(self, context: RequestContext, *, patient: str | None = None, resource: str | None = None) -> int:
        """End all live links of a patient or for a resource; how many those were."""
        chosen: dict[str, Any] = {"patient": patient} if patient is not None else {"resource": resource}
        return int(self._end(context, **chosen)["revoked"])

    def _end(self, context: RequestContext, **chosen: Any) -> dict[str, Any]:
        return self._runner.run(
            context,
            "link_revoke",
            {"link_ended": Event.LINK_ENDED},
            durable=True,
            limits=self._runner.callers(context),
            **chosen,
        )

    def _check(self, workflow: str, resource: str | None, expires_in: int | None) -> Workflow:
        """The workflow, if a link of it may be issued like this. Raises InvalidInput with all faults."""
        known = self._catalogue.get(workflow)
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


def _named(token: str) -> dict[str, Any]:
    """How a script finds the link of a token: its public id, its digest, and the kind that its prefix claims."""
    return {"id": mint.link_id(token), "d": mint.digest(token), "k": _kind(token.startswith(ACCESS))}


def _kind(access: bool) -> str:
    return "access" if access else "instant"
