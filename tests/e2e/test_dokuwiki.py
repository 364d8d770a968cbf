"""DokuWiki behind Apache's prefork with 8 workers a node: all pages are archived with their files; no visitor waits."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from lbcompanion.demo import haproxy
from lbcompanion.demo.backends import Backend
from lbcompanion.demo.ports import ReservedPorts
from tests.support import balancers
from tests.support.children import Children, wait_for
from tests.support.dokuwiki import (
    PAGES,
    PASSWORD,
    START,
    USER,
    access_log,
    dokuwiki_nodes,
    most_at_once,
    toolbar_files,
)
from tests.support.farm import ProcessFarm, StickySettings, fetched, listens
from tests.support.people import BrowserPerson, chromium
from tests.support.programs import need_program
from tests.support.replay_pictures import Visit, check_replays
from tests.support.visitor import View, Visitor

__all__ = ["chromium"]

_NODES = ("n1", "n2")
_WORKERS = 8
#: The number of a node's workers that the crawler may use at a time. The visitors of this test use at most the others.
_SHARE = 3
_VISITORS = 10
_VIEWS_EACH = 6
_WAITED = re.compile(rb"^lbcompanion_node_upstream_waited_total (\S+)$", re.MULTILINE)


class Reader(BrowserPerson):
    """Somebody who reads and edits the wiki.

    :ivar refused: the page after a wrong password.
    """

    refused: View

    def signs_in(self) -> None:
        self.goes(START + "&do=login")
        self.refused = self._sends_password("wrong")
        self.shows("Sorry, username or password was wrong")
        self._sends_password(PASSWORD)
        self.shows("Log Out")

    def _sends_password(self, password: str) -> View:
        self.page.fill("input[name=u]", USER)
        self.page.fill("input[name=p]", password)
        return self.clicks("#dw__login button[type=submit]")

    def edits(self, name: str) -> None:
        """Edit a page: two previews by POST, and the page after it was saved."""
        self.goes(f"/doku.php?id={name}&do=edit")
        for number in range(2):
            self.page.fill("#wiki__text", f"====== {name} ======\n\nEdited – {number} <café> {{{{wiki:wine.png}}}}\n")
            assert self.clicks("#edbtn__preview").method == "POST"
            self.shows("This is a preview of what your text will look like")
        self.clicks("#edbtn__save")
        self.shows("Edited – 1 &lt;café&gt;")


def _crowd(port: int, notices: bool, is_companion: bool = True) -> tuple[list[View], list[float]]:
    """Visitors who all come at once; their views, and how many seconds each view took."""

    def visit(number: int) -> tuple[list[View], list[float]]:
        visitor = Visitor(port)
        views, waits = [], []
        for step in range(_VIEWS_EACH):
            path = f"/doku.php?id={PAGES[(number + step) % len(PAGES)]}&visitor={number}.{step}"
            begin = time.perf_counter()
            if is_companion:
                views.append(visitor.view(path))
            else:
                visitor.get(path)
            waits.append(time.perf_counter() - begin)
            if notices:
                visitor.notice(views[-1])
        return views, waits

    with ThreadPoolExecutor(_VISITORS) as threads:
        each = list(threads.map(visit, range(_VISITORS)))
    return [view for views, _ in each for view in views], [wait for _, waits in each for wait in waits]


def _shown(waits: Sequence[float]) -> str:
    ordered = sorted(waits)
    return f"median {ordered[len(ordered) // 2] * 1000:.0f} ms, longest {ordered[-1] * 1000:.0f} ms"


def test_all_pages_are_archived_and_no_visitor_waits_for_it(
    new_farm: Callable[..., ProcessFarm], chromium: Any, tmp_path: Any
) -> None:
    children, ports = Children(tmp_path), ReservedPorts()
    wiki = dokuwiki_nodes(children, ports, tmp_path, _NODES, _WORKERS)
    # The same Apaches behind a balancer without companions.
    bare = ports.take()
    backends = [Backend(name, f"127.0.0.1:{port}") for name, port in wiki.ports.items()]
    (tmp_path / "bare.cfg").write_text(haproxy.configuration(bare, backends, "SRV", "insert"))
    children.start("bare", haproxy.command(need_program("haproxy"), tmp_path / "bare.cfg"))
    wait_for("the balancer without companions", lambda: listens(bare, START), 60)
    try:
        requisites = f"[requisites]\nper_node = {_SHARE}\n"
        farm = new_farm(
            balancers.haproxy_with("insert"),
            StickySettings(("SRV",)),
            wiki,
            store_lines="[capture]\nstatuses = [200, 403]\n",  # DokuWiki refuses a wrong password with 403
            site_lines=lambda _: requisites,
        )
        _, without = _crowd(bare, notices=False, is_companion=False)
        children["bare"].kill()  # its kept connections hold Apache's workers
        views, waits = _crowd(farm.site, notices=True)
        print(f"without companions: {_shown(without)}; with them, while the crawler works: {_shown(waits)}")
        people = [Reader(chromium, farm) for _ in _NODES]
        people[0].signs_in()
        people[0].edits("cheese")
        people[1].goes(START)
        people[1].clicks(".page a[href*='id=cheese']")
        people[1].shows("Edited – 1")
        views += [view for person in people for view in person.views]
        assert sum(view.method == "POST" for view in views) >= 3
        found = farm.finished([view.token for view in views])
        masked = people[0].refused
        farm.check_archived([view for view in views if view is not masked], found)
        # DokuWiki repeats the wrong password in the form; it is masked.
        assert masked.body.count(b'value="wrong"') == 1
        assert farm.archived(masked.token) == masked.body.replace(b'value="wrong"', b'value=""')
        assert {recording["origin_node"] for recording in found.values()} == set(_NODES)
        _check_files(farm, found)
        _check_cost(farm)
    finally:
        children.kill()
        ports.release()


@pytest.mark.slow
def test_the_wiki_looks_as_it_did_with_its_scripts(
    new_farm: Callable[..., ProcessFarm], chromium: Any, tmp_path: Any
) -> None:
    """A page, the log-in, the editor with its toolbar, the preview that answers a POST."""
    children, ports = Children(tmp_path), ReservedPorts()
    try:
        wiki = dokuwiki_nodes(children, ports, tmp_path, _NODES, _WORKERS)
        lines = f'replay_scripts = "tcp:{ports.take()}:interface=127.0.0.1"\n'
        named = f"script_files = {json.dumps(toolbar_files())}\n"
        farm = new_farm(
            balancers.haproxy_with("insert"),
            StickySettings(("SRV",)),
            wiki,
            crawler_lines=lines,
            site_lines=lambda _: named,
        )
        visit = Visit(chromium, f"http://127.0.0.1:{farm.site}")
        visit.sees("page", "/doku.php?id=cheese", is_settled=True)
        visit.sees("login", f"{START}&do=login", is_settled=True)
        visit.page.fill("input[name=u]", USER)
        visit.page.fill("input[name=p]", PASSWORD)
        visit.leaves_by("#dw__login button[type=submit]")
        visit.sees("edit", "/doku.php?id=bread&do=edit", is_settled=True)
        visit.page.fill("#wiki__text", "====== Bread ======\n\nPreviewed {{wiki:wine.png}}\n")
        visit.sends("preview", "#edbtn__preview")
        check_replays(chromium, visit, f"http://127.0.0.1:{farm.api}", tmp_path, with_scripts=True)
    finally:
        children.kill()
        ports.release()


def _check_files(farm: ProcessFarm, found: dict[str, Any]) -> None:
    """Every file of each page is archived."""
    for recording in found.values():
        files = recording["requisites"]
        assert files["wanted"] > 0
        assert files["missing"] == [], recording["url"]
        assert files["archived"] == files["wanted"]


def _check_cost(farm: ProcessFarm) -> None:
    """The crawler asked the applications for files only, kept to its share, and made no visitor wait."""
    for name in _NODES:
        asked = [one for one in access_log(farm.folder, name) if one.user_agent.startswith("lbcompanion")]
        # This script works on after its response, and Apache counts that time: the crawler cannot know of it.
        ended = [one for one in asked if not one.target.startswith("/lib/exe/taskrunner.php")]
        assert len(ended) > len(asked) / 2
        assert most_at_once(ended) <= _SHARE
        assert not [one.target for one in asked if one.target.startswith("/doku.php")]
        print(f"{name}: {len(asked)} requests of the crawler")
        waited = _WAITED.search(fetched(farm.admin[name], "/metrics")[1])
        assert waited is not None
        assert float(waited[1]) == 0
