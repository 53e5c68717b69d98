"""The connection to Redis: one retry loop around a whole call, and a circuit breaker for each shard.

A call is retried until its deadline on everything that may pass by itself: a lost connection, a fail-over, a script
that is not loaded yet. The client library's own retries are off, since they go on asking the address that has failed
(and, with Sentinel, never look for the new primary). Every script knows a call that is sent again after a lost answer,
by its own keys or by the call's id, so that nothing happens twice.

When the store is away nothing is decided: callers get `Unavailable`, at once after one second of failures, while a
single probe goes on trying. At most `waiting_limit` threads wait for Redis at a time, so that whatever needs no store
(JWKS, probes) is always answered. A shard of a cluster that is down costs the others nothing.
"""

from __future__ import annotations

import hashlib
import logging
import random
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import redis
from redis.cluster import RedisCluster
from redis.exceptions import ClusterDownError

from authsvc.errors import NotReplicated, Unavailable
from authsvc.store.outages import AWAY, Outage, outage
from authsvc.store.recent_connections import RecentConnections

BREAKER_OPENS_AFTER_S = 1.0
BACKOFF_S = (0.02, 0.25)  # first and largest pause of the retry loop, jittered
WAIT_FOR_TURN_S = 0.25  # how long a call waits for one of the places: a burst passes, a hanging store doesn't
REPLICA_WAIT = 0.5  # share of the socket's time-out that WAIT may take: it answers before the socket gives up
PROBE_MS = 60_000  # how long the key lives that readiness writes
PROBE = "redis.call('SET', KEYS[1], '1', 'PX', ARGV[1]) return {}"
PROBE_SHA = hashlib.sha1(PROBE.encode(), usedforsecurity=False).hexdigest()

SENT = "Timeout reading"  # how the library begins to tell of a command that was sent and not answered in time

T = TypeVar("T")

log = logging.getLogger("authsvc.store")


def practice_prefix(practice_id: str) -> str:
    """The prefix of everything a practice owns: one hash tag, so one slot."""
    return f"authsvc:{{{practice_id}}}:"


def site_prefix(name: str) -> str:
    """The prefix of a site-wide record. `@` can't begin a practice's id."""
    return f"authsvc:{{@{name}}}:"


def _unavailable(found: Outage) -> Unavailable:
    error = Unavailable(found.reason)
    error.sentence = found.sentence
    return error


class _Breaker:
    """What is known of one shard: since when it fails and why, and who may probe it."""

    def __init__(self) -> None:
        self.failing_since: float | None = None
        self.probe = threading.Lock()
        self.why: Outage = AWAY


