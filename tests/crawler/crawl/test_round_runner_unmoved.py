"""A node is set into maintenance, or dies, while the crawler works on a page of it: no request of the crawler binds the
visitor to another node, whatever the moment, and the files and the confirmation go to the page's node.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve, frozen
from twisted.web.server import Request

from lbcompanion.crawler.fetching.http_client import IdentityCodingAgent
from lbcompanion.model import RoutingCookie
from lbcompanion.settings import KnownNode, SiteSettings, StickyTable
from lbcompanion.sticky.cookies import parse
from lbcompanion.sticky.routes import Route, RouteState
from lbcompanion.testing.application import SESSION_COOKIE
from lbcompanion.testing.balancer import ForwardedRequest, InMemoryBalancer
from lbcompanion.testing.balancer_models import Choice
from lbcompanion.testing.clients import View, Visitor
from lbcompanion.testing.farm import KINDS, FarmKind, InMemoryFarm, is_archived
from tests.support.in_memory_crawler import InMemoryCrawler
from tests.support.simulated_farm import SimulatedFarm

pytestmark = pytest.mark.slow

SESSION = (SESSION_COOKIE,)
#: The rung of the visitor's cookie comes first of those that are left.
LADDER = ("any", "recorded")
TABLE = KINDS["table and visitors' cookies"]
FARMS = {
    "a table": TABLE,
    "a table, and addresses": evolve(TABLE, direct=True),
    "an unknown cookie": evolve(TABLE, sticky=StickyTable(cookies=SESSION, allow_credentials=SESSION)),
    "a table with the own cookie first": KINDS["table"],
    "a safe cookie": evolve(KINDS["insert"], ladder=LADDER),
}
UNSAFE = tuple(name for name in FARMS if name != "a safe cookie")
#: What happens to the node.
EVENTS: dict[str, Callable[[InMemoryFarm, str], None]] = {
    "maintenance": lambda farm, node: farm.maintain(node, on=True),
    "an outage": lambda farm, node: farm.cut_off(node),
}
#: More requests than the crawler sends after a page with one file.
MOMENTS = range(4)


@frozen
class Walk:
    """A farm and the last page of a visitor who sticks to its node."""

    farm: InMemoryFarm
    visitor: Visitor
    view: View

    @property
    def owner(self) -> str:
        return self.view.served_by

    def table(self) -> dict[str, str]:
        """The balancer's entries for the visitor."""
        model: Any = self.farm.balancer.model
        session = self.visitor.jar[SESSION_COOKIE]
        return {key: node for key, node in model.table.items() if key == session}

    def asked(self) -> list[ForwardedRequest]:
        """The crawler's requests to the balancer."""
        return [each for each in self.farm.balancer.forwarded if each.client == self.farm.crawlers.address]

    def asked_as_visitor(self) -> list[ForwardedRequest]:
        """Those with the visitor's cookie."""
        return [each for each in self.asked() if is_visitors(self, each.raw)]

    def crawl(self) -> Any:
        """Post the notice, and wait until the page has an outcome and nothing happens any more."""
        assert self.visitor.notice(self.view) == 204
        self.farm.network.pass_time(10.0)
        (row,) = [row for row in self.farm.rows() if row["token"] == self.view.token]
        return row


def is_visitors(walk: Walk, raw: bytes) -> bool:
    """Whether a request has the visitor's session."""
    cookies = parse(raw.partition(b"\r\nCookie: ")[2].partition(b"\r\n")[0])
    return cookies.get(SESSION_COOKIE) == walk.visitor.jar[SESSION_COOKIE]


@contextmanager
def walking(kind: FarmKind) -> Iterator[Walk]:
    with tempfile.TemporaryDirectory(prefix="lbc-unmoved-") as folder:
        farm = InMemoryFarm(kind, Path(folder))
        try:
            visitor = Visitor(farm, "ann")
            visitor.visit()
            visitor.visit()  # now the balancer knows the session
            view = visitor.visit("styled")
            assert view is not None
            farm.network.pass_time(5.0)
            yield Walk(farm, visitor, view)
        finally:
            farm.close()


