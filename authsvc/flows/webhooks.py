"""The secrets that sign a practice's webhooks: shown once, kept sealed for their practice, two during a rotation."""

from __future__ import annotations

from typing import Final

from authsvc.crypto import mint, sealing
from authsvc.flows.data_keys import DataKeys
from authsvc.model import Practice, WebhookSecret, WebhookTarget
from authsvc.ports import Clock, Entropy

LIVE_SECRETS: Final = 2
ROTATION_MS: Final = 7 * 86_400_000  # how long the secret before signs too: time to give the new one to the provider


class Webhooks:
    """Makes secrets, and opens them for the worker."""

    def __init__(self, data_keys: DataKeys, entropy: Entropy, clock: Clock) -> None:
        self._data_keys = data_keys
        self._entropy = entropy
        self._clock = clock

    def new_secret(self, practice_id: str) -> tuple[str, WebhookSecret]:
        """A new secret, and what is kept of it."""
        secret = mint.webhook_secret(self._entropy)
        sealed = sealing.seal(self._key(), "webhook secret", secret.encode(), practice_id, self._entropy)
        return secret, WebhookSecret(sealed, self._clock.now_ms())

    def target(self, practice: Practice) -> WebhookTarget | None:
        """Where the practice takes messages now; None where it doesn't. Raises Unavailable, ValueError for a secret
        that was sealed for another practice."""
        if practice.missing_for_webhook:
            return None
        newest, *earlier = practice.webhook_secrets
        in_rotation = self._clock.now_ms() - newest.created_ms < ROTATION_MS
        live = [newest, *earlier] if in_rotation else [newest]
        return WebhookTarget(practice.webhook_url, tuple(self._open(practice.id, secret) for secret in live))

    def _open(self, practice_id: str, secret: WebhookSecret) -> str:
        return sealing.unseal(self._key(), "webhook secret", secret.sealed, practice_id).decode()

    def _key(self) -> bytes:
        return self._data_keys.key("webhooks")
