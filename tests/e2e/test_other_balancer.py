"""Balancers of kinds that nobody named: what is configured is a cookie's name, or nothing at all."""

from __future__ import annotations

import pytest

from tests.support import balancers, sealing_balancer
from tests.support.farm import NODES, ProcessFarm, StickySettings
from tests.support.plain_site import SESSION
from tests.support.visitor import View, Visitor

VISITORS, PAGES = 6, 2


def visited(farm: ProcessFarm) -> tuple[list[Visitor], list[View]]:
    """Several visitors look around, and every page is noticed; as many as it takes until each node had one."""
    visitors: list[Visitor] = []
    views: list[View] = []
    while len(visitors) < VISITORS or {farm.served_page(view).node for view in views} != set(NODES):
        assert len(visitors) < 60
        visitors.append(Visitor(farm.site))
        views.append(visitors[-1].view("/first"))
        visitors[-1].notice(views[-1])
    for number in range(PAGES):
        for visitor in visitors:
            view = visitor.view(f"/page/{number}?q={number}")
            visitor.notice(view)
            views.append(view)
    return visitors, views


def check(farm: ProcessFarm, visitors: list[Visitor], views: list[View]) -> set[str]:
    """The whole journey was made; gives the routes that were used."""
    found = farm.finished([view.token for view in views])
    farm.check_archived(views, found)
    assert len(found) == len(views)
    assert {recording["origin_node"] for recording in found.values()} == set(NODES)
    recorded = sorted((view.url, 200, found[view.token]["sha256"]) for view in views)
    assert sorted(farm.records("text/html")) == recorded
    farm.check_secrecy([visitor.cookies[SESSION] for visitor in visitors], [view.token for view in views])
    return {recording["route"] for recording in found.values()}


@pytest.mark.parametrize(
    ("balancer", "sticky"),
    [
        (balancers.nginx_map, StickySettings(("crumb",))),
        # An opaque value is taken for a session's, until the configuration says that it may be recorded.
        (balancers.sealing, StickySettings((sealing_balancer.COOKIE,), allow=(sealing_balancer.COOKIE,))),
    ],
    ids=["nginx_map", "sealing"],
)
def test_a_named_cookie_is_recorded_and_routes(new_farm, balancer, sticky):
    (name,) = sticky.cookies
    farm = new_farm(balancer(), sticky)
    visitors, views = visited(farm)
    assert all(visitor.cookies[name] for visitor in visitors)
    assert check(farm, visitors, views) <= {"recorded", "own"}
    notices = b"".join(body for _, _, _, body in farm.taps["notices"].requests())
    assert visitors[0].cookies[name].encode() in notices


def test_an_opaque_cookie_that_is_only_named_is_not_recorded(new_farm):
    farm = new_farm(balancers.sealing(), StickySettings((sealing_balancer.COOKIE,)))
    visitors, views = visited(farm)
    assert check(farm, visitors, views) == {"own"}
    farm.check_secrecy([visitor.cookies[sealing_balancer.COOKIE] for visitor in visitors])


def test_without_a_name_the_crawler_mints_cookies_of_its_own(new_farm):
    farm = new_farm(balancers.sealing(), StickySettings())
    visitors, views = visited(farm)
    assert check(farm, visitors, views) == {"own"}
    farm.check_secrecy([visitor.cookies[sealing_balancer.COOKIE] for visitor in visitors])


def test_where_nothing_sticks_peers_hand_the_copy_over(new_farm):
    farm = new_farm(balancers.not_sticky(), StickySettings(), peers=True)
    visitors, views = visited(farm)
    assert set(visitors[0].cookies) == {SESSION}
    assert check(farm, visitors, views) <= {"own", "any"}
