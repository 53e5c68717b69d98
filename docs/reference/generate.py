"""Writes what is made from code: the table in `settings.md` and `config/authsvc.toml`. Run it after changing a setting:

    python docs/reference/generate.py

A test compares what it would write with what is there.
"""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

from authsvc.config.settings import KNOWN, Known
from authsvc.config.units import say_span

ROOT = Path(__file__).parents[2]
SETTINGS_MD = ROOT / "docs" / "reference" / "settings.md"
AUTHSVC_TOML = ROOT / "config" / "authsvc.toml"

EXAMPLES = {
    "public_url": "https://signin.maple.example",
    "redis_url": "rediss://authsvc:PASSWORD@redis.maple.example:6379/0",
    "secret_keys": "REPLACE-ME",
    "mail_url": "smtp://authsvc:PASSWORD@mail.maple.example:587",
    "mail_from": "Maple Clinic <no-reply@maple.example>",
}
"""What the sample file shows where there is no default. The service refuses the two secrets among them."""

HEAD = """\
# Every setting, with its kind and the reason for it; what is commented out shows the default.
# AUTHSVC_CONFIG names this file. The environment wins over it: AUTHSVC_<NAME>, or AUTHSVC_<NAME>_FILE with the path of
# a file that holds the value, which is the place for secrets. A span is "10 min", "600 s", "72 h", "30 d", or a bare
# number of seconds. Made by docs/reference/generate.py.
"""


def shown(known: Known) -> str:
    """The default as it is written in TOML, or the example where there is none."""
    if known.required:
        return f'"{EXAMPLES[known.name]}"'
    if known.name.endswith("_s"):
        return f'"{say_span(known.default)}"'
    if isinstance(known.default, str):
        return f'"{known.default}"'
    return "[]" if known.default == () else str(known.default)


def authsvc_toml() -> str:
    parts = [HEAD]
    for known in KNOWN.values():
        why = textwrap.fill(known.why, 118, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False)
        kind = f"# ({known.type.label}{'; required' if known.required else ''})"
        parts.append(f"{why}\n{kind}\n#{known.name} = {shown(known)}\n")
    return "\n".join(parts)


def settings_table() -> str:
    lines = ["| setting | kind | default | why |", "| --- | --- | --- | --- |"]
    for known in KNOWN.values():
        default = "required" if known.required else f"`{shown(known)}`"
        lines.append(f"| `{known.variable}` | {known.type.label} | {default} | {known.why} |")
    return "\n".join(lines)


def settings_md() -> str:
    """The page as it is, with the table between its two markers made anew."""
    page = SETTINGS_MD.read_text(encoding="utf-8")
    return re.sub(r"(?<=<!-- table -->\n).*?(?=\n<!-- end -->)", lambda _: settings_table(), page, flags=re.DOTALL)


if __name__ == "__main__":
    AUTHSVC_TOML.write_text(authsvc_toml(), encoding="utf-8")
    SETTINGS_MD.write_text(settings_md(), encoding="utf-8")
