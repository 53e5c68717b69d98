"""Settings: where they come from, what is refused, and that no fault shows a value."""

from __future__ import annotations

import base64
import dataclasses
import ipaddress
import secrets
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from authsvc.config import load as config
from authsvc.config import value_types
from authsvc.config.load import Settings, load
from authsvc.config.settings import CODE_LIFE_CEILING_S, KNOWN
from authsvc.config.units import MAX_FILE_BYTES, rate, say_span, span_ms
from authsvc.errors import SettingsInvalid
from tests.harness.generators import generator

ROOT = Path(__file__).parents[2]


def key(size_bytes: int = 32) -> str:
    return secrets.token_urlsafe(size_bytes)


def production(**more: str) -> dict[str, str]:
    """The smallest production environment; `more` by the setting's name."""
    given = {
        "public_url": "https://signin.maple.example",
        "redis_url": "rediss://authsvc:r3ally-l0ng@redis.maple.example:6379/0",
        "secret_keys": key(),
        "mail_url": "smtp://authsvc:s3nd-it@mail.maple.example:587",
        "mail_from": "Maple Clinic <no-reply@maple.example>",
        **more,
    }
    return {f"AUTHSVC_{name.upper()}": value for name, value in given.items()}


def development(**more: str) -> dict[str, str]:
    return production(env="development", **more)


def refused(environ: dict[str, str]) -> dict[str, str]:
    """The faults of an environment, by name."""
    with pytest.raises(SettingsInvalid) as caught:
        load(environ)
    return {fault.pointer: fault.detail for fault in caught.value.faults}


@pytest.fixture
def secret_file(tmp_path: Path) -> Callable[[str, int], str]:
    def write(text: str, mode: int) -> str:
        path = tmp_path / "secret"
        path.write_text(text)
        path.chmod(mode)
        return str(path)

    return write


# --- where settings come from -------------------------------------------------------------------------------------


def test_the_smallest_environment_is_production_with_the_documented_defaults() -> None:
    settings = load(production())
    assert settings.production
    assert (settings.code_life_s, settings.access_token_life_s) == (600, 600)
    assert (settings.session_idle_s, settings.session_absolute_s) == (1_800, 43_200)
    assert settings.signing_alg == "ES256"
    assert settings.trusted_proxies == ()
    assert len(settings.secret_keys[0]) == 32


def test_every_setting_can_be_given_by_environment_and_by_file(tmp_path: Path) -> None:
    odd = {
        "env": "Development",
        "bind": "0.0.0.0:8080",
        "admin_bind": "[::1]:9100",
        "workers": "3",
        "threads": "9",
        "trusted_proxies": "10.0.0.0/8, fd00::/8",
        "mail_oauth_url": "https://id:s3%2Fcret@login.example/oauth2/token?scope=https%3A%2F%2Fmail.example%2F.default",
        "mail_connections": "3",
        "mail_patience_s": "5 min",
        "code_life_s": "5 min",
        "challenge_life_s": "20 min",
        "choose_life_s": "60",
        "access_token_life_s": "300 s",
        "session_idle_s": "10 min",
        "session_absolute_s": "1 h",
        "jwks_max_age_s": "1 min",
        "jwks_slack_s": "30 s",
        "clock_skew_s": "45 s",
        "ring_poll_s": "1 s",
        "signing_alg": "eddsa",
        "code_hash_profile": "owasp",
        "code_hash_slots": "1",
        "code_hash_queue": "0",
        "guess_bound": "0.01",
        "resend_after_s": "20 s",
        "link_mode_link_life_s": "15 min",
        "tombstone_life_s": "30 d",
        "idempotency_life_s": "1 h",
        "delivery_record_life_s": "2 d",
        "client_secret_life_s": "90 d",
        "default_audience": "maple-services",
        "redis_timeout_s": "250 ms",
        "redis_deadline_s": "1.5 s",
        "redis_replicas": "1",
        "log_level": "DEBUG",
        "workflows_file": "/etc/authsvc/workflows.toml",
        "limits_file": "/etc/authsvc/limits.toml",
    }
    environ = production(**odd)
    assert {f"AUTHSVC_{name.upper()}" for name in KNOWN} == set(environ)
    by_environment = load(environ)
    for name, known in KNOWN.items():
        assert known.required or getattr(by_environment, name) != known.default, name

    path = tmp_path / "authsvc.toml"
    path.write_text("".join(f"{name} = '{environ[known.variable]}'\n" for name, known in KNOWN.items()))
    assert load({"AUTHSVC_CONFIG": str(path)}) == by_environment

    by_file = {}
    for variable, value in environ.items():
        if variable in ("AUTHSVC_WORKFLOWS_FILE", "AUTHSVC_LIMITS_FILE"):
            by_file[variable] = value
        else:
            (tmp_path / variable).write_text(f"{value}\n")
            by_file[f"{variable}_FILE"] = str(tmp_path / variable)
    assert load(by_file) == by_environment


