"""The recipes of config/gateways, run as they are printed: only ports, and the folders of this machine, are put in.

Each program runs in the foreground under the keeper, on loopback, and never through the distribution's own service
manager. A recipe whose program is missing skips, and says what to install.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.harness.machine import SEARCH_PATH, find, lacking
from tests.harness.processes import ROOT, Answer, Process, ask, free_port, reachable, until

if TYPE_CHECKING:
    from tests.gateways.environment import GatewaySetup

RECIPES = ROOT / "config" / "gateways"
AUTHSVC, SERVICE, PUBLIC = "8000", "8080", "8090"  # the ports in the recipes

Prepare = Callable[["Room"], list[str]]
"""Writes what the program needs; the command that runs it."""


@dataclass
class Room:
    """Where one gateway runs, and what stands around it."""

    folder: Path
    authsvc_port: int
    tls_port: int  # where authsvc's keys are to be had by https
    public_port: int
    site: GatewaySetup

    def put(self, recipe: str, **replaced: str) -> Path:
        """A file of the recipes with this machine's ports, and these texts in place of those."""
        ports = {AUTHSVC: self.authsvc_port, SERVICE: self.site.service_port, PUBLIC: self.public_port}
        return put(recipe, self.folder, ports, replaced)


def each(recipes: Sequence[Recipe]) -> list[Any]:
    """These recipes as parameters of a test, those whose program is missing marked to be skipped: nothing is started
    for them."""
    return [pytest.param(recipe, id=recipe.name, marks=needs(recipe)) for recipe in recipes]


def needs(*recipes: Recipe) -> pytest.MarkDecorator:
    """Marks a test that runs these, to be skipped where a program of theirs is missing."""
    why = lacking(*dict.fromkeys(program for recipe in recipes for program in recipe.programs))
    return pytest.mark.skipif(bool(why), reason=why)


def put(recipe: str, folder: Path, ports: Mapping[str, int], replaced: Mapping[str, str]) -> Path:
    """A file of the recipes in this folder, with these ports and texts in place of those; each text must be there."""
    text = (RECIPES / recipe).read_text(encoding="utf-8")
    text = re.sub(r"(?<![\w.])(?:8000|8080|8090)\b", lambda port: str(ports[port[0]]), text)
    for old, new in replaced.items():
        assert old in text, f"{recipe}: {old}"
        text = text.replace(old, new)
    target = folder / Path(recipe).name
    target.write_text(text, encoding="utf-8")
    return target


class Gateway:
    """A running gateway."""

    def __init__(self, recipe: Recipe, room: Room, program: Process) -> None:
        self.recipe = recipe
        self.room = room
        self.program = program
        self.port = room.public_port

    def ask(
        self,
        path: str,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
        method: str = "GET",
        body: bytes | None = None,
    ) -> Answer:
        """One request from outside; `headers` with the names exactly as they shall be sent."""
        bearer = {} if token is None else {"Authorization": f"Bearer {token}"}
        return ask(method, f"http://127.0.0.1:{self.port}{path}", {**bearer, **(headers or {})}, body)

    def stop(self) -> None:
        self.program.discard()


@dataclass(frozen=True)
class Recipe:
    """`promises`: the statuses in which it differs from the table in test_gateway_tables.py; `away`: what a good token
    gets when authsvc was never there (0: it doesn't start)."""

    name: str
    title: str  # in docs/howto/gateways.md
    programs: Sequence[str]
    prepare: Prepare
    promises: Mapping[str, int] = field(default_factory=dict)
    asks: bool = True  # it asks authsvc at every request, and so hears of a revocation at once
    away: int = 503

    def missing(self) -> str:
        """Why it can't run here; empty when it can."""
        return lacking(*self.programs)

    def start(self, folder: Path, site: GatewaySetup, authsvc_port: int | None = None) -> Gateway:
        """Run it before the site; with an `authsvc_port` of its own, authsvc is whatever is there."""
        if why := self.missing():
            pytest.skip(why)
        folder.mkdir(exist_ok=True)
        ports = (site.deployment.port, site.tls_port) if authsvc_port is None else (authsvc_port, authsvc_port)
        room = Room(folder, *ports, free_port(), site)
        command = self.prepare(room)
        environ = {name: value for name, value in os.environ.items() if not name.startswith("AUTHSVC_")}
        program = Process(folder.name, command, {**environ, "PATH": SEARCH_PATH}, folder)
        until(lambda: _routed(room.public_port) or not program.runs, why=program.output)
        assert program.runs, program.output()
        return Gateway(self, room, program)


