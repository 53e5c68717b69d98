"""Every error of Redis and of its client library is an outage, unless it proves a wrong call of ours."""

from __future__ import annotations

import errno
import inspect
import os
import resource
import socket
import ssl
from collections.abc import Callable

import pytest
import redis
from redis import exceptions

from authsvc.errors import Unavailable
from authsvc.store.connection import Connection
from authsvc.store.outages import REASONS, REPLIES, outage

OURS = {"DataError", "CrossSlotTransactionError"}
"""What the library says by itself of a wrong call, before anything is sent."""

CLASSES = [
    known
    for name, known in sorted(vars(exceptions).items())
    if inspect.isclass(known) and issubclass(known, exceptions.RedisError | exceptions.RedisClusterException)
]


def made(known: type[Exception]) -> Exception:
    if issubclass(known, exceptions.AskError):
        return known("1234 127.0.0.1:6379")
    return known("said so")


@pytest.mark.parametrize("known", CLASSES, ids=lambda known: known.__name__)
def test_every_class_of_the_client_library_is_known(known: type[Exception]) -> None:
    assert (outage(made(known)) is None) == (known.__name__ in OURS)


@pytest.mark.parametrize("word", sorted(REPLIES))
@pytest.mark.parametrize("pipelined", ["", "Command # 1 (EVAL local now … ) of pipeline caused error: "])
def test_every_reply_of_redis_that_is_no_fault_of_ours_is_an_outage(word: str, pipelined: str) -> None:
    found = outage(exceptions.ResponseError(f"{pipelined}{word} something is wrong. script: 0a1b, on @user_script:4."))
    assert found is REPLIES[word]


def test_a_word_of_a_newer_redis_is_an_outage() -> None:
    found = outage(exceptions.ResponseError("QUOTA exceeded for this tenant"))
    assert found
    assert found.reason == "store_refused"


@pytest.mark.parametrize(
    "text",
    [
        "ERR max number of clients reached",
        "ERR AUTH <password> called without any password configured for the default user",
        "ERR unknown command 'EVALSHA'",
        "unknown command 'EVALSHA', with args beginning with: 'a' '0' ",
        "unknown subcommand 'NO-EVICT'. Try CLIENT HELP.",
        "Unknown Redis command called from script script: ac496b, on @user_script:1.",
        "DB index is out of range",
        "SELECT is not allowed in cluster mode",
        "max number of clients reached",
        "Script killed by user with SCRIPT KILL. script: 0a1b, on @user_script:1.",
        "words of a proxy that nobody knows",
        *(f"{word} as this proxy says" for word in ("NOSCRIPT", "CROSSSLOT", "EXECABORT", "UNKILLABLE", "NOPROTO")),
    ],
)
def test_fault_whatever_the_server_says_is_an_outage(text: str) -> None:
    assert outage(exceptions.ResponseError(text))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("The user executing the script can't run this command or subcommand script: 0a", "store_permission"),
        ("ERR The user executing the script can't access at least one of the keys", "store_permission"),
        ("ERR Error running script (call to f_0a): @user_script:3: OOM command not allowed", "store_full"),
        ("Error running script (call to f_0a): @user_script: 3: @user_script: 3: -READONLY no", "store_readonly"),
        ("Script attempted to access a non local key in a cluster node script: 0a", "store_cluster"),
        ("WRONGTYPE Operation against a key holding the wrong kind of value", "store_refused"),
    ],
)
def test_what_a_command_in_a_script_was_refused_for_is_named(text: str, reason: str) -> None:
    found = outage(exceptions.ResponseError(text))
    assert found
    assert found.reason == reason


def test_fault_a_command_that_the_acl_takes_from_scripts_is_503_and_named(store_url: str) -> None:
    with redis.Redis.from_url(store_url) as client:
        client.acl_setuser(
            "narrow", enabled=True, passwords=["+p"], categories=["+@all"], commands=["-xadd"], keys=["*"]
        )
    with redis.Redis.from_url(store_url, username="narrow", password="p") as client:
        with pytest.raises(Unavailable) as refused:
            Connection(client).call(lambda client: client.eval("return redis.call('XADD', 'a', '*', 'b', 'c')", 0))
        client.acl_deluser("narrow")
    assert refused.value.reason == "store_permission"


def test_fault_a_server_that_lacks_a_command_is_503_and_named(store_url: str) -> None:
    with redis.Redis.from_url(store_url) as client, pytest.raises(Unavailable) as refused:
        Connection(client).call(lambda client: client.execute_command("RENAMED", "1"))
    assert refused.value.reason == "store_refused"
    assert "lacks a command" in refused.value.sentence


def test_fault_a_database_that_the_server_does_not_have_is_named(store_url: str) -> None:
    with redis.Redis.from_url(store_url, db=9999) as client, pytest.raises(Unavailable) as refused:
        Connection(client).call(lambda client: client.ping())
    assert "no database of the number" in refused.value.sentence


def test_fault_a_file_for_tls_that_is_not_there_is_named() -> None:
    client = redis.Redis.from_url("rediss://127.0.0.1:1/0?ssl_ca_certs=/nonexistent.pem")
    with socket.create_server(("127.0.0.1", 0)) as server, pytest.raises(Unavailable) as refused:
        client.connection_pool.connection_kwargs["port"] = server.getsockname()[1]
        Connection(client, pause=lambda _: None).call(lambda client: client.ping())
    assert "names for TLS" in refused.value.sentence


