"""Which cookies stick, alone or together."""

from __future__ import annotations

from lbcompanion.doctor.judge import judge
from lbcompanion.doctor.observed import Spot
from tests.support.doctor_model import Site, codes, hashed, nobody, tiers


def test_any_value_of_a_configured_cookie_may_be_the_key():
    found = judge(Site(hashed("key"), session="", configured=("key",)).look())
    assert (found.sticky, found.sticks_by, found.invented) == (True, ("key",), True)
    assert "key" in codes(found)


def test_an_invented_value_that_sticks_nowhere_shows_nothing():
    assert not judge(Site(nobody, session="", configured=("key",)).look()).sticky


def test_two_tiers_need_both_cookies():
    found = judge(Site(tiers).look())
    assert (found.sticky, found.sticks_by, found.together) == (True, ("outer", "inner"), True)
    assert "tiers" in codes(found)


def test_in_two_tiers_the_session_is_not_needed():
    found = judge(Site(tiers, given_at=(Spot.PAGE,)).look())
    assert (found.sticky, set(found.sticks_by)) == (True, {"outer", "inner"})
