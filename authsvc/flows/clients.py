"""Clients, the practice services: how they are registered, and who is calling.

Each client proves itself in one way, by registration (OpenID Connect Core §9): by a secret, by assertions that it
signs, or, if it is public, not at all. A secret has 256 random bits, is shown once and kept as SHA-256. It expires;
during a rotation the one before lives on until its own end. A correct proof is never refused because of somebody else's
wrong ones, and every way of being nobody here is answered and counted alike. (Client ids are no secret: they stand in
the address bar of whoever signs in. So only the answers are alike, not the microseconds that a signature takes.)
"""

from __future__ import annotations

import dataclasses
import hmac
from typing import Any, Unpack, cast

from authsvc.audit import Event
from authsvc.crypto import assertions, mint
from authsvc.errors import AlreadyExists, Fault, InvalidInput, TokenInvalid, Unauthenticated, UnknownName
from authsvc.flows import client_metadata, client_records
from authsvc.flows.assertions import Assertions
from authsvc.flows.cache import Cache
from authsvc.flows.client_metadata import ClientChanges, ClientMetadata
from authsvc.flows.dependencies import Dependencies
from authsvc.flows.session_cleanup import SessionCleanup
from authsvc.flows.site_audit import SiteAudit
from authsvc.model import AUTHENTICATION_METHODS, Client, ClientSecret
from authsvc.store.clients import ClientStore
from authsvc.store.documents import DocumentStore
from authsvc.text import CLIENT_SECRET

LIVE_SECRETS = 2
NOBODY = mint.digest("no client has this secret")


