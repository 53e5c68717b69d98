"""What a client library needs of its registration: `clients add --for NAME`.

The options are those of `clients add`, and what is typed beside `--for` wins. `settings` is what has to be said in the
library, beyond issuer, client id and secret: Markdown, as docs/howto/plug-in-a-portal.md shows it. The tests run every
library as it is registered here, and `docs/reference/generate_libraries.py` writes that table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Library:
    """`options` by the names of the use cases (`ClientChanges`)."""

    title: str
    options: Mapping[str, Any] = field(default_factory=dict)
    settings: str = ""

    @property
    def written(self) -> tuple[str, ...]:
        """Its options as one would type them."""
        words: list[str] = []
        for name, value in self.options.items():
            for one in value if isinstance(value, tuple) else (value,):
                words.append(f"--{name.replace('_', '-')} {one}")
        return tuple(words)


EMAIL = ("email",)

LIBRARIES: Mapping[str, Library] = {
    "authlib": Library("Authlib (Python)", settings='`code_challenge_method="S256"` in `client_kwargs`'),
    "authjs": Library(
        "Auth.js, NextAuth.js 5 (Node)",
        {"claims": EMAIL},
        '`type: "oidc"`, `checks: ["pkce", "state", "nonce"]`; `idToken: false` for the address',
    ),
    "django-allauth": Library(
        "django-allauth (Python)", {"auth": "post", "claims": EMAIL}, "`OAUTH_PKCE_ENABLED: True` for the provider"
    ),
    "express-openid-connect": Library(
        "express-openid-connect (Node)",
        {"id_token_alg": "RS256", "claims": EMAIL},
        '`authorizationParams: { response_type: "code" }`, `idpLogout: true`',
    ),
    "flask-oidc": Library("Flask-OIDC (Python)", {"pkce": "optional", "auth": "post"}),
    "flask-pyoidc": Library("Flask-pyoidc (Python)", {"pkce": "optional"}),
    "mozilla-django-oidc": Library(
        "mozilla-django-oidc (Python)",
        {"auth": "post", "id_token_alg": "RS256", "claims": EMAIL},
        '`OIDC_USE_PKCE = True`, `OIDC_RP_SIGN_ALGO = "RS256"`, the four addresses',
    ),
    "go-oidc": Library("coreos/go-oidc (Go)", settings="`oauth2.S256ChallengeOption`, `oauth2.VerifierOption`"),
    "mod_auth_openidc": Library("mod_auth_openidc (Apache)", settings="[a recipe](gateways.md)"),
    "oauth4webapi": Library("oauth4webapi (Node and others)"),
    "next-auth": Library(
        "NextAuth.js 4 (Next.js)",
        {"id_token_alg": "RS256", "claims": EMAIL},
        '`type: "oauth"`, `wellKnown` with the address of the metadata, `checks: ["pkce", "state", "nonce"]`; '
        "`userinfo: { request: ({ client, tokens }) => client.userinfo(tokens) }` for the address",
    ),
    "oauth2-proxy": Library(
        "oauth2-proxy (Go)",
        settings='`provider = "oidc"`, `code_challenge_method = "S256"`, `oidc_email_claim = "sub"`, '
        '`email_domains = ["*"]`; [a recipe](gateways.md#or-let-oauth2-proxy)',
    ),
    "openid-client": Library("openid-client (Node)"),
    "passport-openidconnect": Library(
        "passport-openidconnect (Node)",
        {"pkce": "optional", "auth": "post", "claims": EMAIL},
        "the issuer and the three addresses",
    ),
    "social-auth-core": Library(
        "social-auth-core (Python)",
        {"auth": "post", "id_token_alg": "RS256", "claims": EMAIL},
        '`SOCIAL_AUTH_OIDC_USE_PKCE = True`, `SOCIAL_AUTH_OIDC_TOKEN_ENDPOINT_AUTH_METHOD = "client_secret_post"`',
    ),
    "spring-security": Library(
        "Spring Security (Java)",
        {"id_token_alg": "RS256", "claims": EMAIL},
        "before version 7 PKCE has to be switched on; for APIs [two lines](verify-tokens.md#java-spring-security)",
    ),
    "zitadel-oidc": Library(
        "zitadel/oidc (Go)",
        {"auth": "post", "id_token_alg": "RS256", "claims": EMAIL},
        "`rp.WithPKCE(cookies)`, `rp.WithAuthStyle(oauth2.AuthStyleInParams)`",
    ),
}
"""By the name that `--for` takes: what the registry calls the package."""
