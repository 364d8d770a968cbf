"""The media type that browsers read in Content-Type."""

from __future__ import annotations

from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbcompanion.html.charset import content_type_charset
from lbcompanion.html.media_type import MediaType, extract_media_type


@pytest.mark.parametrize(
    ("value", "essence", "charset"),
    [
        (b"text/html", b"text/html", None),
        (b" Text/HTML ;charset=UTF-8", b"text/html", "utf-8"),
        (b"", b"", None),
        (b"text", b"", None),
        (b"*/*, text/html", b"text/html", None),
        (b'text/html; x="a\\", b"; charset=koi8-r', b"text/html", "koi8-r"),
        (b'text/html; x="unterminated, text/plain', b"text/html", None),
        (b"text/html; charset=utf-8, text/plain, text/html", b"text/html", None),
    ],
)
def test_the_last_valid_member_counts(value: bytes, essence: bytes, charset: str | None) -> None:
    assert extract_media_type(value) == MediaType(essence, charset)


@given(st.sampled_from([b"text/html", b"a/b"]), st.sampled_from([None, "utf-8", "koi8-r"]))
def test_what_is_written_is_read_again(essence: bytes, charset: str | None) -> None:
    written = MediaType(essence, charset).written().encode()
    assert extract_media_type(written) == (essence, charset)
    assert content_type_charset(written) == charset


@pytest.mark.parametrize("unit", [b",", b'"', b'\\"', b"text/html,", b'a"', b"; charset=,"])
@pytest.mark.slow
def test_the_time_grows_linearly(unit: bytes) -> None:
    def seconds(size: int) -> float:
        start = process_time()
        extract_media_type(b"text/html;" + unit * size)
        return process_time() - start

    short, long = (min(seconds(size) for _ in range(3)) for size in (5000, 20000))
    assert long < short * 10 + 0.02
