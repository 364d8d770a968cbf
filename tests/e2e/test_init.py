"""What ``init`` writes runs as it is: real balancers, two nodes of one machine, a crawler, pages in the archive."""

from __future__ import annotations

import json
import urllib.request
from hashlib import sha256
from pathlib import Path

import pytest

from tests.support.balancer_programs import RUNS
from tests.support.children import Children, wait_for
from tests.support.cli import run
from tests.support.ports import free_port
from tests.support.visitor import Visitor

pytestmark = [pytest.mark.slow, pytest.mark.network, pytest.mark.programs]

_FILES = {"haproxy": "haproxy.cfg", "nginx": "nginx.conf"}
_PAGES = 6


def asked(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return bytes(answer.read())


def answers(url: str) -> bool:
    try:
        return bool(asked(url)) or True
    except OSError:
        return False


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
            wait_for("ready", lambda at=admin[number]: answers(f"http://127.0.0.1:{at}/readyz"), 60, crawler)
        wait_for("the crawler", lambda: answers(f"http://127.0.0.1:{admin['9201']}/healthz"), 60, crawler)
        wait_for("the site", lambda: answers(f"http://127.0.0.1:{site}/"), 60, balancer)
        views = {}
        for _ in range(_PAGES):
            visitor = Visitor(site, told=("SERVERID",))
            view = visitor.view("/page")
            visitor.notice(view)
            views[view.token] = sha256(view.body).hexdigest()
        api = f"http://127.0.0.1:{admin['9201']}/api/recordings"

        def archived() -> dict[str, str]:
            found = json.loads(asked(api))["recordings"]
            return {each["token"]: each["sha256"] for each in found if each["outcome"] == "archived"}

        wait_for("the archive", lambda: len(archived()) >= _PAGES, 60, crawler)
        assert archived().items() >= views.items()
        assert {each["origin_node"] for each in json.loads(asked(api))["recordings"]} == {"n1", "n2"}
    except BaseException:
        print(children.last_words())
        raise
    finally:
        children.kill()
