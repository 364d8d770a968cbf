"""The head of a response as a copy keeps it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbcompanion.http1.kept_head import kept_head, kept_head_in_python
from tests.support.programs import leave_out

HEAD = (
    b"HTTP/1.1 200 Fine, thanks\r\nserver: a\r\nSET-COOKIE: a=b; Path=/\r\nX-A:b\r\nX-Set-Cookie: c\r\n"
    b"Set-Cookie: d=e\r\nX-A: \xfc\t.\r\n\r\n"
)


@pytest.fixture(name="compiled", scope="module")
def _compiled() -> None:
    if kept_head is kept_head_in_python:
        leave_out("a C compiler, when this was installed")


def test_lines_stay_as_they_are_and_names_follow() -> None:
    assert kept_head(HEAD, (b"set-cookie", b"te")) == (
        b"HTTP/1.1 200 Fine, thanks\r\nserver: a\r\nX-A:b\r\nX-Set-Cookie: c\r\nX-A: \xfc\t.\r\n\r\n"
        b"SET-COOKIE\r\nSet-Cookie\r\n"
    )
    assert kept_head(HEAD, ()) == HEAD
    assert kept_head(b"HTTP/1.1 200 \r\n\r\n", (b"te",)) == b"HTTP/1.1 200 \r\n\r\n"


def test_the_status_line_is_no_field() -> None:
    assert kept_head(b"HTTP: x\r\n\r\n", (b"http",)) == b"HTTP: x\r\n\r\n"


def test_blanks_before_the_colon() -> None:
    assert kept_head(b"HTTP/1.1 200 OK\r\nTE : x\r\n\r\n", (b"te",)) == b"HTTP/1.1 200 OK\r\n\r\nTE\r\n"


NAMES = st.sampled_from(
    [b"A", b"TE", b"Te", b"Set-Cookie", b"SET-COOKIE", b"Set-Cookie2", b"X" * 70, b"x" * 63, b"a-b"]
)
VALUES = st.binary(max_size=8).map(lambda data: bytes(byte for byte in data if byte == 9 or 32 <= byte != 127))
LINES = st.lists(st.tuples(NAMES, st.sampled_from([b":", b": ", b" : "]), VALUES), max_size=200)


@pytest.mark.usefixtures("compiled")
@given(LINES, st.lists(NAMES.map(bytes.lower), max_size=5).map(tuple))
def test_both_readers_keep_the_same(lines: list[tuple[bytes, bytes, bytes]], left_out: tuple[bytes, ...]) -> None:
    raw = b"HTTP/1.1 200 OK\r\n" + b"".join(b"%b%b%b\r\n" % line for line in lines) + b"\r\n"
    assert kept_head(raw, left_out) == kept_head_in_python(raw, left_out)


def test_many_lines_are_left_out() -> None:
    raw = b"HTTP/1.1 200 OK\r\n" + b"TE: x\r\n" * 129 + b"A: b\r\n\r\n"
    assert kept_head(raw, (b"te",)) == b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n" + b"TE\r\n" * 129


@pytest.mark.usefixtures("compiled")
def test_the_compiled_reader_takes_bytes_only() -> None:
    for wrong in ((b"x",), ("x", (b"te",)), (b"x", [b"te"]), (b"x", ("te",))):
        with pytest.raises(TypeError):
            kept_head(*wrong)  # type: ignore[misc, arg-type]
