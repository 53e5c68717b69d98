"""The containers: nobody runs as root, nothing can be written, no secret lies in the environment, names are real."""

from __future__ import annotations

import hashlib
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml
from click.testing import CliRunner
from redis.backoff import NoBackoff
from redis.retry import Retry

from authsvc.cli import main as authsvc
from authsvc.config.load import load
from authsvc.config.settings import KNOWN
from authsvc.demo.embedded import StoreServer
from tests.conftest import server_binary
from tests.harness.machine import require

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
VARIABLES = {known.variable for known in KNOWN.values()} | {f"{known.variable}_FILE" for known in KNOWN.values()}

every_service = pytest.mark.parametrize("name", SERVICES)


@every_service
def test_no_service_runs_as_root(name: str) -> None:
    uid, _, gid = SERVICES[name]["user"].partition(":")
    assert int(uid) > 0
    assert int(gid) > 0


@every_service
def test_no_service_can_write_its_file_system_or_gain_rights(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    assert "cap_add" not in service


@every_service
def test_every_service_says_whether_it_is_well(name: str) -> None:
    assert SERVICES[name]["healthcheck"]["test"]


def test_the_service_and_its_worker_wait_for_a_healthy_store() -> None:
    for name in ("authsvc", "worker"):
        assert SERVICES[name]["depends_on"] == {"redis": {"condition": "service_healthy"}}


def test_secrets_come_as_files() -> None:
    for name in ("authsvc", "worker"):
        environment = SERVICES[name]["environment"]
        for known in KNOWN.values():
            if known.secret:
                assert known.variable not in environment
                path = environment.get(f"{known.variable}_FILE")
                if path is None and not known.required:
                    continue  # a secret that only some mail hosts want
                assert Path(str(path)).name in SERVICES[name]["secrets"]
    for secret in COMPOSE["secrets"].values():
        assert secret["file"].startswith("./secrets/")
    assert "secrets/" in (ROOT / ".gitignore").read_text().splitlines()


@pytest.mark.parametrize("path", ["docker-compose.yml", "Dockerfile", "docs/howto/deploy-with-docker.md"])
def test_every_setting_that_is_named_exists(path: str) -> None:
    named = set(re.findall(r"AUTHSVC_[A-Z_]+", (ROOT / path).read_text()))
    assert named
    assert named <= VARIABLES


def test_nothing_is_published_beyond_loopback() -> None:
    for service in SERVICES.values():
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:")


def test_the_store_is_not_on_any_network_port() -> None:
    assert "ports" not in SERVICES["redis"]
    lines = (ROOT / "config/redis/redis.conf").read_text().splitlines()
    assert "port 0" in lines
    assert "appendonly yes" in lines
    assert "maxmemory-policy noeviction" in lines


def test_mail_is_caught_in_the_development_profile_only() -> None:
    assert [name for name, service in SERVICES.items() if service.get("profiles")] == ["mail"]
    assert SERVICES["mail"]["profiles"] == ["development"]


def test_the_image_runs_as_a_user_and_installs_by_hash_only() -> None:
    text = (ROOT / "Dockerfile").read_text()
    final = text.rpartition("\nFROM ")[2]
    assert re.search(r"^USER [1-9]\d*:[1-9]\d*$", final, re.MULTILINE)
    assert "HEALTHCHECK" in final
    for command in re.findall(r"pip install (.*?)(?:\\?$)", text, re.MULTILINE):
        assert "--require-hashes" in command or "--no-deps --no-index" in command
    assert "SECRET" not in text


# --- the guide's own commands, and a real server under them ----------------------------------------------------------


@pytest.fixture(scope="module")
def secrets_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the guide's first block leaves behind."""
    require("openssl")
    checkout = tmp_path_factory.mktemp("checkout")
    (checkout / "config").symlink_to(ROOT / "config")
    guide = (ROOT / "docs/howto/deploy-with-docker.md").read_text()
    block = re.search(r"```sh\n(.*?)```", guide, re.DOTALL)
    assert block
    subprocess.run(["sh", "-euc", block[1]], cwd=checkout, check=True)
    return checkout / "secrets"


@pytest.fixture
def guarded(real_backend: str, secrets_folder: Path, tmp_path: Path) -> Iterator[redis.Redis]:
    """A client as the guide's redis_url makes it, of a server under the template's users."""
    folder = tmp_path / "data"
    server = StoreServer(server_binary(real_backend), folder, options=("--aclfile", str(secrets_folder / "users.acl")))
    server.start()
    url = (secrets_folder / "redis_url").read_text().replace("/run/redis/redis.sock", str(server.socket_path))
    with redis.Redis.from_url(url, decode_responses=True) as client:
        yield client
    server.discard()


@pytest.mark.parametrize("name", ["authsvc", "worker"])
def test_the_settings_take_what_compose_and_the_guide_give_them(secrets_folder: Path, name: str) -> None:
    mail = secrets_folder / "mail_url"
    mail.write_text(mail.read_text().replace("USER:PASSWORD", "maple:vo8Rk2pQ"))
    for secret in secrets_folder.iterdir():
        secret.chmod(0o640)  # the guide's second block, which needs root for the rest
    given = {"AUTHSVC_PUBLIC_URL": "https://auth.maple.example", "AUTHSVC_MAIL_FROM": "no-reply@maple.example"}
    settings = load(
        {
            variable: re.sub(r"\$\{(\w+):[-?](.*)\}", lambda found: given.get(found[1], found[2]), value).replace(
                "/run/secrets", str(secrets_folder)
            )
            for variable, value in SERVICES[name]["environment"].items()
        }
    )
    assert settings.env == "production"
    assert settings.redis_url.startswith("unix://authsvc:")


def test_the_password_is_kept_as_a_digest_only(secrets_folder: Path) -> None:
    password = (secrets_folder / "redis_url").read_text().split("@")[0].rpartition(":")[2]
    users = (secrets_folder / "users.acl").read_text()
    assert password not in users
    assert hashlib.sha256(password.encode()).hexdigest() in users


def test_the_template_is_what_redis_acl_prints() -> None:
    printed = CliRunner().invoke(authsvc, ["redis-acl"], catch_exceptions=False)
    lines = (ROOT / "config/redis/users.acl").read_text().splitlines()
    user = printed.output.strip().replace("resetpass", "#SHA256_OF_THE_PASSWORD")
    assert lines == ["user default off", user, "user health on nopass -@all +ping"]


def test_the_store_works_under_the_template(guarded: redis.Redis) -> None:
    script = "redis.call('set', KEYS[1] .. 'k', 'v'); return redis.call('get', KEYS[1] .. 'k')"
    assert guarded.eval(script, 1, "authsvc:{maple}:") == "v"
    assert guarded.info("memory")["maxmemory_policy"] == "noeviction"
    assert guarded.xadd("authsvc:{maple}:outbox", {"id": "1"})


@pytest.mark.parametrize(
    "command", ["FLUSHALL", "KEYS *", "CONFIG SET appendonly no", "ACL LIST", "SHUTDOWN", "MONITOR"]
)
def test_authsvc_may_do_no_harm_to_its_store(guarded: redis.Redis, command: str) -> None:
    with pytest.raises(redis.exceptions.NoPermissionError):
        guarded.execute_command(*command.split())  # type: ignore[no-untyped-call]  # redis-py leaves it so


def test_authsvc_may_not_touch_what_is_not_its_own(guarded: redis.Redis) -> None:
    with pytest.raises(redis.exceptions.NoPermissionError):
        guarded.set("other:key", "1")


def test_a_stranger_may_nothing_and_the_health_check_only_ping(guarded: redis.Redis) -> None:
    path = guarded.connection_pool.connection_kwargs["path"]
    no_retry = Retry(NoBackoff(), 0)
    with redis.Redis(unix_socket_path=path, retry=no_retry) as stranger:
        with pytest.raises(redis.exceptions.AuthenticationError):
            stranger.ping()
    with redis.Redis(unix_socket_path=path, username="health", password="-", protocol=2) as health:
        assert health.ping()
        with pytest.raises(redis.exceptions.NoPermissionError):
            health.get("authsvc:{maple}:k")
