from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock, deferLater

from lbcompanion.crawler.archive.warc_records import Requisite
from lbcompanion.crawler.crawl.requisite_cache import FAILURE_SECONDS
from lbcompanion.crawler.crawl.requisite_source import AnswerCookies, RequisiteSource, WantedFile
from lbcompanion.crawler.fetching.fetcher import FetchPath, SiteFetcher
from lbcompanion.crawler.fetching.http_client import Client, FetchFailed, Reply
from lbcompanion.crawler.metrics import CrawlerMetrics
from lbcompanion.crawler.queue.requisite_report import Refusal
from lbcompanion.model import MissingKind, RoutingCookie
from lbcompanion.settings import RequisitesTable, SiteSettings, StickyTable
from lbcompanion.sticky.reader import CookieReader

ORIGIN = "http://www.example.com"
NOW = 1_795_468_200
CSS = ("content-type", "text/css")
LIMITS = RequisitesTable(max_seconds=10, retries=0)


class Answers(Client):
    """Answers with what a function returns, or with its failure; None: no answer comes."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(None, clock, 20)
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.running = self.most_running = 0
        self.answer: Callable[[int], Reply | FetchFailed | Deferred[Reply] | None] = lambda _number: ok()

    async def _ask(self, method: str, url: str, headers: Any, max_bytes: int, body: bytes, route: str) -> Reply:
        self.asked.append((url.removeprefix(ORIGIN), dict(headers)))
        self.running += 1
        self.most_running = max(self.running, self.most_running)
        try:
            found: Any = self.answer(len(self.asked))
            if isinstance(found, FetchFailed):
                raise found
            if found is None:
                found = Deferred()
            return await found if isinstance(found, Deferred) else found
        finally:
            self.running -= 1


def ok(body: bytes = b"x{}", *lines: tuple[str, str], status: int = 200) -> Reply:
    return Reply(status, (CSS, *lines), body)


READER = CookieReader(StickyTable("haproxy-insert", cookies=("SRV", "AWS*")))


class Source:
    """A source of files, its nodes and its clock."""

    def __init__(self, limits: RequisitesTable = LIMITS) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)
        self.node = Answers(self.clock)
        self.metrics = CrawlerMetrics()
        self.limits = limits
        sleep = lambda seconds: deferLater(self.clock, seconds)  # noqa: E731
        self.source = RequisiteSource(self.clock.seconds, sleep, limits, self.metrics)
        self.fetcher = SiteFetcher(
            site=SiteSettings("main", ORIGIN), secret=b"s", balancer=self.node, direct=self.node, nonce=lambda: "n",
            now=self.clock.seconds,
        )  # fmt: skip

    def ask(
        self, path: str = "/a.css", node: str = "n1", cookie: str = "", direct: str = "", seconds: float = 0.0
    ) -> list[Any]:
        """Ask for a file; the list gets the result."""
        fetch_path = FetchPath((RoutingCookie("SRV", cookie or node),), direct)
        deadline = self.clock.seconds() + (seconds or self.limits.max_seconds)
        wanted = WantedFile(
            self.fetcher, fetch_path, node, ORIGIN + path, deadline, AnswerCookies(READER, fetch_path.cookies)
        )
        done: list[Any] = []
        Deferred.fromCoroutine(self.source.get(wanted)).addBoth(done.append)
        return done

    def get(self, path: str = "/a.css", **more: str) -> Requisite | Refusal:
        (found,) = self.ask(path, **more)
        assert isinstance(found, Requisite | Refusal), found
        return found

    def count(self, source: str) -> float:
        value = self.metrics.registry.get_sample_value("lbcompanion_crawler_requisites_found_total", {"source": source})
        return value or 0.0


@pytest.mark.slow
def test_a_thousand_views_cost_one_request_for_each_file_and_node() -> None:
    source = Source()
    for view in range(1000):
        for number in range(5):
            assert isinstance(source.get(f"/{number}.css", node=f"n{view % 3}"), Requisite)
    assert len(source.node.asked) == 15
    assert source.count("cache") == 5000 - 15
    assert source.metrics.totals()["requisite_requests"] == 15


def test_forgotten_files_are_requested_again_as_a_whole() -> None:
    """The site may have removed the file of an erased page."""
    source = Source()
    source.node.answer = lambda number: (
        ok(b"x{}", ("cache-control", "max-age=9999"), ("etag", '"a"')) if number == 1 else ok(status=404)
    )
    assert isinstance(source.get(), Requisite)
    source.source.forget()
    assert isinstance(source.get(), Refusal)
    assert not any(name.lower() == "if-none-match" for name in source.node.asked[1][1])
    assert len(source.source._cache) == 1


@pytest.mark.parametrize("is_joined", [False, True])
def test_a_request_that_was_under_way_brings_no_forgotten_file_back(is_joined: bool) -> None:
    """Its node says that the file is unchanged, after an erasure has named the file."""
    source = Source()
    late: Deferred[Reply] = Deferred()
    etag = ("etag", '"a"')
    source.node.answer = lambda number: (ok(b"x{}", etag), late, ok(status=404), ok(status=404))[number - 1]
    source.get()
    source.clock.advance(301)
    first = source.ask()
    joined = source.ask() if is_joined else []
    source.source.forget()
    late.callback(Reply(304, (), b""))
    assert isinstance(first[0], Requisite)
    assert [type(each) for each in joined] == [Refusal] * is_joined
    assert isinstance(source.get(), Refusal)


def test_after_the_floor_a_file_is_validated_and_kept() -> None:
    source = Source()
    source.node.answer = lambda number: ok(b"x{}", ("etag", '"a"')) if number == 1 else Reply(304, (), b"")
    first = source.get()
    for _ in range(3):
        source.clock.advance(300)
        assert source.get() == first
        assert source.get() == first
    assert [each[1].get("If-None-Match") for each in source.node.asked] == [None, '"a"', '"a"', '"a"']
    assert source.count("validated") == 3


def test_a_304_renews_the_fields() -> None:
    source = Source()
    fresh = ("cache-control", "max-age=9000")
    source.node.answer = lambda number: ok(b"", ("etag", '"a"')) if number == 1 else Reply(304, (fresh,), b"")
    source.get()
    source.clock.advance(300)
    source.get()
    source.clock.advance(8999)
    source.get()
    assert len(source.node.asked) == 2


def test_a_304_for_another_tag_is_not_believed() -> None:
    source = Source()
    replies = [ok(b"old", ("etag", '"a"')), Reply(304, (("etag", '"b"'),), b""), ok(b"new", ("etag", '"b"'))]
    source.node.answer = lambda number: replies[number - 1]
    source.get()
    source.clock.advance(300)
    found = source.get()
    assert isinstance(found, Requisite)
    assert found.body == b"new"
    assert "If-None-Match" not in source.node.asked[2][1]


def test_a_304_that_was_not_asked_for_is_a_failure() -> None:
    source = Source()
    source.node.answer = lambda _number: Reply(304, (), b"")
    assert source.get() == Refusal("status 304", MissingKind.STATUS)


def test_the_head_of_a_file_is_kept_without_cookies() -> None:
    source = Source()
    lines = (("etag", '"a"'), ("x-odd", "\x00"), ("access-control-allow-origin", "*"), ("server", "\xe4 1 "))
    source.node.answer = lambda _number: ok(b"x", *lines, ("set-cookie", "SRV=n1"), ("transfer-encoding", "chunked"))
    found = source.get()
    assert isinstance(found, Requisite)
    assert found.head is not None
    assert found.head.fields == (
        ("Content-Type", "text/css"), ("Etag", '"a"'), ("Access-Control-Allow-Origin", "*"), ("Server", "\xe4 1"),
    )  # fmt: skip
    assert found.head.left_out == ("X-Odd", "Set-Cookie", "Transfer-Encoding")


def test_a_changed_file_replaces_the_old_one() -> None:
    source = Source()
    source.node.answer = lambda number: ok(b"%d" % number, ("etag", f'"{number}"'))
    for number in (1, 2):
        found = source.get()
        assert isinstance(found, Requisite)
        assert found.body == b"%d" % number
        source.clock.advance(300)


def test_nodes_and_ways_to_them_share_nothing() -> None:
    """During a deploy one URL has other bytes on each node."""
    source = Source()
    source.node.answer = lambda number: ok(b"%d" % number, ("etag", f'"{number}"'))
    found = [source.get(node="n1"), source.get(node="n2"), source.get(node="n2", direct="http://n2.local")]
    assert len({each.body for each in found if isinstance(each, Requisite)}) == 3
    assert [source.get(node="n1"), source.get(node="n2"), source.get(node="n2", direct="http://n2.local")] == found
    assert ["If-None-Match" in each[1] for each in source.node.asked] == [False] * 3


def test_what_another_node_answered_is_not_used_unless_the_bytes_are_the_same() -> None:
    source = Source()
    elsewhere = ("set-cookie", "SRV=n9")
    source.node.answer = lambda _number: ok(b"new", elsewhere)
    assert source.get() == Refusal("answered by another node", MissingKind.FAILED)
    source.clock.advance(FAILURE_SECONDS)
    source.node.answer = lambda _number: ok(b"old", ("etag", '"a"'))
    old = source.get()
    source.clock.advance(300)
    source.node.answer = lambda _number: ok(b"new", elsewhere)
    assert source.get() == Refusal("answered by another node", MissingKind.FAILED)
    source.node.answer = lambda _number: ok(b"old", elsewhere)
    same = source.get()
    assert isinstance(same, Requisite)
    assert isinstance(old, Requisite)
    assert same.body is old.body
    source.clock.advance(300)
    source.node.answer = lambda _number: Reply(304, (elsewhere,), b"")
    assert isinstance(source.get(), Refusal)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "personal"),
    [
        (("cache-control", "private"), True),
        (("set-cookie", "session=1; path=/"), True),
        (("set-cookie", "SRV=one; path=/"), False),
        (("vary", "Accept-Encoding"), False),
        (("vary", "Accept-Encoding, Cookie"), True),
        (("vary", "*"), True),
        (("cache-control", "no-store"), False),
    ],
)
def test_a_personal_file_is_requested_for_other_cookies_again(line: tuple[str, str], personal: bool) -> None:
    source = Source()
    source.node.answer = lambda _number: ok(b"x", line)
    for cookie in ("one", "one", "two", "two"):
        source.get(cookie=cookie)
    assert len(source.node.asked) == (2 if personal else 1)


def test_a_personal_file_is_not_validated_for_other_cookies() -> None:
    """An answer 304 would give one visitor's file to the page of another."""
    source = Source()
    source.node.answer = lambda _number: ok(b"x", ("cache-control", "private"), ("etag", '"a"'))
    for cookie in ("one", "two", "two"):
        source.get(cookie=cookie)
        source.clock.advance(300)
    assert [each[1].get("If-None-Match") for each in source.node.asked] == [None, None, '"a"']


