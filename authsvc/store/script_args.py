"""Arguments that several scripts have in common, and answers that several give."""

from __future__ import annotations

from typing import Any

from authsvc.model import Choices, RequestContext
from authsvc.store.scripts import Reply
from authsvc.store.values import BrowserCookie, NewChallenge, NewCode, NewSession


def code_args(code: NewCode) -> dict[str, Any]:
    return {
        "challenge": code.challenge_id,
        "tag": code.tag,
        "code_until": code.until_ms,
        "access_link_id": code.access_link.id,
        "access_link_digest": code.access_link.digest,
        "access_link_workflow": code.access_link.workflow,
        "access_link_expires": code.access_link.expires_ms,
        "access_link_max_uses": code.access_link.max_uses,
        "mail_id": code.mail_id,
        "mail_body": code.mail_body,
    }


def challenge_args(context: RequestContext, challenge: NewChallenge) -> dict[str, Any]:
    return {
        **code_args(challenge.code),
        "client": context.client_id,
        "channel": challenge.channel,
        "locale": challenge.locale,
        "networks": ",".join(challenge.networks),
        "pepper": challenge.pepper,
        "profile": challenge.profile,
        "salt": challenge.salt,
        "challenge_until": challenge.until_ms,
    }


def session_args(session: NewSession, former: BrowserCookie) -> dict[str, Any]:
    return {
        "session_id": session.id,
        "session_nonce": session.nonce,
        "session_audience": session.audience,
        "session_scope": session.scope,
        "session_scope_text": session.scope_text,
        "session_expires": session.expires_ms,
        "former_sid": former.sid,
        "former_secret": former.secret,
    }


def choices_of(reply: Reply) -> Choices:
    own, acting = (reply.get(name, ()) for name in ("choose", "acting"))
    return Choices(*(tuple(zip(flat[::2], flat[1::2], strict=True)) for flat in (own, acting)))
