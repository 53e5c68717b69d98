"""Connections that have just answered, kept from one script to the next.

The library takes a connection from its pool for each command, looks whether it still stands, and gives it back: locks
and system calls at each of which another thread may take the interpreter. A connection that has just answered needs no
look; one that was idle, or failed, goes back to the pool, whose look then finds what became of it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any, Final
from weakref import WeakSet

from redis.exceptions import NoScriptError

RECENT_S: Final = 1.0

_ALL: WeakSet[RecentConnections] = WeakSet()


class RecentConnections:
    """Those of one process. Thread-safe, since a list takes and gives its last member in one step."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._unused: list[tuple[Any, Any, float]] = []  # pool, connection, when it answered
        _ALL.add(self)

    def command(self, pool: Any, *words: Any) -> Any:
        """The answer to one command. Raises what the library raises."""
        connection = self._take(pool)
        try:
            connection.send_command(*words)
            answer = connection.read_response()
        except NoScriptError:
            self._unused.append((pool, connection, self._monotonic()))
            raise
        except BaseException:
            pool.release(connection)  # before a pool whose primary was demoted closes its idle connections
            raise
        self._unused.append((pool, connection, self._monotonic()))
        return answer

    def _take(self, pool: Any) -> Any:
        try:
            of_pool, connection, answered_s = self._unused.pop()
        except IndexError:
            return pool.get_connection()
        if of_pool is pool and self._monotonic() - answered_s < RECENT_S:
            return connection
        of_pool.release(connection)
        return pool.get_connection()

    def forget(self) -> None:
        self._unused.clear()


def _forget_all() -> None:
    for recent in _ALL:
        recent.forget()


os.register_at_fork(after_in_child=_forget_all)  # two processes on one connection would read each other's answers