@pytest.mark.parametrize(
    ("line", "begins", "shows_move"),
    [
        ("AWSALB=abc; path=/", False, False),
        (f"AWSALBCORS={'x' * 128}; path=/; secure", False, False),
        ("PHPSESSID=1", True, False),
        ("SESSION=1; HttpOnly", True, False),
        ("", False, False),
        ("broken", False, False),
    ],
)
def test_cookies_of_balancers_begin_no_session(line: str, begins: bool, shows_move: bool) -> None:
    reader = CookieReader(StickyTable())
    cookies = AnswerCookies(reader, (RoutingCookie("AWSALB", "old"),))
    assert cookies.begins_session((line,)) is begins
    assert cookies.shows_move((line,)) is shows_move
    assert cookies.begins_session(("SRV=1",) * 500)


def test_where_the_page_has_moved_its_files_may() -> None:
    sent = (RoutingCookie("SRV", "n1"),)
    assert AnswerCookies(READER, sent).shows_move(("SRV=n2; path=/",))
    assert not AnswerCookies(READER, sent).shows_move(("SRV=n1; path=/",))
    assert not AnswerCookies(READER, sent, may_move=True).shows_move(("SRV=n2; path=/",))


def test_requests_for_one_file_are_joined() -> None:
    source = Source()
    answer: Deferred[Reply] = Deferred()
    source.node.answer = lambda _number: answer
    asked = [source.ask() for _ in range(20)] + [source.ask(node="n2")]
    assert len(source.node.asked) == 2
    answer.callback(ok())
    assert [len(each) for each in asked[:20]] == [1] * 20
    assert len(source.node.asked) == 2
    assert source.count("joined") == 19


