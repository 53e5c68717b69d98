"""Header fields of a mail, written here and read back before they are sent.

The standard library's writer folds a long display name without its quotes (python/cpython#80222) and loses the space
between two encoded words (python/cpython#92081). So ASCII stands on one line, and everything else in encoded words
(RFC 2047) that are folded between words only. The standard library's *reader* then has to find what was written.
"""

from __future__ import annotations

import base64
import re
from email.header import decode_header, make_header
from email.utils import parseaddr
from functools import lru_cache
from itertools import groupby
from typing import Final

PLAIN_CHARS: Final = 900  # of one line; RFC 5322 §2.1.1 allows 998 with name and address
LINE_CHARS: Final = 76  # of a line with encoded words (RFC 2047 §2)
NAME_CHARS: Final = 10  # "Reply-To: ", the longest that stands before the first
WORD_BYTES: Final = 38  # makes 64 characters of base64 and frame

_ATOM: Final = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"  # RFC 5322 §3.2.3
_ATOMS: Final = re.compile(f"{_ATOM}(?: {_ATOM})*")


@lru_cache(maxsize=1024)
def text(value: str) -> str:
    """An unstructured field such as Subject. Raises ValueError when it would be read as something else."""
    written = value if _one_line(value) and value == value.strip() else _encoded(value)
    if _read(written) != value:
        raise ValueError("doesn't read back as it was written")
    return written


@lru_cache(maxsize=1024)
def sender(name: str, addr_spec: str) -> str:
    """A mailbox with a display name (RFC 5322 §3.4). Raises ValueError when it would be read as something else."""
    if not _one_line(name):
        phrase = f"{_encoded(name)}\r\n"
    elif _ATOMS.fullmatch(name):
        phrase = name
    else:
        phrase = '"' + re.sub(r'(["\\])', r"\\\1", name) + '"'
    written = f"{phrase} <{addr_spec}>"
    shown, address = parseaddr(written.replace("\r\n", ""))
    if (_read(shown), address) != (name, addr_spec):
        raise ValueError("doesn't read back as it was written")
    return written


def _one_line(value: str) -> bool:
    return value.isascii() and len(value) <= PLAIN_CHARS and "=?" not in value


def _encoded(value: str) -> str:
    """Words that need it as encoded words, the others as they are, folded between words.

    White space between two encoded words isn't read (RFC 2047 §6.2), so what stands between two words that need it
    belongs into one with them.
    """
    words: list[str] = []
    for plain, group in groupby(_split(value), key=lambda word: re.fullmatch(_ATOM, word) is not None):
        run = list(group)
        words += run if plain else _encoded_words(" ".join(run))
    lines, room = [words[0]], LINE_CHARS - NAME_CHARS
    for word in words[1:]:
        if len(lines[-1]) + 1 + len(word) <= room:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
            room = LINE_CHARS - 1
    return "\r\n ".join(lines)


def _split(value: str) -> list[str]:
    """At single spaces. More of them stay with the word after them: an encoded word is never empty (RFC 2047 §2)."""
    return re.findall(r"(?:\A| )( *[^ ]+(?: +\Z)?)", value) or [value]


def _encoded_words(value: str) -> list[str]:
    """Each holds whole characters (RFC 2047 §5)."""
    words, word = [], b""
    for character in value:
        encoded = character.encode()
        if len(word) + len(encoded) > WORD_BYTES:
            words.append(word)
            word = b""
        word += encoded
    return [f"=?utf-8?B?{base64.b64encode(each).decode()}?=" for each in [*words, word]]


def _read(written: str) -> str:
    return str(make_header(decode_header(written.replace("\r\n", ""))))
