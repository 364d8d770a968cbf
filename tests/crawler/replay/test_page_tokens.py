from __future__ import annotations

import re

import pytest

from lbcompanion.crawler.replay.page_tokens import PageTokens

_NOTHING = re.compile(rb"(?!)")


def tokens(page: bytes, plain: re.Pattern[bytes] = _NOTHING, *, is_xml: bool = False) -> list[tuple[str, bytes]]:
    return [(kind, token) for kind, token, _ in PageTokens(page, plain, is_xml=is_xml).read()]


@pytest.mark.parametrize(
    ("page", "found"),
    [
        (b"a<b c='>'>d</b>", [("text", b"a"), ("start", b"<b c='>'>"), ("text", b"d"), ("end", b"</b>")]),
        (b"<!--a--><!b></><c", [("comment", b"<!--a-->"), ("bogus", b"<!b>"), ("bogus", b"</>")]),
        (b"<style><b></style>", [("start", b"<style>"), ("raw", b"style\0<b>"), ("end", b"</style>")]),
        (b"<title>a</titles>", [("start", b"<title>"), ("raw", b"title\0a</titles>")]),
        (b"<noscript><b>", [("start", b"<noscript>"), ("start", b"<b>")]),
        (b"<plaintext><b>", [("start", b"<plaintext>"), ("plaintext", b"<b>")]),
        (b"<![CDATA[a>b]]>", [("text", b"b]]>")]),
    ],
)
def test_tokens(page: bytes, found: list[tuple[str, bytes]]) -> None:
    assert tokens(page) == found


@pytest.mark.parametrize(
    ("script", "ends_at"),
    [
        (b"a</script>", 1),
        (b"<!-- </script>", 5),
        (b"<!--<script></script>--></script>", 24),
        (b"<!--><script></script>", 13),
        (b"<!--<script>", 12),
    ],
)
def test_a_comment_and_a_script_in_a_script_hide_its_end(script: bytes, ends_at: int) -> None:
    assert tokens(b"<script>" + script)[1] == ("raw", b"script\0" + script[:ends_at])


def test_svg_and_xml_have_cdata_sections_and_elements_that_a_tag_closes() -> None:
    assert ("cdata", b"<b>") in tokens(b"<svg><![CDATA[<b>]]></svg>")
    assert ("cdata", b"<b>") not in tokens(b"<svg/></svg><![CDATA[<b>]]>")
    assert tokens(b"<p><![CDATA[<b>]]><style/>", is_xml=True)[1:] == [("cdata", b"<b>"), ("start", b"<style/>")]
    assert [kind for kind, _ in tokens(b"<style/>")] == ["start", "raw"]


def test_what_is_plain_is_one_token_and_counts_as_a_start_tag() -> None:
    found = list(PageTokens(b"<b><i>x</i></b><u>", re.compile(rb"(?:[^<]|</?[bi]>)+"), is_xml=False).read())
    assert found == [("plain", b"<b><i>x</i></b>", 0), ("start", b"<u>", 1)]


def test_a_page_can_be_read_twice() -> None:
    page = PageTokens(b"<svg><b>", _NOTHING, is_xml=False)
    assert list(page.read()) == list(page.read())
    assert page.foreign == 1
