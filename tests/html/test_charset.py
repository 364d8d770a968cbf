"""The declarations that set a page's encoding, and those that do not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbcompanion.html.charset import bom_charset, content_type_charset, is_ascii_compatible, page_charset, prescan
from tests.support.prescan import UNKNOWN, prescanned


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (b"text/html", None),
        (b"text/html; charset=UTF-8", "utf-8"),
        (b'text/html;charset="Shift_JIS"', "shift_jis"),
        (b"text/html; a=b; CharSet= latin1 ; c=d", "windows-1252"),
        (b"text/html; charset=utf8", "utf-8"),
        (b"text/html; charset=no-such-thing", None),
        (b"text/html; charset=cp850", None),
        (b"text/html; charset=utf-7", None),
        (b"text/html; charset=", None),
        (b"text/html; xcharset=utf-8", None),
        # As Chromium reads them.
        (b"text/html; charset='utf-16'", None),
        (b'text/html; x="; charset=utf-16"', None),
        (b'text/html; x="; charset=utf-16', None),
        (b'text/html; charset="koi8\\-r"', "koi8-r"),
        (b'text/html; charset="koi8-r', "koi8-r"),
        (b'text/html; charset="koi8-r"x', "koi8-r"),
        (b'text/html; charset= "koi8-r"', "koi8-r"),
        (b"text/html; charset=koi8-r x", None),
        (b"text/html; charset = koi8-r", None),
        (b"text/html; charset; charset=; charset= ;; charset=koi8-r", "koi8-r"),
        (b'text/html; charset=""; charset=koi8-r', None),
    ],
)
def test_the_header(value: bytes, name: str | None) -> None:
    assert content_type_charset(value) == name


@pytest.mark.parametrize(
    ("start", "name"),
    [(b"\xef\xbb\xbf<p>", "utf-8"), (b"\xfe\xff\0<", "utf-16be"), (b"\xff\xfe<\0", "utf-16le"), (b"<p>", None)],
)
def test_the_byte_order_mark(start: bytes, name: str | None) -> None:
    assert bom_charset(start) == name


@pytest.mark.parametrize(
    ("page", "name"),
    [
        (b"<meta charset=utf-8>", "utf-8"),
        (b"<META CHARSET='Windows-1252'/>", "windows-1252"),
        (b'<html><head><meta http-equiv=content-type content="text/html; charset=latin1">', "windows-1252"),
        (b"<meta http-equiv=content-type content='text/html; charset=&quot;latin1&quot;'>", "windows-1252"),
        (b"<meta charset=' UTF8 '>", "utf-8"),
        (b"<meta charset=x-user-defined>", "windows-1252"),
        (b"<meta charset=rot13><meta charset=visual>", "iso-8859-8"),
        (b"<meta charset=hex><meta charset=windows-12345><meta charset=x-unknown><meta charset=cn-big5>", "big5"),
        (b"<meta content='text/html; charset=latin1'>", None),
        (b"<meta charset=utf-16>", "utf-8"),
        (b"<meta charset=no-such-thing><meta charset=koi8-r>", "koi8-r"),
        (b"<!-- <meta charset=a> --><meta charset=koi8-r>", "koi8-r"),
        (b"<a title='<meta charset=ascii>'><meta charset=koi8-r>", "koi8-r"),
        (b"<!--><meta charset=koi8-r>", "koi8-r"),
        (b"< <meta charset=koi8-r>", "koi8-r"),
        (b"<metal charset=koi8-r>", None),
        (b"<meta charset=koi8-r", None),
        (b"<!-- <meta charset=koi8-r>", None),
        (b'<!--"><meta charset=koi8-r>', None),
        (b'<a title="<meta charset=koi8-r>', None),
        (b"</a title='<meta charset=koi8-r>", None),
        (b"</a title='><meta charset=koi8-r>", None),
        (b"<meta/=='><meta charset=koi8-r>", None),
        (b"</meta/=='><meta charset=koi8-r>", "koi8-r"),
        (b"</1 title='><meta charset=koi8-r>", "koi8-r"),
        (b"<!<meta charset=ascii><meta charset=koi8-r>", "koi8-r"),
        (b'<!--"><meta charset=ascii>--><meta charset=koi8-r>', "koi8-r"),
        (b" " * 1010 + b"<meta charset=koi8-r>", None),
    ],
)
def test_the_meta_tag(page: bytes, name: str | None) -> None:
    assert b"&" in page or prescanned(page) == name
    found = prescan(page)
    assert (found.name if found else None) == name
    if found:
        assert page[found.start : found.end].lower().startswith(b"<meta")
        assert page[found.end - 1 : found.end] == b">"


def test_the_order() -> None:
    meta = b"<meta charset=koi8-r>"
    assert page_charset(b"text/html; charset=latin1", b"\xef\xbb\xbf" + meta) == "utf-8"
    assert page_charset(b"text/html; charset=latin1", meta) == "windows-1252"
    assert page_charset(b"text/html; charset=no-such-thing", meta) == "koi8-r"
    assert page_charset(b"text/html", meta) == "koi8-r"
    assert page_charset(b"text/html", b"<p>") is None


@pytest.mark.parametrize(
    ("page", "name"),
    [
        (b'<?xml version="1.0" encoding="koi8-r"?><p>', "koi8-r"),
        (b"<?xml version='1.0' encoding = 'utf-16' ?><p>", "utf-8"),
        (b'<?xml encoding="koi8-r"?><meta charset=gbk>', "gbk"),
        (b'\n<?xml encoding="koi8-r"?>', None),
        (b'<?xml?><p encoding="koi8-r">', None),
        (b'<?xml encoding="koi8-r', None),
        ('<?xml version="1.0"?><meta charset=gbk>'.encode("utf-16le"), "utf-16le"),
        ('<?xml version="1.0"?><p>'.encode("utf-16be"), "utf-16be"),
        ("<p>".encode("utf-16le"), None),
    ],
)
def test_the_xml_declaration(page: bytes, name: str | None) -> None:
    assert page_charset(b"text/html", page) == name
    assert page_charset(b"text/html; charset=koi8-u", page) == "koi8-u"


@pytest.mark.parametrize("name", ["utf-16", "utf-16be", "ucs-2", "iso-2022-jp", "csiso2022jp", "hz-gb-2312"])
def test_no_superset_of_ascii(name: str) -> None:
    assert not is_ascii_compatible(name)


@given(st.binary(max_size=200) | st.text("<>!-/meta charset='\"=x", max_size=200).map(str.encode))
def test_total(page: bytes) -> None:
    page_charset(page, page)


PIECES = st.sampled_from(
    b"<meta | charset=utf-8|charset=|'|\"|>|/|=|<!--|-->|--!>|<!|<?|</|<a |</a |<a/|x|http-equiv=content-type|"
    b" content='text/html; charset=koi8-r'|\t|-|<metal |<META/".split(b"|")
)


@given(st.lists(PIECES, max_size=14))
def test_as_the_standard_words_it(pieces: list[bytes]) -> None:
    page = b"".join(pieces)
    found = prescan(page)
    assert prescanned(page) in (found and found.name, UNKNOWN)
