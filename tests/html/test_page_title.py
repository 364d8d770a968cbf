from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbcompanion.html.page_title import MAX_SEARCHED_BYTES, MAX_TITLE_CHARS, page_title


@pytest.mark.parametrize(
    ("body", "content_type", "title"),
    [
        (b"<!DOCTYPE html><html><head><title>Your cart</title>", "text/html", "Your cart"),
        (b"<TITLE lang=en>\n Your\t cart \xc2\xa0(2)\r\n</TITLE >", "text/html; charset=utf-8", "Your cart (2)"),
        (b"<title>Caf\xe9</title>", "text/html; charset=iso-8859-1", "Café"),
        (b'<meta charset="koi8-r"><title>\xeb\xcf\xd2\xda\xc9\xce\xc1</title>', "text/html", "Корзина"),
        ("<title>Größe</title>".encode("utf-16"), "text/html", "Größe"),
        (b"<title>Fish &amp; Chips &#8364;5 &lt;b> &copy</title>", "text/html", "Fish & Chips €5 <b> ©"),
        (b"<title>a<!--b--><b>c</title>d", "text/html", "a<!--b--><b>c"),
        (b"<!-- <title>no</title> --><script>'<title>no</title>'</script><title>yes</title>", "text/html", "yes"),
        (b"<style><title>no</title></style><svg><title>no</title></svg><title>yes</title>", "text/html", "yes"),
        (b"<title>first</title><title>second</title>", "text/html", "first"),
        (b'<meta content="<title>no</title>"><title>yes</title>', "text/html", "yes"),
        (b"<html><head/><title/><body/></html>", "application/xhtml+xml", ""),
        (b"<title></title>", "text/html", ""),
        (b"<p>none</p>", "text/html", ""),
        (b"<title>without an end", "text/html", "without an end"),
        (b"<title>a\x00b\x07c&#0;</title>", "text/html", "abc\ufffd"),
        (b"<title>" + b"x" * 1000 + b"</title>", "text/html", "x" * MAX_TITLE_CHARS),
        (b" " * MAX_SEARCHED_BYTES + b"<title>too late</title>", "text/html", ""),
        (b"", "", ""),
    ],
)
def test_the_title_of_a_page(body: bytes, content_type: str, title: str) -> None:
    assert page_title(body, content_type) == title


@given(st.text(st.sampled_from("<>/!-&;#x0 titlesvgcrp\x00\u00e9\ud7ff"), max_size=60))
def test_a_title_is_one_short_line(text: str) -> None:
    title = page_title(f"<title>{text}".encode(), "text/html; charset=utf-8")
    assert len(title) <= MAX_TITLE_CHARS
    assert title == " ".join(title.split())
    assert not any(ord(each) < 32 for each in title)
