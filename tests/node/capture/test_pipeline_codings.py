"""Pages in every coding on their way through the machine: tag and copy at any cut, and whatever is odd passes by."""

from __future__ import annotations

import gzip
import zlib

import brotli
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbcompanion.http1.coding_libraries import zstd
from lbcompanion.settings import InjectTable, LimitsTable
from lbcompanion.testing.strategies import cuts
from tests.support.in_memory_node import (
    PAGE,
    TAG_START,
    InMemoryNode,
    chunked,
    html,
    read_responses,
    request,
    without_tag,
)

CODERS = {
    b"gzip": (gzip.compress, gzip.decompress),
    b"deflate": (zlib.compress, zlib.decompress),
    b"br": (brotli.compress, brotli.decompress),
    b"zstd": (zstd.compress, zstd.decompress),
}
ACCEPT = b"Accept-Encoding: gzip, deflate, br, zstd"
LONG = PAGE.replace(b"<p>", b"<p>" + b"many words " * 500)


def written(coding: bytes, pieces: list[bytes]) -> list[bytes]:
    """Pieces as an application flushes them."""
    if coding == b"br":
        packer = brotli.Compressor()
        return [*[packer.process(piece) + packer.flush() for piece in pieces], packer.finish()]
    if coding == b"zstd":
        framer = zstd.ZstdCompressor()
        return [*[framer.compress(piece, framer.FLUSH_BLOCK) for piece in pieces], framer.flush()]
    deflater = zlib.compressobj(wbits=31 if coding == b"gzip" else 15)
    return [*[deflater.compress(piece) + deflater.flush(zlib.Z_SYNC_FLUSH) for piece in pieces], deflater.flush()]


@pytest.mark.slow
@given(st.sampled_from(sorted(CODERS)), st.booleans(), st.data())
def test_tag_and_copy_at_any_cut(coding: bytes, by_length: bool, data: st.DataObject) -> None:
    write, read = CODERS[coding]
    body = write(LONG)
    fields = b"Content-Encoding: " + coding
    if by_length:
        raw = html(body, fields)
    else:
        raw = chunked(*data.draw(cuts(body))).replace(b"\r\n\r\n", b"\r\n" + fields + b"\r\n\r\n", 1)
    companion = InMemoryNode()
    companion.application.answers(*data.draw(cuts(raw)))
    answer = companion.get(b"/", ACCEPT)
    assert answer.all(b"content-encoding") == [coding]
    page = read(answer.body)
    assert page.count(TAG_START) == 1
    assert without_tag(page) == LONG
    assert companion.page.body == LONG
    assert companion.counters.capturing_bytes == companion.copies.pending == 0


@pytest.mark.parametrize("coding", CODERS)
def test_a_page_flows_as_it_comes(coding: bytes) -> None:
    companion = InMemoryNode()
    head = html(b"", b"Transfer-Encoding: chunked", b"Content-Encoding: " + coding, length=False)
    pieces = [PAGE, b"<p>more</p>", b"<p>and more</p>"]
    coded = written(coding, pieces)
    companion.application.answers(head)
    visitor = companion.connect()
    visitor.send(request(b"/", ACCEPT))
    companion.run()
    for at, piece in enumerate(coded[:-1]):
        companion.application.connections[0].send(b"%x\r\n%b\r\n" % (len(piece), piece))
        companion.run()
        (answer,) = read_responses(visitor.received, [b"GET"], False)
        assert without_tag(b"".join(_flushed(coding, answer.body))) == b"".join(pieces[: at + 1])
    last = coded[-1]
    companion.application.connections[0].send((b"%x\r\n%b\r\n" % (len(last), last) if last else b"") + b"0\r\n\r\n")
    companion.run()
    (answer,) = read_responses(visitor.received, [b"GET"], False)
    assert answer.complete
    assert without_tag(CODERS[coding][1](answer.body)) == b"".join(pieces) == companion.page.body


def _flushed(coding: bytes, body: bytes) -> list[bytes]:
    if coding == b"br":
        reader = brotli.Decompressor()
        return [reader.process(body), reader.process(b"")]
    if coding == b"zstd":
        return [zstd.ZstdDecompressor().decompress(body)]
    return [zlib.decompressobj(31 if coding == b"gzip" else 15).decompress(body)]


@pytest.mark.parametrize("coding", [b"gzip, br", b"gzip, gzip", b"dcb", b"dcz", b"compress", b"x"])
def test_other_codings_pass_by_uncaptured(coding: bytes) -> None:
    companion = InMemoryNode()
    companion.application.answers(html(PAGE, b"Content-Encoding: " + coding))
    answer = companion.get(b"/", ACCEPT)
    assert answer.body == PAGE
    assert answer.all(b"content-encoding") == [coding]
    assert companion.captured == []


@pytest.mark.slow
@pytest.mark.parametrize("coding", CODERS)
@pytest.mark.parametrize("inject", [True, False])
def test_bombs_give_no_copy(coding: bytes, inject: bool) -> None:
    bomb = PAGE + bytes(8_000_000)
    companion = InMemoryNode(inject=InjectTable(enabled=inject), limits=LimitsTable(expansion_ratio=50))
    companion.application.answers(html(CODERS[coding][0](bomb), b"Content-Encoding: " + coding))
    visitor = companion.connect()
    visitor.send(request(b"/", ACCEPT))
    companion.run()
    assert companion.captured == []
    assert sum(companion.counters.not_captured.values()) == 1
    assert companion.counters.capturing_bytes == companion.copies.pending == 0
    (answer,) = read_responses(visitor.received, [b"GET"], visitor.eof)
    assert without_tag(CODERS[coding][1](answer.body)) == bomb


@pytest.mark.parametrize("coding", CODERS)
def test_what_is_no_such_coding_passes_as_it_is(coding: bytes) -> None:
    for pieces in (1, 3):
        companion = InMemoryNode()
        raw = html(PAGE, b"Content-Encoding: " + coding)
        step = len(raw) // pieces + 1
        companion.application.answers(*[raw[at : at + step] for at in range(0, len(raw), step)])
        assert companion.get(b"/", ACCEPT).body == PAGE
        assert companion.captured == []


@given(st.sampled_from(sorted(CODERS)), st.integers(1, 60), st.booleans(), st.data())
def test_a_coded_page_cut_short_gives_no_copy(coding: bytes, missing: int, inject: bool, data: st.DataObject) -> None:
    body = CODERS[coding][0](LONG)
    body = body[: max(1, len(body) - missing)]
    companion = InMemoryNode(inject=InjectTable(enabled=inject))
    companion.application.answers(*data.draw(cuts(html(body, b"Content-Encoding: " + coding))))
    answer = companion.get(b"/", ACCEPT)
    assert companion.captured == []
    assert companion.counters.capturing_bytes == companion.copies.pending == 0
    if not inject:
        assert answer.body == body
