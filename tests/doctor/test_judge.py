"""From what was seen to what it means: every kind of site as data, through plan, judge and advice."""

from __future__ import annotations

import json
from hashlib import sha256

import pytest
from attrs import evolve

from lbcompanion.doctor import shown
from lbcompanion.doctor.advice import advice, reads
from lbcompanion.doctor.diagnosis import Severity
from lbcompanion.doctor.identity import Basis
from lbcompanion.doctor.judge import judge
from lbcompanion.doctor.observed import Given, Spot
from lbcompanion.settings import StickyTable
from tests.support.doctor_model import NODES, Site, codes, configuration, hashed, insert, nobody, source, tiers


def test_an_inserted_cookie_is_proven():
    found = judge(Site(insert(), known=NODES).look())
    assert (found.sticky, found.sticks_by, found.basis) == (True, ("SRV",), Basis.PROVEN)
    assert [one.name for one in found.nodes] == list(NODES)
    assert codes(found) == {"replay"}
    assert {one.node for one in found.replays} == set(NODES)
    assert all(one.same == one.tries == 3 for one in found.replays)
    told = {one.given.name: one.sticks for one in found.cookies}
    assert told == {"SRV": True, "sid": None}
    assert configuration(found)["dialect"] == "haproxy-insert"
    assert set(configuration(found)["nodes"]) == set(NODES)


def test_without_the_secret_it_is_told_not_proven():
    found = judge(Site(insert(), secret=False).look())
    assert (found.sticky, found.basis) == (True, Basis.TOLD)
    assert "not-proven" in codes(found)


def test_another_secret_is_a_problem():
    site = Site(insert(), change=lambda answer, turn: evolve(answer, proven=False))
    assert "other-secret" in codes(judge(site.look()))


def test_without_companions_it_is_guessed():
    found = judge(Site(insert(), companions=False).look())
    assert (found.sticky, found.sticks_by, found.basis) == (True, ("SRV",), Basis.GUESSED)
    assert "no-companions" in codes(found)
    assert "nodes" not in configuration(found)
    assert [one.name for one in found.nodes] == list(NODES)


def test_a_header_that_names_the_node_helps():
    def named(answer, turn):
        return evolve(answer, headers=(*answer.headers, ("x-served-by", NODES[turn % 3])))

    found = judge(Site(nobody, companions=False, change=named).look())
    assert (found.sticky, found.basis) == (False, Basis.GUESSED)
    assert "no-stickiness" in codes(found)
    assert [one.name for one in found.nodes] == list(NODES)


def test_where_nothing_tells_that_is_told():
    found = judge(Site(nobody, companions=False).look())
    assert (found.sticky, found.nodes) == (False, ())
    assert "cannot-tell" in codes(found)


def test_no_stickiness():
    found = judge(Site(nobody).look())
    assert not found.sticky
    assert codes(found) == {"no-stickiness"}
    assert configuration(found)["ladder"] == ["direct", "any"]
    assert {one.given.name: one.sticks for one in found.cookies} == {"sid": False}


def test_the_applications_cookie_may_be_the_key():
    found = judge(Site(hashed("sid")).look())
    assert (found.sticky, found.sticks_by, found.invented) == (True, ("sid",), False)
    assert "session" in codes(found)
    assert (configuration(found)["dialect"], configuration(found)["cookies"]) == ("generic", ["sid"])


@pytest.mark.parametrize("name", ["DokuWiki", "fe_typo_user", "frontend", "zenid", "d1a5e9d2c4b64f0d8f3f2f6c1b7e9a55"])
@pytest.mark.parametrize("companions", [True, False])
def test_a_session_under_any_name_is_told_and_not_advised_to_be_recorded(name, companions):
    def written(answer, turn):
        given = (evolve(one, value=sha256(one.value.encode()).hexdigest()[:32]) for one in answer.given)
        return evolve(answer, given=tuple(given))

    found = judge(Site(hashed(name), session=name, companions=companions, change=written).look())
    assert [one.credential for one in found.cookies] == [True]
    if companions:
        assert "session" in codes(found)
        assert (configuration(found)["dialect"], configuration(found)["cookies"]) == ("generic", [name])


def test_a_balancers_opaque_cookie_under_a_name_of_its_own_is_no_session():
    def written(answer, turn):
        given = (evolve(one, value=sha256(one.value.encode()).hexdigest()[:16]) for one in answer.given)
        return evolve(answer, given=tuple(given))

    hashes = {sha256(node.encode()).hexdigest()[:16]: node for node in NODES}

    def choose(cookies, turn):
        node = hashes.get(cookies.get("_1a2b3", ""))
        return (node, ()) if node else (NODES[turn % 3], (Given("_1a2b3", NODES[turn % 3]),))

    found = judge(Site(choose, session="", change=written).look())
    assert [one.credential for one in found.cookies] == [False]
    assert "session" not in codes(found)
    assert configuration(found)["dialect"] == "traefik"


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


def test_the_worst_is_told_first():
    told = judge(Site(insert(http_only=True, seconds=5.0), known=(*NODES, "n9")).look()).findings
    order = list(Severity)
    assert [order.index(one.severity) for one in told] == sorted(order.index(one.severity) for one in told)


@pytest.mark.parametrize(("cookies", "known"), [(("SRV",), True), (("OTHER",), False), ((), False)])
def test_a_configuration_in_use_is_compared(cookies, known):
    assert reads(StickyTable(cookies=cookies), judge(Site(insert()).look())) is known


@pytest.mark.slow
@pytest.mark.parametrize("choose", [insert(), hashed("sid"), tiers, nobody, source])
@pytest.mark.parametrize("companions", [True, False])
def test_no_secret_is_shown(choose, companions):
    from io import StringIO

    from rich.console import Console

    observed = Site(choose, companions=companions).look()
    found = judge(observed)
    told = advice(found, observed.origin)
    out = StringIO()
    Console(file=out, width=200).print(shown.report(observed, found, told))
    document = json.dumps(shown.document("https://www.example.com/", observed, found, told))
    assert "secret0" not in out.getvalue() + document + repr(observed) + repr(found)
