"""Pictures such as practices bring, and such as attackers do."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from typing import Any

from PIL import Image

TEAL = (11, 92, 138)


def picture(form: str = "PNG", size: tuple[int, int] = (300, 60), mode: str = "RGB", **more: Any) -> bytes:
    """A file of one colour; `more` as Pillow's writers take it."""
    image = Image.new("RGB", size, TEAL)
    image.putpixel((0, 0), (255, 0, 0))
    written = BytesIO()
    image.convert(mode).save(written, form, **more)
    return written.getvalue()


def bomb(width: int, height: int) -> bytes:
    """A small PNG that declares these many pixels, and whose data unpacks to as many zeros, 50 MB of them at most."""
    rows = zlib.compress(bytes(min((1 + width * 3) * height, 50_000_000)), 9)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", rows) + _chunk(b"IEND", b"")


def moving(form: str) -> bytes:
    """Two frames."""
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "blue")]
    written = BytesIO()
    frames[0].save(written, form, save_all=True, append_images=frames[1:], duration=100)
    return written.getvalue()


def chunks(png: bytes) -> list[bytes]:
    """The names of a PNG's chunks, in order, to the very last byte."""
    names, at = [], 8
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        names.append(png[at + 4 : at + 8])
        at += 12 + length
    assert at == len(png)
    return names


def with_chunk(png: bytes, name: bytes, data: bytes) -> bytes:
    """The PNG with one chunk more, behind its header."""
    header_ends = 8 + 12 + 13
    return png[:header_ends] + _chunk(name, data) + png[header_ends:]


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
