"""What people paste and type, read as they meant it.

Mail programs, phones and keyboards add what nobody sees or means: invisible characters, full-width signs, brackets, a
full stop, a label. No address on file has any of them, so to drop them can't turn one mailbox into another.
"""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import unquote

from authsvc.text import visible

MOST_CHARS = 1_000  # of what is looked at: no address is longer than 254, whatever stands around it

_FULL_WIDTH = str.maketrans({"＠": "@", "﹫": "@", "．": ".", "。": ".", "｡": "."})
_BRACKETED = re.compile(r"[<(\[]([^<>()\[\]]*@[^<>()\[\]]*)[>)\]]")
_LABEL = re.compile(r"(?:[^@:]*:)+[/ ]*|[^\w@]+ ")  # `Email: `, `mailto:`, `> `, `• `
_COMMENT = re.compile(r" ?\([^()@]*\)$")
_BEFORE = re.compile(r"[\s\"“„«‹(\[<,;:.]+")
_AFTER = re.compile(r"[\W_]*$")  # a domain ends in a letter or a digit
_QUOTES = {"'": "'", "`": "`'", "‘": "’‘", "*": "*", "_": "_", "~": "~"}
_SIX_DIGITS = re.compile(r"(?<!\d)\d{3}[ -]?\d{3}(?!\d)", re.ASCII)


def address(text: str) -> str:
    """The mail address in what was typed or pasted: `Ann <ann@example.org>` and `mailto:ann@example.org?subject=x` too.

    Composed (NFC), with `@` and `.` for their full-width forms, without what stands around it.
    """
    text = unicodedata.normalize("NFC", visible(text[:MOST_CHARS])).translate(_FULL_WIDTH)
    text = " ".join(text.split()).replace(" @", "@").replace("@ ", "@")
    if "@" not in text:
        text = text.replace("%40", "@")
    if "@" not in text:
        return text
    bracketed = _BRACKETED.findall(text)
    text = bracketed[-1] if bracketed else _COMMENT.sub("", text)
    label = _LABEL.match(text)
    if label:
        text = text[label.end() :]
        if label[0].lower().startswith("mailto:"):
            text = unquote(text.partition("?")[0])
    return _trimmed(text)


def code(text: str) -> str:
    """The six digits in what was typed or pasted, whatever stands around or between them, in the digits of any
    alphabet; the text itself where it isn't certain which they are."""
    shown = visible(text[:MOST_CHARS])
    plain = "".join(str(unicodedata.decimal(one)) if one.isdecimal() else one for one in shown)
    if any(one.isalpha() for one in plain):
        found = _SIX_DIGITS.findall(plain)
        plain = found[0] if len(found) == 1 else ""
    digits = re.sub(r"[^0-9]", "", plain)
    return digits if len(digits) == 6 else text


def lookalike(text: str) -> str:
    """The first character that only looks like one that a mail address may have (Unicode NFKC would change it)."""
    return next((character for character in text if unicodedata.normalize("NFKC", character) != character), "")


def _trimmed(text: str) -> str:
    before = _BEFORE.match(text)
    text = text[before.end() :] if before else text
    core = _AFTER.sub("", text)
    after = text[len(core) :]
    while core and after and after[0] in _QUOTES.get(core[0], ""):
        core, after = core[1:], after[1:]
    return core
