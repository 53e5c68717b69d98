"""The connection to Redis: one retry loop around a whole call, and a breaker.

A call is retried until its deadline on everything that may pass by itself: a lost connection, a fail-over, a script
that is not loaded yet. The client library's own retries are off, since they go on asking the address that has failed
(and, with Sentinel, never look for the new master). Every script knows a call that is sent again after a lost answer,
by its own keys or by the call's id, so that nothing happens twice.

When the store is away nothing is decided: callers get `Unavailable`, at once after one second of failures, while a
single probe goes on trying. At most `waiting_limit` threads wait for Redis at a time, so that whatever needs no store
(JWKS, probes) is always answered.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast
from urllib.parse import parse_qs, unquote, urlsplit

import redis
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.exceptions import ClusterDownError, ClusterError, RedisError, ResponseError, TryAgainError
from redis.retry import Retry
from redis.sentinel import Sentinel

from authsvc.config.load import Settings
from authsvc.errors import Unavailable

BREAKER_OPENS_AFTER_S = 1.0
BACKOFF_S = (0.02, 0.25)  # first and largest pause of the retry loop, jittered
WAIT_FOR_TURN_S = 0.25  # how long a call waits for one of the places: a burst passes, a hanging store doesn't
REPLICA_WAIT = 0.5  # share of the socket's time-out that WAIT may take: it answers before the socket gives up

PASSING = (
    redis.ConnectionError,
    redis.TimeoutError,
    redis.ReadOnlyError,
    ClusterDownError,
    ClusterError,
    TryAgainError,
)
"""Errors that may pass by themselves; `ResponseError` passes for the words below only."""
PASSING_WORDS = ("NOREPLICAS", "LOADING", "CLUSTERDOWN", "MASTERDOWN")

T = TypeVar("T")


def practice_prefix(practice_id: str) -> str:
    """The prefix of everything a practice owns: one hash tag, so one slot."""
    return f"authsvc:{{{practice_id}}}:"


def site_prefix(name: str) -> str:
    """The prefix of a site-wide record. `@` can't begin a practice's id."""
    return f"authsvc:{{@{name}}}:"


class Connection:
    """What the rest of the ring talks to Redis through. Thread-safe."""

    def __init__(
        self,
        client: Any,
        *,
        deadline_s: float = 2.0,
        waiting_limit: int = 4,
        replicas: int = 0,
        timeout_s: float = 0.5,
        monotonic: Callable[[], float] = time.monotonic,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client = client
        self._deadline_s = deadline_s
        self._replicas = replicas
        self._replica_timeout_ms = int(timeout_s * 1000 * REPLICA_WAIT)
        self._monotonic = monotonic
        self._pause = pause
        self._places = threading.BoundedSemaphore(waiting_limit)
        self._failing_since: float | None = None
        self._probe = threading.Lock()

    def evaluate(self, source: str, sha: str, keys: tuple[str, ...], args: Sequence[Any], durable: bool) -> list[Any]:
        """Run a Lua script. `durable` changes also wait for a replica, where replicas are configured.

        Raises Unavailable.
        """
        wait = durable and self._replicas > 0
        return self.call(lambda client: self._evaluate(client, source, sha, keys, args, wait))

    def call(self, act: Callable[[Any], T]) -> T:
        """Run `act(client)` until it succeeds or the deadline passes. Raises `Unavailable`."""
        if not self._places.acquire(timeout=WAIT_FOR_TURN_S):
            raise Unavailable("store_busy")
        try:
            if self._failing_since is not None and self._monotonic() - self._failing_since >= BREAKER_OPENS_AFTER_S:
                return self._try_once(act)
            return self._try_until_deadline(act)
        finally:
            self._places.release()

    def _try_once(self, act: Callable[[Any], T]) -> T:
        """The breaker is open: one thread probes, all others fail at once."""
        if not self._probe.acquire(blocking=False):
            raise Unavailable("breaker_open")
        try:
            result = act(self._client)
        except RedisError as error:
            if not self._passes(error):
                raise
            raise Unavailable("store_away") from error
        finally:
            self._probe.release()
        self._failing_since = None
        return result

    def _try_until_deadline(self, act: Callable[[Any], T]) -> T:
        started = self._monotonic()
        step = BACKOFF_S[0]
        while True:
            try:
                result = act(self._client)
            except RedisError as error:
                if not self._passes(error):
                    raise
                now = self._monotonic()
                if self._failing_since is None:
                    self._failing_since = now
                if now + step - started >= self._deadline_s or now - self._failing_since >= BREAKER_OPENS_AFTER_S:
                    raise Unavailable("store_away") from error
                self._pause(random.uniform(step / 2, step))  # noqa: S311 - jitter, not a secret
                step = min(step * 2, BACKOFF_S[1])
            else:
                self._failing_since = None
                return result

    def _passes(self, error: RedisError) -> bool:
        if isinstance(error, ResponseError) and not isinstance(error, PASSING):
            if not str(error).startswith(PASSING_WORDS):
                return False
            if str(error).startswith("NOREPLICAS") and hasattr(self._client, "connection_pool"):
                # The old master of a fail-over: its pooled connections must not be used again.
                self._client.connection_pool.disconnect(inuse_connections=False)
            return True
        return isinstance(error, PASSING)

    def _evaluate(
        self, client: Any, source: str, sha: str, keys: tuple[str, ...], args: Sequence[Any], wait: bool
    ) -> list[Any]:
        if not wait:
            try:
                return cast(list[Any], client.evalsha(sha, len(keys), *keys, *args))
            except redis.exceptions.NoScriptError:
                return cast(list[Any], client.eval(source, len(keys), *keys, *args))
        # WAIT speaks of the writes of its own connection, so both go down the same one.
        if isinstance(client, RedisCluster):
            cluster: Any = client  # the library's own types leave these two out
            node = cluster.get_node_from_key(keys[0])
            if node is None:
                raise ClusterDownError("CLUSTERDOWN no node serves this slot")
            client = cluster.get_redis_connection(node)
        with client.pipeline(transaction=False) as pipe:
            pipe.eval(source, len(keys), *keys, *args)
            pipe.wait(self._replicas, self._replica_timeout_ms)
            answer, reached = pipe.execute()
        if reached < self._replicas:
            raise Unavailable("not_replicated")
        return cast(list[Any], answer)


def connect(settings: Settings) -> Any:
    """A client for `redis_url`: redis, rediss, unix, redis+sentinel or redis+cluster. Opens no connection yet."""
    url = settings.redis_url
    timeouts: dict[str, Any] = {
        "socket_timeout": settings.redis_timeout_s,
        "socket_connect_timeout": settings.redis_timeout_s,
        "decode_responses": True,
        # No CLIENT SETINFO: a round trip for each connection, and a refused command where the ACL is minimal.
        "driver_info": None,
    }
    parts = urlsplit(url)
    if parts.scheme not in ("redis+sentinel", "redis+cluster"):
        return redis.Redis.from_url(url, **timeouts, retry=Retry(NoBackoff(), 0))
    login = parts.netloc.rpartition("@")
    user, _, password = login[0].partition(":")
    query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    if user:
        timeouts["username"] = unquote(user)
    if password:
        timeouts["password"] = unquote(password)
    if query.get("tls") == "true":
        timeouts["ssl"] = True
        for name in ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile"):
            if name in query:
                timeouts[name] = query[name]
    hosts = [_host_port(item, 26379 if parts.scheme == "redis+sentinel" else 6379) for item in login[2].split(",")]
    if parts.scheme == "redis+cluster":
        node: Any = ClusterNode
        return RedisCluster(startup_nodes=[node(host, port) for host, port in hosts], **timeouts)
    timeouts["retry"] = Retry(NoBackoff(), 0)
    sentinel_login = {name: timeouts[name] for name in ("socket_timeout", "socket_connect_timeout")}
    sentinel: Any = Sentinel
    watched = sentinel(hosts, sentinel_kwargs={**sentinel_login, "retry": Retry(NoBackoff(), 0)}, **timeouts)
    return watched.master_for(parts.path.lstrip("/") or "mymaster")


def _host_port(item: str, default: int) -> tuple[str, int]:
    parts = urlsplit(f"//{item}")
    return parts.hostname or "", parts.port or default
