"""Real sentinels: found with whatever login they ask for, and a refusal of theirs is named."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import redis

from authsvc.config import load as config
from authsvc.errors import Unavailable
from authsvc.store import redis_client
from authsvc.store.connection import Connection
from authsvc.store.redis_client import connect
from tests.conftest import any_server, server_binary
from tests.flows.conftest import ENVIRON
from tests.store.test_cluster import free_port, wait_for

ACL = "user authsvc on >secret ~* +@all"


def start(folder: Path, stack: ExitStack, lines: list[str], *options: str) -> None:
    folder.mkdir()
    (folder / "server.conf").write_text("\n".join(lines) + "\n")
    command = [server_binary(any_server()), str(folder / "server.conf"), *options]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    stack.callback(process.wait, 10)
    stack.callback(process.terminate)


@pytest.fixture
def sentinel(tmp_path: Path) -> Iterator[Callable[..., int]]:
    """Starts a primary with a user and a sentinel with more lines in its configuration; gives the sentinel's port."""
    with ExitStack() as stack:

        def made(*more: str, login: dict[str, str] | None = None) -> int:
            primary, port = free_port(), free_port()
            common = ["bind 127.0.0.1", 'save ""', ACL]
            start(tmp_path / "primary", stack, [f"port {primary}", f"dir {tmp_path}", *common])
            lines = [
                f"port {port}",
                "bind 127.0.0.1",
                f"dir {tmp_path / 'sentinel'}",
                f"sentinel monitor maple 127.0.0.1 {primary} 1",
                "sentinel auth-user maple authsvc",
                "sentinel auth-pass maple secret",
                *more,
            ]
            start(tmp_path / "sentinel", stack, lines, "--sentinel")
            asked = redis.Redis(port=port, decode_responses=True, **(login or {}))  # type: ignore[call-overload]
            wait_for(lambda: asked.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "maple"))
            asked.close()
            return port

        yield made


def client_of(url: str, timeout_s: float = 5) -> Any:
    settings = config.load(ENVIRON)
    return connect(dataclasses.replace(settings, redis_url=url, redis_timeout_s=timeout_s))


@pytest.mark.parametrize("login", ["authsvc:secret", ":of-nobody"])
def test_sentinels_without_a_password_need_no_option_though_redis_has_one(
    sentinel: Callable[..., int], login: str
) -> None:
    client = client_of(f"redis+sentinel://{login}@127.0.0.1:{sentinel()}/maple")
    assert client.ping()


def test_sentinels_with_the_login_of_redis_need_no_option_either(sentinel: Callable[..., int]) -> None:
    port = sentinel("user default off", ACL, login={"username": "authsvc", "password": "secret"})
    assert client_of(f"redis+sentinel://authsvc:secret@127.0.0.1:{port}/maple").ping()


def test_sentinels_may_have_a_login_of_their_own(sentinel: Callable[..., int]) -> None:
    port = sentinel("requirepass watch", login={"password": "watch"})
    url = f"redis+sentinel://authsvc:secret@127.0.0.1:{port}/maple"
    assert client_of(f"{url}?sentinel_username=default&sentinel_password=watch").ping()


@pytest.mark.parametrize("option", ["", "?sentinel_username=default&sentinel_password=wrong", "?sentinel_password="])
def test_a_login_that_the_sentinels_refuse_is_named_as_the_cause(sentinel: Callable[..., int], option: str) -> None:
    port = sentinel("requirepass watch", login={"password": "watch"})
    client = client_of(f"redis+sentinel://authsvc:secret@127.0.0.1:{port}/maple{option}")
    with pytest.raises(Unavailable, match="store_password"):
        Connection(client).call(lambda it: it.ping())


def test_a_login_that_the_url_gives_to_the_sentinels_is_never_left_out(sentinel: Callable[..., int]) -> None:
    url = f"redis+sentinel://authsvc:secret@127.0.0.1:{sentinel()}/maple"
    client = client_of(f"{url}?sentinel_username=watcher&sentinel_password=watch")
    with pytest.raises(Unavailable, match="store_password"):
        Connection(client).call(lambda it: it.ping())


def test_a_database_by_number_is_the_one_of_the_primary(sentinel: Callable[..., int]) -> None:
    url = f"redis+sentinel://authsvc:secret@127.0.0.1:{sentinel()}/maple"
    client_of(f"{url}?db=3").set("k", "in three")
    assert (client_of(url).get("k"), client_of(f"{url}?db=3").get("k")) == (None, "in three")


# --- a connect that outlasts its bound ------------------------------------------------------------------------------


def test_a_second_try_waits_for_the_connect_that_goes_on_and_starts_none_of_its_own() -> None:
    leave, begun = threading.Event(), []

    class Slow:
        socket_connect_timeout = 0.02
        _sock: object = None

        def connect(self) -> None:
            begun.append(1)
            leave.wait(10)
            self._sock = object()

    connection = redis_client._bounded(Slow)()
    for _ in range(2):
        with pytest.raises(redis.TimeoutError):
            connection.connect()
    leave.set()
    connection.socket_connect_timeout = 5
    connection.connect()
    connection.connect()
    assert begun == [1]


FORKED = """
import dataclasses, os, sys
from authsvc.config import load as config
from authsvc.store.redis_client import connect
from tests.flows.conftest import ENVIRON
client = connect(dataclasses.replace(config.load(ENVIRON), redis_url=sys.argv[1]))
assert client.ping()
child = os.fork()
if not child:
    os._exit(0 if client.ping() else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_process_that_was_forked_after_a_connect_connects_too(store_url: str) -> None:
    ran = subprocess.run([sys.executable, "-c", FORKED, store_url], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
