"""What a browser carries for us: its id, the tokens of our forms, and a sign-in that waits for its code.

The waiting sign-in is sealed and stays with the browser: a stranger's visit keeps nothing here, known and unknown
addresses are the same work, and a code can be typed only where it was asked for (`USERS` calls it the challenge
cookie). It opens for this browser, this practice and this page alone.
"""

from __future__ import annotations

import hmac
import json
from typing import Any

from authsvc.crypto import mint, sealing
from authsvc.flows.data_keys import DataKeys
from authsvc.ports import Entropy

_FORM = "authsvc form v1"
_PENDING = "sign-in"
PAGE_ID_CHARS = 8  # 48 bits: tells one tab's sign-in from another's, and is no secret


class Cookies:
    """Makes and reads them."""

    def __init__(self, data_keys: DataKeys, entropy: Entropy) -> None:
        self._data_keys = data_keys
        self._entropy = entropy

    def browser_id(self) -> str:
        """A new id for a browser: 128 random bits, known to nobody else."""
        return mint.short_id(self._entropy)

    def page_id(self) -> str:
        """A new name for one sign-in among a browser's tabs."""
        return mint.short_id(self._entropy)[:PAGE_ID_CHARS]

    def form_token(self, browser: str, practice_id: str, signed_in: str = "") -> str:
        """What a form of ours repeats (CSRF): bound to the browser, the practice and the sign-in's cookie.

        Raises Unavailable while the store is away and the key isn't known yet.
        """
        fields = sealing.frame(browser, practice_id, signed_in)
        return sealing.mac(self._data_keys.key("cookies"), _FORM, fields)

    def is_ours(self, token: str, browser: str, practice_id: str, signed_in: str = "") -> bool:
        """Whether a form came from a page that this very browser was shown."""
        expected = self.form_token(browser, practice_id, signed_in)
        return bool(browser) and hmac.compare_digest(expected.encode(), token.encode("utf-8", "replace"))

    def seal(self, practice_id: str, browser: str, page: str, fields: dict[str, Any]) -> str:
        plain = json.dumps(fields, separators=(",", ":")).encode()
        context = _context(practice_id, browser, page)
        return sealing.seal(self._data_keys.key("cookies"), _PENDING, plain, context, self._entropy)

    def open(self, practice_id: str, browser: str, page: str, sealed: str) -> dict[str, Any] | None:
        """What was sealed; None for anything that isn't this browser's for this page."""
        context = _context(practice_id, browser, page)
        try:
            plain = sealing.unseal(self._data_keys.key("cookies"), _PENDING, sealed, context)
        except ValueError:
            return None
        fields: dict[str, Any] = json.loads(plain)
        return fields


def _context(practice_id: str, browser: str, page: str) -> str:
    return f"{practice_id}:{browser}:{page}"
