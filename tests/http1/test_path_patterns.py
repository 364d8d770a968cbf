"""Which paths the patterns of the configuration match, and how long that takes."""

from __future__ import annotations

import re
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbcompanion.http1.path_patterns import MAX_PATH_BYTES, PathPatterns, is_matchable, normal_path, path_readings

ACCOUNT = ("/account/**",)

# Spellings that some server reads as /account/x.
SPELLINGS = [
    b"/account/x",
    b"/%61ccount/x",
    b"/%61%63%63%6f%75%6E%74/x",
    b"//account/x",
    b"/account//x",
    b"///account/x",
    b"/./account/x",
    b"/account/./x",
    b"/a/../account/x",
    b"/../account/x",
    b"/%2e/account/x",
    b"/a/%2E%2e/account/x",
    b"/a/.%2e/account/x",
    b"/account%2fx",
    b"/account%2Fx",
    b"/%2faccount/x",
    b"/ACCOUNT/x",
    b"/Account%2fx",
    b"/account;v=1/x",
    b"/account;/x",
    b"/;x/account/x",
    b"/account;jsessionid=1/x;y",
    b"/a/..;/account/x",
    b"/a/..;v=1/account/x",
    b"/account%3bv=1/x",
    b"/%2561ccount/x",
    b"/account%252fx",
    b"/a/%252e%252e/account/x",
    b"/%41ccount;v=1//x",
    b"/a/../%25%36%31ccount/x",
    b"\\account\\x",
    b"/account\\x",
    b"/a\\..\\account/x",
    b"/account%5cx",
    b"/a/..%5caccount%5Cx",
    b"/account%255cx",
    b"/%u0061ccount/x",
    b"/account%U002fx",
    b"/a/..%u005caccount/x",
    b"/account/../x",
    b"/account/x/..",
    b"/%252561ccount/x",
    b"/%25252561ccount/x",
    b"/%2525252525252561ccount/x",
    b"/%c1%a1ccount/x",
    b"/%e0%81%a1ccount/x",
    b"/%f0%80%81%a1ccount/x",
    b"/account%c0%afx",
    b"/a/%c0%ae%c0%ae/account/x",
    b"/%25c1%25a1ccount/x",
    b"/account%00/x",
    b"/account%0a/x",
    b"/ac%09count/x",
    b"/account./x",
    b"/account%20/x",
    b"/Account.%20./x",
    b"/account::$DATA/x",
    b"/b/../account//..",
    b"/%uff41ccount/x",
    b"/%ef%bd%81ccount/x",
    b"/a%ef%bc%8f..%ef%bc%8faccount/x",
    b"//www.example.com/account/x",
    b"/\\www.example.com/account/x",
    b"//account/x",
]

# Spellings that some server reads as /admin.
SPELLINGS_OF_A_NAME = [
    b"/admin",
    b"/admin/",
    b"/admin//",
    b"/admin/.",
    b"/admin.",
    b"/admin%20",
    b"/admin%2e",
    b"/admin;x",
    b"/admin;x/",
    b"/admin.;x",
    b"/admin%00",
    b"/admin%00.html",
    b"/admin%3fx=/y",
    b"/admin%253fx",
    b"/admin%23x",
    b"/admin::$DATA",
    b"/ADMIN::$INDEX_ALLOCATION",
    b"/x/..;/admin/",
]


@pytest.mark.parametrize("path", SPELLINGS)
def test_each_spelling_of_an_excluded_path_is_excluded(path: bytes) -> None:
    assert PathPatterns(ACCOUNT).excludes(path)


@pytest.mark.parametrize("path", SPELLINGS_OF_A_NAME)
def test_each_spelling_of_an_excluded_name_is_excluded(path: bytes) -> None:
    assert PathPatterns(["/admin"]).excludes(path)