class Clients:
    """The use cases of an operator, and the authentication of every call."""

    def __init__(
        self,
        deps: Dependencies,
        store: ClientStore,
        registry: DocumentStore,
        site: SiteAudit,
        sessions: SessionCleanup,
    ) -> None:
        self._deps = deps
        self._sessions = sessions
        self._store = store
        self._registry = registry
        self._site = site
        self._cache: Cache[Client] = Cache(self._read)
        self._assertions = Assertions(deps, store)

    # --- who is calling ---------------------------------------------------------------------------------------------

    def authenticate(self, client_id: str, secret: str, peer_ip: str, method: str = "") -> Client:
        """The client with this id and secret, as registered at most five seconds ago. `method`: the only way that will
        do, `client_secret_basic` or `client_secret_post`; the API has one way for all who have a secret.

        Raises Unauthenticated; RateLimited when this peer's network has failed too often; Unavailable.
        """
        client = self._cache.get(client_id)
        now_ms = self._deps.clock.now_ms()
        offered = mint.digest(secret)
        digests = [known.digest for known in client.secrets if known.expires_ms > now_ms] if client else []
        # Every comparison is made, with a dummy for an unknown client, so that time tells nothing.
        matches = [hmac.compare_digest(offered, digest) for digest in digests or [NOBODY]]
        way = client.has_secret and method in ("", client.authentication) if client else False
        if client is None or not way or not any(matches):
            self.failed(peer_ip, client.id if client else "")
            raise Unauthenticated("wrong")
        return client

    def authenticate_assertion(self, assertion: str, named: str, peer_ip: str) -> Client:
        """The client that signed this assertion; `named` is the id it may give beside (RFC 7521 §4.2), or empty.

        Raises as `authenticate` does.
        """
        client = None
        try:
            parsed = assertions.read(assertion)
            client = self._cache.get(parsed.client)
            if client is None or client.authentication != "private_key_jwt" or named not in ("", client.id):
                raise TokenInvalid("client")
            self._assertions.accept(client, parsed)
        except TokenInvalid as refusal:
            self.failed(peer_ip, client.id if client else "", refusal.reason)
            raise Unauthenticated("wrong") from None
        return client

    def authenticate_public(self, client_id: str, peer_ip: str) -> Client:
        """The public client of this id. It proves nothing: what it asks for must be proof enough (PKCE, a refresh token
        that is its own). Raises as `authenticate` does.

        Anybody can say its id, so its calls are counted by who makes them: a stranger can't use up what all who have
        the app share, nor fill the audit.
        """
        client = self._cache.get(client_id)
        if client is None or client.authentication != "none":
            self.failed(peer_ip, client.id if client else "")
            raise Unauthenticated("wrong")
        buckets = self._deps.rate_limits.of_peer("exchange-network", f"@{client.id}", peer_ip)
        self._store.count_failure(self._deps.new_id(), buckets, actor="peer", client=client.id)
        return client

    def failed(self, peer_ip: str, client_id: str = "", cause: str = "") -> None:
        """Count and record a wrong credential, by the peer's network. Raises RateLimited.

        `client_id` is a registered one: what a stranger wrote in its place may be a secret in the wrong field.
        """
        buckets = self._deps.rate_limits.of_peer("auth-failures", "@", peer_ip)
        self._store.count_failure(
            self._deps.new_id(), buckets, actor="peer", event=Event.CLIENT_REFUSED, client=client_id, cause=cause
        )

    # --- registration -----------------------------------------------------------------------------------------------

    def add(
        self,
        client_id: str,
        *,
        practices: tuple[str, ...],
        permissions: frozenset[str],
        audience: str | None,
        actor: str,
        reason: str = "",
        **more: Unpack[ClientMetadata],
    ) -> tuple[Client, str]:
        """A new client and its secret, which is not to be had again; empty for one that needs none.

        Raises InvalidInput with every fault, AlreadyExists.
        """
        client = Client(
            id=client_id,
            practices=practices,
            permissions=permissions,
            audience=audience or self._deps.settings.default_audience,
            secrets=(),
            created_ms=self._deps.clock.now_ms(),
            public=more.pop("public", False) or more.get("auth") == "none",
        )
        client, secret = self._changed(client, more), ""
        if client.has_secret:
            secret, stored = self._new_secret()
            client = dataclasses.replace(client, secrets=(stored,))
        if self._read(client_id) is None:
            self._sessions.end_of_client(client_id, practices, actor)
        if not self._registry.add(client_id, client_records.write(client)):
            raise AlreadyExists(f"client {client_id}")
        self._site.record(Event.CLIENT_ADDED, actor=actor, reason=reason, client=client_id)
        return client, secret

    def set(self, client_id: str, *, actor: str, reason: str = "", **changes: Unpack[ClientChanges]) -> Client:
        """Change the addresses, the keys or the rules of a client; what is named is replaced. A secret may move between
        header and form; else never how the client proves itself: who holds a secret or a key today would be locked out,
        or let in, without knowing.

        Raises InvalidInput with every fault, UnknownName.
        """
        known = self.known(client_id)
        if "jwks" in changes and known.authentication != "private_key_jwt":
            raise InvalidInput(Fault("/jwks", "this client doesn't sign its calls; add another one that does"))
        if not changes.get("redirect_uris", True) and known.redirect_uris:
            raise InvalidInput(Fault("/redirect-uri", "one at least must stay; remove the client instead"))
        client = self._changed(known, changes)
        self._put(client)
        self._site.record(Event.CLIENT_CHANGED, actor=actor, reason=reason, client=client_id)
        return client

    def rotate_secret(self, client_id: str, *, actor: str, reason: str = "") -> str:
        """A new secret; the newest of the old ones lives on until its own end. Raises UnknownName, InvalidInput."""
        client = self.known(client_id)
        if not client.has_secret:
            cause = "it is public" if client.public else "it signs its calls (`clients set --jwks` changes its keys)"
            raise InvalidInput(Fault("/id", f"the client {client_id!r} has no secret: {cause}"))
        secret, stored = self._new_secret()
        secrets = (stored, *client.secrets)[:LIVE_SECRETS]
        self._put(dataclasses.replace(client, secrets=secrets))
        self._site.record(Event.CLIENT_SECRET_ROTATED, actor=actor, reason=reason, client=client_id)
        return secret

    def get(self, client_id: str) -> Client | None:
        """The client, as registered at most five seconds ago. Raises Unavailable."""
        return self._cache.get(client_id)

    def known(self, client_id: str) -> Client:
        """The client as it is now. Raises UnknownName."""
        client = self._read(client_id)
        if client is None:
            raise UnknownName("client", client_id)
        return client

    def list(self) -> list[Client]:
        found = (self._read(name) for name in self._registry.names())
        return [client for client in found if client is not None]

    def remove(self, client_id: str, *, actor: str, reason: str = "") -> None:
        """Forget a client and end its sessions: its calls are 401 within five seconds. Raises UnknownName."""
        client = self.known(client_id)
        self._registry.remove(client_id)
        self._cache.forget(client_id)
        self._sessions.end_of_client(client_id, client.practices, actor)
        self._site.record(Event.CLIENT_REMOVED, actor=actor, reason=reason, client=client_id)

    def _put(self, client: Client) -> None:
        """Replace a record. Members that a newer version has written stay."""
        self._registry.put(client.id, client_records.write(client, self._registry.get(client.id)))
        self._cache.forget(client.id)

    def _changed(self, client: Client, changes: ClientChanges) -> Client:
        """`client` with these changes, if it may be registered so. Raises InvalidInput with every fault."""
        found = []
        document = changes.pop("jwks", None)
        if document is not None:
            try:
                client = dataclasses.replace(client, jwks=assertions.read_keys(document))
            except ValueError as error:
                found.append(Fault("/jwks", str(error)))
        auth = changes.pop("auth", None)
        if auth is not None:
            client = dataclasses.replace(client, secret_in_form=auth == "post")
            if client.authentication != AUTHENTICATION_METHODS[auth]:
                found.append(Fault("/auth", f"{auth!r} doesn't fit: the client is {client.authentication} by the rest"))
        client = dataclasses.replace(client, **cast("dict[str, Any]", changes))
        found += client_metadata.faults(client, production=self._deps.settings.production)
        others = [other for other in self.list() if other.id != client.id]
        found += client_metadata.clashes(client, others, self._deps.settings.default_audience)
        if found:
            raise InvalidInput(*found)
        return client

    def _new_secret(self) -> tuple[str, ClientSecret]:
        secret = mint.token(self._deps.entropy, CLIENT_SECRET)
        now_ms = self._deps.clock.now_ms()
        ends_ms = now_ms + self._deps.settings.client_secret_life_s * 1000
        return secret, ClientSecret(mint.digest(secret), now_ms, ends_ms)

    def _read(self, client_id: str) -> Client | None:
        document = self._registry.get(client_id)
        return None if document is None else client_records.read(document)
