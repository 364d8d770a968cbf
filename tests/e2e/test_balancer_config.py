"""The output of `lbcompanion balancer-config` works: visitors stick, and their pages are archived."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from lbcompanion import balancer_config
from lbcompanion.demo.processes import companion_command
from tests.support.balancer_programs import RUNS
from tests.support.farm import NODES, StickySettings
from tests.support.visitor import Visitor

DIALECTS = {
    "haproxy": "haproxy-insert",
    "nginx": "haproxy-insert",
    "apache": "apache-route",
    "caddy": "caddy",
    "envoy": "envoy",
}
VISITORS, PAGES = 5, 2
ROOT = Path(__file__).resolve().parents[2]
HERE = {**os.environ, "PYTHONPATH": str(ROOT)}


def printed(product: str):
    """The balancer as the command's output has it."""

    def command(folder: Path, port: int, nodes: Mapping[str, int], admins: Mapping[str, int]) -> Sequence[str]:
        files = [str(folder / f"{name}.toml") for name in nodes]
        asked = companion_command("balancer-config", product, "--listen", f"127.0.0.1:{port}", "--config", *files)
        made = subprocess.run(asked, capture_output=True, text=True, check=False, timeout=60, cwd=ROOT, env=HERE)
        assert (made.returncode, made.stderr) == (0, "")
        file = folder / f"{product}.{'yaml' if product == 'envoy' else 'conf'}"
        file.write_text(made.stdout)
        return RUNS[product](file, folder)

    return command


@pytest.mark.parametrize("product", DIALECTS)
def test_it_serves_and_sticks(new_farm, product):
    cookie = balancer_config.PRODUCTS[product].COOKIE
    farm = new_farm(printed(product), StickySettings((cookie,), DIALECTS[product]))
    visitors = [Visitor(farm.site) for _ in range(VISITORS)]
    views = []
    for number in range(PAGES):
        for visitor in visitors:
            view = visitor.view(f"/page/{number}")
            visitor.notice(view)
            views.append(view)
    nodes = [farm.served_page(view).node for view in views]
    assert nodes[:VISITORS] == nodes[VISITORS:], "a visitor was moved"
    assert all(visitor.cookies[cookie] for visitor in visitors)
    found = farm.finished([view.token for view in views])
    farm.check_archived(views, found)
    assert {found[view.token]["route"] for view in views} <= {"recorded", "own"}
    assert set(nodes) <= set(NODES)
