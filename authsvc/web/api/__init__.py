"""The calls of practice services, below `/v1/practices`, a file a noun, and their OpenAPI description."""

from flask import Blueprint

from authsvc.web.api import audit, codes, dependents, email_changes, links, patients, sessions

PREFIX = "/v1/practices/<practice>"

blueprint = Blueprint("api", __name__, url_prefix=PREFIX)
for noun in (codes, links, patients, email_changes, dependents, sessions, audit):
    blueprint.register_blueprint(noun.blueprint)
