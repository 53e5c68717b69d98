"""What people paste and type, read as they meant it.

Mail programs, phones and keyboards add what nobody sees or means: invisible characters, full-width signs, brackets, a
full stop. No address on file has any of them, so to drop them can't turn one mailbox into another.
"""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import unquote

_FULL_WIDTH = str.maketrans({"＠": "@", "﹫": "@", "．": ".", "。": ".", "｡": "."})
_BEFORE = re.compile(r"[\s\"“„«‹(\[<,;:.]+")
_AFTER = re.compile(r"[\s\"”“»›)\]>,;:.]")


def visible(text: str) -> str:
    """Without the characters that have no width (Unicode category Cf)."""
    return "".join(character for character in text if unicodedata.category(character) != "Cf")


def address(text: str) -> str:
    """The mail address in what was typed or pasted: `Ann <ann@example.org>` and `mailto:ann@example.org?subject=x` too.

    Composed (NFC), with `@` and `.` for their full-width forms, without what stands around it.
    """
    text = unicodedata.normalize("NFC", visible(text)).translate(_FULL_WIDTH)
    bracketed = re.findall(r"<([^<>]*@[^<>]*)>", text)
    text = _trimmed(bracketed[-1] if bracketed else text)
    if text[:7].lower() == "mailto:":
        text = _trimmed(unquote(text[7:].partition("?")[0]))
    return text


def lookalike(text: str) -> str:
    """The first character that only looks like one that a mail address may have (Unicode NFKC would change it)."""
    return next((character for character in text if unicodedata.normalize("NFKC", character) != character), "")


def _trimmed(text: str) -> str:
    before = _BEFORE.match(text)
    text = text[before.end() :] if before else text
    end = len(text)
    while end and _AFTER.match(text, end - 1):
        end -= 1
    return text[:end]