@pytest.mark.parametrize("pattern", ["/%C3%84rzte/*", "/\u00c4rzte/*", "/%c3%a4RZTE/*", "/A%CC%88rzte/*", "/%C4rzte/*"])
@pytest.mark.parametrize(
    "path", [b"/%C3%84rzte/x", b"/%c3%a4rzte/x", b"/\xc3\xa4rzte/x", b"/%C4RZTE/x", b"/%E4rzte/x", b"/a%CC%88rzte/x"]
)
def test_an_excluded_name_with_other_letters_than_ascii(pattern: str, path: bytes) -> None:
    assert PathPatterns([pattern]).excludes(path)


@pytest.mark.parametrize("path", [b"/", b"/account", b"/accounts/x", b"/my/account/x", b"/x?/account/x", b"/account.x"])
def test_other_paths_are_not_excluded(path: bytes) -> None:
    assert not PathPatterns(ACCOUNT).excludes(path)


@pytest.mark.parametrize(
    ("path", "normal"),
    [
        (b"/a/b", "/a/b"),
        (b"/%61//b", "/a/b"),
        (b"/a/./b/../c", "/a/c"),
        (b"/../../a", "/a"),
        (b"/a/..", "/"),
        (b"/a/.", "/a/"),
        (b"/a/b/..", "/a/"),
        (b"/..", "/"),
        (b"/.a/..b", "/.a/..b"),
        (b"/%252e", "/%2e"),
        (b"/%2", "/%2"),
        (b"/%zz%", "/%zz%"),
        (b"/a%2fb", "/a/b"),
        (b"/%u0061", "/%u0061"),
        (b"/a;v=1/b", "/a;v=1/b"),
        (b"/k%C3%A4se", "/käse"),
        (b"/%c0%ae%c0%ae/x", "/\udcc0\udcae\udcc0\udcae/x"),
        (b"*", "*"),
    ],
)
def test_the_normal_form(path: bytes, normal: str) -> None:
    assert normal_path(path) == normal


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("/**", b"/", True),
        ("/**", b"/a/b", True),
        ("/*", b"/a", True),
        ("/*", b"/a/b", False),
        ("/*/b", b"/a/b", True),
        ("/?", b"/a", True),
        ("/?", b"/%C3%A4", True),
        ("/?", b"/%2f", False),
        ("/a?b", b"/a/b", False),
        ("/a*c", b"/abbc", True),
        ("/a*c", b"/ac", True),
        ("/a*c", b"/ab/c", False),
        ("/a**c", b"/ab/c", True),
        ("**/x", b"/a/x", True),
        ("/**/a/**/b", b"/1/a/2/3/b", True),
        ("/**/a/**/b", b"/1/a/b", False),
        ("/*.html", b"/a.html.html", True),
        ("/*a*b*", b"/xxaxxbxx", True),
        ("/*a*b*", b"/xxbxxaxx", False),
        ("/a.b", b"/axb", False),
        ("/k%C3%A4se", b"/k%c3%a4se", True),
        ("/käse", b"/k%C3%A4se", True),
        ("/%2a", b"/x", False),
        ("/%2a", b"/%2a", True),
        ("/%2A", b"/*", True),
        ("/Account/**", b"/Account/x", True),
        ("/account/**", b"/Account/x", False),
        ("/account/**", b"/a/../%61ccount//x", True),
        ("/account/**", b"/account;v=1/x", False),
    ],
)
def test_a_pattern_that_takes_in(pattern: str, path: bytes, matches: bool) -> None:
    assert PathPatterns([pattern]).includes(path) is matches
    assert PathPatterns(["/other", pattern, "/other/*"]).includes(path) is matches
    if matches:
        assert PathPatterns(["/other", pattern]).excludes(path)


def test_an_empty_list() -> None:
    assert not PathPatterns(()).includes(b"/")
    assert not PathPatterns(()).excludes(b"/")
    assert not PathPatterns(()).excludes(b"/" * 10000)


def test_a_path_over_the_limit_is_excluded_and_not_included() -> None:
    longest = b"/" + b"a" * (MAX_PATH_BYTES - 1)
    assert PathPatterns(["/a*"]).includes(longest)
    assert not PathPatterns(["/b"]).excludes(longest)
    assert not PathPatterns(["/a*"]).includes(longest + b"a")
    assert PathPatterns(["/b"]).excludes(longest + b"a")


