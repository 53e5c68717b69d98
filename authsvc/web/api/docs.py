"""The description for people and programs, on the admin address: `/openapi.json`, and `/docs` by Swagger UI.

Swagger UI's files come from the package that carries them, so from our own origin, and run under a policy that allows
nothing else. Without that package there is no `/docs`.
"""

from __future__ import annotations

import functools
from importlib import resources
from importlib.util import find_spec
from typing import TYPE_CHECKING

from authsvc.web.api import openapi
from authsvc.web.endpoint import Environ, Reply, json_reply
from authsvc.web.middleware import FastPath
from authsvc.web.oauth.discovery import readable

if TYPE_CHECKING:
    from authsvc.config.workflows import Catalogue

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


class DocsPage:
    def __init__(self, public_url: str, catalogue: Catalogue) -> None:
        self._public_url = public_url
        self._catalogue = catalogue

    @functools.cached_property
    def _document(self) -> Reply:
        return json_reply(200, openapi.document(self._public_url, self._catalogue))

    def openapi(self, environ: Environ) -> Reply:
        readable(environ)
        return self._document

    def routes(self) -> dict[str, FastPath]:
        found: dict[str, FastPath] = {"/openapi.json": self.openapi}
        if find_spec(PACKAGE) is not None:
            found["/docs"] = _file(_PAGE, "text/html; charset=utf-8")
            found["/docs/start.js"] = _file(_START, "text/javascript; charset=utf-8")
            for name, content_type in ASSETS.items():
                found[f"/docs/{name}"] = _file((resources.files(PACKAGE) / "dist" / name).read_bytes(), content_type)
        return found


def _file(body: bytes, content_type: str) -> FastPath:
    def send(environ: Environ) -> Reply:
        readable(environ)
        return Reply(200, [("Content-Type", content_type), ("Content-Security-Policy", CSP)], body)

    return send
