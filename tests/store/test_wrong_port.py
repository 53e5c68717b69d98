"""Each way in which TLS to Redis fails is named: TLS to a plain port, the reverse, and certificates that don't fit."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from authsvc.config import load as config
from authsvc.demo.embedded import StoreServer
from authsvc.errors import Unavailable
from authsvc.store import redis_client, wrong_port
from tests.conftest import any_server, server_binary
from tests.fakes import environ
from tests.harness.cli import run_command
from tests.resilience.certificates import Authority

HOST = "127.0.0.1"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "authority")


@contextmanager
def listening(context: ssl.SSLContext | None = None, says: bytes = b"") -> Iterator[int]:
    """A port that speaks TLS with `context`, or says this to everybody without it; and hangs up then."""

    def answer() -> None:
        while True:
            try:
                line, _ = server.accept()
            except OSError:
                return
            with line, suppress(OSError):
                if context is None:
                    line.recv(4096)
                    line.sendall(says)
                else:
                    with context.wrap_socket(line, server_side=True) as secured:
                        secured.recv(4096)

    with socket.create_server((HOST, 0)) as server:
        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.fixture(scope="module")
def plain_port() -> Iterator[int]:
    """Of a real Redis without TLS."""
    store = StoreServer(server_binary(any_server()), append_only=False)
    store.start()
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port = probe.getsockname()[1]
    with redis_client.connect(config.load(environ(store.url))) as client:
        client.config_set("port", port)
    try:
        yield port
    finally:
        store.discard()


def refusal(url: str) -> Unavailable:
    settings = config.load(environ(url))
    with pytest.raises(Unavailable) as refused:
        redis_client.connection(settings).call(lambda client: client.ping())
    return refused.value


SCHEMES = {
    "rediss": "rediss://:secret@{host}:{port}/0{ca}",
    "sentinel": "redis+sentinel://:secret@{host}:{port}/main?tls=true{ca}",
    "cluster": "redis+cluster://:secret@{host}:{port}?tls=true{ca}",
}
PLAIN = {
    "redis": "redis://:secret@{host}:{port}/0",
    "without a password": "redis://{host}:{port}/0",
    "sentinel": "redis+sentinel://:secret@{host}:{port}/main",
    "cluster": "redis+cluster://:secret@{host}:{port}",
}


def filled(url: str, port: int, ca: Path | None = None, host: str = HOST) -> str:
    option = "" if ca is None else f"{'&' if '?' in url else '?'}ssl_ca_certs={ca}"
    return url.format(host=host, port=port, ca=option)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_fault_redis_tls_to_plain_port(plain_port: int, scheme: str) -> None:
    refused = refusal(filled(SCHEMES[scheme], plain_port))
    assert refused.reason == "store_tls_not_spoken"
    assert "TLS" in refused.sentence


@pytest.mark.parametrize("scheme", PLAIN)
def test_fault_redis_plain_to_tls_port(authority: Authority, scheme: str) -> None:
    with listening(authority.server_context()) as port:
        assert refusal(filled(PLAIN[scheme], port)).reason == "store_tls_wanted"


@pytest.mark.parametrize("scheme", SCHEMES)
def test_fault_redis_certificate_of_an_unknown_authority(authority: Authority, tmp_path: Path, scheme: str) -> None:
    other = Authority(tmp_path / "other")
    with listening(authority.server_context()) as port:
        assert refusal(filled(SCHEMES[scheme], port, other.ca)).reason == "store_tls_authority"


@pytest.mark.parametrize("scheme", SCHEMES)
def test_fault_redis_certificate_expired(authority: Authority, scheme: str) -> None:
    with listening(authority.server_context(expired=True)) as port:
        assert refusal(filled(SCHEMES[scheme], port, authority.ca)).reason == "store_tls_expired"


@pytest.mark.parametrize(("called", "host"), [("redis.example", HOST), ("redis.example", "localhost")])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_fault_redis_certificate_of_another_host(authority: Authority, scheme: str, called: str, host: str) -> None:
    with listening(authority.server_context(called)) as port:
        assert refusal(filled(SCHEMES[scheme], port, authority.ca, host)).reason == "store_tls_host"


def test_fault_redis_hangs_up_without_tls_is_no_wrong_port() -> None:
    with listening(says=b"") as port:
        assert refusal(filled(PLAIN["redis"], port)).reason == "store_away"


def test_fault_redis_tls_to_a_port_of_something_else_fails_in_its_hand_shake() -> None:
    with listening(says=b"HTTP/1.1 400 Bad Request\r\n\r\n") as port:
        assert refusal(filled(SCHEMES["rediss"], port)).reason == "store_tls"


def test_fault_a_search_for_the_primary_over_tls_that_nobody_answers_is_no_fault_of_tls() -> None:
    with socket.create_server((HOST, 0)) as server:
        port = server.getsockname()[1]
    assert refusal(filled(SCHEMES["sentinel"], port)).reason == "store_away"


def test_nobody_is_asked_again_where_nobody_listens() -> None:
    with socket.create_server((HOST, 0)) as server:
        port = server.getsockname()[1]
    assert not wrong_port._answers_in_the_clear(HOST, port)
    assert not wrong_port._speaks_tls(HOST, port)


def test_a_port_whose_certificate_the_system_trusts_speaks_tls(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca))
    with listening(authority.server_context()) as port:
        assert wrong_port._speaks_tls(HOST, port)


def test_attack_a_password_is_never_sent_to_find_out_what_a_port_speaks() -> None:
    heard: list[bytes] = []

    def answer(server: socket.socket) -> None:
        for _ in range(2):
            line, _peer = server.accept()
            with line:
                heard.append(line.recv(4096))
                line.sendall(b"-NOAUTH Authentication required.\r\n")

    with socket.create_server((HOST, 0)) as server:
        thread = threading.Thread(target=answer, args=(server,))
        thread.start()
        assert refusal(filled(SCHEMES["rediss"], server.getsockname()[1])).reason == "store_tls_not_spoken"
        thread.join()
    assert heard[1] == b"PING\r\n"
    assert not any(b"secret" in said for said in heard)


@pytest.mark.parametrize(
    ("made", "words"),
    [
        ({}, "isn't signed by an authority"),
        ({"expired": True, "ca": True}, "has expired"),
        ({"host": "redis.example", "ca": True}, "isn't for the host name"),
    ],
)
def test_check_live_says_what_is_wrong_with_the_certificate(
    authority: Authority, made: dict[str, Any], words: str
) -> None:
    ca = authority.ca if made.pop("ca", False) else None
    with listening(authority.server_context(**made)) as port:
        ran = run_command(environ(filled(SCHEMES["rediss"], port, ca)), "check", "--live")
    assert ran.code == 1
    assert words in ran.out


def test_check_live_says_which_side_speaks_tls(authority: Authority, plain_port: int) -> None:
    ran = run_command(environ(filled(SCHEMES["rediss"], plain_port)), "check", "--live")
    assert "that port has none" in ran.out
    with listening(authority.server_context()) as port:
        ran = run_command(environ(filled(PLAIN["redis"], port)), "check", "--live")
    assert "that port speaks TLS" in ran.out


def test_a_unix_socket_that_is_not_there_is_away() -> None:
    assert refusal("unix:///nonexistent/store").reason == "store_away"
