"""The checks of what the service depends on: for `check --live`, and before `serve` and `worker` start."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from authsvc.config.units import say_size
from authsvc.errors import DeliveryDeferred, KeysetUnusable, Unavailable

if TYPE_CHECKING:
    from authsvc.wiring import Service

OK, WARNING, FAULT = "ok", "warning", "fault"
REDIS_AT_LEAST = (7, 0)

log = logging.getLogger("authsvc.start")


@dataclass(frozen=True)
class PreflightResult:
    """One thing that was looked at. A `fault` keeps the service from being run like this; a `warning` doesn't."""

    name: str
    verdict: str
    detail: str


def store(service: Service) -> list[PreflightResult]:
    """Version, eviction policy and persistence of every Redis node. Raises Unavailable."""
    from authsvc.store import watch  # here, so that --help loads no client of Redis

    found = watch.nodes(service.store.call(lambda client: client.info()))
    now_ms, settings = service.clock.now_ms(), service.settings
    return [
        result
        for name, node in found.items()
        for result in (
            *_node(str(name), node, settings.production),
            *_lua(str(name), node),
            *_replicas(str(name), node, settings.redis_replicas),
            *_clock(str(name), node, now_ms),
        )
    ]


def refuse_unsafe_store(service: Service) -> None:
    """A store that forgets (any eviction) or is too old stops the start. One that is away doesn't: it may come back.

    Raises ClickException with what is wrong.
    """
    try:
        faults = [result.detail for result in store(service) if result.verdict == FAULT]
    except Unavailable as away:
        log.warning("the store is away", extra={"reason": away.reason})
        return
    if faults:
        raise click.ClickException(f"Not started: {'; '.join(dict.fromkeys(faults))}.")


def _node(name: str, info: Mapping[str, Any], production: bool) -> list[PreflightResult]:
    version = str(info.get("redis_version", "0.0"))
    kind = str(info.get("server_name", "redis"))
    known = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    found = [
        PreflightResult(name, OK, f"{kind}, speaks Redis {version}")
        if known >= REDIS_AT_LEAST
        else PreflightResult(name, FAULT, f"Redis {version} is too old: 7.0 or Valkey 8 at least")
    ]
    policy = str(info.get("maxmemory_policy", "unknown"))
    if policy == "noeviction":
        found.append(PreflightResult(name, OK, "maxmemory-policy noeviction"))
    else:
        verdict = FAULT if production else WARNING
        detail = f"maxmemory-policy {policy} may forget limits, sessions and revocations: set noeviction"
        found.append(PreflightResult(name, verdict, detail))
    if str(info.get("aof_enabled", "0")) == "1":
        found.append(PreflightResult(name, OK, "append-only file on"))
    else:
        found.append(PreflightResult(name, WARNING, "no append-only file: a restart of Redis signs everybody out"))
    return found


LUA_FAULTS_MENDED = {
    "redis": {(6, 2): 20, (7, 2): 11, (7, 4): 6, (8, 0): 4, (8, 2): 2},
    "valkey": {(7, 2): 11, (8, 0): 6, (8, 1): 4},
}
"""The first release of each series without CVE-2025-49844, CVE-2025-46817, CVE-2025-46818 and CVE-2025-46819, nor with
older faults such as CVE-2024-46981. A series that isn't named, such as Redis 7.0, got no release without them."""


def _lua(name: str, info: Mapping[str, Any]) -> list[PreflightResult]:
    """Whether whoever may run scripts can take the server over."""
    kind = "valkey" if "valkey_version" in info else "redis"
    version = str(info.get(f"{kind}_version", "0.0.0"))
    major, minor, patch = ([int(part) for part in version.split(".") if part.isdigit()] + [0, 0, 0])[:3]
    mended = LUA_FAULTS_MENDED[kind]
    if (major, minor) > max(mended) or patch >= mended.get((major, minor), patch + 1):
        return [PreflightResult(name, OK, f"{kind} {version} has no known fault in Lua")]
    good = ", ".join(f"{one}.{two}.{three}" for (one, two), three in mended.items())
    detail = f"{kind} {version} has known faults in Lua (CVE-2025-49844), unless its own packager mended them: {good}"
    return [PreflightResult(name, WARNING, detail)]


