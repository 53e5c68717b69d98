"""Keys, metadata and PEM files: public, cacheable, and there when the store is not."""

from __future__ import annotations

from typing import Any

import jwt
import pytest
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata
from authlib.oidc.discovery import OpenIDProviderMetadata
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_public_key,
)

from tests.web.conftest import Web, slug

JWKS = "/.well-known/jwks.json"
METADATA = "/.well-known/oauth-authorization-server"
OPENID = "/.well-known/openid-configuration"


def test_the_key_set_is_a_public_cacheable_document(shared: Web) -> None:
    answer = shared.bare("GET", JWKS)
    assert answer.content_type == "application/jwk-set+json"
    assert answer.headers["Cache-Control"] == "public, max-age=300"
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    for key in answer.json["keys"]:
        assert set(key) == {"kty", "crv", "x", "y", "use", "alg", "kid"}


@pytest.mark.parametrize("path", [JWKS, METADATA, OPENID])
def test_who_has_this_version_is_told_so(shared: Web, path: str) -> None:
    etag = shared.bare("GET", path).headers["ETag"]
    assert etag.startswith('"')
    for said in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        answer = shared.bare("GET", path, headers={"If-None-Match": said})
        assert (answer.status_code, answer.data) == (304, b"")
        assert (answer.headers["ETag"], "max-age" in answer.headers["Cache-Control"]) == (etag, True)
        assert "Content-Length" not in answer.headers
    assert shared.bare("GET", path, headers={"If-None-Match": '"other"'}).status_code == 200


@pytest.mark.parametrize("path", [JWKS, METADATA, OPENID])
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
    assert said["grant_types_supported"] == ["authorization_code", "refresh_token"]
    assert (said["response_types_supported"], said["response_modes_supported"]) == (["code"], ["query"])
    assert said["code_challenge_methods_supported"] == ["S256"]
    assert said["authorization_response_iss_parameter_supported"] is True
    assert said["acr_values_supported"] == ["instant", "extra"]
    assert said["ui_locales_supported"] == ["en", "es"]
    assert said["authorization_details_types_supported"] == ["invoice", "agreement"]
    assert said["scopes_supported"][0] == "openid"
    assert {"invoices:view", "invoice:pay"} <= set(said["scopes_supported"])
    assert [name for name, value in said.items() if value in ([], "", None)] == [], "no empty arrays"


def test_what_is_not_there_is_said_not_to_be_or_not_said(shared: Web) -> None:
    said = shared.bare("GET", OPENID).json
    for name in ("claims_parameter_supported", "request_parameter_supported", "request_uri_parameter_supported"):
        assert said[name] is False
    assert not [name for name in said if name.startswith(("frontchannel", "check_session", "registration"))]


def test_authentication_is_told_as_it_is(shared: Web) -> None:
    said = shared.bare("GET", OPENID).json
    confidential = ["client_secret_basic", "client_secret_post", "private_key_jwt"]
    every = [*confidential, "none"]
    for endpoint, methods in {"token": every, "revocation": every, "introspection": confidential}.items():
        assert said[f"{endpoint}_endpoint_auth_methods_supported"] == methods
        algs = said[f"{endpoint}_endpoint_auth_signing_alg_values_supported"]
        assert algs == ["ES256", "RS256", "PS256", "EdDSA"]


def test_openid_connect_and_oauth_are_told_the_same(shared: Web) -> None:
    assert shared.bare("GET", OPENID).data == shared.bare("GET", METADATA).data
    assert shared.bare("GET", OPENID).headers["Access-Control-Allow-Origin"] == "*"
    assert shared.bare("GET", OPENID).headers["Cache-Control"] == "public, max-age=3600"


def test_with_rs256_an_independent_reader_finds_the_openid_document_whole(build: Any) -> None:
    web = build(public_url="https://auth.example.org", signing_alg="RS256")
    said = web.bare("GET", OPENID).json
    assert said["id_token_signing_alg_values_supported"] == ["RS256", "ES256"]
    OpenIDProviderMetadata(said).validate()
    AuthorizationServerMetadata(said).validate()


