"""What the hosted pages say, in the reader's language."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from importlib import resources
from typing import Any

FALLBACK = "en"
_PREFERENCE = re.compile(r"\s*([A-Za-z]{1,8})(?:-[A-Za-z0-9]{1,8})*\s*(?:;\s*q=([01](?:\.[0-9]{1,3})?))?\s*")


def _load() -> Mapping[str, Mapping[str, Any]]:
    return tomllib.loads((resources.files("authsvc.web") / "templates" / "pages.toml").read_text(encoding="utf-8"))


TEXTS = _load()
LANGUAGES = tuple(TEXTS)


def language(accept: str, practice_locale: str = "") -> str:
    """The reader's choice among the languages there are (RFC 9110 §12.5.4), else the practice's, else English."""
    best, best_quality = "", 0.0
    for part in accept[:200].split(","):
        found = _PREFERENCE.fullmatch(part)
        if found and found[1].lower() in TEXTS and float(found[2] or 1) > best_quality:
            best, best_quality = found[1].lower(), float(found[2] or 1)
    own = practice_locale.partition("-")[0].lower()
    return best or (own if own in TEXTS else FALLBACK)


def said(lang: str, outcome: str, practice: str, phone: str) -> dict[str, Any]:
    """Title, paragraphs, button and footer of one outcome; a workflow of the site's own is told in general words."""
    texts = TEXTS[lang]
    found = texts.get(outcome, texts["live"])
    words = {"practice": practice, "phone": phone}
    help_text = texts["call" if phone else "ask"] if practice else ""
    return {
        "language": lang,
        "title": found["title"].format_map(words),
        "text": [paragraph.format_map(words) for paragraph in found["text"]],
        "button": found.get("button", ""),
        "help": help_text.format_map(words),
        "safe": texts["safe"],
        "to_portal": texts["to_portal"].format_map(words),
    }
