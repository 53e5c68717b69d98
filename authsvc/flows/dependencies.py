"""What the use cases have in common, wired once (`wiring.py`)."""

from __future__ import annotations

from dataclasses import dataclass

from authsvc.config.limits import Limits
from authsvc.config.settings import Settings
from authsvc.config.workflows import Catalogue
from authsvc.crypto import mint
from authsvc.crypto.hashing import HashQueue
from authsvc.flows.data_keys import DataKeys
from authsvc.flows.idempotency import IdempotentAnswers
from authsvc.flows.mail_messages import MailMessages
from authsvc.flows.personal_data import PersonalData
from authsvc.flows.rate_limits import RateLimits
from authsvc.ports import Clock, Entropy


@dataclass(frozen=True)
class Dependencies:
    """Numbers, clock and randomness, keys, and what is sealed with them."""

    settings: Settings
    limits: Limits
    catalogue: Catalogue
    clock: Clock
    entropy: Entropy
    data_keys: DataKeys
    personal_data: PersonalData
    messages: MailMessages
    rate_limits: RateLimits
    answers: IdempotentAnswers
    hash_queue: HashQueue

    def new_id(self) -> str:
        """128 random bits, for a call, a session or a token."""
        return mint.short_id(self.entropy)
