"""A TCP forwarder between the service and its Redis that can delay, cut, stall, drip, lie, or lead elsewhere.

`misbehave` says how, `well` ends it. It runs in a thread of its own, on one event loop.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

Writer = asyncio.StreamWriter


@dataclass
class Behaviour:
    """What is done to bytes that pass. Everything off: a plain wire."""

    delay_s: float = 0.0  # before each chunk of an answer
    stall: bool = False  # nothing passes, in either direction; connections stay
    refuse: bool = False  # new connections are reset at once
    silent: bool = False  # new connections are taken and never answered
    drip_s: float = 0.0  # between single bytes of an answer
    cut_answers_after: int = -1  # bytes of an answer that pass before the connection is reset
    garbage: bytes = b""  # goes in front of each answer
    replies: Callable[[list[bytes]], bytes | None] = field(default=lambda command: None)  # an answer of our own


class Forwarder:
    """Listens on `port`, leads to `target`."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.behaviour = Behaviour()
        self.accepted = 0
        self._open: set[Writer] = set()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port: int = self._listener.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="forwarder")
        self._thread.start()
        self._ready.wait(5)

    # --- what a fault says --------------------------------------------------------------------------------------------

    def well(self) -> None:
        self.behaviour = Behaviour()

    def misbehave(self, **what: object) -> None:
        self.behaviour = Behaviour(**what)  # type: ignore[arg-type]

    def cut(self) -> None:
        """Reset every connection that is open now."""
        self._loop.call_soon_threadsafe(self._cut)

    def half_close(self) -> None:
        """Say to the service that no more answers come, and go on reading what it sends."""

        def close() -> None:
            for writer in list(self._open):
                with suppress(OSError, RuntimeError):
                    if writer.can_write_eof():
                        writer.write_eof()

        self._loop.call_soon_threadsafe(close)

    def repoint(self, target: int) -> None:
        """New connections lead elsewhere; open ones stay where they are, as behind a DNS name or a virtual address."""
        self.target = target

    def discard(self) -> None:
        with suppress(RuntimeError, TimeoutError):
            asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(5)
            self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    # --- the wire -----------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.set_exception_handler(lambda *_: None)  # connections that end in the middle are the purpose here
        self._server = self._loop.run_until_complete(asyncio.start_server(self._serve, sock=self._listener))
        self._ready.set()
        self._loop.run_forever()
        self._loop.close()

    def _cut(self) -> None:
        for writer in list(self._open):
            _reset(writer)

    async def _end(self) -> None:
        self.behaviour = Behaviour()
        self._server.close()
        self._cut()
        mine = asyncio.current_task()
        others = [task for task in asyncio.all_tasks() if task is not mine]
        for task in others:
            task.cancel()
        await asyncio.wait(others, timeout=2) if others else None

    async def _serve(self, near: asyncio.StreamReader, near_out: Writer) -> None:
        self.accepted += 1
        if self.behaviour.refuse:
            _reset(near_out)
            return
        self._open.add(near_out)
        try:
            if self.behaviour.silent:
                while self.behaviour.silent:
                    await asyncio.sleep(0.05)
                return
            far, far_out = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            _reset(near_out)
            self._open.discard(near_out)
            return
        requests = asyncio.create_task(self._requests(near, near_out, far_out))
        answers = asyncio.create_task(self._answers(far, near_out))
        try:
            await asyncio.wait({requests, answers}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (requests, answers):
                task.cancel()
                with suppress(asyncio.CancelledError, OSError):
                    await task
            for writer in (near_out, far_out):
                self._open.discard(writer)
                with suppress(OSError):
                    writer.close()

    async def _requests(self, near: asyncio.StreamReader, near_out: Writer, far_out: Writer) -> None:
        rest = b""
        while chunk := await near.read(65536):
            await self._while_stalled()
            rest += chunk
            while rest:
                command, length = parse(rest)
                if not length:
                    break
                raw, rest = rest[:length], rest[length:]
                own = self.behaviour.replies(command)
                if own is not None:
                    near_out.write(own)
                    await near_out.drain()
                else:
                    far_out.write(raw)
            await far_out.drain()

    async def _answers(self, far: asyncio.StreamReader, near_out: Writer) -> None:
        while chunk := await far.read(65536):
            await self._while_stalled()
            now = self.behaviour
            if now.delay_s:
                await asyncio.sleep(now.delay_s)
            if now.cut_answers_after >= 0:
                near_out.write(chunk[: now.cut_answers_after])
                with suppress(OSError):
                    await near_out.drain()
                _reset(near_out)
                return
            chunk = now.garbage + chunk
            if not now.drip_s:
                near_out.write(chunk)
                await near_out.drain()
                continue
            for place in range(len(chunk)):
                near_out.write(chunk[place : place + 1])
                await near_out.drain()
                await asyncio.sleep(self.behaviour.drip_s)

    async def _while_stalled(self) -> None:
        while self.behaviour.stall:
            await asyncio.sleep(0.02)


def parse(data: bytes) -> tuple[list[bytes], int]:
    """The first whole command in `data` (RESP: an array of bulk strings) and its length; 0 while it isn't whole."""
    if not data.startswith(b"*"):
        return [data], len(data)
    head, found, _ = data.partition(b"\r\n")
    if not found:
        return [], 0
    place, words = len(head) + 2, []
    for _ in range(int(head[1:])):
        end = data.find(b"\r\n", place)
        if end < 0:
            return [], 0
        size = int(data[place + 1 : end])
        if len(data) < end + 2 + size + 2:
            return [], 0
        words.append(data[end + 2 : end + 2 + size])
        place = end + 2 + size + 2
    return words, place


def error_to(*commands: str, text: str) -> Callable[[list[bytes]], bytes | None]:
    """For `replies`: this error to these commands, everything else passes."""
    wanted = {command.upper().encode() for command in commands}

    def reply(command: list[bytes]) -> bytes | None:
        return f"-{text}\r\n".encode() if command and command[0].upper() in wanted else None

    return reply


def _reset(writer: Writer) -> None:
    line = writer.get_extra_info("socket")
    with suppress(OSError, AttributeError):
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