def test_a_personal_answer_is_not_joined() -> None:
    source = Source()
    answers: list[Deferred[Reply]] = []

    def answer(_number: int) -> Deferred[Reply]:
        answers.append(Deferred())
        return answers[-1]

    source.node.answer = answer
    asked = [source.ask(cookie=cookie) for cookie in ("one", "one", "two")]
    answers[0].callback(ok(b"one", ("cache-control", "private")))
    assert len(answers) == 2
    answers[1].callback(ok(b"two", ("cache-control", "private")))
    assert [each[0].body for each in asked] == [b"one", b"one", b"two"]


def test_a_page_without_time_takes_no_file_from_others() -> None:
    """Its request had less time than usual, so its timeout says nothing about the file."""
    source = Source()
    source.node.answer = lambda number: None if number == 1 else ok()
    hurried, joined = source.ask(seconds=1), source.ask()
    source.clock.advance(1)
    assert hurried == [Refusal("timeout", MissingKind.FAILED)]
    assert isinstance(joined[0], Requisite)
    alone = Source()
    alone.node.answer = source.node.answer
    alone.ask(seconds=1)
    alone.clock.advance(1)
    assert isinstance(alone.get(), Requisite)


def test_a_page_that_is_given_up_does_not_take_the_file_from_others() -> None:
    source = Source()
    answers: list[Deferred[Reply]] = []

    def answer(_number: int) -> Deferred[Reply]:
        answers.append(Deferred())
        return answers[-1]

    source.node.answer = answer
    wanted = WantedFile(source.fetcher, FetchPath(), "n1", f"{ORIGIN}/a.css", NOW + 10, AnswerCookies(READER, ()))
    first = Deferred.fromCoroutine(source.source.get(wanted))
    others = [source.ask(), source.ask()]
    first.addErrback(lambda failure: None)
    first.cancel()
    answers[1].callback(ok())
    for each in answers[2:]:
        each.callback(ok())
    assert all(isinstance(each[0], Requisite) for each in others)


