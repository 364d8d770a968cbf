"""A node is in maintenance in HAProxy while its companion runs: no fetch moves visitors that a table binds to it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from tests.support.balancer_kinds.haproxy import TABLE, Runtime
from tests.support.children import wait_for
from tests.support.farm import ProcessFarm, StickySettings
from tests.support.programs import need_program
from tests.support.routing_scenarios import noticed_by
from tests.support.session_site import SESSION
from tests.support.visitors import VisitorGroup

AWAY = "n2"
LADDERS = {
    "as it comes": None,
    "the visitor's cookie first": ["recorded", "own", "any"],
    "the visitor's cookie last": ["any", "recorded"],
}


@pytest.mark.parametrize("ladder", LADDERS.values(), ids=LADDERS)
def test_no_visitor_of_a_node_in_maintenance_is_moved(new_farm: Any, ladder: list[str] | None, tmp_path: Any) -> None:
    need_program("haproxy")

    def site_lines(public: Mapping[str, int]) -> str:
        nodes = "".join(f'[sites.main.nodes.{name}]\ndirect = "http://127.0.0.1:{at}"\n' for name, at in public.items())
        return (f"ladder = {json.dumps(ladder)}\n" if ladder else "") + nodes

    farm: ProcessFarm = new_farm(
        TABLE,
        StickySettings((SESSION,), "haproxy-table", (SESSION,)),
        site_lines=site_lines,
        give_up_seconds=90,
    )
    visitors = VisitorGroup(farm)
    visitors.join_on_all_nodes(1)
    visitors.finished()
    waiting = visitors.pages_of(AWAY, 1, visitors.of(AWAY))
    runtime = Runtime(farm.balanced)
    runtime.order(f"set server nodes/{AWAY} state maint")
    wait_for("maintenance", lambda: runtime.status("nodes", AWAY).startswith("MAINT"), 10)
    for number, view in waiting:
        noticed_by(farm, "n1", view, visitors.visitors[number].cookies)
    tokens = [view.token for _, view in waiting]
    wait_for("attempts", lambda: all(farm.recordings().get(one, {}).get("attempts") for one in tokens), 60)
    bound = runtime.say("show table nodes")
    runtime.order(f"set server nodes/{AWAY} state ready")
    wait_for("the end of it", lambda: runtime.status("nodes", AWAY).startswith("UP"), 10)
    for number in visitors.of(AWAY):
        assert visitors.visitors[number].cookies[SESSION] in bound
    visitors.are_home(visitors.everybody)
    farm.check_archived(visitors.views, visitors.finished(80))
    visitors.are_home(visitors.everybody)
