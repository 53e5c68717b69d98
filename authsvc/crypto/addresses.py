"""One spelling for a mailbox, and the keyed hashes under which addresses and networks are found.

Redis keeps no address and no network in the clear. What it keeps to find them by is HMAC-SHA-256 under a data key,
with the practice in it: the same person has different hashes at two practices, and a dump can't be searched.
"""

from __future__ import annotations

import unicodedata
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from authsvc import mailbox
from authsvc.crypto.mint import b64u
from authsvc.crypto.sealing import raw_mac

INDEX_BYTES: Final = 16  # 128 bits of the MAC: 22 characters, no collision among any number of patients

_CONTROL: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
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
    found = mailbox.parse(text.translate(_ASCII_LOWER))
    if "." not in found.domain or found.domain.endswith(".") or found.domain.rpartition(".")[2].isdigit():
        raise ValueError("the part after the @ is not a full domain name")
    return f"{found.local}@{found.domain}"


def index(key: bytes, practice: str, address: str) -> str:
    """Where a practice's mailbox is found, 22 characters. `address` is already canonical."""
    return b64u(raw_mac(key, "authsvc address index v1", practice, address)[:INDEX_BYTES])


def hint(email: str) -> str:
    """Enough of an address for its owner to know it again: `a•••@e•••.com`. Always three dots: lengths tell."""
    local, _, domain = email.rpartition("@")
    name, dot, top = domain.rpartition(".")
    return f"{local[:1]}•••@{name[:1]}•••{dot}{top}"


def networks(ip: str) -> list[str]:
    """The networks whose budgets a patient's address spends, the nearest first: IPv4 its /32, IPv6 its /64 and its /48
    (a household gets one, a subscriber with a router may get the other). A v4-mapped address counts as what it is.

    Raises ValueError for anything that isn't an address.
    """
    address = ip_address(ip)
    if isinstance(address, IPv6Address):
        address = address.ipv4_mapped or address
    if isinstance(address, IPv4Address):
        return [f"{address}/32"]
    # By arithmetic: IPv6Network parses text, which costs five times as much. A zone (`fe80::1%eth0`) names an interface
    # of one machine, never a network.
    number = int(address)
    return [f"{IPv6Address(number >> host << host)}/{128 - host}" for host in (64, 80)]


def network_index(key: bytes, practice: str, ip: str) -> str:
    """Where a network's counters are found, 22 characters; `ip` is an entry of `networks`, or an address."""
    return b64u(raw_mac(key, "authsvc network index v1", practice, ip)[:INDEX_BYTES])
