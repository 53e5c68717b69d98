"""django-allauth's provider for OpenID Connect, set up in settings.py."""

from __future__ import annotations

from portal import CLIENT_ID, CLIENT_SECRET, ISSUER, django, serve

app = django(
    "allauth",
    "allauth.account",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
    middleware=("allauth.account.middleware.AccountMiddleware",),
    AUTHENTICATION_BACKENDS=["allauth.account.auth_backends.AuthenticationBackend"],
    SOCIALACCOUNT_LOGIN_ON_GET=True,
    ACCOUNT_EMAIL_VERIFICATION="none",
    SOCIALACCOUNT_PROVIDERS={
        "openid_connect": {
            "OAUTH_PKCE_ENABLED": True,
            "APPS": [
                {
                    "provider_id": "authsvc",
                    "name": "Sign in",
                    "client_id": CLIENT_ID,
                    "secret": CLIENT_SECRET,
                    "settings": {"server_url": ISSUER},
                }
            ],
        }
    },
)

from allauth.socialaccount.models import SocialAccount  # noqa: E402 - what Django has is there once it is set up
from django.http import HttpRequest, JsonResponse  # noqa: E402
from django.urls import include, path  # noqa: E402


def me(request: HttpRequest) -> JsonResponse:
    if not request.user.is_authenticated:
        return JsonResponse({}, status=401)
    account = SocialAccount.objects.get(user=request.user)
    return JsonResponse({"sub": account.uid, "userinfo": account.extra_data["userinfo"]})


urlpatterns = [path("accounts/", include("allauth.urls")), path("me", me)]

if __name__ == "__main__":
    serve(app)
