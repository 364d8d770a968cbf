"""The search by whole registers gives the results of ``bytes``."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lbcompanion.html.bytesearch import find, lowered, split

# Registers have 16, 32 or 64 bytes: ends and beginnings around these are where such code goes wrong.
LENGTHS = [*range(0, 140), 255, 256, 257, 1023, 1024, 1025, 10240]


def test_lower_case_at_all_lengths_and_offsets() -> None:
    every = bytes(range(256)) * 45
    for length in LENGTHS:
        for offset in (0, 1, 31, 65, 190):
            page = every[offset : offset + length]
            assert lowered(page) == page.lower()
            assert type(lowered(page)) is bytes


def test_a_word_at_every_place() -> None:
    for word in (b"<", b"cc-", b"password", b"lbc:exclude", b"content-security-policy", b"x" * 70):
        for length in (0, 1, 15, 16, 17, 31, 33, 63, 64, 65, 127, 129, 300):
            for filler in (b"a", b"\xff", word[:1], word[-1:]):
                page = filler * length + word + filler * 70
                assert find(page, word) == page.find(word)
                cut = page[: length + len(word) - 1]
                assert find(cut, word) == cut.find(word)


@given(st.binary(max_size=300), st.binary(min_size=1, max_size=12), st.integers(0, 300))
def test_any_bytes(page: bytes, word: bytes, at: int) -> None:
    page = page[:at] + word[: len(word) - at % 2] + page[at:]
    assert lowered(page) == page.lower()
    assert find(page, word) == page.find(word)
    assert split(page, word) == page.split(word)
