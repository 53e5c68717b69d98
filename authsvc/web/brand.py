"""What a practice's pages look like: its logo and its colour, each at an address that holds its digest."""

from __future__ import annotations

from hashlib import sha256

from authsvc.model import Practice

DIGEST_CHARS = 16  # 64 bits: enough to tell versions apart; nothing is kept secret by it


def brand_css_path(practice: Practice) -> str:
    """Where the practice's colours are, below the mounted base; empty for a practice without a colour."""
    if not practice.colour:
        return ""
    return f"/p/{practice.id}/brand-{sha256(practice.colour.encode()).hexdigest()[:DIGEST_CHARS]}.css"


def logo_path(practice: Practice) -> str:
    """Where the practice's logo is, below the mounted base; empty for a practice without one."""
    return f"/p/{practice.id}/logo-{practice.logo}.png" if practice.logo else ""