def test_a_node_gets_few_requests_at_a_time() -> None:
    source = Source(evolve(LIMITS, per_node=3))
    answers: list[Deferred[Reply]] = []

    def answer(_number: int) -> Deferred[Reply]:
        answers.append(Deferred())
        return answers[-1]

    source.node.answer = answer
    asked = [source.ask(f"/{number}") for number in range(10)]
    assert source.node.running == 3
    asked += [source.ask(f"/{number}", node="n2") for number in range(2)]
    assert source.node.running == 5
    while answers:
        answers.pop(0).callback(ok())
    assert all(isinstance(each[0], Requisite) for each in asked)
    assert source.node.most_running == 5
    assert source.source._slots == {}


PASSING = [
    FetchFailed("refused"), FetchFailed("broken"), FetchFailed("cut"), FetchFailed("timeout"), ok(status=502),
    ok(status=503), ok(status=504),
]  # fmt: skip
LASTING = [
    FetchFailed("too large"), FetchFailed("tls"), FetchFailed("coded"), FetchFailed("site paused"), ok(status=404),
    ok(status=403), ok(status=500), ok(status=301), ok(b"", ("retry-after", "9"), status=503), ok(status=429),
    Reply(200, (("content-type", "text/html"),), b""),
]  # fmt: skip


