"""Readers: members and frames, bombs of every kind, and ISA-L read as zlib reads."""

from __future__ import annotations

import gzip
import itertools
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from functools import cache
from typing import Any

import brotli
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbcompanion.http1.coding_libraries import zstd
from lbcompanion.http1.decoders import (
    MAX_PIECE_BYTES,
    BrotliDecoder,
    CodingError,
    DeflateDecoder,
    StreamDecoder,
    ZstdDecoder,
)
from lbcompanion.testing.strategies import cuts
from tests.support.deflate_backends import BACKENDS

MIB = 1048576
SKIPPABLE = struct.pack("<II", 0x184D2A50, 5) + b"notes"


def read(reader: StreamDecoder, *pieces: bytes) -> bytes:
    out = b"".join(step for piece in pieces for step in reader.decode(piece))
    reader.finish()
    return out


def frame(data: bytes, **options: int) -> bytes:
    names = {zstd.CompressionParameter[name]: value for name, value in options.items()}
    return zstd.compress(data, options={zstd.CompressionParameter.compression_level: 1, **names})


@pytest.mark.parametrize("backend", BACKENDS)
@given(st.lists(st.binary(max_size=60), min_size=1, max_size=4), st.integers(0, 5), st.data())
def test_every_member_at_any_cut(backend: Any, members: list[bytes], padding: int, data: st.DataObject) -> None:
    coded = bytes(padding).join(map(gzip.compress, members)) + bytes(padding)
    assert read(DeflateDecoder(gzip=True, backend=backend), *data.draw(cuts(coded))) == b"".join(members)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("wbits", [31, 15, -15])
@given(st.binary(max_size=400), st.data())
def test_what_zlib_reads_to_its_end_is_read_alike(backend: Any, wbits: int, body: bytes, data: st.DataObject) -> None:
    packer = zlib.compressobj(data.draw(st.integers(0, 9)), zlib.DEFLATED, wbits, strategy=data.draw(st.integers(0, 4)))
    coded = packer.compress(body) + packer.flush(data.draw(st.sampled_from([2, 3]))) + packer.compress(body)
    coded += packer.flush()
    assert read(DeflateDecoder(gzip=wbits == 31, backend=backend), *data.draw(cuts(coded))) == body * 2


@given(st.lists(st.binary(max_size=60), min_size=1, max_size=4), st.data())
def test_every_frame_and_skippable_ones_at_any_cut(frames: list[bytes], data: st.DataObject) -> None:
    between = data.draw(st.sampled_from([b"", SKIPPABLE, SKIPPABLE * 2]))
    coded = between + between.join(map(frame, frames)) + between
    assert read(ZstdDecoder(), *data.draw(cuts(coded))) == b"".join(frames)


def test_a_frame_cut_short_behind_another_is_reported() -> None:
    for behind in (frame(b"two")[:-1], SKIPPABLE[:-1], b"\x28\xb5"):
        with pytest.raises(CodingError):
            read(ZstdDecoder(), frame(b"one"), behind)


@pytest.mark.parametrize("backend", BACKENDS)
def test_members_without_content_come_to_an_end(backend: Any) -> None:
    empty = gzip.compress(b"")
    assert read(DeflateDecoder(gzip=True, backend=backend), (empty * 90 + gzip.compress(b"page")) * 2) == b"pagepage"
    with pytest.raises(CodingError):
        read(DeflateDecoder(gzip=True, backend=backend), empty * 1000)


def test_frames_without_content_come_to_an_end() -> None:
    assert read(ZstdDecoder(), (SKIPPABLE * 90 + frame(b"page")) * 2) == b"pagepage"
    for empty in (SKIPPABLE, frame(b"")):
        with pytest.raises(CodingError):
            read(ZstdDecoder(), empty * 1000)


@pytest.mark.slow
def test_windows_of_zstd_end_at_eight_mebibytes() -> None:
    body = bytes(range(256)) * 40960
    allowed = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: 23})
    beyond = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: 24})
    # In two pieces, so that the frame cannot say how long it is and needs its window.
    coded = allowed.compress(body[:100]) + allowed.compress(body[100:], allowed.FLUSH_FRAME)
    assert read(ZstdDecoder(), coded) == body
    coded = beyond.compress(body[:100]) + beyond.compress(body[100:], beyond.FLUSH_FRAME)
    with pytest.raises(CodingError, match="window"):
        read(ZstdDecoder(), coded)


