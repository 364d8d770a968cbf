"""The heads of the application's responses, as copies keep them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbcompanion.http1.heads import read_response_head
from lbcompanion.http1.kept_head import kept_head
from lbcompanion.protocol.removed_parts import RemovedParts
from lbcompanion.protocol.response_heads import PageHead, with_removed_parts

LEFT_OUT = (b"set-cookie", b"te", b"x-secret")
NAMES = st.one_of(
    st.sampled_from(["Set-Cookie", "set-cookie", "TE", "X-SECRET", "Server", "server", "X-A", "Content-Type"]),
    st.from_regex(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,12}", fullmatch=True),
)
VALUES = st.text(st.sampled_from('\t !"a:,;=~\x80\xfc\xff'), max_size=12).map(lambda text: text.strip(" \t"))
REASONS = st.sampled_from(["", " ", " OK", " Not \xfc Found", " a  b"])


@pytest.mark.slow
@given(REASONS, st.lists(st.tuples(NAMES, VALUES), max_size=20))
def test_all_fields_come_back_in_order_but_those_left_out(reason: str, fields: list[tuple[str, str]]) -> None:
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
    raw = f"HTTP/1.1 404{reason}\r\n{lines}\r\n".encode("latin-1")
    read = PageHead.read(kept_head(raw, LEFT_OUT))
    assert read is not None
    assert (read.status_line, read.status) == (f"HTTP/1.1 404{reason}", 404)
    secret = [name for name, _ in fields if name.lower().encode() in LEFT_OUT]
    assert list(read.fields) == [field for field in fields if field[0] not in secret]
    assert [name.lower() for name in read.left_out] == list(dict.fromkeys(name.lower() for name in secret))
    assert set(read.left_out) <= set(secret)


def test_a_head_in_an_unusual_form_is_read_as_the_proxy_reads_it() -> None:
    raw = b"HTTP/1.0 200\r\nX-A:b\r\nX-B :  c \t\r\nX-C:\r\nTE : x\r\n\r\n"
    read = PageHead.read(kept_head(raw, LEFT_OUT))
    assert read == PageHead("HTTP/1.0 200", 200, (("X-A", "b"), ("X-B", "c"), ("X-C", "")), ("TE",))
    proxied = [(name.decode(), value.decode()) for _, name, value in read_response_head(raw).split()]
    assert proxied == [*read.fields, ("TE", "x")]


@pytest.mark.parametrize("removed", [None, RemovedParts(), RemovedParts(2, 1)])
@pytest.mark.parametrize("lines", [b"", b"A: b\r\nSet-Cookie: x\r\n", b"Lbc-Removed: elements=9\r\n"])
def test_what_the_copy_lacks_is_the_last_field_and_no_field_of_the_application(
    removed: RemovedParts | None, lines: bytes
) -> None:
    kept = kept_head(b"HTTP/1.1 200 OK\r\n%b\r\n" % lines, LEFT_OUT)
    before, after = PageHead.read(kept), PageHead.read(with_removed_parts(kept, removed))
    assert before is not None
    assert after is not None
    assert after.removed == (removed or RemovedParts())
    assert (after.status_line, after.left_out) == (before.status_line, before.left_out)
    if b"Lbc" not in lines:
        assert after.fields == before.fields
        assert before.removed is None


def test_a_field_of_that_name_in_another_form_stays_a_field() -> None:
    for lines in (b"Lbc-Removed: all\r\n", b"Lbc-Removed: elements=1\r\nA: b\r\n"):
        read = PageHead.read(b"HTTP/1.1 200 OK\r\n%b\r\n" % lines)
        assert read is not None
        assert read.removed is None
        assert read.fields[0][0] == "Lbc-Removed"


def test_no_head_says_nothing_of_what_the_copy_lacks() -> None:
    assert with_removed_parts(b"", RemovedParts(1)) == b""


def test_repeated_fields_are_named_once_at_their_first_place() -> None:
    read = PageHead.read(b"HTTP/1.1 200 OK\r\n\r\nB\r\na\r\nA\r\nb\r\nc\r\n")
    assert read is not None
    assert read.left_out == ("B", "a", "c")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\r\n\r\n",
        b"HTTP/1.1 200 OK",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 099 OK\r\n\r\n",
        b"HTTP/1.1 200OK\r\n\r\n",
        b"HTTP/1.1 200 O\x00K\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx y: z\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n: z\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: a\nb: c\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: a\rb\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: \x7f\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n x: a\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nSet-Cookie",
        b"HTTP/1.1 200 OK\r\n\r\nSet-Cookie: a\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n\r\n",
    ],
)
def test_what_is_no_head(data: bytes) -> None:
    assert PageHead.read(data) is None


@given(st.binary(max_size=60))
def test_no_bytes_break_the_reading(data: bytes) -> None:
    read = PageHead.read(b"HTTP/1.1 200 OK\r\n" + data)
    assert read is None or all("\n" not in name + value and "\r" not in name + value for name, value in read.fields)


def test_values_are_not_shown() -> None:
    assert "hush" not in repr(PageHead.read(b"HTTP/1.1 200 OK\r\nx: hush\r\n\r\n"))


def test_a_head_of_fields() -> None:
    fields = [("A", " 1 "), ("Set-Cookie", "x"), ("B", "\r\nX: y"), ("A", "2"), ("a b", "c")]
    head = PageHead.of_fields(404, fields, {"set-cookie"})
    assert head.status_line == "HTTP/1.1 404 Not Found"
    assert head.fields == (("A", "1"), ("A", "2"))
    assert head.left_out == ("Set-Cookie", "B")
    assert PageHead.of_fields(299, [], ()).status_line == "HTTP/1.1 299 "
