"""What a sign-in is made of before Redis hears of it: handle, code, tag and the mails that may carry them.

A code is six digits, so it is never kept in a form that Redis alone could search: the tag is argon2id over an HMAC
under a pepper that Redis never sees, bound to a handle that only the caller holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from authsvc.config.workflows import Catalogue
from authsvc.crypto import hashing, mint
from authsvc.crypto.hashing import HashQueue
from authsvc.flows.script_runner import ScriptRunner
from authsvc.model import RequestContext

SALT_BYTES = 16
ACCESS = "ala_"  # prefix of access-link tokens; instant links have mint.LINK


@dataclass(frozen=True)
class PreparedCode:
    """A code that is ready to be kept and mailed. `args` go to the script; handle and code stay with the caller."""

    handle: str
    code: str
    args: dict[str, Any]


class Challenges:
    """Prepares codes and the mails that carry them."""

    def __init__(self, runner: ScriptRunner, catalogue: Catalogue, queue: HashQueue) -> None:
        self._runner = runner
        self._queue = queue
        self._access_workflow = next((w.name for w in catalogue.all() if w.security == "access"), "portal")

    def new(self, context: RequestContext, *, channel: str, locale: str, filler: str) -> PreparedCode:
        """A fresh challenge with its first code. `filler` is a sealed address as long as a real one.

        Raises Unavailable when the hashing queue is full; nothing has been charged by then.
        """
        settings, data_keys, now_ms = self._runner.settings, self._runner.data_keys, self._runner.clock.now_ms()
        handle = mint.token(self._runner.entropy, mint.HANDLE)
        salt = self._runner.entropy.token_bytes(SALT_BYTES)
        profile, pepper_id = settings.code_hash_profile, data_keys.pepper_id
        code = mint.code(self._runner.entropy)
        tag = self.tag(context, handle, code, salt, profile, pepper_id)
        args = {
            **self._mail(context, code, filler),
            "handle": mint.digest(handle),
            "client": context.client.id if context.client else "",
            "channel": channel,
            "locale": locale,
            "networks": ",".join(self._runner.networks(context)),
            "pepper": pepper_id,
            "profile": profile,
            "salt": mint.b64u(salt),
            "tag": tag,
            "code_until": now_ms + settings.code_life_s * 1000,
            "challenge_until": now_ms + settings.challenge_life_s * 1000,
        }
        return PreparedCode(handle, code, args)

    def another(self, context: RequestContext, handle: str) -> PreparedCode:
        """One more code for a challenge: under its salt, so that a guess costs one hash, however many codes live."""
        code = mint.code(self._runner.entropy)
        known = self._runner.run(context, "challenge_peek", {}, handle=mint.digest(handle))
        # An unknown handle costs the same hash and is told apart by the script alone.
        salt = mint.unb64u(known["z"]) if "z" in known else bytes(SALT_BYTES)
        tag = self.tag(
            context,
            handle,
            code,
            salt,
            known.get("f", self._runner.settings.code_hash_profile),
            known.get("q", self._runner.data_keys.pepper_id),
        )
        args = {
            **self._mail(context, code, self._runner.seal(context, "address", "nobody@nowhere.invalid")),
            "handle": mint.digest(handle),
            "client": context.client.id if context.client else "",
            "channel": known.get("ch", "email"),
            "tag": tag,
            "code_until": self._runner.clock.now_ms() + self._runner.settings.code_life_s * 1000,
        }
        return PreparedCode(handle, code, args)

    def tag(self, context: RequestContext, handle: str, code: str, salt: bytes, profile: str, pepper_id: str) -> str:
        """Hash one code. Raises Unavailable when the queue is full or the pepper unknown here."""
        pepper = self._runner.data_keys.pepper(pepper_id)
        with self._queue.place() as turn, turn:
            return hashing.code_tag(pepper, context.practice.id, handle, code, salt, profile)

    def link_url(self, context: RequestContext, token: str) -> str:
        """Where a link leads: the practice's own page, or ours."""
        if context.practice.link_url:
            return context.practice.link_url.replace("{token}", token)
        return f"{self._runner.settings.public_url}/p/{context.practice.id}/l/{token}"

    def _mail(self, context: RequestContext, code: str, filler: str) -> dict[str, Any]:
        """Both mails a start may send, ready to be queued: the code, and in link mode a short-lived access link."""
        settings, now_ms, practice = self._runner.settings, self._runner.clock.now_ms(), context.practice.id
        message_id = self._runner.new_id()
        token = mint.token(self._runner.entropy, ACCESS)
        link_until = now_ms + settings.link_mode_link_life_s * 1000
        code_until = now_ms + settings.code_life_s * 1000
        return {
            "mail": {
                "id": message_id,
                "filler": filler,
                "code_body": self._runner.mail_body(practice, message_id, code=code, expires_at_ms=code_until),
                "link_body": self._runner.mail_body(
                    practice,
                    message_id,
                    url=self.link_url(context, token),
                    workflow=self._access_workflow,
                    expires_at_ms=link_until,
                ),
                "link": {
                    "id": mint.link_id(token),
                    "d": mint.digest(token),
                    "w": self._access_workflow,
                    "e": link_until,
                    "m": self._runner.limits.attempts_per_challenge,
                },
            },
            "budget": {
                "consecutive": self._runner.limits.misses_consecutive,
                "day": self._runner.limits.misses_per_day,
            },
        }
