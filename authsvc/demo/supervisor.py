"""Ends a child process when the program that wanted it ends.

Run as a script between the two: it starts the server, writes the server's pid, and ends it when its own standard input
closes. A pipe closes with its holder however the holder ends, `kill -9` included, on every POSIX system; Linux has
PR_SET_PDEATHSIG for that too, but that one fires when the *thread* ends that started the child. The supervisor is the
server's parent, so it never signals a pid that was given to somebody else meanwhile.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from types import FrameType

END_TIMEOUT_S = 10  # a server with AOF flushes and goes in well under a second


def supervise(command: list[str]) -> int:
    """Run `command` until it ends or standard input closes; its exit code (negative: the signal that ended it)."""
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sys.stderr)

    def end(_signal: int = 0, _frame: FrameType | None = None) -> None:
        server.terminate()

    def end_with_parent() -> None:
        while os.read(sys.stdin.fileno(), 4096):  # unbuffered: a buffer's lock would abort the exit of the interpreter
            pass
        end()
        try:
            server.wait(END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            server.kill()

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        signal.signal(number, end)
    sys.stdout.write(f"{server.pid}\n")
    sys.stdout.flush()
    threading.Thread(target=end_with_parent, daemon=True).start()
    return server.wait()


if __name__ == "__main__":
    sys.exit(supervise(sys.argv[1:]))
