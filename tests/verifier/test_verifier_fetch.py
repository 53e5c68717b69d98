"""Fetching the key set from a real server: slow, large, lying and redirecting ones included."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from authsvc import verifier as under_test
from authsvc.verifier import JWKS_MAX_BYTES, InvalidToken, KeysUnavailable, Verifier, fetch_jwks
from tests.vectors import generate as kit

if TYPE_CHECKING:
    from tests.verifier.conftest import Clock, Server


@pytest.fixture
def live(server: Server, clock: Clock) -> Verifier:
    return Verifier(kit.ISSUER, kit.AUDIENCE, kit.PRACTICE, jwks_url=server.jwks_url, now=clock)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(under_test, "FETCH_TIMEOUT_S", 0.2)


def test_a_token_is_verified_with_the_keys_of_a_real_server(live: Verifier, server: Server) -> None:
    assert live.verify(kit.token())
    assert live.verify(kit.token(key=kit.RS256))
    assert server.hits == ["/.well-known/jwks.json"]


def test_the_request_says_what_it_wants_and_brings_nothing(server: Server) -> None:
    fetch_jwks(server.url + "?v=1")
    assert server.hits == ["/?v=1"]
    assert server.headers[0]["Accept"] == "application/json"
    assert not {"Authorization", "Cookie"} & server.headers[0].keys()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_refused_and_not_followed(status: int, live: Verifier, server: Server, canary: Server) -> None:
    server.answer = server.publish(b"", status, Location=canary.jwks_url)
    with pytest.raises(KeysUnavailable):
        live.verify(kit.token())
    assert (len(server.hits), canary.hits) == (1, [])


@pytest.mark.parametrize("status", [201, 204, 304, 404, 500, 503])
def test_a_key_set_with_another_status_than_200_is_none(status: int, live: Verifier, server: Server) -> None:
    server.answer = server.publish(b"" if status in (204, 304) else kit.JWKS, status)
    with pytest.raises(KeysUnavailable):
        live.verify(kit.token())


def test_an_error_after_a_good_answer_keeps_the_keys(live: Verifier, server: Server, clock: Clock) -> None:
    live.verify(kit.token())
    for status in (500, 302, 404):
        server.answer = server.publish(b"<html>", status)
        clock.now += 301
        assert live.verify(kit.having(iat=int(clock.now), exp=int(clock.now) + 600))
    assert len(server.hits) == 4


def test_an_oversized_key_set_is_refused_and_not_read_to_its_end(server: Server, live: Verifier) -> None:
    def endless(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        while not server.stopped.is_set():
            request.wfile.write(b" " * 65536)

    server.answer = endless
    assert len(fetch_jwks(server.jwks_url)) == JWKS_MAX_BYTES + 1
    with pytest.raises(KeysUnavailable):
        live.verify(kit.token())


def test_a_key_set_of_just_the_allowed_size_is_taken(server: Server, live: Verifier) -> None:
    body = json.dumps(kit.JWKS).encode()
    server.answer = server.publish(body + b" " * (JWKS_MAX_BYTES - len(body)))
    assert live.verify(kit.token())


@pytest.mark.usefixtures("impatient")
def test_a_server_that_never_answers_is_given_up(server: Server, live: Verifier) -> None:
    def say_nothing(request: BaseHTTPRequestHandler) -> None:
        server.stopped.wait(10)

    server.answer = say_nothing
    with pytest.raises(KeysUnavailable):
        live.verify(kit.token())


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("part", ["status line", "header", "body"])
def test_a_server_that_drips_is_given_up_though_every_byte_comes_in_time(part: str, server: Server) -> None:
    def drip(request: BaseHTTPRequestHandler) -> None:
        request.wfile.write(
            {"status line": b"", "header": b"HTTP/1.0 200 OK\r\nA: ", "body": b"HTTP/1.0 200 OK\r\n\r\n"}[part]
        )
        while not server.stopped.wait(0.02):
            request.wfile.write(b"x")

    server.answer = drip
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        fetch_jwks(server.jwks_url)
    assert time.monotonic() - began < 2


def test_the_timeout_is_two_seconds() -> None:
    assert (under_test.FETCH_TIMEOUT_S, under_test.CONNECT_TIMEOUT_S) == (2.0, 6.0)


def test_a_silent_name_server_holds_nobody_up(
    server: Server, live: Verifier, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(under_test, "CONNECT_TIMEOUT_S", 0.1)
    ended, look_up = threading.Event(), socket.getaddrinfo

    def silent(*args: Any, **more: Any) -> Any:
        ended.wait(20)
        return look_up(*args, **more)

    monkeypatch.setattr(socket, "getaddrinfo", silent)
    with pytest.raises(KeysUnavailable):
        live.verify(kit.token())
    (waiting,) = [thread for thread in threading.enumerate() if thread.name == "jwks-connect"]
    ended.set()
    waiting.join(20)
    assert server.hits == [], "the connection that came too late asked for nothing"
    monkeypatch.undo()
    clock.now += 31
    assert live.verify(kit.token())


def test_a_name_that_nobody_has_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(socket.gaierror):
        fetch_jwks("https://nobody.example/jwks.json")


def test_a_deadline_that_is_over_reads_nothing() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"late")
        with pytest.raises(TimeoutError):
            under_test._UntilDeadline(ours, time.monotonic()).makefile("rb").read(4)


@pytest.mark.parametrize("answer", [b"garbage\r\n\r\n", b"", b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{}"])
def test_an_answer_that_is_no_http_or_cut_short_is_refused(answer: bytes, server: Server, live: Verifier) -> None:
    def speak(request: BaseHTTPRequestHandler) -> None:
        request.wfile.write(answer)
        request.close_connection = True

    server.answer = speak
    with pytest.raises((http.client.HTTPException, OSError, ValueError)):
        under_test.parse_jwks(fetch_jwks(server.jwks_url))
    with pytest.raises(KeysUnavailable):
        live.verify(kit.token())


def test_nobody_listens(live: Verifier, server: Server) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/jwks.json"
        with pytest.raises(OSError, match="refused"):
            fetch_jwks(url)


def test_a_proxy_of_the_environment_is_not_asked(
    server: Server, canary: Server, live: Verifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, canary.url)
    monkeypatch.delenv("no_proxy", raising=False)
    assert live.verify(kit.token())
    assert (len(server.hits), canary.hits) == (1, [])


def test_a_warning_says_why_the_last_good_set_is_kept(
    live: Verifier, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    server.answer = server.publish(b"", 500)
    with pytest.raises(InvalidToken):
        live.verify(kit.token())
    assert "answered 500" in caplog.text


# --- https --------------------------------------------------------------------------------------------------------


@pytest.fixture
def tls(server: Server, tmp_path: Path) -> Any:
    """A TLS front for the server, with a certificate of its own for 127.0.0.1; yields (address, certificate file)."""
    from datetime import UTC, datetime, timedelta
    from ipaddress import ip_address

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization

    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test issuer")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, kit.CURRENT.private.public_key(), 1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(kit.CURRENT.private.public_key()), critical=False)
        .sign(kit.CURRENT.private, hashes.SHA256())
    )
    pem, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    pem.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private = kit.CURRENT.private
    key.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, key)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        body = json.dumps(kit.JWKS).encode()

        def serve_one() -> None:
            raw, _ = listener.accept()
            with raw:
                try:
                    with context.wrap_socket(raw, server_side=True) as secure:
                        secure.recv(4096)
                        secure.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
                except OSError:
                    return  # the client didn't trust us, as one test wants

        thread = threading.Thread(target=serve_one)
        thread.start()
        yield f"https://127.0.0.1:{listener.getsockname()[1]}/jwks.json", pem
        thread.join(10)


def test_https_with_a_trusted_certificate_is_taken(tls: tuple[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    url, pem = tls
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    assert kit.CURRENT.kid in under_test.parse_jwks(fetch_jwks(url))


def test_https_with_an_unknown_certificate_is_refused_even_where_checks_are_switched_off(
    tls: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ssl, "_create_default_https_context", ssl._create_unverified_context)
    with pytest.raises(ssl.SSLCertVerificationError):
        fetch_jwks(tls[0])
