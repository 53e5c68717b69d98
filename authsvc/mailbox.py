"""What a mail address is: one rule for the addresses on file and for those that mail is sent to.

RFC 5321's dot-string with the letters beyond ASCII of RFC 6531. Two things are taken beyond the RFC, because mailboxes
like that exist and get mail: dots in a row or at the end (Japanese carriers gave them out; they are sent in quotes,
RFC 5321 §4.1.2) and a domain that DNS knows though IDNA doesn't: with underscores, hyphens in the third and fourth
place, or an encoded sign such as an emoji. Any other local part that is written in quotes is refused: nobody has one,
and every parser reads it differently.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import idna

LOCAL_PART_BYTES: Final = 64  # RFC 5321 §4.5.3.1.1
ADDRESS_BYTES: Final = 254  # RFC 5321 §4.5.3.1.3, erratum 1690

_CHARACTER: Final = r"[^\s\x00-\x20\"(),:;<>@\[\\\]\x7f"
_LOCAL_PART: Final = re.compile(rf"{_CHARACTER}.]{_CHARACTER}]*")
_QUOTED: Final = re.compile(rf'"({_CHARACTER}.]{_CHARACTER}]*)"')
_ASCII_LABEL: Final = re.compile(r"(?![A-Za-z0-9_-]*-\Z)[A-Za-z0-9_][A-Za-z0-9_-]{0,62}", re.ASCII)


@dataclass(frozen=True)
class Mailbox:
    """One address. `local` is as it was written, `domain` in its ASCII form (RFC 5891)."""

    local: str
    domain: str

    @property
    def addr_spec(self) -> str:
        """As envelopes and headers write it."""
        return f'"{self.local}"@{self.domain}' if _needs_quotes(self.local) else f"{self.local}@{self.domain}"


def _needs_quotes(local: str) -> bool:
    return ".." in local or local.endswith(".")


def parse(address: str) -> Mailbox:
    """One address without white space around it. Raises ValueError with a plain reason."""
    local, at, domain = address.rpartition("@")
    if not at:
        raise ValueError("has no @")
    quoted = _QUOTED.fullmatch(local)
    if quoted and _needs_quotes(quoted[1]):  # as the standard writes it
        local = quoted[1]
    if not _LOCAL_PART.fullmatch(local) or len(local.encode()) > LOCAL_PART_BYTES:
        raise ValueError("the part before the @ is not a mailbox name")
    found = Mailbox(local, ascii_domain(domain))
    if len(local.encode()) + 1 + len(found.domain) > ADDRESS_BYTES:
        raise ValueError("is longer than 254 bytes")
    return found


@lru_cache(maxsize=4096)  # a practice's patients share a few providers, and IDNA takes 20 µs
def ascii_domain(domain: str) -> str:
    """A domain as DNS knows it, in lower case. Raises ValueError with a plain reason."""
    try:
        if domain.isascii() or "_" in domain:
            bare = domain.removesuffix(".")
            return ".".join(_label(label) for label in bare.split(".")) + domain[len(bare) :]
        return idna.encode(domain, uts46=True, std3_rules=True).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        raise ValueError("the part after the @ is not a domain name") from None


def _label(label: str) -> str:
    if _ASCII_LABEL.fullmatch(label):
        return label.lower()
    return idna.encode(label, uts46=True, std3_rules=True).decode("ascii")
