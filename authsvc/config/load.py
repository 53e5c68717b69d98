"""Settings: read, checked, and refused with every fault at once.

There are three places, the later wins: the default in code, the TOML file that AUTHSVC_CONFIG names, and the
environment as `AUTHSVC_<NAME>` or, for secrets, `AUTHSVC_<NAME>_FILE` (a file that holds the value). `load` raises
`errors.SettingsInvalid` before anything is opened; no fault repeats a value. There is no switch that turns a
protection off: what development may do that production may not is decided by `env` alone.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from authsvc.config.settings import KNOWN, Settings
from authsvc.config.units import hint, read_bytes, read_toml
from authsvc.errors import Fault, SettingsInvalid

__all__ = ["Settings", "load", "named_file"]

_SERVICE_LINK = re.compile(r"AUTHSVC_(?:\w+_)?(?:SERVICE_(?:HOST|PORT\w*)|PORT_[0-9]+_(?:TCP|UDP|SCTP)\w*)", re.ASCII)
_QUOTED = re.compile(r"([\"']).*\1", re.DOTALL)
_DOCKER_LINK = re.compile(r"AUTHSVC_(?:\w+_)?(?:NAME=/\S+/\S+|ENV_\w+=.*)", re.ASCII | re.DOTALL)
_SERVICE_PORT = re.compile(r"(?:tcp|udp|sctp)://\S+")


def _is_service_link(name: str, value: str) -> bool:
    """Whether this is one of the variables that Kubernetes puts into every pod beside a Service, here one called
    `authsvc` or `authsvc-…`, as Docker's links did before it. They are no settings of ours."""
    return bool(
        _SERVICE_LINK.fullmatch(name)
        or _DOCKER_LINK.fullmatch(f"{name}={value}")
        or (name.endswith("_PORT") and _SERVICE_PORT.fullmatch(value))
    )


def _bare(value: str) -> str:
    """Without the quotes around all of it, which `docker run --env-file` takes for a part of the value."""
    text = value.strip()
    return text[1:-1] if len(text) > 1 and _QUOTED.fullmatch(text) else value


def load(environ: Mapping[str, str]) -> Settings:
    """The settings of this environment; raises SettingsInvalid with every fault there is."""
    faults: list[Fault] = []
    raw: dict[str, object] = {}
    config_file = _config_file(environ)
    if config_file is not None:
        raw |= _of_toml(config_file, faults)
    secret_files = {"AUTHSVC_CONFIG": config_file} if config_file and _holds_secret(raw) else {}
    raw |= _of_environment(environ, faults, secret_files)

    values: dict[str, Any] = {}
    production = str(raw.get("env")).strip().lower() != "development"
    for name, known in KNOWN.items():
        if name in raw:
            try:
                values[name] = known.type.parse(raw[name], production)
            except ValueError as problem:
                faults.append(Fault(known.variable, str(problem)))
        elif known.required and not any(fault.pointer == f"{known.variable}_FILE" for fault in faults):
            faults.append(Fault(known.variable, f"is required ({known.type.label}): {known.why}"))
    if production:
        faults += _readable_by_others(secret_files)
    faults += _combinations(values)
    if faults:
        raise SettingsInvalid(*faults)
    return Settings(**values)


def named_file(environ: Mapping[str, str], name: str) -> str | None:
    """Which file of the site `workflows_file` or `limits_file` names, read where `load`
    reads it; None: the packaged one.

    Other faults are reported by `load`: with this function the faults of all files can be reported together.
    """
    config_file = _config_file(environ)
    in_file = _of_toml(config_file, []).get(name) if config_file is not None else None
    found = environ.get(KNOWN[name].variable, in_file)
    return _bare(found).strip() or None if isinstance(found, str) else None


def _config_file(environ: Mapping[str, str]) -> str | None:
    named = environ.get("AUTHSVC_CONFIG")
    return None if named is None else _bare(named)


def _of_toml(path: str, faults: list[Fault]) -> dict[str, object]:
    table = read_toml(path, "AUTHSVC_CONFIG")
    if isinstance(table, Fault):
        faults.append(table)
        return {}
    for name in table.keys() - KNOWN.keys():
        faults.append(Fault(f"AUTHSVC_CONFIG: {name!r}", f"is not a setting{hint(name, KNOWN)}"))
    return {name: value for name, value in table.items() if name in KNOWN}


