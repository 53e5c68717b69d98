"""What a request is answered that the application doesn't see: a program gets a problem document, a browser a page."""

from __future__ import annotations

import json
from email.parser import BytesParser
from http import HTTPStatus

import pytest

from authsvc.server.short_answers import short_answer

BROWSER = b"GET /p/maple/sign-in HTTP/1.1\r\nHost: x\r\naccept: text/html,application/xhtml+xml\r\n\r\n"
PROGRAM = b"POST /v1/practices/maple/codes HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\nAccept: text/html"


def parts(answer: bytes) -> tuple[str, dict[str, str], bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    status, _, fields = head.partition(b"\r\n")
    return status.decode(), dict(BytesParser().parsebytes(fields)), body


def test_a_program_gets_a_problem_document() -> None:
    status, fields, body = parts(short_answer(HTTPStatus.SERVICE_UNAVAILABLE, PROGRAM))
    assert status == "HTTP/1.1 503 Service Unavailable"
    assert (fields["Content-Type"], fields["Retry-After"]) == ("application/problem+json", "1")
    assert json.loads(body) == {"type": "about:blank", "title": "Service Unavailable", "status": 503}


@pytest.mark.parametrize(
    ("status", "words"),
    [(HTTPStatus.SERVICE_UNAVAILABLE, "Please wait a moment"), (HTTPStatus.BAD_REQUEST, "Please go back")],
)
def test_a_browser_gets_a_page_in_both_languages(status: HTTPStatus, words: str) -> None:
    line, fields, body = parts(short_answer(status, BROWSER))
    assert line.startswith(f"HTTP/1.1 {status.value} ")
    assert fields["Content-Type"] == "text/html; charset=utf-8"
    assert int(fields["Content-Length"]) == len(body)
    assert ("Retry-After" in fields) == (status == HTTPStatus.SERVICE_UNAVAILABLE)
    assert words in body.decode()
    assert '<div lang="es">' in body.decode()


def test_attack_nothing_of_the_request_is_in_the_answer() -> None:
    asked = b"GET /<script>alert(1)</script> HTTP/1.1\r\nHost: evil.example\r\nAccept: text/html\r\n\r\n"
    answer = short_answer(HTTPStatus.BAD_REQUEST, asked)
    assert b"script" not in answer
    assert b"evil" not in answer
