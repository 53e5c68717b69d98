"""The catalogue: the packaged one is DESIGN's, and one that would hand a protected scope to a mere link is refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from authsvc.config import workflows
from authsvc.config.units import span_s
from authsvc.config.workflows import Workflow, load
from authsvc.errors import SettingsInvalid

ROOT = Path(__file__).parents[2]
DAY_S = 86_400
PORTAL = '[portal]\nsecurity = "access"\nlink_life = "7 d"\n'


def refused(tmp_path: Path, text: str) -> dict[str, str]:
    path = tmp_path / "workflows.toml"
    path.write_text(text)
    with pytest.raises(SettingsInvalid) as caught:
        load(str(path))
    return {fault.pointer: fault.detail for fault in caught.value.faults}


def test_the_packaged_catalogue_has_the_seven_workflows_and_the_portal() -> None:
    assert load().all() == (
        Workflow("pay-invoice", "instant", "invoice", ("invoice:view", "invoice:pay"), 30 * DAY_S, None),
        Workflow("update-payment-info", "instant", None, ("payment_info:update",), 3 * DAY_S, None),
        Workflow("accept-agreement", "instant", "agreement", ("agreement:view", "agreement:accept"), 14 * DAY_S, None),
        Workflow("view-invoices", "extra", None, ("invoices:view", "statements:generate"), None, None),
        Workflow("edit-contact", "extra", None, ("contact:view", "contact:edit"), None, None),
        Workflow(
            "edit-membership", "extra", None, ("membership:view", "membership:edit", "dependents:add"), None, None
        ),
        Workflow("edit-payment-methods", "extra", None, ("payment_methods:view", "payment_methods:edit"), None, None),
        Workflow("portal", "access", None, (), 7 * DAY_S, 5),
    )


def test_a_code_grants_all_scopes_and_an_instant_link_none_that_a_code_protects() -> None:
    catalogue = load()
    assert not set(catalogue.instant_scopes) & set(catalogue.extra_scopes)
    assert set(catalogue.code_scopes) == set(catalogue.instant_scopes) | set(catalogue.extra_scopes)
    assert " ".join(catalogue.code_scopes).startswith("invoice:view invoice:pay payment_info:update agreement:view")


def test_a_workflow_is_found_by_its_name() -> None:
    found = load().get("portal")
    assert found is not None
    assert found.max_uses == 5
    assert load().get("pay_invoice") is None


def test_the_packaged_catalogue_travels_with_the_package_and_config_shows_the_same() -> None:
    assert (ROOT / "authsvc") in workflows.DEFAULT.parents
    assert (ROOT / "config" / "workflows.toml").read_bytes() == workflows.DEFAULT.read_bytes()


def test_it_loads_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load("").all() == load().all()


def test_a_site_may_have_its_own_catalogue(tmp_path: Path) -> None:
    path = tmp_path / "workflows.toml"
    path.write_text(
        PORTAL + '[see-result]\nsecurity = "instant"\nresource = "result"\nscopes = ["result:view"]\n'
        'link_life = "1 d"\nmax_uses = 3\n[all-results]\nsecurity = "extra"\nscopes = ["results:view"]\n'
        '[more-results]\nsecurity = "extra"\nscopes = ["results:view", "results:order"]\n'
    )
    catalogue = load(str(path))
    assert catalogue.get("see-result") == Workflow("see-result", "instant", "result", ("result:view",), DAY_S, 3)
    assert catalogue.code_scopes == ("result:view", "results:view", "results:order")


def test_attack_an_instant_workflow_cannot_claim_a_scope_that_a_code_protects(tmp_path: Path) -> None:
    text = PORTAL + (
        '[forward-me]\nsecurity = "instant"\nscopes = ["contact:edit", "contact:view"]\nlink_life = "1 d"\n'
        '[edit-contact]\nsecurity = "extra"\nscopes = ["contact:edit"]\n'
    )
    detail = refused(tmp_path, text)["workflows: 'forward-me' scopes"]
    assert "contact:edit by a mere link, but 'edit-contact' asks for a code" in detail


@pytest.mark.parametrize(
    "body, at",
    [
        ('security = "extra"\nscopes = ["a:b"]\nscope = "x"', "scope"),
        ('security = "none"\nscopes = ["a:b"]', "security"),
        ('security = ["extra"]\nscopes = ["a:b"]', "security"),
        ('scopes = ["a:b"]', "security"),
        ('security = "extra"', "scopes"),
        ('security = "extra"\nscopes = []', "scopes"),
        ('security = "extra"\nscopes = "a:b"', "scopes"),
        ('security = "extra"\nscopes = ["a b"]', "scopes"),
        ('security = "extra"\nscopes = ["a:b c:d"]', "scopes"),
        ('security = "extra"\nscopes = [1]', "scopes"),
        ('security = "extra"\nscopes = ["a:b", "a:b"]', "scopes"),
        ('security = "extra"\nscopes = ["a:b"]\nresource = "a"', "resource"),
        ('security = "extra"\nscopes = ["a:b"]\nlink_life = "1 d"', "link_life"),
        ('security = "extra"\nscopes = ["a:b"]\nmax_uses = 1', "max_uses"),
        ('security = "instant"\nscopes = ["a:b"]', "link_life"),
        ('security = "instant"\nscopes = ["a:b"]\nlink_life = "31 d"', "link_life"),
        ('security = "instant"\nscopes = ["a:b"]\nlink_life = "1 s"', "link_life"),
        ('security = "instant"\nscopes = ["a:b"]\nlink_life = "soon"', "link_life"),
        ('security = "instant"\nscopes = ["a:b"]\nlink_life = "1 d"\nmax_uses = 0', "max_uses"),
        ('security = "instant"\nscopes = ["a:b"]\nlink_life = "1 d"\nmax_uses = true', "max_uses"),
        ('security = "instant"\nscopes = ["a:b"]\nlink_life = "1 d"\nmax_uses = "5"', "max_uses"),
        ('security = "instant"\nscopes = ["a:b"]\nlink_life = "1 d"\nresource = "A"', "resource"),
        ('security = "instant"\nscopes = ["a:b"]\nlink_life = "1 d"\nresource = 1', "resource"),
        ('security = "instant"\nscopes = ["bill:view"]\nlink_life = "1 d"\nresource = "invoice"', "scopes"),
        ('security = "access"\nlink_life = "8 d"', "link_life"),
        ('security = "access"\nlink_life = "1 d"\nscopes = ["a:b"]', "scopes"),
        ('security = "access"\nlink_life = "1 d"\nresource = "a"', "resource"),
    ],
)
def test_a_workflow_that_is_not_what_it_says_is_refused(tmp_path: Path, body: str, at: str) -> None:
    assert list(refused(tmp_path, f"{PORTAL}[odd-one]\n{body}\n")) == [f"workflows: 'odd-one' {at}"]


def test_all_faults_of_a_catalogue_are_reported_at_once(tmp_path: Path) -> None:
    faults = refused(tmp_path, 'stray = 1\n["Bad Name"]\nsecurity = "extra"\nscopes = ["a:b"]\nlinklife = "1 d"\n')
    assert set(faults) == {"workflows: 'stray'", "workflows: 'Bad Name'", "workflows: 'Bad Name' linklife", "workflows"}
    assert "did you mean link_life?" in faults["workflows: 'Bad Name' linklife"]
    assert "no access workflow" in faults["workflows"]


def test_a_catalogue_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid, match="AUTHSVC_WORKFLOWS_FILE: the file can't be read"):
        load(str(tmp_path / "absent"))
    assert "not TOML" in refused(tmp_path, "[portal")["AUTHSVC_WORKFLOWS_FILE"]


def test_the_reference_shows_the_packaged_catalogue() -> None:
    page = (ROOT / "docs" / "reference" / "workflows.md").read_text()
    cells = r"^\| `(.+?)` \| (.+?) \| (.+?) \| (.+?) \| (.+?) \| (.+?) \|$"
    rows = {name: rest for name, *rest in re.findall(cells, page, re.MULTILINE)}
    assert list(rows) == [workflow.name for workflow in load().all()]
    for each in load().all():
        security, resource, scopes, life, uses = rows[each.name]
        assert security == each.security
        assert resource == (f"`{each.resource}`" if each.resource else "–")
        assert scopes == (" ".join(f"`{scope}`" for scope in each.scopes) or "–")
        assert (None if life == "–" else span_s(life)) == each.link_life_s
        assert uses == ("–" if each.link_life_s is None else str(each.max_uses or "any"))
