"""Whatever file a practice brings: a small PNG of our own making comes out, or a clear no."""

from __future__ import annotations

import subprocess
import sys
import zlib
from contextlib import suppress
from io import BytesIO
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from PIL import Image, ImageFile

from authsvc.errors import UnknownName
from authsvc.flows.logos import FITS, MOST_BYTES, MOST_PIXELS, NO_LOGO, Logo, prepared
from authsvc.flows.practices import support_address
from authsvc.model import Practice
from tests.flows.conftest import Harness
from tests.pictures import TEAL, bomb, chunks, moving, picture, with_chunk

seeded = settings(derandomize=True, deadline=None, max_examples=200)
KEY = "authsvc:{@practices}:logo:maple"


def opened(logo: Logo) -> Image.Image:
    image = Image.open(BytesIO(logo.png), formats=["PNG"])
    assert image.size == (logo.width, logo.height)
    return image


# --- what comes out -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
def test_a_logo_becomes_a_png_whatever_it_was(form: str) -> None:
    image = opened(prepared(picture(form, (300, 60))))
    assert (image.size, image.mode) == ((300, 60), "RGB")
    assert all(abs(is_ - was) < 8 for is_, was in zip(image.getpixel((150, 30)), TEAL, strict=True))  # type: ignore[arg-type]  # RGB


@pytest.mark.parametrize(
    "size, shrunk",
    [
        ((640, 160), (640, 160)),
        ((64, 16), (64, 16)),
        ((1280, 160), (640, 80)),
        ((400, 400), (160, 160)),
        ((4096, 1), (640, 1)),
        ((1, 4096), (1, 160)),
        ((4096, 4096), (160, 160)),
    ],
)
def test_it_fits_the_page_and_is_never_enlarged(size: tuple[int, int], shrunk: tuple[int, int]) -> None:
    logo = prepared(picture("PNG", size))
    assert (logo.width, logo.height) == shrunk == opened(logo).size
    assert (max(logo.width, FITS[0]), max(logo.height, FITS[1])) == FITS


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_every_kind_of_png_can_be_shown(mode: str) -> None:
    data = BytesIO()
    grey = Image.new("L", (40, 20), 117)
    (Image.new("I;16", (40, 20), 117 * 257) if mode == "I;16" else grey.convert(mode)).save(data, "PNG")
    image = opened(prepared(data.getvalue()))
    assert image.mode == ("RGBA" if mode in ("LA", "RGBA") else "RGB")
    assert mode == "1" or image.getpixel((5, 5))[:3] == (117, 117, 117)  # type: ignore[index]  # several bands


def test_what_is_see_through_stays_so() -> None:
    data = BytesIO()
    Image.new("P", (40, 20)).save(data, "PNG", transparency=0)
    image = opened(prepared(data.getvalue()))
    assert (image.mode, image.getpixel((0, 0))[3]) == ("RGBA", 0)  # type: ignore[index]  # RGBA


def test_a_photograph_taken_sideways_stands_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # "rotate 90 degrees clockwise to show"
    image = opened(prepared(picture("JPEG", (120, 40), exif=exif)))
    assert image.size == (40, 120)
    assert image.getexif() == {}


def test_nothing_but_pixels_is_left_of_the_file() -> None:
    exif = Image.Exif()
    exif[0x010E], exif[0x013B] = "taken at 12 Elm Street", "Ada Brown"
    for data in (
        picture("JPEG", exif=exif, comment=b"Ada Brown", icc_profile=b"Ada Brown", dpi=(300, 300)),
        picture("WEBP", exif=exif, xmp=b"<x>Ada Brown</x>", icc_profile=b"Ada Brown"),
        with_chunk(picture("PNG", exif=exif, dpi=(300, 300)), b"tEXt", b"Author\0Ada Brown"),
    ):
        assert b"Ada Brown" in data or b"Elm Street" in data
        png = prepared(data).png
        assert set(chunks(png)) == {b"IHDR", b"IDAT", b"IEND"}
        assert [word for word in (b"Brown", b"Elm") if word in png] == []


def test_the_same_picture_has_the_same_address_and_another_has_another() -> None:
    assert prepared(picture()) == prepared(picture())
    assert prepared(picture()).digest != prepared(picture(size=(300, 61))).digest
    assert len(prepared(picture()).digest) == 16


# --- what is refused ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
        b"<!doctype html><script>alert(1)</script>",
        b"GIF89a/*\1\0\1\0" + b"*/=1;alert(1)//",
        picture("GIF"),
        picture("TIFF"),
        picture("BMP"),
        picture("ICO", (32, 32)),
        b"%PDF-1.7\n" + picture("PNG"),
        b"<!doctype html>" + picture("JPEG"),
    ],
)
def test_attack_a_file_that_is_no_png_jpeg_or_webp_whatever_it_is_called(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"^is not a PNG, JPEG or WebP picture$"):
        prepared(data)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
def test_attack_a_picture_that_is_a_page_as_well(form: str) -> None:
    page = b"<html><script>alert(1)</script></html>"
    assert b"script" not in prepared(picture(form) + page).png
    hidden = with_chunk(picture(), b"iTXt", b"x\0\0\0\0\0" + page)
    assert b"script" not in prepared(hidden).png


@pytest.mark.parametrize("width, height", [(MOST_PIXELS + 1, 1), (1, MOST_PIXELS + 1), (9_000, 9_000)])
def test_attack_a_decompression_bomb_is_refused_by_what_it_declares(
    width: int, height: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda *_: pytest.fail("a pixel was decoded"))
    with pytest.raises(ValueError, match=r"^has more than 4096 pixels on a side$"):
        prepared(bomb(width, height))


