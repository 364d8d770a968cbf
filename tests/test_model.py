"""The nouns that all rooms share."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbcompanion.model import NODE_NAME, Page, RoutingCookie, from_rfc3339, to_rfc3339


@given(st.integers(0, 4_000_000_000_000_000))
def test_a_time_is_read_as_it_was_written_to_the_microsecond(microseconds: int) -> None:
    assert abs(from_rfc3339(to_rfc3339(microseconds / 1e6)) - microseconds / 1e6) < 2e-6


def test_a_time_is_written_in_utc() -> None:
    assert to_rfc3339(1_795_468_200.25) == "2026-11-23T21:10:00.250000Z"
    assert from_rfc3339("2026-11-23T22:10:00+01:00") == 1_795_468_200.0


@pytest.mark.parametrize("text", ["", "2026-11-23T21:10:00", "yesterday"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - datetime's own as well
        from_rfc3339(text)


@pytest.mark.parametrize("name", ["n1", "a_b-C", "x" * 32])
def test_what_a_node_may_be_called(name: str) -> None:
    assert NODE_NAME.fullmatch(name)
    assert not NODE_NAME.fullmatch(name + " ")
    assert not NODE_NAME.fullmatch(33 * "x")


def test_a_pages_digest_is_that_of_its_body() -> None:
    page = Page("token", "http://x/", "GET", 200, "text/html", 1.0, b"body")
    assert page.sha256 == sha256(b"body").digest()
    assert page == Page("token", "http://x/", "GET", 200, "text/html", 1.0, b"body", b"known before")


def test_no_value_is_shown() -> None:
    assert "secret" not in repr(RoutingCookie("SRV", "secret"))
    assert "secret" not in repr(Page("token", "http://x/", "GET", 200, "", 1.0, b"secret"))
