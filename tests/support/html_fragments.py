"""Pages made of pieces, and what insertion makes of their ends."""

from __future__ import annotations

from hypothesis import strategies as st

TOP = b"<script async src=x data-lbc-token=t></script>"
BOTTOM = b"<script>bottom()</script>"


def page_of(expected: str) -> bytes:
    return expected.replace("{T}", "").replace("{B}", "").encode()


WORDS = """
<html> <html⚡> <head> </head> <body> </body> </html> <!-- --> <!--> --!> <![CDATA[ ]]> <!doctype <?x > < / " ' =
<script> <script </script> <style> </style> <title> </title> <textarea> </textarea> <svg> <svg/> </svg> <math> <mi>
<template> </template> <foreignObject> </foreignObject> <desc> <p> </p> <a <meta charset=utf-8 <noscript> </noscript>
<meta http-equiv=content-security-policy data-lbc-token <plaintext> <frameset> text \ufeff <b a=' <b a=" amp
"""


PIECES = st.sampled_from(WORDS.split()) | st.sampled_from(
    [" ", "\n", "-", "<!--" + "x" * 600 + "-->", "\x00", "</body>" + "z" * 9000]
)


FRAGMENTS = st.lists(PIECES, max_size=25).map(lambda parts: "".join(parts).encode()) | st.lists(
    PIECES, max_size=25
).map(lambda parts: ("<!doctype html><html><head>" + "".join(parts)).encode())
BINARY = st.binary(max_size=400) | st.builds(lambda soup, junk: soup + junk, FRAGMENTS, st.binary(max_size=40))
REPEATED = st.builds(
    lambda piece, count, tail: piece * count + tail,
    st.sampled_from(
        b"<|<a |<!--|--|</|<a b='|=\"|&|<svg>|<script>|]]>|<!|<?|<meta |<html |<template>|a=b |\x00|<!DOCTYPE |</body>"
        b"|<meta charset=".split(b"|")
    ),
    st.integers(1, 3000),
    FRAGMENTS,
)  # fmt: skip
PAGES = BINARY | REPEATED
