"""Whole answers to requests that the application doesn't see; the connection ends after each.

A program gets a problem document (RFC 9457), a browser a page, in both of our languages, since nothing of the request
is read but which of them it wants.
"""

from __future__ import annotations

import json
import re
from http import HTTPStatus
from secrets import token_hex
from typing import Final

RETRY_AFTER_S: Final = 1

_WANTS_PAGE: Final = re.compile(rb"\r\nAccept:[^\r\n]*text/html", re.IGNORECASE)
_PAGE: Final = (
    '<!doctype html><html lang="en"><head><meta charset="utf-8">'
    '<meta name="viewport" content="width=device-width, initial-scale=1"><title>{title}</title></head>'
    '<body><main><h1>{title}</h1><p>{text}</p><div lang="es"><h2>{title_es}</h2><p>{text_es}</p></div></main></body>'
    "</html>"
)
_BUSY: Final = {
    "title": "Please wait a moment",
    "text": "Very many people are here right now. Nothing is lost: wait a few seconds, then load this page again.",
    "title_es": "Por favor, espere un momento",
    "text_es": "Hay mucha gente ahora mismo. No se ha perdido nada: espere unos segundos y vuelva a cargar la página.",
}
_UNREADABLE: Final = {
    "title": "That did not arrive whole",
    "text": "Nothing was done. Please go back and try once more.",
    "title_es": "Esto no ha llegado completo",
    "text_es": "No se ha hecho nada. Por favor, vuelva atrás y pruebe otra vez.",
}


def short_answer(status: HTTPStatus, request: bytes | bytearray) -> bytes:
    """The answer with this status, in the form that the `request` asks for, as far as it is here."""
    overload = status == HTTPStatus.SERVICE_UNAVAILABLE
    if _WANTS_PAGE.search(request.partition(b"\r\n\r\n")[0]):
        kind, body = "text/html; charset=utf-8", _PAGE.format(**(_BUSY if overload else _UNREADABLE))
    else:
        kind = "application/problem+json"
        body = json.dumps({"type": "about:blank", "title": status.phrase, "status": status.value})
    content = body.encode()
    retry = f"Retry-After: {RETRY_AFTER_S}\r\n" if overload else ""
    return (
        f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: {kind}\r\n"
        f"Content-Length: {len(content)}\r\nCache-Control: no-store\r\nX-Request-Id: {token_hex(16)}\r\n{retry}"
        "Content-Security-Policy: default-src 'none'; frame-ancestors 'none'\r\nX-Content-Type-Options: nosniff\r\n"
        "Connection: close\r\n\r\n"
    ).encode() + content
