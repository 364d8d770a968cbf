from __future__ import annotations

import zlib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.responses import CheckedResponse, WrongResponse
from bench.workload import CASES, HOST, PAGE, Case, answer_of, piece

TOKEN = "1AAAAAAAAAAAAAAAAAAAAAAbbbbbbbbn1"
TAG = (
    f'<script async src="/_lbc/fetch-from.js?v=0a1b" data-lbc-token="{TOKEN}"'
    f' data-lbc-fetch-from="http://{HOST}/_lbc/page/{TOKEN}"></script>'
).encode()
TAGGED = PAGE.replace(b"<head>", b"<head>" + TAG)
PLAIN, GZIP, STREAM = CASES["page-10k"], CASES["page-10k-gzip"], CASES["1m-chunked"]
WHOLE_STREAM = b"".join(bytes(piece(at, 65536)) for at in range(0, STREAM.size, 65536))


def chunked(body: bytes, more: bytes = b"") -> bytes:
    cut = len(body) // 3
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (body[:cut], body[cut:]))
    head = b"HTTP/1.1 200 OK\r\nX-Request-Id: 7\r\nTransfer-Encoding: chunked\r\n%b\r\n" % more
    return head + chunks + b"0\r\n\r\n"


def sized(body: bytes, more: bytes = b"") -> bytes:
    return b"HTTP/1.1 200 OK\r\nX-Request-Id: 7\r\nContent-Length: %d\r\n%b\r\n%b" % (len(body), more, body)


def read(data: bytes, case: Case = PLAIN, tagged: bool = True) -> str:
    one = CheckedResponse(case, 7)
    one.feed(data)
    if not one.whole:
        raise WrongResponse("not whole")
    return one.check(tagged)


@pytest.mark.parametrize("form", [sized, chunked])
def test_a_tagged_page_gives_its_token(form) -> None:
    assert read(form(TAGGED)) == TOKEN


def test_an_answer_over_tls_has_the_address_of_tls() -> None:
    over_tls = CASES["page-10k-tls"]
    secure = TAGGED.replace(b'from="http:', b'from="https:')
    assert read(sized(secure), over_tls) == TOKEN
    for data, case in ((sized(TAGGED), over_tls), (sized(secure), PLAIN)):
        with pytest.raises(WrongResponse, match="another scheme"):
            read(data, case)


def test_a_connection_that_is_not_kept_is_not_promised() -> None:
    closed = CASES["page-10k-close"]
    assert read(sized(TAGGED, b"Connection: close\r\n"), closed) == TOKEN
    with pytest.raises(WrongResponse, match="is kept alive"):
        read(sized(TAGGED, b"Connection: keep-alive\r\n"), closed)
    with pytest.raises(WrongResponse, match="not kept alive"):
        read(sized(TAGGED, b"Connection: close\r\n"))


@given(st.sampled_from([sized, chunked]), st.lists(st.integers(0, 12000), max_size=8))
def test_any_cut_gives_the_same(form, cuts) -> None:
    data = form(TAGGED)
    one = CheckedResponse(PLAIN, 7)
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    for start, end in pairwise(edges):
        assert not one.whole or start >= len(data)
        one.feed(data[start:end])
    assert one.whole
    assert one.check(True) == TOKEN


@given(st.integers(0, 200), st.integers(1, 9))
def test_chunks_can_be_cut_anywhere(start, step) -> None:
    """Byte by byte around the framing of two small chunks."""
    data = chunked(b"0123456789" * 3)
    one = CheckedResponse(PLAIN, 7)
    one.feed(data[:start])
    for at in range(start, len(data), step):
        one.feed(data[at : at + step])
    assert one.whole
    assert one.size == 30


@pytest.mark.parametrize("case", [case for case in CASES.values() if not case.streamed], ids=lambda case: case.key)
def test_the_application_itself_answers_right(case: Case) -> None:
    assert read(answer_of(case, 7), case, tagged=False) == ""


@pytest.mark.parametrize("form", [sized, chunked])
def test_a_stream_is_compared_as_it_comes(form) -> None:
    assert read(form(WHOLE_STREAM), STREAM, tagged=False) == ""


def test_a_coded_page_is_judged_decoded() -> None:
    coder = zlib.compressobj(3, zlib.DEFLATED, 31)
    coded = coder.compress(TAGGED) + coder.flush()
    assert read(chunked(coded, b"Content-Encoding: gzip\r\n"), GZIP) == TOKEN


@pytest.mark.parametrize(
    ("data", "tagged"),
    [
        (sized(PAGE), True),
        (sized(TAGGED), False),
        (sized(TAGGED[:-1]), True),
        (sized(TAGGED.replace(b"Spade", b"spade", 1)), True),
        (sized(TAGGED + TAG), True),
        (sized(PAGE.replace(b"<main>", b"<main>" + TAG)), True),
        (sized(TAGGED, b"Content-Encoding: gzip\r\n"), True),
        (sized(TAGGED) + b"x", True),
        (chunked(TAGGED) + b"x", True),
        (chunked(TAGGED).replace(b"\r\n0\r\n", b"xx0\r\n"), True),
        (chunked(TAGGED).replace(b"\r\n0\r\n", b"\r\nxyz\r\n"), True),
        (chunked(TAGGED)[:-2] + b"A: b\r\n\r\n", True),
        (sized(TAGGED).replace(b"200", b"502"), True),
        (sized(TAGGED).replace(b"Id: 7", b"Id: 8"), True),
        (sized(TAGGED, b"Connection: close\r\n"), True),
        (b"HTTP/1.1 200 OK\r\nX-Request-Id: 7\r\n\r\n" + TAGGED, True),
    ],
)
def test_whatever_differs_is_reported(data: bytes, tagged: bool) -> None:
    with pytest.raises(WrongResponse):
        read(data, tagged=tagged)


@pytest.mark.parametrize(
    "body",
    [
        WHOLE_STREAM[:-1],
        WHOLE_STREAM[1:] + b"x",
        WHOLE_STREAM[:65521] + WHOLE_STREAM[70000:] + WHOLE_STREAM[: 70000 - 65521],
        WHOLE_STREAM[65536:131072] + WHOLE_STREAM[65536:],
    ],
)
def test_a_stream_with_anything_lost_or_moved_is_reported(body: bytes) -> None:
    with pytest.raises(WrongResponse):
        read(sized(body), STREAM, tagged=False)
