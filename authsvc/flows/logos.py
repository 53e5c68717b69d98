"""Logos: what a practice brings becomes a PNG of our own making, and only that is ever kept or served.

The file may be anything, so its name counts for nothing: three decoders are asked, and the size that the file declares
is checked before there is room for a single pixel. What comes out are pixels, and out of those a new file is written:
no metadata, no colour profile, no second half that is a page or a script to other eyes.

Only the command line takes logos in, so only there Pillow is loaded: no decoder waits in a process that answers
requests.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from hashlib import sha256
from io import BytesIO
from typing import TYPE_CHECKING, Final

from authsvc.flows.cache import Cache
from authsvc.model import Practice
from authsvc.store.logos import LogoStore

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS: Final = ("PNG", "JPEG", "WEBP")  # no SVG: it is a document, with scripts and addresses in it
MOST_BYTES: Final = 512 * 1024
MOST_PIXELS: Final = 4096  # a side, as declared: 64 MiB when decoded
FITS: Final = (640, 160)  # pixels: 320 × 80 on a screen that draws two for each
DIGEST_CHARS: Final = 16  # of SHA-256: tells versions apart, keeps nothing secret
CACHED: Final = 64  # logos in a process's memory, of 400 kB at the very most


@dataclass(frozen=True)
class Logo:
    """A picture as it is kept: a PNG, its size in pixels, and the digest that is part of its address."""

    digest: str
    width: int
    height: int
    png: bytes = field(repr=False)


NO_LOGO: Final = Logo("", 0, 0, b"")

_TOO_LARGE: Final = f"has more than {MOST_PIXELS} pixels on a side"


class Logos:
    """What the pages show."""

    def __init__(self, pictures: LogoStore) -> None:
        self._pictures = pictures
        self._cache: Cache[bytes] = Cache(self._read, most=CACHED)

    def get(self, practice: Practice) -> bytes | None:
        """The PNG that the practice's record names, and never another one under its name. Raises Unavailable."""
        return self._cache.get(f"{practice.id}:{practice.logo}") if practice.logo else None

    def _read(self, name: str) -> bytes | None:
        practice_id, _, digest = name.partition(":")
        png = self._pictures.get(practice_id)
        return png if png is not None and _digest(png) == digest else None


def prepared(data: bytes) -> Logo:
    """The logo that an uploaded file becomes. Raises ValueError with a plain reason."""
    from PIL import Image, UnidentifiedImageError

    if len(data) > MOST_BYTES:
        raise ValueError(f"is larger than {MOST_BYTES // 1024} KiB")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about oddities in metadata, which is dropped
        try:
            image = _decoded(data)
        except _Refused:
            raise
        except UnidentifiedImageError:
            raise ValueError("is not a PNG, JPEG or WebP picture") from None
        except Image.DecompressionBombError:
            raise ValueError(_TOO_LARGE) from None
        except Exception:  # noqa: BLE001 - decoders fail in a dozen ways, and all of them mean this
            raise ValueError("is damaged or cut short") from None
    written = BytesIO()
    image.save(written, "PNG", optimize=True)
    png = written.getvalue()
    return Logo(_digest(png), image.width, image.height, png)


class _Refused(ValueError):
    """One of our own reasons, to be told from what a decoder says."""


def _decoded(data: bytes) -> Image:
    """The picture as pixels and nothing else, upright, and small enough."""
    from PIL import Image, ImageOps

    with Image.open(BytesIO(data), formats=FORMATS) as opened:
        if max(opened.size) > MOST_PIXELS:
            raise _Refused(_TOO_LARGE)
        # The first frame alone would be a guess: it is often an empty one.
        if getattr(opened, "n_frames", 1) > 1:
            raise _Refused("is animated, or holds several pictures")
        upright = ImageOps.exif_transpose(opened)  # decodes; Pillow refuses a file that ends too early
        if upright.mode.startswith("I"):  # 16 bits of grey, which Pillow would clip at 255
            upright = upright.convert("I").point(lambda level: level * (1 / 257)).convert("L")
        plain = upright.convert("RGBA" if upright.has_transparency_data else "RGB")
    plain.thumbnail(FITS, Image.Resampling.LANCZOS)  # never enlarges
    return Image.frombytes(plain.mode, plain.size, plain.tobytes())  # leaves behind all that isn't a pixel


def _digest(png: bytes) -> str:
    return sha256(png).hexdigest()[:DIGEST_CHARS]
