"""The reader in Python and the compiled one say the same of every head, and refuse the same."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbcompanion.errors import BadRequest, BadResponse
from lbcompanion.http1 import heads
from lbcompanion.http1.field_lines import (
    DUPLICATE,
    HAS_FRAMING,
    REQUEST_FIELDS,
    RESPONSE_FIELDS,
    compiled,
    normalised,
    read_lines,
)
from lbcompanion.http1.fields import end_to_end
from lbcompanion.http1.heads import read_request_head, read_response_head, use_python_reader
from tests.support.programs import leave_out


@pytest.fixture(autouse=True)
def _the_compiled_one() -> Iterator[None]:
    if compiled() is None:
        leave_out("a C compiler, when this was installed")
    use_python_reader(python_only=False)
    yield
    use_python_reader(python_only=False)


def said(raw: bytes, response: bool) -> object:
    try:
        head = read_response_head(raw) if response else read_request_head(raw)
    except (BadRequest, BadResponse) as refused:
        return (type(refused), getattr(refused, "status", 0))
    first = (head.status, head.reason) if isinstance(head, heads.ResponseHead) else (head.method, head.target)
    return (*first, head.version, head.forwardable, head.values, head.flags, head.fields)


def same(raw: bytes, response: bool) -> object:
    use_python_reader(python_only=True)
    python = said(raw, response)
    use_python_reader(python_only=False)
    assert said(raw, response) == python
    return python


_NAMES = st.sampled_from(
    [
        *(
            b"Host",
            b"HOST",
            b"Cookie",
            b"Accept-Encoding",
            b"Content-Length",
            b"Transfer-Encoding",
            b"Connection",
            b"TE",
        ),
        *(b"X-Forwarded-For", b"x-forwarded-PROTO", b"If-None-Match", b"Lbc-Capture", b"Sec-Fetch-Dest", b"X-Other"),
        *(b"Content-Type", b"content-security-policy", b"ETag", b"Set-Cookie", b"Upgrade", b"Keep-Alive", b"", b"a b"),
        *(b"X" * 31, b"X" * 32, b"X" * 33, b"\xe9", b"A:", b"Content-Encoding", b"Expect"),
    ]
)
_VALUES = st.one_of(
    st.sampled_from(
        [b"", b" ", b"a", b"a:  b", b"a\tb", b" a", b"a ", b"\ta", b"close", b"chunked", b"5", b"a.example"]
    ),
    st.binary(max_size=6),
)
_COLONS = st.sampled_from([b": "] * 8 + [b":", b" : ", b":\t", b":  "])
_ENDS = st.sampled_from([b"\r\n"] * 12 + [b"\n", b"\r", b"\r\n ", b"\r\n\r\n"])
_LINES = st.lists(st.tuples(_NAMES, _COLONS, _VALUES, _ENDS).map(b"".join), max_size=8).map(b"".join)
_REQUEST_LINES = st.sampled_from(
    [b"GET / HTTP/1.1"] * 8
    + [
        *(
            b"POST /a?b HTTP/1.0",
            b"M-SEARCH /a HTTP/1.1",
            b"CONNECT / HTTP/1.1",
            b"OPTIONS * HTTP/1.1",
            b"GET  / HTTP/1.1",
        ),
        *(b"get / HTTP/1.1", b"GET /a#b HTTP/1.1", b"GET /\x80 HTTP/1.1", b"GET / HTTP/1.2", b"GET / HTTP/1.1 ", b""),
        *(b"GET http://a.example/ HTTP/1.1", b"X" * 31 + b" / HTTP/1.1", b"X" * 33 + b" / HTTP/1.1", b"-A / HTTP/1.1"),
    ]
)
_STATUS_LINES = st.sampled_from(
    [b"HTTP/1.1 200 OK"] * 8
    + [
        *(
            b"HTTP/1.0 404 Not Found",
            b"HTTP/1.1 200",
            b"HTTP/1.1 200 ",
            b"HTTP/1.1 099 x",
            b"HTTP/1.1 2000 x",
            b"HTTP/2 200 x",
        ),
        *(b"HTTP/1.1  200 OK", b"HTTP/1.1 20x OK", b"HTTP/1.1 200 \ttab", b"HTTP/1.1 200 sch\xf6n", b""),
    ]
)


@given(_REQUEST_LINES, _LINES)
def test_requests_are_read_alike(line: bytes, lines: bytes) -> None:
    same(line + b"\r\nHost: a.example\r\n" + lines + b"\r\n", response=False)
    same(line + b"\r\n" + lines + b"\r\n", response=False)


@given(_STATUS_LINES, _LINES)
def test_answers_are_read_alike(line: bytes, lines: bytes) -> None:
    same(line + b"\r\n" + lines + b"\r\n", response=True)


@given(st.binary(max_size=60))
def test_any_bytes_are_read_alike(noise: bytes) -> None:
    for response, start in ((False, b"GET / HTTP/1.1\r\n"), (True, b"HTTP/1.1 200 OK\r\n")):
        same(noise + b"\r\n\r\n", response)
        same(start + noise + b"\r\n\r\n", response)


@pytest.mark.parametrize("name", [*REQUEST_FIELDS])
def test_every_indexed_field_of_a_request_is_found_in_any_case(name: bytes) -> None:
    for written in (name, name.upper(), name.title(), name.swapcase()):
        raw = b"GET / HTTP/1.0\r\n%b: 1\r\n\r\n" % written
        same(raw, response=False)
        assert read_request_head(raw).values == {name: b"1"}


@pytest.mark.parametrize("name", [*RESPONSE_FIELDS])
def test_every_indexed_field_of_a_response_is_found_in_any_case(name: bytes) -> None:
    for written in (name, name.upper(), name.title(), name.swapcase()):
        raw = b"HTTP/1.1 200 OK\r\n%b: 1\r\n\r\n" % written
        same(raw, response=True)
        assert read_response_head(raw).values == {name: b"1"}


def test_the_compiled_reader_takes_the_usual_form_itself() -> None:
    reader = compiled()
    assert reader is not None
    told = reader.read_request(b"GET /a?b HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-One: 1\r\n\r\n")
    assert told[:4] == (b"GET", b"/a?b", 11, b"Host: a\r\nX-One: 1\r\n")
    assert reader.read_response(b"HTTP/1.0 404 Not Found\r\nContent-Length: 1\r\n\r\n")[:4] == (
        10,
        404,
        b"Not Found",
        b"",
    )
    with pytest.raises(TypeError):
        reader.read_request("GET / HTTP/1.1\r\n\r\n")
    with pytest.raises(ValueError, match="names"):
        reader.setup({b"": 1}, {})
    assert compiled() is not None


#: The companion writes these fields itself, or believes a trusted proxy's.
_OWN = [
    *(b"Transfer-Encoding", b"Content-Length", b"Keep-Alive", b"Proxy-Authorization", b"Lbc-Forwarded-By"),
    *(b"X-Forwarded-For", b"X-Forwarded-Proto", b"X-Forwarded-Host", b"X-Forwarded-Port"),
]


@pytest.mark.parametrize("name", _OWN)
@pytest.mark.parametrize("mark", list(b"!#$%&'*+.^_`|~"))
def test_other_spellings_of_the_companions_own_fields_are_not_forwarded(name: bytes, mark: int) -> None:
    """CGI, WSGI and Rack give X_Forwarded_For and X-Forwarded-For the same name."""
    words = name.split(b"-")
    for number in range(1, 2 ** (len(words) - 1)):
        spelling = words[0]
        for at, word in enumerate(words[1:]):
            spelling += (bytes([mark]) if number >> at & 1 else b"-") + word
        for written in (spelling, spelling.upper(), spelling.lower()):
            raw = b"\r\n%b: 192.0.2.1\r\n%b: 1\r\nX_Other: 1\r\n\r\n" % (written, written)
            found = read_lines(raw, 2, response=False)
            assert found == (b"X_Other: 1\r\n", {}, 0, 3)
            same(b"GET / HTTP/1.1" + raw, False)
            head = read_request_head(b"GET / HTTP/1.1\r\nHost: a" + raw)
            assert end_to_end(head) == b"Host: a\r\nX_Other: 1\r\n"


@pytest.mark.parametrize(
    "name",
    [b"X_Real_IP", b"X_Forwarded_Prefix", b"_", b"Api_Key", b"X_Forwarded_For_", b"X__Forwarded_For", b"Cookie_"],
)
def test_other_names_with_underscores_are_forwarded(name: bytes) -> None:
    raw = b"GET / HTTP/1.1\r\nHost: a\r\n%b: 1\r\n\r\n" % name
    same(raw, False)
    assert end_to_end(read_request_head(raw)) == b"Host: a\r\n%b: 1\r\n" % name


def test_a_response_keeps_names_with_underscores() -> None:
    line = b"Content_Length: 1\r\nTransfer_Encoding: 1\r\n"
    same(b"HTTP/1.1 200 OK\r\n" + line + b"\r\n", True)
    assert end_to_end(read_response_head(b"HTTP/1.1 200 OK\r\n" + line + b"\r\n")) == line


def test_lines_doubled_and_joined() -> None:
    lines = (b"Cookie: a=b", b"Cookie: c=d", b"Content-Length: 1", b"Content-Length: 1")
    raw = b"\r\n".join([b"", *lines, b"Accept-Encoding: a", b"accept-encoding: b", b"", b""])
    found = read_lines(raw, 2, response=False)
    assert found is not None
    kept, values, flags, count = found
    assert values == {b"cookie": b"a=b; c=d", b"content-length": b"1, 1", b"accept-encoding": b"a, b"}
    assert flags == DUPLICATE | HAS_FRAMING
    assert (count, kept.count(b"\r\n")) == (6, 4)


def test_the_usual_form() -> None:
    assert normalised(b"x\r\nA:b\r\nC:\t d e \r\n\r\n", 3) == b"x\r\nA: b\r\nC: d e\r\n\r\n"
    assert normalised(b"x\r\nA: b\r\n c\r\n\r\n", 3) is None
