from __future__ import annotations

import pytest

from lbcompanion.crawler.queue.filters import Pattern


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("a", Pattern("a")),
        ("a*", Pattern("a", begins=True)),
        ("*a*", Pattern("a", contains=True)),
        ("a*b", Pattern("a*b")),
        ("*", Pattern("", contains=True)),
    ],
)
def test_patterns(text: str, pattern: Pattern) -> None:
    assert Pattern.read(text) == pattern


def test_a_pattern_with_a_star_at_its_beginning_only() -> None:
    with pytest.raises(ValueError, match="star"):
        Pattern.read("*a")