@pytest.mark.parametrize("failure", PASSING)
def test_what_may_pass_is_requested_again(failure: Reply | FetchFailed) -> None:
    source = Source(evolve(LIMITS, retries=2))
    source.node.answer = lambda number: failure if number < 3 else ok()
    done = source.ask()
    assert len(source.node.asked) == 1
    source.clock.advance(0.25)
    assert len(source.node.asked) == 2
    source.clock.advance(0.5)
    assert isinstance(done[0], Requisite)
    assert len(source.node.asked) == 3


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("seconds", ["1", "2"])
def test_a_short_pause_that_is_asked_for_is_kept(status: int, seconds: str) -> None:
    source = Source(evolve(LIMITS, retries=1))
    source.node.answer = lambda number: ok(b"", ("retry-after", seconds), status=status) if number == 1 else ok()
    done = source.ask()
    source.clock.advance(float(seconds) - 0.1)
    assert len(source.node.asked) == 1
    source.clock.advance(0.1)
    assert isinstance(done[0], Requisite)


@pytest.mark.parametrize("failure", PASSING)
def test_the_repetitions_are_bounded(failure: Reply | FetchFailed) -> None:
    source = Source(evolve(LIMITS, retries=2))
    source.node.answer = lambda _number: failure
    done = source.ask()
    source.clock.pump([0.25] * 40)
    assert len(source.node.asked) == 3
    assert isinstance(done[0], Refusal)


@pytest.mark.parametrize("failure", LASTING)
def test_what_lasts_is_not_requested_again(failure: Reply | FetchFailed) -> None:
    source = Source(evolve(LIMITS, retries=2))
    source.node.answer = lambda _number: failure
    assert isinstance(source.get(), Refusal)
    source.clock.pump([0.25] * 40)
    assert len(source.node.asked) == 1


def test_a_file_that_does_not_come_uses_its_time_and_no_more() -> None:
    source = Source(evolve(LIMITS, retries=2))
    source.node.answer = lambda _number: None
    done = source.ask()
    source.clock.pump([0.1] * 101)
    assert source.clock.seconds() < NOW + 10.2
    assert isinstance(done[0], Refusal)
    assert done[0].reason in {"timeout", "more than 10 s in all"}
    assert Counter(each[0] for each in source.node.asked) == {"/a.css": 2}


def test_a_failure_is_remembered_for_a_short_time_only() -> None:
    source = Source()
    source.node.answer = lambda _number: FetchFailed("broken")
    first, second = source.get(), source.get()
    assert first == second == Refusal("broken", MissingKind.FAILED)
    assert len(source.node.asked) == 1
    source.clock.advance(FAILURE_SECONDS)
    source.node.answer = lambda _number: ok()
    assert isinstance(source.get(), Requisite)


def test_a_failure_does_not_drop_a_file_that_can_be_validated() -> None:
    source = Source()
    replies: list[Any] = [ok(b"x", ("etag", '"a"')), FetchFailed("broken"), Reply(304, (), b"")]
    source.node.answer = lambda number: replies[number - 1]
    first = source.get()
    source.clock.advance(300)
    assert isinstance(source.get(), Refusal)
    assert source.get() == first


