"""Whether the service is well: one whole journey for each practice, without a second try, mail included."""

from __future__ import annotations

import secrets
import time

from tests.resilience.deployment import Deployment
from tests.resilience.http_caller import Client, call
from tests.resilience.patience import stretched

WELL_WITHIN_S = 25.0


def await_well(deployment: Deployment, *, mail: bool = True, within_s: float = WELL_WITHIN_S) -> tuple[float, str]:
    """When it was well (monotonic), or the reason why it is not by the end of the time."""
    deadline = time.monotonic() + stretched(within_s)
    waiting: dict[str, str] = {}
    reason = ""
    while time.monotonic() < deadline:
        reason = _not_ready(deployment)
        for client in deployment.clients.values() if not reason else ():
            reason = reason or journey(client)
        if not reason and mail:
            for practice, client in deployment.clients.items():
                if practice not in waiting:
                    waiting[practice] = _mailed(client)
            missing = [email for email in waiting.values() if not deployment.smtp.copies(email)]
            reason = "mail has not arrived" if missing else ""
        if not reason:
            return time.monotonic(), ""
        time.sleep(0.1)
    return deadline, reason


def _not_ready(deployment: Deployment) -> str:
    answer = call("GET", f"{deployment.url}/readyz")
    return "" if answer.status == 200 else f"readyz {answer.seen}"


def journey(client: Client) -> str:
    """Why it did not go through; empty when it did."""
    tag = f"well-{secrets.token_hex(4)}"
    put = client.api("well", "PUT", f"patients/{tag}", email=f"{tag}@example.org", portal_access=True)
    if put.status != 201:
        return f"put {put.seen}"
    started = client.post("well", "codes", patient=tag, delivery="caller")
    if started.status != 202:
        return f"codes {started.seen}"
    challenge, code = started.json["challenge"], started.json["code"]
    verified = client.post("well", "codes/verify", challenge=challenge, code=code)
    if verified.status != 200:
        return f"verify {verified.seen}"
    seen = client.introspect(verified.json["access_token"])
    if seen.status != 200 or not seen.json.get("active"):
        return f"introspect {seen.seen}"
    link = client.post("well", "links", patient=tag, workflow="update-payment-info", max_uses=1)
    if link.status != 201:
        return f"links {link.seen}"
    exchanged = client.post("well", "links/exchange", token=link.json["url"].rpartition("/")[2])
    return "" if exchanged.status == 200 else f"exchange {exchanged.seen}"


def _mailed(client: Client) -> str:
    tag = f"mail-{secrets.token_hex(4)}"
    email = f"{tag}@example.org"
    client.api("well", "PUT", f"patients/{tag}", email=email, portal_access=True)
    client.post("well", "codes", patient=tag)
    return email
