"""Mail hosts for tests: real SMTP servers on loopback, with an authority of their own."""

from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

USER, PASSWORD = "clinic", "p@ss/w:rd"


class Authority:
    """A private certificate authority and a host's certificate, as files in a folder. `key`: the host's, if not new."""

    def __init__(self, folder: Path, *names: str, key: ec.EllipticCurvePrivateKey | None = None) -> None:
        self.ca, self.chain = folder / "ca.pem", folder / "host.pem"
        root, root_name = ec.generate_private_key(ec.SECP256R1()), _name("Test Authority")
        self.ca.write_bytes(_pem(_certificate(root_name, root_name, root, root, is_ca=True)))
        key = key or ec.generate_private_key(ec.SECP256R1())
        host = _certificate(_name("mail host"), root_name, key, root, names=names or ("localhost", "127.0.0.1"))
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        self.chain.write_bytes(private + _pem(host))

    def context(self) -> ssl.SSLContext:
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.load_cert_chain(self.chain)
        return made


class MailHost:
    """An SMTP server that keeps what it was given and answers as planned.

    `answers` is what RCPT says, one a message and "250 OK" after the last; `at_data` likewise for the end of DATA.
    """

    def __init__(self) -> None:
        self.envelopes: list[Envelope] = []
        self.sessions: list[Session] = []
        self.answers: list[str] = []
        self.at_data: list[str] = []
        self.port = 0
        self.hang_up: Callable[[], None] = lambda: None  # ends every connection; new ones are welcome

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name for it
        self, server: Any, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        answer = self.answers.pop(0) if self.answers else "250 OK"
        if answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, server: Any, session: Session, envelope: Envelope) -> str:  # noqa: N802
        answer = self.at_data.pop(0) if self.at_data else "250 OK"
        if answer.startswith("250"):
            self.envelopes.append(envelope)
            if session not in self.sessions:
                self.sessions.append(session)
        return answer

    @property
    def mails(self) -> list[EmailMessage]:
        found = []
        for envelope in self.envelopes:
            assert isinstance(envelope.content, bytes)
            mail = message_from_bytes(envelope.content, policy=default)
            assert isinstance(mail, EmailMessage)
            found.append(mail)
        return found


class _Controller(Controller):
    """Listens on a socket that is bound already, so that nobody can take the port in between; hangs up at the end."""

    def __init__(self, host: MailHost, listener: socket.socket, options: dict[str, Any]) -> None:
        super().__init__(host, hostname="127.0.0.1", port=host.port, **options)
        self._listener = listener
        self._served: list[SMTP] = []

    def factory(self) -> SMTP:
        made: SMTP = super().factory()  # type: ignore[no-untyped-call]  # the library has no types here
        self._served.append(made)
        return made

    def stop(self, no_assert: bool = False) -> None:
        self.hang_up()
        super().stop(no_assert)

    def hang_up(self) -> None:
        asyncio.run_coroutine_threadsafe(self._hang_up(), self.loop).result(5)

    async def _hang_up(self) -> None:
        for each in self._served:
            if isinstance(each.transport, asyncio.WriteTransport):
                each.transport.abort()
        for _ in range(5):  # the loop closes them step by step, TLS first
            await asyncio.sleep(0)

    def _create_server(self) -> Any:
        return self.loop.create_server(self._factory_invoker, sock=self._listener, ssl=self.ssl_context)


def authenticator(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
    right = isinstance(data, LoginPassword) and (data.login, data.password) == (USER.encode(), PASSWORD.encode())
    return AuthResult(success=right, handled=False)


@contextmanager
def serving(host: MailHost | None = None, **options: Any) -> Iterator[MailHost]:
    """Serve on a free port of loopback. `options` are the controller's: `tls_context`, `ssl_context`, …"""
    host = host or MailHost()
    listener = socket.create_server(("127.0.0.1", 0))
    host.port = listener.getsockname()[1]
    controller = _Controller(host, listener, options)
    host.hang_up = controller.hang_up
    controller.start()
    try:
        yield host
    finally:
        controller.stop()


@contextmanager
def scripted(talk: Callable[[socket.socket], None]) -> Iterator[int]:
    """A host that is not quite one: `talk` has each connection to itself. Yields the port."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.05)
    ended = threading.Event()

    def accept() -> None:
        while not ended.is_set():
            try:
                peer = listener.accept()[0]
            except TimeoutError:
                continue
            with peer:
                peer.settimeout(5)
                try:
                    talk(peer)
                except OSError:
                    continue

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        ended.set()
        thread.join(6)
        listener.close()


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _certificate(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey,
    *,
    is_ca: bool = False,
    names: tuple[str, ...] = (),
) -> x509.Certificate:
    now = dt.datetime.now(dt.UTC)
    alternatives: list[x509.GeneralName] = []
    for name in names:
        try:
            alternatives.append(x509.IPAddress(ipaddress.ip_address(name)))
        except ValueError:
            alternatives.append(x509.DNSName(name))
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
    )
    if alternatives:
        made = made.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    return made.sign(signer, hashes.SHA256())
