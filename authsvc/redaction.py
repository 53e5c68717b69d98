"""Texts for the log without what looks like a secret of ours, a credential or a mail address."""

from __future__ import annotations

import re

from authsvc.text import SECRETS

# Every pattern is linear over what a stranger sends: an attempt that fails has looked at no more than a few characters,
# and one that succeeds goes on after its match. So no unbounded repeat is followed by anything that could fail; where
# the end decides, the pattern takes a whole run of characters and a function judges it.
_TOKEN = re.compile(
    rf"(?:(?<![A-Za-z0-9])|(?<=%[0-9A-Fa-f]{{2}}))({'|'.join(SECRETS)})[\w\-.+/=]{{6}}[\w\-.+/=]*", re.ASCII
)
_JWT_RUN = re.compile(r"[\w\-.]+", re.ASCII)
_CREDENTIAL = re.compile(r"\b(Basic|Bearer)(?:\s|%20|\+){1,8}[\w+/=.~\-]{6}[\w+/=.~\-]*", re.IGNORECASE | re.ASCII)
_AUTHORITY = re.compile(r"://[^/\s]+")  # redis://user:password@host
_QUOTED = re.compile(r"\"[^\"\s]{1,64}\"(?=@|%40)")  # "hanako."@example.org
_AT = re.compile(r"@|%(?:25){0,4}40")
_ADDRESS_RUN = re.compile(r"[^\s<>\"'(),;:=/]+")
_SIX_DIGITS = re.compile(r"[0-9]{6}")
_CODE = re.compile(r"\b(code|otp|pin)((?:\W|%[0-9A-F]{2}){1,6})[0-9]{6}\b", re.IGNORECASE | re.ASCII)


def scrub(text: str) -> str:
    """`text` without what looks like a secret of ours, a credential in a URL, or a mail address.

    A plain look before each pattern: most texts hold none of it, and this runs several times a request.
    """
    if "_" in text:
        text = _TOKEN.sub(r"\1[redacted]", text)
    if "eyJ" in text:
        text = _JWT_RUN.sub(_without_jwt, text)
    if " " in text or "\t" in text or "%20" in text or "+" in text:
        text = _CREDENTIAL.sub(r"\1 [redacted]", text)
    if _AT.search(text):
        text = _AUTHORITY.sub(_without_login, _QUOTED.sub("[redacted]", text))
        text = _ADDRESS_RUN.sub(_without_address, text)
    if _SIX_DIGITS.search(text):
        text = _CODE.sub(r"\1\2[redacted]", text)
    return text


def _without_jwt(run: re.Match[str]) -> str:
    """`eyJ` begins a JSON object in base64url; with a dot behind it, it is the header of a JWT or JWE."""
    at = run[0].find("eyJ")
    return run[0] if at < 0 or "." not in run[0][at:] else f"{run[0][:at]}[redacted JWT]"


def _without_login(authority: re.Match[str]) -> str:
    _, at, host = authority[0].rpartition("@")
    return f"://[redacted]@{host}" if at else authority[0]


def _without_address(run: re.Match[str]) -> str:
    local, *others = _AT.split(run[0])
    is_address = local and any("." in domain.strip(".") for domain in others)
    return "[redacted address]" if is_address else run[0]
