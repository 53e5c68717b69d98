"""What an error of Redis or of its client library means: the store can't do this now, or a fault of ours.

Everything that a server or the network can say is an outage, whether it is known here or not: a server that refuses in
words of a newer version has still done nothing. Only an error that proves a wrong call or a wrong script is a fault.
"""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass
from typing import Any

import redis
from redis.exceptions import (
    AskError,
    ClusterCrossSlotError,
    ClusterError,
    CrossSlotTransactionError,
    DataError,
    NoScriptError,
    RedisClusterException,
    RedisError,
    ResponseError,
    TryAgainError,
)


@dataclass(frozen=True)
class Outage:
    """`reason` is a word for log and metric, `sentence` for an operator. `passing`: it may pass within seconds, so it
    is tried again. `demoted`: the server is no primary any more, so its pooled connections must not be used again."""

    reason: str
    sentence: str
    passing: bool = True
    demoted: bool = False


AWAY = Outage("store_away", "Redis doesn't answer; is it up, and AUTHSVC_REDIS_URL right?")
RESOLUTION = Outage("store_dns", "the host's name can't be resolved")
CERTIFICATE = Outage("store_tls", "the TLS connection failed: certificate, host name, or no TLS on that port")
TLS_FILE = Outage("store_tls", "a file that AUTHSVC_REDIS_URL names for TLS can't be read", passing=False)
PASSWORD = Outage("store_password", "Redis refused the user or the password", passing=False)
CLUSTER = Outage("store_cluster", "the cluster is down, or a slot is moving")

REPLIES = {
    "OOM": Outage("store_full", "Redis is full (OOM): raise maxmemory or free some", passing=False),
    "NOPERM": Outage(
        "store_permission", "the ACL lacks a command or a key (NOPERM): `authsvc redis-acl`", passing=False
    ),
    "WRONGPASS": PASSWORD,
    "NOAUTH": PASSWORD,
    "DENIED": Outage("store_permission", "Redis is in protected mode (DENIED)", passing=False),
    "MISCONF": Outage("store_disk", "Redis can't write to its disk (MISCONF)", passing=False),
    "IOERR": Outage("store_disk", "Redis can't write to its disk (IOERR)", passing=False),
    "READONLY": Outage(
        "store_readonly", "this server is a replica (READONLY): the address leads to no primary", demoted=True
    ),
    "NOREPLICAS": Outage("store_replicas", "Redis has too few replicas to write (NOREPLICAS)", demoted=True),
    "LOADING": Outage("store_loading", "Redis loads its data (LOADING)"),
    "BUSY": Outage("store_busy_script", "Redis runs a script that doesn't end (BUSY)"),
    "MASTERDOWN": Outage("store_readonly", "the replica has lost its primary (MASTERDOWN)", demoted=True),
    "CLUSTERDOWN": CLUSTER,
    "TRYAGAIN": CLUSTER,
    "MOVED": CLUSTER,
    "ASK": CLUSTER,
}
# The library takes the word away where it has a class for it.
CLASSES: tuple[tuple[type[Exception], str], ...] = (
    (redis.exceptions.OutOfMemoryError, "OOM"),
    (redis.exceptions.NoPermissionError, "NOPERM"),
    (redis.exceptions.AuthenticationError, "WRONGPASS"),
    (redis.exceptions.ReadOnlyError, "READONLY"),
    (redis.exceptions.BusyLoadingError, "LOADING"),
    (redis.exceptions.MasterDownError, "MASTERDOWN"),
)
REFUSED = Outage("store_refused", "Redis refused the call in an unknown way", passing=False)
COMMAND = Outage(
    "store_refused",
    "this server lacks a command: is it Redis 6.2 or newer, or Valkey, and was no command renamed?",
    passing=False,
)
DATABASE = Outage("store_refused", "this server has no database of the number in AUTHSVC_REDIS_URL", passing=False)

# What `ERR` says where the call is right. redis-py takes the word `ERR` away from most of them.
OF_THE_SERVER: tuple[tuple[re.Pattern[str], Outage], ...] = (
    (re.compile(r"^(ERR )?unknown (sub)?command|^(ERR )?Unknown Redis command", re.IGNORECASE), COMMAND),
    (re.compile(r"^(ERR )?(DB index|invalid DB index|SELECT is not allowed)"), DATABASE),
    (re.compile(r"^(ERR )?(max number of clients|AUTH |invalid password|This instance has)"), REFUSED),
)
FAULTS = frozenset({"ERR", "WRONGTYPE", "NOSCRIPT", "CROSSSLOT", "EXECABORT", "NOPROTO", "NOTBUSY", "UNKILLABLE"})
"""First words of replies that prove a wrong call of ours; `ERR` but for the sentences above."""

_PIPELINE = re.compile(r"^Command # \d+ \(.*?\) of pipeline caused error: ", re.DOTALL)
_WORD = re.compile(r"[A-Z]{2,}")

REASONS = tuple(
    sorted({known.reason for known in (AWAY, RESOLUTION, CERTIFICATE, PASSWORD, CLUSTER, REFUSED, *REPLIES.values())})
)
"""Every reason, for the metric's label."""


def outage(error: BaseException) -> Outage | None:
    """What an error says of the store; None for a fault of ours."""
    if isinstance(error, DataError | ClusterCrossSlotError | CrossSlotTransactionError | NoScriptError):
        return None
    text = _PIPELINE.sub("", str(error))
    word = _WORD.match(text)
    if word and word[0] in REPLIES:
        return REPLIES[word[0]]
    for known, code in CLASSES:
        if isinstance(error, known):
            return REPLIES[code]
    if isinstance(error, TryAgainError | AskError | ClusterError | RedisClusterException):
        return CLUSTER
    if isinstance(error, redis.ConnectionError | redis.TimeoutError):
        return _of_network(error)
    if isinstance(error, ResponseError):
        for sentence, meaning in OF_THE_SERVER:
            if sentence.match(text):
                return meaning
        if word and word[0] in FAULTS:
            return None
        # A script's own error has no word of Redis's in front.
        return REFUSED if word else None
    return AWAY if isinstance(error, RedisError | OSError) else None


def _of_network(error: Any) -> Outage:
    """Why no connection came about, as far as the chain of causes tells."""
    text, cause = str(error), error
    # "Error 2 connecting to redis.example:6379. No such file or directory.": a socket's path has no port.
    if re.match(r"Error (2|13) connecting to [^/]+:\d+\. ", text):
        return TLS_FILE
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return CERTIFICATE
        cause = cause.__cause__ or cause.__context__
    if re.search(r"Name or service not known|name resolution|nodename nor servname|No address associated", text):
        return RESOLUTION
    if "AuthenticationError" in text:  # of a sentinel: the library reports what each of them answered
        return PASSWORD
    if re.search(r"SSL|certificate|wrong version number", text, re.IGNORECASE):
        return CERTIFICATE
    return AWAY
