"""What ``init`` writes runs as it is: real balancers, two nodes of one machine, a crawler, pages in the archive."""

from __future__ import annotations

import http.client
import json
from hashlib import sha256
from pathlib import Path

import pytest

from tests.support.balancer_programs import RUNS
from tests.support.children import Children, wait_for
from tests.support.cli import run
from tests.support.farm import fetched, listens
from tests.support.ports import free_port
from tests.support.visitor import Visitor

pytestmark = [pytest.mark.slow, pytest.mark.network, pytest.mark.programs]

_FILES = {"haproxy": "haproxy.cfg", "nginx": "nginx.conf"}
_PAGES, _MOST_PAGES = 6, 40


def chosen(site: int) -> str:
    """The node that the balancer chooses for a new visitor; empty: there is none yet."""
    try:
        status, body = fetched(site, "/_lbc/whoami")
    except (OSError, http.client.HTTPException):
        return ""
    return str(json.loads(body)["node"]) if status == 200 else ""


@pytest.mark.parametrize("product", ["haproxy", "nginx"])
def test_pages_are_archived_without_an_editor(tmp_path: Path, product: str) -> None:
    site, intake = free_port(), free_port()
    nodes = {name: (free_port(), free_port()) for name in ("n1", "n2")}
    folder = tmp_path / "farm"
    done = run(
        *("init", folder, "--origin", f"http://127.0.0.1:{site}", "--crawler", f"127.0.0.1:{intake}"),
        *("--nodes", ",".join(f"{name}=127.0.0.1:{port}" for name, (port, _) in nodes.items())),
        *(part for name, (_, port) in nodes.items() for part in ("--upstream", f"{name}=127.0.0.1:{port}")),
        *("--balancer", product, "--balancer-listen", f"127.0.0.1:{site}"),
    )
    assert (done.exit_code, done.stderr) == (0, "")
    # Other tests run on this machine at the same time: only the fixed ports of the admin listeners are changed.
    admin = {number: free_port() for number in ("9101", "9102", "9201")}
    for file in folder.iterdir():
        text = file.read_text()
        for number, port in admin.items():
            text = text.replace(number, str(port))
        file.write_text(text)
    children = Children(tmp_path)
    try:
        for name, (_, port) in nodes.items():
            place = {"LBC_TEST_NODE": name, "LBC_TEST_LEDGER": str(tmp_path / f"served-{name}")}
            (tmp_path / f"served-{name}").mkdir()
            children.module(f"app-{name}", "tests.support.plain_site", str(port), **place)
            children.lbcompanion(name, "node", "--config", str(folder / f"{name}.toml"))
        crawler = children.lbcompanion("crawler", "crawler", "--config", str(folder / "crawler.toml"))
        balancer = children.start(product, RUNS[product](folder / _FILES[product], tmp_path))
        for number in ("9101", "9102"):
            wait_for("ready", lambda at=admin[number]: listens(at, "/readyz"), 60, crawler)
        wait_for("the crawler", lambda: listens(admin["9201"], "/healthz"), 60, crawler)
        # The balancer takes one node after the other for up; only then it may choose both.
        chosen_nodes: set[str] = set()
        wait_for("both nodes", lambda: chosen_nodes.add(chosen(site)) or chosen_nodes >= {"n1", "n2"}, 60, balancer)
        views: dict[str, tuple[str, str]] = {}
        while len(views) < _PAGES or len({node for _, node in views.values()}) < 2:
            assert len(views) < _MOST_PAGES, "nginx chooses at random, but not for so long the same node"
            visitor = Visitor(site, told=("SERVERID",))
            view = visitor.view("/page")
            visitor.notice(view)
            views[view.token] = sha256(view.body).hexdigest(), visitor.cookies["SERVERID"]

        def archived() -> dict[str, tuple[str, str]]:
            found = json.loads(fetched(admin["9201"], "/api/recordings")[1])["recordings"]
            return {
                each["token"]: (each["sha256"], each["origin_node"]) for each in found if each["outcome"] == "archived"
            }

        wait_for("the archive", lambda: len(archived()) >= len(views), 60, crawler)
        assert archived() == views
    finally:
        children.kill()
