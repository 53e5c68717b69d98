"""Keep-alive HTTP/1.1 connections to one loopback address, polled together without threads."""

from __future__ import annotations

import os
import select
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

PROBE = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
TRIES = 8  # times the wanted number of connections may be opened until they are evenly spread


class Connection:
    """One connection. `since` is the moment from which the latency of its request counts."""

    __slots__ = ("buffer", "busy", "is_open", "pending", "request", "since", "sock")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.buffer = bytearray()
        self.pending: bytes | None = None  # sent as soon as the connection stands
        self.request = b""  # the last one
        self.since = 0.0
        self.is_open = True
        self.busy = False  # a request is under way


class Client:
    """All connections to one address."""

    def __init__(self, address: tuple[str, int]) -> None:
        assert address[0] == "127.0.0.1"
        self.address = address
        self._epoll = select.epoll()
        self._by_descriptor: dict[int, Connection] = {}

    def connect(self) -> Connection:
        """A new connection; it may stand later only, so a server that accepts slowly doesn't hold up the others."""
        sock = socket.socket()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.connect_ex(self.address)
        connection = Connection(sock)
        self._by_descriptor[sock.fileno()] = connection
        self._epoll.register(sock.fileno(), select.EPOLLIN | select.EPOLLOUT)
        return connection

    def send(self, connection: Connection, request: bytes, since: float) -> None:
        connection.request, connection.since, connection.busy = request, since, True
        try:
            if connection.sock.send(request) != len(request):
                raise BlockingIOError
        except (BlockingIOError, OSError):
            connection.pending = request
            self._epoll.modify(connection.sock.fileno(), select.EPOLLIN | select.EPOLLOUT)

    def wait(self, timeout_s: float) -> list[tuple[Connection, int, bytes]]:
        """What was answered: connection, status and answer; status 0 where the connection broke instead.

        An epoll waits in whole milliseconds; asked by select, it wakes up on time."""
        select.select([self._epoll], [], [], timeout_s)
        finished = []
        for descriptor, events in self._epoll.poll(0):
            connection = self._by_descriptor[descriptor]
            if events & select.EPOLLOUT and not events & select.EPOLLERR:
                self._epoll.modify(descriptor, select.EPOLLIN)
                if connection.pending is not None:
                    request, connection.pending = connection.pending, None
                    self.send(connection, request, connection.since)
            if events & ~select.EPOLLOUT and (answer := self._receive(connection)) is not None:
                finished.append(answer)
        return finished

    def _receive(self, connection: Connection) -> tuple[Connection, int, bytes] | None:
        try:
            data = connection.sock.recv(65_536)
        except BlockingIOError:
            return None
        except OSError:
            data = b""
        if not data:
            self.drop(connection)
            return (connection, 0, b"") if connection.busy else None
        connection.buffer += data
        size = answer_size(connection.buffer)
        if not size:
            return None
        answer = bytes(connection.buffer[:size])
        connection.buffer.clear()
        connection.busy = False
        if b"\r\nconnection: close\r\n" in answer.lower():
            self.drop(connection)
        return connection, int(answer[9:12]), answer

    def drop(self, connection: Connection) -> None:
        if connection.is_open:
            connection.is_open = False
            del self._by_descriptor[connection.sock.fileno()]
            connection.sock.close()

    def close(self) -> None:
        for connection in list(self._by_descriptor.values()):
            self.drop(connection)
        self._epoll.close()


def answer_size(buffer: bytearray) -> int:
    """Bytes of the whole answer at the start of the buffer; 0 while some of it is missing."""
    head = buffer.find(b"\r\n\r\n")
    if head < 0:
        return 0
    if bytes(buffer[9:12]) in (b"204", b"304"):
        return head + 4
    lower = buffer[:head].lower()
    at = lower.find(b"\r\ncontent-length:")
    if at < 0:
        raise ValueError("an answer without Content-Length")
    size = head + 4 + int(lower[at + 17 :].split(b"\r\n", 1)[0])
    return size if len(buffer) >= size else 0


def spread(client: Client, wanted: int, pids: Sequence[int]) -> list[Connection]:
    """So many connections, each of the server's processes holding the same number of them.

    The kernel deals new connections out at random; 16 may well be split 11 to 5, and then the run measures that. A
    balancer in front has many connections, which come out even."""
    if len(pids) < 2:
        return [client.connect() for _ in range(wanted)]
    room = {pid: -(-wanted // len(pids)) for pid in pids}
    chosen: list[Connection] = []
    others: list[Connection] = []
    for _ in range(TRIES):
        opened = [client.connect() for _ in range(wanted)]
        _probe(client, opened)
        held = _holders(client, pids)
        for connection in opened:
            pid = held.get(connection.sock.getsockname()[1]) if connection.is_open else None
            if pid is not None and room[pid] and len(chosen) < wanted:
                room[pid] -= 1
                chosen.append(connection)
            else:
                others.append(connection)
        if len(chosen) == wanted:
            break
    usable = [connection for connection in others if connection.is_open]
    missing = wanted - len(chosen)
    for connection in usable[missing:]:
        client.drop(connection)
    return chosen + usable[:missing]


def _probe(client: Client, connections: Sequence[Connection]) -> None:
    """One request each, so that every connection is accepted by a process."""
    for connection in connections:
        client.send(connection, PROBE, time.perf_counter())
    missing, deadline = len(connections), time.perf_counter() + 5
    while missing and time.perf_counter() < deadline:
        missing -= len(client.wait(0.5))


def _holders(client: Client, pids: Sequence[int]) -> dict[int, int]:
    """Which process of the server holds the connection from which local port."""
    server_port = client.address[1]
    ports: dict[str, int] = {}
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if int(fields[1].rpartition(":")[2], 16) == server_port:
            ports[fields[9]] = int(fields[2].rpartition(":")[2], 16)
    held = {}
    for pid in pids:
        for name in os.listdir(f"/proc/{pid}/fd"):
            with suppress(OSError):
                link = os.readlink(f"/proc/{pid}/fd/{name}")
                if link.startswith("socket:[") and (port := ports.get(link[8:-1])) is not None:
                    held[port] = pid
    return held
