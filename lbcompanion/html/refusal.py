"""Why a page is left alone."""

from __future__ import annotations

from enum import Enum


class Refusal(Enum):
    """Why nothing is inserted into a page, as far as its body tells."""

    AMP = "AMP"
    CHARSET = "charset"
    CSP = "blocked by CSP"
    EMPTY = "empty"
    FAILED = "failed"
    FRAGMENT = "fragment"
    LARGE = "too large to be held back"
    MARKED = "marked already"
    NOWHERE = "no place"
    SKIPPED = "skip_if"
    UNSURE = "unsure"
