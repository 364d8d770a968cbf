from __future__ import annotations

import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbcompanion.html.srcset import read_srcset


def srcset_urls(text: str) -> list[str]:
    return list(read_srcset(text, sys.maxsize, sys.maxsize).urls)


# From the HTML Standard's algorithm "parse a srcset attribute".
@pytest.mark.parametrize(
    ("text", "urls"),
    [
        ("", []),
        (" ,, ", []),
        ("a.png", ["a.png"]),
        (
            "/img/c_fill,w_320/a.png 320w, /img/c_fill,w_640/a.png 640w",
            ["/img/c_fill,w_320/a.png", "/img/c_fill,w_640/a.png"],
        ),
        ("a,b,,c,", ["a,b,,c"]),
        ("a.png,b.png 2x", ["a.png,b.png"]),
        ("a.png, b.png 2x", ["a.png", "b.png"]),
        ("a.png,, b.png", ["a.png", "b.png"]),
        (",a.png", ["a.png"]),
        ("a.png 1x,b.png 2x", ["a.png", "b.png"]),
        ("\ta.png\n1x\f,\rb.png\t2x ", ["a.png", "b.png"]),
        ("a.png 1x (x, y), b.png", ["b.png"]),
        ("a.png (1, b.png 2x", []),
        ("data:image/png;base64,AA== 1x, b 2x", ["data:image/png;base64,AA==", "b"]),
        ("a 0w, b 1w 2h, c 2h, d -1x, e .5x, f 1.x, g +1x, h 1e3x, i 1X, j 1w 1x, k 1w 1w, l 1q", ["b", "e", "h"]),
        ("a 0x, b -0x, c 1w 0h, d 01w", ["a", "b", "d"]),
        ("a\u00a01x", ["a\u00a01x"]),
        ("a\x0b1x", ["a\x0b1x"]),
    ],
)
def test_as_the_standard_parses_it(text: str, urls: list[str]) -> None:
    assert srcset_urls(text) == urls


def by_the_steps(text: str) -> list[tuple[str, list[str]]]:
    """The standard's steps, one character at a time."""
    found, at = [], 0
    while True:
        while at < len(text) and text[at] in "\t\n\f\r ,":
            at += 1
        if at == len(text):
            return found
        start = at
        while at < len(text) and text[at] not in "\t\n\f\r ":
            at += 1
        url, descriptors, current, state = text[start:at], [], "", "in"
        if url.endswith(","):
            found.append((url.rstrip(","), descriptors))
            continue
        while at < len(text) and text[at] in "\t\n\f\r ":
            at += 1
        while True:
            char = text[at] if at < len(text) else ""
            at += 1
            if state == "after" and char not in ("", *"\t\n\f\r "):
                state, at = "in", at - 1
                continue
            if not char or (char == "," and state == "in"):
                descriptors += [current] if current else []
                break
            if state == "in" and char in "\t\n\f\r ":
                descriptors += [current] if current else []
                current, state = "", "after"
            elif state != "after":
                current += char
                state = {"(": "parens", ")": "in"}.get(char, state) if state in ("in", "parens") else state
        at = min(at, len(text))
        found.append((url, descriptors))


@given(st.text("a,( )1wx\t", max_size=30))
def test_it_agrees_with_the_steps(text: str) -> None:
    from lbcompanion.html.srcset import _candidates

    assert list(_candidates(text)) == by_the_steps(text)


@pytest.mark.parametrize("piece", [",a", "a (", "a b ", "a 1x,", "(", "a,", "a ( ) "])
@pytest.mark.slow
def test_its_time_is_linear(piece: str) -> None:
    def seconds(count: int) -> float:
        text = piece * count
        start = time.process_time()
        srcset_urls(text)
        return time.process_time() - start

    assert min(seconds(40000) for _ in range(2)) < 6 * max(seconds(20000), 0.002)


@pytest.mark.parametrize(
    ("max_steps", "max_urls", "found"),
    [
        (1, 9, (("a",), 2, False)),
        (3, 9, (("a", "b"), 4, False)),
        (5, 9, (("a", "b"), 7, True)),
        (9, 1, (("a",), 2, False)),
        (9, 3, (("a", "b"), 7, True)),
    ],
)
def test_it_ends_at_a_limit(max_steps: int, max_urls: int, found: tuple[tuple[str, ...], int, bool]) -> None:
    assert read_srcset("a 1x, b 2x, a 3x 4x", max_steps, max_urls) == found
