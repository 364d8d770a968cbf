"""The doctor's choice of the next request."""

from __future__ import annotations

import pytest
from attrs import evolve

from lbcompanion.doctor.observations import Observations, ParsedSetCookie, ProbeResponse, ReplayMode, RequestKind
from lbcompanion.doctor.plan import PAGES, next_series, routing_parts_of, sendable
from tests.support.doctor_model import ModelSite, insert, nobody, tiers


def test_the_first_requests_bear_no_cookie() -> None:
    series = next_series(Observations("https://www.example.com", "/shop", secret_known=False, known_nodes=()))
    assert series is not None
    assert (series.kind, series.mode, dict(series.cookies)) == (RequestKind.PAGE, None, {})


def test_a_site_that_does_not_answer_is_left_alone() -> None:
    seen = ModelSite(insert(), dead=True).probe()
    assert seen.replays == ()
    assert all(one.failure for one in seen.without_cookie)


@pytest.mark.slow
def test_without_companions_a_fixed_number_of_pages_is_looked_at() -> None:
    seen = ModelSite(nobody, companions=False).probe()
    assert sum(one.kind is RequestKind.PAGE for one in seen.without_cookie) == PAGES


def test_several_cookies_that_lead_back_are_tried_alone() -> None:
    assert ReplayMode.ALONE in {one.mode for one in ModelSite(tiers).probe().replays}


def test_a_post_is_sent_only_where_no_cookie_of_a_page_sticks() -> None:
    assert not any(one.kind is RequestKind.POST for one in ModelSite(insert()).probe().without_cookie)
    assert any(one.kind is RequestKind.POST for one in ModelSite(nobody).probe().without_cookie)


def test_what_cannot_be_sent_again_is_not_tried() -> None:
    response = ProbeResponse(
        RequestKind.PAGE, status=200, set_cookies=(ParsedSetCookie("good", "x"), ParsedSetCookie("bad", "a\r\nb"))
    )
    assert sendable(response) == {"good": "x"}
    assert len(sendable(evolve(response, set_cookies=tuple(ParsedSetCookie(f"c{at}", "x") for at in range(20))))) == 6


def test_a_value_that_is_its_own_routing_part_is_not_cut() -> None:
    assert routing_parts_of({"SERVERID": "n1"}, ["SERVERID"]) == {}
    jar = {"JSESSIONID": "0123456789ABCDEF0123456789ABCDEF.n1"}
    assert routing_parts_of(jar, ["JSESSIONID"]) == {"JSESSIONID": ".n1"}
