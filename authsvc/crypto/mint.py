"""Making things that nobody can guess, and the digests that Redis keeps of them.

A secret of 256 random bits needs no slow hash: SHA-256 of it is found by look-up and can't be searched
(NIST SP 800-63B-4 §3.1.2.2). Only the six-digit code is short; what protects that one is in `hashing.py`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Final

from authsvc.ports import Entropy
from authsvc.text import WEBHOOK_SECRET

TOKEN_BYTES: Final = 32  # 256 bits, 43 characters
WEBHOOK_SECRET_BYTES: Final = 33
SHORT_ID_BYTES: Final = 16  # 128 bits, 22 characters
CODE_SPACE: Final = 10**6  # six decimal digits
LINK_ID_CHARS: Final = 16  # 96 bits: unique among any number of links that will ever be


class Drawn:
    """Unguessable bytes for one act, drawn in one piece: each draw is a system call, at which another thread may take
    the interpreter. What is left over goes with the act, so that none lie ready for the next."""

    def __init__(self, entropy: Entropy, count: int) -> None:
        self._entropy = entropy
        self._bytes = entropy.token_bytes(count)

    def token_bytes(self, count: int) -> bytes:
        """`count` of the drawn bytes, each handed out once; from the source again where too few are left."""
        if count > len(self._bytes):
            return self._entropy.token_bytes(count)
        taken, self._bytes = self._bytes[:count], self._bytes[count:]
        return taken

    def below(self, bound: int) -> int:
        """A uniform integer in [0, bound)."""
        return self._entropy.below(bound)


def b64u(data: bytes) -> str:
    """base64url without padding (RFC 7515 §2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def unb64u(text: str) -> bytes:
    """The bytes of unpadded base64url. Raises ValueError for anything that `b64u` would not have written, such as
    padding, white space or loose trailing bits: one value, one spelling."""
    try:
        data = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (UnicodeEncodeError, binascii.Error):
        raise ValueError("not base64url") from None
    if b64u(data) != text:
        raise ValueError("not canonical base64url")
    return data


def token(entropy: Entropy, prefix: str) -> str:
    """A new secret: a prefix of `text.SECRETS` and 43 characters of 256 random bits."""
    return prefix + b64u(entropy.token_bytes(TOKEN_BYTES))


def webhook_secret(entropy: Entropy) -> str:
    """A new secret for webhooks: base64 of 264 random bits (Standard Webhooks, "Signature scheme"), a multiple of three
    bytes, so that no padding is lost when it is copied."""
    return WEBHOOK_SECRET + base64.b64encode(entropy.token_bytes(WEBHOOK_SECRET_BYTES)).decode()


def short_id(entropy: Entropy) -> str:
    """A new public identifier of 128 random bits, 22 characters."""
    return b64u(entropy.token_bytes(SHORT_ID_BYTES))


def code(entropy: Entropy) -> str:
    """A new six-digit code. Uniform, and a string from end to end so that leading zeros live."""
    return f"{entropy.below(CODE_SPACE):06d}"


def digest(secret: str) -> str:
    """What Redis keeps of a secret of full strength: its SHA-256, 43 characters."""
    return b64u(hashlib.sha256(secret.encode()).digest())


def link_id(link_token: str) -> str:
    """The public id of a link. One-way and labelled, so that it is not the beginning of the stored digest either."""
    return b64u(hashlib.sha256(b"authsvc link id\x00" + link_token.encode()).digest())[:LINK_ID_CHARS]
