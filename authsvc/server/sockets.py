"""The two addresses of `serve`, found free before anything else is started.

The public one is opened once by every worker process (SO_REUSEPORT), so that the kernel deals connections out evenly:
a listener shared by all lets one worker take most of them. That also means that a second service of the same user could
silently open the same port and take half of the patients; so the port is first opened alone, then held by a socket
that never listens. The admin address is one ordinary listener for all workers: nobody else can open it. A unix socket
is one for all workers too, opened by gunicorn.
"""

from __future__ import annotations

import errno
import os
import socket
from dataclasses import dataclass
from pathlib import Path

BACKLOG = 128  # connections that may wait for a worker on the admin address


class AddressTaken(Exception):
    """Somebody else listens there, or this machine or user may not. The text says which and what to do."""


@dataclass(frozen=True)
class Public:
    """The public address. `placeholder` keeps the port for this process and its workers; a unix socket has none."""

    address: str
    placeholder: socket.socket | None = None


def reserve(where: str) -> Public:
    """Keep HOST:PORT for our own workers; port 0 picks a free one. Of `unix:/path` only that nobody listens there is
    checked. Raises AddressTaken."""
    if where.startswith("unix:"):
        _refuse_live_socket(Path("/" + where.removeprefix("unix:").lstrip("/")))
        return Public(where)
    host, port = split(where)
    with _bound(host, port, alone=True) as probe:
        port = int(probe.getsockname()[1])
    return Public(host_port(host, port), _bound(host, port, alone=False))


def listen(where: str) -> socket.socket:
    """A listener on HOST:PORT that all workers share. Raises AddressTaken."""
    opened = _bound(*split(where), alone=True)
    opened.listen(BACKLOG)
    opened.setblocking(False)
    return opened


def split(where: str) -> tuple[str, int]:
    """Host and port of `127.0.0.1:8000` or `[::1]:8000`."""
    host, _, port = where.rpartition(":")
    return host.removeprefix("[").removesuffix("]"), int(port)


def host_port(host: str, port: int) -> str:
    """`127.0.0.1:8000`, `[::1]:8000`."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _refuse_live_socket(path: Path) -> None:
    if not path.parent.is_dir():
        raise AddressTaken(f"unix:{path} can't be opened here: there is no folder {path.parent}")
    if not os.access(path.parent, os.W_OK):
        raise AddressTaken(f"unix:{path} can't be opened here: this user may not write to {path.parent}")
    if path.exists() and not path.is_socket():
        raise AddressTaken(f"unix:{path} can't be opened here: something else has that name")
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):  # free, or left behind by a run that was killed
            return
        except OSError as error:
            raise AddressTaken(f"unix:{path} can't be opened here: {error.strerror}") from None
    raise AddressTaken(f"unix:{path} is in use by another process")


def _bound(host: str, port: int, *, alone: bool) -> socket.socket:
    opened = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if not alone:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        opened.bind((host, port))
    except OSError as error:
        opened.close()
        raise AddressTaken(_why(host, port, error)) from None
    return opened


def _why(host: str, port: int, error: OSError) -> str:
    where = host_port(host, port)
    match error.errno:
        case errno.EADDRINUSE:
            return f"{where} is in use by another process"
        case errno.EACCES:
            return f"this user may not open port {port}; choose one above 1023"
        case _:
            return f"{where} can't be opened here: {os.strerror(error.errno) if error.errno else error}"
