"""Which buckets a call counts against (config/limits.toml has the numbers, the stores do the counting)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from authsvc.config.limits import WIDE_NETWORK, Limits
from authsvc.crypto import addresses
from authsvc.flows.data_keys import DataKeys
from authsvc.model import Bucket, RequestContext


class RateLimits:
    """Buckets of clients, networks, patients and addresses."""

    def __init__(self, limits: Limits, data_keys: DataKeys) -> None:
        self._policies = limits.policies
        self._data_keys = data_keys
        # A call asks twice, and a patient's calls follow one another: a MAC of each network less.
        self._indices_of = lru_cache(maxsize=1_000)(self._indices)

    def bucket(self, policy: str, of: str, *, shown: bool = True, times: int = 1) -> Bucket:
        """One bucket of a policy, so many `times` as large: calls count against it and are refused when it is empty."""
        known = self._policies[policy]
        return Bucket(policy, of, known.quota * times, known.window_s, shown)

    def of_networks(self, policy: str, networks: Sequence[str]) -> list[Bucket]:
        """The buckets of an address's networks, the nearest first."""
        return [
            self.bucket(policy, network, times=WIDE_NETWORK if number else 1) for number, network in enumerate(networks)
        ]

    def of_caller(self, context: RequestContext, network_policy: str | None = None) -> list[Bucket]:
        """The buckets of who calls: the client, and the patient's networks where the caller named the address.

        A public client has none of its own, since anybody can call in its name: its callers were counted one by one.
        """
        client = context.client
        buckets = [self.bucket("client-calls", client.id)] if client and not client.public else []
        if network_policy is not None:
            buckets += self.of_networks(network_policy, self.networks(context))
        return buckets

    def of_peer(self, policy: str, whose: str, peer_ip: str) -> list[Bucket]:
        """The buckets of the peer's networks; `whose` keeps one set of them apart from another."""
        key = self._data_keys.key("address-index")
        indices = [addresses.network_index(key, whose, network) for network in addresses.networks(peer_ip)]
        return self.of_networks(policy, indices)

    def networks(self, context: RequestContext) -> tuple[str, ...]:
        """The patient's networks as keyed hashes, the nearest first; none when the caller didn't name the address."""
        if context.client_ip is None:
            return ()
        return self._indices_of(self._data_keys.key("address-index"), context.practice.id, context.client_ip)

    @staticmethod
    def _indices(key: bytes, practice_id: str, ip: str) -> tuple[str, ...]:
        return tuple(addresses.network_index(key, practice_id, network) for network in addresses.networks(ip))
