"""When a request is whole, so that a thread is given only whole ones and never waits for a client.

Only the end of a request is looked for (RFC 9112 §6 and §7.1). What the bytes mean is decided by gunicorn's parser
alone, afterwards: what is malformed or too large counts as whole, and is refused there. So the two can't disagree about
where a request ends in a way that would let one request hide in another.
"""

from __future__ import annotations

import re
from typing import Final

BODY_BYTES_MAX: Final = 16 * 1024
HEAD_BYTES_MAX: Final = 64 * 1024  # a token of 16 kB and the cookies of a browser fit well
CHUNKED_BYTES_MAX: Final = 8 * BODY_BYTES_MAX  # chunks of a byte each cost six
CHUNK_LINE_BYTES_MAX: Final = 1024

_FRAMING: Final = re.compile(rb"\r\n(content-length|transfer-encoding|expect)[ \t]*:[ \t]*([^\r\n]*)", re.IGNORECASE)
_CHUNK_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*[;\r]")
_END: Final = b"\r\n\r\n"


class RequestBuffer:
    """The bytes of one request, as they come in. `whole`: nothing more is needed to answer it.

    `too_large`: its body is longer than anything that is read here, so the rest will not be read, and what follows on
    the connection can't be understood.
    """

    def __init__(self, data: bytes = b"") -> None:
        self.data = bytearray()
        self.whole = False
        self.too_large = False
        self.awaits_continue = False  # the client sends its body once it has read `100 Continue`
        self._at = 0  # up to here everything has been looked at
        self._step = self._read_head
        self._body_starts = 0
        self._body_bytes = 0
        if data:
            self.feed(data)

    def feed(self, data: bytes) -> None:
        self.data += data
        while not self.whole and self._step():
            pass

    @property
    def target(self) -> bytes:
        """The request line as far as it is here."""
        return bytes(self.data[: max(self.data.find(b"\r\n"), 0)])

    def _read_head(self) -> bool:
        end = self.data.find(_END, max(0, self._at - 3))
        if end < 0:
            fresh = self.data[max(0, self._at - 1) :]
            bare = fresh.count(b"\n") - fresh.startswith(b"\n") != fresh.count(b"\r\n")
            self.whole = bare or len(self.data) > HEAD_BYTES_MAX
            self._at = len(self.data)
            return False
        self._at = self._body_starts = end + len(_END)
        fields = {name.lower(): value.strip() for name, value in _FRAMING.findall(self.data, 0, end + 2)}
        self.awaits_continue = fields.get(b"expect", b"").lower() == b"100-continue"
        if b"transfer-encoding" in fields:
            self._step = self._read_chunk
            return True
        length = fields.get(b"content-length", b"0")
        if not re.fullmatch(rb"[0-9]{1,20}", length):
            self.whole = True
            return False
        self._body_bytes = int(length)
        self.too_large = self.whole = self._body_bytes > BODY_BYTES_MAX
        self._step = self._read_counted
        return True

    def _read_counted(self) -> bool:
        self.whole = len(self.data) >= self._body_starts + self._body_bytes
        return False

    def _read_chunk(self) -> bool:
        end = self.data.find(b"\r\n", self._at)
        if end < 0:
            self.whole = len(self.data) - self._at > CHUNK_LINE_BYTES_MAX
            return False
        size = _CHUNK_SIZE.match(self.data, self._at, end + 1)
        if size is None:
            self.whole = True
            return False
        bytes_here = int(size[1], 16)
        if bytes_here == 0:
            self._at, self._step = end, self._read_trailers
            return True
        self._body_bytes += bytes_here
        if self._body_bytes > BODY_BYTES_MAX or end - self._body_starts > CHUNKED_BYTES_MAX:
            self.too_large = self.whole = True
            return False
        self._at, self._step = end + 2 + bytes_here, self._read_chunk_end
        return True

    def _read_chunk_end(self) -> bool:
        if len(self.data) < self._at + 2:
            return False
        self.whole = self.data[self._at : self._at + 2] != b"\r\n"
        self._at, self._step = self._at + 2, self._read_chunk
        return True

    def _read_trailers(self) -> bool:
        self.whole = self.data.find(_END, self._at) >= 0 or len(self.data) - self._body_starts > CHUNKED_BYTES_MAX
        return False
