"""Character references in attributes, as HTML's tokenizer resolves them (HTML Standard section 13.2.5.73)."""

from __future__ import annotations

import re
from html import unescape
from html.entities import html5

#: A character reference in an attribute. A name without a semicolon is not one before ``=``, a letter or a digit.
_REFERENCE = re.compile(r"&(#[0-9]+;?|#[xX][0-9a-fA-F]+;?|[A-Za-z][A-Za-z0-9]{0,31}+(?:;|(?![A-Za-z0-9=])))", re.ASCII)


def attribute_text(value: bytes) -> str:
    """Return an attribute's value, as written in UTF-8, with its character references resolved."""
    return attribute_value(value.decode("utf-8"))


def attribute_value(value: str) -> str:
    """Return an attribute's value with its character references resolved, by the rules for attributes."""
    return _REFERENCE.sub(_referred, value) if "&" in value else value


def _referred(reference: re.Match[str]) -> str:
    name = reference[1]
    return unescape(reference[0]) if name.startswith("#") or name in html5 else reference[0]
