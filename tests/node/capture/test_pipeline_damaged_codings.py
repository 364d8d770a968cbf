"""Coded pages that are cut or damaged: the visitor never gets a complete page that is not the application's."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from random import Random

import brotli
import pytest

from lbcompanion.http1.coding_libraries import zstd
from lbcompanion.settings import CaptureTable, InjectTable
from tests.support.in_memory_node import (
    InMemoryNode,
    VisitorResponse,
    html,
    read_responses,
    request,
    without_tag,
)

ACCEPT = b"Accept-Encoding: gzip, deflate, br, zstd"
SMALL = b"<!DOCTYPE html><html><head><title>x</title></head><body><p>short</p></body></html>"
# Almost incompressible, so that output begins long before the end.
LARGE = SMALL.replace(b"short", bytes(Random("page").choices(b"abcdefghijklmnopqrstuvwxyz0123456789 ", k=60_000)))

CODERS: dict[bytes, tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]] = {
    b"gzip": (lambda page: gzip.compress(page, mtime=0), gzip.decompress),
    b"deflate": (zlib.compress, zlib.decompress),
    b"br": (lambda page: brotli.compress(page, quality=5), brotli.decompress),
    b"zstd": (
        lambda page: zstd.compress(page, options={zstd.CompressionParameter.checksum_flag: 1}),
        zstd.decompress,
    ),
}
FAULTS: dict[str, Callable[[bytes], bytes]] = {
    "half": lambda coded: coded[: len(coded) // 2],
    "the first bytes": lambda coded: coded[:12],
    "without the last byte": lambda coded: coded[:-1],
    "without the trailer and some content": lambda coded: coded[:-20],
    "a wrong byte in the middle": lambda coded: wrong_byte(coded, len(coded) // 2),
    "a wrong byte at the end": lambda coded: wrong_byte(coded, len(coded) - 2),
    "bytes behind the end": lambda coded: coded + b"8 bytes!",
}
FRAMINGS = ("length", "chunked", "close")
PIECES = (1, 2, 7)


def wrong_byte(coded: bytes, at: int) -> bytes:
    return coded[:at] + bytes([coded[at] ^ 0x55]) + coded[at + 1 :]


def answer_to(coding: bytes, coded: bytes, framing: str, pieces: int, version: bytes = b"1.1") -> VisitorResponse:
    """The bytes that the visitor gets of a coded body that the application sends in pieces."""
    companion = InMemoryNode()
    step = len(coded) // pieces + 1
    bodies = [coded[at : at + step] for at in range(0, len(coded), step)]
    fields = [b"Content-Encoding: " + coding]
    if framing == "chunked":
        head, sent = html(b"", b"Transfer-Encoding: chunked", *fields, length=False), chunk_bodies(bodies)
    elif framing == "length":
        head, sent = html(b"", b"Content-Length: %d" % len(coded), *fields, length=False), bodies
    else:
        head, sent = html(b"", *fields, length=False), bodies
    companion.application.answers(head + sent[0], *sent[1:], then="end" if framing == "close" else "")
    visitor = companion.connect()
    visitor.send(request(b"/", ACCEPT, version=version))
    companion.run()
    (answer,) = read_responses(visitor.received, [b"GET"], visitor.eof or visitor.closed, version)
    assert companion.counters.capturing_bytes == companion.copies.pending == 0
    assert not companion.counters.failed_open
    if version == b"1.0" and visitor.aborted:
        return VisitorResponse(answer.status, answer.fields, answer.body, complete=False)
    if not answer.complete:
        assert visitor.closed or visitor.eof
    if companion.captured:
        assert companion.page.body == meaning(coding, coded), "a copy is the whole page"
    return answer


def meaning(coding: bytes, coded: bytes) -> bytes | None:
    """The page that a browser reads; None if it notices damage. A br body has no checksum."""
    for page in (SMALL, LARGE):
        if coded.startswith(CODERS[coding][0](page)):
            return page
    try:
        return CODERS[coding][1](coded)
    except (OSError, EOFError, zlib.error, brotli.error, zstd.ZstdError):
        return None


def chunk_bodies(bodies: list[bytes]) -> list[bytes]:
    chunks = [b"%x\r\n%b\r\n" % (len(body), body) for body in bodies]
    return [*chunks[:-1], chunks[-1] + b"0\r\n\r\n"]


def is_faithful(answer: VisitorResponse, coding: bytes, coded: bytes) -> bool:
    """Whether the answer is as the application's: the same bytes, an end that shows, or the whole page."""
    if answer.body == coded or not answer.complete:
        return True
    return without_tag(CODERS[coding][1](answer.body)) == meaning(coding, coded)


