"""What a practice's pages and mails look like, as operators set it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Authsvc
from tests.pictures import moving, picture


def listed(authsvc: Authsvc) -> dict[str, Any]:
    (only,) = authsvc("practices", "list", "--json").document["practices"]
    return dict(only)


@pytest.fixture
def logo(tmp_path: Path) -> Path:
    """Its name says nothing true."""
    file = tmp_path / "logo.svg"
    file.write_bytes(picture("JPEG", (1280, 320)))
    return file


def test_colour_and_addresses_are_set_when_adding_or_later(authsvc: Authsvc) -> None:
    brand = ("--colour", "#0B5C8A", "--support-email", " Help@maple.example ", "--sender-name", "Maple Front Desk")
    added = authsvc("practices", "add", "maple", "--name", "Maple Clinic", *brand, "--json").document
    shown = {"colour": "#0b5c8a", "support_email": "Help@maple.example", "sender_name": "Maple Front Desk"}
    assert shown.items() <= added.items()
    assert {"logo": "", "logo_width": 0, "logo_height": 0}.items() <= added.items()
    nothing = ("--colour", "", "--support-email", "", "--sender-name", "")
    assert authsvc("practices", "set", "maple", *nothing).code == 0
    assert {"colour": "", "support_email": "", "sender_name": ""}.items() <= listed(authsvc).items()
    assert authsvc("practices", "set", "maple", *brand).code == 0
    assert shown.items() <= listed(authsvc).items()


def test_a_logo_is_kept_as_it_fits_the_page_and_taken_away_again(maple: Authsvc, logo: Path) -> None:
    changed = maple("practices", "set", "maple", "--logo", str(logo), "--json").document
    assert (changed["logo_width"], changed["logo_height"], len(changed["logo"])) == (640, 160, 16)
    assert maple("practices", "set", "maple", "--phone", "555 0199").code == 0
    assert listed(maple)["logo"] == changed["logo"]
    assert maple("practices", "set", "maple", "--no-logo").code == 0
    assert (listed(maple)["logo"], listed(maple)["phone"]) == ("", "555 0199")


def test_a_logo_may_come_through_a_pipe(maple: Authsvc) -> None:
    assert maple("practices", "set", "maple", "--logo", "-", input=picture()).code == 0
    assert listed(maple)["logo_width"] == 300


def test_a_logo_is_either_given_or_taken_away(maple: Authsvc, logo: Path) -> None:
    ran = maple("practices", "set", "maple", "--no-logo", "--logo", str(logo))
    assert (ran.code, "exclude each other" in ran.err) == (2, True)


@pytest.mark.parametrize(
    "data, reason",
    [
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "is not a PNG, JPEG or WebP picture"),
        (picture("GIF"), "is not a PNG, JPEG or WebP picture"),
        (picture()[:-40], "is damaged or cut short"),
        (picture("PNG", (5000, 10)), "has more than 4096 pixels on a side"),
        (picture() + bytes(600_000), "is larger than 512 KiB"),
        (moving("PNG"), "is animated, or holds several pictures"),
    ],
    ids=["svg", "gif", "cut-short", "huge", "long", "moving"],
)
def test_a_file_that_is_no_logo_is_wrong_usage_and_says_why(
    maple: Authsvc, tmp_path: Path, data: bytes, reason: str
) -> None:
    file = tmp_path / "logo.png"
    file.write_bytes(data)
    ran = maple("practices", "set", "maple", "--logo", str(file))
    assert ran.code == 2
    assert f"'--logo': '{file}' {reason}." in ran.err
    assert listed(maple)["logo"] == ""


def test_a_file_that_is_not_there_is_wrong_usage(maple: Authsvc, tmp_path: Path) -> None:
    ran = maple("practices", "set", "maple", "--logo", str(tmp_path / "none.png"))
    assert (ran.code, "'--logo'" in ran.err) == (2, True)


@pytest.mark.parametrize("colour", ["red", "#fff", "0b5c8a", "#0b5c8a;}body{display:none", "url(https://evil.example)"])
def test_attack_css_in_place_of_a_colour(maple: Authsvc, colour: str) -> None:
    ran = maple("practices", "set", "maple", "--colour", colour)
    assert (ran.code, "'--colour'" in ran.err, "is not a colour such as #0b5c8a." in ran.err) == (2, True, True)


@pytest.mark.parametrize(
    "address",
    [
        "help",
        "help@maple",
        "help@maple.example, eve@evil.example",
        "Help <help@maple.example>",
        "help@maple.example\r\nBcc: eve@evil.example",
        "help@\u202emaple.example",
        "hilfé@maple.example",
    ],
)
def test_attack_a_header_in_the_support_address(maple: Authsvc, address: str) -> None:
    ran = maple("practices", "set", "maple", "--support-email", address)
    assert (ran.code, "'--support-email'" in ran.err) == (2, True)
    assert listed(maple)["support_email"] == ""


@pytest.mark.parametrize(
    "name", ["Maple\r\nBcc: eve@evil.example", "Maple\x00", "elpaM\u202e", "=?utf-8?q?x=0D=0ABcc:e?=", "x" * 81]
)
def test_attack_a_header_in_the_sender_name(maple: Authsvc, name: str) -> None:
    ran = maple("practices", "set", "maple", "--sender-name", name)
    assert (ran.code, "'--sender-name'" in ran.err) == (2, True)
    assert listed(maple)["sender_name"] == ""


def test_a_support_address_in_a_domain_of_other_letters_is_taken(maple: Authsvc) -> None:
    assert maple("practices", "set", "maple", "--support-email", "hilfe@straße.example").code == 0
    assert listed(maple)["support_email"] == "hilfe@straße.example"


# --- the preview --------------------------------------------------------------------------------------------------


def test_a_preview_is_written_where_it_is_asked_for(maple: Authsvc, logo: Path, tmp_path: Path) -> None:
    assert maple("practices", "set", "maple", "--logo", str(logo), "--colour", "#ffd400").code == 0
    told = maple("practices", "preview", "maple", "--out", str(tmp_path / "a" / "b"), "--json").document
    assert (told["practice"], told["index"]) == ("maple", str(tmp_path / "a" / "b" / "index.html"))
    written = {str(file.relative_to(told["folder"])) for file in Path(told["folder"]).rglob("*") if file.is_file()}
    assert written == set(told["files"])
    assert (tmp_path / "a/b/light/logo.png").read_bytes().startswith(b"\x89PNG")
    assert "#846d00" in (tmp_path / "a/b/light/brand.css").read_text()


def test_a_preview_is_written_here_by_default(maple: Authsvc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ran = maple("practices", "preview", "maple")
    assert ran.code == 0
    assert str(tmp_path / "preview-maple" / "index.html") in ran.out
    assert "Maple Clinic" in (tmp_path / "preview-maple/dark/es/sign-in.html").read_text(encoding="utf-8")
    assert maple("practices", "preview", "maple").code == 0


def test_there_is_no_preview_of_an_unknown_practice(maple: Authsvc, tmp_path: Path) -> None:
    assert maple("practices", "preview", "oak", "--out", str(tmp_path / "oak")).code == 1
    assert not (tmp_path / "oak").exists()
