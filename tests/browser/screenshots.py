"""Makes docs/screenshots and the page that shows them, docs/reference/pages.md:

    python -m tests.browser.screenshots

A clinic is started as for the tests, and one browser after the other takes the tour. Pictures are kept small by a
palette of few colours; docs/screenshots is emptied first.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

from tests.browser.clinic import Clinic
from tests.browser.tour import Stop, tour
from tests.browser.window import BrowserWindow
from tests.harness.chromium import launched
from tests.harness.processes import ROOT

PICTURES = ROOT / "docs" / "screenshots"
GALLERY = ROOT / "docs" / "reference" / "pages.md"
COLOURS = 40
MORE = {
    "dark": ("maple", {"color_scheme": "dark"}, ("sign-in", "code-wrong", "session")),
    "spanish": ("maple", {"locale": "es"}, ("code", "who", "dead-expired")),
    "branded": ("oak", {}, ("sign-in", "code", "link-pay-invoice")),
    "branded-dark": ("oak", {"color_scheme": "dark"}, ("sign-in",)),
}
"""What else is shown, on a phone: practice, how the browser is set up, the stops."""

PAGE = """# The hosted pages

<!-- Made by `python -m tests.browser.screenshots`; a change here is gone the next time. -->

What patients see, each page in each state that they may meet: on a phone, and at a desk. Everything works without
JavaScript, by keyboard, at 320 px and with 400 % zoom; pages follow the device's light or dark scheme and are there in
English and Spanish. A practice's own look: `authsvc practices preview` renders all of this with its name, logo and
colour.

The pictures are taken on a running service with a store, a worker and mail. To take them anew, and write this page:
`.venv/bin/python -m tests.browser.screenshots` (needs what `make test` needs, chromium and nginx; about a minute).

{rows}
## Dark, Spanish, and in a practice's colours

The same pages as a device or a practice changes them. The last practice has a logo and a yellow (`#ffe600`) that could
not be read on white, nor white on it: by light it is darkened, in the dark the words on it are black.

{more}
"""
ROW = """## {heading} (`{name}`)

{says}

| phone | desktop |
| --- | --- |
| <img src="../screenshots/phone-{name}.png" alt="{heading}, on a phone" width="260"> | \
<img src="../screenshots/desktop-{name}.png" alt="{heading}, on a desktop" width="520"> |
"""


def main() -> None:
    PICTURES.mkdir(exist_ok=True)
    for old in PICTURES.glob("*.png"):
        old.unlink()
    with tempfile.TemporaryDirectory(prefix="authsvc-pages-") as folder, Clinic(Path(folder)) as clinic:
        clinic.open()
        with launched() as browser:
            stops = _all(browser, clinic)
            more = list(_more(browser, clinic))
    rows = "\n".join(ROW.format(name=stop.name, says=stop.says, heading=heading) for stop, heading in stops)
    GALLERY.write_text(PAGE.format(rows=rows, more="\n".join(more)), encoding="utf-8")
    sizes = [picture.stat().st_size for picture in PICTURES.glob("*.png")]
    print(f"{len(sizes)} pictures, {sum(sizes) // 1024} KiB, the largest {max(sizes) // 1024} KiB", file=sys.stderr)


def _all(browser: Any, clinic: Clinic) -> list[tuple[Stop, str]]:
    """Every stop on both devices, with the page's own heading. What only a practice without a portal has comes last."""
    shown: dict[str, tuple[Stop, str]] = {}
    for practice in ("maple", "oak"):
        known = set(shown)
        for device in ("phone", "desktop"):
            person = BrowserWindow(browser, clinic, device)
            for stop in tour(person, clinic, practice):
                if stop.name not in known:
                    _take(person, f"{device}-{stop.name}")
                    shown[stop.name] = stop, person.heading
            person.context.close()
    return list(shown.values())


def _more(browser: Any, clinic: Clinic) -> Iterator[str]:
    for kind, (practice, options, names) in MORE.items():
        person = BrowserWindow(browser, clinic, "phone", **options)
        for stop in tour(person, clinic, practice):
            if stop.name in names:
                _take(person, f"{kind}-{stop.name}")
                alt = f"{person.heading}: {kind}"
                yield f'<img src="../screenshots/{kind}-{stop.name}.png" alt="{alt}" width="260">'
        person.context.close()


def _take(person: BrowserWindow, name: str) -> None:
    take(person.page, PICTURES / f"{name}.png")


def take(page: Any, path: Path) -> None:
    """The colours that cover most stay as they are; between them there are only the edges of letters."""
    taken = Image.open(BytesIO(page.screenshot(full_page=True, animations="disabled", caret="hide")))
    full = taken.convert("RGB")
    often = sorted(full.getcolors(full.width * full.height), reverse=True)[:COLOURS]
    palette = Image.new("P", (1, 1))
    palette.putpalette([part for _, colour in often for part in colour])
    full.quantize(palette=palette, dither=Image.Dither.NONE).save(path, optimize=True)


if __name__ == "__main__":
    main()
