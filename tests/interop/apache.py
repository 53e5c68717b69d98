"""Apache with mod_auth_openidc as a relying party: the recipe `config/gateways/apache/sign_in.conf`, run as printed."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from tests.delivery.mail_hosts import Authority
from tests.gateways.recipes import apache, put
from tests.harness.browsing import Page
from tests.harness.deployment import Client
from tests.harness.https_deployment import PRACTICE, HttpsDeployment, Patient
from tests.harness.machine import SEARCH_PATH
from tests.harness.processes import Process, reachable, until

RECIPE = "apache/sign_in.conf"
CLIENT = "maple-portal"  # as the recipe calls it


class SignInApache:
    """A running Apache under `url`. `hasty`: it refreshes the access token at every request, and asks for scopes that
    mean nothing here, as many clients do."""

    def __init__(
        self,
        folder: Path,
        *,
        port: int,
        issuer: str,
        secret: str,
        service_port: int,
        authority: Authority,
        client: str = CLIENT,
        name: str = "localhost",
        hasty: bool = False,
    ) -> None:
        self.url, self.issuer, self.client, self.secret = f"https://{name}:{port}", issuer, client, secret
        folder.mkdir()
        key = shutil.copy(authority.chain, folder / "portal.pem")
        texts = {
            "https://portal.example.org": self.url,
            "portal.example.org": name,
            f"OIDCClientID {CLIENT}": f"OIDCClientID {client}",
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
        self.program = Process("apache", command, {**environ, "PATH": SEARCH_PATH}, folder)
        try:
            until(lambda: reachable(f"http://localhost:{port}/") or not self.program.runs, why=self.program.output)
            assert self.program.runs, self.program.output()
        except BaseException:
            self.stop()
            raise

    def link(self, deployment: HttpsDeployment, patient: Patient) -> str:
        """An emailed link to an invoice by this very client, to which it goes when it is pressed."""
        issuer = Client(deployment.url, PRACTICE, self.client, self.secret)
        answer = issuer.post("links", workflow="pay-invoice", patient=patient.id, resource="invoice:inv_1")
        assert answer.status == 201, answer
        return str(answer.json["url"])

    def stop(self) -> None:
        self.program.discard()


def heard(answer: str) -> dict[str, str]:
    """What reached the service behind it, by header; a name that came twice shown as such."""
    found: dict[str, str] = {}
    for name, value in json.loads(answer)["headers"]:
        header = name.title().replace("_", "-")
        found[header] = f"{found[header]} AND {value}" if header in found else value
    return found


def shown(page: Page) -> dict[str, str]:
    """The same of the page that a browser got."""
    assert page.status == 200, (page.url, page.status, page.text[:400])
    return heard(page.html)


def register(deployment: HttpsDeployment, client: str, here: str, *also_at: str) -> str:
    """As the recipe's head says; its secret."""
    registered = deployment.add_relying_party(
        client,
        f"{here}/openid",
        *(word for other in also_at for word in ("--redirect-uri", f"{other}/openid")),
        *("--post-logout-uri", f"{here}/bye"),
        *("--initiate-login-uri", f"{here}/openid"),
        *("--backchannel-logout-uri", f"{here}/openid?logout=backchannel"),
        *("--allow", "links:issue"),
    )
    return str(registered["client_secret"])