def _routed(port: int) -> bool:
    """Whether somebody listens there and knows the routes; Traefik reads them a moment later."""
    answer = reachable(f"http://127.0.0.1:{port}/contact")
    return answer is not None and answer.status != 404


# --- how each is started ----------------------------------------------------------------------------------------------


def nginx(room: Room) -> list[str]:
    """The recipe goes into the http block of a main configuration that keeps everything in one folder."""
    temporary = "".join(
        f"{kind}_temp_path {room.folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;\n" if os.geteuid() == 0 else ""
    main = room.folder / "nginx.conf"
    main.write_text(
        f"{user}daemon off;\nworker_processes 1;\npid {room.folder}/pid;\nerror_log stderr;\nevents {{}}\n"
        f"http {{\naccess_log off;\n{temporary}include {room.put('nginx/authsvc.conf')};\n}}\n"
    )
    return [find("nginx"), "-p", str(room.folder), "-e", "stderr", "-c", str(main)]


def haproxy_asks(room: Room) -> list[str]:
    script = room.put("haproxy/ask.lua")
    config = room.put("haproxy/ask.cfg", **{"lua-load ask.lua": f"lua-load {script}"})
    return [find("haproxy"), "-W", "-db", "-f", str(config)]


def haproxy_validates(room: Room) -> list[str]:
    config = room.put("haproxy/validate.cfg", **{"/etc/haproxy/authsvc": str(room.folder)})
    until(lambda: fetch_keys(room, "true"))
    return [find("haproxy"), "-W", "-db", "-f", str(config), "-f", str(room.folder / "keys.cfg")]


def fetch_keys(room: Room, reload: str) -> bool:
    """Run the recipe's own script; whether all went well. It doesn't when one worker process of authsvc lists a key
    that the next one is about to hear of: then everything stays as it was until cron comes by again."""
    ran = subprocess.run(
        ["sh", RECIPES / "haproxy/fetch-keys.sh"],
        env={
            "PATH": SEARCH_PATH,
            "AUTHSVC": f"http://127.0.0.1:{room.authsvc_port}",
            "FOLDER": str(room.folder),
            "RELOAD": reload,
        },
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert ran.returncode == 0 or "404" in ran.stderr, ran
    return ran.returncode == 0


def traefik(room: Room) -> list[str]:
    dynamic = room.put("traefik/authsvc.yml")
    static = room.put("traefik/traefik.yml", **{"filename: authsvc.yml": f"filename: {dynamic}"})
    return [find("traefik"), f"--configFile={static}"]


def caddy(room: Room) -> list[str]:
    return [find("caddy"), "run", "--adapter", "caddyfile", "--config", str(room.put("caddy/Caddyfile"))]


def envoy_validates(room: Room) -> list[str]:
    return _envoy(room, "envoy/jwt_authn.yaml")


def envoy_validates_hastily(room: Room) -> list[str]:
    """The same, keeping the keys for a second instead of a minute, for tests that can't wait."""
    return _envoy(room, "envoy/jwt_authn.yaml", **{"cache_duration: 60s": "cache_duration: 1s"})


def envoy_asks(room: Room) -> list[str]:
    return _envoy(room, "envoy/ext_authz.yaml")


def _envoy(room: Room, recipe: str, **replaced: str) -> list[str]:
    config = room.put(recipe, **replaced)
    quiet = ["--log-level", "warning", "--disable-hot-restart", "--concurrency", "1"]
    return [find("envoy"), "-c", str(config), *quiet]


def mod_oauth2(room: Room) -> list[str]:
    return apache(room.folder, room.put("apache/mod_oauth2.conf"), "oauth2")


def mod_oauth2_hastily(room: Room) -> list[str]:
    """The same, keeping keys and verdicts for a second."""
    spans = {"jwks_uri.expiry=60&expiry=10": "jwks_uri.expiry=1&expiry=1"}
    return apache(room.folder, room.put("apache/mod_oauth2.conf", **spans), "oauth2")


def mod_auth_openidc(room: Room) -> list[str]:
    tls = f"https://localhost:{room.tls_port}"
    recipe = room.put(
        "apache/mod_auth_openidc.conf",
        **{"https://auth.example.org/.well-known": f"{tls}/.well-known"},
        **{"/etc/ssl/certs/ca-certificates.crt": str(room.site.ca)},
    )
    return apache(room.folder, recipe, "auth_openidc")


def apache(folder: Path, recipe: Path, *more: str) -> list[str]:
    """What Debian's own apache2.conf and `a2enmod` would bring, with everything in one folder."""
    folder_of_modules = Path(find("mod_proxy.so")).parent
    modules = ["mpm_event", "authn_core", "authz_core", "proxy", "proxy_http", "headers", "setenvif", *more]
    loaded = "".join(f"LoadModule {each}_module {folder_of_modules}/mod_{each}.so\n" for each in modules)
    user = "User www-data\nGroup www-data\n" if os.geteuid() == 0 else ""
    config = folder / "apache2.conf"
    config.write_text(
        f"ServerRoot {folder}\nServerName localhost\nDefaultRuntimeDir {folder}\nPidFile {folder}/pid\n"
        f"Mutex file:{folder} default\nErrorLog /dev/stderr\nLogLevel warn\n{loaded}{user}"
        f"StartServers 1\nServerLimit 2\nThreadsPerChild 16\nMaxRequestWorkers 32\nInclude {recipe}\n"
    )
    return [find("apache2"), "-DFOREGROUND", "-f", str(config)]


# --- and what it promises ---------------------------------------------------------------------------------------------

NAMES_NO_RESOURCE = {"own invoice": 401, "another invoice": 401}  # it wants a code wherever a link could come
LOOKS_AT_NO_TYP = {"typ of another kind of JWT": 200, "no kid": 200}
APACHE = LOOKS_AT_NO_TYP | {  # what a `Require` says no to is a 403
    "wrong audience": 403,
    "wrong issuer": 403,
    "insufficient acr": 403,
    "a path below one that is named": 403,
    "a path that no route names": 403,
}
ENVOY = LOOKS_AT_NO_TYP | {  # what rbac says no to is a 403
    "own invoice": 403,
    "wrong audience": 403,
    "insufficient acr": 403,
    "a path below one that is named": 403,
    "a path that no route names": 403,
}

ALL = (
    Recipe("nginx/authsvc.conf", "nginx", ["nginx"], nginx),
    Recipe("haproxy/ask.cfg", "HAProxy asks", ["haproxy"], haproxy_asks),
    Recipe("traefik/authsvc.yml", "Traefik", ["traefik"], traefik, NAMES_NO_RESOURCE, away=500),
    Recipe("caddy/Caddyfile", "Caddy", ["caddy"], caddy, away=502),
    Recipe("envoy/ext_authz.yaml", "Envoy asks", ["envoy"], envoy_asks, NAMES_NO_RESOURCE),
    Recipe(
        "haproxy/validate.cfg",
        "HAProxy",
        ["haproxy", "curl"],
        haproxy_validates,
        asks=False,
        away=0,
    ),
    Recipe("envoy/jwt_authn.yaml", "Envoy", ["envoy"], envoy_validates, ENVOY, asks=False, away=401),
    Recipe(
        "apache/mod_oauth2.conf",
        "mod_oauth2",
        ["apache2", "mod_oauth2.so"],
        mod_oauth2,
        APACHE,
        asks=False,
        away=401,
    ),
    Recipe(
        "apache/mod_auth_openidc.conf",
        "mod_auth_openidc",
        ["apache2", "mod_auth_openidc.so"],
        mod_auth_openidc,
        APACHE,
        asks=False,
        away=401,
    ),
)
