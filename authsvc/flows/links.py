"""Emailed links: issue, exchange, send a new one, list, revoke.

A link is a capability: its 256-bit token is shown once and found by digest; its public id is a one-way image of the
token. An instant link leads to one token for one resource. An access link leads to a code at the address on file.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from authsvc.audit import Event
from authsvc.crypto import mint
from authsvc.errors import Fault, InvalidInput, LinkGone, NotFound
from authsvc.flows.acts import Acts
from authsvc.flows.challenges import ACCESS, Challenges
from authsvc.flows.tokens import Issuing
from authsvc.model import Act, IssuedLink, LinkInfo, LinkView, Started, TokenGrant
from authsvc.workflows import Catalogue, Workflow


class Links:
    """The use cases of emailed links."""

    def __init__(self, acts: Acts, challenges: Challenges, issuing: Issuing, catalogue: Catalogue) -> None:
        self._acts = acts
        self._challenges = challenges
        self._issuing = issuing
        self._catalogue = catalogue

    def issue(
        self,
        act: Act,
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
        token = mint.token(self._acts.entropy, ACCESS if access else mint.LINK)
        expires_ms = self._acts.clock.now_ms() + life_s * 1000
        url = self._challenges.link_url(act, token)
        answer = IssuedLink(mint.link_id(token), url, expires_ms, uses)
        mail = None
        if delivery == "email":
            message_id = self._acts.new_id()
            body = self._acts.mail_body(
                act.practice.id, message_id, url=url, workflow=workflow, expires_at_ms=expires_ms
            )
            mail = {"id": message_id, "kind": "access-link" if access else "link", "body": body}
        reply = self._acts.run(
            act,
            "link_issue",
            {"issued": Event.LINK_ISSUED},
            mails=mail is not None,
            limits=self._acts.callers(act),
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
                "c": act.client.id if act.client else "",
                "life": life_s * 1000,
            },
            mail=mail,
            locale=locale or "",
            idem=self._acts.idempotent(act, vars(answer)),
        )
        before = self._acts.answered_before(act, reply)
        return answer if before is None else IssuedLink(**before)

    def exchange(self, act: Act, token: str) -> TokenGrant | Started:
        """Redeem a link's token: a token for an instant link, a started challenge for an access link.

        An Idempotency-Key brings an access link's answer again, but for the hint at the address.

        Raises LinkUnknown, LinkGone, RateLimited, IdempotencyConflict.
        """
        access = token.startswith(ACCESS)
        args: dict[str, Any] = {}
        answer = Started("", self._acts.settings.code_life_s, self._acts.settings.resend_after_s)
        if access:
            filler = self._acts.seal(act, "address", "nobody@nowhere.invalid")
            made = self._challenges.new(act, channel="email", locale="", filler=filler)
            args, answer = made.args, dataclasses.replace(answer, challenge=made.handle)
        limits = self._acts.callers(act, "exchange-network")
        if access:
            limits += [self._acts.bucket("issue-network", network) for network in self._acts.networks(act)]
        reply = self._acts.run(
            act,
            "link_exchange",
            {"exchanged": Event.LINK_EXCHANGED, "refused": Event.LINK_REFUSED, "started": Event.CODE_STARTED},
            durable=True,
            mails=access,
            limits=limits,
            by_patient=self._acts.rate("issue-patient"),
            idem=self._acts.idempotent(act, vars(answer)) if access else None,
            **{**args, **_named(token)},
        )
        before = self._acts.answered_before(act, reply)
        if before is not None:
            return Started(**before)
        if access:
            email_hint = self._acts.email_hint(act.practice.id, reply["to"], reply["patient"])
            return dataclasses.replace(answer, email_hint=email_hint)
        link = reply["link"]
        workflow = self._catalogue.get(link["w"])
        if workflow is None:
            # The site has taken the workflow out of its catalogue: nothing is granted by name alone.
            raise LinkGone("revoked")
        if act.client is None:
            raise ValueError("a link is exchanged by a client; at the hosted page it is pressed")
        return self._issuing.for_link(act.client, act.practice.id, {**link, "id": mint.link_id(token)}, workflow)

    def spend(self, act: Act, token: str, landing: Mapping[str, Any], answer: Mapping[str, str]) -> dict[str, str]:
        """Use an instant link at its hosted page; `landing` is what waits for its client. Gives `answer`, or what the
        act's Idempotency-Key was answered before. Raises as `exchange`; an access link is none, so LinkUnknown."""
        reply = self._acts.run(
            act,
            "link_exchange",
            {"exchanged": Event.LINK_EXCHANGED, "refused": Event.LINK_REFUSED},
            durable=True,
            limits=self._acts.callers(act, "exchange-network"),
            landing=landing,
            idem=self._acts.idempotent(act, answer),
            **{**_named(token), "k": _kind(False)},
        )
        return self._acts.answered_before(act, reply) or dict(answer)

    def peek(self, act: Act, token: str) -> LinkView:
        """What a link leads to; spends nothing, however often it is asked. Raises LinkUnknown, LinkGone."""
        reply = self._acts.run(act, "link_peek", {"opened": Event.LINK_OPENED}, **_named(token))
        email_hint = self._acts.email_hint(act.practice.id, reply["to"], reply["patient"]) if "to" in reply else ""
        return LinkView(reply["w"], token.startswith(ACCESS), reply["loc"], reply["c"], email_hint)

    def resend(self, act: Act, token: str) -> None:
        """Send a new link in the place of an expired or used-up one; says nothing about it. Raises RateLimited."""
        access = token.startswith(ACCESS)
        fresh = mint.token(self._acts.entropy, ACCESS if access else mint.LINK)
        message_id = self._acts.new_id()
        self._acts.run(
            act,
            "link_resend",
            {"resent": Event.LINK_RESENT},
            mails=True,
            limits=self._acts.callers(act, "exchange-network"),
            **_named(token),
            link={"id": mint.link_id(fresh), "d": mint.digest(fresh)},
            mail={
                "id": message_id,
                "body": self._acts.mail_body(act.practice.id, message_id, url=self._challenges.link_url(act, fresh)),
            },
            address=self._acts.rate("issue-address"),
            every_ms=self._acts.limits.link_resend_every_s * 1000,
            most=self._acts.limits.link_resends_per_lineage,
        )

    def list(self, act: Act, patient: str) -> list[LinkInfo]:
        """Every remembered link of a patient, newest first. Raises RateLimited."""
        reply = self._acts.run(act, "links_of", {}, limits=self._acts.callers(act), patient=patient)
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

    def revoke(self, act: Act, link_id: str) -> None:
        """End one link; its tokens become inactive. Raises NotFound for an id this practice never gave."""
        reply = self._end(act, id=link_id)
        if not reply["known"]:
            raise NotFound

    def revoke_where(self, act: Act, *, patient: str | None = None, resource: str | None = None) -> int:
        """End all live links of a patient or for a resource; how many those were."""
        chosen: dict[str, Any] = {"patient": patient} if patient is not None else {"resource": resource}
        return int(self._end(act, **chosen)["revoked"])

    def _end(self, act: Act, **chosen: Any) -> dict[str, Any]:
        return self._acts.run(
            act,
            "link_revoke",
            {"link_ended": Event.LINK_ENDED},
            durable=True,
            limits=self._acts.callers(act),
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