def _replicas(name: str, info: Mapping[str, Any], wanted: int) -> list[PreflightResult]:
    """The replicas that are connected, against how many an act waits for."""
    connected = int(info.get("connected_slaves", 0))
    if info.get("role") != "master" or connected == wanted == 0:
        return []
    if connected < wanted:
        detail = f"{connected} replicas are connected, and every act that lasts waits for {wanted}: it is 503"
    elif connected > wanted:
        detail = (
            f"an act waits for {wanted} of {connected} replicas: a fail-over to another may lose it."
            f" AUTHSVC_REDIS_REPLICAS={connected} keeps it, at the price of 503 while one is away"
        )
    else:
        return [PreflightResult(name, OK, f"all {connected} replicas have an act before it is answered")]
    return [PreflightResult(name, WARNING, detail)]


def _clock(name: str, info: Mapping[str, Any], now_ms: int) -> list[PreflightResult]:
    from authsvc.store import watch

    offset_ms = watch.clock_offset_ms(info, now_ms)
    if offset_ms is None:
        return []
    off = abs(offset_ms) >= watch.CLOCK_OFF_MS
    return [PreflightResult(name, WARNING if off else OK, f"its clock is {offset_ms / 1000:+.1f} s off ours")]


def keys(service: Service) -> PreflightResult:
    """Whether the keyset opens with the configured master secrets."""
    try:
        keyset = service.signing_keys.list()
    except KeysetUnusable as unusable:
        return PreflightResult("keys", FAULT, f"can't be opened: {unusable.reason}")
    except Unavailable:
        return PreflightResult("keys", FAULT, "not looked at: the store is away")
    if not keyset:
        return PreflightResult("keys", WARNING, "none yet: the first `authsvc serve` makes them")
    return PreflightResult("keys", OK, f"{len(keyset)} published, {keyset[0].kid} ({keyset[0].alg}) signs")


def clients(service: Service) -> PreflightResult:
    """Whether a client is called like an audience. `clients add` refuses that, but a setting may have come later."""
    from authsvc.flows import client_metadata

    try:
        every = service.clients.list()
    except Unavailable:
        return PreflightResult("clients", FAULT, "not looked at: the store is away")
    default = service.settings.default_audience
    wrong = [
        f"{client.id}: {fault.detail}"
        for client in every
        for fault in client_metadata.clashes(client, [other for other in every if other.id != client.id], default)
    ]
    return (
        PreflightResult("clients", FAULT, "; ".join(wrong))
        if wrong
        else PreflightResult("clients", OK, f"{len(every)} registered")
    )


NEARLY_FULL = 0.8


def storage(service: Service) -> list[PreflightResult]:
    """Which practices have nearly as much as they may, and whether all of them together could fill the store."""
    try:
        redis_bytes, found = service.practice_storage.read_maxmemory(), service.practice_storage.uses()
    except Unavailable:
        return [PreflightResult("storage", FAULT, "not looked at: the store is away")]
    results = [
        PreflightResult(
            "storage",
            WARNING,
            f"{use.practice} keeps {say_size(use.used_bytes)}, {use.share:.0%} of what it may: at 100 % nothing new is"
            " put on file for it. Which client writes so much? `authsvc audit export --trim` makes room",
        )
        for use in found
        if use.share >= NEARLY_FULL
    ]
    limit_bytes = max((use.limit_bytes for use in found), default=0)
    allowed = f"each of {len(found)} practices may keep {say_size(limit_bytes)}"
    if redis_bytes == 0:
        results.append(PreflightResult("storage", WARNING, f"{allowed}, and Redis has no maxmemory: set one"))
    elif limit_bytes * len(found) > redis_bytes:
        fits = f"up to practice_storage = {say_size(redis_bytes // len(found))} they can't"
        detail = f"{allowed}: together they could fill the {say_size(redis_bytes)} of Redis's maxmemory; {fits}"
        results.append(PreflightResult("storage", WARNING, detail))
    else:
        results.append(PreflightResult("storage", OK, f"{allowed}, of {say_size(redis_bytes)} that Redis may take"))
    return results


def mail(service: Service) -> PreflightResult:
    """Whether the mail host can be reached and takes our log-in. A host that is away is no fault: mail waits."""
    from authsvc import worker

    try:
        return PreflightResult("mail", OK, worker.probe(service))
    except DeliveryDeferred as deferred:
        return PreflightResult(
            "mail", WARNING, f"the mail host can't be used now: {deferred.detail}; mail waits meanwhile"
        )