@pytest.mark.parametrize("page", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("pieces", PIECES)
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("coding", CODERS)
def test_no_complete_page_that_is_not_the_applications(coding: bytes, fault: str, pieces: int, page: bytes) -> None:
    coded = FAULTS[fault](CODERS[coding][0](page))
    for framing in FRAMINGS:
        for version in (b"1.1", b"1.0"):
            if version == b"1.0" and framing == "chunked":
                continue
            answer = answer_to(coding, coded, framing, pieces, version)
            assert is_faithful(answer, coding, coded), (framing, version)


@pytest.mark.parametrize("pieces", PIECES)
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("coding", CODERS)
def test_where_nothing_was_sent_the_bytes_pass_as_they_came(coding: bytes, fault: str, pieces: int) -> None:
    """A small page is decoded in one step, or its damage shows before its first byte is sent."""
    coded = FAULTS[fault](CODERS[coding][0](SMALL))
    answer = answer_to(coding, coded, "length", 1 if coding == b"zstd" else pieces)
    assert answer.complete or pieces > 1
    ignores_rest = coding != b"br" and fault == "bytes behind the end"
    if pieces == 1 and not ignores_rest and answer.body != coded:
        assert meaning(coding, coded) not in {None, SMALL}, "another valid br body"


@pytest.mark.slow
@pytest.mark.parametrize("pieces", PIECES)
@pytest.mark.parametrize("coding", [b"gzip", b"deflate", b"zstd"])
def test_what_stands_behind_the_end_is_ignored_and_the_page_is_captured(coding: bytes, pieces: int) -> None:
    encode, decode = CODERS[coding]
    coded = encode(LARGE) + b"\n<!-- served by box7 -->\n"
    for framing in FRAMINGS:
        answer = answer_to(coding, coded, framing, pieces)
        assert answer.complete
        assert answer.body != coded
        assert without_tag(decode(answer.body)) == LARGE
    companion = InMemoryNode()
    companion.application.answers(html(coded, b"Content-Encoding: " + coding))
    companion.get(b"/", ACCEPT)
    assert companion.page.body == LARGE


@pytest.mark.parametrize("coding", CODERS)
def test_what_was_decoded_before_the_damage_reaches_the_visitor(coding: bytes) -> None:
    """As with the application's own bytes, the visitor sees the page up to the damage."""
    coded = FAULTS["half"](CODERS[coding][0](LARGE))
    answer = answer_to(coding, coded, "length", 7)
    # A whole block of zstd is decoded at once: nothing was sent.
    assert not answer.complete or (coding == b"zstd" and answer.body == coded)
    assert len(answer.body) > len(coded) // 2


@pytest.mark.parametrize("coding", [b"", *CODERS])
@pytest.mark.parametrize("skip_if", ["", "nowhere"])
def test_what_came_before_the_application_broke_off_reaches_the_visitor(coding: bytes, skip_if: str) -> None:
    """Also what was held back: the start of a head, coded input without output, a page that is read whole."""
    start = (CODERS[coding][0](SMALL) if coding else SMALL)[:50]
    companion = InMemoryNode(inject=InjectTable(skip_if=skip_if))
    fields = [b"Content-Encoding: " + coding] if coding else []
    companion.application.answers(html(b"", b"Content-Length: 1000", *fields, length=False) + start, then="end")
    visitor = companion.connect()
    visitor.send(request(b"/", ACCEPT))
    companion.run()
    (answer,) = read_responses(visitor.received, [b"GET"], visitor.eof or visitor.closed)
    assert not answer.complete
    if skip_if or coding == b"zstd":
        assert answer.body == start
    elif not coding:
        assert without_tag(answer.body) == start
    else:
        assert answer.body == start or len(answer.body) > 20
    assert companion.captured == []
    assert companion.counters.capturing_bytes == companion.copies.pending == 0


def test_a_coded_body_without_content_is_not_held_without_end() -> None:
    """Empty blocks of deflate take five bytes each and decode to nothing."""
    companion = InMemoryNode(capture=CaptureTable(max_page_bytes=10_000))
    start = gzip.compress(b"", mtime=0)[:10]
    companion.application.answers(
        html(b"", b"Transfer-Encoding: chunked", b"Content-Encoding: gzip", length=False)
        + chunk_bodies([start, b""])[0]
    )
    visitor = companion.connect()
    visitor.send(request(b"/", ACCEPT))
    companion.run()
    blocks = b"\0\0\0\xff\xff" * 100
    for _ in range(30):
        companion.application.connections[0].send(chunk_bodies([blocks, b""])[0])
        companion.run()
    (answer,) = read_responses(visitor.received, [b"GET"], False)
    assert answer.body == start + blocks * 30
    assert companion.counters.not_injected == {"larger than max_page_bytes": 1}


@pytest.mark.parametrize("coding", [b"br", b"zstd", b"gzip"])
@pytest.mark.slow
def test_a_page_that_becomes_a_bomb_is_not_decoded_in_one_turn(coding: bytes) -> None:
    """The work of one read from the application is bounded; the visitor notices that the page ends there."""
    bomb = bytes(64_000_000)
    encode = CODERS[coding][0]
    head = LARGE[:30_000]
    if coding == b"gzip":
        deflater = zlib.compressobj(wbits=31)
        coded = [
            deflater.compress(head) + deflater.flush(zlib.Z_SYNC_FLUSH),
            deflater.compress(bomb) + deflater.flush(),
        ]
    elif coding == b"zstd":
        framer = zstd.ZstdCompressor()
        coded = [framer.compress(head, framer.FLUSH_BLOCK), framer.compress(bomb, framer.FLUSH_FRAME)]
    else:
        packer = brotli.Compressor(quality=3)
        coded = [packer.process(head) + packer.flush(), packer.process(bomb) + packer.finish()]
    companion = InMemoryNode()
    companion.application.answers(
        html(b"", b"Transfer-Encoding: chunked", b"Content-Encoding: " + coding, length=False)
        + chunk_bodies([coded[0], b""])[0]
    )
    visitor = companion.connect()
    visitor.send(request(b"/", ACCEPT))
    companion.run()
    companion.application.connections[0].send(chunk_bodies([coded[1]])[0])
    companion.run()
    (answer,) = read_responses(visitor.received, [b"GET"], visitor.eof)
    assert not answer.complete
    assert companion.captured == []
    assert len(answer.body) < 1_000_000 + len(encode(head))


@pytest.mark.slow
def test_a_large_page_of_many_like_rows_is_no_bomb() -> None:
    chance = Random("rows")
    rows = b"".join(b"<tr><td>%d" % chance.getrandbits(60) + b"<td>0" * 240 for _ in range(16_000))
    deflater = zlib.compressobj(wbits=31)
    coded = [deflater.compress(LARGE) + deflater.flush(zlib.Z_SYNC_FLUSH), deflater.compress(rows) + deflater.flush()]
    assert 30 < len(rows) / len(coded[1]) < 100
    assert len(rows) > 17_000_000
    companion = InMemoryNode()
    companion.application.answers(
        html(b"", b"Transfer-Encoding: chunked", b"Content-Encoding: gzip", length=False)
        + chunk_bodies([coded[0], b""])[0]
    )
    visitor = companion.connect()
    visitor.send(request(b"/", ACCEPT))
    companion.run()
    companion.application.connections[0].send(chunk_bodies([coded[1]])[0])
    companion.run()
    (answer,) = read_responses(visitor.received, [b"GET"], visitor.eof)
    assert answer.complete
    assert without_tag(gzip.decompress(answer.body)) == LARGE + rows
