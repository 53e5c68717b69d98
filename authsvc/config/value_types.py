"""The kinds of value that a setting may have: what each looks like, and what makes one unsafe.

A kind takes the raw value (text from the environment, any TOML value from the file) and whether this is production,
and gives the typed value or raises ValueError. The reason never repeats the value: it may be a secret, or hold one.
"""

from __future__ import annotations

import base64
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from itertools import pairwise
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from authsvc.config.units import say_span, span_ms, span_s

Network = IPv4Network | IPv6Network

MIN_KEY_BYTES = 32
"""HMAC and HKDF keys of 256 bits (RFC 7518 §3.2; ASVS 11.2.3 asks for 128 at least)."""

MIN_DISTINCT_BYTES = 16
"""32 random bytes have about 30 distinct values, fewer than 16 once in 10^15 keys: less is a pattern, not a key."""

PLACEHOLDERS = re.compile(r"change.?me|replace.?me|placeholder|your.?secret|insert.?here|sample.?key|example", re.I)
WEAK_PASSWORDS = frozenset({"changeme", "password", "passw0rd", "redis", "authsvc", "secret", "admin", "foobared"})

REDIS_OPTIONS = frozenset({"db", "tls", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile"})
"""What may follow ? in `redis_url`. The client library knows more, among them some that stop certificate checks."""

_HOST = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}(?:\.[a-z0-9-]{1,63})*)?", re.ASCII)
_PATH = re.compile(r"(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9._~-]+)*", re.ASCII)
_MAILBOX = re.compile(r"(?P<name>[^<>\"@,;:\\]*|\"[^<>\"@\\]*\") ?<(?P<address>[^<>]*)>|(?P<bare>[^<>]*)")
_ADDRESS = re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?", re.ASCII)
_AUDIENCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}", re.ASCII)


@dataclass(frozen=True)
class ValueType:
    """`says` is what the reference shows as unit and range; `parse(raw, production)` checks and converts."""

    says: str
    parse: Callable[[object, bool], Any]