def test_toml_may_use_its_own_types(tmp_path: Path) -> None:
    path = tmp_path / "authsvc.toml"
    path.write_text(
        'workers = 4\nredis_timeout_s = 0.25\nguess_bound = 0.002\ntrusted_proxies = ["10.0.0.0/8", "::1"]\n'
    )
    settings = load({**production(), "AUTHSVC_CONFIG": str(path)})
    assert (settings.workers, settings.redis_timeout_s, settings.guess_bound) == (4, 0.25, 0.002)
    assert settings.trusted_proxies == (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("::1/128"))


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "authsvc.toml"
    path.write_text("workers = 4\nthreads = 4\n")
    settings = load({**production(workers="5"), "AUTHSVC_CONFIG": str(path)})
    assert (settings.workers, settings.threads) == (5, 4)


def test_a_value_given_twice_is_a_fault(secret_file: Callable[[str, int], str]) -> None:
    environ = production() | {"AUTHSVC_SECRET_KEYS_FILE": secret_file(key(), 0o600)}
    assert "only one" in refused(environ)["AUTHSVC_SECRET_KEYS_FILE"]


def test_all_faults_are_reported_at_once_and_by_name() -> None:
    faults = refused(
        {
            "AUTHSVC_PUBLIC_ULR": "https://signin.maple.example",
            "AUTHSVC_SECRET_KEYS": "changeme",
            "AUTHSVC_CODE_LIFE_S": "11 min",
            "AUTHSVC_WORKERS": "many",
            "AUTHSVC_MAIL_FROM": "",
        }
    )
    assert set(faults) == {
        "AUTHSVC_PUBLIC_ULR",
        "AUTHSVC_PUBLIC_URL",
        "AUTHSVC_REDIS_URL",
        "AUTHSVC_SECRET_KEYS",
        "AUTHSVC_MAIL_URL",
        "AUTHSVC_MAIL_FROM",
        "AUTHSVC_CODE_LIFE_S",
        "AUTHSVC_WORKERS",
    }
    assert "did you mean AUTHSVC_PUBLIC_URL?" in faults["AUTHSVC_PUBLIC_ULR"]
    assert "is required" in faults["AUTHSVC_REDIS_URL"]
    assert faults["AUTHSVC_MAIL_FROM"] == "is empty"


def test_an_unknown_name_is_a_fault_wherever_it_stands(tmp_path: Path) -> None:
    path = tmp_path / "authsvc.toml"
    path.write_text('publc_url = "x"\n[mail]\nurl = "y"\n')
    faults = refused({**production(), "AUTHSVC_CONFIG": str(path), "AUTHSVC_DEBUG_QQQ": "1"})
    assert "did you mean public_url?" in faults["AUTHSVC_CONFIG: 'publc_url'"]
    assert "AUTHSVC_CONFIG: 'mail'" in faults
    assert "AUTHSVC_DEBUG_QQQ" in faults
    assert "AUTHSVC_LIMITS_FILE_FILE" in refused(production() | {"AUTHSVC_LIMITS_FILE_FILE": "/x"})


def test_what_kubernetes_adds_beside_a_service_of_our_name_is_passed_over() -> None:
    added = {
        "AUTHSVC_REDIS_SERVICE_HOST": "10.1.2.4",
        "AUTHSVC_REDIS_SERVICE_PORT": "6379",
        "AUTHSVC_REDIS_SERVICE_PORT_TCP_REDIS": "6379",
        "AUTHSVC_REDIS_PORT": "tcp://10.1.2.4:6379",
        "AUTHSVC_REDIS_PORT_6379_TCP": "tcp://10.1.2.4:6379",
        "AUTHSVC_REDIS_PORT_6379_TCP_PROTO": "tcp",
        "AUTHSVC_MAIL_RELAY_PORT_53_UDP_ADDR": "10.1.2.5",
        "AUTHSVC_SERVICE_HOST": "10.1.2.3",
        "AUTHSVC_SERVICE_PORT": "80",
        "AUTHSVC_SERVICE_PORT_HTTP": "80",
        "AUTHSVC_PORT": "tcp://10.1.2.3:80",
        "AUTHSVC_PORT_80_TCP": "tcp://10.1.2.3:80",
        "AUTHSVC_PORT_80_TCP_ADDR": "10.1.2.3",
    }
    assert load(production() | added | {"PATH": "/bin"}).production
    assert refused(production() | {"AUTHSVC_PORT": "8000"}).keys() == {"AUTHSVC_PORT"}  # somebody's wish, and in vain


