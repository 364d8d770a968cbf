"""The command, before real balancers: three companions behind them, and three applications without any."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support import doctor_sites
from tests.support.balancer_kinds import tiers, traefik
from tests.support.balancer_kinds.kind import Kind
from tests.support.doctor_environment import DoctorEnvironment, codes, doctor_environment

pytestmark = pytest.mark.programs


@pytest.fixture(name="environment", scope="module")
def _doctor_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DoctorEnvironment]:
    with doctor_environment(tmp_path_factory.mktemp("doctor")) as environment:
        yield environment


def cookie(document: dict, name: str) -> dict:
    return next(one for one in document["cookies"] if one["name"] == name)


@pytest.mark.parametrize(
    ("run_balancer", "readable"),
    [
        (doctor_sites.haproxy_with("insert"), True),
        (doctor_sites.haproxy_with("insert indirect nocache httponly"), False),
        (doctor_sites.builtin, True),
    ],
    ids=["insert", "hidden", "builtin"],
)
def test_an_inserted_cookie_is_proven(environment, run_balancer, readable):
    document = environment.report_on(run_balancer)
    assert (document["sticky"], document["sticks_by"], document["basis"]) == (True, ["SRV"], "proven")
    assert (document["companions"], document["dialect"]) == (True, "haproxy-insert")
    assert [node["name"] for node in document["nodes"]] == ["n1", "n2", "n3"]
    assert all(replay["same"] == replay["tries"] for replay in document["replays"])
    assert cookie(document, "SRV")["script_can_read"] is readable
    assert "haproxy-insert" in [dialect["dialect"] for dialect in cookie(document, "SRV")["dialects"]]
    assert document["requests"] <= 80
    assert 'cookies = ["SRV"]' in document["configuration"]["crawler"]
    assert document["dialect_guessed"] is True
    assert "journey" in codes(document)
    upstream = document["journey"].pop("upstream")
    assert upstream.pop("node") in {"n1", "n2", "n3"}
    assert upstream.pop("requests") > 0
    assert upstream == {"configured": 0, "limit": 0, "workers": 0, "waited": 0}
    assert document["journey"] == {
        "page": "ok",
        "page_origin": document["url"].removesuffix("/shop/page"),
        "policy_forbids": None,
        "script": "ok",
        "notice": "ok",
        "fetch": "fetched",
        "fetch_proven": True,
        "confirmed": True,
    }


#: Rules of a balancer or firewall, and the finding that names the border that they close.
CLOSED = {
    "the signature is removed": (("http-request del-header Signature-Input",), "fetch-refused"),
    "copies are refused": (
        ("http-request deny deny_status 500 if { path_sub /page/ }",),
        "fetch-refused",
    ),
    "confirmations are refused": (
        ("http-request deny if { method DELETE }", "http-request deny if METH_POST { path_sub /page/ }"),
        "confirmation-refused",
    ),
    "POST is refused": (("http-request deny if METH_POST { path_sub /_lbc/ }",), "notice-blocked"),
    "the script is refused": (("http-request deny if { path_sub fetch-from }",), "script-blocked"),
    "the script is another page": (
        ("http-request return status 200 content-type text/html string hello if { path_sub fetch-from }",),
        "script-blocked",
    ),
    "User-Agent is removed": (("http-request del-header User-Agent",), "user-agent-replaced"),
    "Host is replaced": (("http-request set-header Host farm.internal",), "host-replaced"),
    "a policy is added": (
        ("http-after-response set-header Content-Security-Policy \"script-src 'none'\"",),
        "script-forbidden",
    ),
}


@pytest.mark.parametrize(("rules", "code"), CLOSED.values(), ids=CLOSED)
def test_the_closed_border_is_named(environment, rules, code):
    balancer = doctor_sites.haproxy_with("insert", doctor_sites.with_rules(*rules))
    exit_code = {"confirmation-refused": 0, "user-agent-replaced": 0, "host-replaced": None}.get(code, 1)
    document = environment.report_on(balancer, code=exit_code)
    assert code in codes(document)
    assert "journey" not in codes(document)
    others = {"fetch-refused", "confirmation-refused", "notice-blocked", "script-blocked", "script-forbidden"} - {code}
    if code != "host-replaced":
        assert not others & codes(document)


def test_a_cookie_check(environment):
    without = "if !{ req.cook(SRV) -m found }"
    rules = (
        f"http-request set-var(txn.to) rand(3) {without}",
        *(
            f"http-request redirect location %[url] code 302 set-cookie SRV=n{number + 1} {without}"
            f" {{ var(txn.to) -m int {number} }}"
            for number in range(3)
        ),
    )
    document = environment.report_on(doctor_sites.haproxy_with("insert", doctor_sites.with_rules(*rules)))
    assert (document["sticks_by"], document["basis"], document["companions"]) == (["SRV"], "proven", True)
    assert {"cookie-check", "journey"} <= codes(document)
    assert "no-companions" not in codes(document)


def test_two_tiers(environment):
    for _ in range(3):  # with each node first
        document = environment.report_on(doctor_sites.two_tiers)
        assert (document["sticky"], set(document["sticks_by"])) == (True, {"SRV", "TIER"})
        assert "replay-astray" not in codes(document)


def test_too_many_requests(environment):
    rules = (
        "stick-table type ip size 1k expire 10s store http_req_rate(2s)",
        "http-request track-sc0 src",
        "http-request deny deny_status 429 if { sc_http_req_rate(0) gt 15 }",
    )
    document = environment.report_on(doctor_sites.haproxy_with("insert", doctor_sites.with_rules(*rules)))
    assert "rate-limited" in codes(document)
    assert not {"no-companions", "cannot-tell"} & codes(document)


def test_a_prefix_is_cut_down(environment):
    document = environment.report_on(
        doctor_sites.haproxy_with("prefix", lambda text: text.replace("cookie SRV", "cookie sid"))
    )
    assert (document["sticks_by"], document["dialect"]) == (["sid"], "haproxy-prefix")
    assert cookie(document, "sid")["routing_part_is_enough"] is True


def test_no_stickiness(environment):
    document = environment.report_on(doctor_sites.haproxy_with("", doctor_sites.without_cookie), code=1)
    assert (document["sticky"], document["sticks_by"], document["basis"]) == (False, [], "proven")
    assert codes(document) == {"no-stickiness", "journey"}


def test_the_clients_address(environment):
    document = environment.report_on(doctor_sites.haproxy_with("", doctor_sites.by_source), code=1)
    assert len(document["nodes"]) == 1
    assert "client-address" in codes(document)


def test_a_hash_of_the_applications_cookie(environment):
    document = environment.report_on(doctor_sites.nginx_hash("sid"))
    assert (document["sticks_by"], document["basis"]) == (["sid"], "proven")
    assert {"session", "http-only"} <= codes(document)


def test_a_cache_in_front(environment):
    stores = (
        "proxy_cache pages; proxy_ignore_headers Cache-Control Set-Cookie; proxy_cache_valid any 1m;"
        " add_header X-Cache $upstream_cache_status;"
    )
    document = environment.report_on(doctor_sites.nginx_hash("sid", stores), code=1)
    assert "cache" in codes(document)


def test_a_cookie_after_post_only(environment):
    document = environment.report_on(doctor_sites.haproxy_with("insert postonly"))
    assert document["sticks_by"] == ["SRV"]
    assert "post-only" in codes(document)
    assert document["dialect"] == "haproxy-postonly"


@pytest.mark.parametrize(
    "run_balancer",
    [doctor_sites.haproxy_with("insert"), doctor_sites.builtin, doctor_sites.printed("envoy")],
    ids=["insert", "builtin", "envoy"],
)
def test_without_companions_it_is_a_guess(environment, run_balancer):
    document = environment.report_on(run_balancer, companions=False)
    assert (document["sticky"], document["basis"], document["companions"]) == (True, "guessed", False)
    assert document["sticks_by"] in (["SRV"], ["SERVERID"])
    assert len(document["nodes"]) == 3
    assert "no-companions" in codes(document)


@pytest.mark.parametrize(
    "run_balancer",
    [doctor_sites.haproxy_with("", doctor_sites.by_source), doctor_sites.nginx_hash("sid")],
    ids=["source", "hash"],
)
def test_where_nothing_tells_the_nodes_apart(environment, run_balancer):
    document = environment.report_on(run_balancer, companions=False, code=1)
    assert (document["sticky"], document["basis"]) == (False, "unknown")
    assert "cannot-tell" in codes(document)


#: Balancers in front of balancers, and one of a product of its own, with the cookies that bring a request back.
KINDS: dict[str, tuple[Kind, set[str]]] = {
    "traefik": (traefik.COOKIE, {"srv"}),
    "traefik weighted": (traefik.WEIGHTED, {"srv", "tier"}),
    "haproxy before nginx": (tiers.HAPROXY_BEFORE_NGINX, {"OUTER", "seat"}),
    "haproxy before caddy": (tiers.HAPROXY_BEFORE_CADDY, {"OUTER", "lb"}),
    "nginx before haproxy": (tiers.NGINX_BEFORE_HAPROXY, {"edge", "SRV"}),
    "an edge that replaces Host": (tiers.HOST_REPLACED_AT_EDGE, {"SRV"}),
    "an edge that renames the cookie": (tiers.COOKIE_RENAMED_AT_EDGE, {"edge_SRV"}),
    "a cookie of pages only": (tiers.COOKIE_OF_PAGES, {"SRV"}),
    "two balancers of apache": (tiers.APACHE_TWO_BALANCERS, {"ROUTEID"}),
}


_NODES = {"n1", "n2", "n3"}
_REPORTS = 5


@pytest.mark.parametrize("name", KINDS)
def test_what_sticks_behind_several_balancers(environment: DoctorEnvironment, name: str) -> None:
    kind, cookies = KINDS[name]
    found: set[str] = set()
    # Balancers that choose at random may leave one node out of the few pages of one report.
    for _ in range(_REPORTS):
        document = environment.report_on(lambda folder, port, nodes: kind(folder, port, nodes, environment.admins))
        assert (document["sticky"], set(document["sticks_by"]), document["basis"]) == (True, cookies, "proven")
        found |= {node["name"] for node in document["nodes"]}
        if len(found) >= len(_NODES):
            break
    assert found == _NODES
    assert not {"replay-astray", "no-companions", "fetch-refused"} & codes(document)
    assert ("tiers" in codes(document)) is (len(cookies) > 1)
    assert ("host-replaced" in codes(document)) is (name == "an edge that replaces Host")
