from __future__ import annotations

import zlib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.answers import Answer, Wrong
from bench.workload import HOST, PAGE, PAGE_BYTES, answer, request

TOKEN = "1AAAAAAAAAAAAAAAAAAAAAAbbbbbbbbn1"
TAG = (
    f'<script async src="/_lbc/fetch-from.js?v=0a1b" data-lbc-token="{TOKEN}"'
    f' data-lbc-fetch-from="http://{HOST}/_lbc/page/{TOKEN}"></script>'
).encode()
TAGGED = PAGE.replace(b"<head>", b"<head>" + TAG)


def chunked(body: bytes, more: bytes = b"") -> bytes:
    cut = len(body) // 3
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (body[:cut], body[cut:]))
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n%b\r\n%b0\r\n\r\n" % (more, chunks)


def sized(body: bytes, more: bytes = b"") -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%b\r\n%b" % (len(body), more, body)


def read(data: bytes, coding: str = "identity", tagged: bool = True) -> str:
    one = Answer()
    one.feed(data)
    assert one.whole
    return one.check(coding, tagged)


def test_the_page_is_of_the_size_it_is_named_by() -> None:
    assert len(PAGE) == PAGE_BYTES
    assert PAGE.count(b"<head>") == PAGE.count(b"</head>") == 1


def test_no_two_visitors_ask_alike() -> None:
    assert len({request("gzip", number) for number in range(50)}) == 50


@pytest.mark.parametrize("form", [sized, chunked])
def test_a_tagged_page_gives_its_token(form) -> None:
    assert read(form(TAGGED)) == TOKEN


@given(st.sampled_from([sized, chunked]), st.lists(st.integers(0, PAGE_BYTES + 500), max_size=5))
def test_any_cut_gives_the_same(form, cuts) -> None:
    data = form(TAGGED)
    one = Answer()
    edges = [0, *sorted(cuts), len(data)]
    for start, end in pairwise(edges):
        assert not one.whole or start >= len(data)
        one.feed(data[start:end])
    assert one.whole
    assert one.check("identity", True) == TOKEN


@pytest.mark.parametrize("coding", ["identity", "gzip"])
def test_the_application_itself_answers_right(coding: str) -> None:
    assert read(answer(coding), coding, tagged=False) == ""


def test_a_coded_page_is_judged_decoded() -> None:
    coder = zlib.compressobj(3, zlib.DEFLATED, 31)
    coded = coder.compress(TAGGED) + coder.flush()
    assert read(chunked(coded, b"Content-Encoding: gzip\r\n"), "gzip") == TOKEN


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
        (sized(TAGGED).replace(b"200", b"502"), True),
        (sized(TAGGED, b"Connection: close\r\n"), True),
        (b"HTTP/1.1 200 OK\r\n\r\n" + TAGGED, True),
    ],
)
def test_whatever_differs_is_told(data: bytes, tagged: bool) -> None:
    with pytest.raises(Wrong):
        read(data, tagged=tagged)
