"""Whatever colour a practice has, its pages can be read; and what could be read already is left alone."""

from __future__ import annotations

import re
from importlib import resources

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as some

from authsvc.contrast import (
    DARK,
    LIGHT,
    SHAPE,
    TEXT,
    WASH,
    Scheme,
    channels,
    contrast,
    luminance,
    mixed,
    parsed,
    properties,
    readable,
)

CSS = (resources.files("authsvc.web") / "static" / "page.css").read_text(encoding="utf-8")
EVERY_COLOUR = some.integers(0, 0xFFFFFF).map("#{:06x}".format)
seeded = settings(derandomize=True, deadline=None, max_examples=500)
SCHEMES = pytest.mark.parametrize("scheme", [LIGHT, DARK], ids=["light", "dark"])


def of_the_stylesheet(scheme: Scheme) -> dict[str, str]:
    """The custom properties as page.css has them."""
    light, _, dark = CSS.partition("@media (prefers-color-scheme: dark) {\n")
    return dict(re.findall(r"(--[a-z-]+): (#[0-9a-f]{6});", (dark if scheme.dark else light).partition("}")[0]))


@SCHEMES
def test_the_surfaces_are_those_of_the_stylesheet(scheme: Scheme) -> None:
    base = of_the_stylesheet(scheme)
    assert scheme.surfaces == (base["--sheet"], base["--ground"], base["--wash"])
    assert scheme.ink == base["--act-ink"]
    assert properties("#0b5c8a", scheme).keys() <= base.keys()
    assert re.findall(r"--wash: (c.*);", CSS) == [f"color-mix(in srgb, var(--act) {WASH:.0%}, var(--sheet))"]


@SCHEMES
@seeded
@given(colour=EVERY_COLOUR)
@example(colour="#000000")
@example(colour="#ffffff")
@example(colour="#ffff00")
@example(colour="#0000ff")
@example(colour="#777777")
def test_every_colour_there_is_gives_links_and_buttons_that_can_be_read(scheme: Scheme, colour: str) -> None:
    base, own = of_the_stylesheet(scheme), properties(colour, scheme)
    for surface in ("--sheet", "--ground", "--wash"):
        assert contrast(own["--act"], base[surface]) >= TEXT > SHAPE
    act = channels(own["--act"])
    darker, lighter = sorted(map(luminance, (act, mixed(act, channels(base["--sheet"])))))
    assert (lighter + 0.05) / (darker + 0.05) >= TEXT
    assert contrast(own["--act"], own["--act-ink"]) >= TEXT
    assert all(parsed(value) == value for value in own.values())


@SCHEMES
@seeded
@given(colour=EVERY_COLOUR)
def test_a_colour_that_is_readable_stays_as_it_is(scheme: Scheme, colour: str) -> None:
    if min(contrast(colour, surface) for surface in scheme.surfaces) >= TEXT + 0.5:  # the wash may ask for that much
        assert readable(colour, scheme) == colour
    assert readable(readable(colour, scheme), scheme) == readable(colour, scheme)


@SCHEMES
@seeded
@given(colour=EVERY_COLOUR)
def test_only_the_lightness_moves_and_only_the_way_that_helps(scheme: Scheme, colour: str) -> None:
    before, after = ([int(each[at : at + 2], 16) for at in (1, 3, 5)] for each in (colour, readable(colour, scheme)))
    pairs = list(zip(before, after, strict=True))
    assert all(was <= now if scheme.dark else was >= now for was, now in pairs)
    # The order of red, green and blue says in which sixth of the wheel the hue lies; rounding may make two equal.
    assert all(now <= then for (was, now) in pairs for (once, then) in pairs if was < once)


@SCHEMES
@seeded
@given(colour=EVERY_COLOUR)
def test_the_step_is_the_smallest_that_is_enough(scheme: Scheme, colour: str) -> None:
    moved = readable(colour, scheme)
    if moved != colour:
        step = -1 if scheme.dark else 1
        back = "#" + "".join(f"{max(0, min(255, round(each * 255) + step)):02x}" for each in channels(moved))
        assert contrast(back, scheme.surfaces[0]) < contrast(moved, scheme.surfaces[0])
        assert readable(back, scheme) != back


@pytest.mark.parametrize(
    "one, other, ratio",
    [("#000000", "#ffffff", 21.0), ("#777777", "#ffffff", 4.48), ("#0b5c8a", "#0b5c8a", 1.0)],
)
def test_the_contrast_ratio_is_wcags(one: str, other: str, ratio: float) -> None:
    assert round(contrast(one, other), 2) == round(contrast(other, one), 2) == ratio
    assert (luminance(channels("#000000")), round(luminance(channels("#ffffff")), 9)) == (0, 1)


@pytest.mark.parametrize("text", ["#0B5C8A", " #0b5c8a "])
def test_a_colour_is_written_one_way(text: str) -> None:
    assert parsed(text) == "#0b5c8a"


@pytest.mark.parametrize(
    "text", ["", "red", "#fff", "#12345g", "#1234567", "0b5c8a", "rgb(1,2,3)", "#٠٠٠٠٠٠", "#000000}body{", "#000000\n;"]
)
def test_attack_css_in_place_of_a_colour(text: str) -> None:
    with pytest.raises(ValueError, match="not a colour"):
        parsed(text)
