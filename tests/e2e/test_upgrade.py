"""A farm is upgraded node by node, and its secret is replaced, while its pages are viewed and archived."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from lbcompanion.demo.processes import companion_command
from tests.support import balancers
from tests.support.children import wait_for
from tests.support.farm import NODES, ProcessFarm, StickySettings, listens
from tests.support.old_version import unpack_old_version
from tests.support.visitor import View, Visitor

STICKING = StickySettings(("SRV",), "haproxy-insert")
NEW_SECRET = b"the secret that replaces the other one"


@pytest.fixture(name="old_version", scope="module")
def _old_version(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpack_old_version(tmp_path_factory.mktemp("old"))


class Visits:
    """Visitors of every node, who view a page at a time. Half of the notices come later."""

    def __init__(self, farm: ProcessFarm) -> None:
        self._farm = farm
        self._visitors: dict[str, Visitor] = {}
        self._waiting: list[tuple[Visitor, View]] = []
        self.views: list[View] = []

    def view_at_all_nodes(self, name: str) -> None:
        """View two pages at each node: one is noticed at once, the other with :meth:`notice_rest`."""
        for node in NODES:
            visitor = self._visitor_of(node)
            for number in range(2):
                view = visitor.view(f"/{name}-{node}-{number}")
                assert self._farm.served_page(view).node == node
                self.views.append(view)
                if number:
                    visitor.notice(view)
                else:
                    self._waiting.append((visitor, view))

    def notice_rest(self) -> None:
        for visitor, view in self._waiting:
            visitor.notice(view)
        self._waiting.clear()

    def _visitor_of(self, node: str) -> Visitor:
        def look() -> Visitor | None:
            visitor = Visitor(self._farm.site)
            return visitor if self._farm.served_page(visitor.view("/who")).node == node else None

        if node not in self._visitors:
            self._visitors[node] = wait_for(f"a visitor of {node}", look, 20)
        return self._visitors[node]


def restart_node(farm: ProcessFarm, node: str) -> None:
    """Restart a companion with the present version and configuration."""
    companion = farm.children[f"companion-{node}"]
    companion.send(signal.SIGTERM)
    assert companion.ended() == 0
    farm.start_companion(node)
    farm.wait_ready(node)
    wait_for(f"{node} behind the balancer", lambda: farm.whoami({"SRV": node}) == node, 60)


def restart_crawler(farm: ProcessFarm) -> None:
    farm.children["crawler"].send(signal.SIGTERM)
    assert farm.children["crawler"].ended() == 0
    farm.start_crawler()
    wait_for("crawler", lambda: listens(farm.api, "/healthz"), 60, farm.children["crawler"])


def run_old_version(farm: ProcessFarm, old_version: Path) -> None:
    """Replace all companions and the crawler by those of the old version, with the same configuration."""
    for name, kind, file in [*((f"companion-{node}", "node", node) for node in NODES), ("crawler",) * 3]:
        farm.children[name].send(signal.SIGTERM)
        assert farm.children[name].ended() == 0
        command = companion_command(kind, "--config", str(farm.folder / f"{file}.toml"))
        farm.children.start(name, command, PYTHONPATH=str(old_version))
    for node in NODES:
        farm.wait_ready(node)
        wait_for(f"{node} behind the balancer", lambda node=node: farm.whoami({"SRV": node}) == node, 60)
    wait_for("crawler", lambda: listens(farm.api, "/healthz"), 60, farm.children["crawler"])


@pytest.mark.parametrize(("store", "is_crawler_first"), [("memory:", False), ("sqlite:///copies.db", True)])
def test_a_farm_is_upgraded_node_by_node(new_farm: Any, old_version: Path, store: str, is_crawler_first: bool) -> None:
    farm = new_farm(balancers.haproxy_with("insert"), STICKING, give_up_seconds=120, peers=True, store=store)
    run_old_version(farm, old_version)
    visits = Visits(farm)
    visits.view_at_all_nodes("old")
    if is_crawler_first:
        restart_crawler(farm)
    for node in NODES:
        restart_node(farm, node)
        visits.view_at_all_nodes(f"after-{node}")
    if not is_crawler_first:
        restart_crawler(farm)
    visits.notice_rest()
    found = farm.finished([view.token for view in visits.views], 90)
    farm.check_archived(visits.views, found)
    assert len(farm.records("text/html")) == len(visits.views)


def test_the_secret_is_replaced_without_losing_a_page(new_farm: Any) -> None:
    farm = new_farm(balancers.haproxy_with("insert"), STICKING, give_up_seconds=120, peers=True)
    (farm.folder / "new.secret").write_bytes(NEW_SECRET)
    visits = Visits(farm)
    visits.view_at_all_nodes("old")
    for step, secrets in enumerate([("farm", "new"), ("new", "farm"), ("new",)]):
        farm.secret_file = f"{secrets[0]}.secret"
        farm.accept_secret_files = tuple(f"{name}.secret" for name in secrets[1:])
        if secrets == ("new",):
            # The last copies of the old secret are archived before it ends.
            visits.notice_rest()
            farm.finished([view.token for view in visits.views], 90)
        for node in NODES:
            restart_node(farm, node)
            visits.view_at_all_nodes(f"step-{step}-{node}")
        restart_crawler(farm)
    visits.notice_rest()
    found = farm.finished([view.token for view in visits.views], 90)
    farm.check_archived(visits.views, found)
