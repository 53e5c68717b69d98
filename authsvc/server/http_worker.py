"""A gunicorn worker that no client can hold: its threads are given whole requests only.

So a silent, slow or half-sent request costs a buffer and no thread, whatever their number (`connections`). Probes and
keys have threads of their own, and so has forward-auth. Of each kind, more than can be answered is answered 503 at once
(`lanes`), which keeps the time that the accepted ones take near to what it is without load.
"""

from __future__ import annotations

import io
import re
import time
from concurrent.futures import Future, ThreadPoolExecutor
from http import HTTPStatus
from typing import Any, Final

from gunicorn import http
from gunicorn.errors import ConfigError
from gunicorn.http import errors as malformed

from authsvc.server.client_connection import Answer, Connection
from authsvc.server.connections import REQUEST_S, ConnectionLoop
from authsvc.server.framing import BODY_BYTES_MAX, RequestBuffer
from authsvc.server.lanes import Lane
from authsvc.server.short_answers import short_answer

UNDER_WAY_MOST: Final = 72  # of one kind, in a burst
LEFT_AFTER_S: Final = 0.02  # a request that has waited for longer is looked at again: is its client still there?
PROBE_THREADS: Final = 2  # beside the configured ones: they need no store, but for /readyz

_PROBE: Final = re.compile(rb"[A-Z]+ [^ ?]*(?:/livez|/readyz|/metrics|/\.well-known/[^ ?]*|/keys/[^ ?/]*)[ ?]")
_FORWARD_AUTH: Final = re.compile(rb"[A-Z]+ [^ ?]*/v1/forward-auth[ ?]")
_STATUS: Final[dict[type[Exception], int]] = {
    malformed.LimitRequestLine: HTTPStatus.REQUEST_URI_TOO_LONG,
    malformed.LimitRequestHeaders: HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    malformed.UnsupportedTransferCoding: HTTPStatus.NOT_IMPLEMENTED,
    malformed.ExpectationFailed: HTTPStatus.EXPECTATION_FAILED,
}


class Worker(ConnectionLoop):
    """Gives requests to threads, and answers those that no thread shall see."""

    @classmethod
    def check_config(cls, cfg: Any, _log: Any) -> None:
        """Raises ConfigError: what this worker can't do must not be left out in silence."""
        if cfg.is_ssl:
            raise ConfigError("TLS ends at the proxy in front of the service: leave certfile and keyfile out")

    def init_process(self) -> None:
        quick = max(1, self.cfg.threads // 4)
        usual = max(1, self.cfg.threads - quick)
        self._probes = Lane(PROBE_THREADS, UNDER_WAY_MOST, UNDER_WAY_MOST)
        self._forward_auth = Lane(quick, 5 * quick, UNDER_WAY_MOST)
        self._usual = Lane(usual, 2 * usual, UNDER_WAY_MOST)
        super().init_process()

    def get_thread_pool(self) -> ThreadPoolExecutor:
        return self._usual.pool

    def shutdown_threads(self) -> None:
        for lane in (self._usual, self._forward_auth, self._probes):
            lane.pool.shutdown(wait=False)

    def enqueue_req(self, conn: Connection, behind_another: bool = False) -> None:
        """Give a whole request to a thread, or refuse it. One that was sent `behind_another`, before its answer
        (pipelined, RFC 9112 §9.3.2), has no place in the queue: those of one client would take everybody's."""
        conn.enqueued = time.monotonic()
        lane = self._lane(conn.buffer.data)
        if (behind_another and not lane.has_thread()) or not lane.enter(conn.enqueued):
            self.refuse(conn, HTTPStatus.SERVICE_UNAVAILABLE, "overload")
            return
        future = lane.pool.submit(self.respond, conn)
        future.add_done_callback(lambda done: self.method_queue.defer(self._finish, conn, lane, done))

    def _lane(self, request: bytearray) -> Lane:
        if _PROBE.match(request):
            return self._probes
        return self._forward_auth if _FORWARD_AUTH.match(request) else self._usual

    def _finish(self, conn: Connection, lane: Lane, done: Future[bool]) -> None:
        """Back in the loop, after the answer."""
        lane.leave()
        if done.exception() is not None or not done.result() or conn.ended:
            self.close(conn)
            return
        if conn.buffer.whole:  # the next request came right behind
            self.enqueue_req(conn, behind_another=True)
            return
        if conn.buffer.data:
            self.watch(conn, self.reading, REQUEST_S)
        else:
            self.watch(conn, self.keepalived_conns, self.cfg.keepalive)

    def respond(self, conn: Connection) -> bool:
        """Answer one request, in a thread. Whether the connection may have another one."""
        waited_s = time.monotonic() - conn.enqueued
        self.observe_wait(waited_s)
        if waited_s > LEFT_AFTER_S and conn.was_reset:
            return False
        parser = http.get_parser(self.cfg, iter([bytes(conn.buffer.data)]), conn.client)
        try:
            request = next(parser)
            request._expected_100_continue = False  # it is here already
            if conn.buffer.too_large:
                # Stands for a body that is larger than any that is taken; the rest of it is never read.
                request.body = io.BytesIO(bytes(BODY_BYTES_MAX + 1))
                request.force_close()
            else:
                body = _body(request)
                if getattr(request.body.reader, "length", 0):  # less is here than it promised: what follows is unknown
                    request.force_close()
                request.body = io.BytesIO(body)
            conn.buffer = RequestBuffer(parser.unreader.take_buffered())
            answer = Answer(conn)
            try:
                return bool(self.handle_request(request, answer))
            finally:
                answer.flush()
        except malformed.NoMoreData:
            status = HTTPStatus.BAD_REQUEST if conn.ended else HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            self._answer(conn, status, "malformed")
        except (malformed.ParseException, malformed.InvalidHTTPVersion) as error:
            self._answer(conn, _STATUS.get(type(error), HTTPStatus.BAD_REQUEST), "malformed")
        except StopIteration:
            pass
        except OSError as error:  # the client went away, or took nothing of its answer for SEND_PAUSE_S
            self.log.debug("a client did not take its answer: %s", type(error).__name__)
        except Exception:
            self.log.exception("a request failed outside the application")
            self._answer(conn, HTTPStatus.INTERNAL_SERVER_ERROR, "malformed")
        return False

    def refuse(self, conn: Connection, status: HTTPStatus, reason: str) -> None:
        """Answer from the loop, without the application."""
        self._answer(conn, status, reason)
        self.close(conn)

    def _answer(self, conn: Connection, status: int, reason: str) -> None:
        """The short answer to a request that the application doesn't see. Nothing of the request is in it, nor in the
        log."""
        self.count(reason)
        self.log.debug("request refused: %s", reason)
        conn.send(short_answer(HTTPStatus(status), conn.buffer.data))

    def count(self, reason: str) -> None:
        self.wsgi.service.metrics.count("requests_refused", reason=reason)

    def observe_wait(self, seconds: float) -> None:
        self.wsgi.service.metrics.thread_wait(seconds)


def _body(request: Any) -> bytes:
    """The whole body, which is here. Raises ParseException for chunks or trailers that are none."""
    try:
        body: bytes = request.body.read(BODY_BYTES_MAX + 1)
    except malformed.NoMoreData as cut:
        raise malformed.ParseException from cut
    except malformed.LimitRequestHeaders as trailers:
        raise malformed.ParseException from trailers
    return body
