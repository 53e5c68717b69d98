"""What a test needs of the machine beyond Python and make: programs that may be missing.

    nginx = require("nginx")        # the path, or the test is skipped with a line that names what to install

`python3 -m tests.harness.machine` prints what is missing on this machine; with `--apt` the Debian packages alone;
`--bare FOLDER` makes a PATH without any of them, for `make bare`.
Only the standard library is imported at the top: CI runs this before anything is installed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

MAKE_GATEWAYS, MAKE_INTEROP = MAKE = ("make gateways", "make interop")
INSTALLED_BY: dict[str, str] = {
    "curl": "curl",
    "openssl": "openssl",
    "bash": "bash",
    "redis-server": "redis-server",
    "chromium-headless-shell": "chromium-headless-shell",
    "chromium": "chromium",
    "node": "nodejs",
    "npm": "npm",
    "nginx": "nginx-light",
    "haproxy": "haproxy",
    "apache2": "apache2",
    "mod_oauth2.so": "libapache2-mod-oauth2",
    "mod_auth_openidc.so": "libapache2-mod-auth-openidc",
    "traefik": MAKE_GATEWAYS,
    "caddy": MAKE_GATEWAYS,
    "envoy": MAKE_GATEWAYS,
    "interop/bin/python": MAKE_INTEROP,
    "interop/node_modules": MAKE_INTEROP,
    "interop/next/.next": MAKE_INTEROP,
    "interop/portals/go-oidc": MAKE_INTEROP,
    "interop/portals/zitadel": MAKE_INTEROP,
    "interop/portals/oauth2-proxy": MAKE_INTEROP,
    "java": "default-jdk-headless",
    "mvn": "maven",
    "interop/java/portal.jar": MAKE_INTEROP,
}
"""Every program that some test can do without: the Debian package (or the make target) that brings it. One with a
slash is in the folder of this virtual environment."""

MAY_BE_SKIPPED = "(where there is a toolchain)"
OTHER_LANGUAGES = (
    *("java", "mvn", "interop/java/portal.jar"),
    *("interop/portals/go-oidc", "interop/portals/zitadel", "interop/portals/oauth2-proxy"),
)
"""Tested where their modules can be fetched and built; where not, not even CI counts a skipped test as a failure."""

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
OTHER_NAMES = {"chromium-headless-shell": CHROMIUM, "chromium": CHROMIUM[1:]}
"""Programs that do as well. Chromium without windows of its own reads a page in three quarters of the time."""


def _search_path() -> str:
    """PATH, the programs of this virtual environment, and the `sbin` beside each `bin` on PATH: servers live there."""
    folders = os.environ.get("PATH", "").split(os.pathsep)
    beside = [str(Path(folder).with_name("sbin")) for folder in folders if Path(folder).name == "bin"]
    return os.pathsep.join(dict.fromkeys([str(Path(sys.executable).parent), *folders, *beside]))


SEARCH_PATH = _search_path()


def find(program: str) -> str:
    """The path of a program or of an Apache module (`mod_….so`); empty when it is missing."""
    if program.endswith(".so"):
        apache = find("apache2")
        module = Path(apache).parents[2] / "lib/apache2/modules" / program if apache else Path(program)
        return str(module) if module.is_file() else ""
    if "/" in program:
        inside = Path(sys.prefix) / program
        return str(inside) if inside.exists() else ""
    names = (program, *OTHER_NAMES.get(program, ()))
    return next((found for name in names if (found := shutil.which(name, path=SEARCH_PATH))), "")


def lacking(*programs: str) -> str:
    """Why a test that needs these programs can't run here, in one line; empty when it can."""
    missing = [program for program in programs if not find(program)]
    if not missing:
        return ""
    packages = dict.fromkeys(INSTALLED_BY[program] for program in missing)
    apt = " ".join(package for package in packages if package not in MAKE)
    install = [f"apt-get install {apt}"] * bool(apt) + [target for target in MAKE if target in packages]
    excused = f" {MAY_BE_SKIPPED}" if set(missing) <= set(OTHER_LANGUAGES) else ""
    return f"NOT TESTED, there is no {', '.join(missing)} here: {' and '.join(install)}{excused}"


def require(*programs: str) -> str:
    """The path of the first of these programs. Skips the test when one of them is missing."""
    import pytest  # not there yet when CI asks what to install

    if why := lacking(*programs):
        pytest.skip(why)
    return find(programs[0])


def tracked_files() -> list[str]:
    """The files of this checkout, relative to its root: as git lists them, or (no git, or an unpacked archive) all
    but hidden folders and what is built."""
    if shutil.which("git") and (ROOT / ".git").exists():
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True)
        return [name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]
    built = {"__pycache__", "build", "dist", "htmlcov", "node_modules", "secrets", "var"}
    found: list[str] = []
    for folder, folders, files in os.walk(ROOT):
        folders[:] = [
            name for name in folders
            if name == ".ci" or not (name.startswith(".") or name in built or name.endswith(".egg-info"))
        ]  # fmt: skip
        found += [
            str((Path(folder) / name).relative_to(ROOT))
            for name in files
            if not name.startswith((".coverage", ".git")) or name == ".gitignore"
        ]
    return sorted(found)


def make_bare_path(folder: Path) -> None:
    """Fill this folder with links to all programs on PATH but the optional ones and git: a PATH to run the tests on."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    optional = {"git", "redis-cli", *INSTALLED_BY, *(name for names in OTHER_NAMES.values() for name in names)}
    for entry in os.environ.get("PATH", "").split(os.pathsep):
        for program in Path(entry).iterdir() if Path(entry).is_dir() else ():
            link = folder / program.name
            if program.name not in optional and not link.is_symlink():
                link.symlink_to(program)


def main() -> None:
    if "--bare" in sys.argv:
        make_bare_path(Path(sys.argv[-1]))
        return
    missing = [program for program in INSTALLED_BY if not find(program)]
    if "--apt" in sys.argv:
        missing = [program for program in missing if program not in OTHER_LANGUAGES]
        packages = dict.fromkeys(INSTALLED_BY[program] for program in missing)
        print(*(package for package in packages if package not in MAKE))
    else:
        print(lacking(*missing) or "every optional program is here")


if __name__ == "__main__":
    main()
