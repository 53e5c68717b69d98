"""Runs a Python program many times without paying for the start of Python each time.

Started by the interpreter of the program, it loads the libraries that most commands need, then forks for each command
that it reads, one JSON object a line: `argv`, `environ`, `folder`, `stdin` (text or null), `out`, `err`. It answers
with the exit code. Nothing of the program itself is loaded before the fork.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import runpy
import sys
from typing import Any

LIBRARIES = (
    "argparse",
    "asyncio",
    "argon2",
    "babel.dates",
    "babel.messages.pofile",
    "babel.support",
    "babel.units",
    "click",
    "cryptography.hazmat.primitives.asymmetric.ec",
    "cryptography.hazmat.primitives.ciphers.aead",
    "cryptography.hazmat.primitives.serialization",
    "cryptography.x509",
    "email.message",
    "email.policy",
    "flask",
    "html.parser",
    "http.client",
    "idna",
    "jinja2",
    "jinja2.ext",
    "jwt",
    "marshmallow",
    "PIL.Image",
    "redis",
    "redis.cluster",
    "redis.sentinel",
    "smtplib",
    "ssl",
    "werkzeug",
    "zoneinfo",
)


def run(told: dict[str, Any]) -> None:
    """Become the program, in a process that was forked for it."""
    os.chdir(told["folder"])
    os.environ.clear()
    os.environ.update(told["environ"])
    given = told["stdin"]
    if given is None:
        source = os.open(os.devnull, os.O_RDONLY)
    else:
        source, sink = os.pipe()
        os.write(sink, given.encode())  # far less than a pipe holds
        os.close(sink)
    os.dup2(source, 0)
    for path, number in ((told["out"], 1), (told["err"], 2)):
        opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - it is the program's to the end
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
    sys.argv = list(told["argv"])
    runpy.run_path(sys.argv[0], run_name="__main__")


def forked(told: dict[str, Any]) -> int:
    """The exit code of one run."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            run(told)
            code = 0
        except SystemExit as ended:
            if isinstance(ended.code, int) or ended.code is None:
                code = ended.code or 0
            else:
                print(ended.code, file=sys.stderr)
        except BaseException:  # noqa: BLE001 - as the interpreter does
            sys.excepthook(*sys.exc_info())
        finally:
            for stream in (sys.stdout, sys.stderr):
                with contextlib.suppress(OSError, ValueError):
                    stream.flush()
            os._exit(code)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def main() -> None:
    for name in LIBRARIES:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        print(forked(json.loads(line)), file=answers, flush=True)


if __name__ == "__main__":
    main()
