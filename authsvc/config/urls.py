"""The settings that say where: URLs, addresses to listen on, the sender's mailbox.

As in `value_types`: text in, typed value out, or ValueError with a reason that never repeats the value.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from urllib.parse import SplitResult, parse_qsl, unquote_to_bytes, urlsplit

from authsvc import mailbox
from authsvc.text import CONTROL

_HOST = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}(?:\.[a-z0-9-]{1,63})*)?", re.ASCII)
_PATH = re.compile(r"(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9._~-]+)*", re.ASCII)
_MAILBOX = re.compile(r"(?P<name>[^<>\"@,;:\\]*|\"[^<>\"@\\]*\") ?<(?P<address>[^<>]*)>|(?P<bare>[^<>]*)")
_SOCKET = re.compile(r"unix:(/[!-~]{1,100})")  # sockaddr_un has room for 107 bytes of path


def plain(raw: object) -> str:
    """One line of text without white space around it."""
    if not isinstance(raw, str):
        raise ValueError("must be text")
    text = raw.strip()
    if not text:
        raise ValueError("is empty")
    if CONTROL.search(text):
        raise ValueError("must not hold control characters or line breaks")
    return text


def split_url(raw: object) -> tuple[str, SplitResult]:
    """The text and its parts. A broken one is refused here, since the standard library's message would quote it."""
    text = plain(raw)
    if any(char.isspace() or char == "\\" for char in text):
        raise ValueError("must not hold white space or backslashes")
    try:
        return text, urlsplit(text)
    except ValueError:
        raise ValueError("is not a URL") from None


def decoded(text: str) -> str:
    """A user, a password or a path out of a URL, without its percent signs."""
    try:
        found = unquote_to_bytes(text).decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError("has a user or a password that is not UTF-8 once decoded") from None
    if CONTROL.search(found):
        raise ValueError("has a user or a password with control characters")
    return found


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


def public_url(raw: object, production: bool) -> str:
    """Where the service is reached. Tokens carry it byte for byte, so it has one spelling only."""
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


def mail_url(raw: object, production: bool) -> str:
    """How mail leaves."""
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
    userinfo, _, where = parts.netloc.rpartition("@")
    authority(where.lower())
    decoded(userinfo)
    # `ca` (a PEM file, for a mail host with a private authority) is the only option: no switch turns TLS off.
    # In development alone, and to loopback alone, a host that doesn't offer STARTTLS is spoken to without it.
    if [name for name, _ in parse_qsl(parts.query, keep_blank_values=True)] not in ([], ["ca"]):
        raise ValueError("knows one option, ?ca=FILE")
    return text


def mail_oauth_url(raw: object, production: bool) -> str:
    """The token endpoint, with client id and secret before the host and perhaps ?scope=…; or empty."""
    if raw == "":
        return ""
    text, parts = split_url(raw)
    if parts.scheme != "https" and (production or parts.scheme != "http"):
        raise ValueError("must begin with https://")
    userinfo, _, where = parts.netloc.rpartition("@")
    authority(where.lower())
    client, colon, secret = decoded(userinfo).partition(":")
    if not (client and colon and secret):
        raise ValueError("must name client id and secret, https://CLIENT:SECRET@host/path; / in one is written %2F")
    if parts.fragment or [name for name, _ in parse_qsl(parts.query, keep_blank_values=True)] not in ([], ["scope"]):
        raise ValueError("knows one option, ?scope=SCOPE")
    return text


def mail_from(raw: object, _production: bool) -> str:
    """One address, perhaps with a name before it."""
    text = plain(raw)
    found = _MAILBOX.fullmatch(text)
    address = found["address"] or found["bare"] or "" if found else ""
    try:
        mailbox.parse(address)
    except ValueError:
        address = ""
    if not address or not address.isascii():  # beyond ASCII, each mail would need a host that speaks SMTPUTF8
        raise ValueError('must be one address, "no-reply@example.org" or "Maple Clinic <no-reply@example.org>"')
    return text


def host_port(raw: object, _production: bool) -> str:
    """Where to listen."""
    text = plain(raw)
    if authority(text)[1] is None:
        raise ValueError("must be HOST:PORT")
    return text


def host_port_or_socket(raw: object, production: bool) -> str:
    """Where to listen, which may be a unix socket for a proxy on this machine."""
    text = plain(raw)
    if text.startswith("unix:"):
        if not _SOCKET.fullmatch(text):
            raise ValueError("must be unix: and the absolute path of a socket, at most 101 characters")
        return text
    return host_port(text, production)
