"""Pushed authorization requests (RFC 9126), by the digest of their reference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from authsvc.model import Bucket, RequestContext
from authsvc.store.scripts import ScriptRunner

Step = Literal["open", "continue", "spend"]


class PushedRequestStore:
    """Every method may raise Unavailable."""

    def __init__(self, runner: ScriptRunner) -> None:
        self._runner = runner

    def keep(
        self, context: RequestContext, request_id: str, query: str, until_ms: int, buckets: Sequence[Bucket]
    ) -> None:
        """Keep the request of the calling client. Raises RateLimited."""
        self._runner.run(
            "pushed_request_keep",
            context,
            durable=True,
            request_id=request_id,
            client=context.client_id,
            query=query,
            expires=until_ms,
            limits=buckets,
        )

    def use(
        self,
        context: RequestContext,
        step: Step,
        request_id: str,
        client: str,
        browser: str,
        *,
        reuse_ms: int,
        until_ms: int,
    ) -> str | None:
        """The parameters of a request that this browser opens, goes on with or gets its code for; None for one that is
        over, another client's or another browser's. `browser` is a digest, `until_ms` how long an opened one lives."""
        reply = self._runner.run(
            "pushed_request_use",
            context,
            durable=step == "spend",
            step=step,
            request_id=request_id,
            client=client,
            browser=browser,
            reuse_ms=reuse_ms,
            expires=until_ms,
        )
        return reply.get("query")