def test_a_frame_that_lies_about_its_size_costs_nothing() -> None:
    # RFC 8878 section 3.1.1: magic, descriptor (a single segment, eight bytes of size), a size of 2^62, and no block.
    lie = b"\x28\xb5\x2f\xfd" + bytes([0b11100000]) + struct.pack("<Q", 1 << 62) + b"\x01\x00\x00"
    with pytest.raises(CodingError):
        read(ZstdDecoder(), lie)


@pytest.mark.slow
def test_a_dictionary_that_nobody_has_is_reported() -> None:
    samples = [b"<p>page number %d</p>" % number for number in range(2000)]
    dictionary = zstd.train_dict(samples, 2000)
    with pytest.raises(CodingError):
        read(ZstdDecoder(), zstd.compress(b"<p>page number 77</p>" * 9, zstd_dict=dictionary))


def _deflate_bomb(wbits: int) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, wbits)
    return packer.compress(bytes(32 * MIB)) + packer.flush()


#: Made when a test asks for them: that takes seconds.
BOMBS: dict[str, tuple[Callable[[], StreamDecoder], Callable[[], bytes]]] = {
    "gzip": (lambda: DeflateDecoder(gzip=True), lambda: _deflate_bomb(31)),
    "gzip, by zlib": (lambda: DeflateDecoder(gzip=True, backend=zlib), lambda: _deflate_bomb(31)),
    "deflate": (lambda: DeflateDecoder(gzip=False), lambda: _deflate_bomb(15)),
    "br": (BrotliDecoder, lambda: brotli.compress(bytes(32 * MIB), lgwin=24)),
    "zstd": (ZstdDecoder, lambda: zstd.compress(bytes(32 * MIB), 19)),
    "zstd, many frames": (ZstdDecoder, lambda: zstd.compress(bytes(MIB)) * 32),
}


@cache
def bomb(name: str) -> tuple[Callable[[], StreamDecoder], bytes]:
    make, made = BOMBS[name]
    return make, made()


@pytest.mark.slow
@pytest.mark.parametrize("name", BOMBS)
@pytest.mark.parametrize("piece", [1, 1000, 1000000])
def test_bombs_go_off_in_bounded_steps_and_memory(name: str, piece: int) -> None:
    make, coded = bomb(name)
    reader = make()
    given_bytes = largest = 0
    tracemalloc.start()
    try:
        for at in range(0, len(coded), piece):
            for step in reader.decode(coded[at : at + piece]):
                given_bytes += len(step)
                largest = max(largest, len(step))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    reader.finish()
    assert given_bytes == 32 * MIB
    assert 0 < largest <= MAX_PIECE_BYTES
    assert peak < 4 * MIB


@pytest.mark.slow
@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_can_be_left_after_any_step(name: str) -> None:
    make, coded = bomb(name)
    pieces = list(itertools.islice(make().decode(coded), 3))
    assert sum(map(len, pieces)) <= 3 * MAX_PIECE_BYTES


@pytest.mark.parametrize(
    "make",
    [lambda: DeflateDecoder(gzip=True), lambda: DeflateDecoder(gzip=True, backend=zlib), BrotliDecoder, ZstdDecoder],
)
@given(st.data())
def test_what_was_flushed_is_given_at_once(make: Any, data: st.DataObject) -> None:
    body = data.draw(st.binary(min_size=1, max_size=80)) * data.draw(st.sampled_from([1, 500, 5000]))
    if make is BrotliDecoder:
        packer = brotli.Compressor()
        coded = packer.process(body) + packer.flush()
    elif make is ZstdDecoder:
        framer = zstd.ZstdCompressor()
        coded = framer.compress(body, framer.FLUSH_BLOCK)
    else:
        deflater = zlib.compressobj(6, zlib.DEFLATED, 31)
        coded = deflater.compress(body) + deflater.flush(zlib.Z_SYNC_FLUSH)
    reader = make()
    assert b"".join(step for piece in data.draw(cuts(coded)) for step in reader.decode(piece)) == body
    with pytest.raises(CodingError):
        reader.finish()