def _of_environment(environ: Mapping[str, str], faults: list[Fault], secret_files: dict[str, str]) -> dict[str, object]:
    """What the environment sets. Files that hold a secret are noted in `secret_files`, for their mode to be judged."""
    raw: dict[str, object] = {}
    plain = {known.variable: name for name, known in KNOWN.items()}
    by_file = {f"{known.variable}_FILE": known for name, known in KNOWN.items() if not name.endswith("_file")}
    for variable in sorted(environ):
        if variable in plain:
            raw[plain[variable]] = _bare(environ[variable])
        elif variable in by_file and by_file[variable].variable in environ:
            faults.append(
                Fault(variable, f"is set and so is {by_file[variable].variable}: only one of them can be meant")
            )
        elif variable in by_file:
            text = _file_text(_bare(environ[variable]), variable)
            if isinstance(text, Fault):
                faults.append(text)
                continue
            raw[by_file[variable].name] = text
            if by_file[variable].secret:
                secret_files[variable] = _bare(environ[variable])
        elif (
            variable.startswith("AUTHSVC_")
            and variable != "AUTHSVC_CONFIG"
            and not _is_service_link(variable, environ[variable])
        ):
            faults.append(Fault(variable, f"is not a setting{hint(variable, [*plain, *by_file, 'AUTHSVC_CONFIG'])}"))
    return raw


def _file_text(path: str, variable: str) -> str | Fault:
    found = read_bytes(path, variable)
    if isinstance(found, Fault):
        return found
    try:
        return _bare(found.decode("utf-8-sig").strip())
    except UnicodeDecodeError:
        return Fault(variable, "the file is not UTF-8")


def _holds_secret(table: Mapping[str, object]) -> bool:
    """Whether a settings file holds something to hide: master secrets, or a URL with a password."""
    return "secret_keys" in table or any("@" in str(table.get(name)) for name in ("redis_url", "mail_url"))


def _readable_by_others(paths: Mapping[str, str]) -> Iterator[Fault]:
    """Files with secrets that every user of the machine may read or write (ASVS 13.3.2). They were just read."""
    for variable, path in paths.items():
        if Path(path).stat().st_mode & (stat.S_IROTH | stat.S_IWOTH):
            yield Fault(
                variable,
                "the file holds a secret and others may read or write it: chmod 0640 or 0600; for a mounted one"
                " defaultMode 0440 and fsGroup (Kubernetes), or mode 0440 and gid (Compose, Swarm)",
            )


def _combinations(values: Mapping[str, Any]) -> Iterator[Fault]:
    """Settings that are fine alone and not together."""

    def breaks(first: str, second: str, fine: Callable[[Any, Any], bool], detail: str) -> Iterator[Fault]:
        one, other = KNOWN[first], KNOWN[second]
        if not fine(values.get(first, one.default), values.get(second, other.default)):
            yield Fault(one.variable, f"{detail} {other.variable}")

    at_most = "must not be longer than"
    yield from breaks("code_life_s", "challenge_life_s", lambda code, challenge: code <= challenge, at_most)
    yield from breaks("resend_after_s", "code_life_s", lambda wait, life: wait <= life, at_most)
    yield from breaks("session_idle_s", "session_absolute_s", lambda idle, absolute: idle <= absolute, at_most)
    yield from breaks("access_token_life_s", "session_absolute_s", lambda token, session: token <= session, at_most)
    yield from breaks("ring_poll_s", "jwks_slack_s", lambda poll, slack: poll <= slack, at_most)
    yield from breaks("redis_timeout_s", "redis_deadline_s", lambda timeout, deadline: timeout <= deadline, at_most)
    yield from breaks("admin_bind", "bind", _apart, "must have another port than")


def _apart(one: str, other: str) -> bool:
    """Whether two HOST:PORT don't meet: other ports, or other hosts of which none means every address."""
    (host, _, port), (other_host, _, other_port) = one.rpartition(":"), other.rpartition(":")
    everywhere = {"0.0.0.0", "[::]"} & {host, other_host}  # noqa: S104 (compared, not bound)
    return port != other_port or (host != other_host and not everywhere)