@pytest.mark.parametrize("side", [10_000, 60_000, 2**31 - 1])
def test_attack_a_bomb_that_pillow_itself_would_warn_of_or_refuse(side: int) -> None:
    data = bomb(side, side)
    assert len(data) < MOST_BYTES
    with pytest.raises(ValueError, match=r"^has more than 4096 pixels on a side$"):
        prepared(data)


def test_attack_a_bomb_inside_the_metadata() -> None:
    boom = with_chunk(picture(), b"zTXt", b"x\0\0" + zlib.compress(bytes(100_000_000), 9))
    assert len(boom) < MOST_BYTES
    with pytest.raises(ValueError, match=r"^is damaged or cut short$"):
        prepared(boom)


def test_a_file_that_is_too_large_is_not_even_looked_at() -> None:
    with pytest.raises(ValueError, match=r"^is larger than 512 KiB$"):
        prepared(picture() + bytes(MOST_BYTES))


@pytest.mark.parametrize("form", ["PNG", "WEBP", "MPO"])  # the last calls itself a JPEG
def test_a_picture_that_moves_is_refused(form: str) -> None:
    with pytest.raises(ValueError, match=r"^is animated, or holds several pictures$"):
        prepared(moving(form))


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
def test_a_file_cut_short_is_a_clear_error(form: str) -> None:
    whole = picture(form, (600, 150))
    for kept in (0.3, 0.6, 0.9):
        with pytest.raises(ValueError, match=r"^is (damaged or cut short|not a PNG, JPEG or WebP picture)$"):
            prepared(whole[: int(len(whole) * kept)])


@seeded
@given(some.sampled_from(["PNG", "JPEG", "WEBP"]), some.floats(0, 0.999), some.binary(min_size=1, max_size=8))
def test_attack_a_broken_file_gives_a_logo_or_a_reason_and_nothing_else(form: str, at: float, junk: bytes) -> None:
    data = bytearray(picture(form, (40, 20)))
    where = int(len(data) * at)
    data[where : where + len(junk)] = junk
    with suppress(ValueError):  # anything else fails here
        opened(prepared(bytes(data))).load()


def test_no_decoder_waits_in_a_process_that_answers_requests() -> None:
    loads = "import sys, authsvc.wsgi; sys.exit(any(name.split('.')[0] == 'PIL' for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", loads], check=False).returncode == 0


# --- kept with its practice ---------------------------------------------------------------------------------------


def branded(harness: Harness, logo: Logo) -> Practice:
    return harness.service.practices.set("maple", actor="cli:anna", logo=logo)


def test_a_logo_is_kept_and_named_by_the_practices_record(harness: Harness) -> None:
    logo = prepared(picture())
    practice = branded(harness, logo)
    assert practice == harness.service.practices.get("maple")
    assert (practice.logo, practice.logo_width, practice.logo_height) == (logo.digest, 300, 60)
    assert harness.service.logos.get(practice) == logo.png
    assert harness.redis.get(KEY).isascii()


def test_what_isnt_said_about_the_logo_leaves_it(harness: Harness) -> None:
    practice = branded(harness, prepared(picture()))
    assert harness.service.practices.set("maple", actor="cli:anna", phone="556").logo == practice.logo


@pytest.mark.parametrize("end", ["none", "removed"])
def test_a_logo_goes_when_it_is_taken_away_and_with_its_practice(harness: Harness, end: str) -> None:
    practice = branded(harness, prepared(picture()))
    if end == "none":
        assert branded(harness, NO_LOGO) == harness.practice
    else:
        harness.service.practices.remove("maple", actor="cli:anna")
    assert harness.redis.get(KEY) is None
    assert harness.service.logos.get(practice) is None
    assert harness.service.logos.get(harness.practice) is None


def test_a_logo_of_an_unknown_practice_is_not_kept(harness: Harness) -> None:
    with pytest.raises(UnknownName):
        harness.service.practices.set("oak", actor="cli:anna", logo=prepared(picture()))
    assert harness.redis.keys("*logo*") == []


def test_attack_one_picture_under_the_digest_of_another(harness: Harness) -> None:
    """An address may be kept for ever, so a process that still has the old record must not answer with the new file."""
    before = branded(harness, prepared(picture()))
    after = branded(harness, prepared(picture(size=(30, 30))))
    assert harness.service.logos.get(before) is None
    assert harness.service.logos.get(after) is not None


def test_a_logo_is_read_once_in_a_while(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    practice = branded(harness, prepared(picture()))
    asked: list[Any] = []
    call = harness.service.store.call

    def counted(act: Any) -> Any:
        asked.append(act)
        return call(act)

    monkeypatch.setattr(harness.service.store, "call", counted)
    assert harness.service.logos.get(practice) == harness.service.logos.get(practice)
    assert len(asked) == 1


@pytest.mark.parametrize("address", ["", "help@maple.example", "Help@straße.example"])
def test_an_address_for_support_stays_as_it_was_written(address: str) -> None:
    assert support_address(f" {address} ") == address


@pytest.mark.parametrize(
    "address, reason", [("help", "has no @"), ("hilfé@maple.example", "the part before the @ is not ASCII")]
)
def test_an_address_for_support_that_mails_could_not_carry_is_refused(address: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        support_address(address)