def test_what_a_link_of_docker_adds_is_passed_over_too() -> None:
    added = {"AUTHSVC_REDIS_NAME": "/authsvc-1/authsvc_redis", "AUTHSVC_REDIS_ENV_REDIS_VERSION": "7.4"}
    assert load(production() | added).production
    assert refused(production() | {"AUTHSVC_NAME": "Maple"}).keys() == {"AUTHSVC_NAME"}


@pytest.mark.parametrize("mark", ['"', "'"])
def test_quotes_that_docker_takes_for_a_part_of_the_value_are_none(tmp_path: Path, mark: str) -> None:
    """`docker run --env-file` and a file's content know no quotes; a shell and Compose do."""
    site, secret = tmp_path / "authsvc.toml", tmp_path / "secret"
    site.write_text("threads = 4\n")
    secret.write_text(f"{mark}{key()}{mark}\r\n")
    secret.chmod(0o600)
    environ = production() | {"AUTHSVC_CONFIG": str(site), "AUTHSVC_WORKERS": "3\r", "AUTHSVC_LIMITS_FILE": ""}
    del environ["AUTHSVC_SECRET_KEYS"]
    environ["AUTHSVC_SECRET_KEYS_FILE"] = str(secret)
    settings = load({name: f"{mark}{value}{mark}" for name, value in environ.items()})
    assert (settings.workers, settings.threads, len(settings.secret_keys)) == (3, 4, 1)
    assert load(production(mail_from='"Maple" <no-reply@maple.example>')).mail_from.startswith('"Maple" <')


def test_a_byte_order_mark_at_the_start_of_a_file_is_no_part_of_it(tmp_path: Path) -> None:
    secret, site = tmp_path / "secret", tmp_path / "authsvc.toml"
    secret.write_text(key(), encoding="utf-8-sig")
    secret.chmod(0o600)
    site.write_text("workers = 3\r\n", encoding="utf-8-sig")
    environ = production() | {"AUTHSVC_SECRET_KEYS_FILE": str(secret), "AUTHSVC_CONFIG": str(site)}
    del environ["AUTHSVC_SECRET_KEYS"]
    settings = load(environ)
    assert (settings.workers, len(settings.secret_keys)) == (3, 1)


