"""The documents keep together, and what they say of the code is true of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from authsvc.config import limits
from authsvc.config import load as config
from authsvc.config.settings import Settings
from authsvc.flows import cache, revocations
from authsvc.model import PERMISSIONS
from authsvc.verifier import FEED_EVERY_S, LEEWAY_S
from authsvc.web.api import openapi
from tests.fakes import environ
from tests.harness.machine import tracked_files

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(path.relative_to(DOCS) for path in DOCS.rglob("*.md"))
ADRS = [page for page in PAGES if page.parts[0] == "adr"]
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:|mailto:)([^)\s]*)\)")


def text(page: Path | str) -> str:
    return (DOCS / page).read_text(encoding="utf-8")


def targets(page: Path) -> list[tuple[Path, str]]:
    """Every link of a page to another of ours: (file, anchor)."""
    found = []
    for target in LINK.findall(FENCED.sub("", text(page))):
        name, _, anchor = target.partition("#")
        file = ((DOCS / page).parent / name).resolve() if name else (DOCS / page)
        found.append((file, anchor))
    return found


def anchors(file: Path) -> set[str]:
    """What a reader's browser can jump to: headings, in lower case, spaces as hyphens, other signs left out."""
    headings = re.findall(r"^#+ (.*)$", FENCED.sub("", file.read_text(encoding="utf-8")), re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", re.sub(r"\]\([^)]*\)", "", heading).lower()).replace(" ", "-") for heading in headings
    }


# --- the map -------------------------------------------------------------------------------------------------------


def test_every_page_is_on_the_map() -> None:
    mapped = {file for file, _ in targets(Path("index.md"))}
    assert [str(page) for page in PAGES if page != Path("index.md") and DOCS / page not in mapped] == []


def test_the_map_is_in_the_order_of_learning_doing_looking_up_and_understanding() -> None:
    headings = re.findall(r"^## (.*)$", text("index.md"), re.MULTILINE)
    assert headings == ["Learn", "How to", "Look up", "Understand", "News"]


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_no_link_is_dead(page: Path) -> None:
    for file, anchor in targets(page):
        assert file.exists(), file
        assert not anchor or anchor in anchors(file), f"{file.name}#{anchor}"


def test_the_readme_leads_to_the_map_and_to_the_limits() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "docs/index.md" in readme
    assert "docs/explanation/limits-of-email-codes.md" in readme


# --- decisions -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", ADRS, ids=str)
def test_a_decision_is_short_numbered_and_says_what_else_was_considered(page: Path) -> None:
    lines = text(page).splitlines()
    assert len(lines) <= 40
    assert lines[0].startswith(f"# {int(page.stem[:4])}. ")
    assert re.findall(r"^## (.*)$", text(page), re.MULTILINE) == ["Context", "Decision", "Considered", "Consequences"]
    assert re.search(r"^Status: (accepted|superseded by \[)", text(page), re.MULTILINE)


def test_no_number_of_a_decision_is_given_twice() -> None:
    numbers = [page.stem[:4] for page in ADRS]
    assert numbers == [f"{number:04d}" for number in range(1, len(numbers) + 1)]


# --- what the pages say of the code --------------------------------------------------------------------------------