def test_with_es256_it_offers_rs256_by_registration_as_discovery_demands(build: Any) -> None:
    """Discovery §3 demands RS256 of everybody; we sign ES256 unless a client is registered otherwise."""
    web = build(public_url="https://auth.example.org")
    said = web.bare("GET", OPENID).json
    assert said["id_token_signing_alg_values_supported"] == ["ES256", "RS256"]
    OpenIDProviderMetadata(said).validate()
    AuthorizationServerMetadata(said).validate()


def test_the_algorithms_of_id_tokens_are_also_those_of_the_keys_there_are(build: Any) -> None:
    web = build()
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    web.service.signing_keys.import_pem(pem, "cli:test")
    assert web.bare("GET", OPENID).json["id_token_signing_alg_values_supported"] == ["ES256", "RS256", "EdDSA"]


def test_every_address_in_the_metadata_answers(shared: Web) -> None:
    """Each in its own way, to a call that brings nothing: none of them is merely an unknown path."""
    said = shared.bare("GET", METADATA).json
    answered = {}
    for name, url in said.items():
        if name.endswith(("_uri", "_documentation", "_endpoint")):
            answer = shared.bare("POST" if "Basic" in EXPECTED[name] else "GET", url.removeprefix(said["issuer"]))
            kind = answer.headers.get("WWW-Authenticate", answer.mimetype).partition(" ")[0]
            answered[name] = f"{answer.status_code} {kind}"
    assert answered == EXPECTED


EXPECTED = {
    "jwks_uri": "200 application/jwk-set+json",
    "service_documentation": "200 text/html",
    "authorization_endpoint": "400 text/html",
    "end_session_endpoint": "200 text/html",
    "userinfo_endpoint": "401 Bearer",
    "token_endpoint": "401 Basic",
    "pushed_authorization_request_endpoint": "401 Basic",
    "revocation_endpoint": "401 Basic",
    "introspection_endpoint": "401 Basic",
}


def test_an_issuer_with_a_path_has_its_metadata_before_the_path_and_openids_behind_it(build: Any) -> None:
    web = build(public_url="https://example.org/auth")
    said = [web.bare("GET", path).json for path in (METADATA + "/auth", "/auth" + OPENID, OPENID + "/auth", OPENID)]
    assert all(one == said[0] for one in said)
    assert said[0]["issuer"] == "https://example.org/auth"
    assert said[0]["jwks_uri"] == "https://example.org/auth/.well-known/jwks.json"
    assert said[0]["authorization_endpoint"] == "https://example.org/auth/oauth2/authorize"


def test_keys_metadata_and_pem_are_served_without_the_store(web: Web) -> None:
    kid = web.bare("GET", JWKS).json["keys"][0]["kid"]
    web.stop_the_store()
    for path in (JWKS, METADATA, OPENID, f"/keys/{kid}.pem", "/livez", "/problems/"):
        assert web.bare("GET", path).status_code == 200, path
    ready = web.bare("GET", "/readyz")
    assert (ready.status_code, slug(ready)) == (503, "unavailable")


def test_without_any_keys_yet_the_set_is_503_and_never_empty(web: Web) -> None:
    web.stop_the_store()
    fresh = type(web).__new__(type(web))
    fresh.__dict__.update(web.__dict__)
    keyless(fresh)
    assert fresh.bare("GET", OPENID).json["id_token_signing_alg_values_supported"] == ["ES256", "RS256"]
    answer = fresh.bare("GET", JWKS)
    assert (answer.status_code, slug(answer)) == (503, "unavailable")
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Retry-After"]
    assert fresh.bare("GET", "/livez").status_code == 200
    assert fresh.bare("GET", "/readyz").status_code == 503


def keyless(web: Web) -> None:
    """The same store, away, seen by a process that has just been started."""
    from authsvc import wiring
    from authsvc.web.app import create_app

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
