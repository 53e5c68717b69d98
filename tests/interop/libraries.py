"""The libraries that tests/interop runs: where each is locked, how its smallest portal is started, what it can do.

`authsvc/cli/libraries.py` says what each needs of authsvc; `docs/howto/plug-in-a-portal.md` shows both.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from authsvc.cli.libraries import LIBRARIES as REGISTRATIONS
from tests.harness.machine import ROOT

APPS = ROOT / "tests/interop/apps"
REFRESH, RENEWAL = "refresh", "renewal by `prompt=none`"


@dataclass(frozen=True)
class Library:
    """`name` as in `clients add --for`; `package` as its registry calls it; `app` the program in apps/, by which the
    kind of program is known. `callback`, `login`, `logout`, `signed_out` and `hears` (back-channel logout) are paths of
    the portal, `refreshes` is how it gets new tokens; empty: the library has nothing of the kind. `guards`: `/api/me`
    takes access tokens."""

    name: str
    package: str
    app: str
    callback: str = "/callback"
    login: str = "/login"
    logout: str = ""
    signed_out: str = "/bye"
    refreshes: str = ""
    hears: str = ""
    says_sub: bool = True
    guards: bool = False

    @property
    def version(self) -> str:
        """As locked."""
        return _VERSIONS[Path(self.app).suffix or self.app](self.package)

    @property
    def claims(self) -> tuple[str, ...]:
        """What it is told of patients beside their id."""
        return tuple(REGISTRATIONS[self.name].options.get("claims", ()))

    @property
    def tried(self) -> str:
        """What the tests do with it, in words."""
        acts = ["sign-in", "userinfo"] + [self.refreshes] * bool(self.refreshes) + ["sign-out"] * bool(self.logout)
        acts += ["back-channel logout"] * bool(self.hears) + ["access tokens"] * self.guards
        return ", ".join(acts)


def _of_go(package: str) -> str:
    modules = "".join(file.read_text(encoding="utf-8") for file in sorted(APPS.glob("go/**/go.mod")))
    found = re.search(rf"^\s+{re.escape(package)} v(\S+)", modules, re.MULTILINE)
    assert found, package
    return found[1]


def _of_java(package: str) -> str:
    """The version of Spring Boot, which decides those of all else."""
    project = (APPS / "java/pom.xml").read_text(encoding="utf-8")
    return "Boot " + project.partition("<version>")[2].partition("<")[0]


def _of_python(package: str) -> str:
    lock = (ROOT / "requirements/interop.txt").read_text(encoding="utf-8")
    found = re.search(rf"^{re.escape(package.lower())}(?:\[.*\])?==(\S+)", lock, re.MULTILINE)
    assert found, package
    return found[1]


def _of_node(package: str, folder: str = "node") -> str:
    lock = json.loads((APPS / folder / "package-lock.json").read_text(encoding="utf-8"))
    return str(lock["packages"][f"node_modules/{package}"]["version"])


def _of_next(package: str) -> str:
    return f"{_of_node(package, 'next')}, Next {_of_node('next', 'next').partition('.')[0]}"


_VERSIONS = {
    ".go": _of_go,
    ".jar": _of_java,
    ".py": _of_python,
    ".mjs": _of_node,
    "next": _of_next,
    "apache": lambda package: "Debian's",
}

LIBRARIES = (
    Library("authlib", "Authlib", "authlib_portal.py", logout="/logout", refreshes=REFRESH),
    Library(
        "mozilla-django-oidc",
        "mozilla-django-oidc",
        "mozilla_django_oidc_portal.py",
        callback="/oidc/callback/",
        login="/oidc/authenticate/",
        logout="/oidc/logout/",
        refreshes=RENEWAL,
        says_sub=False,
    ),
    Library(
        "django-allauth",
        "django-allauth",
        "django_allauth_portal.py",
        callback="/accounts/oidc/authsvc/login/callback/",
        login="/accounts/oidc/authsvc/login/",
    ),
    Library(
        "social-auth-core",
        "social-auth-core",
        "social_auth_portal.py",
        callback="/complete/oidc/",
        refreshes=REFRESH,
    ),
    Library("next-auth", "next-auth", "next", callback="/api/auth/callback/authsvc", login="/api/auth/signin"),
    Library("authjs", "@auth/core", "authjs.mjs", callback="/auth/callback/authsvc", login="/auth/signin"),
    Library(
        "express-openid-connect",
        "express-openid-connect",
        "express-openid-connect.mjs",
        logout="/logout",
        refreshes=REFRESH,
        hears="/backchannel-logout",
    ),
    Library("passport-openidconnect", "passport-openidconnect", "passport-openidconnect.mjs", logout="/logout"),
    Library("oauth4webapi", "oauth4webapi", "oauth4webapi.mjs", logout="/logout", refreshes=REFRESH),
    Library("flask-oidc", "Flask-OIDC", "flask_oidc_portal.py", callback="/authorize", login="/me", refreshes=REFRESH),
    Library(
        "flask-pyoidc",
        "Flask-pyoidc",
        "flask_pyoidc_portal.py",
        login="/me",
        logout="/logout",
        signed_out="/logout",
        refreshes=REFRESH,
    ),
    Library("go-oidc", "github.com/coreos/go-oidc/v3", "go-oidc.go", logout="/logout", refreshes=REFRESH, guards=True),
    Library("zitadel-oidc", "github.com/zitadel/oidc/v3", "zitadel.go", logout="/logout", refreshes=REFRESH),
    Library(
        "spring-security",
        "spring-boot",
        "portal.jar",
        callback="/login/oauth2/code/authsvc",
        login="/oauth2/authorization/authsvc",
        logout="/logout",
        refreshes=REFRESH,
        hears="/logout/connect/back-channel/authsvc",
        guards=True,
    ),
)

ELSEWHERE = (
    Library("openid-client", "openid-client", "openid-client.mjs", logout="/", refreshes=REFRESH),
    Library("mod_auth_openidc", "mod_auth_openidc", "apache", logout="/", refreshes=REFRESH, hears="/"),
    Library(
        "oauth2-proxy", "github.com/oauth2-proxy/oauth2-proxy/v7", "oauth2-proxy.go", logout="/", refreshes=REFRESH
    ),
)
"""Those with tests of their own, which do more: test_openid_client.py, test_mod_auth_openidc.py,
test_oauth2_proxy.py."""
