"""Content codings: every member, both readings of deflate, any cut, bounded steps, no silent end."""

from __future__ import annotations

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbcompanion.http1.codings import CodingError, Decoder, Encoder, offer
from lbcompanion.testing.strategies import cuts

STEP = 262144


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(6, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


WRITERS = {
    "gzip": (b"gzip", gzip.compress),
    "x-gzip": (b"x-gzip", gzip.compress),
    "deflate as zlib": (b"deflate", zlib.compress),
    "deflate alone": (b"deflate", raw_deflate),
}


def decoded(coding: bytes, pieces: list[bytes]) -> bytes:
    decoder = Decoder(coding)
    out = b"".join(step for piece in pieces for step in decoder.steps(piece))
    decoder.finish()
    assert (decoder.taken, decoder.given) == (sum(map(len, pieces)), len(out))
    return out


@given(st.sampled_from(sorted(WRITERS)), st.binary(max_size=300), st.data())
def test_any_cut_gives_the_same(name: str, data: bytes, draw: st.DataObject) -> None:
    coding, write = WRITERS[name]
    assert decoded(coding, draw.draw(cuts(write(data)))) == data


@given(st.lists(st.binary(max_size=60), min_size=1, max_size=4), st.integers(0, 5), st.data())
def test_every_member_of_a_gzip_stream_is_read(members: list[bytes], padding: int, data: st.DataObject) -> None:
    coded = b"".join(map(gzip.compress, members)) + bytes(padding)
    assert decoded(b"gzip", data.draw(cuts(coded))) == b"".join(members)


@pytest.mark.parametrize("name", WRITERS)
def test_what_is_cut_short_is_told(name: str) -> None:
    coding, write = WRITERS[name]
    coded = write(b"a page that goes on for a while " * 20)
    for end in (1, 2, 5, len(coded) // 2, len(coded) - 1):
        with pytest.raises(CodingError):
            decoded(coding, [coded[:end]])
    with pytest.raises(CodingError):
        decoded(b"gzip", [gzip.compress(b"one") + gzip.compress(b"two")[:9]])


def test_nothing_is_nothing() -> None:
    assert decoded(b"gzip", []) == b""
    assert decoded(b"deflate", [b""]) == b""


@pytest.mark.parametrize("coding", [b"gzip", b"deflate"])
def test_what_is_broken_is_told(coding: bytes) -> None:
    with pytest.raises(CodingError):
        decoded(coding, [b"<!DOCTYPE html><p>not coded at all</p>"])


def test_what_follows_is_told() -> None:
    for coded in (gzip.compress(b"page") + b"more", gzip.compress(b"page")[:-8] + bytes(8)):
        with pytest.raises(CodingError):
            decoded(b"gzip", [coded])
    with pytest.raises(CodingError):
        decoded(b"deflate", [zlib.compress(b"page") + b"x"])


@pytest.mark.parametrize("name", WRITERS)
def test_a_bomb_stays_in_bounded_steps(name: str) -> None:
    coding, write = WRITERS[name]
    decoder = Decoder(coding)
    sizes = []
    for step in decoder.steps(write(bytes(20_000_000))):
        sizes.append(len(step))
        if decoder.given > decoder.taken * 100:
            break
    assert max(sizes) <= STEP
    assert decoder.given < 5_000_000


def test_a_step_that_ends_with_the_stream() -> None:
    for size in (STEP - 1, STEP, STEP + 1, 2 * STEP):
        for _, (coding, write) in WRITERS.items():
            assert decoded(coding, [write(bytes(size))]) == bytes(size)


@given(
    st.sampled_from([b"gzip", b"deflate", b"x-gzip"]),
    st.lists(st.binary(max_size=50), max_size=5),
    st.binary(max_size=9),
)
def test_what_is_encoded_comes_back(coding: bytes, pieces: list[bytes], last: bytes) -> None:
    encoder = Encoder(coding)
    coded = [encoder.feed(piece) for piece in pieces]
    flushed = b"".join(coded)
    # Each step is flushed: what was fed can be read before the end comes.
    reader = Decoder(coding)
    assert b"".join(reader.steps(flushed)) == b"".join(pieces)
    whole = flushed + encoder.finish(last)
    assert decoded(coding, [whole]) == b"".join(pieces) + last
    other = gzip.decompress if coding != b"deflate" else zlib.decompress
    assert other(whole) == b"".join(pieces) + last


@pytest.mark.parametrize(
    ("accept", "offered"),
    [
        (b"gzip, deflate, br, zstd", b"gzip, deflate"),
        (b"GZIP;q=1.0, br;q=0.5, *;q=0", b"GZIP;q=1.0"),
        (b"br", b"identity"),
        (b"dcb, dcz", b"identity"),
        (b"", b"identity"),
        (None, b"identity"),
        (b"*", b"identity"),
    ],
)
def test_only_what_can_be_undone_is_offered(accept: bytes | None, offered: bytes) -> None:
    assert offer(accept) == offered
