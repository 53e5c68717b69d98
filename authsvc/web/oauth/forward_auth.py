"""forward-auth: a gateway asks, before each request, whether a patient's token may pass.

Gateways understand little: nginx turns whatever isn't 2xx, 401 or 403 into a 500, Caddy 2.6 writes the name of a header
that is missing into the request. So the answer is 200, 401, 403 or 503 and nothing else, and all eight headers are
always there. The token is judged first and only then what the gateway asked for. Method, body, cookies and every
forwarded header are ignored: nothing is decided from what a client can say. One exception: a DPoP proof (RFC 9449) is
for one method and address, which a trusted gateway says in X-Forwarded-Method, -Proto, -Host and -Uri.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from authsvc.errors import TokenInsufficient
from authsvc.flows.forward_auth import ACR_ORDER
from authsvc.text import CONTROL
from authsvc.web import parsing
from authsvc.web.client_ip import ClientIpResolver
from authsvc.web.endpoint import Operation, Success
from authsvc.web.middleware import REQUEST_INFO, Environ, FastPath, Reply
from authsvc.web.oauth.presented_token import forwarded_request, presented_token

if TYPE_CHECKING:
    from authsvc.wiring import Service

PATH = "/v1/forward-auth"
PARAMETERS = ("practice", "scope", "resource", "acr", "audience")
MAX_QUERY = 2048

HEADERS = (
    ("X-Auth-Subject", "sub"),
    ("X-Auth-Practice", "practice"),
    ("X-Auth-Patient", "patient"),
    ("X-Auth-Scope", "scope"),
    ("X-Auth-Acr", "acr"),
    ("X-Auth-Session", "sid"),
    ("X-Auth-Resource", "resource"),
    ("X-Auth-Actor", "act"),
)


def forward_auth(service: Service) -> FastPath:
    """The answer to gateways. It raises TokenMissing and TokenInvalid (401), TokenInsufficient (403; for `acr` 401),
    Unavailable."""
    gateway, resolver = service.forward_auth, ClientIpResolver(service.settings.trusted_proxies)

    def answer(environ: Environ) -> Reply:
        token, proof = presented_token(environ, lambda: forwarded_request(environ, resolver))
        wanted = requirements(environ.get("QUERY_STRING", ""))
        if wanted is None:
            # Named wrongly: the token is judged all the same, since 401 comes before 403.
            gateway.authorise(token, None, None, None, None, proof=proof)
            raise TokenInsufficient("practice")
        claims = gateway.authorise(token, *wanted, proof=proof)
        environ[REQUEST_INFO].practice = claims["practice"]
        values = {**claims, "act": claims.actor}
        return Reply(200, [(name, str(values.get(claim, ""))) for name, claim in HEADERS])

    return answer


@functools.lru_cache(maxsize=512)
def requirements(query: str) -> tuple[str, str | None, str | None, str | None, str | None] | None:
    """What the gateway asks for: practice, scope, resource, acr, audience. None when it can't be meant as it stands.

    A gateway's query strings are few and constant, so each is read once. An empty value is refused: a template that
    lost its variable would otherwise ask for nothing.
    """
    values: dict[str, str] = {}
    if len(query) > MAX_QUERY:
        return None
    try:
        pairs = parsing.parse_pairs(query)
    except ValueError:
        return None
    for name, value in pairs:
        if name not in PARAMETERS or name in values or not value.strip() or CONTROL.search(value):
            return None
        values[name] = value
    if "practice" not in values:
        return None
    scope, resource, acr, audience = (values.get(name) for name in PARAMETERS[1:])
    if acr is not None and acr not in ACR_ORDER:
        return None  # no sign-in ever reaches it: a 401 would send the patient round and round
    return values["practice"], scope, resource, acr, audience


OPERATIONS = tuple(
    Operation(
        operation_id,
        summary,
        (Success(200, "The token may pass. What it says is in the X-Auth headers, perhaps empty."),),
        method=method,
        path=PATH,
        tag="gateways",
        security="patient",
        problems=("missing-token", "invalid-token", "insufficient-token", "unavailable"),
        detail=detail,
    )
    for operation_id, method, summary, detail in (
        (
            "forwardAuth",
            "GET",
            "Ask whether a patient's token may pass",
            "Any method is judged the same way; the method, body and headers of the original request are ignored.",
        ),
        ("forwardAuthPost", "POST", "The same, for gateways that keep the method", ""),
    )
)
