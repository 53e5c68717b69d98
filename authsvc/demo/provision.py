"""What an admin would do by hand before patients come: a practice, a client for its services, patients.

Everything goes the public way: the command line for the first two, the HTTP API for patients. A store that was given to
the demo may hold an earlier demo's practice; then it is brought up to date and the client gets a new secret.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from authsvc.demo.children import DemoFailed
from authsvc.demo.sample.api import Authsvc
from authsvc.demo.sample.clinic import Settings
from authsvc.demo.sample.state import Records

PERMISSIONS = (
    *("codes:issue", "codes:verify", "links:issue", "links:exchange", "links:revoke"),
    *("patients:read", "patients:write"),
)
WITHIN_S = 60  # a slow machine's first start of Python, several times over


def practice_and_client(environ: Mapping[str, str], authsvc_url: str, site_url: str) -> Settings:
    """Register the practice and its client; what the sample needs to know. Raises DemoFailed."""
    defaults = Settings(url=site_url, authsvc_url=authsvc_url, practice="maple", client_id="sample", client_secret="")
    about = ["--name", defaults.name, "--phone", defaults.phone, "--link-url", site_url + "/go/{token}"]
    about += ["--portal-url", site_url + "/portal"]
    if _cli(environ, "practices", "add", defaults.practice, *about) is None:
        _must(environ, "practices", "set", defaults.practice, *about)
    allowed = [word for permission in PERMISSIONS for word in ("--allow", permission)]
    made = _cli(environ, "clients", "add", defaults.client_id, "--practice", defaults.practice, *allowed)
    made = made or _must(environ, "clients", "rotate-secret", defaults.client_id)
    return Settings(
        url=site_url,
        authsvc_url=authsvc_url,
        practice=defaults.practice,
        client_id=defaults.client_id,
        client_secret=str(made["client_secret"]),
    )


def patients(settings: Settings, records: Records) -> None:
    """Tell authsvc who may sign in."""
    authsvc = Authsvc(settings.authsvc_url, settings.practice, settings.client_id, settings.client_secret)
    for person in records.people.values():
        authsvc.put_patient(person.id, person.email, person.name, portal_access=True)


def _cli(environ: Mapping[str, str], *words: str) -> dict[str, Any] | None:
    """One command's answer; None if the thing exists already. Raises DemoFailed."""
    done = subprocess.run(
        [sys.executable, "-m", "authsvc", *words, "--json"],
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )
    if done.returncode == 0:
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer
    if done.stdout and json.loads(done.stdout)["error"]["code"] == "exists":
        return None
    raise DemoFailed(f"authsvc {' '.join(words[:3])} failed: {done.stderr.strip() or done.stdout.strip()}")


def _must(environ: Mapping[str, str], *words: str) -> dict[str, Any]:
    answer = _cli(environ, *words)
    if answer is None:
        raise DemoFailed(f"authsvc {' '.join(words[:3])} says that it exists already")
    return answer
