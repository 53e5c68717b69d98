"""The types of value that a setting may have: what each looks like, and what makes one unsafe.

A type takes the raw value (text from the environment, any TOML value from the file) and whether this is production,
and gives the typed value or raises ValueError. The reason never repeats the value: it may be a secret, or hold one.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from itertools import pairwise
from typing import Any

from authsvc.config import urls
from authsvc.config.redis_url import RedisUrl
from authsvc.config.units import say_span, span_ms, span_s
from authsvc.config.urls import plain
from authsvc.text import AUDIENCE as AUDIENCE_ID

Network = IPv4Network | IPv6Network

MIN_KEY_BYTES = 32
"""HMAC and HKDF keys of 256 bits (RFC 7518 §3.2; ASVS 11.2.3 asks for 128 at least)."""

MIN_DISTINCT_BYTES = 16
"""32 random bytes have about 30 distinct values, fewer than 16 once in 10^15 keys: less is a pattern, not a key."""

PLACEHOLDERS = re.compile(r"change.?me|replace.?me|placeholder|your.?secret|insert.?here|sample.?key|example", re.I)
WEAK_PASSWORDS = frozenset({"changeme", "password", "passw0rd", "redis", "authsvc", "secret", "admin", "foobared"})


@dataclass(frozen=True)
class ValueType:
    """`label` is what the reference shows as unit and range; `parse(raw, production)` checks and converts."""

    label: str
    parse: Callable[[object, bool], Any]


# --- numbers, words -----------------------------------------------------------------------------------------------


def seconds(low: int, high: int) -> ValueType:
    """A span in whole seconds. Development may go down to 1 s, so that expiry can be watched."""

    def parse(raw: object, production: bool) -> int:
        value = span_s(raw)
        least = low if production else min(low, 1)
        if not least <= value <= high:
            raise ValueError(f"must be from {say_span(least)} to {say_span(high)}")
        return value

    return ValueType(f"span, {say_span(low)} to {say_span(high)}", parse)


def fine_seconds(low: float, high: float) -> ValueType:
    """A span where fractions of a second count."""

    def parse(raw: object, _production: bool) -> float:
        value = span_ms(raw) / 1_000
        if not low <= value <= high:
            raise ValueError(f"must be from {say_span(low)} to {say_span(high)}")
        return value

    return ValueType(f"span, {say_span(low)} to {say_span(high)}", parse)


def count(low: int, high: int) -> ValueType:
    """A whole number."""

    def parse(raw: object, _production: bool) -> int:
        found = None if isinstance(raw, bool) else re.fullmatch(r"[0-9]{1,9}", str(raw).strip(), re.ASCII)
        if found is None or not low <= int(found[0]) <= high:
            raise ValueError(f"must be a whole number from {low} to {high}")
        return int(found[0])

    return ValueType(f"number, {low} to {high}", parse)


def chance(high: float) -> ValueType:
    """A probability above 0."""

    def parse(raw: object, _production: bool) -> float:
        found = None if isinstance(raw, bool) else re.fullmatch(r"[0-9]{1,3}(?:\.[0-9]{1,12})?", str(raw).strip())
        if found is None or not 0 < float(found[0]) <= high:
            raise ValueError(f"must be a number above 0, at most {high}, in decimal notation")
        return float(found[0])

    return ValueType(f"probability, above 0 to {high}", parse)


def choice(*options: str) -> ValueType:
    """One of a few words, in any case."""
    known = {option.lower(): option for option in options}

    def parse(raw: object, _production: bool) -> str:
        found = known.get(raw.strip().lower()) if isinstance(raw, str) else None
        if found is None:
            raise ValueError(f"must be one of {', '.join(options)}")
        return found

    return ValueType(" · ".join(options), parse)


def _path(raw: object, _production: bool) -> str:
    return "" if raw == "" else plain(raw)


def _audience(raw: object, _production: bool) -> str:
    if not re.fullmatch(AUDIENCE_ID, text := plain(raw), re.ASCII):
        raise ValueError("must be letters, digits and ._:/- only, at most 128, and a URI where it has a colon")
    return text


# --- lists --------------------------------------------------------------------------------------------------------


def _items(raw: object) -> list[str]:
    if isinstance(raw, list) and all(isinstance(item, str) for item in raw):
        return [part for item in raw for part in _items(item)]
    if not isinstance(raw, str):
        raise ValueError("must be text, or a list of texts")
    return [item for item in re.split(r"[,\s]+", raw) if item]


def _networks(raw: object, _production: bool) -> tuple[Network, ...]:
    networks = []
    for number, item in enumerate(_items(raw), start=1):
        try:
            networks.append(ip_network(item))
        except ValueError:
            raise ValueError(f"item {number} is not a network such as 10.0.0.0/8, without host bits") from None
        if networks[-1].prefixlen == 0:
            raise ValueError(f"item {number} trusts the whole internet to say where a request came from")
    return tuple(networks)


# --- secrets ------------------------------------------------------------------------------------------------------


def _redis_url(raw: object, production: bool) -> str:
    url = RedisUrl.parse(raw)
    if production and url.password.lower() in WEAK_PASSWORDS:
        raise ValueError("holds a placeholder for a password")
    if production and not url.tls and not url.stays_on_this_machine:
        raise ValueError(
            "would send secrets in the clear off this machine: use rediss://, or ?tls=true with sentinels or a cluster"
        )
    return plain(raw)


def _secret_keys(raw: object, production: bool) -> tuple[bytes, ...]:
    keys: list[bytes] = []
    for number, item in enumerate(_items(raw), start=1):
        try:
            keys.append(_secret_key(item, production))
        except ValueError as problem:
            raise ValueError(f"item {number} {problem}") from None
        if keys[-1] in keys[:-1]:
            raise ValueError(f"item {number} is there twice")
    if not keys:
        raise ValueError("is empty")
    return tuple(keys)


def _secret_key(item: str, production: bool) -> bytes:
    """One master secret. What a person made up is refused: it must come from a CSPRNG.

    Development takes fixed keys such as tests write down (a text, a sequence), placeholders never.
    """
    if not re.fullmatch(r"[A-Za-z0-9_-]+={0,2}", item) or len(item.rstrip("=")) % 4 == 1:
        raise ValueError("is not base64url (letters, digits, - and _)")
    bare = item.rstrip("=")
    key = base64.urlsafe_b64decode(bare + "=" * (-len(bare) % 4))
    if PLACEHOLDERS.search(item) or PLACEHOLDERS.search(key.decode("latin-1")):
        raise ValueError("is a placeholder")
    if len(key) < MIN_KEY_BYTES:
        raise ValueError(f"has fewer than {MIN_KEY_BYTES} bytes")
    distinct = len(set(key))
    steps = {(after - before) % 256 for before, after in pairwise(key)}
    made_up = distinct < MIN_DISTINCT_BYTES or len(steps) == 1 or all(32 <= byte < 127 for byte in key)
    if distinct < MIN_DISTINCT_BYTES // 2 or (production and made_up):
        raise ValueError("is a pattern or a text and not random bytes")
    return key


PATH = ValueType("path, empty for the packaged default", _path)
AUDIENCE = ValueType("name", _audience)
PUBLIC_URL = ValueType("URL", urls.public_url)
REDIS_URL = ValueType("URL", _redis_url)
MAIL_URL = ValueType("URL", urls.mail_url)
MAIL_OAUTH_URL = ValueType("URL, empty for a password", urls.mail_oauth_url)
MAIL_FROM = ValueType("mail address", urls.mail_from)
BIND = ValueType("HOST:PORT or unix:/path", urls.host_port_or_socket)
HOST_PORT = ValueType("HOST:PORT", urls.host_port)
NETWORKS = ValueType("networks, comma-separated", _networks)
SECRET_KEYS = ValueType("base64url keys, comma-separated", _secret_keys)
