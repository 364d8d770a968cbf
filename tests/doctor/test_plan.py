"""What the doctor asks next."""

from __future__ import annotations

from attrs import evolve

from lbcompanion.doctor.observed import Answer, Given, How, Observed, Spot
from lbcompanion.doctor.plan import PAGES, next_series, reduced, sendable
from tests.support.doctor_model import Site, insert, nobody, tiers


def test_the_first_requests_bear_no_cookie() -> None:
    series = next_series(Observed("https://www.example.com", "/shop", secret_known=False, known_nodes=()))
    assert series is not None
    assert (series.spot, series.how, dict(series.cookies)) == (Spot.PAGE, None, {})


def test_a_site_that_does_not_answer_is_left_alone() -> None:
    seen = Site(insert(), dead=True).look()
    assert seen.replays == ()
    assert all(one.failure for one in seen.bare)


def test_without_companions_a_fixed_number_of_pages_is_looked_at() -> None:
    seen = Site(nobody, companions=False).look()
    assert sum(one.spot is Spot.PAGE for one in seen.bare) == PAGES


def test_several_cookies_that_lead_back_are_tried_alone() -> None:
    assert How.ALONE in {one.how for one in Site(tiers).look().replays}


def test_a_post_is_sent_only_where_no_cookie_of_a_page_sticks() -> None:
    assert not any(one.spot is Spot.POST for one in Site(insert()).look().bare)
    assert any(one.spot is Spot.POST for one in Site(nobody).look().bare)


def test_what_cannot_be_sent_again_is_not_tried() -> None:
    answer = Answer(Spot.PAGE, status=200, given=(Given("good", "x"), Given("bad", "a\r\nb")))
    assert sendable(answer) == {"good": "x"}
    assert len(sendable(evolve(answer, given=tuple(Given(f"c{at}", "x") for at in range(20))))) == 6


def test_a_value_that_is_its_own_routing_part_is_not_cut() -> None:
    assert reduced({"SERVERID": "n1"}, ["SERVERID"]) == {}
    assert reduced({"JSESSIONID": "0123456789ABCDEF0123456789ABCDEF.n1"}, ["JSESSIONID"]) == {"JSESSIONID": ".n1"}
