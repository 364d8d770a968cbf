"""What the doctor finds fault with, each case as data."""

from __future__ import annotations

import pytest
from attrs import evolve

from lbcompanion.doctor.diagnosis import Severity
from lbcompanion.doctor.judge import judge
from lbcompanion.doctor.observed import Spot
from tests.support.doctor_model import NODES, Site, codes, insert, source


def test_another_secret_is_a_problem():
    site = Site(insert(), change=lambda answer, turn: evolve(answer, proven=False))
    assert "other-secret" in codes(judge(site.look()))


@pytest.mark.parametrize(("known", "code"), [((), "one-node"), (NODES, "client-address")])
def test_the_clients_address(known, code):
    found = judge(Site(source, known=known).look())
    assert not found.sticky
    assert codes(found) == {code}


def test_one_node_with_a_balancers_cookie_is_sticky_with_a_warning():
    def one(cookies, turn):
        return ("n1", ()) if "SRV" in cookies else insert()(cookies, 0)

    found = judge(Site(one).look())
    assert found.sticky
    assert {one.code: one.severity for one in found.findings}["one-node"] is Severity.WARNING


def test_a_cache_before_the_companions():
    first = []

    def cached(answer, turn):
        if answer.spot is not Spot.WHOAMI:
            return answer
        first.append(answer)
        return evolve(first[0], proven=len(first) == 1)

    found = judge(Site(insert(), change=cached).look())
    assert "cache" in codes(found)
    assert "client-address" not in codes(found)


@pytest.mark.parametrize(
    "header",
    [
        *(("age", "12"), ("x-cache", "HIT from edge"), ("cf-cache-status", "HIT"), ("x-varnish", "12 10")),
        ("cache-status", "edge; hit"),
    ],
)
def test_a_cached_page(header):
    def cached(answer, turn):
        return evolve(answer, headers=(*answer.headers, header)) if answer.spot is Spot.PAGE else answer

    assert "cached-page" in codes(judge(Site(insert(), change=cached).look()))


@pytest.mark.parametrize("header", [("age", "0"), ("x-cache", "MISS"), ("x-varnish", "12"), ("cache-status", "edge")])
def test_no_cached_page(header):
    def passed(answer, turn):
        return evolve(answer, headers=(*answer.headers, header))

    assert codes(judge(Site(insert(), change=passed).look())) == {"replay"}


@pytest.mark.parametrize(
    ("attributes", "code"),
    [
        ({"path": "/shop"}, "cookie-path"),
        ({"path": "/shop", "path_named": True}, "cookie-path"),
        ({"seconds": 60.0}, "short-lived"),
        ({"http_only": True}, "http-only"),
    ],
)
def test_attributes_that_matter(attributes, code):
    assert codes(judge(Site(insert(**attributes)).look())) == {"replay", code}


def test_a_path_that_moves_visitors_is_a_problem():
    found = judge(Site(insert(path="/shop/", path_named=True)).look())
    (finding,) = [one for one in found.findings if one.code == "cookie-path"]
    assert finding.severity is Severity.PROBLEM
    assert "visitors are moved" in finding.text
    assert 'prefix = "/shop/_lbc"' in finding.text


def test_a_secure_cookie_over_plain_http():
    seen = evolve(Site(insert(secure=True)).look(), origin="http://www.example.com")
    assert "secure" in codes(judge(seen))


@pytest.mark.parametrize(
    ("spots", "code"), [((Spot.POST,), "post-only"), ((Spot.PAGE,), "some-paths"), ((Spot.PAGE, Spot.ROOT), "replay")]
)
def test_where_the_cookie_is_handed_out(spots, code):
    found = judge(Site(insert(), given_at=spots).look())
    assert (found.sticky, found.sticks_by) == (True, ("SRV",))
    assert code in codes(found)


def test_a_replay_that_goes_astray():
    def broken(cookies, turn):
        return (NODES[turn % 3], ()) if cookies.get("SRV") == "n3" else insert()(cookies, turn)

    found = judge(Site(broken).look())
    assert not found.sticky
    assert "replay-astray" in codes(found)


def test_a_node_that_is_never_met():
    assert "missing-nodes" in codes(judge(Site(insert(), known=(*NODES, "n9")).look()))


def test_a_dead_site():
    found = judge(Site(insert(), dead=True).look())
    assert (found.sticky, codes(found)) == (False, {"unreachable"})
