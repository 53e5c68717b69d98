"""The description for people and programs, on the admin address: `/openapi.json`, and `/docs` by Swagger UI.

Swagger UI's files come from the package that carries them, so from our own origin, and run under a policy that allows
nothing else. Without that package there is no `/docs`.
"""

from __future__ import annotations

from importlib import resources
from importlib.util import find_spec

from flask import Blueprint, Response, current_app
from flask.typing import ResponseReturnValue

from authsvc.errors import NotFound
from authsvc.web.api import openapi
from authsvc.web.context import current_service

PACKAGE = "flask_swagger_ui"
ASSETS = {
    "swagger-ui.css": "text/css; charset=utf-8",
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "favicon-32x32.png": "image/png",
}
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_PAGE = b"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>authsvc HTTP API</title>
<link rel="icon" href="docs/favicon-32x32.png">
<link rel="stylesheet" href="docs/swagger-ui.css">
</head>
<body>
<div id="api"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""

_START = b"""SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#api",
  deepLinking: true,
  supportedSubmitMethods: [],
  validatorUrl: null
});
"""


blueprint = Blueprint("docs", __name__)


@blueprint.get("/openapi.json")
def openapi_json() -> ResponseReturnValue:
    service = current_service()
    return openapi.document(service.settings.public_url, service.catalogue)


@blueprint.get("/docs")
def page() -> Response:
    return _send(_PAGE, "text/html; charset=utf-8")


@blueprint.get("/docs/<name>")
def asset(name: str) -> Response:
    if name == "start.js":
        return _send(_START, "text/javascript; charset=utf-8")
    if name not in ASSETS or find_spec(PACKAGE) is None:
        raise NotFound
    return _send((resources.files(PACKAGE) / "dist" / name).read_bytes(), ASSETS[name])


def _send(body: bytes, content_type: str) -> Response:
    """Raises NotFound where the package isn't installed."""
    if find_spec(PACKAGE) is None:
        raise NotFound
    return current_app.response_class(body, headers=[("Content-Type", content_type), ("Content-Security-Policy", CSP)])
