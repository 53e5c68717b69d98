"""What an error of Redis or of its client library means: the store can't do this now, or a fault of ours.

Everything that a server or the network can say is an outage, whether it is known here or not: a server that refuses in
words of a newer version, or of a proxy, has done nothing. Only what proves a wrong call or a wrong script is a fault.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import redis
from redis.exceptions import (
    AskError,
    ClusterError,
    CrossSlotTransactionError,
    DataError,
    RedisClusterException,
    RedisError,
    ResponseError,
    TryAgainError,
)

from authsvc.errors import DESCRIPTORS_EXHAUSTED, descriptors_exhausted
from authsvc.store import wrong_port


@dataclass(frozen=True)
class Outage:
    """`reason` is a word for log and metric, `sentence` for an operator. `passing`: it may pass within seconds, so it
    is tried again. `demoted`: the server is no primary any more, so its pooled connections must not be used again.
    `of_one_record`: the server is well, and so is what belongs to others."""

    reason: str
    sentence: str
    passing: bool = True
    demoted: bool = False
    of_one_record: bool = False


AWAY = Outage("store_away", "Redis doesn't answer; is it up, and AUTHSVC_REDIS_URL right?")
RESOLUTION = Outage("store_dns", "the host's name can't be resolved")
DESCRIPTORS = Outage(
    DESCRIPTORS_EXHAUSTED,
    "this process or machine has no file descriptor left: raise its limit (ulimit -n, LimitNOFILE, fs.file-max)",
)
HANDSHAKE = Outage("store_tls", "the TLS hand-shake failed; do both sides know a version and a cipher in common?")
NO_TLS = Outage(
    "store_tls_not_spoken",
    "AUTHSVC_REDIS_URL asks for TLS (rediss://, tls=true), and that port has none",
    passing=False,
)
TLS_WANTED = Outage(
    "store_tls_wanted", "that port speaks TLS, and AUTHSVC_REDIS_URL doesn't: rediss://, or tls=true", passing=False
)
EXPIRED = Outage("store_tls_expired", "Redis's TLS certificate has expired, or isn't valid yet", passing=False)
HOST_NAME = Outage(
    "store_tls_host", "Redis's TLS certificate isn't for the host name in AUTHSVC_REDIS_URL", passing=False
)
AUTHORITY = Outage(
    "store_tls_authority",
    "Redis's TLS certificate isn't signed by an authority that is trusted here: name its file by ssl_ca_certs",
    passing=False,
)
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
    "WRONGTYPE": Outage(
        "store_refused",
        "a key holds another type: does another program use this Redis, or what was restored?",
        passing=False,
        of_one_record=True,
    ),
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

# What `ERR` says of the server. redis-py takes the word `ERR` away from most of them.
OF_THE_SERVER: tuple[tuple[re.Pattern[str], Outage], ...] = (
    (re.compile(r"unknown (sub|redis )?command", re.IGNORECASE), COMMAND),
    (re.compile(r"DB index|invalid DB index|SELECT is not allowed"), DATABASE),
    (re.compile(r"The user executing the script can't |ACL failure in script"), REPLIES["NOPERM"]),
    (re.compile(r"Script attempted to access a non local key"), CLUSTER),
)
OF_OURS = re.compile(
    r"wrong number of arg|syntax error|@?user_script:|Error compiling script|value is not|invalid expire",
    re.IGNORECASE,
)
"""What proves a wrong call or a wrong script. All else is the server's, in whatever words."""

# The library puts the number of an error into its own words (EMFILE, ENFILE); of a cluster or of sentinels in a longer
# sentence.
_NO_DESCRIPTOR = re.compile(rf"\bError ({errno.EMFILE}|{errno.ENFILE}) connecting to ")
# Of a failed hand-shake with TLS, in the words of OpenSSL and of `wrong_port`: a cluster's error has no other cause.
_TLS = (
    (re.compile(wrong_port.NO_TLS), NO_TLS),
    (re.compile(wrong_port.TLS), TLS_WANTED),
    (re.compile("certificate has expired|certificate is not yet valid"), EXPIRED),
    (re.compile("(Hostname|IP address) mismatch"), HOST_NAME),
    (re.compile("certificate verify failed"), AUTHORITY),
    (re.compile(r"\[SSL|wrong version number|EOF occurred in violation of protocol"), HANDSHAKE),
)
_PIPELINE = re.compile(r"^Command # \d+ \(.*?\) of pipeline caused error: ", re.DOTALL)
# Before Redis 7, what a command in a script was answered.
_SCRIPT = re.compile(r"^(ERR )?Error running script \(call to \w+\): (@\w+: ?\d+: )*-?(?!user_script)")
_WORD = re.compile(r"[A-Z]{2,}")

REASONS = tuple(
    sorted(
        {
            known.reason
            for known in (
                *(AWAY, DESCRIPTORS, RESOLUTION, PASSWORD, CLUSTER, REFUSED),
                *(HANDSHAKE, NO_TLS, TLS_WANTED, EXPIRED, HOST_NAME, AUTHORITY),
                *REPLIES.values(),
            )
        }
    )
)
"""Every reason, for the metric's label."""


def outage(error: BaseException) -> Outage | None:
    """What an error says of the store; None for a fault of ours."""
    if isinstance(error, DataError | CrossSlotTransactionError):
        return None
    text = _SCRIPT.sub("", _PIPELINE.sub("", str(error)))
    if any(descriptors_exhausted(cause) or _NO_DESCRIPTOR.search(str(cause)) for cause in _causes(error)):
        return DESCRIPTORS
    word = _WORD.match(text)
    if word and word[0] in REPLIES:
        return REPLIES[word[0]]
    for known, code in CLASSES:
        if isinstance(error, known):
            return REPLIES[code]
    if isinstance(error, TryAgainError | AskError | ClusterError | RedisClusterException):
        found = _of_network(error)  # a client that couldn't reach any of the nodes
        return CLUSTER if found is AWAY else found
    if isinstance(error, redis.ConnectionError | redis.TimeoutError):
        return _of_network(error)
    if isinstance(error, ResponseError):
        sentence = text.removeprefix("ERR ")
        if OF_OURS.match(sentence):
            return None
        return next((meaning for known, meaning in OF_THE_SERVER if known.match(sentence)), REFUSED)
    return AWAY if isinstance(error, RedisError | OSError) else None


def _of_network(error: Any) -> Outage:
    """Why no connection came about, as far as the chain of causes tells."""
    text = str(error)
    # "Error 2 connecting to redis.example:6379. No such file or directory.": a socket's path has no port.
    if re.search(r"\bError (2|13) connecting to [^/]+:\d+\. ", text):
        return TLS_FILE
    if re.search(r"Name or service not known|name resolution|nodename nor servname|No address associated", text):
        return RESOLUTION
    if "AuthenticationError" in text:  # of a sentinel: the library reports what each of them answered
        return PASSWORD
    for cause in _causes(error):
        for words, meaning in _TLS:
            if words.search(str(cause)):
                return meaning
    return AWAY


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error, and what it came of."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__
