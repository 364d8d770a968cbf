"""The nouns that all rooms share."""

from __future__ import annotations

from hashlib import sha256

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from lbcompanion.model import (
    NODE_NAME,
    Loss,
    LossCode,
    LossReason,
    MissReason,
    Page,
    RoutingCookie,
    from_rfc3339,
    to_rfc3339,
)
from lbcompanion.protocol.notices import read_delivery, write_notices

DETAILS: dict[str, str | float] = {
    "owner": "n1",
    "seconds": 900.0,
    "last": "refused",
    "why": "too long",
    "words": "so",
    "origin": "http://bank.example",
    "site": "main",
    "tries": 9,
}


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


def test_what_is_said_of_a_loss() -> None:
    """These texts are in recordings and in databases, and nodes send some: they stay."""
    said = {code.name: LossReason.of(code, **DETAILS).text for code in LossCode}
    assert said == {
        "EXPIRED": "expired",
        "PULLED": "pulled",
        "EVICTED": "evicted",
        "UNKNOWN": "unknown at its owner n1",
        "NO_ANSWER": "no answer from n1 within 900 s: last refused",
        "NO_ANSWER_IN_ONE_ROUND": "no answer from n1: last refused",
        "NO_ROUND_ENDED": "no answer",
        "NO_SITE": "no site for this address",
        "SITE_NOT_CONFIGURED": "its site is not configured",
        "BAD_ADDRESS": "its address is not a valid URL",
        "FOREIGN_ADDRESS": "its address is of http://bank.example, which is not an origin of the site main",
        "NO_USABLE_ANSWER": "no usable answer from n1 in 9 tries: last refused",
        "NOT_RECORDABLE": "cannot be archived: too long",
        "NO_PEERS": "the node stopped, and it has no peers that could keep the copy",
        "NO_PEER_TOOK": "the node stopped, and no peer took the copy",
        "NO_TIME": "the node stopped before there was time to give the copy to a peer",
        "NOT_TAKEN_OVER": "the node stopped, and the process that took its place did not get the copy",
        "SPOOL_FULL": "the node had no room for more notices",
        "OTHER": "so",
    }


def test_braces_in_details_are_not_filled_in() -> None:
    assert LossReason.of(LossCode.NOT_RECORDABLE, why="{owner}").text == "cannot be archived: {owner}"


def test_a_reason_is_known_again_by_its_text() -> None:
    for code in (LossCode.NO_PEERS, LossCode.NO_TIME, LossCode.EXPIRED):
        assert LossReason.read(LossReason.of(code).text) == LossReason.of(code)
    assert LossReason.read("{words}") == LossReason(LossCode.OTHER, "{words}")
    losses = [Loss("1abc", LossReason.of(LossCode.NO_PEERS)), Loss("1abd", "of a later version")]
    assert read_delivery(write_notices([], losses))[1] == losses
    assert losses[1].reason.code is LossCode.OTHER


def test_words_of_a_node_that_end_the_search_are_losses() -> None:
    words = {MissReason.EXPIRED, MissReason.PULLED, MissReason.EVICTED}
    assert {LossCode(each.value).name for each in words} == {each.name for each in words}


def test_the_size_of_a_copy_counts_a_long_url() -> None:
    page = Page("t", "http://a/" + "x" * 400, "GET", 200, "text/html", 0.0, b"body", head=b"head")
    assert page.size == 8
    long = evolve(page, url="http://a/" + "x" * 10_000)
    assert 8 + 9_500 < long.size <= 8 + len(long.url) + len(long.content_type)
