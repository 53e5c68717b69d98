"""Charts as SVG text, without a library: horizontal bars with a target each, and lines."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

WIDTH, LABELS, ROW = 760, 190, 26
COLOURS = ("#1f5fa8", "#b3541e", "#2e7d4f", "#7a3e9d", "#8a6d00", "#a8325a", "#33691e", "#00696b")


def _document(height: float, title: str, body: Sequence[str]) -> str:
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" font-size="13" role="img"',
        f'width="{WIDTH}" height="{height:.0f}" font-family="sans-serif">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{WIDTH}" height="{height:.0f}" fill="#ffffff"/>',
        _text(12, 22, title, weight="bold"),
        *body,
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _text(x: float, y: float, text: str, anchor: str = "start", weight: str = "normal") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}" fill="#1a1a1a">'
        f"{escape(text)}</text>"
    )


def bars(title: str, rows: Sequence[tuple[str, float, float | None]]) -> str:
    """One bar a row; a black stroke stands at the target."""
    longest = max([value for _, value, _ in rows] + [target or 0 for _, _, target in rows]) or 1.0
    scale = (WIDTH - LABELS - 90) / longest
    body, y = [], 40.0
    for label, value, target in rows:
        body.append(_text(LABELS - 8, y + 15, label, "end"))
        body.append(
            f'<rect x="{LABELS}" y="{y + 3:.1f}" width="{value * scale:.1f}" height="{ROW - 9}" fill="{COLOURS[0]}"/>'
        )
        if target is not None:
            at = LABELS + target * scale
            body.append(
                f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{y:.1f}" y2="{y + 22:.1f}" stroke="#000" stroke-width="3"/>'
            )
        told = f"{value:.2f}" if target is None else f"{value:.2f} (target {target:.2f})"
        body.append(_text(min(LABELS + max(value, target or 0) * scale + 8, WIDTH - 120), y + 15, told))
        y += ROW
    return _document(y + 12, title, body)


def lines(title: str, marks: Sequence[str], series: Mapping[str, Sequence[float]], unit: str) -> str:
    """One line a series over the same marks; the vertical axis is logarithmic."""
    values = [value for row in series.values() for value in row if value > 0] or [1.0]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    high = max(high, low + 1)
    left, top, right, bottom = 70.0, 44.0, WIDTH - 170.0, 330.0

    def y_of(value: float) -> float:
        return bottom - (math.log10(max(value, 10**low)) - low) / (high - low) * (bottom - top)

    def x_of(number: int) -> float:
        return left + (right - left) * (number / max(1, len(marks) - 1))

    body = []
    for power in range(low, high + 1):
        y = y_of(10**power)
        body.append(f'<line x1="{left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}" stroke="#d0d0d0"/>')
        body.append(_text(left - 8, y + 4, f"{10**power:g} {unit}", "end"))
    for number, mark in enumerate(marks):
        body.append(_text(x_of(number), bottom + 20, mark, "middle"))
    for number, (name, row) in enumerate(series.items()):
        colour = COLOURS[number % len(COLOURS)]
        points = " ".join(f"{x_of(index):.1f},{y_of(value):.1f}" for index, value in enumerate(row))
        body.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        y = top + 10 + number * 20
        body.append(f'<rect x="{right + 16:.1f}" y="{y - 9:.1f}" width="12" height="12" fill="{colour}"/>')
        body.append(_text(right + 34, y + 2, name))
    return _document(bottom + 36, title, body)