def _tests_there_are() -> set[str]:
    sources = (path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py"))
    return {name for source in sources for name in re.findall(r"def (test_\w+)", source)}


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_test_that_a_page_names_exists(page: Path) -> None:
    assert set(re.findall(r"`(test_\w+)`", text(page))) - _tests_there_are() == set()


def test_every_attack_of_the_threat_model_has_its_guard_and_its_test() -> None:
    rows = re.findall(r"^\| (?!attack|asset|---)(.*) \|$", text("explanation/threat-model.md"), re.MULTILINE)
    attacks = [cells for row in rows if len(cells := row.split(" | ")) == 3 and "where" not in cells]
    shown = [cells for cells in attacks if "`test_" in cells[2]]
    unguarded = [cells[0] for cells in attacks if "`test_" not in cells[2] and not cells[1].startswith("none")]
    assert len(shown) > 35
    # The assets' table has three columns as well; its rows name places, not tests.
    assert {name.strip("*") for name in unguarded} <= {
        "acting as a patient",
        "who is a patient of which practice",
        "the signing keys, the master secret",
        "clients' secrets",
        "the trail",
        "being able to sign in",
    }


def test_every_operation_is_among_the_ways_in_with_who_may_call_it() -> None:
    page = text("explanation/sign-in-paths.md")
    nobody = page[page.index("## Nobody") :]
    known = {operation.id: operation for operation in openapi.OPERATIONS}
    named = set(re.findall(r"`([a-z]+(?:[A-Z]\w*)?)`", page))
    assert set(known) <= named
    assert {name for name in named if re.search(r"[A-Z]", name)} <= set(known)
    assert {name for name, operation in known.items() if operation.security is None} == {
        name for name in re.findall(r"`(\w+)`", nobody) if name in known
    }


def test_what_waits_waits_as_long_as_the_page_says() -> None:
    page, settings = " ".join(text("explanation/design.md").split()), config.load(environ())
    assert f"until the token expires: {settings.access_token_life_s // 60} min, and {LEEWAY_S} s of leeway" in page
    assert f"until the key set is fetched again: {settings.jwks_max_age_s} s" in page
    assert settings.ring_poll_s <= 5 == int(cache.FRESH_S)
    assert revocations.STEP_S + FEED_EVERY_S == 10
    assert "about 10 s" in page
    known = limits.load(None)
    assert f"({known.replay_window_s} s, {known.replays} times)" in page
    assert f"the immediate parent, for {known.refresh_grace_s} s" in page
    assert f"It ends {settings.session_absolute_s // 3600} hours later" in page
    assert f"after {settings.session_idle_s // 60} minutes" in page
    assert f"{settings.tombstone_life_s // 86_400} days after its end the record goes" in page


def test_every_permission_that_a_howto_gives_exists() -> None:
    for page in PAGES:
        assert set(re.findall(r"--allow ([a-z]+:[a-z]+)", text(page))) <= PERMISSIONS


# --- claims --------------------------------------------------------------------------------------------------------

CLAIMS = re.compile(
    r"\b(AAL\d?|IAL\d?|FAL\d?|MFA|2FA|multi-factor|two-factor|phishing-resistant|phrh?"
    r"|(?:NIST|HIPAA)[- ](?:compliant|certified|compliance))\b",
    re.IGNORECASE,
)
SAYS_WHAT_IT_IS_NOT = {
    "README.md",
    "docs/explanation/limits-of-email-codes.md",
    "docs/explanation/deviations.md",  # the name of a cheat sheet
    "docs/explanation/hipaa-safeguards.md",
    "docs/explanation/sign-in-paths.md",
}


def test_no_assurance_is_claimed_that_email_cannot_give() -> None:
    shipped = [name for name in tracked_files() if name.startswith(("authsvc/", "docs/", "config/", "README"))]
    found = set()
    for name in shipped:
        path = ROOT / name
        if path.is_file() and path.suffix in (".py", ".md", ".toml", ".txt", ".html", ".lua", ".cfg"):
            found |= {name for _ in CLAIMS.findall(path.read_text(encoding="utf-8"))}
    assert found <= SAYS_WHAT_IT_IS_NOT


def test_the_limits_are_said_with_their_sections() -> None:
    page = text("explanation/limits-of-email-codes.md")
    said = ("§3.1.3.1", "§4.2.1.2", "6.3.6", "6.3.3", "AAL2", "auth_time", "RFC 8176", "restricted authenticator")
    assert [word for word in said if word not in page] == []


def test_every_technical_safeguard_is_in_the_table() -> None:
    page = text("explanation/hipaa-safeguards.md")
    sections = re.findall(r"^\| (\([a-e]\)(?:\(\d\))?(?:\([iv]+\))?) ", page, re.MULTILINE)
    assert sections == [
        *("(a)(1)", "(a)(2)(i)", "(a)(2)(ii)", "(a)(2)(iii)", "(a)(2)(iv)"),
        *("(b)", "(c)(1)", "(c)(2)", "(d)", "(e)(1)", "(e)(2)(i)", "(e)(2)(ii)"),
    ]


def test_deviations_give_the_numbers_that_are_set() -> None:
    page = " ".join(text("explanation/deviations.md").split())
    known, bound = limits.load(None), Settings.guess_bound
    assert f"{known.misses_per_day} × {known.live_codes} / 10⁶" in page
    assert limits.guess_chance(known) <= bound
    assert f"after {known.misses_consecutive} in a row, or {known.misses_per_day} a day" in page
    assert f"{Settings.session_idle_s // 60} min" in page
    assert f"{Settings.session_absolute_s // 3600} h" in page
