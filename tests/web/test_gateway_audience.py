"""forward-auth compares for whom a token is: the default audience, or the one that the gateway names."""

from __future__ import annotations

from typing import Any

import pytest

from tests.web.conftest import Web, slug


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("practice=maple", 200),
        ("practice=maple&audience=practice-services", 200),
        ("practice=maple&audience=billing-api", 401),
        ("practice=maple&audience=PRACTICE-SERVICES", 401),
        ("practice=maple&audience=", 403),
        ("practice=maple&audience=practice-services&audience=billing-api", 403),
    ],
)
def test_the_audience_is_the_default_one_unless_another_is_named(web: Web, query: str, status: int) -> None:
    token = web.sign_in()["access_token"]
    answer = web.bare("GET", f"/v1/forward-auth?{query}", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == status
    if status == 401:
        assert slug(answer) == "invalid-token"


def test_the_description_names_the_audience(one_service: Web) -> None:
    document: Any = one_service.admin.get("/openapi.json").json
    said = document["paths"]["/v1/forward-auth"]["get"]["parameters"]
    assert "audience" in {parameter["name"] for parameter in said if parameter["in"] == "query"}
