"""A whole farm in memory, driven at random: whatever happens in whatever order, a page in the archive is the page that
was served, from the node that served it, or the outcome says why there is none.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
from attrs import define
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)
from twisted.logger import LogLevel, globalLogPublisher
from warcio.archiveiterator import ArchiveIterator  # type: ignore[import-untyped]

from lbcompanion.crawler.fetching.fetcher import FetchedCopy, FetchMiss
from lbcompanion.model import Notice
from lbcompanion.protocol.notices import write_notices
from lbcompanion.protocol.tokens import Tokens
from lbcompanion.sticky.cookies import parse
from lbcompanion.sticky.routes import REACHED_SECONDS
from lbcompanion.testing.application import SESSION_COOKIE, csrf_token, session_id
from lbcompanion.testing.balancer import ForwardedRequest
from lbcompanion.testing.clients import UntrustedClient, View, Visitor
from lbcompanion.testing.farm import KINDS, SECRET, FarmKind, InMemoryFarm, is_archived
from lbcompanion.testing.network import ConnectionEnd

pytestmark = pytest.mark.slow

NAMES = ("n1", "n2", "n3")
VISITORS = ("ann", "bob")
#: Who sees which sort of page by which method, and whether the browser tells.
Seen = tuple[str, str, str, bool]
SEEN = st.tuples(
    st.sampled_from(VISITORS),
    st.sampled_from(["plain", "chunked", "coded", "styled"]),
    st.sampled_from(["GET", "POST"]),
    st.sampled_from([True, True, True, False]),
)
#: By how many rounds a notice may be tried before it ends, and by how many requests in each: the ladder's own bounds
#: (a back-off of up to 30 s within the 120 s, eight tries), and one more round for each start of the crawler.
MOST_ROUNDS = 20
TRIES_PER_ROUND = 8
#: Where a commit costs nothing, as nothing has to outlive this machine here; None: wherever temporary files go.
FOLDERS = next((folder for folder in ("/dev/shm",) if os.access(folder, os.W_OK)), None)


@define
class Fate:
    """The events of one page after it was served.

    :ivar offered: whether anybody posted a notice of it that is not forged.
    :ivar accepted: whether a node answered that it keeps one.
    :ivar cut: whether its node was away meanwhile.
    :ivar wiped: whether its node lost its memory meanwhile.
    :ivar pulled: whether another crawler took it.
    :ivar starts: how often the crawler had been started when it was served.
    """

    view: View
    crawler_starts: int
    offered: bool = False
    accepted: bool = False
    cut: bool = False
    wiped: bool = False
    pulled: bool = False
    ended: tuple[str, str] | None = None


class FarmMachine(RuleBasedStateMachine):
    """See the module."""

    kind: ClassVar[FarmKind]
    views = Bundle("views")

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(prefix="lbc-farm-", dir=FOLDERS)
        self.defects: list[str] = []
        globalLogPublisher.addObserver(self._heard)
        self.farm = InMemoryFarm(self.kind, Path(self.folder.name), NAMES)
        self.farm.network.taps.append(self._overheard)
        self.visitors = {name: Visitor(self.farm, name) for name in VISITORS}
        self.stranger = UntrustedClient(self.farm)
        self.fates: dict[str, Fate] = {}
        self.down_since: dict[str, float] = {}
        self.maintained_since: dict[str, float] = {}
        self.leaks: list[str] = []
        self.looked_at = 0
        self.asked: Counter[str] = Counter()
        self.first_asked: dict[str, float] = {}
        #: When the crawler's own value last reached each node, and when a page's visitor's value was last sent.
        self.reached_at: dict[str, float] = {}
        self.replayed_at: dict[str, float] = {}
        self.confirmed: set[str] = set()

    # What is listened to all the time.

    def _heard(self, event: dict[str, Any]) -> None:
        failure = event.get("log_failure")
        if failure is not None or event["log_level"] is LogLevel.critical:
            self.defects.append(failure.getTraceback() if failure is not None else event["log_format"])

    def _secrets(self) -> list[bytes]:
        if self.kind.session_routes:
            return [csrf_token(number) for number in self.farm.application_log.visitor_sessions]
        return self.farm.application_log.secrets()

    def _overheard(self, end: ConnectionEnd, data: bytes) -> None:
        by_crawler = end.host is self.farm.crawlers
        to_crawler = end.remote_address.host == self.farm.crawlers.address and end.remote_address.port == 9200
        if (by_crawler or to_crawler) and any(secret in data for secret in self._secrets()):
            self.leaks.append(f"{end.local_address.host} to {end.remote_address.host}: {data[:80]!r}")

    # Visitors.

    def _all_is_known(self) -> bool:
        """Whether some node is up, and the balancer knows of all that are down."""
        away = self.farm.balancer.maintained
        down = {name for name, node in self.farm.nodes.items() if not node.host.up} | away
        # With all others draining, those who are nobody's get nothing.
        return down | self.farm.balancer.draining != set(NAMES) and down <= self.farm.balancer.down | away

    def _lost_on_the_way(self, status: int) -> bool:
        """Whether a notice may well have got this answer from no companion."""
        return (status == 200 and bool(self.farm.bypassed_nodes)) or (status in {0, 503} and not self._all_is_known())

    def _view(self, who: str, sort: str, method: str) -> View | None:
        view = self.visitors[who].visit(sort, method)
        no_tag = bool(self.farm.bypassed_nodes)
        assert view is not None or no_tag or not self._all_is_known(), "a visitor got no page though a node is up"
        if view is not None:
            assert view.token not in self.fates
            balancer = self.farm.balancer
            unlucky = balancer.caching or view.served_by in balancer.draining | balancer.maintained
            self.fates[view.token] = Fate(view, self.farm.crawler_starts, cut=unlucky)
        return view

    def _tell(self, who: str, view: View, told: Mapping[str, str] | None) -> int:
        fate = self.fates[view.token]
        status = self.visitors[who].notice(view, told)
        assert status in {204, 400} or self._lost_on_the_way(status), status
        fate.offered |= status != 400
        fate.accepted |= status == 204
        return status

    @initialize(target=views, seen=st.lists(SEEN, min_size=1, max_size=5))
    def several_visit(self, seen: list[Seen]) -> Any:
        return self.visit_and_tell(seen)

    @rule(target=views, seen=st.lists(SEEN, min_size=1, max_size=3))
    def visit_and_tell(self, seen: list[Seen]) -> Any:
        """Pages are viewed, and most browsers say so."""
        views = []
        for who, sort, method, tells in seen:
            view = self._view(who, sort, method)
            if view is not None:
                views.append(view)
                if tells:
                    assert self._tell(who, view, None) != 400
        return multiple(*views)

    @rule(who=st.sampled_from(VISITORS))
    def visitor_forgets(self, who: str) -> None:
        self.visitors[who].jar.clear()

    @rule(
        view=views,
        who=st.sampled_from(VISITORS),
        claim=st.sampled_from(["read", "everything", "foreign", "unknown", "malformed", "nothing"]),
        times=st.integers(1, 2),
    )
    def notice(self, view: View, who: str, claim: str, times: int) -> None:
        """The one who posts it may be another visitor, or the same one long after having been moved."""
        jar = self.visitors[who].jar
        cookies = {
            "read": None,
            "everything": jar,
            "foreign": {"SRV": "n3", "where": "rack-5/1:c3", SESSION_COOKIE: "elsewhere"},
            "unknown": {"SRV": "n99", "where": "~~", SESSION_COOKIE: "nobody's"},
            "malformed": {"SRV": "n1; \x7f"},
            "nothing": {},
        }[claim]
        for _ in range(times):
            assert (self._tell(who, view, cookies) == 400) <= (claim == "malformed")

    # Those who mean ill.

    @rule(view=views, how=st.sampled_from(["altered", "other farm"]), place=st.integers(0, 62))
    def forged_by_a_browser(self, view: View, how: str, place: int) -> None:
        token = _altered(view.token, place) if how == "altered" else _of_another_farm(view.served_by)
        status = self.visitors["ann"].notice(view, token=token)
        assert status == 400 or self._lost_on_the_way(status), status

    @rule(
        view=views,
        how=st.sampled_from(["unsigned", "other secret", "old", "early", "swapped", "altered", "other farm"]),
        place=st.integers(0, 62),
    )
    def forged_at_the_intake(self, view: View, how: str, place: int) -> None:
        post = self.stranger.post
        now = self.farm.network.now()

        def body(token: str) -> bytes:
            return write_notices([Notice(token, view.url, {"SRV": view.served_by}, now, now)])

        mine = body(view.token)
        status = {
            "unsigned": lambda: post(mine, None),
            "other secret": lambda: post(mine, b"a guess"),
            "old": lambda: post(mine, age_seconds=302),
            "early": lambda: post(mine, age_seconds=-302),
            "swapped": lambda: post(body("1" + "x" * 40), sent=mine),
            "altered": lambda: post(body(_altered(view.token, place))),
            "other farm": lambda: post(body(_of_another_farm(view.served_by))),
        }[how]()
        if self.farm.crawler is None:
            assert status == 0
        else:
            assert status == (400 if how in {"altered", "other farm"} else 401)

    @rule(view=views)
    def pull_without_the_secret(self, view: View) -> None:
        answer = self.stranger.pull(view.token, view.served_by, b"a guess")
        assert answer == FetchMiss("", "status 403") or not self._is_up(view.served_by)
        assert not self.stranger.confirm(view.token, view.served_by, b"a guess")

    # Another crawler, which may.

    @rule(view=views, node=st.sampled_from(NAMES), confirm=st.booleans())
    def pulled_twice(self, view: View, node: str, confirm: bool) -> None:
        """Every given copy is the page, also the second time."""
        fate = self.fates[view.token]
        first = self.stranger.pull(view.token, node)
        second = self.stranger.pull(view.token, node)
        served = self.farm.application_log.pages[view.visit]
        for answer in (first, second):
            if isinstance(answer, FetchedCopy):
                fate.pulled = True
                assert answer.body == served.body
                assert answer.node == node
                assert answer.method == served.method
                assert node == view.served_by or self.kind.peers
        if isinstance(first, FetchedCopy) and isinstance(second, FetchMiss):
            # The farm's own crawler may confirm it meanwhile.
            assert second.result == "pulled"
            assert fate.accepted
        if confirm and isinstance(second, FetchedCopy):
            assert self.stranger.confirm(view.token, node)
            third = self.stranger.pull(view.token, node)
            assert isinstance(third, FetchMiss)
            assert third.result == "pulled"

    # What befalls machines.

    def _is_up(self, name: str) -> bool:
        return self.farm.nodes[name].host.up

    def _befell(self, name: str, what: str) -> None:
        for fate in self.fates.values():
            if fate.view.served_by == name:
                setattr(fate, what, True)

    @rule(name=st.sampled_from(NAMES), noticed=st.booleans())
    def node_goes_down(self, name: str, noticed: bool) -> None:
        if self._is_up(name):
            self.farm.cut_off(name, noticed=noticed)
            self.down_since[name] = self.farm.network.now()
            self._befell(name, "cut")

    @rule(view=views, who=st.sampled_from(VISITORS), seconds=st.sampled_from([1.0, 25.0]))
    def told_of_after_its_node_went_down(self, view: View, who: str, seconds: float) -> None:
        """What a visitor whose node is away has in the jar leads, or binds, elsewhere."""
        self.node_goes_down(view.served_by, True)
        self.farm.network.pass_time(seconds)
        self._tell(who, view, None)
        self.farm.network.pass_time(1.0)

    @precondition(lambda self: self.down_since)
    @rule(data=st.data())
    def node_comes_up(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.down_since)))
        self.farm.reconnect(name)
        del self.down_since[name]

    @rule(name=st.sampled_from(NAMES))
    def companion_is_bypassed(self, name: str) -> None:
        """For a while the balancer sends visitors, and the crawler, to the bare application."""
        if self.farm.bypass(name, on=name not in self.farm.bypassed_nodes):
            self._befell(name, "cut")

    @rule(name=st.sampled_from(NAMES))
    def node_restarts(self, name: str) -> None:
        self.farm.nodes[name].restart()
        self._befell(name, "cut")
        self._befell(name, "wiped")

    @rule(name=st.sampled_from(NAMES))
    def node_restarts_elsewhere(self, name: str) -> None:
        """Its name and the balancer's value for it stay, its address does not."""
        self.farm.move(name)
        self.down_since.pop(name, None)
        self._befell(name, "cut")
        self._befell(name, "wiped")

    @rule(name=st.sampled_from(NAMES))
    def node_drains(self, name: str) -> None:
        """Or gets newcomers again. Whoever has its value, a crawler as well, reaches it all the while."""
        draining = name not in self.farm.balancer.draining
        self.farm.drain(name, on=draining)
        if draining:
            self._befell(name, "cut")

    @rule(name=st.sampled_from(NAMES))
    def node_is_maintained(self, name: str) -> None:
        """Its machine runs, and answers requests to its own address; the balancer sends it nothing."""
        self._maintain(name, name not in self.farm.balancer.maintained)

    @rule(view=views, who=st.sampled_from(VISITORS), seconds=st.sampled_from([1.0, 25.0]))
    def told_of_while_its_node_is_maintained(self, view: View, who: str, seconds: float) -> None:
        """The notice comes late; the table still binds the session to the node."""
        self._maintain(view.served_by, True)
        self.farm.network.pass_time(seconds)
        self._tell(who, view, None)
        self.farm.network.pass_time(1.0)

    def _maintain(self, name: str, on: bool) -> None:
        if on:
            self.maintained_since.setdefault(name, self.farm.network.now())
            self._befell(name, "cut")
        else:
            self.maintained_since.pop(name, None)
        self.farm.maintain(name, on=on)

    @rule()
    def keys_are_rotated(self) -> None:
        """No excuse: whatever cookies led anywhere lead nowhere now, and new ones are minted."""
        self.farm.rotate()

    @rule()
    def cache_comes_or_goes(self) -> None:
        """What it repeats bears another question's proof: it may keep pages from being fetched, and no more."""
        if self.farm.balancer.caching:
            self.farm.set_caching(on=False)
        else:
            self.farm.set_caching(on=True)
            for name in NAMES:
                self._befell(name, "cut")

    @precondition(lambda self: self.farm.crawler is not None)
    @rule()
    def crawler_dies(self) -> None:
        self.farm.kill_crawler()

    @precondition(lambda self: self.farm.crawler is None)
    @rule()
    def crawler_returns(self) -> None:
        self.farm.start_crawler()

    # Time.

    @rule(count=st.integers(1, 80), seconds=st.sampled_from([0.0, 0.06, 0.5]))
    def a_little_happens(self, count: int, seconds: float) -> None:
        """So that whatever comes next comes in the middle of something."""
        self.farm.network.clock.advance(seconds)
        self.farm.network.steps(count)

    @rule(seconds=st.sampled_from([0.2, 1.0, 5.0, 25.0]))
    def time_passes(self, seconds: float) -> None:
        self.farm.network.pass_time(min(seconds, 2.0))
        if seconds > 2:
            self.farm.check_health()
            self.farm.network.pass_time(seconds - 2.0)

    @rule(of=st.sampled_from(["a copy", "the crawler's patience"]))
    def much_time_passes(self, of: str) -> None:
        self.farm.check_health()
        seconds = self.farm.max_seconds if of == "a copy" else self.farm.give_up_after_seconds
        self.farm.network.pass_time(seconds + 1.0, stride=5.0)

    # What always holds.

    @invariant()
    def outcomes_are_true(self) -> None:
        self.requests_are_right()
        for row in self.farm.rows():
            fate = self.fates.get(row["token"])
            assert fate is not None, "a forged notice was taken"
            assert fate.offered, "an unsigned notice was taken"
            assert row["rounds"] <= MOST_ROUNDS + self.farm.crawler_starts
            if row["outcome"] is None:
                assert fate.ended is None, "an outcome was taken back"
                assert row["token"] not in self.confirmed, "confirmed before it was safe"
            elif fate.ended is None:
                fate.ended = (row["outcome"], row["reason"])
                self._judge(fate, row)
            else:
                assert fate.ended == (row["outcome"], row["reason"]), "a second outcome"

    def _judge(self, fate: Fate, row: Any) -> None:
        view = fate.view
        assert row["origin_node"] == view.served_by
        if not is_archived(row):
            assert self._excuses(fate, row), row["reason"]
            return
        served = self.farm.application_log.pages[view.visit]
        assert self.farm.crawler is not None
        assert self.farm.crawler.page(row) == served.body
        assert row["answered_by"] == view.served_by or self.kind.peers
        assert row["page_url"] == view.url
        last = json.loads(row["attempts"])[-1]
        assert last[:3] == [row["route"], row["answered_by"], "archived"]

    def _excuses(self, fate: Fate, row: Any) -> bool:
        """Whether what befell the page is what the outcome says."""
        reason = row["reason"]
        if reason == "expired":
            return bool(row["finished_at"] - fate.view.viewed_at >= self.farm.max_seconds)
        if reason == "pulled":
            # Or it went out whole to a crawler that did not live to have it, or over a line that broke.
            since = row["finished_at"] - self.first_asked.get(row["token"], row["finished_at"])
            broke = fate.cut or self.farm.crawler_starts > fate.crawler_starts
            return fate.pulled or (broke and since >= self.farm.pull_grace_seconds)
        if reason == f"unknown at its owner {fate.view.served_by}":
            return fate.wiped
        return bool(reason.startswith(f"no answer from {fate.view.served_by} within 120 s: last ")) and fate.cut

    def requests_are_right(self) -> None:
        forwarded = self.farm.balancer.forwarded[self.looked_at :]
        self.looked_at = len(self.farm.balancer.forwarded)
        for each in forwarded:
            if each.client == self.farm.crawlers.address and self.kind.session_routes:
                self._moves_nobody(each)
            token = each.path.removesuffix("/done").rpartition("/")[2]
            if each.client != self.farm.crawlers.address or token not in self.fates:
                continue
            if each.method in ("POST", "DELETE"):
                self.confirmed.add(token)
                continue
            self.asked[token] += 1
            self.first_asked.setdefault(token, each.at)
            assert self.asked[token] <= (MOST_ROUNDS + self.farm.crawler_starts) * TRIES_PER_ROUND

    def _moves_nobody(self, request: ForwardedRequest) -> None:
        """Check a request of the crawler: a visitor's own value is sent for the page only, and only after a request
        with a value of the crawler's own has reached the page's node. Each replay needs another such request."""
        cookies = parse(request.raw.partition(b"\r\nCookie: ")[2].partition(b"\r\n")[0])
        session = cookies.get(SESSION_COOKIE, "")
        is_visitors = session.startswith("hush-") and session.encode() in map(
            session_id, self.farm.application_log.visitor_sessions
        )
        if not is_visitors:
            if session:
                self.reached_at[request.choice.node] = request.at
            return
        token = request.path.rpartition("/")[2]
        assert (request.method, request.path) == ("GET", f"/_lbc/page/{token}"), "not for the page"
        owner = self.fates[token].view.served_by
        reached_at = self.reached_at.get(owner, float("-inf"))
        assert request.at - reached_at <= REACHED_SECONDS, "a visitor may be moved by a fetch"
        assert reached_at >= self.replayed_at.get(token, reached_at), "a replay without a look of its own"
        away_since = min(self.down_since.get(owner, request.at), self.maintained_since.get(owner, request.at))
        assert request.at - away_since <= REACHED_SECONDS, "a visitor may be moved by a fetch"
        self.replayed_at[token] = request.at

    @invariant()
    def nothing_leaks(self) -> None:
        assert not self.leaks

    @invariant()
    def nothing_is_broken(self) -> None:
        assert not self.defects, self.defects[0]

    # The end.

    def teardown(self) -> None:
        try:
            self._come_to_an_end()
        finally:
            globalLogPublisher.removeObserver(self._heard)
            self.farm.close()
            self.folder.cleanup()

    def _come_to_an_end(self) -> None:
        farm = self.farm
        if farm.crawler is None:
            farm.start_crawler()
        farm.check_health()
        patience = farm.give_up_after_seconds + 60.0
        farm.network.pass_time(1.0)
        farm.network.pass_time(patience, stride=2.0, until=self._all_have_ended)
        assert self._all_have_ended(), "a notice has no outcome"
        for name in sorted(farm.bypassed_nodes):
            farm.bypass(name, on=False)
        farm.set_caching(on=False)
        for name in NAMES:
            self._maintain(name, False)
        for name in self.down_since:
            farm.reconnect(name)
        self.down_since.clear()
        farm.network.pass_time(patience, stride=2.0, until=self._all_are_there)
        assert self._all_are_there(), "a notice that a node had taken never came"
        farm.network.pass_time(patience, stride=2.0, until=self._all_have_ended)
        assert self._all_have_ended(), "a notice has no outcome"
        self.outcomes_are_true()
        self.nothing_leaks()
        self.nothing_is_broken()
        self._archive_holds_each_once()
        self._no_file_holds_a_secret()

    def _all_have_ended(self) -> bool:
        return all(row["outcome"] is not None for row in self.farm.rows())

    def _all_are_there(self) -> bool:
        known = {row["token"] for row in self.farm.rows()}
        return all(token in known for token, fate in self.fates.items() if fate.accepted)

    def _archive_holds_each_once(self) -> None:
        pages: Counter[str] = Counter()
        for path in (self.farm.folder / "archive").glob("*.warc.gz"):
            with path.open("rb") as stream:
                for record in ArchiveIterator(stream):
                    url = record.rec_headers.get_header("WARC-Target-URI") or ""
                    if record.rec_type == "response" and "/static/" not in url:
                        pages[url] += 1
                        _check_head(url, record)
        archived = Counter(row["page_url"] for row in self.farm.rows() if is_archived(row))
        assert pages == archived

    def _no_file_holds_a_secret(self) -> None:
        secrets = self._secrets()
        for path in Path(self.folder.name).rglob("*"):
            if path.is_file():
                held = path.read_bytes()
                assert not any(secret in held for secret in secrets), path.name


