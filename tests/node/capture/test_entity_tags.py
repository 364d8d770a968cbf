"""Entity tags of changed pages, towards visitors and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbcompanion.node.capture.entity_tags import mark_etag, mark_not_modified, restore_etags


@pytest.mark.parametrize(
    ("asked", "restored"),
    [
        (b'W/"v1-lbcs"', b'"v1"'),
        (b'W/"v1-lbcw"', b'W/"v1"'),
        (b'"v1-lbcs"', b'"v1"'),
        (b'"v1-lbcw"', b'W/"v1"'),
        (b'"a", W/"b-lbcs" ,"c-lbcw", W/"d"', b'"a", "b" ,W/"c", W/"d"'),
        (b'W/"a,b-lbcs",W/"-lbcs"', b'"a,b",""'),
        (b'W/"v1-lbcu"', b"v1"),
        (b"*", b"*"),
        (b'"v1-lbc"', b'"v1-lbc"'),
    ],
)
@pytest.mark.parametrize("name", [b"If-None-Match", b"if-match"])
def test_restored_towards_the_application(name: bytes, asked: bytes, restored: bytes) -> None:
    lines = b"Host: a\r\n" + name + b": " + asked + b'\r\nCookie: x="v1-lbcs"\r\n'
    assert restore_etags(lines) == lines.replace(name + b": " + asked, name + b": " + restored)


@pytest.mark.parametrize(
    ("asked", "answered", "tag"),
    [
        (b'W/"v1-lbcs"', b'"v1"', b'W/"v1-lbcs"'),
        (b'"v1-lbcs"', b'"v1"', b'W/"v1-lbcs"'),
        (b'W/"v1-lbcw"', b'W/"v1"', b'W/"v1-lbcw"'),
        # A server may weaken the tag in one of both responses.
        (b'W/"v1-lbcw"', b'"v1"', b'W/"v1-lbcw"'),
        (b'"x", W/"v0-lbcs", W/"v1-lbcs"', b'"v1"', b'W/"v1-lbcs"'),
        (b'"v1", W/"v0-lbcs"', b'"v1"', b'"v1"'),
        (b'W/"v1"', b'"v1"', b'"v1"'),
        (b"", b'"v1"', None),
        (b"*", b'"v1"', None),
        (b'W/"v0-lbcs"', b'"v1"', None),
        (b'W/"v1-lbcs"', None, None),
        (b'W/"v1-lbcu"', b"v1", b'W/"v1-lbcu"'),
        (b"v0, v1", b"v1", b"v1"),
        (b"v0", b"v1", None),
    ],
)
def test_a_304_names_the_tag_that_the_visitor_has(asked: bytes, answered: bytes | None, tag: bytes | None) -> None:
    lines = b"Vary: Cookie\r\nLast-Modified: x\r\nAccept-Ranges: bytes\r\n"
    lines += b"" if answered is None else b"ETag: " + answered + b"\r\n"
    expected = b"Vary: Cookie\r\n" + (b"" if tag is None else b"ETag: " + tag + b"\r\n")
    assert mark_not_modified(lines, asked) == expected


@pytest.mark.parametrize("tag", [b'"a", "b"', b'"a', b'"a"b', b'a"b"', b'W/ "a"', b""])
def test_a_tag_that_cannot_be_marked_is_removed(tag: bytes) -> None:
    """A changed page must not have the tag of the unchanged one."""
    assert mark_etag(b"Vary: x\r\nETag: " + tag + b"\r\nAge: 1\r\n") == b"Vary: x\r\nAge: 1\r\n"


@given(st.from_regex(rb'(W/)?"[!#-~]{0,12}"|[a-z0-9]{1,12}', fullmatch=True))
def test_a_marked_tag_is_restored(tag: bytes) -> None:
    marked = mark_etag(b"ETag: " + tag + b"\r\n").partition(b": ")[2][:-2]
    assert marked.startswith(b'W/"')
    for sent in (marked, marked[2:]):
        assert restore_etags(b"If-None-Match: " + sent + b"\r\n") == b"If-None-Match: " + tag + b"\r\n"
    assert mark_not_modified(b"ETag: " + tag + b"\r\n", marked) == b"ETag: " + marked + b"\r\n"
