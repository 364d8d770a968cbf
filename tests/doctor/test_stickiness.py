"""Which cookies stick, alone or together."""

from __future__ import annotations

from random import Random

import pytest

from lbcompanion.doctor.analysis import analyse
from lbcompanion.doctor.observations import RequestKind
from tests.support.doctor_model import ModelSite, codes, configuration, hashed, nobody, tiers, uneven_tiers


def test_any_value_of_a_configured_cookie_may_be_the_key():
    found = analyse(ModelSite(hashed("key"), session="", configured=("key",)).probe())
    assert (found.sticky, found.sticks_by, found.invented) == (True, ("key",), True)
    assert "key" in codes(found)


def test_an_invented_value_that_sticks_nowhere_shows_nothing():
    assert not analyse(ModelSite(nobody, session="", configured=("key",)).probe()).sticky


def test_two_tiers_need_both_cookies():
    found = analyse(ModelSite(tiers).probe())
    assert (found.sticky, found.sticks_by, found.all_needed) == (True, ("outer", "inner"), True)
    assert "tiers" in codes(found)


def test_in_two_tiers_the_session_is_not_needed():
    found = analyse(ModelSite(tiers, given_at=(RequestKind.PAGE,)).probe())
    assert (found.sticky, set(found.sticks_by)) == (True, {"outer", "inner"})


@pytest.mark.parametrize("start", range(4))
@pytest.mark.parametrize("session", ["", "sid"])
def test_what_is_enough_for_a_node_that_is_alone_behind_its_tier_is_not_enough_for_others(start, session):
    def choose(cookies, turn):
        return uneven_tiers(cookies, turn + start)

    found = analyse(ModelSite(choose, session=session, known=("n1", "n2", "n3")).probe())
    assert (found.sticky, set(found.sticks_by), found.all_needed) == (True, {"SRV", "TIER"}, True)
    assert not {"replay-astray", "no-stickiness"} & codes(found)
    assert 'ladder = ["direct", "any"]' not in str(configuration(found))


def test_a_hash_of_address_and_cookie():
    """Without a cookie there is one node; invented values lead to others, each to one."""

    def choose(cookies, turn):
        return ("n1", ()) if "key" not in cookies else hashed("key")(cookies, turn)

    found = analyse(ModelSite(choose, session="", configured=("key",)).probe())
    assert (found.sticky, found.sticks_by) == (True, ("key",))


@pytest.mark.slow
def test_all_to_one_node_by_chance_shows_nothing():
    """A balancer that keeps one connection: a single request goes elsewhere, during a replay."""
    for odd in range(8, 30):

        def choose(cookies, turn, odd=odd):
            return "n2" if turn == odd else "n1", ()

        found = analyse(ModelSite(choose).probe())
        assert not found.sticky
        assert "replay-astray" not in codes(found) or len(found.nodes) > 1


@pytest.mark.parametrize("start", range(4))
def test_a_cookie_that_several_nodes_hand_out_alike_is_not_enough_whatever_its_replays_show(start):
    """The balancer of the second tier sends requests without its own cookie to its first node for a while."""

    def choose(cookies, turn):
        if set(cookies) == {"TIER"}:
            return {"a": "n1", "b": "n2"}[cookies["TIER"]], ()
        return uneven_tiers(cookies, turn + start)

    found = analyse(ModelSite(choose, session="", known=("n1", "n2", "n3")).probe())
    assert (found.sticky, set(found.sticks_by), found.all_needed) == (True, {"SRV", "TIER"}, True)


@pytest.mark.slow
@pytest.mark.parametrize("session", ["", "sid"])
def test_tiers_that_choose_at_random_need_both_cookies(session):
    """A few requests with the outer cookie alone may all reach the right node by chance."""
    for seed in range(600):
        random = Random(seed)

        def choose(cookies, turn, random=random):
            return uneven_tiers(cookies, random.randrange(1000))

        found = analyse(ModelSite(choose, session=session, known=("n1", "n2", "n3")).probe())
        assert (found.sticky, set(found.sticks_by)) == (True, {"SRV", "TIER"}), seed