def test_a_mounted_secret_that_all_may_read_is_refused_in_words_that_its_cluster_knows(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text(key())
    path.chmod(0o644)
    environ = production() | {"AUTHSVC_SECRET_KEYS_FILE": str(path)}
    del environ["AUTHSVC_SECRET_KEYS"]
    told = refused(environ)["AUTHSVC_SECRET_KEYS_FILE"]
    assert "defaultMode" in told
    assert "fsGroup" in told


@pytest.mark.parametrize(
    "content, reason",
    [
        (b"env = production", "is not TOML (at line 1"),
        (b"\xff\xfe", "not UTF-8"),
        (b"#" * (MAX_FILE_BYTES + 1), "larger than"),
        (None, "can't be read: No such file"),
    ],
)
def test_a_settings_file_that_cannot_be_read_says_why(tmp_path: Path, content: bytes | None, reason: str) -> None:
    path = tmp_path / "authsvc.toml"
    if content is not None:
        path.write_bytes(content)
    assert reason in refused(production() | {"AUTHSVC_CONFIG": str(path)})["AUTHSVC_CONFIG"]


def test_a_path_that_is_none_is_a_fault_and_not_a_crash() -> None:
    assert "not a path" in refused(production() | {"AUTHSVC_CONFIG": "\0"})["AUTHSVC_CONFIG"]
    assert "can't be read" in refused(production() | {"AUTHSVC_CONFIG": ""})["AUTHSVC_CONFIG"]


def test_a_secret_file_that_cannot_be_read_is_reported_once(tmp_path: Path) -> None:
    environ = production()
    del environ["AUTHSVC_SECRET_KEYS"]
    environ["AUTHSVC_SECRET_KEYS_FILE"] = str(tmp_path / "absent")
    assert list(refused(environ)) == ["AUTHSVC_SECRET_KEYS_FILE"]
    (tmp_path / "absent").write_bytes(b"\xff")
    assert "UTF-8" in refused(environ)["AUTHSVC_SECRET_KEYS_FILE"]


# --- secrets ------------------------------------------------------------------------------------------------------


def test_several_master_secrets_keep_their_order_with_and_without_padding() -> None:
    first, second = secrets.token_bytes(32), secrets.token_bytes(48)
    text = base64.urlsafe_b64encode(first).decode() + ",\n" + base64.urlsafe_b64encode(second).decode().rstrip("=")
    assert load(production(secret_keys=text)).secret_keys == (first, second)


def encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode()


@pytest.mark.parametrize(
    "bad",
    [
        "",
        " , ",
        "changeme",
        encoded(b"please-CHANGE-ME-before-you-start"),
        "replace-me-with-32-random-bytes-in-base64url",
        encoded(bytes(32)),
        encoded(b"\x01\x80" * 16),
        encoded(b"short"),
        "+/" + "A" * 41,
        "A" * 41,
        "schlüssel",
    ],
)
def test_placeholders_and_worthless_secrets_are_refused_everywhere(bad: str) -> None:
    assert "AUTHSVC_SECRET_KEYS" in refused(production(secret_keys=bad))
    assert "AUTHSVC_SECRET_KEYS" in refused(development(secret_keys=bad))


@pytest.mark.parametrize(
    "made_up",
    [
        encoded(b"0123456789abcdefghijklmnopqrstuv"),
        encoded(bytes(range(32))),
        encoded(b"\x80\x91\xa2\xb3\xc4\xd5\xe6\xf7\x01\x12" * 6),
    ],
)
def test_a_secret_that_a_person_made_up_is_for_development_only(made_up: str) -> None:
    assert "not random" in refused(production(secret_keys=made_up))["AUTHSVC_SECRET_KEYS"]
    assert load(development(secret_keys=made_up)).secret_keys


def test_the_same_secret_twice_is_refused_however_it_is_written() -> None:
    raw = encoded(secrets.token_bytes(32))
    assert "item 2 is there twice" in refused(production(secret_keys=f"{raw},{raw.rstrip('=')}"))["AUTHSVC_SECRET_KEYS"]


def test_random_secrets_are_never_taken_for_patterns() -> None:
    assert len(load(production(secret_keys=",".join(key() for _ in range(500)))).secret_keys) == 500


@pytest.mark.parametrize("mode", [0o604, 0o644, 0o602, 0o666])
def test_a_secret_file_that_others_may_open_is_refused_in_production(
    secret_file: Callable[[str, int], str], mode: int
) -> None:
    def by_file(environ: dict[str, str], path: str) -> dict[str, str]:
        del environ["AUTHSVC_SECRET_KEYS"]
        return environ | {"AUTHSVC_SECRET_KEYS_FILE": path}

    assert "chmod" in refused(by_file(production(), secret_file(key(), mode)))["AUTHSVC_SECRET_KEYS_FILE"]
    assert load(by_file(development(), secret_file(key(), mode))).secret_keys
    assert load(by_file(production(), secret_file(key(), 0o640))).secret_keys


@pytest.mark.parametrize(
    "line",
    [f"secret_keys = '{key()}'", "mail_url = 'smtps://me:word@mail.maple.example'"],
    ids=["secret_keys", "mail_url"],  # a random value in an id would give each process of a run other tests
)
def test_a_settings_file_that_holds_a_secret_is_judged_like_a_secret_file(tmp_path: Path, line: str) -> None:
    path = tmp_path / "authsvc.toml"
    path.write_text(f"workers = 4\n{line}\n")
    path.chmod(0o644)
    assert "chmod" in refused(production() | {"AUTHSVC_CONFIG": str(path)})["AUTHSVC_CONFIG"]
    path.write_text("workers = 4\n")
    assert load(production() | {"AUTHSVC_CONFIG": str(path)}).workers == 4


def test_a_file_for_a_setting_that_is_no_secret_may_be_read_by_all(secret_file: Callable[[str, int], str]) -> None:
    assert load(production() | {"AUTHSVC_WORKERS_FILE": secret_file("7", 0o644)}).workers == 7


def test_no_fault_shows_the_value_that_is_at_fault(tmp_path: Path) -> None:
    mark = "hunter2-XyZZy"
    path = tmp_path / "authsvc.toml"
    path.write_text(f"redis_url = '{mark}'\nmail_url = {{x = '{mark}'}}\nsecret_keys = ['{mark}']\nworkers = '{mark}'")
    (tmp_path / "broken").write_text(f"secret_keys = '{mark}\n")
    everything = {known.variable: mark for known in KNOWN.values()}
    urls = {
        "AUTHSVC_PUBLIC_URL": f"https://u:{mark}@h",
        "AUTHSVC_REDIS_URL": f"http://u:{mark}@[::zz]",
        "AUTHSVC_MAIL_URL": f"smtp://u:{mark}@h:99999",
        "AUTHSVC_BIND": f"{mark}:1:2",
    }
    for environ in (
        everything,
        everything | urls,
        {"AUTHSVC_CONFIG": str(path)},
        {"AUTHSVC_CONFIG": str(tmp_path / "broken")},
    ):
        with pytest.raises(SettingsInvalid) as caught:
            load(environ)
        assert mark not in str(caught.value)
        assert mark.lower() not in repr(caught.value).lower()


def test_settings_never_show_their_secrets() -> None:
    environ = production()
    shown = repr(load(environ))
    assert all(environ[f"AUTHSVC_{name}"] not in shown for name in ("SECRET_KEYS", "REDIS_URL", "MAIL_URL"))
    assert {each.name for each in dataclasses.fields(Settings) if not each.repr} == {
        name for name, known in KNOWN.items() if known.secret
    }


# --- addresses ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("url", ["https://a.example", "https://a.example:8443/sign-in", "https://[2001:db8::1]:8443"])
def test_the_public_url_is_kept_byte_for_byte(url: str) -> None:
    assert load(production(public_url=url)).public_url == url


def test_the_origin_is_the_public_url_without_its_path() -> None:
    assert load(production(public_url="https://a.example:8443/x")).origin == "https://a.example:8443"


@pytest.mark.parametrize(
    "bad",
    [
        "http://signin.maple.example",
        "https://signin.maple.example/",
        "https://signin.maple.example?x=1",
        "https://signin.maple.example?",
        "https://signin.maple.example#x",
        "https://me:word@signin.maple.example",
        "https://Signin.Maple.Example",
        "HTTPS://signin.maple.example",
        "https://signin.maple.example:443",
        "https://signin.maple.example:0",
        "https://signin.maple.example:99999",
        "https://signin.maple.example:http",
        "https://",
        "https:signin.maple.example",
        "https://a.example/../b",
        "https://a.example//b",
        "https://a.example/%2f",
        "https://a b.example",
        "https:\\\\a.example",
        "https://a.example\r\nX: y",
        "https://[::1",
        "https://[::zz]",
        "https://bücher.example",
        "//a.example",
    ],
)
def test_a_public_url_that_could_be_read_in_two_ways_is_refused(bad: str) -> None:
    assert "AUTHSVC_PUBLIC_URL" in refused(production(public_url=bad))


def test_development_may_use_plain_http() -> None:
    assert load(development(public_url="http://127.0.0.1:8000")).origin == "http://127.0.0.1:8000"
    assert "https:// or http://" in refused(development(public_url="ftp://a.example"))["AUTHSVC_PUBLIC_URL"]


@pytest.mark.parametrize(
    "url",
    [
        "redis://127.0.0.1:6379/0",
        "redis://localhost",
        "redis://[::1]:6379",
        "unix:///run/redis.sock?db=1",
        "rediss://u:p@redis.maple.example/0?ssl_ca_certs=/etc/ca.pem&ssl_certfile=/c&ssl_keyfile=/k",
        "redis+sentinel://a.example,b.example:26380/mymaster?tls=true",
        "redis+sentinel://127.0.0.1,localhost:26380",
        "redis+cluster://u:p@a.example:7000,b.example:7001?tls=true",
    ],
)
def test_a_store_on_this_machine_or_behind_tls_is_fine_in_production(url: str) -> None:
    assert load(production(redis_url=url)).redis_url == url


def test_every_part_of_a_store_url_can_be_had_by_its_name() -> None:
    plain = load(development(redis_url="redis://:p%40ss@localhost/3")).redis
    assert (plain.scheme, plain.hosts, plain.db) == ("redis", (("localhost", 6379),), 3)
    assert (plain.username, plain.password, plain.tls) == ("", "p@ss", False)
    assert "p@ss" not in repr(plain)
    socket = load(development(redis_url="unix://u:p@/run/redis.sock?db=1")).redis
    assert (socket.path, socket.hosts, socket.db, socket.username) == ("/run/redis.sock", (), 1, "u")
    tls = load(development(redis_url="rediss://h.example?db=2&ssl_ca_certs=/ca&ssl_certfile=/c&ssl_keyfile=/k")).redis
    assert (tls.tls, tls.db, tls.ssl_ca_certs, tls.ssl_certfile, tls.ssl_keyfile) == (True, 2, "/ca", "/c", "/k")
    cluster = load(development(redis_url="redis+cluster://u:p@a.example:7000,b.example?tls=true")).redis
    assert (cluster.hosts, cluster.tls) == ((("a.example", 7000), ("b.example", 6379)), True)


def test_sentinels_have_the_user_and_password_of_redis_unless_the_url_gives_them_their_own() -> None:
    same = load(development(redis_url="redis+sentinel://u:p@a.example,b.example:26380/maple?db=4&tls=true")).redis
    assert (same.hosts, same.primary, same.db) == ((("a.example", 26379), ("b.example", 26380)), "maple", 4)
    assert (same.sentinel_username, same.sentinel_password, same.tls) == ("u", "p", True)
    url = "redis+sentinel://u:p@a.example?sentinel_username=watcher&sentinel_password=s%20s"
    other = load(development(redis_url=url)).redis
    assert (other.primary, other.username, other.password) == ("mymaster", "u", "p")
    assert (other.sentinel_username, other.sentinel_password) == ("watcher", "s s")
    none = load(development(redis_url="redis+sentinel://:p@a.example?sentinel_password=")).redis
    assert (none.password, none.sentinel_password) == ("p", "")


@pytest.mark.parametrize(
    "bad",
    [
        "redis://redis.maple.example",
        "redis://10.0.0.7:6379",
        "redis+sentinel://127.0.0.1,b.example/mymaster",
        "redis+cluster://a.example",
        "rediss://u:changeme@redis.maple.example",
        "rediss://u:p%61ssword@redis.maple.example",
    ],
)
def test_a_store_that_sends_secrets_in_the_clear_or_has_no_real_password_is_for_development_only(bad: str) -> None:
    assert "AUTHSVC_REDIS_URL" in refused(production(redis_url=bad))
    assert load(development(redis_url=bad)).redis_url == bad


@pytest.mark.parametrize(
    "bad",
    [
        "memcached://localhost",
        "redis://",
        "redis://localhost#x",
        "redis://a,b",
        "rediss://localhost?ssl_cert_reqs=none",
        "rediss://localhost?ssl_check_hostname=false",
        "redis+cluster://localhost?tls=false",
        "redis://localhost?tls=true",
        "redis+cluster://localhost?db=1",
        "redis+cluster://localhost/1",
        "redis://localhost/first",
        "redis://localhost/1/2",
        "redis://localhost/1?db=2",
        "redis://localhost?db=one",
        "redis://localhost?db=1&db=1",
        "redis://localhost?sentinel_password=x",
        "redis+cluster://localhost?ssl_ca_certs=/ca.pem",
        "redis://user@localhost",
        "redis://user:%FF@localhost",
        "redis://user:a%0Ab@localhost",
        "redis+sentinel://localhost/my/master",
        "unix://",
        "unix://tmp/redis.sock",
    ],
)
def test_a_store_url_that_means_nothing_or_stops_certificate_checks_is_refused(bad: str) -> None:
    assert "AUTHSVC_REDIS_URL" in refused(development(redis_url=bad))


@pytest.mark.parametrize(
    "url", ["smtp://mail.maple.example", "smtps://u:p@mail.maple.example:465/", "smtp://h?ca=/etc/ca.pem"]
)
def test_mail_leaves_by_smtp_in_production(url: str) -> None:
    assert load(production(mail_url=url)).mail_url == url


@pytest.mark.parametrize("url", ["file:///var/mail", "console:", "inbox:"])
def test_attack_codes_are_not_shown_by_a_development_sink_in_production(url: str) -> None:
    assert load(development(mail_url=url)).mail_url == url
    assert "in production" in refused(production(mail_url=url))["AUTHSVC_MAIL_URL"]


@pytest.mark.parametrize(
    "bad",
    [
        "file:",
        "file://host/var",
        "file:///",
        "console:///x",
        "inbox://",
        "http://mail",
        "smtp://",
        "smtp://h/path",
        "smtp://h#x",
        "smtp://h?starttls=off",
        "smtp://h?ca=/a&ca=/b",
        "smtp://h:0",
        "smtp://user:p%E4ss@h",  # Latin-1
        "smtp://user:a%00b@h",
        "smtp://us%0Aer:b@h",
    ],
)
def test_a_mail_url_that_means_nothing_or_turns_tls_off_is_refused(bad: str) -> None:
    assert "AUTHSVC_MAIL_URL" in refused(development(mail_url=bad))


@pytest.mark.parametrize(
    "bad",
    [
        "http://id:secret@login.example/token",
        "https://login.example/token",
        "https://id@login.example/token",
        "https://:secret@login.example/token",
        "https://id:secret@login.example/token#x",
        "https://id:secret@login.example/token?scope=a&verify=no",
        "https://id:secret@/token",
        "https://id:secret%E4@login.example/token",
    ],
)
def test_a_token_endpoint_that_means_nothing_or_is_not_encrypted_is_refused(bad: str) -> None:
    faults = refused(production(mail_oauth_url=bad))
    assert "AUTHSVC_MAIL_OAUTH_URL" in faults
    assert "secret" not in faults["AUTHSVC_MAIL_OAUTH_URL"].replace("client id and secret", "")


@pytest.mark.parametrize(
    "sender", ["no-reply@maple.example", "Clínica Maple <a@b>", '"Maple, Inc." <a.b+c@maple.example>']
)
def test_the_sender_is_one_address_with_or_without_a_name(sender: str) -> None:
    assert load(production(mail_from=sender)).mail_from == sender


@pytest.mark.parametrize(
    "bad",
    [
        "nobody",
        "a@b, c@d",
        "a@b\r\nBcc: everyone@else.example",
        "Maple\u2028<a@b>",
        "Maple <a@b> <c@d>",
        "Maple, Inc. <a@b>",
        "a@-b",
        "ä@b",
        "@b",
    ],
)
def test_attack_the_sender_carries_no_second_header(bad: str) -> None:
    assert "AUTHSVC_MAIL_FROM" in refused(production(mail_from=bad))


@pytest.mark.parametrize("bad", ["10.0.0.1/8", "everyone", "0.0.0.0/0", "::/0", "10.0.0.0/8,*"])
def test_a_proxy_list_that_trusts_everyone_or_is_unclear_is_refused(bad: str) -> None:
    assert "AUTHSVC_TRUSTED_PROXIES" in refused(production(trusted_proxies=bad))


@pytest.mark.parametrize(
    "bad",
    [
        "8000",
        "localhost",
        ":8000",
        "127.0.0.1:",
        "127.0.0.1:70000",
        "unix:run/x",
        "unix:",
        "unix:/run/a b",
        "::1:80",
        "[:1:]:80",
    ],
)
def test_an_address_to_listen_on_is_host_and_port_or_a_unix_socket(bad: str) -> None:
    assert "AUTHSVC_BIND" in refused(production(bind=bad))


def test_only_the_public_address_may_be_a_unix_socket() -> None:
    assert load(production(bind="unix:/run/authsvc/http.sock")).bind == "unix:/run/authsvc/http.sock"
    assert "AUTHSVC_ADMIN_BIND" in refused(production(admin_bind="unix:/run/authsvc/admin.sock"))


# --- numbers, and what must fit together --------------------------------------------------------------------------


def test_no_setting_makes_a_code_live_longer_than_ten_minutes() -> None:
    assert CODE_LIFE_CEILING_S == 600
    for environ in (production(code_life_s="601"), development(code_life_s="601")):
        assert "to 10 min" in refused(environ)["AUTHSVC_CODE_LIFE_S"]


@pytest.mark.parametrize(
    "name, bad",
    [
        ("access_token_life_s", "11 min"),
        ("session_idle_s", "2 h"),
        ("session_absolute_s", "25 h"),
        ("code_life_s", "59 s"),
        ("code_life_s", "90.5 s"),
        ("code_life_s", "-600"),
        ("code_life_s", "ten minutes"),
        ("code_life_s", "６０ s"),
        ("redis_timeout_s", "6 s"),
        ("workers", "0"),
        ("workers", "1.5"),
        ("threads", "1"),
        ("guess_bound", "0"),
        ("guess_bound", "0.011"),
        ("guess_bound", "1e-3"),
        ("guess_bound", "nan"),
        ("code_hash_profile", "none"),
        ("signing_alg", "HS256"),
        ("signing_alg", "none"),
        ("log_level", "trace"),
        ("env", "staging"),
        ("default_audience", "a b"),
        ("default_audience", "1st:api"),
        ("default_audience", "my_api:v1"),
        ("default_audience", "api/v1:x"),
        ("default_audience", ":api"),
        ("default_audience", "a" * 129),
        ("workflows_file", "a\nb"),
    ],
)
def test_a_value_out_of_its_range_is_refused(name: str, bad: str) -> None:
    assert f"AUTHSVC_{name.upper()}" in refused(production(**{name: bad}))


@pytest.mark.parametrize(
    "line",
    [
        "workers = true",
        "guess_bound = true",
        "code_life_s = true",
        "env = 1",
        "trusted_proxies = [1]",
        "trusted_proxies = 1",
        "bind = 8000",
    ],
)
def test_a_toml_value_of_the_wrong_type_is_refused(tmp_path: Path, line: str) -> None:
    path = tmp_path / "authsvc.toml"
    path.write_text(line)
    assert f"AUTHSVC_{line.split()[0].upper()}" in refused(production() | {"AUTHSVC_CONFIG": str(path)})


def test_development_may_watch_things_expire() -> None:
    settings = load(development(code_life_s="2 s", resend_after_s="1 s", access_token_life_s="1 s", session_idle_s="3"))
    assert (settings.code_life_s, settings.resend_after_s) == (2, 1)
    assert not settings.production


@pytest.mark.parametrize(
    "name, environ",
    [
        ("CODE_LIFE_S", production(code_life_s="10 min", challenge_life_s="5 min")),
        ("RESEND_AFTER_S", production(code_life_s="60", resend_after_s="90")),
        ("SESSION_IDLE_S", production(session_idle_s="1 h", session_absolute_s="30 min")),
        (
            "ACCESS_TOKEN_LIFE_S",
            production(access_token_life_s="10 min", session_absolute_s="5 min", session_idle_s="60"),
        ),
        ("RING_POLL_S", development(ring_poll_s="5", jwks_slack_s="4")),
        ("REDIS_TIMEOUT_S", production(redis_timeout_s="3 s")),
        ("ADMIN_BIND", production(bind="127.0.0.1:9000")),
        ("ADMIN_BIND", production(bind="0.0.0.0:9000")),
        ("ADMIN_BIND", production(bind="[::]:9000", admin_bind="10.0.0.7:9000")),
    ],
)
def test_settings_that_are_unsafe_together_are_refused(name: str, environ: dict[str, str]) -> None:
    assert list(refused(environ)) == [f"AUTHSVC_{name}"]


def test_the_same_port_on_two_addresses_of_the_machine_is_fine() -> None:
    assert load(production(bind="10.0.0.7:9000")).admin_bind == "127.0.0.1:9000"


# --- notation -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "written, ms",
    [("10 min", 600_000), ("600s", 600_000), ("72 h", 259_200_000), ("30 d", 2_592_000_000), (0.5, 500)],
)
def test_a_span_is_read_as_people_write_it(written: object, ms: int) -> None:
    assert span_ms(written) == ms


