"""A Redis client for a `RedisUrl`: one server, Sentinel, or Redis Cluster. The library never reads the URL itself."""

from __future__ import annotations

import os
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from functools import cache, partial
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.exceptions import AuthenticationError
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry
from redis.sentinel import MasterNotFoundError, Sentinel, SentinelConnectionPool

from authsvc.config.redis_url import RedisUrl
from authsvc.config.settings import Settings
from authsvc.store.connection import Connection
from authsvc.store.wrong_port import FAILED, NamesWrongPort

CONNECTS_WITHIN = 2.0  # share of the time-out that a new connection may take, name look-up and handshakes included


class _Connects:
    """The threads that connect. A fork leaves them behind, so the child gets its own."""

    def __init__(self) -> None:
        self.renew()
        os.register_at_fork(after_in_child=self.renew)

    def renew(self) -> None:
        self.threads = ThreadPoolExecutor(max_workers=8, thread_name_prefix="authsvc-redis-connect")


_CONNECTS = _Connects()


def connection(settings: Settings, client: Any = None) -> Connection:
    """What the store talks through; `client` in the place of one that is made when the first call needs it."""
    return Connection(
        partial(connect, settings) if client is None else client,
        deadline_s=settings.redis_deadline_s,
        waiting_limit=max(1, settings.threads // 2),
        replicas=settings.redis_replicas,
        timeout_s=settings.redis_timeout_s,
    )


def connect(settings: Settings) -> Any:
    """A client for the `redis_url` of the settings.

    The client of a cluster asks for its nodes at once: raises what the library raises when none is there.
    """
    url = settings.redis
    options: dict[str, Any] = {
        "socket_timeout": settings.redis_timeout_s,
        "socket_connect_timeout": settings.redis_timeout_s,
        "decode_responses": True,
        # No CLIENT SETINFO: a round trip for each connection, and a refused command where the ACL is minimal.
        "driver_info": None,
    }
    login = _login(url.username, url.password)
    if url.scheme == "redis+cluster":
        return _cluster(url, {**options, **login, **_tls_files(url)})
    options |= {"retry": Retry(NoBackoff(), 0), **_tls_files(url)}
    if url.scheme == "redis+sentinel":
        return _sentinel(url, options, login)
    if url.scheme == "unix":
        options |= {"connection_class": redis.UnixDomainSocketConnection, "path": url.path}
    else:
        options |= {"connection_class": _class(url), "host": url.hosts[0][0], "port": url.hosts[0][1]}
    return redis.Redis(connection_pool=_Pool(**options, **login, db=url.db))


def _cluster(url: RedisUrl, options: dict[str, Any]) -> Any:
    host, port = url.hosts[0]
    node: Any = ClusterNode
    return RedisCluster(
        # The library takes a class of pools together with a URL only.
        url=f"{'rediss' if url.tls else 'redis'}://{f'[{host}]' if ':' in host else host}:{port}",
        startup_nodes=[node(*other) for other in url.hosts[1:]],
        connection_pool_class=_Pool,
        retry=Retry(NoBackoff(), 0),
        # No CLIENT MAINT_NOTIFICATIONS, for the same reasons as CLIENT SETINFO: only a hosted Redis sends any.
        maint_notifications_config=MaintNotificationsConfig(enabled=False),
        **options,
    )


def _sentinel(url: RedisUrl, options: dict[str, Any], login: dict[str, str]) -> Any:
    untyped: Any = _Sentinels
    manager = untyped([])
    known = _class(url)
    if not url.sentinels_have_their_own_login:
        known = _SentinelSSLConnection if url.tls else _SentinelConnection
    own: dict[str, Any] = _login(url.sentinel_username, url.sentinel_password)
    for host, port in url.hosts:
        pool = redis.ConnectionPool(connection_class=_named(known), host=host, port=port, **options, **own)
        manager.sentinels.append(redis.Redis(connection_pool=pool))
    return manager.master_for(
        url.primary, connection_pool_class=_SentinelPool, ssl=url.tls, db=url.db, **options, **login
    )


def _login(user: str, password: str) -> dict[str, str]:
    return {**({"username": user} if user else {}), **({"password": password} if password else {})}


def _class(url: RedisUrl) -> type[Any]:
    return redis.SSLConnection if url.tls else redis.Connection


def _tls_files(url: RedisUrl) -> dict[str, str]:
    files = {"ssl_ca_certs": url.ssl_ca_certs, "ssl_certfile": url.ssl_certfile, "ssl_keyfile": url.ssl_keyfile}
    return {name: path for name, path in files.items() if path}


class _BoundedConnect:
    """A connection whose name look-up is bounded too: `getaddrinfo` knows no time-out of its own.

    A connect that outlasts its bound goes on, and a second one on the same connection waits for it: two at once would
    read each other's answers.
    """

    _connecting: Future[None] | None = None

    def connect(self) -> None:
        if self._connecting is None:
            if getattr(self, "_sock", None) is not None:  # the library calls this before each command
                return
            begun: Any = super()
            self._connecting = _CONNECTS.threads.submit(begun.connect)
        within_s = CONNECTS_WITHIN * (getattr(self, "socket_connect_timeout", None) or 1.0)
        connecting = self._connecting
        try:
            connecting.result(within_s)
        except FutureTimeout:
            raise redis.TimeoutError("no connection within the time-out, name look-up included") from None
        finally:
            self._connecting = None if connecting.done() else connecting


class _OptionalLogin:
    """A connection that goes on without the login of Redis at a sentinel that doesn't know it.

    One that asks for a login says so then. Nothing is weaker for it: a login proves the caller, not the sentinel, and
    the primary still asks for it.
    """

    username: str | None
    password: str | None

    def connect(self) -> None:
        known: Any = super()
        try:
            known.connect()
        except AuthenticationError:
            login = self.username, self.password
            self.username = self.password = None
            try:
                known.connect()
            finally:
                self.username, self.password = login


class _SentinelConnection(_OptionalLogin, redis.Connection):
    pass


class _SentinelSSLConnection(_OptionalLogin, redis.SSLConnection):
    pass


class _Sentinels(Sentinel):
    def discover_master(self, service_name: str) -> Any:
        """Raises MasterNotFoundError, from why the last sentinel that failed couldn't be asked."""
        FAILED.error = None
        asked: Any = super()
        try:
            return asked.discover_master(service_name)
        except MasterNotFoundError as missing:
            raise missing from FAILED.error


class _Pool(redis.ConnectionPool):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.connection_class = _bounded(self.connection_class)


class _SentinelPool(SentinelConnectionPool):
    def __init__(self, name: str, manager: Any, **options: Any) -> None:
        super().__init__(name, manager, **options)  # type: ignore[no-untyped-call]
        self.connection_class = _bounded(self.connection_class)


def _named(known: Any) -> type[Any]:
    return type(f"Named{known.__name__}", (NamesWrongPort, known), {})


@cache
def _bounded(known: type[Any]) -> type[Any]:
    return type(f"Bounded{known.__name__}", (_BoundedConnect, NamesWrongPort, known), {})
