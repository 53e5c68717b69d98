"""A connection of the pool for each thread that runs scripts, kept from one script to the next.

The library takes a connection from the pool for each command, looks whether it still stands, and gives it back: locks
and system calls at each of which another thread may take the interpreter. A connection that has just answered needs no
look; one that was idle, or failed, goes back to the pool, whose look then finds what became of it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Final

from redis.exceptions import NoScriptError

RECENT_S: Final = 1.0


class _Held:
    """One connection. It goes back to its pool with the thread's end."""

    def __init__(self, pool: Any) -> None:
        self.pool = pool
        self.connection = pool.get_connection()
        self.used_s = 0.0

    def give_back(self) -> None:
        connection, self.connection = getattr(self, "connection", None), None
        if connection is not None:
            self.pool.release(connection)

    __del__ = give_back


class ThreadConnections:
    """The connections that threads hold, of one process."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._thread = threading.local()

    def command(self, pool: Any, *words: Any) -> Any:
        """The answer to one command. Raises what the library raises."""
        held: _Held | None = getattr(self._thread, "held", None)
        if held is None or held.pool is not pool or self._monotonic() - held.used_s > RECENT_S:
            if held is not None:
                held.give_back()  # before the next one is taken: it is the first that the pool looks at
            held = _Held(pool)
        try:
            held.connection.send_command(*words)
            answer = held.connection.read_response()
        except NoScriptError:
            raise
        except BaseException:
            self._thread.held = None
            held.give_back()  # at once: a primary that was demoted has its idle connections closed next
            raise
        held.used_s = self._monotonic()
        self._thread.held = held
        return answer