def test_a_404_is_kept_for_the_floor() -> None:
    source = Source()
    source.node.answer = lambda _number: ok(status=404)
    for _ in range(5):
        assert source.get() == Refusal("status 404", MissingKind.STATUS)
    assert len(source.node.asked) == 1
    source.clock.advance(300)
    source.get()
    assert len(source.node.asked) == 2


def test_without_cache_and_floor_each_page_requests_its_files() -> None:
    source = Source(evolve(LIMITS, cache_bytes=0))
    source.get()
    source.get()
    assert len(source.node.asked) == 2
    source = Source(evolve(LIMITS, fresh_seconds=0))
    source.get()
    source.get()
    assert len(source.node.asked) == 2
    source.node.answer = lambda _number: ok(b"", ("cache-control", "max-age=60"))
    source.get()
    source.get()
    assert len(source.node.asked) == 3


KINDS = ["ok", "etag", "private", "503", "404", "lost"]
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), st.sampled_from(["n1", "n2"]), st.integers(0, 3), st.sampled_from(["a", "b"])),
        st.tuples(st.just("answer"), st.integers(0, 5), st.sampled_from(KINDS)),
        st.tuples(st.just("advance"), st.sampled_from([0.3, 6.0, 301.0])),
        st.tuples(st.just("deploy"), st.sampled_from(["n1", "n2"])),
    ),
    max_size=40,
)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_whatever_happens_a_page_gets_the_files_of_its_node(steps: list[Any]) -> None:
    source = Source(evolve(LIMITS, retries=1, per_node=2))
    versions = {"n1": 1, "n2": 1}
    open_requests: list[tuple[Deferred[Reply], str, str, dict[str, str]]] = []
    asked: list[tuple[str, str, list[Any]]] = []

    def answer(_number: int) -> Deferred[Reply]:
        path, fields = source.node.asked[-1]
        node, _, cookie = fields["Cookie"].removeprefix("SRV=").partition("-")
        open_requests.append((Deferred(), node, cookie, {**fields, "path": path}))
        assert sum(each[1] == node and not each[0].called for each in open_requests) <= 2
        return open_requests[-1][0]

    def reply_to(node: str, cookie: str, fields: dict[str, str], kind: str) -> Reply | FetchFailed:
        body = f"{node} {versions[node]} {fields['path']} {cookie if kind == 'private' else ''}".encode()
        tag = f'"{versions[node]}"'
        if fields.get("If-None-Match") == tag and kind in {"ok", "etag"}:
            return Reply(304, (("etag", tag),), b"")
        return {
            "ok": ok(body),
            "etag": ok(body, ("etag", tag)),
            "private": ok(body, ("cache-control", "private, max-age=999")),
            "503": ok(status=503),
            "404": ok(status=404),
            "lost": FetchFailed("broken"),
        }[kind]

    def respond(number: int, kind: str) -> None:
        waiting = [each for each in open_requests if not each[0].called]
        if waiting:
            deferred, node, cookie, fields = waiting[number % len(waiting)]
            reply = reply_to(node, cookie, fields, kind)
            deferred.errback(reply) if isinstance(reply, FetchFailed) else deferred.callback(reply)

    source.node.answer = answer
    for step in steps:
        if step[0] == "ask":
            cookie = f"{step[1]}-{step[3]}"
            asked.append((step[1], step[3], source.ask(f"/{step[2]}", node=step[1], cookie=cookie)))
        elif step[0] == "answer":
            respond(step[1], step[2])
        elif step[0] == "advance":
            source.clock.advance(step[1])
        else:
            versions[step[1]] += 1
    for _ in range(40):
        respond(0, "ok")
        source.clock.advance(0.6)
    for node, cookie, done in asked:
        (result,) = done
        if isinstance(result, Requisite):
            of, _version, path, personal_to = result.body.decode().split(" ")
            assert of == node
            assert result.url == ORIGIN + path
            assert personal_to in {"", cookie}
        else:
            assert isinstance(result, Refusal), result
    assert source.source._joined == {}
    assert source.source._slots == {}
