"""Which cookies stick, alone or together."""

from __future__ import annotations

from lbcompanion.doctor.analysis import analyse
from lbcompanion.doctor.observations import RequestKind
from tests.support.doctor_model import ModelSite, codes, hashed, nobody, tiers


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
