"""The tag, and the operator's snippets with values in them."""

from __future__ import annotations

import json
from base64 import b64encode
from hashlib import sha256
from html import unescape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbcompanion.html.snippets import PLACEHOLDERS, Snippet, escape_for_js_and_html, inline_hashes
from tests.support.tags import default_tag


@pytest.mark.parametrize(
    ("snippet", "texts"),
    [
        (b"<p>x", []),
        (b"<script src=x></script>", []),
        (b"<SCRIPT type=module>a()</ScRiPt>", [b"a()"]),
        (
            b"<script>\r\na(1);\rb('</scripts>')\n</script ><script src=x></script><script>c</script>",
            [b"\na(1);\nb('</scripts>')\n", b"c"],
        ),
        (b"<script>a", []),
        (b"<script><!-- a</script>", []),
        ("<script>'\u00e9'</script>".encode(), []),
        (b"<script>a\0</script>", []),
    ],
)
def test_hashes_of_scripts_in_line(snippet: bytes, texts: list[bytes]) -> None:
    assert inline_hashes(snippet) == tuple(f"'sha256-{b64encode(sha256(text).digest()).decode()}'" for text in texts)


@pytest.mark.parametrize(
    ("template", "external"),
    [
        (b"<script>a</script>", False),
        (b"<script async SRC=x></script>", True),
        (b"<img src=x><script data-src=x>", False),
    ],
)
def test_an_external_script(template: bytes, external: bool) -> None:
    assert Snippet(template).external is external


def test_the_default_tag() -> None:
    assert default_tag("TOKEN", "https://x.test/_lbc/page/TOKEN", "/_lbc/fetch-from.js?v=HASH", None, False) == (
        b'<script async src="/_lbc/fetch-from.js?v=HASH" data-lbc-token="TOKEN"'
        b' data-lbc-fetch-from="https://x.test/_lbc/page/TOKEN"></script>'
    )


def test_in_xhtml_and_with_a_nonce() -> None:
    tag = default_tag("t", "u?a=1&b=2", "s", "ab+/==", True)
    assert tag == (
        b'<script async="async" src="s" data-lbc-token="t" data-lbc-fetch-from="u?a=1&amp;b=2" nonce="ab+/=="></script>'
    )


@given(st.text())
def test_nothing_gets_out_of_the_tag(text: str) -> None:
    tag = default_tag("t", text, "s", text, False)
    assert tag.count(b"<") == 2
    assert tag.count(b'"') == 8 if text else 6
    tag.decode("ascii")


VALUES = {"fetch_from": "https://x.test/_lbc/page/t", "token": "t", "node": "n1", "prefix": "/_lbc", "nonce": "ab+/="}


def test_a_snippet() -> None:
    template = b"<script nonce='{nonce}'>f(\"{fetch_from}\", '{token}', {node}, {prefix})</script>"
    assert Snippet(template).fill(VALUES) == (
        b"<script nonce='ab+/='>f(\"https://x.test/_lbc/page/t\", 't', n1, /_lbc)</script>"
    )


@pytest.mark.parametrize(
    "template", [b"", rb"\1 \g<0> $1 $& ${token} {unknown} {} {{ }} {Token} { token} \\ % %s", b"\xff\xfe{"]
)
def test_everything_else_is_plain_text(template: bytes) -> None:
    expected = template.replace(b"{token}", b"t")
    assert Snippet(template).fill(VALUES) == expected


def test_filled_again_and_again() -> None:
    snippet = Snippet(b"a{token}b{token}c{nonce}")
    assert snippet.fill({"token": "1"}) == b"a1b1c"
    assert snippet.fill({"token": "2", "nonce": "3"}) == b"a2b2c3"


@given(st.sampled_from(PLACEHOLDERS), st.text())
def test_values_are_right_in_javascript_and_in_html(name: str, value: str) -> None:
    filled = Snippet(b"{" + name.encode() + b"}").fill({name: value}).decode("ascii")
    assert unescape(filled) == filled
    assert json.loads(f'"{filled}"') == filled
    assert not set(filled) & set("<>&'\"`\\\r\n")


def test_inserted_values_are_not_changed() -> None:
    for value in VALUES.values():
        assert escape_for_js_and_html(value) == value


@pytest.mark.parametrize(
    ("template", "inline"),
    [
        (b"<script>f()</script>", True),
        (b"<script src=x></script>", False),
        (b"<SCRIPT async SRC = x></SCRIPT>", False),
        (b"<script src=x></script><script>f()</script>", True),
        (b"<script data-src=x>f()</script>", True),
        (b"<p>no script</p>", False),
        (b"<scripty>", False),
    ],
)
def test_inline_scripts_are_reported(template: bytes, inline: bool) -> None:
    assert Snippet(template).inline is inline
