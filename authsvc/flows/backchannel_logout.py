"""What a client is told when a session of its patient ends (OpenID Connect Back-Channel Logout 1.0).

The script that ends a session queues the message (`enqueue_logout` in store/lua/lib.lua): no act without it. The client
isn't told of a session whose time has run out, since nobody acts then; it finds out when it refreshes.

Here a queued message is made ready at each try: the address as it is registered now, and a token of the key that signs
now, for it may have waited for hours.
"""

from __future__ import annotations

from authsvc.config.load import Settings
from authsvc.crypto import id_tokens, tokens
from authsvc.errors import DeliveryDeferred, DeliveryRefused, KeysetUnusable
from authsvc.flows.clients import Clients
from authsvc.flows.key_rotation import KeyRotation
from authsvc.model import Client, Message, Practice
from authsvc.ports import Clock
from authsvc.store.outbox import Entry, Recipient
from authsvc.text import check_url


class BackchannelLogout:
    """The worker's look-up for its queue `logouts`."""

    def __init__(self, clients: Clients, keys: KeyRotation, clock: Clock, settings: Settings) -> None:
        self._clients = clients
        self._keys = keys
        self._clock = clock
        self._settings = settings

    def open(self, practice: Practice, entry: Entry, recipient: Recipient) -> Message:
        """The message and where it goes now.

        Raises DeliveryRefused when nobody is to be told any more, DeliveryDeferred without a key, Unavailable.
        """
        client = self._client(practice, recipient.address)
        return Message(
            id=entry.message_id,
            practice=practice,
            kind=entry.kind,
            channel=entry.channel,
            to=recipient.address,
            locale="",
            queued_at_ms=entry.queued_ms,
            until_ms=entry.until_ms,
            expires_at_ms=entry.until_ms,
            url=client.backchannel_logout_uri,
            token=self._token(practice, entry, recipient, client),
        )

    def _client(self, practice: Practice, client_id: str) -> Client:
        client = self._clients.get(client_id)
        # The id may have been given to another practice's client since, and whose patient it is is not for that one.
        if client is None or not client.serves(practice.id) or not client.backchannel_logout_uri:
            raise DeliveryRefused("the client has no address for this any more")
        # As at registration; asked again, because a registration made in development may have come to production.
        try:
            check_url(client.backchannel_logout_uri, production=self._settings.production)
        except ValueError:
            raise DeliveryRefused("the client's address may not be used here") from None
        return client

    def _token(self, practice: Practice, entry: Entry, recipient: Recipient, client: Client) -> str:
        try:
            # By the algorithm of its ID tokens (§2.6): libraries expect no other.
            signer = self._keys.signer_of(client.id_token_alg)
        except KeysetUnusable:
            raise DeliveryDeferred("no key to sign with") from None
        claims = id_tokens.logout_claims(
            issuer=self._settings.public_url,
            client=recipient.address,
            subject=f"{practice.id}:{recipient.patient}",
            sid=entry.body,
            # The same at every try: a client that has done it already, and whose answer was lost, may recognise it.
            jti=entry.message_id,
            now_s=self._clock.now_ms() // 1000,
        )
        return tokens.sign(signer, claims, id_tokens.LOGOUT_TYPE)
