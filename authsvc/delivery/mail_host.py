"""The mail host that `AUTHSVC_MAIL_URL` names, and what its answers mean.

Only an answer about the recipient's address may cost a patient the mail. Where the host refuses *us* (our log-in, our
sender, our quota, our protocol) nothing is known of the address: the mail is deferred until it ends, counted apart, and
the operator has to mend it. The host's words may quote the address, so the delivery record gets the numbers only:
`550 5.1.1`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

from authsvc.errors import DeliveryDeferred, DeliveryRefused
from authsvc.text import is_loopback

SUBMISSION_PORT: Final = 587  # RFC 6409
SUBMISSIONS_PORT: Final = 465  # RFC 8314 §3.3

UNTRACKED: Final[Mapping[str, tuple[str, str]]] = {
    "mailgun.org": ("X-Mailgun-Track", "no"),
    "postmarkapp.com": ("X-PM-TrackLinks", "None"),
    "sendgrid.net": (
        "X-SMTPAPI",
        '{"filters":{"clicktrack":{"settings":{"enable":0}},"opentrack":{"settings":{"enable":0}}}}',
    ),
}
"""Hosts that would rewrite our links to count clicks, and the header that asks each of them not to (ASVS 14.2.3)."""

ADVICE: Final[Mapping[str, str]] = {
    "host": "the host asks us to come back later",
    "unreachable": "look at name, port, firewall and certificate in AUTHSVC_MAIL_URL",
    "login": "the host doesn't take our user name, password or token: look at AUTHSVC_MAIL_URL",
    "sender": "the host doesn't let this account send as AUTHSVC_MAIL_FROM, not so much, or not this mail: see there",
    "in_doubt": "the host takes longer than AUTHSVC_MAIL_PATIENCE_S for its answer to a whole mail",
    "ours": "a fault of this service: its log has the rest",
}
"""By the cause of a deferral, what an operator may do."""

_WORDS_OF_THE_SENDER: Final = re.compile(rb"\brelay|authenticat|\bsender\b|\bspam\b|reputation|too many", re.IGNORECASE)
"""In the words of an answer without an enhanced status (`550 relay not permitted`), whom it is about."""
_ENHANCED: Final = re.compile(rb"[245]\.[0-9]{1,3}\.[0-9]{1,3}\b")  # RFC 3463
_LOGIN_CODES: Final = frozenset({454, 525, 530, 534, 535, 538})  # RFC 4954 §6, RFC 5248 §2.4
_PROTOCOL_CODES: Final = frozenset({500, 502, 503, 504, 555})  # RFC 5321 §4.2.2: of commands, not of addresses
_OF_THE_SENDER: Final = re.compile(r"[45]\.(?:1\.[78]|3\.\d+|4\.5|5\.\d+|6\.(?![79]\b)\d+|7\.(?!1[78]\b)\d+)")
"""RFC 3463 and its registry: bad sender, the host's own state, its congestion and quotas, protocol, content, security,
policy; but for X.6.7 and X.6.9, by which a recipient takes no address beyond ASCII (RFC 6531), and X.7.17 and X.7.18,
which say that the recipient's mailbox or domain has a new owner (RFC 7293)."""


@dataclass(frozen=True)
class Host:
    """The next hop, as `AUTHSVC_MAIL_URL` says it."""

    name: str
    port: int
    implicit_tls: bool
    user: str = ""
    password: str = field(default="", repr=False)
    ca: str | None = None

    @classmethod
    def of_url(cls, url: str) -> Host:
        """From a URL that the settings have already checked."""
        parts = urlsplit(url)
        implicit = parts.scheme == "smtps"
        return cls(
            name=parts.hostname or "",
            port=parts.port or (SUBMISSIONS_PORT if implicit else SUBMISSION_PORT),
            implicit_tls=implicit,
            user=unquote(parts.username or ""),
            password=unquote(parts.password or ""),
            ca=parse_qs(parts.query)["ca"][0] if parts.query else None,
        )

    @property
    def loopback(self) -> bool:
        return is_loopback(self.name)

    @property
    def untracked(self) -> tuple[tuple[str, str], ...]:
        """The header fields that keep this provider from rewriting links."""
        return tuple(
            header for name, header in UNTRACKED.items() if self.name == name or self.name.endswith(f".{name}")
        )


@dataclass(frozen=True)
class Reply:
    """An answer of the host to one command: `mail` (MAIL FROM), `rcpt`, `data`, or `end` (after the final dot)."""

    stage: str
    code: int
    words: bytes

    @property
    def positive(self) -> bool:
        """By the first digit, which is what a client goes by where it doesn't know the rest (RFC 5321 §4.3.2)."""
        return self.code // 100 == (3 if self.stage == "data" else 2)

    def verdict(self) -> DeliveryDeferred | DeliveryRefused:
        """What a refusal means for the message."""
        detail = numbers(self.code, self.words)
        status = detail.partition(" ")[2]
        if self.code in _LOGIN_CODES:
            return DeliveryDeferred(f"log-in: {detail}", cause="login")
        of_sender = self.stage == "mail" or self.code in _PROTOCOL_CODES or self._blames_the_sender(status)
        if 500 <= self.code <= 599:
            return DeliveryDeferred(f"our sender: {detail}", cause="sender") if of_sender else DeliveryRefused(detail)
        return DeliveryDeferred(detail, cause="sender" if status.endswith(".4.5") else "host")

    def _blames_the_sender(self, status: str) -> bool:
        """Without an enhanced status: a whole mail that is refused was refused for what is in it, since its recipient
        had been taken."""
        if status:
            return _OF_THE_SENDER.fullmatch(status) is not None
        return self.stage in ("data", "end") or _WORDS_OF_THE_SENDER.search(self.words) is not None


def numbers(code: int, words: bytes | str) -> str:
    """`550 5.1.1`: the host's answer without its words."""
    found = _ENHANCED.search(words.encode() if isinstance(words, str) else words)
    return f"{code} {found[0].decode()}" if found else str(code)
