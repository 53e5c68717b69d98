"""`authsvc redis-acl`: the least that the service needs of Redis."""

from __future__ import annotations

import re
from importlib import resources

import click

from authsvc import text
from authsvc.cli.base import Command, print_result
from authsvc.cli.parameters import ParameterType

CLIENT = frozenset(
    "del get hget hgetall hmget lpop lpush lrange ltrim rpush sadd scan set"  # noqa: SIM905 - a list to be read
    " smembers srem xrange xtrim".split()
)
"""What is sent from Python rather than from a script; a test compares this with the source."""

CONNECTION = (
    "info",  # version, eviction policy, persistence: read at start and by `check --live`
    "eval",
    "evalsha",
    "wait",  # with replicas
    "hello",
    "auth",
    "select",  # where the URL names a database
)
"""Left out on purpose: CLIENT SETINFO, by which the client library tells its name when it connects. Redis 7.0 refuses
a line that names it, and the library takes a refusal for an answer."""

CLUSTER = ("cluster|slots", "command", "asking")

USER = ParameterType("name", text.PUBLIC_ID, "a user's name")

_CALL = re.compile(r"\bcall\('([A-Z]+)'")


@click.command("redis-acl", cls=Command)
@click.option("--user", type=USER, default="authsvc", show_default=True, help="The name of the user.")
@click.option("--cluster", is_flag=True, help="With what a client of Redis Cluster asks besides.")
def redis_acl(user: str, cluster: bool) -> None:
    """Print a minimal ACL line for Redis: our keys, and only the commands that are used.

    Nobody can log in with it as it stands: put the password in the place of `resetpass`, as #SHA256 or >password.
    """
    allowed = [*sorted(CLIENT | scripted()), *CONNECTION, *(CLUSTER if cluster else ())]
    rules = ["resetkeys", "~authsvc:*", "resetchannels", "-@all", *(f"+{command}" for command in allowed)]
    line = f"user {user} on resetpass {' '.join(rules)}"
    print_result({"user": user, "rules": rules, "line": line}, line)


def scripted() -> frozenset[str]:
    """The commands that the packaged scripts call."""
    folder = resources.files("authsvc.store") / "lua"
    files = [*folder.iterdir(), *(folder / "lib").iterdir()]
    texts = (file.read_text(encoding="utf-8") for file in files if file.name.endswith(".lua"))
    return frozenset(command.lower() for text in texts for command in _CALL.findall(text))
