"""Independent readers agree: a token that passes here passes in joserfc and in Authlib's validator for RFC 9068."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from authlib.oauth2.rfc9068 import JWTBearerTokenValidator
from joserfc import jwt
from joserfc.jwk import KeySet

from authsvc.verifier import Verifier
from tests.vectors import generate as kit

if TYPE_CHECKING:
    from tests.verifier.conftest import Clock


class Authlib(JWTBearerTokenValidator):
    """Authlib's resource-server side, with the kit's keys."""

    def get_jwks(self) -> KeySet:
        return KeySet.import_key_set({"keys": [kit.CURRENT.jwk, kit.RS256.jwk]})


@pytest.mark.filterwarnings("ignore:EdDSA is deprecated")  # in favour of RFC 9864's names, which PyJWT lacks
@pytest.mark.parametrize("signer", [kit.CURRENT, kit.RS256, kit.EDDSA], ids=lambda one: str(one.alg))
def test_joserfc_reads_the_same_claims(signer: kit.Signer, verifier: Verifier) -> None:
    token = kit.token(key=signer)
    read = jwt.decode(token, KeySet.import_key_set({"keys": [signer.jwk]}), algorithms=[signer.alg])
    assert read.claims == verifier.verify(token)
    assert read.header["typ"] == "at+jwt"


@pytest.mark.parametrize("signer", [kit.CURRENT, kit.RS256], ids=lambda one: str(one.alg))
def test_authlibs_rfc_9068_validator_accepts_the_same_token(
    signer: kit.Signer, verifier: Verifier, clock: Clock
) -> None:
    clock.now = time.time()  # that validator asks the machine for the time
    now = int(clock.now)
    token = kit.token(kit.SIGN_IN | {"iat": now - 5, "auth_time": now - 9, "exp": now + 600}, key=signer)
    validator = Authlib(issuer=kit.ISSUER, resource_server=kit.AUDIENCE)
    claims = validator.authenticate_token(token)
    validator.validate_token(claims, ["contact:view"], None)
    assert dict(claims) == verifier.verify(token)
