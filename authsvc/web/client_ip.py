"""Who is at the other end of the connection, when proxies stand in between.

`X-Forwarded-For` is a claim by whoever sent it. Only a proxy on the list of trusted networks is believed, and only
for the one hop it saw: the list is walked from the right until an address that isn't trusted (none is by default).
`Forwarded` and every other such header is ignored.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from authsvc.web.middleware import Environ

log = logging.getLogger("authsvc.web")

UNKNOWN = "0.0.0.0"  # noqa: S104 - no socket is bound: "no address known", all such peers share one network bucket
MAX_HOPS = 20


class ClientIpResolver:
    """Finds the peer of a request."""

    def __init__(self, trusted: Sequence[IPv4Network | IPv6Network]) -> None:
        self._trusted = tuple(trusted)
        self._warned = False

    def of(self, environ: Environ) -> str:
        """The peer's address: the connection's own, or the nearest one that a trusted proxy vouches for."""
        remote = environ.get("REMOTE_ADDR", "")
        forwarded = environ.get("HTTP_X_FORWARDED_FOR")
        if not forwarded:
            return str(address(remote) or UNKNOWN)
        if not self._trusted:
            self._warn()
            return str(address(remote) or UNKNOWN)
        # A unix socket has no address: only a process on this machine, the proxy, can be there.
        here = address(remote)
        if remote and (here is None or not self._is_trusted(here)):
            return str(here or UNKNOWN)
        for hop in reversed(forwarded.split(",")[-MAX_HOPS:]):
            hop_address = address(hop)
            if hop_address is None:
                break
            here = hop_address
            if not self._is_trusted(hop_address):
                break
        return str(here or UNKNOWN)

    def trusts_peer(self, environ: Environ) -> bool:
        """Whether the connection itself is a trusted proxy's: what it says of a request may be relied on."""
        remote = environ.get("REMOTE_ADDR", "")
        here = address(remote)
        return bool(self._trusted) and (self._is_trusted(here) if here else not remote)

    def _is_trusted(self, one: IPv4Address | IPv6Address) -> bool:
        return any(one in network for network in self._trusted)

    def _warn(self) -> None:
        """Once: behind a proxy that isn't listed, everybody shares one network."""
        if not self._warned:
            self._warned = True
            log.warning("X-Forwarded-For arrives, but no proxy is trusted", extra={"setting": "trusted_proxies"})


def address(text: str) -> IPv4Address | IPv6Address | None:
    """An address as proxies write it (perhaps with a port or in brackets), v4-mapped ones unwrapped; else None."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found = ip_address(text)
    except ValueError:
        return None
    if isinstance(found, IPv6Address):
        return None if found.scope_id else found.ipv4_mapped or found
    return found
