"""oauth2-proxy as a relying party: by the recipe `config/gateways/oauth2-proxy/sign_in.cfg`, run as printed, or by the
fewest options that it starts with."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from tests.gateways.recipes import put
from tests.harness.https_deployment import HttpsDeployment
from tests.harness.machine import require
from tests.harness.processes import Process, free_port, reachable, until

RECIPE = "oauth2-proxy/sign_in.cfg"
BINARY = "interop/portals/oauth2-proxy"
COOKIE_SECRET = "32 characters, for this process."

HASTY = {'cookie_refresh = "5m"': 'cookie_refresh = "1ms"'}
"""It refreshes at every request, at the earliest in the next second: it counts in whole ones."""


class OAuth2Proxy:
    """A running oauth2-proxy under `url`, registered as the recipe's head says. `words` are further ones of `clients
    add`; `texts` are put in place of the recipe's, and without them it gets no recipe at all."""

    def __init__(
        self,
        deployment: HttpsDeployment,
        client: str,
        service_port: int,
        *words: str,
        texts: Mapping[str, str] | None = None,
    ) -> None:
        binary, self._port = require(BINARY), free_port()
        self.url, self.issuer = f"https://localhost:{self._port}", deployment.issuer
        words = ("--post-logout-uri", f"{self.url}/bye", "--for", "oauth2-proxy", *words)
        self._secret = deployment.add_relying_party(client, f"{self.url}/oauth2/callback", *words)["client_secret"]
        self._folder = deployment.folder / f"{client}-{self._port}"
        self._folder.mkdir()
        self._key = shutil.copy(deployment.front.authority.chain, self._folder / "portal.pem")
        if texts is None:
            options = self._fewest_options(client, service_port)
        else:
            options = [f"--config={self._recipe(client, service_port, texts)}"]
        environ = {name: text for name, text in os.environ.items() if not name.startswith(("AUTHSVC_", "OAUTH2_"))}
        environ["SSL_CERT_FILE"] = str(deployment.front.ca)
        self.program = Process(client, [binary, *options], environ, self._folder)
        try:
            until(lambda: reachable(f"http://localhost:{self._port}/") or not self.program.runs, why=self.log)
            assert self.program.runs, self.log()
        except BaseException:
            self.stop()
            raise

    @property
    def sign_out(self) -> str:
        """The address of the link that the recipe shows."""
        recipe = (self._folder / Path(RECIPE).name).read_text(encoding="utf-8")
        (link,) = (line for line in recipe.splitlines() if line.startswith("# /oauth2/sign_out?"))
        return self.url + link.removeprefix("# ")

    def log(self) -> str:
        return self.program.log.read_text()

    def stop(self) -> None:
        self.program.discard()

    def _recipe(self, client: str, service_port: int, texts: Mapping[str, str]) -> Path:
        issuer, here = (quote(url, safe="") for url in (self.issuer, self.url))
        replaced = {
            quote("https://auth.example.org", safe=""): issuer,
            quote(quote("https://portal.example.org", safe="")): quote(here),
            "https://portal.example.org": self.url,
            "https://auth.example.org": self.issuer,
            '"auth.example.org"': f'"{self.issuer.removeprefix("https://")}"',
            'client_id = "maple-portal"': f'client_id = "{client}"',
            "/etc/ssl/certs/portal.pem": str(self._key),
            "/etc/ssl/private/portal.key": str(self._key),
            "the-secret-that-clients-add-has-shown": self._secret,
            **texts,
        }
        return put(RECIPE, self._folder, {"8080": service_port, "8090": self._port}, replaced)

    def _fewest_options(self, client: str, service_port: int) -> list[str]:
        """Provider, issuer, id, two secrets and whose addresses are welcome; the rest is where it listens."""
        return [
            "--provider=oidc",
            f"--oidc-issuer-url={self.issuer}",
            f"--client-id={client}",
            f"--client-secret={self._secret}",
            f"--cookie-secret={COOKIE_SECRET}",
            "--email-domain=*",
            f"--upstream=http://127.0.0.1:{service_port}",
            "--http-address=",
            f"--https-address=127.0.0.1:{self._port}",
            f"--tls-cert-file={self._key}",
            f"--tls-key-file={self._key}",
        ]
