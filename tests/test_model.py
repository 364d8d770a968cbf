from __future__ import annotations

from lbcompanion.model import Loss, LossCode, LossReason, MissReason
from lbcompanion.protocol.notices import read_delivery, write_notices

DETAILS: dict[str, str | float] = {"owner": "n1", "seconds": 900.0, "last": "refused", "why": "too long", "words": "so"}


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
        "NOT_RECORDABLE": "cannot be archived: too long",
        "NO_PEERS": "the node stopped, and it has no peers that could keep the copy",
        "NO_PEER_TOOK": "the node stopped, and no peer took the copy",
        "NO_TIME": "the node stopped before there was time to give the copy to a peer",
        "NOT_TAKEN_OVER": "the node stopped, and the process that took its place did not get the copy",
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