def plain(raw: object) -> str:
    """One line of text without white space around it. Control characters would reach logs, headers and mails."""
    if not isinstance(raw, str):
        raise ValueError("must be text")
    text = raw.strip()
    if not text:
        raise ValueError("is empty")
    if any(unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") for char in text):
        raise ValueError("must not hold control characters or line breaks")
    return text


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
    if not _AUDIENCE.fullmatch(text := plain(raw)):
        raise ValueError("must be letters, digits and ._:/- only, at most 128")
    return text


# --- addresses ----------------------------------------------------------------------------------------------------


def split_url(raw: object) -> tuple[str, SplitResult]:
    """The text and its parts. A broken one is refused here, since the standard library's message would quote it."""
    text = plain(raw)
    if any(char.isspace() or char == "\\" for char in text):
        raise ValueError("must not hold white space or backslashes")
    try:
        return text, urlsplit(text)
    except ValueError:
        raise ValueError("is not a URL") from None


def authority(where: str) -> tuple[str, int | None]:
    """(host, port) of `host`, `host:port` or `[v6]:port`; ValueError unless both are well formed."""
    found = re.fullmatch(r"(?:\[([0-9a-f:.]+)\]|([^\[\]:@/]+))(?::([0-9]{1,5}))?", where, re.ASCII)
    if found is None:
        raise ValueError("must name a host, in lower case, and perhaps a port")
    host, port = found[1] or found[2], int(found[3]) if found[3] else None
    if found[1] is not None:
        try:
            ip_address(host)
        except ValueError:
            raise ValueError("must hold a real IPv6 address between the brackets") from None
    elif not _HOST.fullmatch(host):
        raise ValueError("must name a host, in lower case, and perhaps a port")
    if port is not None and not 1 <= port <= 65_535:
        raise ValueError("must have a port from 1 to 65535")
    return host, port


def is_loopback(host: str) -> bool:
    """Whether traffic to this host stays on the machine. A name other than `localhost` may resolve to anything."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _public_url(raw: object, production: bool) -> str:
    text, parts = split_url(raw)
    scheme, _, rest = text.partition("://")
    if not rest or scheme not in ({"https"} if production else {"https", "http"}):
        raise ValueError("must begin with https://" + ("" if production else " or http://"))
    if "@" in parts.netloc:
        raise ValueError("must not hold a user name or a password")
    if "?" in text or "#" in text:
        raise ValueError("must not have a query or a fragment")
    if text.endswith("/"):
        raise ValueError("must not end in a slash: tokens carry it byte for byte, one slash more and they are refused")
    _, port = authority(parts.netloc)
    if port == {"https": 443, "http": 80}[scheme]:
        raise ValueError("must leave the default port out, since browsers do")
    if not _PATH.fullmatch(parts.path):
        raise ValueError("has a path with characters or segments that would need escaping")
    return text


def _redis_url(raw: object, production: bool) -> str:
    text, parts = split_url(raw)
    if parts.scheme not in ("redis", "rediss", "unix", "redis+sentinel", "redis+cluster"):
        raise ValueError("must begin with redis://, rediss://, unix://, redis+sentinel:// or redis+cluster://")
    if parts.fragment:
        raise ValueError("must not have a fragment; a # in the password is written %23")
    options = parse_qsl(parts.query, keep_blank_values=True)
    if not {name for name, _ in options} <= REDIS_OPTIONS or any(
        name == "tls" and value != "true" for name, value in options
    ):
        raise ValueError(f"knows the options {', '.join(sorted(REDIS_OPTIONS))} (tls=true), each optional")
    userinfo, _, where = parts.netloc.rpartition("@")
    if parts.scheme == "unix":
        if where or len(parts.path) < 2:
            raise ValueError("must be unix:// and the absolute path of a socket, three slashes in a row")
        return text
    hosts = [authority(each)[0] for each in where.lower().split(",")]
    if len(hosts) > 1 and parts.scheme in ("redis", "rediss"):
        raise ValueError("names several hosts: that needs redis+sentinel:// or redis+cluster://")
    if parts.scheme == "redis+sentinel" and not re.fullmatch(r"(?:/[A-Za-z0-9._-]+)?", parts.path):
        raise ValueError("must end in the name the sentinels know the primary by: redis+sentinel://host:26379/mymaster")
    if production and unquote(userinfo.rpartition(":")[2]).lower() in WEAK_PASSWORDS:
        raise ValueError("holds a placeholder for a password")
    several = parts.scheme in ("redis+sentinel", "redis+cluster")
    encrypted = parts.scheme == "rediss" or (several and ("tls", "true") in options)
    if production and not encrypted and not all(is_loopback(host) for host in hosts):
        raise ValueError(
            "would send secrets in the clear off this machine: use rediss://, or ?tls=true with sentinels or a cluster"
        )
    return text


def _mail_url(raw: object, production: bool) -> str:
    text, parts = split_url(raw)
    if parts.scheme in ("file", "console", "inbox"):
        if production:
            raise ValueError("must be smtp:// or smtps:// in production: the other sinks show codes to whoever looks")
        if parts.scheme == "file" and (parts.netloc or len(parts.path) < 2):
            raise ValueError("must be file:// and the absolute path of a folder, three slashes in a row")
        if parts.scheme != "file" and text != f"{parts.scheme}:":
            raise ValueError(f"must be just {parts.scheme}:")
        return text
    if parts.scheme not in ("smtp", "smtps"):
        raise ValueError("must begin with smtp://, smtps:// or file://, or be console: or inbox:")
    if parts.fragment or parts.path not in ("", "/"):
        raise ValueError("must end after host and port; in a password / # ? @ are written %2F %23 %3F %40")
    authority(parts.netloc.rpartition("@")[2].lower())
    # `ca` (a PEM file, for a mail host with a private authority) is the only option: no switch turns TLS off.
    # In development alone, and to loopback alone, a host that doesn't offer STARTTLS is spoken to without it.
    if [name for name, _ in parse_qsl(parts.query, keep_blank_values=True)] not in ([], ["ca"]):
        raise ValueError("knows one option, ?ca=FILE")
    return text


def _mail_oauth_url(raw: object, production: bool) -> str:
    """The token endpoint, with client id and secret before the host and perhaps ?scope=…; or empty."""
    if raw == "":
        return ""
    text, parts = split_url(raw)
    if parts.scheme != "https" and (production or parts.scheme != "http"):
        raise ValueError("must begin with https://")
    userinfo, _, where = parts.netloc.rpartition("@")
    authority(where.lower())
    client, colon, secret = userinfo.partition(":")
    if not (client and colon and secret):
        raise ValueError("must name client id and secret, https://CLIENT:SECRET@host/path; / in one is written %2F")
    if parts.fragment or [name for name, _ in parse_qsl(parts.query, keep_blank_values=True)] not in ([], ["scope"]):
        raise ValueError("knows one option, ?scope=SCOPE")
    return text


def _mail_from(raw: object, _production: bool) -> str:
    text = plain(raw)
    found = _MAILBOX.fullmatch(text)
    if found is None or not _ADDRESS.fullmatch(found["address"] if found["bare"] is None else found["bare"]):
        raise ValueError('must be one address, "no-reply@example.org" or "Maple Clinic <no-reply@example.org>"')
    return text


def _host_port(raw: object, _production: bool) -> str:
    text = plain(raw)
    if authority(text)[1] is None:
        raise ValueError("must be HOST:PORT")
    return text


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
PUBLIC_URL = ValueType("URL", _public_url)
REDIS_URL = ValueType("URL", _redis_url)
MAIL_URL = ValueType("URL", _mail_url)
MAIL_OAUTH_URL = ValueType("URL, empty for a password", _mail_oauth_url)
MAIL_FROM = ValueType("mail address", _mail_from)
HOST_PORT = ValueType("HOST:PORT", _host_port)
NETWORKS = ValueType("networks, comma-separated", _networks)
SECRET_KEYS = ValueType("base64url keys, comma-separated", _secret_keys)
