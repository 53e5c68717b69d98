"""Why a connection to Redis failed in its hand-shake, where neither side's words say it: TLS spoken to a port that has
none, or the reverse.

Redis takes a TLS greeting for the beginning of a command and waits for the rest, and to a command that comes where TLS
is expected it hangs up. Both look like a Redis that is away. So such a port is asked once more in the other way, with
nothing that is secret: PING, or a greeting of TLS.
"""

from __future__ import annotations

import socket
import ssl
import threading
from typing import Any, Final

import redis
from redis.exceptions import InvalidResponse

PROBE_S: Final = 0.25  # such a port answers at once
NO_TLS: Final = "this port speaks no TLS"
TLS: Final = "this port speaks TLS"
_HUNG_UP: Final = ("Connection closed by server", "reset by peer", "Broken pipe")


class _Failed(threading.local):
    error: Exception | None = None


FAILED: Final = _Failed()
"""The last failure to connect, of this thread: a search among sentinels reports its kind only."""


class NamesWrongPort:
    """Mixed into a connection of the client library. `connect` raises redis.ConnectionError with `NO_TLS` or `TLS`."""

    def connect(self) -> None:
        begun: Any = super()
        try:
            begun.connect()
        except (redis.ConnectionError, redis.TimeoutError, InvalidResponse) as error:
            wrong = _wrong(self, error)
            FAILED.error = error
            if wrong:
                FAILED.error = redis.ConnectionError(wrong)
                raise FAILED.error from error
            raise


def _wrong(connection: Any, error: Exception) -> str:
    host, port = getattr(connection, "host", ""), getattr(connection, "port", 0)
    if not host:  # a unix socket
        return ""
    if isinstance(connection, redis.SSLConnection):
        return NO_TLS if _failed_in_tls(error.__context__) and _answers_in_the_clear(host, port) else ""
    hung_up = isinstance(error, InvalidResponse) or any(words in str(error) for words in _HUNG_UP)
    return TLS if hung_up and _speaks_tls(host, port) else ""


def _failed_in_tls(cause: BaseException | None) -> bool:
    """Whether there was a connection, and no judgement of a certificate yet."""
    if isinstance(cause, ssl.SSLCertVerificationError):
        return False
    return isinstance(cause, ssl.SSLError | ConnectionResetError) or "handshake" in str(cause)


def _answers_in_the_clear(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), PROBE_S) as line:
            line.sendall(b"PING\r\n")
            return line.recv(1) in (b"+", b"-")  # +PONG, -NOAUTH
    except OSError:
        return False


def _speaks_tls(host: str, port: int) -> bool:
    try:
        with (
            socket.create_connection((host, port), PROBE_S) as line,
            ssl.create_default_context().wrap_socket(line, server_hostname=host),
        ):
            return True
    except ssl.SSLCertVerificationError:
        return True
    except OSError:
        return False
