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
from tests.support.in_memory_node import PAGE, TAG_START, Rig, chunked, html, read_answers, request, without_tag

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


@given(st.sampled_from(sorted(CODERS)), st.booleans(), st.data())
def test_tag_and_copy_at_any_cut(coding: bytes, by_length: bool, data: st.DataObject) -> None:
    write, read = CODERS[coding]
    body = write(LONG)
    fields = b"Content-Encoding: " + coding
    if by_length:
        raw = html(body, fields)
    else:
        raw = chunked(*data.draw(cuts(body))).replace(b"\r\n\r\n", b"\r\n" + fields + b"\r\n\r\n", 1)
    rig = Rig()
    rig.app.answers(*data.draw(cuts(raw)))
    answer = rig.get(b"/", ACCEPT)
    assert answer.all(b"content-encoding") == [coding]
    page = read(answer.body)
    assert page.count(TAG_START) == 1
    assert without_tag(page) == LONG
    assert rig.page.body == LONG
    assert rig.counters.capturing_bytes == rig.copies.pending == 0


@pytest.mark.parametrize("coding", CODERS)
def test_a_page_flows_as_it_comes(coding: bytes) -> None:
    rig = Rig()
    head = html(b"", b"Transfer-Encoding: chunked", b"Content-Encoding: " + coding, length=False)
    pieces = [PAGE, b"<p>more</p>", b"<p>and more</p>"]
    coded = written(coding, pieces)
    rig.app.answers(head)
    visitor = rig.connect()
    visitor.send(request(b"/", ACCEPT))
    rig.run()
    for at, piece in enumerate(coded[:-1]):
        rig.app.connections[0].send(b"%x\r\n%b\r\n" % (len(piece), piece))
        rig.run()
        (answer,) = read_answers(visitor.received, [b"GET"], False)
        assert without_tag(b"".join(_flushed(coding, answer.body))) == b"".join(pieces[: at + 1])
    last = coded[-1]
    rig.app.connections[0].send((b"%x\r\n%b\r\n" % (len(last), last) if last else b"") + b"0\r\n\r\n")
    rig.run()
    (answer,) = read_answers(visitor.received, [b"GET"], False)
    assert answer.whole
    assert without_tag(CODERS[coding][1](answer.body)) == b"".join(pieces) == rig.page.body


def _flushed(coding: bytes, body: bytes) -> list[bytes]:
    if coding == b"br":
        reader = brotli.Decompressor()
        return [reader.process(body), reader.process(b"")]
    if coding == b"zstd":
        return [zstd.ZstdDecompressor().decompress(body)]
    return [zlib.decompressobj(31 if coding == b"gzip" else 15).decompress(body)]


@pytest.mark.parametrize("coding", [b"gzip, br", b"gzip, gzip", b"dcb", b"dcz", b"compress", b"x"])
def test_other_codings_pass_by_uncaptured(coding: bytes) -> None:
    rig = Rig()
    rig.app.answers(html(PAGE, b"Content-Encoding: " + coding))
    answer = rig.get(b"/", ACCEPT)
    assert answer.body == PAGE
    assert answer.all(b"content-encoding") == [coding]
    assert rig.kept == []


@pytest.mark.slow
@pytest.mark.parametrize("coding", CODERS)
@pytest.mark.parametrize("inject", [True, False])
def test_bombs_give_no_copy(coding: bytes, inject: bool) -> None:
    bomb = PAGE + bytes(8_000_000)
    rig = Rig(inject=InjectTable(enabled=inject), limits=LimitsTable(expansion_ratio=50))
    rig.app.answers(html(CODERS[coding][0](bomb), b"Content-Encoding: " + coding))
    visitor = rig.connect()
    visitor.send(request(b"/", ACCEPT))
    rig.run()
    assert rig.kept == []
    assert sum(rig.counters.not_captured.values()) == 1
    assert rig.counters.capturing_bytes == rig.copies.pending == 0
    (answer,) = read_answers(visitor.received, [b"GET"], visitor.eof)
    assert without_tag(CODERS[coding][1](answer.body)) == bomb


@pytest.mark.parametrize("coding", CODERS)
def test_what_is_no_such_coding_passes_as_it_is(coding: bytes) -> None:
    for pieces in (1, 3):
        rig = Rig()
        raw = html(PAGE, b"Content-Encoding: " + coding)
        step = len(raw) // pieces + 1
        rig.app.answers(*[raw[at : at + step] for at in range(0, len(raw), step)])
        assert rig.get(b"/", ACCEPT).body == PAGE
        assert rig.kept == []


@given(st.sampled_from(sorted(CODERS)), st.integers(1, 60), st.booleans(), st.data())
def test_a_coded_page_cut_short_gives_no_copy(coding: bytes, missing: int, inject: bool, data: st.DataObject) -> None:
    body = CODERS[coding][0](LONG)
    body = body[: max(1, len(body) - missing)]
    rig = Rig(inject=InjectTable(enabled=inject))
    rig.app.answers(*data.draw(cuts(html(body, b"Content-Encoding: " + coding))))
    answer = rig.get(b"/", ACCEPT)
    assert rig.kept == []
    assert rig.counters.capturing_bytes == rig.copies.pending == 0
    if not inject:
        assert answer.body == body
