"""Soup of bytes and of tags through the copy: no crash, no hang, and nothing excluded is left."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lbcompanion.html.redaction import Masks, RedactionError, redact
from tests.support.html_fragments import PAGES

MASKS = Masks(["input[type=password]", "input[autocomplete^='cc-']", ".secret", "template > b"])


@given(PAGES, st.booleans())
def test_copy(page: bytes, blocks: bool) -> None:
    try:
        copy = redact(page, exclude_blocks=blocks, masks=MASKS, charset="utf-8")
    except RedactionError:
        return
    if b"lbc:exclude" not in page.lower() and not MASKS.candidates(page.lower()):
        assert copy is page


SECRETS = st.lists(
    st.sampled_from(["<!-- lbc:exclude -->", "<!-- /lbc:exclude -->", "SECRET", "a", "<b>"]), max_size=14
)


@given(SECRETS)
def test_nothing_excluded_leaks(parts: list[str]) -> None:
    depth = 0
    written = []
    kept = []
    for part in parts:
        opens, closes = part.startswith("<!-- l"), part.startswith("<!-- /")
        depth += opens
        shown = part.replace("SECRET", "SECRET" if depth else "a")
        written.append(shown)
        if not depth:
            kept.append(shown)
        depth -= closes and depth > 0
    assert redact("".join(written).encode(), exclude_blocks=True, masks=None) == "".join(kept).encode()
