"""``python -m lbcompanion.cli``."""

from __future__ import annotations

from lbcompanion.cli import main

if __name__ == "__main__":
    main()
