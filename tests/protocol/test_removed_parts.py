"""How many parts of a page its copy lacks, as a text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbcompanion.protocol.removed_parts import RemovedParts

COUNTS = st.integers(0, 999_999_999)


@given(COUNTS, COUNTS, COUNTS)
def test_what_is_written_is_read(elements: int, blocks: int, documents: int) -> None:
    parts = RemovedParts(elements, blocks, documents)
    assert RemovedParts.read(str(parts)) == parts
    assert bool(parts) is bool(elements or blocks or documents)


def test_kinds_of_a_later_version_are_ignored() -> None:
    assert RemovedParts.read("elements=1, pictures=4") == RemovedParts(elements=1)


@pytest.mark.parametrize("text", ["", "elements", "elements=-1", "elements=1,blocks=2", "elements=1;a", "ELEMENTS=1"])
@pytest.mark.parametrize("end", ["", "\n"])
def test_another_text_is_not_read(text: str, end: str) -> None:
    assert RemovedParts.read(text + end) is None


def test_a_line_end_is_not_read() -> None:
    assert RemovedParts.read("elements=1\n") is None
