from __future__ import annotations

from lbcompanion.html.text_codecs import decode, encoding_name, query_codec


def test_labels_are_those_of_the_web() -> None:
    assert encoding_name(" Latin1 ") == "windows-1252"
    assert encoding_name("utf8") == "utf-8"
    assert encoding_name("no such") == encoding_name("") == ""


def test_a_byte_order_mark_takes_precedence() -> None:
    assert decode(b"\xef\xbb\xbf\xc3\xbc", "windows-1252") == "\u00fc"
    assert decode(b"\xfc", "windows-1252") == "\u00fc"


def test_the_encoding_of_queries() -> None:
    assert query_codec("utf-8") is query_codec("utf-16le") is query_codec("no such") is None
    codec = query_codec("shift_jis")
    assert codec is not None
    assert codec.encode("\u30bd")[0] == b"\x83\\"