@pytest.mark.parametrize("pattern", ["/", "/**", "**", "**.html", "/a/*/b?", "/.well-known/**", "/a..b", "/a/..."])
def test_a_pattern_that_can_match(pattern: str) -> None:
    assert is_matchable(pattern)


@pytest.mark.parametrize(
    "pattern", ["", "shop/*", "*", "?", "*/a", "//a", "/a//b", "/./a", "/a/../b", "/a/..", "http://a/"]
)
def test_a_pattern_that_cannot_match(pattern: str) -> None:
    assert not is_matchable(pattern)


PATTERNS = st.lists(st.sampled_from(["/", "a", "b", "*", "**", "?", "ab/"]), max_size=8).map("".join)
PATHS = st.lists(st.sampled_from(["/", "a", "b", "ab", "c"]), max_size=10).map("".join)


def expression(pattern: str) -> re.Pattern[str]:
    words = {"*": "[^/]*", "?": "[^/]"}
    parts = re.split(r"(\*\*+|\*|\?)", pattern)
    return re.compile("".join(".*" if part.startswith("**") else words.get(part, re.escape(part)) for part in parts))


@pytest.mark.slow
@given(st.lists(PATTERNS, max_size=3), PATHS)
def test_patterns_match_as_their_expressions_do(patterns: list[str], path: str) -> None:
    normal = normal_path(path.encode())
    matches = any(expression(pattern).fullmatch(normal) for pattern in patterns)
    assert PathPatterns(patterns).includes(path.encode()) is matches


@given(st.binary(max_size=40))
def test_any_bytes_have_readings(path: bytes) -> None:
    readings = path_readings(path)
    assert readings is not None
    assert normal_path(path) in readings or path == normal_path(path).encode("utf-8", "surrogateescape")
    assert PathPatterns(["/**"]).excludes(b"/" + path)


SLOW = ["/**/a/**/b/**", "/**/a/**/b/**/c", "/*a*a*a*a*b", "**a**a**a**b", "/*/*/*/*/**/x"]


@pytest.mark.slow
@pytest.mark.parametrize("pattern", SLOW)
@pytest.mark.parametrize(
    "unit",
    [b"/a", b"a", b"/./a", b"/..", b"/;a", b"%2561", b"\\a", b"//", b"%u0061", b"%c1%a1", b"/%00.", b". ", b"%252561"],
)
def test_the_time_grows_linearly(pattern: str, unit: bytes) -> None:
    def seconds(size: int) -> float:
        path = b"/" + unit * (size // len(unit))
        start = process_time()
        for _ in range(3):
            patterns = PathPatterns([pattern])
            patterns.excludes(path)
            patterns.includes(path)
        return process_time() - start

    short, long = (min(seconds(size) for _ in range(3)) for size in (2000, 8000))
    assert long < short * 10 + 0.02


SLASHES = [b"/", b"%2f", b"%2F", b"%252f", b"\\", b"%5C", b"//", b"/./", b"/a/../", b"/%2e/", b"/b;v=1/..;w/"]


@st.composite
def spellings(draw: st.DrawFn) -> bytes:
    """Any mixture of what servers undo, of the path /account/x."""
    out = b""
    for character in "/account/x":
        if character == "/":
            out += draw(
                st.sampled_from([b"/", b"%2f", b"%2F", b"%252f", b"\\", b"%5C", b"//", b"/./", b"/a/../", b"/%2e/"])
            )
            continue
        letter = draw(st.sampled_from([character, character.upper()])).encode()
        out += draw(
            st.sampled_from([letter, b"%%%02x" % ord(letter), b"%%%02X" % ord(letter), b"%%25%02x" % ord(letter)])
        )
    return out + draw(st.sampled_from([b"", b"/", b"/y", b";v=1", b";v=1/y", b"%3bv=1"]))


@given(spellings())
def test_a_mixture_of_spellings_is_excluded(path: bytes) -> None:
    assert PathPatterns(ACCOUNT).excludes(path)
