"""A request whose sender has reset the connection costs nothing; one whose sender only sends no more is answered."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

import pytest

from authsvc.server.client_connection import Connection

REQUEST = b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, Connection]]:
    """A client's socket, and its connection in the worker."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        accepted, peer = server.accept()
        with accepted:
            client.sendall(REQUEST)
            accepted.settimeout(20)
            assert accepted.recv(len(REQUEST)) == REQUEST
            accepted.setblocking(True)
            yield client, Connection(accepted, peer, server.getsockname())


def test_attack_a_request_whose_sender_has_reset_is_not_answered(ends: tuple[socket.socket, Connection]) -> None:
    client, conn = ends
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    assert conn.was_reset


def test_a_client_that_waits_or_sends_no_more_or_has_sent_the_next_request_is_answered(
    ends: tuple[socket.socket, Connection],
) -> None:
    client, conn = ends
    assert not conn.was_reset
    client.sendall(REQUEST)
    assert not conn.was_reset
    client.shutdown(socket.SHUT_WR)
    assert not conn.was_reset
    assert conn.sock.recv(len(REQUEST)) == REQUEST, "nothing was taken"
    assert not conn.was_reset
