"""`python -m authsvc`: the command line, where its script isn't on the PATH."""

from __future__ import annotations

from authsvc.cli import main

if __name__ == "__main__":
    main()
