"""A balancer's facts about the nodes are collected from their own files."""

from __future__ import annotations

from pathlib import Path

import pytest
from attrs import evolve

from lbcompanion.balancer_config.pool import Member, Pool, pool_of
from lbcompanion.errors import ConfigError
from lbcompanion.settings import CrawlerSettings, CrawlerTable, KnownNode, LimitsTable, SiteSettings
from tests.support.configured_nodes import node


def pool(*nodes, addresses=None, listen=("", 80)) -> Pool:
    return pool_of([(f"{one.node.name}.toml", one) for one in nodes], listen, addresses)


def test_the_listener_says_where_a_node_is():
    found = pool(node("n1", "tcp:8080:interface=10.0.0.1", "tcp:9101:interface=10.0.0.1"))
    assert found.members == (Member("n1", "10.0.0.1", 8080, False, "10.0.0.1", 9101),)
    assert found.readyz_is_reachable


def test_ipv6_has_brackets_in_an_address_only():
    (member,) = pool(node("n1", r"tcp6:8080:interface=2001\:db8\:\:1", "")).members
    assert (member.host, member.address) == ("2001:db8::1", "[2001:db8::1]:8080")


def test_a_listener_on_all_addresses_is_where_the_others_say():
    first = node("n1", "tcp:8080", "tcp:9101", peers={"n2": "http://10.0.0.2:8081"})
    second = node("n2", "tcp:8080", "tcp:9101", peers={"n1": "http://n1.internal"})
    members = pool(first, second).members
    assert [(one.address, one.guessed) for one in members] == [("n1.internal:80", False), ("10.0.0.2:8081", False)]
    assert [(one.check_host, one.check_port) for one in members] == [("n1.internal", 9101), ("10.0.0.2", 9101)]


def test_else_where_its_direct_origin_is():
    (member,) = pool(node("n1", "tcp:8080", direct_origin="http://10.0.0.9:8080")).members
    assert member.address == "10.0.0.9:8080"


def test_a_crawler_may_say_where_a_node_is():
    known = {"n1": KnownNode(address="10.0.0.1:81"), "n2": KnownNode(direct="http://10.0.0.2:82"), "n3": KnownNode()}
    crawler = CrawlerSettings(CrawlerTable(Path("farm.secret"), b""), {"main": SiteSettings("main", "", nodes=known)})
    nodes = [(name, node(name, "tcp:8080")) for name in known]
    found = pool_of(nodes, ("", 80), {}, [crawler])
    assert [(one.address, one.guessed) for one in found.members[:2]] == [("10.0.0.1:81", False), ("10.0.0.2:82", False)]
    assert found.members[2].guessed


def test_what_the_caller_says_counts_most():
    told = {"n1": "10.1.1.1", "n2": "[::1]:99"}
    found = pool(node("n1", "tcp:8080:interface=10.0.0.1"), node("n2", "tcp:8080"), addresses=told)
    assert [one.address for one in found.members] == ["10.1.1.1:8080", "[::1]:99"]


def test_nodes_with_ports_of_their_own_may_share_a_machine():
    members = pool(node("n1", "tcp:8081", "tcp:9101"), node("n2", "tcp:8082", "tcp:9102")).members
    assert [(one.address, one.check_port, one.guessed) for one in members] == [
        ("127.0.0.1:8081", 9101, True),
        ("127.0.0.1:8082", 9102, True),
    ]


def test_nodes_with_one_port_bear_their_names():
    members = pool(node("n1", "tcp:8080"), node("n2", "tcp:8080")).members
    assert [(one.address, one.check_port, one.guessed) for one in members] == [
        ("n1:8080", 0, True),
        ("n2:8080", 0, True),
    ]


def test_an_admin_listener_of_its_own_machine_cannot_be_asked():
    found = pool(node("n1", "tcp:8080:interface=10.0.0.1"))
    assert found.members[0].check_port == 0
    assert not found.readyz_is_reachable
    assert pool(node("n1", "tcp:8080:interface=127.0.0.1")).readyz_is_reachable


def test_the_configured_cookie_is_taken():
    assert pool(node("n1", "tcp:8080", cookies=("/^x/", "MINE"))).cookie == "MINE"
    assert pool(node("n1", "tcp:8080")).cookie == ""


@pytest.mark.parametrize("listen", ["unix:/run/lbc.sock", "tcp:0", "ssl:443:privateKey=a.pem"])
def test_a_listener_that_no_balancer_reaches_is_refused(listen):
    with pytest.raises(ConfigError, match=r"n1\.toml: node\.listen"):
        pool(node("n1", listen))


def test_two_nodes_of_one_name_are_refused():
    with pytest.raises(ConfigError, match=r"node\.name is n1"):
        pool(node("n1", "tcp:1"), node("n1", "tcp:2"))


def test_an_address_for_nobody_is_refused():
    with pytest.raises(ConfigError, match="one of the nodes: n1"):
        pool(node("n1", "tcp:1"), addresses={"n9": "10.0.0.1"})


@pytest.mark.parametrize(("cap", "seconds"), [(0, 60), (8, 90)])
def test_a_balancer_waits_for_the_queue_before_the_application_too(cap, seconds):
    limits = LimitsTable(upstream_connections=cap, upstream_queue_seconds=30)
    assert pool(evolve(node("n1", "tcp:8084"), limits=limits)).first_byte_seconds == seconds
