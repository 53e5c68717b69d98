"""The wheel: everything travels, a verifier needs PyJWT alone, and help comes at once."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

from tests.harness.machine import tracked_files

ROOT = Path(__file__).parents[2]
NOT_SHIPPED = {".pyc", ".pyo"}

ONLY_PYJWT = """
import sys

class Guard:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in sys.stdlib_module_names and top not in {"jwt", "cryptography", "_cffi_backend", "cffi"}:
            if top != "authsvc" or name not in {"authsvc", "authsvc.verifier"}:
                raise ImportError(f"{name} is not there without extras")

sys.meta_path.insert(0, Guard())
sys.path.insert(0, sys.argv[1])
import authsvc.verifier
assert authsvc.__file__.startswith(sys.argv[1]), authsvc.__file__
assert authsvc.verifier.Verifier
"""

HELP_IMPORTS = """
import sys
from authsvc.cli import main
try:
    main(["--help"])
except SystemExit as end:
    assert end.code == 0, end.code
print("IMPORTED", *sorted({name.partition(".")[0] for name in sys.modules}))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout, built from a copy so that no `build/` of an earlier day gets in."""
    folder = tmp_path_factory.mktemp("wheel")
    copy = folder / "checkout"
    for name in tracked_files():
        if name.startswith(("authsvc/", "setup.cfg", "pyproject", "README", "LICENSE")):
            target = copy / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((ROOT / name).read_bytes())
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*command, "--wheel-dir", str(folder), str(copy)], check=True)
    [built] = folder.glob("authsvc-*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel unpacked into a folder of its own, as an installation without a checkout."""
    folder = tmp_path_factory.mktemp("installed")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(folder)]
    subprocess.run([*command, str(wheel)], check=True)
    return folder


def test_every_file_of_the_package_travels(wheel: Path) -> None:
    travels = set(zipfile.ZipFile(wheel).namelist())
    wanted = {name for name in tracked_files() if name.startswith("authsvc/")}
    assert wanted - travels == set()
    assert {Path(name).suffix for name in wanted} >= {".py", ".lua", ".toml", ".html", ".css"}


def test_nothing_else_travels(wheel: Path) -> None:
    strangers = [name for name in zipfile.ZipFile(wheel).namelist() if not name.startswith(("authsvc/", "authsvc-"))]
    assert strangers == []


def test_without_extras_only_pyjwt_is_asked_for(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        metadata = Parser().parsestr(archive.read(name).decode())
    always = [need for need in metadata.get_all("Requires-Dist", []) if "extra ==" not in need]
    assert [need.partition("[")[0].lower() for need in always] == ["pyjwt"]
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["License-Expression"] == "Apache-2.0"


def test_the_verifier_runs_on_pyjwt_and_the_standard_library(installed: Path, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-I", "-c", ONLY_PYJWT, str(installed)], cwd=tmp_path, check=True)


def test_help_is_instant_because_it_loads_nothing(tmp_path: Path) -> None:
    run = subprocess.run([sys.executable, "-c", HELP_IMPORTS], cwd=tmp_path, check=True, capture_output=True, text=True)
    loaded = set(run.stdout.rpartition("IMPORTED ")[2].split())
    assert "click" in loaded
    assert loaded.isdisjoint({"flask", "redis", "cryptography", "jwt", "marshmallow", "jinja2", "gunicorn", "apispec"})


def test_a_copy_without_a_checkout_finds_its_own_defaults(installed: Path, tmp_path: Path) -> None:
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); from authsvc.config import limits, workflows; "
        "assert workflows.__file__.startswith(sys.argv[1]); "
        "assert workflows.load(None).get('pay-invoice'); assert limits.load(None).policies"
    )
    subprocess.run([sys.executable, "-I", "-c", program, str(installed)], cwd=tmp_path, check=True)


def test_a_copy_without_a_checkout_has_its_pages_in_every_language(installed: Path, tmp_path: Path) -> None:
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); from authsvc.web.browser import static_pages; "
        "from authsvc.web.browser import render; from authsvc.i18n import LANGUAGES; "
        "assert render.__file__.startswith(sys.argv[1]); "
        "assert LANGUAGES['es'].translations.gettext('Sign in') != 'Sign in'; "
        "assert len(static_pages.FILES) == 3; from pathlib import Path; "
        "assert len(list((Path(render.__file__).parents[1] / 'templates' / 'pages').glob('*.html'))) == 9"
    )
    subprocess.run([sys.executable, "-I", "-c", program, str(installed)], cwd=tmp_path, check=True)
