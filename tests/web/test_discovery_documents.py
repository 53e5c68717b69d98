"""Keys, metadata and PEM files: public, cacheable, and there when the store is not."""

from __future__ import annotations

from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from tests.web.conftest import Web, slug

JWKS = "/.well-known/jwks.json"
METADATA = "/.well-known/oauth-authorization-server"


def test_the_key_set_is_a_public_cacheable_document(shared: Web) -> None:
    answer = shared.bare("GET", JWKS)
    assert answer.content_type == "application/jwk-set+json"
    assert answer.headers["Cache-Control"] == "public, max-age=300"
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    for key in answer.json["keys"]:
        assert set(key) == {"kty", "crv", "x", "y", "use", "alg", "kid"}


@pytest.mark.parametrize("path", [JWKS, METADATA])
def test_who_has_this_version_is_told_so(shared: Web, path: str) -> None:
    etag = shared.bare("GET", path).headers["ETag"]
    assert etag.startswith('"')
    for said in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        answer = shared.bare("GET", path, headers={"If-None-Match": said})
        assert (answer.status_code, answer.data) == (304, b"")
        assert (answer.headers["ETag"], "max-age" in answer.headers["Cache-Control"]) == (etag, True)
        assert "Content-Length" not in answer.headers
    assert shared.bare("GET", path, headers={"If-None-Match": '"other"'}).status_code == 200


@pytest.mark.parametrize("path", [JWKS, METADATA])
def test_head_is_get_without_a_body_and_other_methods_are_refused(shared: Web, path: str) -> None:
    get, head = shared.bare("GET", path), shared.bare("HEAD", path)
    assert (head.status_code, head.data, head.content_length) == (200, b"", get.content_length)
    for method in ("POST", "OPTIONS", "TRACE", "DELETE"):
        answer = shared.bare(method, path)
        assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, HEAD")


def test_every_key_is_also_a_pem_file_under_its_kid(shared: Web) -> None:
    for key in shared.bare("GET", JWKS).json["keys"]:
        answer = shared.bare("GET", f"/keys/{key['kid']}.pem")
        assert answer.content_type == "application/x-pem-file"
        assert "max-age" in answer.headers["Cache-Control"]
        assert load_pem_public_key(answer.data) == jwt.PyJWK(key).key
        etag = {"If-None-Match": answer.headers["ETag"]}
        assert shared.bare("GET", f"/keys/{key['kid']}.pem", headers=etag).status_code == 304


@pytest.mark.parametrize("kid", ["unknown", "a" * 200, "a.b", "..%2f..%2fetc%2fpasswd", "%00", "a'--"])
def test_a_kid_is_looked_up_and_never_a_path(shared: Web, kid: str) -> None:
    assert slug(shared.bare("GET", f"/keys/{kid}.pem")) == "not-found"


def test_the_metadata_says_what_there_is_and_nothing_else(shared: Web) -> None:
    said = shared.bare("GET", METADATA).json
    assert said["issuer"] == "http://127.0.0.1:8080"
    assert said["grant_types_supported"] == ["refresh_token"]
    assert said["acr_values_supported"] == ["instant", "extra"]
    assert said["authorization_details_types_supported"] == ["invoice", "agreement"]
    assert "invoices:view" in said["scopes_supported"]
    assert all(value for value in said.values()), "no empty arrays"
    assert "authorization_endpoint" not in said


def test_every_address_in_the_metadata_answers(shared: Web) -> None:
    said = shared.bare("GET", METADATA).json
    for name, url in said.items():
        if name.endswith(("_uri", "_documentation")):
            assert shared.bare("GET", url.removeprefix(said["issuer"])).status_code == 200, name
        if name.endswith("_endpoint"):
            assert shared.bare("POST", url.removeprefix(said["issuer"])).status_code == 401, name


def test_an_issuer_with_a_path_has_its_metadata_before_the_path(build: Any) -> None:
    web = build(public_url="https://example.org/auth")
    assert web.bare("GET", METADATA + "/auth").json["issuer"] == "https://example.org/auth"
    assert web.bare("GET", METADATA + "/auth").json["jwks_uri"] == "https://example.org/auth/.well-known/jwks.json"


def test_there_is_no_openid_configuration_as_long_as_this_is_no_openid_provider(shared: Web) -> None:
    assert shared.bare("GET", "/.well-known/openid-configuration").status_code == 404


def test_keys_metadata_and_pem_are_served_without_the_store(web: Web) -> None:
    kid = web.bare("GET", JWKS).json["keys"][0]["kid"]
    web.stop_the_store()
    for path in (JWKS, METADATA, f"/keys/{kid}.pem", "/livez", "/problems/"):
        assert web.bare("GET", path).status_code == 200, path
    ready = web.bare("GET", "/readyz")
    assert (ready.status_code, slug(ready)) == (503, "unavailable")


def test_without_any_keys_yet_the_set_is_503_and_never_empty(web: Web) -> None:
    web.stop_the_store()
    fresh = type(web).__new__(type(web))
    fresh.__dict__.update(web.__dict__)
    keyless(fresh)
    answer = fresh.bare("GET", JWKS)
    assert (answer.status_code, slug(answer)) == (503, "unavailable")
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Retry-After"]
    assert fresh.bare("GET", "/livez").status_code == 200
    assert fresh.bare("GET", "/readyz").status_code == 503


def keyless(web: Web) -> None:
    """The same store, away, seen by a process that has just been started."""
    from authsvc import wiring
    from authsvc.app import create_app

    service = wiring.bootstrap(
        web.service.settings, redis_client=web.redis, clock=web.clock, entropy=web.entropy, metrics=wiring.Metrics()
    )
    service.start()
    service.stop()
    web.service, web.public = service, create_app(service).test_client()


def test_probes_say_nothing_of_the_inside(shared: Web) -> None:
    for path in ("/livez", "/readyz"):
        assert shared.bare("GET", path).json == {"status": "ok"}
        assert shared.bare("POST", path).status_code == 405


def test_the_metadata_leads_to_what_a_token_proves_and_what_it_does_not(web: Web) -> None:
    said = web.bare("GET", "/.well-known/oauth-authorization-server").json["service_documentation"]
    page = web.bare("GET", said.removeprefix(web.service.settings.public_url))
    assert (page.status_code, page.mimetype) == (200, "text/html")
    assert "shall not be used for" in page.text
    assert web.bare("POST", "/limits").status_code == 405
