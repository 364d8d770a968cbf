"""Writers: with ISA-L and with zlib alike, flushed, and the whole at once as small as the pieces."""

from __future__ import annotations

import gzip
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbcompanion.http1.coding_libraries import zstd
from lbcompanion.http1.encoders import DeflateEncoder, ZstdEncoder, encode_deflate, encode_zstd
from tests.support.deflate_backends import BACKENDS

PAGE = b"".join(b"<li><a href='/tools/%d'>Spade no. %d</a> %d.95</li>\n" % (n, n, n * 7919 % 97) for n in range(2000))


@pytest.mark.parametrize("backend", BACKENDS)
@given(st.lists(st.binary(max_size=200), max_size=4))
def test_either_library_writes_what_python_reads(backend: Any, pieces: list[bytes]) -> None:
    for gz, decompress in ((True, gzip.decompress), (False, zlib.decompress)):
        writer = DeflateEncoder(gzip=gz, backend=backend)
        coded = b"".join(map(writer.feed, pieces)) + writer.finish()
        assert decompress(coded) == b"".join(pieces)
        assert decompress(encode_deflate(b"".join(pieces), gzip=gz, backend=backend)) == b"".join(pieces)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_page_becomes_as_small_as_by_zlib_at_level_one(backend: Any) -> None:
    assert len(encode_deflate(PAGE, gzip=True, backend=backend)) < len(zlib.compress(PAGE, 1, wbits=31)) * 1.1


def test_no_time_or_name_is_written() -> None:
    coded = encode_deflate(PAGE, gzip=True)
    # RFC 1952 section 2.3: flags and time.
    assert coded[:8] == b"\x1f\x8b\x08\x00\x00\x00\x00\x00"
    assert coded == encode_deflate(PAGE, gzip=True)


def test_pages_in_turn_do_not_mix() -> None:
    first = encode_zstd(PAGE)
    assert encode_zstd(b"another") != first
    assert encode_zstd(PAGE) == first
    one, other = ZstdEncoder(), ZstdEncoder()
    coded = one.feed(b"one"), other.feed(b"two"), one.finish(b"1"), other.finish(b"2")
    assert zstd.decompress(coded[0] + coded[2]) == b"one1"
    assert zstd.decompress(coded[1] + coded[3]) == b"two2"


def test_windows_stay_small() -> None:
    # RFC 8878 section 3.1.1.1.2: the window's descriptor stands behind magic and frame header.
    coded = ZstdEncoder().feed(PAGE)
    exponent, mantissa = divmod(coded[5], 8)
    assert not coded[4] & 0b00100000
    assert ((1 << 10 + exponent) * (8 + mantissa)) // 8 <= 1 << 18
