"""Why a page is left alone."""

from __future__ import annotations

from enum import Enum


class Refusal(Enum):
    """Why nothing is inserted into a page, as far as its body tells."""

    AMP = "AMP"
    CHARSET = "charset"
    CSP = "CSP"
    EMPTY = "empty"
    FAILED = "failed"
    FRAGMENT = "fragment"
    MARKED = "marked already"
    SKIPPED = "skip_if"
    UNSURE = "unsure"
