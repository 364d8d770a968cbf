"""Coded bodies, read by us at two cuts and by the libraries' own plain calls.

An input is a few bytes that choose the coding and where it is cut, and a coded body. Broken is: whatever raises but a
refusal; a piece beyond the bound; another outcome at another cut, or in one call; other bytes than zlib, brotli or zstd
give; a refusal of what they read to its end, but for what is refused on purpose; a body that does not come back when it
is coded anew.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Hashable, Iterable, Sequence
from itertools import pairwise
from random import Random

from fuzz.target import Target
from lbcompanion.http1.coding_libraries import brotli, zstd
from lbcompanion.http1.codings import CodingError, Decoder, Encoder, TooLarge, decode_whole, encode_whole
from lbcompanion.http1.decoders import MAX_PIECE_BYTES

CHOICES = 5
CODINGS = (b"gzip", b"deflate", b"br", b"zstd")
MOST = 1 << 20
TOKENS: tuple[bytes, ...] = (
    *(gzip.compress(b"<p>", mtime=0), gzip.compress(b"", mtime=0), zlib.compress(b"a" * 300), zstd.compress(b"<p>x")),
    *(b"\x1f\x8b\x08\x00", b"\x1f\x8b\x08\x1c", b"\x78\x9c", b"\x28\xb5\x2f\xfd", b"\x50\x2a\x4d\x18\x03\0\0\0abc"),
    *(b"\0" * 8, b"\xff" * 4, b"\x01\x00\x00\xff\xff", b"\x00\x00\x00\xff\xff", b"\x03\x00", b"\x0b\x00\x80", b"\x03"),
    *(b"\x37\xa4\x30\xec", b"\xed\xfd", b"\x63\x60", brotli.compress(b"<html>" * 9)),
)


def _theirs(coding: bytes, data: bytes) -> bytes | None:
    """The output of the library for the whole input; None if it refuses it, or if the output exceeds the bound."""
    out = b""
    try:
        if coding == b"zstd":
            while data:
                reader = zstd.ZstdDecompressor()
                out += reader.decompress(data, MOST + 1)
                if not reader.eof:
                    return None
                data = reader.unused_data
            return out
        if coding == b"br":
            return _all(brotli.Decompressor(), data)
        wbits = 31 if coding == b"gzip" else 15 if data[:1] and _zlib_header(data) else -15
        while data:
            z = zlib.decompressobj(wbits)
            out += z.decompress(data, MOST + 1)
            if not z.eof or (coding == b"deflate" and z.unused_data):
                return None
            data = z.unused_data.lstrip(b"\0")
    except (zlib.error, brotli.error, zstd.ZstdError):
        return None
    return out


def _zlib_header(data: bytes) -> bool:
    return len(data) > 1 and data[0] & 15 == 8 and (data[0] * 256 + data[1]) % 31 == 0


def _all(reader: brotli.Decompressor, data: bytes) -> bytes | None:
    out: bytes = reader.process(data, output_buffer_limit=MAX_PIECE_BYTES)
    while not reader.is_finished():
        more = reader.process(b"", output_buffer_limit=MAX_PIECE_BYTES)
        out += more
        if not more or len(out) > MOST:
            return None
    return out


def _ours(coding: bytes, pieces: Iterable[bytes]) -> bytes | None:
    """The output of the companion; None if it refuses the input. It stops at the bound."""
    decoder = Decoder(coding)
    out = []
    try:
        for piece in pieces:
            for step in decoder.decode(piece):
                assert 0 < len(step) <= MAX_PIECE_BYTES
                out.append(step)
                if decoder.bytes_out > MOST:
                    return None
        decoder.finish()
    except CodingError:
        return None
    return b"".join(out)


def _refused_on_purpose(coding: bytes, data: bytes) -> bool:
    """Members in a row without content, and windows that RFC 9659 forbids."""
    return data.count(b"\x1f\x8b" if coding == b"gzip" else b"\x2a\x4d\x18") > 100 or coding == b"zstd"


def check(data: bytes) -> Hashable:
    """See :class:`fuzz.target.Target`."""
    choices, coded = data[:CHOICES], data[CHOICES:]
    coding = CODINGS[choices[0] % len(CODINGS)]
    edges = sorted({0, *(place * len(coded) // 256 for place in choices[1:]), len(coded)})
    ours = _ours(coding, [coded])
    cut = _ours(coding, [coded[start:end] for start, end in pairwise(edges)])
    if coding == b"zstd" and None in (cut, ours) and cut != ours:
        # libzstd holds a frame against the size in its header only where all of the frame is there at once.
        return "a frame of another size than it says"
    if coding == b"br" and ours is None and cut is not None:
        # The library does not tell where a br body ends: what follows is ignored only in a piece of its own.
        return "bytes behind a br body"
    assert cut == ours, "another cut"
    try:
        whole = decode_whole(coding, coded, MOST)
    except TooLarge:
        whole = None
    except CodingError:
        whole = None
    assert whole == ours, "other in one call"
    theirs = _theirs(coding, coded)
    if theirs is not None and len(theirs) <= MOST:
        assert ours == theirs or (ours is None and _refused_on_purpose(coding, coded)), "other than the library"
    if ours is not None:
        encoder = Encoder(coding)
        half = len(ours) // 2
        for recoded in (encode_whole(coding, ours), encoder.feed(ours[:half]) + encoder.finish(ours[half:])):
            assert _theirs(coding, recoded) == ours, "does not come back"
    return coding, ours is None, theirs is None, len(bin(len(ours or b""))), len(bin(len(coded)))


def _seeds(random: Random) -> Sequence[bytes]:
    bodies = [b"", b"<!doctype html><p>page</p>", b"<li>spade</li>" * 400, random.randbytes(300), bytes(400000)]
    writers: list[tuple[int, Callable[[bytes], bytes]]] = [
        (0, lambda body: gzip.compress(body, mtime=0)),
        (0, lambda body: gzip.compress(body[:9], mtime=0) + gzip.compress(body, 1, mtime=0) + b"\0\0"),
        (1, zlib.compress),
        (1, lambda body: zlib.compress(body, 9, -15)),
        (2, brotli.compress),
        (2, lambda body: brotli.compress(body, quality=1, lgwin=16)),
        (3, zstd.compress),
        (3, lambda body: zstd.compress(body, options={zstd.CompressionParameter.checksum_flag: 1}) * 2),
    ]
    return [
        bytes((which,)) + random.randbytes(CHOICES - 1) + write(body) for which, write in writers for body in bodies
    ]


TARGET = Target(seeds=_seeds, tokens=TOKENS, check=check, choices=CHOICES, max_bytes=4096)
