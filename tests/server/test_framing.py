"""A request is whole when its last byte is there, however its bytes were cut, and never waits for more."""

from __future__ import annotations

from typing import Any

import pytest
from gunicorn.config import Config
from gunicorn.http import errors as malformed
from gunicorn.http import get_parser
from hypothesis import given, settings
from hypothesis import strategies as st

from authsvc.server.framing import BODY_BYTES_MAX, CHUNKED_BYTES_MAX, HEAD_BYTES_MAX, RequestBuffer

seeded = settings(derandomize=True, deadline=None, max_examples=300)

GET = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
HEAD = b"POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNKED = HEAD + b"5;a=b\r\nhello\r\n3\r\n\r\n!\r\n0\r\nX: y\r\n\r\n"
UNTRAILED = HEAD + b"1\r\nz\r\n0\r\n\r\n"
BARE = b"GET / HTTP/1.0\r\n\r\n"
WHOLE = [GET, POST, CHUNKED, UNTRAILED, BARE]


def parsed(data: bytes) -> tuple[str, bytes, bytes]:
    """Method, body, and what follows, as gunicorn reads it. Raises its errors."""
    parser = get_parser(Config(), iter([data]), ("127.0.0.1", 1))
    request: Any = next(parser)
    return request.method, request.body.read(), parser.unreader.take_buffered()


@seeded
@given(st.sampled_from(WHOLE), st.lists(st.integers(1, 40), max_size=60))
def test_it_is_whole_with_its_last_byte_and_not_before(request_bytes: bytes, cuts: list[int]) -> None:
    buffer, rest = RequestBuffer(), request_bytes
    for size in cuts:
        if len(rest) <= size:
            break
        buffer.feed(rest[:size])
        rest = rest[size:]
        assert not buffer.whole
    buffer.feed(rest)
    assert buffer.whole
    assert not buffer.too_large
    assert parsed(bytes(buffer.data))[2] == b""


@pytest.mark.parametrize("first", WHOLE)
def test_what_comes_behind_is_the_next_request(first: bytes) -> None:
    buffer = RequestBuffer(first + GET[:10])
    assert buffer.whole
    rest = parsed(bytes(buffer.data))[2]
    assert rest == GET[:10]
    following = RequestBuffer(rest)
    assert not following.whole
    following.feed(GET[10:])
    assert following.whole


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\nHost: x\n\n",
        b"G" * (HEAD_BYTES_MAX + 1),
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: five\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nfive\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1" * 2_000,
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + b"a" * CHUNKED_BYTES_MAX,
    ],
)
def test_attack_what_is_malformed_is_handed_over_at_once_for_the_parser_to_refuse(head: bytes) -> None:
    buffer = RequestBuffer(head)
    assert buffer.whole
    with pytest.raises((malformed.ParseException, malformed.NoMoreData)):
        parsed(bytes(buffer.data))


@pytest.mark.parametrize(
    "large",
    [
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (BODY_BYTES_MAX + 1),
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4001\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1;%s\r\na\r\n" % (b"e" * 400) * 400,
    ],
)
def test_attack_no_more_is_waited_for_than_may_be_read(large: bytes) -> None:
    buffer = RequestBuffer(large)
    assert buffer.whole
    assert buffer.too_large


def test_a_client_that_waits_for_a_word_before_its_body_is_known() -> None:
    buffer = RequestBuffer(b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-Continue\r\nContent-Length: 2\r\n\r\n")
    assert buffer.awaits_continue
    assert not buffer.whole
    buffer.feed(b"ok")
    assert buffer.whole


TOKENS = st.sampled_from(
    [
        *(
            b"GET / HTTP/1.1",
            b"POST / HTTP/1.1",
            b"\r\n",
            b"\n",
            b"\r",
            b" ",
            b"Host: x",
            b"\r\n\r\n",
            b"0",
            b"5",
            b"a" * 5,
        ),
        *(b"Content-Length: 5", b"content-length:0", b"Transfer-Encoding: chunked", b"transfer-encoding : chunked"),
        *(b"0\r\n\r\n", b"5\r\nhello\r\n", b"ffffffff\r\n", b"Expect: 100-continue", b"\x00", b";"),
    ]
)


@seeded
@given(st.lists(TOKENS, max_size=14).map(b"".join))
def test_attack_whatever_gunicorn_takes_for_a_whole_request_is_not_waited_for(data: bytes) -> None:
    try:
        _, body, rest = parsed(data)
    except (malformed.ParseException, malformed.NoMoreData, StopIteration):
        return
    assert RequestBuffer(data[: len(data) - len(rest)]).whole, body
