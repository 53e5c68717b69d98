"""One client's connection, and what is written to it."""

from __future__ import annotations

import socket
from typing import Any, Final

from authsvc.server.framing import RequestBuffer

AT_ONCE_BYTES: Final = 64 * 1024


class Connection:
    """One client. `timeout` is the instant (`time.monotonic`) at which it is closed unless something happens."""

    def __init__(self, sock: socket.socket, client: Any, server: Any) -> None:
        self.sock = sock
        self.client = client
        self.server = server
        self.buffer = RequestBuffer()
        self.timeout = 0.0
        self.ended = False  # the client sends nothing more
        self.enqueued = 0.0
        self.state: dict[Connection, None] | None = None  # of the loop; None while its request is answered
        self.polled = False

    @property
    def was_reset(self) -> bool:
        """Whether nobody is left who could be answered: a thousand such requests shall not keep the others waiting. One
        who only sends nothing more (FIN) may wait for the answer."""
        try:
            self.sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return False

    def send(self, data: bytes) -> None:
        """A few bytes, which a client has room for; one that has none goes without."""
        try:
            self.sock.send(data, socket.MSG_DONTWAIT)
        except OSError:
            return


class Answer:
    """What gunicorn writes an answer to, in the place of the connection: it writes head and body apart, and here they
    become one packet, for which the client wakes up once."""

    def __init__(self, conn: Connection) -> None:
        self.client = conn.client
        self.server = conn.server
        self._socket = conn.sock
        self._waiting = bytearray()

    @property
    def sock(self) -> Answer:
        return self

    def sendall(self, data: bytes) -> None:
        self._waiting += data
        if len(self._waiting) > AT_ONCE_BYTES:
            self.flush()

    def flush(self) -> None:
        """Raises OSError where the client took nothing for its time."""
        waiting, self._waiting = self._waiting, bytearray()
        self._socket.sendall(waiting)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)
