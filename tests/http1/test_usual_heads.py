"""Usual messages: the compiled part reads and rewrites them as the readers of heads do, and refuses all others."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbcompanion.errors import BadRequest, BadResponse
from lbcompanion.http1 import field_lines, usual_heads
from lbcompanion.http1.field_lines import REQUEST_FIELDS, RESPONSE_FIELDS
from lbcompanion.http1.framing import ChunkedReader, chunk, last_chunk
from lbcompanion.http1.heads import read_request_head, read_response_head, without
from lbcompanion.http1.usual_heads import REQUEST_KEY, RESPONSE_FLAGGED, RESPONSE_KEY, compiled_usual
from tests.support.programs import leave_out

AS_IT_IS = (False, b"", b"")
# Those of the private flags say how a line is forwarded.
_PUBLIC_FLAGS = 0xFFFFFFF
_NAMES = (*REQUEST_FIELDS, *RESPONSE_FIELDS, b"x-a", b"set-cookie", b"user-agent", b"x_forwarded_for", b"vary")
_VALUES = (
    b"",
    b"a",
    b"keep-alive",
    b"Keep-Alive",
    b"close",
    b"5",
    b"gzip",
    b"text/html",
    b"a.example",
    b"\xe9",
    b"a, b",
)
_LINES = st.builds(
    lambda name, spelling, separator, value: spelling(name) + separator + value + b"\r\n",
    st.sampled_from(_NAMES),
    st.sampled_from((bytes.lower, bytes.title, bytes.upper)),
    st.sampled_from((b": ", b": ", b": ", b":", b":  ", b" : ")),
    st.sampled_from(_VALUES),
)
_USUAL_LINES = st.builds(
    lambda name, value: name.title() + b": " + value + b"\r\n",
    st.sampled_from((*REQUEST_KEY, *RESPONSE_KEY, *RESPONSE_FLAGGED, b"cookie", b"x-a", b"te", b"x-forwarded-for")),
    st.sampled_from(_VALUES),
)


@pytest.fixture(scope="module")
def usual() -> ModuleType:
    compiled = compiled_usual()
    if compiled is None:
        leave_out("a C compiler, when this was installed")
    return compiled


def key_of(usual: ModuleType, raw: bytes, prefix: bytes = b"p") -> bytes | None:
    key = usual.usual_request(raw, prefix, {}, 100)
    assert key is None or isinstance(key, bytes)
    return key


def test_the_fields_are_indexed() -> None:
    assert set(REQUEST_KEY) <= REQUEST_FIELDS.keys()
    assert {*RESPONSE_KEY, *RESPONSE_FLAGGED} <= RESPONSE_FIELDS.keys()


@pytest.mark.parametrize("name", sorted(REQUEST_FIELDS))
def test_a_request_field_that_the_machine_handles_by_itself_is_unusual(usual: ModuleType, name: bytes) -> None:
    """A field with one of these flags changes what the machine does, so a request with it must not be usual."""
    raw = b"GET / HTTP/1.1\r\n" + (b"" if name == b"host" else b"Host: a\r\n") + name + b": x\r\n\r\n"
    # A flag that is added later makes its fields unusual, or this test fails.
    special = _PUBLIC_FLAGS & ~field_lines.FORWARDED
    is_known = name in {*REQUEST_KEY, *usual_heads._REQUEST_OTHERS, *usual_heads._HOP_BY_HOP}
    assert (key_of(usual, raw) is not None) == (is_known and not REQUEST_FIELDS[name] & special)


@pytest.mark.parametrize("name", sorted(RESPONSE_FIELDS))
def test_a_response_field_that_the_machine_handles_by_itself_is_unusual(usual: ModuleType, name: bytes) -> None:
    lines = b"" if name == b"content-length" else b"Content-Length: 2\r\n"
    raw = b"HTTP/1.1 200 OK\r\n" + lines + name + (b": 2" if not lines else b": x") + b"\r\n\r\nok"
    read = field_lines.HAS_FRAMING | field_lines.HAS_CODING | field_lines.BODY_DEPENDENT | field_lines.HAS_DATE
    special = _PUBLIC_FLAGS & ~(read | field_lines.HAS_CSP)
    is_known = name in {*RESPONSE_KEY, *RESPONSE_FLAGGED, *usual_heads._HOP_BY_HOP, b"content-length"}
    usual_key = usual.usual_response(raw, b"p", {}, 100)
    assert (usual_key is not None) == (is_known and not RESPONSE_FIELDS[name] & special)


@given(
    lines=st.lists(st.one_of(_USUAL_LINES, _LINES), max_size=8),
    target=st.sampled_from((b"/", b"/a?b=c", b"/%20", b"*")),
)
def test_a_request_is_forwarded_as_the_reader_says(lines: list[bytes], target: bytes) -> None:
    usual = compiled_usual()
    if usual is None:
        return
    raw = b"GET " + target + b" HTTP/1.1\r\nHost: a.example\r\n" + b"".join(lines) + b"\r\n"
    key = key_of(usual, raw)
    if key is None:
        return
    try:
        head = read_request_head(raw)
    except BadRequest:
        return  # The Python machine refuses it, and so nothing is learnt.
    values = head.values
    sent, kind, cookie = usual.usual_request(raw, b"p", {key: AS_IT_IS}, 100)
    appended = values.get(b"x-forwarded-for", b"")
    assert sent == b"GET " + target + b" HTTP/1.1\r\n" + head.forwardable + appended + b"\r\n"
    assert (kind, cookie) == (AS_IT_IS, values.get(b"cookie", b""))
    assert values.get(b"connection", b"keep-alive").lower() == b"keep-alive"
    replaced = usual.usual_request(raw, b"p", {key: (True, b"A: b\r\n", b"C: d\r\n")}, 100)[0]
    kept = without(head.forwardable, (b"accept-encoding",))
    assert replaced == b"GET " + target + b" HTTP/1.1\r\n" + kept + b"A: b\r\n" + appended + b"C: d\r\n\r\n"


@given(lines=st.lists(st.one_of(_USUAL_LINES, _LINES), max_size=8), body=st.sampled_from((b"", b"page")))
def test_a_response_is_forwarded_as_the_reader_says(lines: list[bytes], body: bytes) -> None:
    usual = compiled_usual()
    if usual is None:
        return
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n" % len(body) + b"".join(lines) + b"\r\n"
    key = usual.usual_response(head + body, b"p", {}, 100)
    if key is None:
        return
    read = read_response_head(head)
    found = usual.usual_response(head + body, b"p", {key: "kind"}, 100)
    assert found == ("kind", read.forwardable, len(head), read.flags, None)


@given(body=st.lists(st.binary(max_size=40), max_size=4), cut=st.integers(0, 300), end=st.binary(max_size=3))
def test_a_chunked_body_is_joined_as_the_reader_says(body: list[bytes], cut: int, end: bytes) -> None:
    usual = compiled_usual()
    if usual is None:
        return
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in body if piece) + b"0\r\n\r\n"
    key = usual.usual_response(head, b"p", {}, 100)
    assert usual.usual_response(head + chunks, b"p", {key: "kind"}, 100)[4] == b"".join(body)
    # Whatever is damaged, it reads nothing that the reader does not read.
    damaged = chunks[:cut] + end + chunks[cut + 1 :]
    found = usual.usual_response(head + damaged, b"p", {key: "kind"}, 100)
    if found is not None:
        reader = ChunkedReader(BadResponse)
        assert reader.feed(damaged) == (found[4], b"")
        assert reader.done
        assert reader.trailers == []


@given(
    first=st.lists(_USUAL_LINES, max_size=5, unique_by=lambda line: line.partition(b":")[0]),
    second=st.lists(_USUAL_LINES, max_size=5, unique_by=lambda line: line.partition(b":")[0]),
    prefixes=st.tuples(st.sampled_from((b"a", b"ab")), st.sampled_from((b"a", b"ab"))),
)
def test_keys_differ_where_their_fields_differ(
    first: list[bytes], second: list[bytes], prefixes: tuple[bytes, bytes]
) -> None:
    usual = compiled_usual()
    if usual is None:
        return
    raws = [b"GET / HTTP/1.1\r\n" + b"".join(lines) + b"\r\n" for lines in (first, second)]
    keys = [key_of(usual, raw, prefix) for raw, prefix in zip(raws, prefixes, strict=True)]
    if None in keys:
        return
    values = []
    for lines in (first, second):
        fields = {name.lower(): value for name, _, value in (line.partition(b": ") for line in lines)}
        values.append(([fields.get(name) for name in REQUEST_KEY], b"x-forwarded-for" in fields))
    assert (keys[0] == keys[1]) == ((values[0], prefixes[0]) == (values[1], prefixes[1]))


@given(raw=st.binary(max_size=60), end=st.integers(0, 200))
def test_any_bytes_can_be_read(raw: bytes, end: int) -> None:
    usual = compiled_usual()
    if usual is None:
        return
    request = b"GET / HTTP/1.1\r\nHost: a\r\nCookie: b\r\nTE: x\r\n\r\n"
    response = b"HTTP/1.1 200 OK\r\nContent-Type: a\r\nContent-Length: 3\r\n\r\nabc"
    for data in (raw, request[:end] + raw, request[:end] + raw + request[end:]):
        usual.usual_request(data, raw, {}, 100)
    for data in (raw, response[:end] + raw, response[:end] + raw + response[end:]):
        usual.usual_response(data, raw, {}, 100)


@pytest.mark.parametrize(
    "raw",
    [
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\nx",
        b"GET / HTTP/1.1\r\nHost: a\r\n",
        b"GET / HTTP/1.0\r\nHost: a\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /#a HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /\xe9 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nCookie: a\r\nCookie: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n X: folded\r\n\r\n",
        b"GET / HTTP/1.1\nHost: a\n\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: \r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 100 + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 16384 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: " + b"a" * 768 + b"\r\n\r\n",
    ],
)
def test_an_unusual_request_is_left_to_the_machine(usual: ModuleType, raw: bytes) -> None:
    assert usual.usual_request(raw, b"p", {}, 100) is None


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Length: 03, 3\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Length: +3\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Length: 000000003\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 Fine\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" + b"X: y\r\n" * 100 + b"\r\n",
    ],
)
def test_an_unusual_response_is_left_to_the_machine(usual: ModuleType, raw: bytes) -> None:
    assert usual.usual_response(raw, b"p", {}, 100) is None


def test_a_kind_that_is_known_to_be_unusual_is_left_to_the_machine(usual: ModuleType) -> None:
    raw = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    assert usual.usual_request(raw, b"p", {key_of(usual, raw): ()}, 100) is None


@given(body=st.binary(max_size=30), start=st.integers(0, 30), at=st.integers(0, 30), inserted=st.binary(max_size=5))
def test_a_response_is_written(body: bytes, start: int, at: int, inserted: bytes) -> None:
    usual = compiled_usual()
    if usual is None:
        return
    sent = body[start:]
    if start > len(body) or at > len(sent):
        with pytest.raises(ValueError, match="outside of the body"):
            usual.write_response(b"head\r\n", body, start, at, inserted, False)
        return
    written = sent[:at] + inserted + sent[at:]
    expected = b"head\r\nContent-Length: %d\r\n\r\n" % len(written) + written
    assert usual.write_response(b"head\r\n", body, start, at, inserted, False) == expected
    coded = chunk(written) if written else b""
    expected = b"head\r\nTransfer-Encoding: chunked\r\n\r\n" + coded + last_chunk([])
    assert usual.write_response(b"head\r\n", body, start, at, inserted, True) == expected


@pytest.mark.parametrize(
    "call",
    [
        lambda usual: usual.usual_request("GET", b"", {}, 1),
        lambda usual: usual.usual_request(b"", b"", {}),
        lambda usual: usual.usual_request(b"", b"", [], 1),
        lambda usual: usual.usual_request(b"", b"", {}, "1"),
        lambda usual: usual.usual_response(b"", None, {}, 1),
        lambda usual: usual.usual_response(b"", b"", {}, None),
        lambda usual: usual.write_response(b"", b"", 0, 0, b""),
        lambda usual: usual.write_response(b"", b"", 0, 0, "", False),
        lambda usual: usual.write_response(b"", b"", "0", 0, b"", False),
        lambda usual: usual.setup({}, (), (), (), {}, (), ()),
    ],
)
def test_arguments_of_other_types_are_refused(usual: ModuleType, call: object) -> None:
    with pytest.raises(TypeError):
        call(usual)  # type: ignore[operator]


def test_the_compiled_part_has_no_name_of_its_own() -> None:
    """All names of fields come from the tables, so that there is one place for them."""
    source = Path(usual_heads.__file__ or "").with_name("_usual.c").read_text("ascii")
    words = set(re.findall(r'"([a-z-]+)"', source))
    # The value of Connection.
    assert words & {name.decode() for name in (*REQUEST_FIELDS, *RESPONSE_FIELDS)} == {"keep-alive"}


@pytest.mark.parametrize(
    ("csp", "is_usual"),
    [
        (b"script-src 'self'", True),
        (b"script-src 'none", True),
        (b"'nonce", True),
        (b"nonce-a 'self'", True),
        (b"script-src 'nonce-a'", False),
        (b"'self' 'NONCE-", False),
        (b"''nonce-a", False),
        (b"a" * 4080, True),
        (b"a" * 4096, False),
    ],
)
def test_a_policy_is_part_of_the_kind_but_one_with_a_nonce(usual: ModuleType, csp: bytes, is_usual: bool) -> None:
    raw = b"HTTP/1.1 200 OK\r\nContent-Security-Policy: " + csp + b"\r\nContent-Length: 2\r\n\r\nok"
    key = usual.usual_response(raw, b"p", {}, 100)
    assert (key is not None) == is_usual
    assert not is_usual or csp in key
