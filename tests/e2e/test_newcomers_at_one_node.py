"""Balancers that send all new requests from one address to one node: pages of the other nodes are archived too, by what
the notices of several visitors agree on. Nothing but the cookie's name is configured.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.balancer_kinds.haproxy import haproxy
from tests.support.farm import NODES, ProcessFarm, StickySettings
from tests.support.programs import need_program
from tests.support.visitors import VisitorGroup


@pytest.mark.parametrize(
    ("name", "more"), [("odd_name", ()), ("SRV", ("option forwardfor",))], ids=["by sessions", "by addresses"]
)
def test_pages_of_all_nodes_are_archived(new_farm: Any, name: str, more: tuple[str, ...]) -> None:
    need_program("haproxy")
    balancer = haproxy("balance source", f"cookie {name} insert", *more)
    farm: ProcessFarm = new_farm(balancer, StickySettings((name,)), give_up_seconds=60)
    visitors = VisitorGroup(farm, addresses=True)
    visitors.join_on_all_nodes(2)
    while len(visitors.views) < 40:
        visitors.view_page(len(visitors.views) % len(visitors.visitors))
    found = visitors.finished(60)
    farm.check_archived(visitors.views, found)
    assert {farm.owner(view.token) for view in visitors.views} == set(NODES)
    visitors.are_home(visitors.everybody)
    farm.check_secrecy(visitors.secrets(), [view.token for view in visitors.views])
