"""The checks of what the service depends on: for `check --live`, and before `serve` and `worker` start."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

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
    info = service.store.call(lambda client: client.info())
    nodes = info.items() if info and all(isinstance(node, Mapping) for node in info.values()) else [("redis", info)]
    return [result for name, node in nodes for result in _node(str(name), node, service.settings.production)]


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


def mail(service: Service) -> PreflightResult:
    """Whether the mail host can be reached and takes our log-in. A host that is away is no fault: mail waits."""
    from authsvc import worker

    try:
        return PreflightResult("mail", OK, worker.probe(service))
    except DeliveryDeferred as deferred:
        return PreflightResult(
            "mail", WARNING, f"the mail host can't be used now: {deferred.detail}; mail waits meanwhile"
        )
