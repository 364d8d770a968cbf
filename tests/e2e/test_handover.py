"""A node is told to stop: its copies are archived from its peers; where it has none, their loss is told at once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from lbcompanion.demo.processes import companion_command
from tests.support import balancers
from tests.support.children import wait_for
from tests.support.farm import NODES, ProcessFarm, StickySettings, fetched, listens
from tests.support.visitor import View, Visitor

GOES = "n2"
STICKING = StickySettings(("SRV",), "haproxy-insert")
ROOT = Path(__file__).parent.parent.parent


def visitor_of(farm: ProcessFarm, node: str) -> tuple[Visitor, View]:
    """A visitor of that node, with a first page that nobody was told of yet."""
    found: list[tuple[Visitor, View]] = []

    def look() -> bool:
        visitor = Visitor(farm.site)
        view = visitor.view("/first")
        if farm.served_page(view).node == node:
            found.append((visitor, view))
        return bool(found)

    wait_for(f"a visitor of {node}", look)
    return found[0]


def metric(farm: ProcessFarm, node: str, line: str) -> float:
    exposition = fetched(farm.admin[node], "/metrics")[1].decode()
    name = f"lbcompanion_node_{line} "
    return sum(float(one.rpartition(" ")[2]) for one in exposition.splitlines() if one.startswith(name))


def log_of(farm: ProcessFarm, node: str) -> str:
    return farm.children[f"companion-{node}"].log.read_text("utf-8", "replace")


@pytest.mark.parametrize("workers", [1, 2])
def test_its_pages_are_archived_while_it_is_away_and_when_it_is_back(new_farm: Any, workers: int) -> None:
    farm = new_farm(balancers.haproxy_with("insert"), STICKING, give_up_seconds=60, peers=True, workers=workers)
    visitor, first = visitor_of(farm, GOES)
    views = [first, *(visitor.view(f"/page-{number}") for number in range(7))]
    assert {farm.served_page(view).node for view in views} == {GOES}
    farm.wait_stored(GOES)
    companion = farm.children[f"companion-{GOES}"]
    companion.send(signal.SIGTERM)
    assert companion.ended() == 0
    said = log_of(farm, GOES)
    assert "copies handed over to peers: " in said
    assert "; 0 lost" in said
    assert all(view.token not in said for view in views)
    taken = sum(metric(farm, name, 'copies_handed_total{what="taken"}') for name in NODES if name != GOES)
    assert taken >= len(views)
    # It is away, and the crawler hears of half of them: through the balancer, from whoever is there.
    away, back = views[::2], views[1::2]
    for view in away:
        visitor.notice(view)
    found = farm.finished([view.token for view in away])
    farm.check_archived(away, found)
    assert {found[view.token]["answered_by"] for view in away} <= set(NODES) - {GOES}
    # It is back: its own cookie leads to it, and it asks its peers.
    companion.start()
    farm.wait_ready(GOES)
    wait_for(f"{GOES} behind the balancer", lambda: farm.whoami({"SRV": GOES}) == GOES, 60)
    for view in back:
        visitor.notice(view)
    found = farm.finished([view.token for view in back])
    farm.check_archived(back, found)
    assert metric(farm, GOES, 'fetches_total{result="passed on"}') >= 1
    last = visitor.view("/last")
    visitor.notice(last)
    found = farm.finished([last.token])
    farm.check_archived([last], found)
    assert len(farm.records("text/html")) == len(views) + 1

    def all_proven() -> bool:
        routes = json.loads(fetched(farm.api, "/api/routes")[1])
        return all(route["state"] == "proven" for route in routes["routes"] if route["node"] == GOES)

    wait_for("the route to be proven again", all_proven, 60)


def test_all_nodes_are_started_again_one_after_the_other(new_farm: Any) -> None:
    """A node that keeps copies of a restarted node gives them back before it stops."""
    farm = new_farm(balancers.haproxy_with("insert"), STICKING, give_up_seconds=60, peers=True)
    visitor, first = visitor_of(farm, GOES)
    views = [first, *(visitor.view(f"/page-{number}") for number in range(7))]
    farm.wait_stored(GOES)
    for name in (GOES, *(name for name in NODES if name != GOES)):
        companion = farm.children[f"companion-{name}"]
        companion.send(signal.SIGTERM)
        assert companion.ended() == 0
        companion.start()
        farm.wait_ready(name)
        wait_for(f"{name} behind the balancer", lambda name=name: farm.whoami({"SRV": name}) == name, 60)
        assert "; 0 lost" in log_of(farm, name) or "copies handed over" not in log_of(farm, name)
    for view in views:
        visitor.notice(view)
    found = farm.finished([view.token for view in views])
    farm.check_archived(views, found)
    assert metric(farm, GOES, 'copies_handed_total{what="taken"}') >= len(views)
    assert metric(farm, GOES, 'fetches_total{result="given"}') >= len(views)


@pytest.mark.parametrize("workers", [1, 2])
def test_without_peers_the_loss_is_reported_at_once(new_farm: Any, workers: int) -> None:
    farm = new_farm(balancers.haproxy_with("insert"), STICKING, give_up_seconds=600, workers=workers)
    visitor, first = visitor_of(farm, GOES)
    views = [first, *(visitor.view(f"/page-{number}") for number in range(5))]
    farm.wait_stored(GOES)
    command = companion_command("drain", "--config", str(farm.folder / f"{GOES}.toml"), "--json")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=40, check=False)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["copies"]["lost"] >= len(views)
    assert "handed_over" not in said["copies"]
    assert farm.children[f"companion-{GOES}"].ended() == 0
    for view in views:
        visitor.notice(view)
    # Long before the crawler gives up, which is after 600 s.
    found = farm.finished([view.token for view in views], 60)
    for view in views:
        one = found[view.token]
        assert (one["outcome"], one["answered_by"], one["warc"]) == ("lost", None, None)
        assert one["reason"] == "the node stopped, and it has no peers that could keep the copy"
    exposition = fetched(farm.api, "/metrics")[1].decode()
    assert f'lbcompanion_crawler_outcomes_total{{outcome="lost"}} {len(views)}.0' in exposition
    assert f'lbcompanion_crawler_notices_total{{result="lost"}} {said["copies"]["lost"]}.0' in exposition


def test_a_crawler_that_was_away_hears_of_it_after_the_nodes_next_start(new_farm: Any) -> None:
    farm = new_farm(balancers.haproxy_with("insert"), STICKING, give_up_seconds=600)
    visitor, view = visitor_of(farm, GOES)
    farm.wait_stored(GOES)
    farm.children["crawler"].send(signal.SIGTERM)
    farm.children["crawler"].ended()
    companion = farm.children[f"companion-{GOES}"]
    begun = time.monotonic()
    companion.send(signal.SIGTERM)
    assert companion.ended() == 0
    assert time.monotonic() - begun < 30
    farm.children["crawler"].start()
    wait_for("crawler", lambda: listens(farm.api, "/healthz"), 60)
    visitor.notice(view)
    wait_for("the notice", lambda: view.token in farm.recordings())
    companion.start()
    farm.wait_ready(GOES)
    found = farm.finished([view.token])
    assert found[view.token]["outcome"] == "lost"
    assert found[view.token]["reason"] == "the node stopped, and it has no peers that could keep the copy"
