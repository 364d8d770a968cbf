"""Where bodies end: any cut of the input gives the same output, and what is broken is refused at any cut."""

from __future__ import annotations

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbcompanion.errors import BadRequest, BadResponse, ProtocolError
from lbcompanion.http1.framing import (
    CHUNKED,
    NO_BODY,
    UNTIL_CLOSE,
    BodyKind,
    ChunkedReader,
    Framing,
    LengthReader,
    UntilCloseReader,
    body_reader,
    chunk,
    last_chunk,
    request_framing,
    response_framing,
)
from lbcompanion.http1.heads import Field, read_request_head, read_response_head
from lbcompanion.testing.strategies import cuts
from tests.support.http1_samples import BROKEN

_TRAILERS = st.lists(
    st.tuples(st.from_regex(rb"x-[a-z]{1,8}", fullmatch=True), st.from_regex(rb"[!-~]{0,8}", fullmatch=True)),
    max_size=2,
)


def read_all(reader: ChunkedReader | LengthReader, pieces: list[bytes]) -> tuple[bytes, bytes]:
    body = rest = b""
    for piece in pieces:
        if reader.done:
            rest += piece
            continue
        found, rest = reader.feed(piece)
        body += found
    return body, rest


@pytest.mark.slow
@given(st.lists(st.binary(max_size=40), max_size=6), _TRAILERS, st.binary(max_size=10), st.data())
def test_chunks_come_back_at_any_cut(
    bodies: list[bytes], trailers: list[Field], rest: bytes, data: st.DataObject
) -> None:
    written = b"".join(map(chunk, bodies)) + last_chunk(trailers) + rest
    reader = ChunkedReader()
    assert read_all(reader, data.draw(cuts(written))) == (b"".join(bodies), rest)
    assert reader.done
    assert reader.trailers == trailers


