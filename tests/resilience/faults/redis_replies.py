"""Every error reply that Redis, Sentinel or Cluster can give to a script, told by the wire for 2 s each.

Some of these are also made for real elsewhere; here the reply is what counts: 503, never 500, and well afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.resilience.forwarder import error_to
from tests.resilience.registry import Doing, Run, fault

REPLIES = {
    "loading": "LOADING Redis is loading the dataset in memory",
    "busy": "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
    "masterdown": "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
    "misconf": "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.",
    "misconf-aof": "MISCONF Errors writing to the AOF file: No space left on device",
    "readonly": "READONLY You can't write against a read only replica.",
    "noreplicas": "NOREPLICAS Not enough good replicas to write.",
    "oom": "OOM command not allowed when used memory > 'maxmemory'.",
    "oom-in-script": "ERR OOM command not allowed when used memory > 'maxmemory'. script: f, on @user_script:1.",
    "noperm": "NOPERM User authsvc has no permissions to run the 'evalsha' command",
    "noauth": "NOAUTH Authentication required.",
    "wrongpass": "WRONGPASS invalid username-password pair or user is disabled.",
    "clusterdown": "CLUSTERDOWN Hash slot not served",
    "tryagain": "TRYAGAIN Multiple keys request during rehashing of slot",
    "crossslot": "CROSSSLOT Keys in request don't hash to the same slot",
    "moved": "MOVED 7365 127.0.0.1:1",
    "ask": "ASK 7365 127.0.0.1:1",
    "noscript": "NOSCRIPT No matching script. Please use EVAL.",
    "unkillable": "UNKILLABLE Sorry the script already executed write commands against the dataset.",
    "execabort": "EXECABORT Transaction discarded because of previous errors.",
    "maxclients": "ERR max number of clients reached",
    "unknown-command": "ERR unknown command 'EVALSHA', with args beginning with: ",
    "denied": "DENIED Redis is running in protected mode because protected mode is enabled.",
    "failover": "FAILOVER The server is in the middle of a failover",
    "script-killed": "ERR Error running script: Script killed by user with SCRIPT KILL...",
    "io-error": "IOERR error or timeout reading to target instance",
    "unblocked": "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)",
}


def _told(text: str) -> Doing:
    def act(run: Run) -> Iterator[float]:
        run.deployment.wire.misbehave(
            replies=error_to("EVAL", "EVALSHA", "GET", "HGETALL", "HGET", "SMEMBERS", text=text)
        )
        yield 2
        run.deployment.wire.well()

    act.__module__ = __name__
    return act


for _name, _text in REPLIES.items():
    fault(f"reply-{_name}", f"to every script and read: {_text[:40]}…", check_mail=False)(_told(_text))
