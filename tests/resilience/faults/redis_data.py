"""What Redis holds: emptied, restored, foreign, set to evict; the key ring gone; a record that can't be read."""

from __future__ import annotations

import json
import secrets
import shutil
import time
from collections.abc import Iterator
from typing import Any

from tests.resilience.http_caller import call
from tests.resilience.redis_servers import RedisServer
from tests.resilience.registry import Run, fault

KEYS = "authsvc:{@keys}:*"


def _copied(server: RedisServer) -> str:
    """A copy of the files, as a backup makes it."""
    copy = server.folder.with_name("backup")
    server.running.pause()
    shutil.copytree(server.folder, copy, dirs_exist_ok=True)
    server.running.resume()
    return str(copy)


def _restored(server: RedisServer, copy: str) -> None:
    server.running.kill()
    shutil.rmtree(server.folder)
    shutil.copytree(copy, server.folder)
    server.start()


def _refuses(run: Run, what: str) -> None:
    """A store that is not ours any more: not ready, and nothing is started on it."""
    run.expect(call("GET", f"{run.deployment.url}/readyz").status == 503, f"/readyz is 200 with {what}")
    client = run.deployment.clients["maple"]
    started = client.post("start meanwhile", "codes", email="someone@example.org")
    run.expect(started.status == 503, f"a start is {started.seen} with {what}")


@fault("store-emptied", "FLUSHALL; after 8 s the files of just before are put back", own=True)
def emptied(run: Run) -> Iterator[float]:
    server = run.deployment.redis
    run.checked_until = time.monotonic()
    copy = _copied(server)
    server.admin.flushall()
    time.sleep(6)
    _refuses(run, "an emptied store")
    added = run.deployment.run_cli("practices", "add", "oak", "--name", "Oak")
    run.expect(added.returncode != 0, "the CLI writes into an emptied store")
    yield 2
    _restored(server, copy)


@fault(
    "store-emptied-and-restarted",
    "FLUSHALL, serve restarted on it, then the files of just before",
    own=True,
    keys_always=False,
)
def emptied_and_restarted(run: Run) -> Iterator[float]:
    server = run.deployment.redis
    run.checked_until = time.monotonic()
    copy = _copied(server)
    server.admin.flushall()
    run.deployment.serve_program.stop()
    run.deployment.start_serve()
    yield 5
    _restored(server, copy)


@fault("store-foreign", "the address leads to another installation's Redis for 8 s", own=True)
def foreign(run: Run) -> Iterator[float]:
    deployment = run.deployment
    other = deployment.add_server("foreign")
    other.start()
    settings = {"redis_url": f"redis://127.0.0.1:{other.port}/0", "secret_keys": secrets.token_urlsafe(32)}
    made = deployment.run_cli("practices", "add", "maple", "--name", "Another", **settings)
    assert made.returncode == 0, f"the other installation could not be made: {made.stderr[-200:]}"
    run.checked_until = time.monotonic()
    own = deployment.redis.port
    deployment.wire.repoint(other.port)
    deployment.wire.cut()
    time.sleep(6)
    _refuses(run, "a foreign store")
    yield 2
    deployment.wire.repoint(own)
    deployment.wire.cut()


@fault("store-restored-old", "an older copy of the files is put back", own=True)
def restored_old(run: Run) -> Iterator[float]:
    copy = _copied(run.deployment.redis)
    run.checked_until = time.monotonic()
    time.sleep(2)
    run.deployment.redis.running.kill()
    yield 0.5
    _restored(run.deployment.redis, copy)
    run.in_flight_counts = False
    run.notes.append("what was acknowledged after the copy is not counted")


@fault("store-set-to-evict", "maxmemory-policy allkeys-lru at run time")
def set_to_evict(run: Run) -> Iterator[float]:
    admin = run.deployment.redis.admin
    admin.config_set("maxmemory-policy", "allkeys-lru")
    time.sleep(6)
    _refuses(run, "a store that evicts")
    yield 0.1
    admin.config_set("maxmemory-policy", "noeviction")


def _taken_out(run: Run, kind: str) -> dict[str, Any]:
    """The keys of one type under {@keys} are dumped and deleted."""
    raw = run.deployment.redis.admin
    raw.connection_pool.connection_kwargs["decode_responses"] = False
    names = [name for name in raw.scan_iter(KEYS.encode()) if raw.type(name) == kind.encode()]
    dumps = {name: raw.dump(name) for name in names}
    wanted = [name for name in names if b":act:" not in name and b":limit:" not in name and b"audit" not in name]
    for name in wanted:
        raw.delete(name)
    return {name: dumps[name] for name in wanted}


def _put_back(run: Run, dumps: dict[str, Any]) -> None:
    admin = run.deployment.redis.admin
    for name, dump in dumps.items():
        admin.restore(name, 0, dump, replace=True)


