"""One colour of a practice, made readable: what buttons and links are drawn in, on light pages and on dark ones.

A practice gives its colour and nothing else; every value that a page gets is worked out here. What is promised
(WCAG 2.2, 1.4.3 and 1.4.11): links, which are text in that colour, have 4.5:1 against everything they stand on, and so
has the text on a button; a button then has the 3:1 that its shape needs. A colour that does all that stays as it is.
Any other is made darker (light pages) or lighter (dark pages), by the smallest step that is enough, with HSL's hue and
saturation as they were (CSS Color 4, §7): luminance only grows with HSL's lightness, so there is one such step, and
black or white at its end always does.
"""

from __future__ import annotations

import colorsys
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

TEXT: Final = 4.5  # WCAG 2.2, 1.4.3 (AA): text below 18 pt
SHAPE: Final = 3.0  # WCAG 2.2, 1.4.11: what shows where a control is
HALVINGS: Final = 16  # of the way to white or black: finer than the 256 steps of a channel

Channels = tuple[float, float, float]

_COLOUR: Final = re.compile(r"#[0-9a-f]{6}", re.ASCII)


@dataclass(frozen=True)
class Scheme:
    """What page.css draws in one scheme: `surfaces` are what text stands on (first the sheet), `ink` is what stands on
    a button. The ink lies beyond the surfaces, so what can be told from these can be told from it."""

    surfaces: tuple[str, ...]
    ink: str
    dark: bool


LIGHT: Final = Scheme(("#ffffff", "#f3f6f8", "#eef3f7"), ink="#ffffff", dark=False)
DARK: Final = Scheme(("#19212a", "#10161c", "#222d38"), ink="#0b1822", dark=True)
WASH: Final = 0.07  # of the colour itself, over the sheet: what page.css draws notices on


def parsed(text: str) -> str:
    """`#rrggbb` in lower case. Raises ValueError for anything else: names and functions of CSS among it."""
    colour = text.strip().lower()
    if not _COLOUR.fullmatch(colour):
        raise ValueError("is not a colour such as #0b5c8a")
    return colour


def contrast(one: str, other: str) -> float:
    """How far apart two colours are, from 1 to 21 (WCAG 2.2, "contrast ratio")."""
    return _ratio(channels(one), channels(other))


def channels(colour: str) -> Channels:
    """Red, green and blue, each from 0 to 1."""
    red, green, blue = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    return red, green, blue


def luminance(colour: Channels) -> float:
    """From 0, black, to 1, white (WCAG 2.2, "relative luminance")."""
    red, green, blue = (_linear(channel) for channel in colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def mixed(own: Channels, sheet: Channels) -> Channels:
    """The wash that page.css makes of a colour, where the browser can (`color-mix(in srgb, …)`, CSS Color 5, §3)."""
    red, green, blue = (WASH * mine + (1 - WASH) * under for mine, under in zip(own, sheet, strict=True))
    return red, green, blue


@lru_cache(maxsize=1024)
def readable(colour: str, scheme: Scheme) -> str:
    """The colour itself where links in it can be read, else the nearest, darker or lighter one of which that holds."""
    if _can_be_read(colour, scheme):
        return colour
    hue, lightness, saturation = colorsys.rgb_to_hls(*channels(colour))
    near, far = lightness, 1.0 if scheme.dark else 0.0
    for _ in range(HALVINGS):
        middle = (near + far) / 2
        if _can_be_read(_written(hue, middle, saturation), scheme):
            far = middle
        else:
            near = middle
    return _written(hue, far, saturation)


def properties(colour: str, scheme: Scheme) -> Mapping[str, str]:
    """The custom properties of page.css that a practice's colour changes."""
    return {"--act": readable(colour, scheme), "--act-ink": scheme.ink}


def _can_be_read(colour: str, scheme: Scheme) -> bool:
    own, sheet, *others = (channels(each) for each in (colour, *scheme.surfaces))
    wash = mixed(own, sheet)
    return all(_ratio(own, surface) >= TEXT for surface in (sheet, *others, wash))


def _ratio(one: Channels, other: Channels) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def _linear(channel: float) -> float:
    """One channel without sRGB's curve. WCAG 2.2 says 0.04045, earlier texts 0.03928: the same in 8 bits."""
    return channel / 12.92 if channel <= 0.04045 else float(((channel + 0.055) / 1.055) ** 2.4)


def _written(hue: float, lightness: float, saturation: float) -> str:
    return "#" + "".join(f"{round(channel * 255):02x}" for channel in colorsys.hls_to_rgb(hue, lightness, saturation))