@pytest.mark.parametrize("seconds", [0, 0.05, 1, 59, 60, 90, 3_600, 86_400, 604_800])
def test_a_span_is_said_in_the_notation_that_is_read(seconds: float) -> None:
    assert span_ms(say_span(seconds)) == seconds * 1_000


@pytest.mark.parametrize(
    "written, expected",
    [
        ("5 per 15 min", (5, 900)),
        ("100 per s", (100, 1)),
        ("20,000 per hour", (20_000, 3_600)),
        ("3 per 2 d", (3, 172_800)),
        ("1 per day", (1, 86_400)),
    ],
)
def test_a_rate_is_read_as_people_write_it(written: str, expected: tuple[int, int]) -> None:
    assert rate(written) == expected


@pytest.mark.parametrize(
    "bad", ["0 per s", "5 per 0 s", "5 a day", "5", "5 per fortnight", "1,0000 per s", "-1 per s", 5, True, None]
)
def test_a_rate_that_means_nothing_is_refused(bad: Any) -> None:
    with pytest.raises(ValueError, match="must be a rate"):
        rate(bad)


# --- what is written about settings -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    return generator("generate")


def test_reference_and_sample_file_say_what_the_code_does(generate: ModuleType) -> None:
    assert generate.SETTINGS_MD.read_text() == generate.settings_md()
    assert generate.AUTHSVC_TOML.read_text() == generate.authsvc_toml()


def test_the_sample_file_shows_every_setting_at_its_default(tmp_path: Path, generate: ModuleType) -> None:
    shown = "\n".join(
        line[1:] if line[:1] == "#" and line[1:2].isalpha() else "" for line in generate.authsvc_toml().split("\n")
    )
    assert list(tomllib.loads(shown)) == list(KNOWN)
    path = tmp_path / "authsvc.toml"
    path.write_text("\n".join(line for line in shown.split("\n") if line.split(" = ")[0] not in generate.EXAMPLES))
    defaults = load({**(environ := production()), "AUTHSVC_CONFIG": str(path)})
    assert defaults == load(environ)


def test_the_sample_files_secrets_are_refused(tmp_path: Path, generate: ModuleType) -> None:
    faults = refused({f"AUTHSVC_{name.upper()}": value for name, value in generate.EXAMPLES.items()})
    assert set(faults) == {"AUTHSVC_SECRET_KEYS", "AUTHSVC_REDIS_URL"}


def test_every_setting_has_a_reason_and_a_kind() -> None:
    assert all(known.why.endswith(".") and known.type.label for known in KNOWN.values())
    assert config.Settings is Settings
    assert value_types.MIN_KEY_BYTES == 32
