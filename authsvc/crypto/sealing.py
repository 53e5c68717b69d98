"""Keys from keys, MACs with a label, and sealing: what every other file here builds on.

HKDF-SHA-256 (RFC 5869) makes one key per label. A MAC is HMAC-SHA-256 over a *framed* label and fields, so that no
two different lists of fields can ever be the same bytes. Sealing is AES-256-GCM with purpose and context as
associated data: a sealed value that is moved to another record or used for another purpose doesn't open.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from authsvc.crypto.mint import b64u, unb64u
from authsvc.ports import Entropy

KEY_BYTES: Final = 32
VERSION: Final = "v1."
# Random 96-bit nonces are safe for 2^32 messages under one key (NIST SP 800-38D §8.3). The busiest purpose is the
# outbox, held to 20,000 mails per hour by its limit: 24 years. A longer nonce would cost every record 16 characters.
NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16
# Lengths tell (`a@x.de` or not?), so plaintexts come in steps.
STEP_BYTES: Final = 64


def frame(*fields: str | bytes) -> bytes:
    """Fields joined so that they can be told apart again: each is led by its length in four bytes."""
    parts = (field.encode() if isinstance(field, str) else field for field in fields)
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def derive(master: bytes, label: str) -> bytes:
    """The 256-bit key of this label (HKDF-SHA-256; no salt, since the master is uniformly random: RFC 5869 §3.1)."""
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=label.encode()).derive(master)


def master_id(master: bytes) -> str:
    """Eight hex digits that name a master secret and tell nothing about it."""
    return derive(master, "authsvc master id v1")[:4].hex()


def raw_mac(key: bytes, label: str, *fields: str | bytes) -> bytes:
    """HMAC-SHA-256 over the framed label and fields, 32 bytes."""
    return hmac.digest(key, frame(label, *fields), hashlib.sha256)


def mac(key: bytes, label: str, data: bytes) -> str:
    """The MAC of `data` under this label, 43 characters. Compare with `hmac.compare_digest`."""
    return b64u(raw_mac(key, label, data))


def seal(key: bytes, purpose: str, plaintext: bytes, context: str, entropy: Entropy) -> str:
    """Encrypt and authenticate. `context` names the record that the value belongs to and is needed to open it."""
    nonce = entropy.token_bytes(NONCE_BYTES)
    return VERSION + b64u(nonce + AESGCM(key).encrypt(nonce, _pad(plaintext), frame(purpose, context)))


def unseal(key: bytes, purpose: str, sealed: str, context: str) -> bytes:
    """What was sealed. Raises ValueError when key, purpose, context or a bit of it differ, and doesn't say which."""
    if not sealed.startswith(VERSION):
        raise ValueError("not a sealed value of a known version")
    data = unb64u(sealed[len(VERSION) :])
    if len(data) < NONCE_BYTES + TAG_BYTES + STEP_BYTES:
        raise ValueError("a sealed value that is too short")
    try:
        padded = AESGCM(key).decrypt(data[:NONCE_BYTES], data[NONCE_BYTES:], frame(purpose, context))
    except InvalidTag:
        raise ValueError("a sealed value that does not open") from None
    return _unpad(padded)


def _pad(plaintext: bytes) -> bytes:
    """One 0x80, then zeros to the next step (ISO/IEC 7816-4). Checked only after the tag, so it is no oracle."""
    return plaintext + b"\x80" + bytes(-(len(plaintext) + 1) % STEP_BYTES)


def _unpad(padded: bytes) -> bytes:
    return padded[: padded.rindex(b"\x80")]
