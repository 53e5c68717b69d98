"""What every script that queues a mail is given: limits of mails, how long their records live, who counts them."""

from __future__ import annotations

import math
from typing import Any

from authsvc.config.limits import Limits
from authsvc.config.settings import Settings
from authsvc.model import RequestContext
from authsvc.store.mail_throttle import MailThrottle
from authsvc.store.outbox_wakeup import OutboxWakeup
from authsvc.store.scripts import Reply, ScriptRunner
from authsvc.store.values import StoredAnswer


class Mailing:
    """Arguments for scripts, and the wake-up of the worker afterwards."""

    def __init__(self, settings: Settings, limits: Limits, throttle: MailThrottle, wakeup: OutboxWakeup) -> None:
        practice, site = limits.policies["mails-practice"], limits.policies["mails-all"]
        self.delivery_ms = settings.delivery_record_life_s * 1000
        self.tombstone_ms = settings.tombstone_life_s * 1000
        self._fixed = {
            **_budget("own", practice.quota, practice.window_s),
            **_budget("share", math.floor(site.quota * limits.practice_share), site.window_s),
            "mails_all_quota": site.quota,
            "typed_share": limits.typed_share,
            "delivery_ms": self.delivery_ms,
        }
        self._throttle = throttle
        self._wakeup = wakeup

    def args(self) -> dict[str, Any]:
        """For a script that queues mails and keeps links."""
        return {**self.notice_args(), "tombstone_ms": self.tombstone_ms}

    def notice_args(self) -> dict[str, Any]:
        """For one that queues mails only."""
        return {**self._fixed, "site_throttle": self._throttle.state}

    def run(
        self,
        runner: ScriptRunner,
        script: str,
        context: RequestContext,
        stored_answer: StoredAnswer,
        *,
        check_only: bool,
        mails: bool = True,
        **args: Any,
    ) -> Reply:
        """Run a script that queues mail, unless it only checks: then there is nothing for replicas or for a worker."""
        args |= {"check_only": check_only, **self.args(), **idempotency_args(stored_answer)}
        reply = runner.run(script, context, durable=not check_only, **args)
        if mails and not check_only:
            self.wake(context.practice.id)
        return reply

    def wake(self, practice_id: str) -> None:
        """Mail was queued: a worker shall look at this practice."""
        self._wakeup.notify(practice_id)


def _budget(name: str, quota: int, window_s: int) -> dict[str, int]:
    window_ms = window_s * 1000
    step_ms = max(1, window_ms // max(1, quota))
    return {f"mails_{name}_quota": quota, f"mails_{name}_window": window_ms, f"mails_{name}_step": step_ms}


def idempotency_args(stored_answer: StoredAnswer) -> dict[str, Any]:
    return {
        "idempotency_id": stored_answer.id,
        "idempotency_body": stored_answer.body,
        "idempotency_answer": stored_answer.answer,
        "idempotency_ms": stored_answer.life_ms,
    }
