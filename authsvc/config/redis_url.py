"""`redis_url`, read once: every part of it reaches the connection that it is for, or is refused by its name.

    redis://[user:password@]host[:port][/db]       rediss:// the same over TLS
    unix://[user:password@]/path/to.sock           options: db
    redis+sentinel://host[:port][,…]/name          options: db, tls, sentinel_username, sentinel_password
    redis+cluster://host[:port][,…]                options: tls

With TLS also `ssl_ca_certs`, `ssl_certfile` and `ssl_keyfile`. The client library knows more options, among them some
that stop certificate checks.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from authsvc.config.urls import authority, decoded, split_url
from authsvc.text import is_loopback

SCHEMES = ("redis", "rediss", "unix", "redis+sentinel", "redis+cluster")
TLS_FILES = frozenset({"ssl_ca_certs", "ssl_certfile", "ssl_keyfile"})
OPTIONS = {
    "redis": frozenset({"db"}),
    "rediss": frozenset({"db"}) | TLS_FILES,
    "unix": frozenset({"db"}),
    "redis+sentinel": frozenset({"db", "tls", "sentinel_username", "sentinel_password"}) | TLS_FILES,
    "redis+cluster": frozenset({"tls"}) | TLS_FILES,  # a cluster has database 0 only
}
SENTINEL_PORT, REDIS_PORT = 26_379, 6_379
PRIMARY = "mymaster"
"""The name of the primary that the sentinels' own documentation uses; for a URL that names none."""


@dataclass(frozen=True, kw_only=True)
class RedisUrl:
    """The parts of a `redis_url`, decoded.

    `scheme` is one of `SCHEMES`. `hosts` are nodes, or sentinels; empty for `unix`, whose socket is `path`. `primary`
    is the name that the sentinels know it by. The sentinels' own user and password are those of Redis unless the URL
    gives them their own; an empty password of their own: none is sent. TLS and its files are for every connection.
    """

    scheme: str
    hosts: tuple[tuple[str, int], ...] = ()
    path: str = ""
    primary: str = ""
    db: int = 0
    username: str = ""
    password: str = field(default="", repr=False)
    sentinel_username: str = ""
    sentinel_password: str = field(default="", repr=False)
    sentinels_have_their_own_login: bool = False
    tls: bool = False
    ssl_ca_certs: str | None = None
    ssl_certfile: str | None = None
    ssl_keyfile: str | None = None

    @property
    def stays_on_this_machine(self) -> bool:
        return all(is_loopback(host) for host, _ in self.hosts)

    @classmethod
    def parse(cls, raw: object) -> RedisUrl:
        """Raises ValueError with a reason that doesn't repeat the URL."""
        text, parts = split_url(raw)
        scheme = parts.scheme
        if scheme not in SCHEMES or not text[len(scheme) :].startswith("://"):
            raise ValueError("must begin with redis://, rediss://, unix://, redis+sentinel:// or redis+cluster://")
        if parts.fragment:
            raise ValueError("must not have a fragment; a # in the password is written %23")
        options = _options(scheme, parts.query)
        userinfo, _, where = parts.netloc.rpartition("@")
        username, colon, password = userinfo.partition(":")
        username, password = decoded(username), decoded(password)
        if username and not colon:
            raise ValueError("names a user and no password")
        hosts: tuple[tuple[str, int], ...] = ()
        path, primary, db = "", "", options.get("db", "")
        if scheme == "unix":
            if where or len(parts.path) < 2:
                raise ValueError("must be unix:// and the absolute path of a socket, three slashes in a row")
            path = decoded(parts.path)
        else:
            hosts = _hosts(where, several=scheme.startswith("redis+"), port=_PORTS.get(scheme, REDIS_PORT))
            if scheme == "redis+sentinel":
                primary = _primary(parts.path)
            else:
                db = _path_db(scheme, parts.path, db)
        return cls(
            scheme=scheme,
            hosts=hosts,
            path=path,
            primary=primary,
            db=_number(db or "0"),
            username=username,
            password=password,
            sentinel_username=options.get("sentinel_username", username),
            sentinel_password=options.get("sentinel_password", password),
            sentinels_have_their_own_login="sentinel_username" in options or "sentinel_password" in options,
            tls=scheme == "rediss" or "tls" in options,
            **{name: options[name] for name in TLS_FILES & options.keys()},
        )


_PORTS = {"redis+sentinel": SENTINEL_PORT}


def _options(scheme: str, query: str) -> dict[str, str]:
    pairs = parse_qsl(query, keep_blank_values=True)
    options = dict(pairs)
    known = OPTIONS[scheme]
    if unknown := sorted(options.keys() & {name for each in OPTIONS.values() for name in each} - known):
        raise ValueError(f"can't have the option {unknown[0]} with {scheme}://")
    if not options.keys() <= known:
        raise ValueError(f"knows the options {', '.join(sorted(known))} with {scheme}://, each optional")
    if len(options) < len(pairs):
        raise ValueError("has an option twice")
    if options.get("tls", "true") != "true":
        raise ValueError("knows tls=true alone: leave tls out for none")
    if TLS_FILES & options.keys() and scheme != "rediss" and "tls" not in options:
        raise ValueError("names files for TLS, but not tls=true")
    return options


def _hosts(where: str, *, several: bool, port: int) -> tuple[tuple[str, int], ...]:
    hosts = [authority(each) for each in where.lower().split(",")]
    if len(hosts) > 1 and not several:
        raise ValueError("names several hosts: that needs redis+sentinel:// or redis+cluster://")
    return tuple((host, own or port) for host, own in hosts)


def _primary(path: str) -> str:
    if not re.fullmatch(r"(?:/[A-Za-z0-9._-]+)?", path):
        raise ValueError("must end in the name the sentinels know the primary by: redis+sentinel://host:26379/mymaster")
    return path[1:] or PRIMARY


def _path_db(scheme: str, path: str, option: str) -> str:
    """The number of the database, which may stand in the path or as an option."""
    named = path.removeprefix("/")
    if named and scheme == "redis+cluster":
        raise ValueError("must end after the hosts: a cluster has no numbered databases")
    if named and option and named != option:
        raise ValueError("names two databases")
    return named or option


def _number(db: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", db, re.ASCII):
        raise ValueError("must have the number of a database as its db, or as its path")
    return int(db)