@pytest.mark.parametrize(
    "text",
    [
        "ERR wrong number of arguments",
        "user_script:1: index nil",
        "ERR Error running script (call to f_0a): @user_script:3: user_script:3: attempt to index a nil value",
    ],
)
def test_an_error_of_a_script_stays_a_fault_of_ours(text: str) -> None:
    assert outage(exceptions.ResponseError(text)) is None
    with pytest.raises(redis.ResponseError):
        Connection(object()).call(raising(exceptions.ResponseError(text)))


def raising(error: Exception) -> Callable[[object], None]:
    """A call that always fails."""

    def act(_: object) -> None:
        raise error

    return act


@pytest.mark.parametrize(
    ("cause", "reason"),
    [
        (socket.gaierror(-2, "Name or service not known"), "store_dns"),
        (ssl.SSLCertVerificationError(1, "certificate verify failed"), "store_tls_authority"),
        (ssl.SSLCertVerificationError(1, "certificate verify failed: certificate has expired"), "store_tls_expired"),
        (ssl.SSLError(1, "[SSL: TLSV1_ALERT_PROTOCOL_VERSION] tlsv1 alert protocol version"), "store_tls"),
        (ConnectionRefusedError(111, "Connection refused"), "store_away"),
    ],
)
def test_why_no_connection_came_about_is_named(cause: OSError, reason: str) -> None:
    error = redis.ConnectionError(f"Error connecting: {cause}.")
    error.__cause__ = cause
    found = outage(error)
    assert found
    assert found.reason == reason


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EMFILE, os.strerror(errno.EMFILE)),
        OSError(errno.ENFILE, os.strerror(errno.ENFILE)),
        redis.ConnectionError(f"Error {errno.EMFILE} connecting to redis.example:6379. Too many open files."),
        redis.ConnectionError(f"Error {errno.ENFILE} connecting to /run/redis.sock. Too many open files in system."),
        exceptions.RedisClusterException(
            "Redis Cluster cannot be connected. Please provide at least one reachable node: "
            f"Error {errno.EMFILE} connecting to redis.example:6379. Too many open files."
        ),
    ],
)
def test_fault_no_file_descriptor_for_a_connection_is_named_and_passes(error: Exception) -> None:
    found = outage(error)
    assert found
    assert (found.reason, found.passing) == ("descriptors_exhausted", True)


def test_fault_few_descriptors_the_client_library_says_which_error_it_met(store_url: str) -> None:
    """The words that are looked for are those of the library, of a real process without a descriptor left."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with redis.Redis.from_url(store_url) as client:
        connection = Connection(client, deadline_s=0.0, pause=lambda _: None)
        resource.setrlimit(resource.RLIMIT_NOFILE, (1, hard))
        try:
            with pytest.raises(Unavailable) as refused:
                connection.call(lambda client: client.ping())
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert refused.value.reason == "descriptors_exhausted"
    assert "ulimit" in connection.outage_sentence()


@pytest.mark.parametrize("word", ["OOM", "NOPERM", "WRONGPASS", "MISCONF"])
def test_what_waiting_does_not_cure_is_refused_at_once(word: str) -> None:
    tries = []

    def act(_: object) -> None:
        tries.append(1)
        raise exceptions.ResponseError(f"{word} no")

    with pytest.raises(Unavailable) as refused:
        Connection(object()).call(act)
    assert len(tries) == 1
    assert refused.value.reason in REASONS


def test_a_cluster_that_is_not_there_at_the_start_is_an_outage_and_is_asked_again() -> None:
    built = []

    def make() -> object:
        built.append(1)
        if len(built) < 2:
            raise exceptions.RedisClusterException("Redis Cluster cannot be connected")
        return "client"

    assert Connection(make, pause=lambda _: None).call(lambda client: client) == "client"


def test_the_cause_is_logged_once_and_so_is_the_recovery(caplog: pytest.LogCaptureFixture) -> None:
    connection = Connection(object())
    for _ in range(3):
        with pytest.raises(Unavailable):
            connection.call(raising(exceptions.ResponseError("OOM no")))
    assert "full" in connection.outage_sentence()
    assert connection.call(lambda client: 1) == 1
    assert connection.outage_sentence() == ""
    assert [record.message for record in caplog.records] == [
        f"the store can't be used: {REPLIES['OOM'].sentence}",
        "the store can be used again",
    ]


def test_each_new_cause_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    connection = Connection(object())
    for word in ("OOM", "OOM", "NOPERM"):
        with pytest.raises(Unavailable):
            connection.call(raising(exceptions.ResponseError(f"{word} no")))
    assert [vars(record)["reason"] for record in caplog.records] == ["store_full", "store_permission"]


def test_a_failed_handshake_is_known_by_its_text_alone() -> None:
    found = outage(redis.ConnectionError("Error 1 connecting. [SSL: WRONG_VERSION_NUMBER] wrong version number"))
    assert found
    assert found.reason == "store_tls"
