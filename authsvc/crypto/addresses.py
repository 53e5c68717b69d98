"""One spelling for a mailbox, and the keyed hashes under which addresses and networks are found.

Redis keeps no address and no network in the clear. What it keeps to find them by is HMAC-SHA-256 under a data key,
with the practice in it: the same person has different hashes at two practices, and a dump can't be searched.
"""

from __future__ import annotations

import re
import unicodedata
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

import idna

from authsvc.crypto.mint import b64u
from authsvc.crypto.sealing import raw_mac

LOCAL_PART_BYTES: Final = 64  # RFC 5321 §4.5.3.1.1
ADDRESS_BYTES: Final = 254  # RFC 5321 §4.5.3.1.3, erratum 1690
INDEX_BYTES: Final = 16  # 128 bits of the MAC: 22 characters, no collision among any number of patients

_CONTROL: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
# RFC 5321's dot-string, with RFC 6531's letters beyond ASCII. Quoted local parts are refused: nobody has one, and
# every parser reads them differently.
_LOCAL_PART: Final = re.compile(r"[^\s\x00-\x20\"(),:;<>@\[\\\]\x7f.]+(\.[^\s\x00-\x20\"(),:;<>@\[\\\]\x7f.]+)*")
_ASCII_LOWER: Final = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}


def canonical(email: str) -> str:
    """The one spelling under which an address is looked up: trimmed, ASCII lower case, the domain in its IDNA ASCII
    form (RFC 5891), and nothing more, since dots and plus signs tell mailboxes apart elsewhere.

    Raises ValueError with a plain reason. What NFKC would change is refused rather than changed: `ﬁona@` must not
    become `fiona@`, who is somebody else.
    """
    text = email.strip(" \t\r\n")
    if any(unicodedata.category(character) in _CONTROL for character in text):
        raise ValueError("contains a control or invisible character")
    if unicodedata.normalize("NFKC", text) != text:
        raise ValueError("contains a character with a plainer twin (Unicode NFKC would change it)")
    local, at, domain = text.translate(_ASCII_LOWER).rpartition("@")
    if not at:
        raise ValueError("has no @")
    if not _LOCAL_PART.fullmatch(local) or len(local.encode()) > LOCAL_PART_BYTES:
        raise ValueError("the part before the @ is not a mailbox name")
    address = f"{local}@{_domain(domain)}"
    if len(address.encode()) > ADDRESS_BYTES:
        raise ValueError("is longer than 254 bytes")
    return address


def _domain(domain: str) -> str:
    try:
        name = idna.encode(domain, uts46=True, std3_rules=True).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        raise ValueError("the part after the @ is not a domain name") from None
    top = name.rpartition(".")[2]
    if "." not in name or name.endswith(".") or top.isdigit():
        raise ValueError("the part after the @ is not a full domain name")
    return name


def index(key: bytes, practice: str, address: str) -> str:
    """Where a practice's mailbox is found, 22 characters. `address` is already canonical."""
    return b64u(raw_mac(key, "authsvc address index v1", practice, address)[:INDEX_BYTES])


def hint(email: str) -> str:
    """Enough of an address for its owner to know it again: `a•••@e•••.com`. Always three dots: lengths tell."""
    local, _, domain = email.rpartition("@")
    name, dot, top = domain.rpartition(".")
    return f"{local[:1]}•••@{name[:1]}•••{dot}{top}"


def networks(ip: str) -> list[str]:
    """The networks whose budgets a patient's address spends: IPv4 its /32, IPv6 its /64 and its /48 (a household gets
    one, a subscriber with a router may get the other). A v4-mapped address counts as what it is.

    Raises ValueError for anything that isn't an address.
    """
    address: IPv4Address | IPv6Address | None = ip_address(ip)
    if isinstance(address, IPv6Address):
        address = address.ipv4_mapped or address
    if isinstance(address, IPv4Address):
        return [f"{address}/32"]
    # A zone (`fe80::1%eth0`) names an interface of one machine, never a network.
    bare = str(address).partition("%")[0]
    return [str(ip_network(f"{bare}/{prefix}", strict=False)) for prefix in (64, 48)]


def network_index(key: bytes, practice: str, ip: str) -> str:
    """Where a network's counters are found, 22 characters; `ip` is an entry of `networks`, or an address."""
    return b64u(raw_mac(key, "authsvc network index v1", practice, ip)[:INDEX_BYTES])
