"""Pushed authorization requests (RFC 9126): a client sends its request itself, and its browser a reference to it.

The reference holds 256 random bits. It opens once, for the client that pushed it and in the browser that brings it
first; from then on it stays with that browser through the pages, until it has given its one code.
"""

from __future__ import annotations

from urllib.parse import parse_qsl

from authsvc.crypto import mint
from authsvc.flows.dependencies import Dependencies
from authsvc.model import Client, Practice, RequestContext
from authsvc.store.pushed_requests import PushedRequestStore, Step

URN = "urn:ietf:params:oauth:request_uri:"
LIFE_S = 60  # RFC 9126 §2.2 advises 5 to 600: the client redirects its browser at once


class PushedRequests:
    """The use cases of pushed requests."""

    def __init__(self, deps: Dependencies, store: PushedRequestStore) -> None:
        self._deps = deps
        self._store = store

    def push(self, client: Client, practice: Practice, query: str, request_id: str) -> str:
        """The reference (`request_uri`) of a checked request. Raises RateLimited."""
        request_uri = mint.token(self._deps.entropy, URN)
        context = RequestContext.of_client(self._deps.new_id(), client, practice, request_id)
        until_ms = self._deps.clock.now_ms() + LIFE_S * 1000
        buckets = self._deps.rate_limits.of_caller(context)
        self._store.keep(context, mint.digest(request_uri), query, until_ms, buckets)
        return request_uri

    def open(
        self, context: RequestContext, client: Client, request_uri: str, browser: str, *, on_page: bool
    ) -> list[tuple[str, str]] | None:
        """The parameters behind a reference that this browser brings, to the endpoint or to a page on the way from
        there. None for one that is over, another client's or another browser's."""
        query = self._use(context, "continue" if on_page else "open", client, request_uri, browser, twice=on_page)
        return None if query is None else parse_qsl(query, keep_blank_values=True)

    def spend(
        self, context: RequestContext, client: Client, request_uri: str, browser: str, *, twice: bool = False
    ) -> bool:
        """Whether its code may go out: once, and again for a few seconds where the same form came `twice`."""
        return self._use(context, "spend", client, request_uri, browser, twice=twice) is not None

    def _use(
        self, context: RequestContext, step: Step, client: Client, request_uri: str, browser: str, *, twice: bool
    ) -> str | None:
        return self._store.use(
            context,
            step,
            mint.digest(request_uri),
            client.id,
            mint.digest(browser),
            reuse_ms=self._deps.limits.replay_window_s * 1000 if twice else 0,
            until_ms=self._deps.clock.now_ms() + self._deps.settings.challenge_life_s * 1000,
        )
