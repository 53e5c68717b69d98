"""A mail host that takes every mail at once and forgets it: the least that an SMTP server has to do."""

from __future__ import annotations

import asyncio
from multiprocessing import get_context
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any


class _Session(asyncio.Protocol):
    """One connection. Speaks ESMTP with PIPELINING, without TLS."""

    def __init__(self, received: Any) -> None:
        self._received = received
        self._buffer = bytearray()
        self._in_data = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(b"220 sink ESMTP\r\n")

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while True:
            if self._in_data:
                end = self._buffer.find(b"\r\n.\r\n")
                if end < 0:
                    return
                del self._buffer[: end + 5]
                self._in_data = False
                with self._received.get_lock():
                    self._received.value += 1
                self._transport.write(b"250 2.0.0 taken\r\n")
                continue
            line, found, _ = self._buffer.partition(b"\r\n")
            if not found:
                return
            del self._buffer[: len(line) + 2]
            self._answer(bytes(line[:4]).upper())

    def _answer(self, verb: bytes) -> None:
        if verb == b"EHLO":
            self._transport.write(b"250-sink\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 PIPELINING\r\n")
        elif verb == b"DATA":
            self._in_data = True
            # Left in front of the mail, so that an empty one is found to be ended too.
            self._buffer[:0] = b"\r\n"
            self._transport.write(b"354 go on\r\n")
        elif verb == b"QUIT":
            self._transport.write(b"221 2.0.0 bye\r\n")
            self._transport.close()
        else:
            self._transport.write(b"250 2.0.0 fine\r\n")


def _serve(received: Any, ready: Connection) -> None:
    async def serve() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: _Session(received), "127.0.0.1", 0, backlog=256)
        ready.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(serve())


class Sink:
    """The host in a process of its own; `received` is the number of mails so far."""

    def __init__(self) -> None:
        context = get_context("spawn")
        self._received: Any = context.Value("q", 0)
        ours, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(self._received, theirs), daemon=True)
        self._process.start()
        self.address = ("127.0.0.1", int(ours.recv()))

    @property
    def received(self) -> int:
        return int(self._received.value)

    def __enter__(self) -> Sink:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.terminate()
        self._process.join()
