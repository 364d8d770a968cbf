"""How the manual is built: ``make docs``."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from lbcompanion import __version__

project = "lbcompanion"
author = "the lbcompanion authors"
copyright = "2026, the lbcompanion authors"
release = version = __version__

extensions: list[str] = []
exclude_patterns = ["_build"]
html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["manual.css"]
html_title = f"lbcompanion {release}"
nitpicky = True
smartquotes = False
