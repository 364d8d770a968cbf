"""Content codings: any cut in, any cut out, bounded steps, no silent end; what is offered, and what is named."""

from __future__ import annotations

import gzip
import zlib
from time import process_time

import brotli
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbcompanion.http1.coding_libraries import zstd
from lbcompanion.http1.codings import (
    DECODABLE,
    CodingError,
    Decoder,
    Encoder,
    TooLarge,
    acceptable_codings,
    content_coding,
    decode_whole,
    encode_whole,
)
from lbcompanion.testing.strategies import cuts

MAX_PIECE_BYTES = 262144
MIB = 1048576


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(6, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


WRITERS = {
    "gzip": (b"gzip", gzip.compress),
    "x-gzip": (b"x-gzip", gzip.compress),
    "deflate as zlib": (b"deflate", zlib.compress),
    "deflate alone": (b"deflate", raw_deflate),
    "br": (b"br", brotli.compress),
    "zstd": (b"zstd", zstd.compress),
}
#: Who else reads what we write.
OTHERS = {
    b"gzip": gzip.decompress,
    b"x-gzip": gzip.decompress,
    b"deflate": zlib.decompress,
    b"br": brotli.decompress,
    b"zstd": zstd.decompress,
}
CODINGS = sorted(DECODABLE)


def decoded(coding: bytes, pieces: list[bytes]) -> bytes:
    decoder = Decoder(coding)
    out = b"".join(step for piece in pieces for step in decoder.decode(piece))
    decoder.finish()
    assert (decoder.bytes_in, decoder.bytes_out) == (sum(map(len, pieces)), len(out))
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
def test_what_is_cut_short_is_reported(name: str) -> None:
    coding, write = WRITERS[name]
    coded = write(b"a page that goes on for a while " * 20)
    for end in (1, 2, 5, len(coded) // 2, len(coded) - 1):
        with pytest.raises(CodingError):
            decoded(coding, [coded[:end]])
    with pytest.raises(CodingError):
        decoded(b"gzip", [gzip.compress(b"one") + gzip.compress(b"two")[:9]])


@pytest.mark.parametrize("coding", CODINGS)
def test_nothing_is_nothing(coding: bytes) -> None:
    assert decoded(coding, []) == b""
    assert decoded(coding, [b""]) == b""
    assert decode_whole(coding, b"", 0) == b""


@pytest.mark.parametrize("coding", CODINGS)
def test_what_is_broken_is_reported(coding: bytes) -> None:
    with pytest.raises(CodingError):
        decoded(coding, [b"<!DOCTYPE html><p>not coded at all</p>"])
    with pytest.raises(CodingError):
        decode_whole(coding, b"<!DOCTYPE html><p>not coded at all</p>", MIB)


BEHIND = [b"more", b"m", b"\n<!-- served by box7 -->\n", b"\x1f\x8c", b"\x28\xb5\x2f\xfe", bytes(9), b"\0\0more"]


@pytest.mark.parametrize("behind", BEHIND)
@pytest.mark.parametrize("name", [name for name in WRITERS if name != "br"])
def test_what_follows_is_ignored(name: str, behind: bytes) -> None:
    coding, write = WRITERS[name]
    coded = write(b"page") + behind
    for pieces in ([coded], [write(b"page"), behind], [coded[at : at + 1] for at in range(len(coded))]):
        assert decoded(coding, pieces) == b"page"
    assert decode_whole(coding, coded, MIB) == b"page"


@pytest.mark.parametrize("behind", BEHIND)
def test_what_follows_br_is_ignored_in_a_piece_of_its_own(behind: bytes) -> None:
    assert decoded(b"br", [brotli.compress(b"page"), behind]) == b"page"
    with pytest.raises(CodingError):
        decode_whole(b"br", brotli.compress(b"page") + behind, MIB)


@pytest.mark.parametrize(
    ("coding", "start"), [(b"gzip", b"\x1f"), (b"gzip", b"\x1f\x8b\x08"), (b"zstd", b"\x28\xb5\x2f")]
)
def test_a_further_member_that_is_cut_short_is_reported(coding: bytes, start: bytes) -> None:
    one = gzip.compress(b"page") if coding == b"gzip" else zstd.compress(b"page")
    with pytest.raises(CodingError):
        decoded(coding, [one + start])
    with pytest.raises(CodingError):
        decoded(coding, [one, *[start[at : at + 1] for at in range(len(start))]])


def test_a_wrong_sum_is_reported() -> None:
    coded = gzip.compress(b"page")
    for wrong in (coded[:-8] + bytes(8), coded[:-4] + bytes(4)):
        with pytest.raises(CodingError):
            decoded(b"gzip", [wrong])


@pytest.mark.slow
@pytest.mark.parametrize("name", WRITERS)
def test_a_bomb_stays_in_bounded_steps(name: str) -> None:
    coding, write = WRITERS[name]
    decoder = Decoder(coding)
    sizes = []
    for step in decoder.decode(write(bytes(20_000_000))):
        sizes.append(len(step))
        if decoder.bytes_out > decoder.bytes_in * 100:
            break
    assert max(sizes) <= MAX_PIECE_BYTES
    assert decoder.bytes_out < 5_000_000


@pytest.mark.slow
def test_a_step_that_ends_with_the_stream() -> None:
    for size in (MAX_PIECE_BYTES - 1, MAX_PIECE_BYTES, MAX_PIECE_BYTES + 1, 2 * MAX_PIECE_BYTES):
        for _, (coding, write) in WRITERS.items():
            assert decoded(coding, [write(bytes(size))]) == bytes(size)


@given(st.sampled_from(CODINGS), st.lists(st.binary(max_size=50), max_size=5), st.binary(max_size=9), st.data())
def test_what_is_encoded_comes_back(coding: bytes, pieces: list[bytes], last: bytes, data: st.DataObject) -> None:
    encoder = Encoder(coding)
    coded = [encoder.feed(piece) for piece in pieces]
    assert all(bool(one) == bool(piece) for one, piece in zip(coded, pieces, strict=True))
    flushed = b"".join(coded)
    # Each step is flushed: what was fed can be read before the end comes.
    reader = Decoder(coding)
    assert b"".join(reader.decode(flushed)) == b"".join(pieces)
    whole = flushed + encoder.finish(last)
    expected = b"".join(pieces) + last
    assert decoded(coding, data.draw(cuts(whole))) == expected
    assert OTHERS[coding](whole) == expected
    assert OTHERS[coding](encode_whole(coding, expected)) == expected
    assert decode_whole(coding, whole, len(expected)) == expected


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize(
    "size", [0, 1, 10240, MAX_PIECE_BYTES - 1, MAX_PIECE_BYTES, MAX_PIECE_BYTES + 1, 3 * MAX_PIECE_BYTES + 7]
)
def test_a_whole_body_is_as_its_pieces(coding: bytes, size: int) -> None:
    body = (b"<p>caf\xc3\xa9 %d</p>" % size) * (size // 8 + 1)
    body = body[:size]
    encoder = Encoder(coding)
    stepwise = encoder.feed(body[: size // 2]) + encoder.finish(body[size // 2 :])
    for coded in (encode_whole(coding, body), stepwise):
        assert decode_whole(coding, coded, size) == body
        assert OTHERS[coding](coded) == body
        if size:
            with pytest.raises(TooLarge):
                decode_whole(coding, coded, size - 1)
            with pytest.raises(CodingError):
                decode_whole(coding, coded[:-1], size)


@given(st.sampled_from(sorted(WRITERS)), st.binary(max_size=100), st.data())
def test_one_altered_byte_is_reported_or_changes_what_comes_out(name: str, body: bytes, data: st.DataObject) -> None:
    coding, write = WRITERS[name]
    coded = bytearray(write(body))
    coded[data.draw(st.integers(0, len(coded) - 1))] ^= 1 << data.draw(st.integers(0, 7))

    def outcome(pieces: list[bytes]) -> bytes | None:
        try:
            return decoded(coding, pieces)
        except CodingError:
            return None

    whole = outcome([bytes(coded)])
    cut = outcome(data.draw(cuts(bytes(coded))))
    # An altered br body may end early: the rest is ignored only in a piece of its own.
    assert cut == whole or (coding == b"br" and whole is None)
    try:
        assert decode_whole(coding, bytes(coded), MIB) == whole
    except CodingError:
        assert whole is None


@pytest.mark.parametrize(
    ("values", "coding"),
    [
        ([], b""),
        ([b"identity"], b""),
        ([b"None"], b""),
        ([b"", b" "], b""),
        ([b" GZIP "], b"gzip"),
        ([b"gzip, identity"], b"gzip"),
        ([b"gzip,"], b"gzip"),
        ([b"gzip, br"], b"gzip, br"),
        ([b"gzip", b"br"], b"gzip, br"),
        ([b"gzip", b"gzip"], b"gzip, gzip"),
        ([b"dcb"], b"dcb"),
        ([b"UTF-8"], b""),
        ([b"utf8"], b""),
        ([b"ISO-8859-1"], b""),
        ([b"windows-1252"], b""),
        ([b"us-ascii"], b""),
        ([b"Shift_JIS"], b""),
        ([b"gzip, utf-8"], b"gzip"),
        ([b"compress"], b"compress"),
        ([b"exi"], b"exi"),
        ([b"pack200-gzip"], b"pack200-gzip"),
        ([b"aes128gcm"], b"aes128gcm"),
        ([b"utf-9"], b"utf-9"),
    ],
)
def test_the_coding_that_is_named(values: list[bytes], coding: bytes) -> None:
    assert content_coding(values) == coding
    assert (coding in DECODABLE) == (coding == b"gzip")


@pytest.mark.parametrize(
    ("accept", "offered"),
    [
        (b"gzip, deflate, br, zstd", b"gzip, deflate, br, zstd"),
        (b"gzip,deflate ,\tbr", b"gzip, deflate, br"),
        (b"GZIP;q=1.0, br;q=0.5, *;q=0", b"GZIP;q=1.0, br;q=0.5, *;q=0"),
        (b"br;q=0, gzip ; q=0.2", b"br;q=0, gzip ; q=0.2"),
        (b"br", b"br"),
        (b"dcb, dcz", b"identity"),
        (b"gzip, deflate, br, zstd, dcb, dcz", b"gzip, deflate, br, zstd"),
        (b"compress, gzip;q=0", b"identity"),
        (b"sdch, identity;q=0", b"identity"),
        (b"identity", b"identity"),
        (b"identity;q=0.5, gzip;q=0.1", b"identity;q=0.5, gzip;q=0.1"),
        (b"", b"identity"),
        (b",", b"identity"),
        (None, b"identity"),
        (b"*", b"gzip, deflate, br, zstd"),
        (b"*;q=0.3, gzip", b"deflate;q=0.3, br;q=0.3, zstd;q=0.3, gzip"),
        (b"br;q=0, *", b"br;q=0, gzip, deflate, zstd"),
        (b"*;q=0", b"identity"),
        (b"*;Q=0.00 , br;q=0.001", b"*;Q=0.00, br;q=0.001"),
        (b"*, *;q=0.5, *", b"gzip, deflate, br, zstd"),
        (b"gzip;q=0.5, br, GZIP, br;q=0", b"gzip;q=0.5, br"),
        (b"*;q=0, *, gzip", b"*;q=0, gzip"),
        (b"br, *;" + b"q" * 31, b"br"),
        (b"gzip," * 204 + b"br", b"gzip, br"),
        (b"gzip," * 204 + b"br,zz", b"identity"),
        (b"gzip;q=" + b"0" * 1100 + b"1", b"identity"),
    ],
)
def test_only_what_can_be_undone_is_offered(accept: bytes | None, offered: bytes) -> None:
    assert acceptable_codings(accept) == offered


members = st.one_of(
    st.sampled_from([b"*", b"gzip", b"x-gzip", b"BR", b"zstd", b"deflate", b"identity", b"dcb", b"", b"gzip;q=0"]),
    st.builds(bytes.__add__, st.sampled_from([b"*;", b"gzip;", b" * ; "]), st.binary(max_size=40)),
)


@given(st.lists(members, max_size=60).map(b",".join))
def test_an_offer_names_each_coding_once_and_stays_short(accept: bytes) -> None:
    offered = acceptable_codings(accept)
    named = [member.partition(b";")[0].strip(b" \t").lower() for member in offered.split(b",")]
    assert len(named) == len(set(named))
    assert set(named) <= DECODABLE | {b"identity", b"*"}
    assert len(offered) <= len(accept) + 128
    assert len(offered) > 1024 or acceptable_codings(offered) == offered


def offer_seconds(members: int) -> float:
    """CPU time of five offers, the least of three measurements."""
    accept = b",".join([b"*"] * members)
    took = []
    for _ in range(3):
        started = process_time()
        for _ in range(5):
            acceptable_codings(accept)
        took.append(process_time() - started)
    return min(took)


def test_an_offer_s_work_does_not_grow_with_the_square_of_the_header() -> None:
    assert offer_seconds(500) < 8 * offer_seconds(125)
    assert offer_seconds(2000) < 4 * offer_seconds(500)