@given(st.lists(st.binary(max_size=40), max_size=6), _TRAILERS)
def test_h11_reads_what_we_write(bodies: list[bytes], trailers: list[Field]) -> None:
    theirs = h11.Connection(h11.SERVER)
    theirs.receive_data(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    theirs.receive_data(b"".join(map(chunk, bodies)) + last_chunk(trailers))
    body = b""
    assert isinstance(theirs.next_event(), h11.Request)
    while isinstance(event := theirs.next_event(), h11.Data):
        body += event.data
    assert isinstance(event, h11.EndOfMessage)
    assert body == b"".join(bodies)
    assert [(bytes(name), bytes(value)) for name, value in event.headers] == trailers


@given(st.binary(max_size=60), st.integers(0, 60), st.data())
def test_a_length_is_kept_at_any_cut(written: bytes, length: int, data: st.DataObject) -> None:
    reader = LengthReader(length)
    assert read_all(reader, data.draw(cuts(written))) == (written[:length], written[length:])
    assert reader.done == (len(written) >= length)


def test_a_body_until_the_close_is_done_by_the_close_alone() -> None:
    reader = UntilCloseReader()
    assert reader.feed(b"0\r\n\r\n") == (b"0\r\n\r\n", b"")
    assert not reader.done
    reader.end()
    assert reader.done


@pytest.mark.parametrize(
    ("written", "body"),
    [
        (b"A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", b"0123456789" * 2),
        (b'0000a;name=value;other="a b"\r\n0123456789\r\n0;x\r\n\r\n', b"0123456789"),
        (b"3 \t;x\r\nabc\r\n000\r\nX-A:  b \r\nX-B:\r\n\r\n", b"abc"),
        (b"3\r\n\r\n0\r\n0\r\n\r\n", b"\r\n0"),
    ],
)
def test_what_the_grammar_allows(written: bytes, body: bytes) -> None:
    for pieces in ([written], [written[i : i + 1] for i in range(len(written))]):
        reader = ChunkedReader()
        assert read_all(reader, pieces) == (body, b"")
        assert reader.done


@pytest.mark.slow
@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("size", [1, 2, 7, 100000])
def test_broken_chunks_are_refused_at_any_cut(name: str, size: int) -> None:
    written = BROKEN[name]
    # RFC 9112 section 5.1 treats white space before the colon differently in responses.
    for error in (BadRequest,) if name == "a trailer with a blank before the colon" else (BadRequest, BadResponse):
        reader = ChunkedReader(error)
        with pytest.raises(error) as refused:
            read_all(reader, [written[at : at + size] for at in range(0, len(written), size)])
        assert refused.value.status == (400 if error is BadRequest else 502)


@pytest.mark.slow
@given(
    st.lists(
        st.sampled_from(
            [b"0", b"3", b"\r\n", b"\n", b"\r", b"abc", b";", b"x=y", b" ", b"\t", b"X: y", b"f", b"-", b"\0"]
        )
    ),
    st.data(),
)
def test_noise_is_read_alike_at_any_cut_and_never_beyond_h11(pieces: list[bytes], data: st.DataObject) -> None:
    written = b"".join(pieces)

    def outcome(of: list[bytes]) -> tuple[bytes, bool] | None:
        reader = ChunkedReader()
        try:
            body, _ = read_all(reader, of)
        except ProtocolError:
            return None
        return body, reader.done

    whole = outcome([written] if written else [])
    assert outcome(data.draw(cuts(written))) == whole
    if whole is None or not whole[1]:
        return
    theirs = h11.Connection(h11.SERVER)
    theirs.receive_data(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + written)
    body = b""
    theirs.next_event()
    while isinstance(event := theirs.next_event(), h11.Data):
        body += event.data
    assert isinstance(event, h11.EndOfMessage)
    assert body == whole[0]


def framed(*lines: bytes, method: bytes = b"POST", version: bytes = b"1.1") -> Framing:
    return request_framing(
        read_request_head(b"\r\n".join([method + b" / HTTP/" + version, b"Host: a", *lines, b"", b""]))
    )


def test_requests() -> None:
    assert framed() == NO_BODY
    assert framed(b"Content-Length: 0") == NO_BODY
    assert framed(b"Content-Length: 007") == Framing(BodyKind.LENGTH, 7)
    assert framed(b"Transfer-Encoding: Chunked") == CHUNKED
    assert framed(b"Content-Length: 3", version=b"1.0") == Framing(BodyKind.LENGTH, 3)
    assert framed(b"Content-Length: 3", method=b"GET") == Framing(BodyKind.LENGTH, 3)


@pytest.mark.parametrize(
    ("status", "method", "lines", "framing"),
    [
        (200, b"GET", (), UNTIL_CLOSE),
        (200, b"GET", (b"Content-Length: 0",), Framing(BodyKind.LENGTH, 0)),
        (200, b"GET", (b"Content-Length: 5",), Framing(BodyKind.LENGTH, 5)),
        (200, b"GET", (b"Transfer-Encoding: chunked",), CHUNKED),
        (200, b"HEAD", (b"Content-Length: 5",), NO_BODY),
        (200, b"HEAD", (b"Transfer-Encoding: chunked",), NO_BODY),
        (200, b"HEAD", (), NO_BODY),
        (204, b"GET", (), NO_BODY),
        (204, b"GET", (b"Content-Length: 5",), NO_BODY),
        (304, b"GET", (b"Content-Length: 5",), NO_BODY),
        (103, b"GET", (), NO_BODY),
        (205, b"GET", (b"Content-Length: 0",), Framing(BodyKind.LENGTH, 0)),
    ],
)
def test_answers(status: int, method: bytes, lines: tuple[bytes, ...], framing: Framing) -> None:
    raw = b"\r\n".join([b"HTTP/1.1 %d x" % status, *lines, b"", b""])
    assert response_framing(read_response_head(raw), method) == framing


def test_readers_fit_their_framing() -> None:
    assert body_reader(NO_BODY, BadRequest).done
    assert isinstance(body_reader(CHUNKED, BadRequest), ChunkedReader)
    assert isinstance(body_reader(UNTIL_CLOSE, BadResponse), UntilCloseReader)
    assert not body_reader(Framing(BodyKind.LENGTH, 1), BadRequest).done


def test_an_empty_chunk_is_not_written() -> None:
    assert chunk(b"") == b""
    assert last_chunk([(b"A", b"b")]) == b"0\r\nA: b\r\n\r\n"


def test_a_blank_before_the_colon_of_a_trailer_is_removed_from_a_response_only() -> None:
    body = b"2\r\nhi\r\n0\r\nX-Sum : abc\r\nContent-Length\t: 9\r\n\r\n"
    reader = ChunkedReader(BadResponse)
    assert reader.feed(body + b"HTTP/1.1 200 OK") == (b"hi", b"HTTP/1.1 200 OK")
    assert reader.trailers == [(b"X-Sum", b"abc")]
    with pytest.raises(BadRequest):
        ChunkedReader(BadRequest).feed(body)
