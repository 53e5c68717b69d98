"""The coverage that this house demands, checked after a test run: `python tests/coverage_gate.py`.

Lines and branches count alike. What holds secrets or decides about them is covered to the last branch, since the line
that no test ran is where the surprise lives; everything together to 95 %.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from coverage import Coverage

GAPS_SHOWN = 40
DEMANDED_PERCENT = {
    "authsvc/crypto/": 100.0,
    "authsvc/store/": 100.0,
    "authsvc/flows/": 100.0,
    "authsvc/verifier.py": 100.0,
    "authsvc/": 95.0,
}


@dataclass
class Tally:
    """Lines and branches of one part of the package, and where some were missed."""

    wanted: int = 0
    covered: int = 0
    gaps: list[str] = field(default_factory=list)

    @property
    def percent(self) -> float:
        return 100.0 * self.covered / self.wanted if self.wanted else 0.0


def tally(report: Mapping[str, Any], part: str) -> Tally:
    """Add up the files of `part` in coverage's JSON report."""
    sums = Tally()
    for name, file in sorted(report["files"].items()):
        if not name.startswith(part):
            continue
        summary = file["summary"]
        wanted = summary["num_statements"] + summary["num_branches"]
        covered = summary["covered_lines"] + summary["covered_branches"]
        sums.wanted += wanted
        sums.covered += covered
        if covered < wanted:
            missed = set(file["missing_lines"])
            branches = [
                f"{start}->{'exit' if end <= 0 else end}"
                for start, end in file["missing_branches"]
                if start not in missed and end not in missed
            ]
            sums.gaps.append(f"{name}: {', '.join([*spans(file['missing_lines']), *branches])}")
    return sums


def spans(lines: Iterable[int]) -> list[str]:
    """`3, 4, 5, 9` as `3-5`, `9`."""
    ends: list[list[int]] = []
    for line in lines:
        if ends and line == ends[-1][1] + 1:
            ends[-1][1] = line
        else:
            ends.append([line, line])
    return [f"{first}-{last}" if last > first else str(first) for first, last in ends]


def main() -> int:
    measured = Coverage()
    if any(Path().glob(".coverage.*")):
        measured.combine()  # what each process of this run left in a file
        measured.save()
    else:
        measured.load()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "coverage.json"
        measured.json_report(outfile=str(path))
        report = json.loads(path.read_text())
    failed = False
    for part, demanded in DEMANDED_PERCENT.items():
        sums = tally(report, part)
        passed = sums.percent >= demanded
        failed |= not passed
        print(f"coverage  {part:<20} {sums.percent:6.2f} %  of {demanded:g} % demanded  {'ok' if passed else 'MISSED'}")
        if not passed:
            print("\n".join(f"          {gap}" for gap in sums.gaps[:GAPS_SHOWN]))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
