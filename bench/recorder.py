"""A proxy in front of Redis that records what the service sends, and what is answered, in its order.

One thread passes bytes on between a unix socket and Redis. A *round trip* is what a client sends before it reads an
answer: one command, or several in a pipeline. Times of calls that pass through here are not measured.
"""

from __future__ import annotations

import selectors
import socket
import threading
from dataclasses import dataclass, field
from pathlib import Path

SCRIPTS = (b"EVALSHA", b"EVAL", b"FCALL", b"EVALSHA_RO", b"EVAL_RO", b"FCALL_RO")


@dataclass
class RoundTrip:
    """What one client sent at once, as Redis read it, and the answer."""

    sent: bytearray = field(default_factory=bytearray)
    answered: bytearray = field(default_factory=bytearray)

    def commands(self) -> list[list[bytes]]:
        return commands(bytes(self.sent))

    @property
    def runs_scripts(self) -> bool:
        return any(command[0].upper() in SCRIPTS for command in self.commands())


def commands(data: bytes) -> list[list[bytes]]:
    """The commands in bytes that a client sent (RESP arrays of bulk strings)."""
    found, at = [], 0
    while at < len(data):
        end = data.index(b"\r\n", at)
        count, at = int(data[at + 1 : end]), end + 2
        command = []
        for _ in range(count):
            end = data.index(b"\r\n", at)
            size = int(data[at + 1 : end])
            command.append(data[end + 2 : end + 2 + size])
            at = end + 4 + size
        found.append(command)
    return found


class Recorder:
    """Listens on `path` until stopped; everything recorded so far is in `round_trips`."""

    def __init__(self, path: Path, target: Path) -> None:
        self.url = f"unix://{path}"
        self.round_trips: list[RoundTrip] = []
        self._target = str(target)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(64)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._pairs: dict[socket.socket, tuple[socket.socket, bool]] = {}  # the other side; is this side the client?
        self._current: dict[socket.socket, RoundTrip] = {}  # by the client's side
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        self._thread.join()
        for sock in (*self._pairs, self._listener):
            sock.close()

    def _run(self) -> None:
        while not self._ended.is_set():
            for key, _ in self._selector.select(0.2):
                sock = key.fileobj
                assert isinstance(sock, socket.socket)
                if sock is self._listener:
                    self._accept()
                elif sock in self._pairs:
                    self._pass_on(sock)

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        server = socket.socket(socket.AF_UNIX)
        try:
            server.connect(self._target)
        except OSError:  # Redis is gone: so is the connection
            client.close()
            server.close()
            return
        self._pairs[client], self._pairs[server] = (server, True), (client, False)
        for sock in (client, server):
            self._selector.register(sock, selectors.EVENT_READ)

    def _pass_on(self, sock: socket.socket) -> None:
        other, is_client = self._pairs[sock]
        try:
            data = sock.recv(262_144)
            if data:
                self._record(sock if is_client else other, data, is_client)
                other.sendall(data)
        except OSError:
            data = b""
        if not data:
            for ended in (sock, other):
                self._selector.unregister(ended)
                self._pairs.pop(ended)
                self._current.pop(ended, None)
                ended.close()

    def _record(self, client: socket.socket, data: bytes, is_client: bool) -> None:
        current = self._current.get(client)
        if is_client:
            if current is None or current.answered:
                current = self._current[client] = RoundTrip()
                self.round_trips.append(current)
            current.sent += data
        elif current is not None:
            current.answered += data
