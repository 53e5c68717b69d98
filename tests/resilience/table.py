"""One table for a terminal and for a file, each cell broken into lines of its column's width."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence


def table(heads: Sequence[str], widths: Sequence[int], rows: Iterable[Sequence[object]]) -> str:
    lines = [_row(heads, widths), "  ".join("-" * width for width in widths)]
    lines += [_row([str(cell) for cell in row], widths) for row in rows]
    return "\n".join(lines)


def _row(cells: Sequence[str], widths: Sequence[int]) -> str:
    wrapped = [textwrap.wrap(cell, width) or [""] for cell, width in zip(cells, widths, strict=True)]
    height = max(map(len, wrapped))
    lines = []
    for number in range(height):
        parts = [
            (cell[number] if number < len(cell) else "").ljust(width)
            for cell, width in zip(wrapped, widths, strict=True)
        ]
        lines.append("  ".join(parts).rstrip())
    return "\n".join(lines)


def counted(texts: Iterable[str]) -> str:
    """`session ×3, link ×1`."""
    numbers: dict[str, int] = {}
    for text in texts:
        numbers[text] = numbers.get(text, 0) + 1
    return ", ".join(f"{text} ×{number}" if number > 1 else text for text, number in numbers.items())
