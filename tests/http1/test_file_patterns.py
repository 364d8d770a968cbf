from __future__ import annotations

import pytest

from lbcompanion.http1.file_patterns import FilePatterns, is_file_pattern


@pytest.mark.parametrize(
    ("pattern", "url", "matches"),
    [
        ("/ads/**", "http://www.example.com/ads/a.js", True),
        ("/ads/**", "https://cdn.example.net:8443/ads/a.js?x", True),
        ("/ads/**", "http://www.example.com/%61DS/a.js", True),
        ("/ads/**", "http://www.example.com/x/ads/a.js", False),
        ("**.gif", "http://www.example.com/x/a.gif?ads", True),
        ("/a?x", "http://www.example.com/a?x", False),
        ("*.example.com/ads/**", "http://cdn.EXAMPLE.com/ads/a.js", True),
        ("*.example.com/ads/**", "http://example.com/ads/a.js", False),
        ("*.Example.com/ads/**", "http://cdn.example.com/x.js", False),
        ("cdn.example.com/**", "http://cdn.example.com", True),
        ("cdn.example.com/**", "http://cdn.example.com:8080/", False),
        ("cdn.example.com:*/**", "http://cdn.example.com:8080/", True),
        ("cdn.example.com/**", "http://cdn.example.com.evil.example/", False),
        ("*/**", "http://www.example.com/a", True),
    ],
)
def test_match(pattern: str, url: str, matches: bool) -> None:
    assert is_file_pattern(pattern)
    assert FilePatterns(["/no", "no.example/**", pattern]).match(url) is matches


def test_no_pattern_matches_nothing() -> None:
    assert not FilePatterns([]).match("http://www.example.com/a")


@pytest.mark.parametrize("pattern", ["", "a", "a.example", "a//b", "a b/c", "a/../b", "http://a/b", "*"])
def test_patterns_that_match_nothing(pattern: str) -> None:
    assert not is_file_pattern(pattern)
