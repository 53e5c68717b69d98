"""What an admin would do by hand before patients come: a practice, a client for its services, patients.

Everything goes the public way: the command line for the first two, the HTTP API for patients. A store that was given to
the demo may hold an earlier demo's practice; then it is brought up to date and the client gets a new secret.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from authsvc.demo.processes import DemoFailed
from authsvc.demo.sample import oidc
from authsvc.demo.sample.api import Authsvc
from authsvc.demo.sample.clinic import Settings
from authsvc.demo.sample.records import Records

PERMISSIONS = ("links:issue", "links:revoke", "patients:read", "patients:write")
"""What the sample calls besides signing patients in, and no more."""

BY_HAND = (
    *PERMISSIONS,
    *("codes:issue", "codes:verify", "links:exchange", "sessions:revoke", "tokens:introspect"),
)
"""What somebody at a second terminal may try: the whole API but for codes in its answers."""

COLOUR = "#0b5a49"  # as in maple.css
LOGO = Path(__file__).with_name("sample") / "static" / "logo.png"
TIMEOUT_S = 60  # a slow machine's first start of Python, several times over


def practice_and_client(environ: Mapping[str, str], authsvc_url: str, site_url: str) -> Settings:
    """Register the practice and its portal; what the sample needs to know. Raises DemoFailed."""
    defaults = Settings(url=site_url, authsvc_url=authsvc_url, practice="maple", client_id="portal", client_secret="")
    about = ["--name", defaults.name, "--phone", defaults.phone, "--support-email", "help@maple.example"]
    about += ["--colour", COLOUR, "--portal-url", site_url + "/sign-in", "--link-url", ""]
    _cli(environ, "practices", "add", defaults.practice, "--name", defaults.name)
    _cli_or_fail(environ, "practices", "set", defaults.practice, *about, "--logo", str(LOGO))
    made = _client(environ, defaults.practice, defaults.client_id, PERMISSIONS, relying(site_url))
    return Settings(
        url=site_url,
        authsvc_url=authsvc_url,
        practice=defaults.practice,
        client_id=defaults.client_id,
        client_secret=str(made["client_secret"]),
    )


def by_hand(environ: Mapping[str, str], practice: str) -> str:
    """A client for the second terminal, as curl takes it: `id:secret`. Raises DemoFailed."""
    made = _client(environ, practice, "terminal", BY_HAND)
    return f"{made['client_id']}:{made['client_secret']}"


def relying(site_url: str) -> list[str]:
    """How the sample registers as a client that patients sign in for (OpenID Connect)."""
    return [
        *("--redirect-uri", site_url + oidc.REDIRECT_PATH),
        *("--post-logout-uri", site_url + oidc.POST_LOGOUT_PATH),
        *("--initiate-login-uri", site_url + "/open"),
        *("--backchannel-logout-uri", site_url + "/backchannel-logout"),
    ]


def patients(settings: Settings, records: Records) -> None:
    """Tell authsvc who may sign in."""
    authsvc = Authsvc(settings.authsvc_url, settings.practice, settings.client_id, settings.client_secret)
    for person in records.people.values():
        authsvc.put_patient(person.id, person.email, person.name, portal_access=True)


def _client(
    environ: Mapping[str, str], practice: str, client_id: str, permissions: Sequence[str], addresses: Sequence[str] = ()
) -> dict[str, Any]:
    """Add the client, or bring an earlier demo's up to date; its id and new secret."""
    allowed = [word for permission in permissions for word in ("--allow", permission)]
    made = _cli(environ, "clients", "add", client_id, "--practice", practice, *allowed, *addresses)
    if made is None:
        if addresses:
            _cli_or_fail(environ, "clients", "set", client_id, *addresses)
        made = _cli_or_fail(environ, "clients", "rotate-secret", client_id)
    return made


def _cli(environ: Mapping[str, str], *words: str) -> dict[str, Any] | None:
    """One command's answer; None if the thing exists already. Raises DemoFailed."""
    done = subprocess.run(
        [sys.executable, "-m", "authsvc", *words, "--json"],
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    if done.returncode == 0:
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer
    if done.stdout and json.loads(done.stdout)["error"]["code"] == "exists":
        return None
    raise DemoFailed(f"authsvc {' '.join(words[:3])} failed: {done.stderr.strip() or done.stdout.strip()}")


def _cli_or_fail(environ: Mapping[str, str], *words: str) -> dict[str, Any]:
    answer = _cli(environ, *words)
    if answer is None:
        raise DemoFailed(f"authsvc {' '.join(words[:3])} says that it exists already")
    return answer
