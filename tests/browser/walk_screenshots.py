"""Makes docs/walk and the page that shows it, docs/reference/walk.md:

    python -m tests.browser.walk_screenshots

A demo is started for each language and walked; docs/walk is emptied first. In Spanish the patients' pages are shown:
the desk speaks English.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from tests.browser.demo_window import DemoWindow
from tests.browser.screenshots import take
from tests.browser.walk import in_spanish, walk
from tests.harness.chromium import launched
from tests.harness.demo import Demo
from tests.harness.processes import ROOT

PICTURES = ROOT / "docs" / "walk"
WALK = ROOT / "docs" / "reference" / "walk.md"

PAGE = """# Every workflow, walked

<!-- Made by `python -m tests.browser.walk_screenshots`; a change here is gone the next time. -->

What a practice was promised, act by act, at the demo: the desk on a wide screen, the patients on a phone. The headings
are the promises, word for word. `tests/browser/test_demo_walk.py` walks them in English and in Spanish and checks what
each leads to; try them yourself with `make demo`.

To take the pictures anew: `.venv/bin/python -m tests.browser.walk_screenshots` (needs what `make test` needs, and
chromium; about a minute).

{acts}
## In Spanish

The pages of authsvc and of the practice, as a patient sees them whose device or record says so. The desk speaks
English.

{spanish}
"""
ACT = """## {number}. {words}

<img src="../walk/{name}.png" alt="{words}" width="{width}">
"""


class Picture(NamedTuple):
    name: str
    words: str
    width: int


def main() -> None:
    PICTURES.mkdir(exist_ok=True)
    for old in PICTURES.glob("*.png"):
        old.unlink()
    with launched() as browser:
        english, spanish = _walked(browser, "en"), _walked(browser, "es")
    acts = "\n".join(ACT.format(number=number, **one._asdict()) for number, one in enumerate(english, start=1))
    shown = "\n".join(
        f'<img src="../walk/{one.name}.png" alt="{one.words}, in Spanish" width="260">' for one in spanish
    )
    WALK.write_text(PAGE.format(acts=acts, spanish=shown), encoding="utf-8")
    sizes = [picture.stat().st_size for picture in PICTURES.glob("*.png")]
    print(f"{len(sizes)} pictures, {sum(sizes) // 1024} KiB, the largest {max(sizes) // 1024} KiB", file=sys.stderr)


def _walked(browser: Any, language: str) -> list[Picture]:
    pictures = []
    with tempfile.TemporaryDirectory(prefix="authsvc-walk-") as folder, Demo(Path(folder)) as demo:
        desk = DemoWindow(browser, demo, "desk", locale=language)
        patient = DemoWindow(browser, demo, "phone", locale=language, reads_in=language)
        if language == "es":
            in_spanish(desk)
        for act, window in walk(desk, patient, demo):
            if language == "en" or window is patient:
                name = act.name if language == "en" else f"{act.name}-{language}"
                take(window.page, PICTURES / f"{name}.png")
                pictures.append(Picture(name, act.words, 260 if window is patient else 520))
        for window in (desk, patient):
            window.close()
    return pictures


if __name__ == "__main__":
    main()