@fault("key-ring-gone", "the signing keys' record is deleted for 8 s, then put back", own=True)
def keyset_gone(run: Run) -> Iterator[float]:
    dumps = _taken_out(run, "string")
    run.need(dumps, "no key ring was found in Redis")
    time.sleep(6)
    run.expect(
        call("GET", f"{run.deployment.url}/.well-known/jwks.json").json.get("keys"), "an empty key set was published"
    )
    yield 2
    _put_back(run, dumps)


@fault(
    "key-ring-gone-at-start",
    "the signing keys' record is deleted, serve restarted, then put back",
    own=True,
    keys_always=False,
)
def keyset_gone_at_start(run: Run) -> Iterator[float]:
    dumps = _taken_out(run, "string")
    run.deployment.serve_program.stop()
    run.deployment.start_serve()
    yield 5
    made = run.deployment.redis.admin.exists(*[name.decode() for name in dumps])
    run.expect(not made, "new signing keys were made in the place of missing ones")
    _put_back(run, dumps)


@fault(
    "data-keys-gone",
    "the sealed data keys are deleted, serve and worker restarted, then put back",
    own=True,
    keys_always=False,
)
def data_keys_gone(run: Run) -> Iterator[float]:
    deployment = run.deployment
    dumps = _taken_out(run, "hash")
    run.need(dumps, "no data keys were found in Redis")
    for program in (deployment.serve_program, deployment.worker_program):
        program.stop()
    deployment.start_serve()
    deployment.start_worker()
    time.sleep(6)
    client = deployment.clients["maple"]
    started = client.api("put meanwhile", "PUT", "patients/meanwhile", email="m@example.org", portal_access=True)
    run.expect(started.status not in (200, 201), "a patient is put on file without the data keys")
    made = deployment.redis.admin.exists(*[name.decode() for name in dumps])
    run.expect(not made, "data keys were made in the place of missing ones")
    yield 0.5
    _put_back(run, dumps)


def _record(run: Run, pattern: str) -> tuple[str, str]:
    admin = run.deployment.redis.admin
    names = [name for name in admin.scan_iter(pattern) if admin.type(name) == "string"]
    run.need(names, f"nothing in Redis is called {pattern}")
    return names[0], admin.get(names[0])


def _neighbour_mailed(run: Run) -> None:
    client, patient = run.deployment.clients["maple"], f"neighbour-{secrets.token_hex(4)}"
    client.api("put", "PUT", f"patients/{patient}", email=f"{patient}@example.org", portal_access=True)
    client.post("codes", "codes", patient=patient)
    mail = run.deployment.smtp.mail_to(f"{patient}@example.org", 15)
    run.expect(mail, "maple's code did not leave within 15 s")


@fault("practice-record-broken", "birch's record is overwritten with junk", spared=("maple",), server_errors=False)
def practice_record_broken(run: Run) -> Iterator[float]:
    name, text = _record(run, "authsvc:{@practices}:one:birch")
    run.deployment.redis.admin.set(name, '{"name": 7')
    time.sleep(6)
    _neighbour_mailed(run)
    yield 0.5
    run.deployment.redis.admin.set(name, text)


@fault("outbox-broken", "birch's outbox is another type: WRONGTYPE", spared=("maple",), server_errors=False, own=True)
def outbox_broken(run: Run) -> Iterator[float]:
    admin, name, aside = run.deployment.redis.admin, "authsvc:{birch}:outbox", "authsvc:{birch}:put-aside"
    there = admin.exists(name)
    if there:
        admin.rename(name, aside)
    admin.set(name, "junk")
    _neighbour_mailed(run)
    yield 1
    admin.delete(name)
    if there:
        admin.rename(aside, name)


@fault("records-of-a-newer-version", "practice, client and ring hold members that this version doesn't know", own=True)
def newer_records(run: Run) -> Iterator[float]:
    admin = run.deployment.redis.admin
    patterns = ("authsvc:{@practices}:one:*", "authsvc:{@clients}:one:*", KEYS)
    changed = []
    for pattern in patterns:
        for name in admin.scan_iter(pattern):
            text = admin.get(name) if admin.type(name) == "string" else ""
            if text.startswith("{"):
                admin.set(name, json.dumps(json.loads(text) | {"of_the_next_version": {"a": [1]}}), keepttl=True)
                changed.append(name)
    run.need(changed, "no record in Redis is JSON")
    time.sleep(6)
    done = run.deployment.run_cli("practices", "set", "birch", "--name", "Birch Practice renamed")
    run.expect(done.returncode == 0, f"practices set: {done.stderr[-200:]}")
    _, text = _record(run, "authsvc:{@practices}:one:birch")
    run.expect("of_the_next_version" in text, "a write by the older version drops what it doesn't know")
    run.deployment.serve_program.stop()
    run.deployment.start_serve()
    yield 0