class Connection:
    """What the rest of the store talks to Redis through. Thread-safe."""

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
        """`client` is a client, or a function that makes one when the first call needs it: a cluster that isn't there
        yet is an outage and doesn't end the process."""
        self._make = client if not hasattr(client, "execute_command") and callable(client) else None
        self._client = None if self._make else client
        self._making = threading.Lock()
        self._deadline_s = deadline_s
        self._replicas = replicas
        self._replica_timeout_ms = int(timeout_s * 1000 * REPLICA_WAIT)
        self._monotonic = monotonic
        self._pause = pause
        self._recent = RecentConnections(monotonic)
        self._places = threading.BoundedSemaphore(waiting_limit)
        self._breakers: dict[str, _Breaker] = {}
        self.clock_offset_ms = 0  # how far Redis's clock is ahead of ours, as last measured
        self.maxmemory = 0  # of the smallest primary, as last read; 0: none is set, or not read yet
        self.refusal = ""  # why no script is to be run though Redis answers; empty: none

    def evaluate(
        self,
        source: str,
        sha: str,
        keys: tuple[str, ...],
        args: Sequence[Any],
        durable: bool,
        *,
        list_read: bool = False,
    ) -> list[Any]:
        """Run a Lua script. `durable` changes also wait for a replica, where replicas are configured; `list_read` as
        for `call`. Raises Unavailable.
        """
        if self.refusal:
            raise Unavailable(self.refusal)
        wait = durable and self._replicas > 0
        return self.call(
            lambda client: self._evaluate(client, source, sha, keys, args, wait), keys[0], list_read=list_read
        )

    def call(self, act: Callable[[Any], T], key: str = "", *, list_read: bool = False) -> T:
        """Run `act(client)` until it succeeds or the deadline passes; `key` names the shard that it goes to.

        A `list_read` isn't sent again once it has timed out: Redis may be busy with it still. Raises `Unavailable`.
        """
        breaker = self._breaker(key)
        if not self._places.acquire(timeout=WAIT_FOR_TURN_S):
            raise Unavailable("store_busy")
        try:
            since = breaker.failing_since
            if since is not None and self._monotonic() - since >= BREAKER_OPENS_AFTER_S:
                return self._try_once(act, breaker)
            return self._try_until_deadline(act, breaker, list_read)
        finally:
            self._places.release()

    def check_writable(self) -> None:
        """Write a key, to the replicas too: a store that answers reads alone is not ready. Raises Unavailable."""
        self.evaluate(PROBE, PROBE_SHA, (site_prefix("site") + "probe",), (PROBE_MS,), durable=True)

    def outage_sentence(self) -> str:
        """Why the store can't be used, as last seen; empty when it can."""
        failing = [breaker.why.sentence for breaker in self._breakers.values() if breaker.failing_since is not None]
        return failing[0] if failing else ""

    def _breaker(self, key: str) -> _Breaker:
        shard = ""
        if key and isinstance(self._client, RedisCluster):
            cluster: Any = self._client
            node = cluster.get_node_from_key(key)
            shard = node.name if node is not None else ""
        return self._breakers.setdefault(shard, _Breaker()) if shard not in self._breakers else self._breakers[shard]

    def _connected(self) -> Any:
        if self._client is None and self._make is not None:
            self._make_client(self._make)
        return self._client

    def _make_client(self, make: Callable[[], Any]) -> None:
        with self._making:  # another thread may have made it meanwhile
            self._client = make() if self._client is None else self._client

    def _try_once(self, act: Callable[[Any], T], breaker: _Breaker) -> T:
        """The breaker is open: one thread probes, all others fail at once."""
        if not breaker.probe.acquire(blocking=False):
            raise Unavailable("breaker_open")
        try:
            result = act(self._connected())
        except Exception as error:
            raise _unavailable(self._failed(error, breaker)) from error
        finally:
            breaker.probe.release()
        self._recovered(breaker)
        return result

    def _try_until_deadline(self, act: Callable[[Any], T], breaker: _Breaker, list_read: bool) -> T:
        started = self._monotonic()
        step = BACKOFF_S[0]
        while True:
            try:
                result = act(self._connected())
            except Unavailable:
                raise
            except Exception as error:
                found = self._failed(error, breaker)
                now, since = self._monotonic(), breaker.failing_since  # None: another thread's call has just succeeded
                open_now = since is not None and now - since >= BREAKER_OPENS_AFTER_S
                once = list_read and isinstance(error, redis.TimeoutError) and str(error).startswith(SENT)
                if once or not found.passing or open_now or now + step - started >= self._deadline_s:
                    raise _unavailable(found) from error
                self._pause(random.uniform(step / 2, step))  # noqa: S311 - jitter, not a secret
                step = min(step * 2, BACKOFF_S[1])
            else:
                self._recovered(breaker)
                return result

    def _failed(self, error: Exception, breaker: _Breaker) -> Outage:
        """Note an outage, and log its cause once. Raises the error again where it is a fault of ours."""
        found = outage(error)
        if found is None:
            raise error
        begins = breaker.failing_since is None and not found.of_one_record
        if begins or breaker.why is not found:
            log.warning("the store can't be used: %s", found.sentence, extra={"reason": found.reason})
        if begins:
            breaker.failing_since = self._monotonic()
        breaker.why = found
        if found.demoted and hasattr(self._client, "connection_pool"):
            # The former primary of a fail-over: the next try resolves the address anew.
            cast(Any, self._client).connection_pool.disconnect(inuse_connections=False)
        return found

    def _recovered(self, breaker: _Breaker) -> None:
        since, breaker.failing_since = breaker.failing_since, None
        if since is not None:
            log.warning("the store can be used again", extra={"reason": breaker.why.reason})

    def _evaluate(
        self, client: Any, source: str, sha: str, keys: tuple[str, ...], args: Sequence[Any], wait: bool
    ) -> list[Any]:
        if not wait:
            try:
                if type(client) is redis.Redis:  # of one server, or of the primary that Sentinel names
                    pool = client.connection_pool
                    return cast(list[Any], self._recent.command(pool, "EVALSHA", sha, len(keys), *keys, *args))
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
            raise NotReplicated
        return cast(list[Any], answer)
