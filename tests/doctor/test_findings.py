"""The findings of the doctor, each case as data."""

from __future__ import annotations

import pytest
from attrs import evolve

from lbcompanion.doctor.analysis import analyse
from lbcompanion.doctor.diagnosis import Severity
from lbcompanion.doctor.observations import DONE, Journey, RequestKind
from tests.support.doctor_model import NODES, ModelSite, codes, insert, source


def test_another_secret_is_a_problem():
    site = ModelSite(insert(), change=lambda response, turn: evolve(response, proven=False))
    assert "other-secret" in codes(analyse(site.probe()))


def test_a_removed_proof_is_not_another_secret():
    site = ModelSite(insert(), change=lambda response, turn: evolve(response, proven=False, proof=""))
    found = codes(analyse(site.probe()))
    assert "proof-removed" in found
    assert "other-secret" not in found


def severities(site):
    return {one.code: one.severity for one in analyse(site.probe()).findings}


@pytest.mark.parametrize(("secret", "status"), [(True, 403), (False, 403), (False, 200), (False, 502)])
@pytest.mark.slow
def test_a_page_of_a_companion_whose_prefix_is_blocked(secret, status):
    def blocked(response, turn):
        if response.kind is RequestKind.WHOAMI:
            return evolve(response, status=status)
        return evolve(response, has_tag=True)

    found = severities(ModelSite(insert(), companions=False, secret=secret, change=blocked))
    assert found["prefix-blocked"] is Severity.PROBLEM
    assert "no-companions" not in found


@pytest.mark.parametrize(("secret", "code"), [(True, "prefix-blocked"), (False, "no-companions")])
@pytest.mark.slow
def test_a_farm_without_companions(secret, code):
    found = severities(ModelSite(insert(), companions=False, secret=secret))
    assert {"prefix-blocked", "no-companions"} & found.keys() == {code}
    assert (found[code] is Severity.PROBLEM) is secret


@pytest.mark.parametrize(("known", "code"), [((), "one-node"), (NODES, "client-address")])
def test_the_clients_address(known, code):
    found = analyse(ModelSite(source, known=known).probe())
    assert not found.sticky
    assert codes(found) == {code}


def test_one_node_with_a_balancers_cookie_is_sticky_with_a_warning():
    def one(cookies, turn):
        return ("n1", ()) if "SRV" in cookies else insert()(cookies, 0)

    found = analyse(ModelSite(one).probe())
    assert found.sticky
    assert {one.code: one.severity for one in found.findings}["one-node"] is Severity.WARNING


def test_a_cache_before_the_companions():
    first = []

    def cached(response, turn):
        if response.kind is not RequestKind.WHOAMI:
            return response
        first.append(response)
        return evolve(first[0], proven=len(first) == 1)

    found = analyse(ModelSite(insert(), change=cached).probe())
    assert {"cache", "cannot-tell"} <= codes(found)
    assert not {"client-address", "other-secret", "replay", "no-stickiness"} & codes(found)
    assert not found.sticky


@pytest.mark.parametrize(
    "header",
    [
        *(("age", "12"), ("x-cache", "HIT from edge"), ("cf-cache-status", "HIT"), ("x-varnish", "12 10")),
        ("cache-status", "edge; hit"),
    ],
)
def test_a_cached_page(header):
    def cached(response, turn):
        return evolve(response, headers=(*response.headers, header)) if response.kind is RequestKind.PAGE else response

    assert "cached-page" in codes(analyse(ModelSite(insert(), change=cached).probe()))


@pytest.mark.parametrize("header", [("age", "0"), ("x-cache", "MISS"), ("x-varnish", "12"), ("cache-status", "edge")])
def test_no_cached_page(header):
    def passed(response, turn):
        return evolve(response, headers=(*response.headers, header))

    assert codes(analyse(ModelSite(insert(), change=passed).probe())) == {"replay"}


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
    assert codes(analyse(ModelSite(insert(**attributes)).probe())) == {"replay", code}


@pytest.mark.parametrize(
    ("script", "severity"),
    [
        (None, Severity.WARNING),
        ("https://www.example.com/shop/-/_lbc/fetch-from?v=1", Severity.NOTE),
        ("https://www.example.com/_lbc/fetch-from.js?v=1", Severity.PROBLEM),
    ],
)
def test_a_path_that_may_move_visitors(script, severity):
    journey = Journey(DONE, script_url=script) if script else None
    seen = ModelSite(insert(path="/shop/", path_named=True)).probe()
    found = analyse(evolve(seen, journey=journey))
    (finding,) = [one for one in found.findings if one.code == "cookie-path"]
    assert finding.severity is severity
    if severity is not Severity.NOTE:
        assert "visitors are moved" in finding.text
        assert 'prefix = "/shop/_lbc"' in finding.text
    assert found.is_good is (severity is not Severity.PROBLEM)


def test_a_secure_cookie_over_plain_http():
    seen = evolve(ModelSite(insert(secure=True)).probe(), origin="http://www.example.com")
    assert "secure" in codes(analyse(seen))


@pytest.mark.parametrize(
    ("kinds", "code"),
    [
        ((RequestKind.POST,), "post-only"),
        ((RequestKind.PAGE,), "some-paths"),
        ((RequestKind.PAGE, RequestKind.ROOT), "replay"),
    ],
)
def test_where_the_cookie_is_handed_out(kinds, code):
    found = analyse(ModelSite(insert(), given_at=kinds).probe())
    assert (found.sticky, found.sticks_by) == (True, ("SRV",))
    assert code in codes(found)


def test_a_replay_that_goes_astray():
    def broken(cookies, turn):
        return (NODES[turn % 3], ()) if cookies.get("SRV") == "n3" else insert()(cookies, turn)

    found = analyse(ModelSite(broken).probe())
    assert not found.sticky
    assert "replay-astray" in codes(found)


def test_a_node_that_is_never_met():
    assert "missing-nodes" in codes(analyse(ModelSite(insert(), known=(*NODES, "n9")).probe()))


def test_a_dead_site():
    found = analyse(ModelSite(insert(), dead=True).probe())
    assert (found.sticky, codes(found)) == (False, {"unreachable"})
