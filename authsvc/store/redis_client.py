"""A Redis client for `redis_url`: one server, Sentinel, or Redis Cluster."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import redis
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.retry import Retry
from redis.sentinel import Sentinel

from authsvc.config.settings import Settings

RESOLVING = 2.0  # share of the time-out that a new connection may take, name look-up and handshakes included
_LOOKUPS = ThreadPoolExecutor(max_workers=8, thread_name_prefix="authsvc-redis-connect")


def connect(settings: Settings) -> Any:
    """A client for `redis_url`: redis, rediss, unix, redis+sentinel or redis+cluster.

    The client of a cluster asks for its nodes at once: raises what the library raises when none is there.
    """
    url = settings.redis_url
    options: dict[str, Any] = {
        "socket_timeout": settings.redis_timeout_s,
        "socket_connect_timeout": settings.redis_timeout_s,
        "decode_responses": True,
        # No CLIENT SETINFO: a round trip for each connection, and a refused command where the ACL is minimal.
        "driver_info": None,
    }
    parts = urlsplit(url)
    if parts.scheme not in ("redis+sentinel", "redis+cluster"):
        return _bounded(redis.Redis.from_url(url, **options, retry=Retry(NoBackoff(), 0)))
    login, _, hosts = parts.netloc.rpartition("@")
    user, _, password = login.partition(":")
    query = {name: values[-1] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
    options |= _login(unquote(user), unquote(password))
    if query.get("tls") == "true":
        options["ssl"] = True
        options |= {name: query[name] for name in ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile") if name in query}
    if parts.scheme == "redis+cluster":
        node: Any = ClusterNode
        return RedisCluster(startup_nodes=[node(*_host_port(item, 6379)) for item in hosts.split(",")], **options)
    options["retry"] = Retry(NoBackoff(), 0)
    # Sentinels have the login of the servers, unless the URL names another; an empty password means none.
    of_sentinels = {name: value for name, value in options.items() if name not in ("username", "password")}
    if "sentinel_password" in query:
        of_sentinels |= _login(query.get("sentinel_username", ""), query["sentinel_password"])
    else:
        of_sentinels |= {name: options[name] for name in ("username", "password") if name in options}
    sentinel: Any = Sentinel
    watched = sentinel(
        [_host_port(item, 26379) for item in hosts.split(",")],
        sentinel_kwargs=of_sentinels,
        db=int(query.get("db", 0)),
        **options,
    )
    return _bounded(watched.master_for(parts.path.lstrip("/") or "mymaster"))


class _BoundedConnect:
    """A connection whose name look-up is bounded too: `getaddrinfo` knows no time-out of its own."""

    def connect(self) -> None:
        if getattr(self, "_sock", None) is not None:  # redis-py calls this before each command
            return
        begun: Any = super()
        timeout_s = RESOLVING * (getattr(self, "socket_connect_timeout", None) or 1.0)
        try:
            _LOOKUPS.submit(begun.connect).result(timeout_s)
        except FutureTimeout:
            raise redis.TimeoutError("no connection within the time-out, name look-up included") from None


def _bounded(client: Any) -> Any:
    pool = client.connection_pool
    known = pool.connection_class
    pool.connection_class = type(f"Bounded{known.__name__}", (_BoundedConnect, known), {})
    return client


def _login(user: str, password: str) -> dict[str, str]:
    return {**({"username": user} if user else {}), **({"password": password} if password else {})}


def _host_port(item: str, default: int) -> tuple[str, int]:
    parts = urlsplit(f"//{item}")
    return parts.hostname or "", parts.port or default