def after_the_page(
    walk: Walk, monkeypatch: pytest.MonkeyPatch, moment: int, event: Callable[[InMemoryFarm, str], None]
) -> None:
    """Let something happen to the node after its page was fetched, just before the crawler's next request but
    ``moment`` is routed; at moment 0 the answer with the page may be on its way."""
    route, left = InMemoryBalancer.route, [-1]

    def count(balancer: InMemoryBalancer, client: str, raw: bytes) -> Choice:
        if client != walk.farm.crawlers.address:
            return route(balancer, client, raw)
        if left[0] == 0:
            event(walk.farm, walk.owner)
        left[0] -= 1
        choice = route(balancer, client, raw)
        if left[0] < 0 and raw.startswith(b"GET /_lbc/page/") and choice.node == walk.owner:
            left[0] = moment
        return choice

    monkeypatch.setattr(InMemoryBalancer, "route", count)


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("kind", FARMS)
def test_no_request_after_the_page_moves_the_visitor(
    kind: str, event: str, moment: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with walking(FARMS[kind]) as walk:
        before = walk.table() if kind in UNSAFE else {}
        after_the_page(walk, monkeypatch, moment, EVENTS[event])
        row = walk.crawl()
        assert is_archived(row)
        assert row["answered_by"] == walk.owner
        if kind in UNSAFE:
            assert before == {walk.visitor.jar[SESSION_COOKIE]: walk.owner}
            assert walk.table() == before
            for_the_page = [f"/_lbc/page/{walk.view.token}"] * (row["route"] == "recorded")
            assert [each.path for each in walk.asked_as_visitor()] == for_the_page


@pytest.mark.parametrize("kind", FARMS)
def test_files_and_confirmation_go_to_the_node_of_the_page(kind: str) -> None:
    with walking(FARMS[kind]) as walk:
        row = walk.crawl()
        assert is_archived(row)
        assert row["route"] == ("own" if kind == "a table with the own cookie first" else "recorded")
        rest = [each for each in walk.asked() if each.path.startswith("/static/") or each.path.endswith("/done")]
        assert [(each.method, each.choice.node) for each in rest] == [("GET", walk.owner), ("POST", walk.owner)]


class Visited:
    """A simulated farm with a table, a crawler, and a visitor of n2 whose page comes by the visitor's own cookie."""

    def __init__(self, test_folder: Path, farm: SimulatedFarm | None = None, **site: Any) -> None:
        self.farm = farm or SimulatedFarm(kind="table")
        site = {"sticky": StickyTable("haproxy-table", SESSION, allow_credentials=SESSION), "ladder": LADDER, **site}
        self.crawler = InMemoryCrawler(self.farm, test_folder, **site)
        self.farm.balancer.table.update({"visitor": "n2", "ours": "n2"})
        self.node = self.farm.nodes["n2"]
        self.put_own(RouteState.PROVEN)

    def put_own(self, state: RouteState) -> None:
        now = self.farm.now()
        cookies = (RoutingCookie(SESSION_COOKIE, "ours"),)
        self.crawler.routes.put(Route("main", "n2", cookies, "", state, now, now))

    def view(self) -> Any:
        """Fetch a new page; its row."""
        token = self.node.capture(b"<img src=/a.png>")
        self.crawler.take(token, {SESSION_COOKIE: "visitor"})
        return self.crawler.row(token)

    def after_the_page(self, happens: Callable[[], object]) -> None:
        """Let something happen while the node answers a request for a page."""

        def answer(request: Request) -> None:
            if request.method == b"GET" and request.path.startswith(b"/_lbc/page/"):
                happens()

        self.node.override = answer  # type: ignore[assignment]

    def rest(self) -> list[tuple[str, str]]:
        """Method and session of the requests after the one for the page."""
        return [
            (method, cookies.get(SESSION_COOKIE, ""))
            for node in self.farm.nodes.values()
            for method, path, cookies in node.asked
            if path == "/a.png" or path.endswith("/done")
        ]


@pytest.fixture
def visited(tmp_path: Path) -> Iterator[Callable[..., Visited]]:
    made: list[Visited] = []

    def make(farm: SimulatedFarm | None = None, **site: Any) -> Visited:
        made.append(Visited(tmp_path, farm, **site))
        return made[-1]

    yield make
    for each in made:
        each.crawler.close()


def test_the_rest_goes_by_the_own_cookie(visited: Callable[..., Visited]) -> None:
    walk = visited(direct=True)
    assert walk.view()["route"] == "recorded"
    assert walk.rest() == [("GET", "ours"), ("POST", "ours")]


def test_else_by_the_configured_cookie(visited: Callable[..., Visited]) -> None:
    walk = visited(nodes={"n2": KnownNode(cookie=f"{SESSION_COOKIE}=configured", direct="http://n2.local")})
    walk.farm.balancer.table["configured"] = "n2"
    walk.after_the_page(lambda: walk.put_own(RouteState.STALE))
    assert walk.view()["route"] == "recorded"
    assert walk.rest() == [("GET", "configured"), ("POST", "configured")]


def test_but_not_by_one_that_led_elsewhere(visited: Callable[..., Visited]) -> None:
    walk = visited(nodes={"n2": KnownNode(cookie=f"{SESSION_COOKIE}=configured", direct="http://n2.local")})
    cookies = (RoutingCookie(SESSION_COOKIE, "configured"),)
    walk.crawler.routes.mark_misleading("main", "n2", cookies, walk.farm.now())
    walk.after_the_page(lambda: walk.put_own(RouteState.STALE))
    asked = len(walk.farm.balancer.asked)
    assert walk.view()["route"] == "recorded"
    assert walk.rest() == [("GET", ""), ("POST", "")]
    assert walk.farm.balancer.asked[asked:] == [{SESSION_COOKIE: "ours"}, {SESSION_COOKIE: "visitor"}]
    assert "http://n2.local/a.png" in walk.farm.hosts.uris


def test_else_without_a_cookie(visited: Callable[..., Visited]) -> None:
    walk = visited()
    walk.after_the_page(lambda: walk.put_own(RouteState.STALE))
    row = walk.view()
    assert (row["outcome"], row["route"]) == ("archived", "recorded")
    assert {session for _, session in walk.rest()} == {""}
    # The confirmation may have reached another node, which says so.
    confirmed = not walk.node.pages
    assert (b'confirmations_total{result="done"} 1.0' in walk.crawler.metrics.exposition(0)) == confirmed


def test_what_was_asked_before_the_round_does_not_allow_a_replay(visited: Callable[..., Visited]) -> None:
    walk = visited()
    assert walk.view()["route"] == "recorded"
    walk.farm.clock.advance(0.1)
    assert walk.crawler.routes.is_reached("main", "n2", walk.farm.now())
    walk.farm.balancer.maintained.add("n2")
    walk.put_own(RouteState.STALE)
    walk.crawler.contexts["main"].minter.may_mint = lambda _node: False  # type: ignore[method-assign]
    asked = len(walk.farm.balancer.asked)
    assert walk.view()["outcome"] is None
    assert {SESSION_COOKIE: "visitor"} not in walk.farm.balancer.asked[asked:]
    assert walk.farm.balancer.moved == []


def test_a_cookie_that_could_move_the_visitor_is_not_sent_again_on_another_connection(tmp_path: Path) -> None:
    """A request on a kept connection is repeated if the connection ends, and by then the node may be away."""
    routes: list[str] = []

    class Keeping(IdentityCodingAgent):
        def __init__(self, agent: Any) -> None:
            super().__init__(agent)
            self.kept = self  # type: ignore[assignment]

        def request_on(self, route: str, method: bytes, uri: bytes, headers: Any, body: Any = None) -> Any:
            routes.append(route)
            return self.request(method, uri, headers, body)

        def forget(self, route: str) -> None: ...

        def close(self) -> None: ...

    class Farm(SimulatedFarm):
        def agents(self, _site: SiteSettings) -> tuple[Any, Any]:
            return Keeping(self.hosts), Keeping(self.hosts)

    walk = Visited(tmp_path, Farm(kind="table"))
    try:
        assert walk.view()["route"] == "recorded"
    finally:
        walk.crawler.close()
    assert routes == ["own n2", "own n2"]


def test_what_answered_the_visitors_cookie_says_nothing_about_the_own_one(visited: Callable[..., Visited]) -> None:
    """A balancer with a cookie of its own sets it where only the visitor's cookie was sent. The files are requested
    with the crawler's cookie of that balancer, so a file of another node is still noticed."""
    walk = visited(sticky=StickyTable("haproxy-insert", cookies=("SRV",)), farm=SimulatedFarm(kind="insert"))
    now = walk.farm.now()
    own = Route("main", "n2", (RoutingCookie("SRV", "n2"),), "", RouteState.PROVEN, now, now)
    walk.crawler.routes.put(own)

    def answer(request: Request) -> None:
        if request.path.startswith(b"/_lbc/page/"):
            request.responseHeaders.setRawHeaders(b"set-cookie", [b"SRV=another; path=/"])
            walk.farm.balancer.maintained.add("n2")

    walk.node.override = answer  # type: ignore[assignment]
    for node in walk.farm.nodes.values():
        node.assets["/a.png"] = ("image/png", b"of " + node.name.encode())
    row = walk.view()  # n2 is the next by round robin
    assert row["route"] == "recorded"
    (missing,) = json.loads(row["requisites"])["missing"]
    assert "answered by another node" in str(missing)
