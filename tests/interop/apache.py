"""Apache with mod_auth_openidc as a relying party: the recipe `config/gateways/apache/sign_in.conf`, run as printed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.delivery.mail_hosts import Authority
from tests.gateways.recipes import APACHE_MODULES, WHERE, apache, put
from tests.journeys.programs import Program, reachable, until

RECIPE = "apache/sign_in.conf"
CLIENT = "maple-portal"  # as the recipe calls it


class SignInApache:
    """A running Apache under `url`; `hasty`: it refreshes the access token at every request."""

    def __init__(
        self,
        folder: Path,
        *,
        port: int,
        issuer: str,
        secret: str,
        service_port: int,
        authority: Authority,
        hasty: bool = False,
    ) -> None:
        self.url, self.issuer, self.secret = f"https://localhost:{port}", issuer, secret
        folder.mkdir()
        key = shutil.copy(authority.chain, folder / "portal.pem")
        texts = {
            "https://portal.example.org": self.url,
            "portal.example.org": "localhost",
            "https://auth.example.org": issuer,
            "/etc/ssl/certs/portal.pem": str(key),
            "/etc/ssl/private/portal.key": str(key),
            "/etc/ssl/certs/ca-certificates.crt": str(authority.ca),
            "the-secret-that-clients-add-has-shown": secret,
        }
        if hasty:
            texts["BeforeExpiry 60"] = "BeforeExpiry 700"
            texts['OIDCScope "openid '] = 'OIDCScope "openid profile email offline_access '
        recipe = put(RECIPE, folder, {"8080": service_port, "8090": port}, texts)
        command = apache(folder, recipe, "authz_user", "ssl", "socache_shmcb", "auth_openidc")
        environ = {name: value for name, value in os.environ.items() if not name.startswith("AUTHSVC_")}
        self.program = Program("apache", command, {**environ, "PATH": WHERE}, folder)
        until(lambda: reachable(f"http://localhost:{port}/") or not self.program.runs, why=self.program.said)
        assert self.program.runs, self.program.said()

    def stop(self) -> None:
        self.program.discard()


def require_apache() -> None:
    """Skips loudly where it is missing."""
    if not (shutil.which("apache2", path=WHERE) and (APACHE_MODULES / "mod_auth_openidc.so").is_file()):
        pytest.skip("NO APACHE WITH mod_auth_openidc HERE (apt-get install apache2 libapache2-mod-auth-openidc)")
