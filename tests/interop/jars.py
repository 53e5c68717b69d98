"""The lock of what Maven brings: every library in a jar has the SHA-256 that `apps/java/jars.sha256` says.

python -m tests.interop.jars JAR [--write]     else the jar is removed, and the exit code is 1
"""

from __future__ import annotations

import sys
from hashlib import sha256
from pathlib import Path
from zipfile import ZipFile

from tests.harness.machine import ROOT

LOCK = ROOT / "tests/interop/apps/java/jars.sha256"
FOLDER = "BOOT-INF/lib/"


def libraries(jar: Path) -> str:
    """A line for each, as `sha256sum` writes it."""
    with ZipFile(jar) as packed:
        names = sorted(name for name in packed.namelist() if name.startswith(FOLDER) and name.endswith(".jar"))
        return "".join(f"{sha256(packed.read(name)).hexdigest()}  {name.removeprefix(FOLDER)}\n" for name in names)


def main() -> int:
    jar = Path(sys.argv[1])
    if "--write" in sys.argv:
        LOCK.write_text(libraries(jar), encoding="utf-8")
    if libraries(jar) == LOCK.read_text(encoding="utf-8"):
        return 0
    jar.unlink()
    print(f"REMOVED {jar}: its libraries aren't those of {LOCK.relative_to(ROOT)}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