def _check_head(url: str, record: Any) -> None:
    """A record has the head that the application sent, for each way of the copy."""
    names = [name.lower() for name, _ in record.http_headers.headers]
    assert {"server", "date", "content-type"} <= set(names)
    assert not {"set-cookie", "transfer-encoding", "content-encoding"}.intersection(names)
    left_out = (record.rec_headers.get_header("Lbc-Fields-Left-Out") or "").lower()
    assert set(filter(None, left_out.split(", "))) <= {"set-cookie", "transfer-encoding"}, left_out
    assert ("/coded/" in url) == ("x-archive-orig-content-encoding" in names)
    assert ("/chunked/" in url) == ("transfer-encoding" in left_out) == ("content-length" not in names)


def _altered(token: str, place: int) -> str:
    place %= len(token)
    return token[:place] + ("A" if token[place] != "A" else "B") + token[place + 1 :]


def _of_another_farm(owner: str) -> str:
    return Tokens(SECRET + b"!", owner, os.urandom).mint()


@pytest.mark.parametrize("name", KINDS)
def test_an_archived_page_is_the_page_that_was_served(name: str) -> None:
    machine = type(f"Farm_{name}", (FarmMachine,), {"kind": KINDS[name]})
    profile = settings()
    long = profile.max_examples > 1000
    run_state_machine_as_test(
        machine,
        settings=settings(
            profile,
            max_examples=300 if long else max(1, profile.max_examples // 8),
            stateful_step_count=40 if long else 30,
            # Making a failure small takes minutes, which only those have who came for long.
            phases=profile.phases if long else [Phase.explicit, Phase.reuse, Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
