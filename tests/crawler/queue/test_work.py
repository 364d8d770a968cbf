"""Claims at a shared queue: at SQLite, whose transactions lock the whole file, and at the database servers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from lbcompanion.crawler.queue.archive_index import ArchivedRecord, ArchiveIndex
from lbcompanion.crawler.queue.backlog import AlreadyEnded, Backlog
from lbcompanion.crawler.queue.database import BacklogError, Database, database_clock, open_engine
from lbcompanion.crawler.queue.schema import TURNS
from lbcompanion.crawler.queue.work import SharedQueue, UnsharedQueue
from lbcompanion.model import Loss, LossCode, LossReason
from tests.support.arrivals import arrival
from tests.support.children import wait_for

LEASE = 60.0
STEPS = st.sampled_from(["take", "renew", "back", "clock", "end"])
LOST = LossReason.of(LossCode.NO_SITE)


class Place:
    """A queue with a clock of its own."""

    def __init__(self, url: str = "sqlite://") -> None:
        self.url = url
        self.database = Database(open_engine(url))
        self.database.open()
        self.backlog = Backlog(self.database)
        self.time = 1000.0

    def crawler(self, name: str, per_node: int = 100) -> SharedQueue:
        return SharedQueue(self.database, name, per_node, LEASE, lambda _connection: self.time)

    def add(self, count: int, nodes: int = 1) -> None:
        known = sum(self.backlog.counts().values())
        self.backlog.add([arrival(f"t{known + each:04d}", f"n{each % nodes}") for each in range(count)], 0.0)

    def as_crawler(self, crawler: SharedQueue | None) -> Backlog:
        self.database.claimant = None if crawler is None else crawler.claimant
        return self.backlog

    def row(self, token: str) -> Any:
        return self.backlog.recording(token)


def tokens(crawler: SharedQueue, limit: int = 100) -> list[str]:
    return [job.token for job in crawler.take(1.0, limit, (), ()).jobs]


def at_sqlite() -> Iterator[Place]:
    place = Place()
    yield place
    place.database.close()


def at_server(kind: str) -> Callable[[], Iterator[Place]]:
    def made() -> Iterator[Place]:
        # Its drivers are extras.
        from tests.support import store_servers

        with store_servers.of_its_own(getattr(store_servers, kind)) as server:
            place = Place(server.url)
            yield place
            place.database.close()

    return made


@pytest.fixture(
    params=[
        pytest.param(at_sqlite, id="sqlite"),
        pytest.param(at_server("Postgresql"), id="postgresql", marks=[pytest.mark.programs, pytest.mark.slow]),
        pytest.param(at_server("Mariadb"), id="mariadb", marks=[pytest.mark.programs, pytest.mark.slow]),
    ],
)
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    yield from request.param()


def test_a_delivery_is_added_as_its_notices_would_be_one_by_one(place: Place) -> None:
    cookies = {"SRV": "n1"}
    assert sorted(place.backlog.add([arrival("t3", "n2", cookies), arrival("t1")], 1.0)) == ["n1", "n2"]
    mixed = [
        arrival("t4", "n4", cookies),
        arrival("t1", "n1", cookies),
        arrival("t2", "n3"),
        arrival("t2", "n3", cookies),
    ]
    assert sorted(place.backlog.add(mixed, 2.0)) == ["n3", "n4"]
    rows = [place.row(f"t{number}") for number in (1, 2, 3, 4)]
    assert [row["received_at"] for row in rows] == [1.0, 2.0, 1.0, 2.0]
    assert [row["cookies"] for row in rows] == [json.dumps(cookies)] * 4
    assert place.backlog.add([], 3.0) == ()


@pytest.mark.slow
def test_claims(place: Place) -> None:
    """All of it at one queue: a server takes a second to start."""
    for check in (
        each_notice_is_claimed_once,
        a_lease_ends,
        a_lease_is_renewed,
        a_late_renewal_needs_room,
        a_lost_claim_changes_nothing,
        claims_are_given_back,
        a_clock_that_jumps,
        a_crawlers_clock_that_was_wrong,
        a_node_has_a_limited_number,
        a_busy_node_does_not_hold_up_others,
        a_crawler_without_its_name_claims_nothing,
        losses_come_with_the_jobs,
        the_clock_is_the_databases,
    ):
        check(place)
        crawler = place.crawler("end", per_node=1000)
        place.time += 2 * LEASE
        for job in crawler.take(1e9, 1000, (), ()).jobs:
            place.as_crawler(crawler).mark_lost(job.token, LOST, (), 0.0)
        place.as_crawler(None)
        assert place.backlog.counts()["open"] == 0


def each_notice_is_claimed_once(place: Place) -> None:
    place.add(5)
    first, second = place.crawler("a"), place.crawler("b")
    one, two = tokens(first, 3), tokens(second, 3)
    assert (len(one), len(two), tokens(first), tokens(second)) == (3, 2, [], [])
    assert not set(one) & set(two)
    assert one == sorted(one)
    assert place.row(one[0])["claimed_by"] == first.claimant
    assert first.claimant.startswith("a/")


def a_lease_ends(place: Place) -> None:
    place.add(1)
    first, second = place.crawler("a"), place.crawler("b")
    (token,) = tokens(first)
    place.time += LEASE - 1
    assert tokens(second) == []
    place.time += 1
    assert tokens(second) == [token]
    assert first.renew([token]) == {token}


def a_lease_is_renewed(place: Place) -> None:
    place.add(2)
    first, second = place.crawler("a"), place.crawler("b")
    one, two = tokens(first)
    place.time += LEASE - 1
    assert first.renew([one]) == set()
    # The other one was forgotten: its job does not run.
    assert tokens(second) == [two]
    place.time += LEASE - 1
    assert tokens(second) == []
    # Late, but nobody has claimed it meanwhile.
    place.time += 10
    assert first.renew([one]) == set()
    # Its own lease has ended, too, but its job runs.
    assert second.take(1.0, 9, [two], ()).jobs == ()
    assert tokens(second) == [two]
    # New claims are not forgotten.
    place.add(1)
    (three,) = tokens(first)
    first.renew([one])
    assert place.row(three)["claimed_by"] == first.claimant


def a_late_renewal_needs_room(place: Place) -> None:
    """A crawler was stopped for longer than its leases; meanwhile another one claimed other notices of the node."""
    place.add(8)
    first, second = place.crawler("a", per_node=4), place.crawler("b", per_node=4)
    late = tokens(first)
    assert len(late) == 4
    place.time += LEASE
    assert len(other := second.take(1.0, 3, late, ()).jobs) == 3
    lost = first.renew(late)
    assert len(lost) == 3
    assert [place.row(token)["claimed_by"] for token in lost] == [None] * 3
    held = [place.row(token)["claimed_by"] for token in set(late) - lost]
    assert held == [first.claimant]
    assert second.renew([job.token for job in other]) == set()


def a_lost_claim_changes_nothing(place: Place) -> None:
    place.add(3)
    first, second = place.crawler("a"), place.crawler("b")
    stolen, postponed, ended = tokens(first)
    place.time += LEASE
    assert len(tokens(second)) == 3
    place.as_crawler(second).postpone(postponed, 1, (), 5000.0)
    place.as_crawler(second).mark_lost(ended, LOST, (), 1.0)
    before = {token: dict(place.row(token)) for token in (stolen, postponed, ended)}
    backlog, index = place.as_crawler(first), ArchiveIndex(place.database, "a")
    index.new_file(f"{stolen}.warc.gz", 0.0)
    for token in before:
        record = ArchivedRecord(f"{stolen}.warc.gz", 0, 9, "n1", "own", "ab" * 32, 5, "text/html", 3.0, "http://a/")
        with pytest.raises(AlreadyEnded):
            index.mark_archived(token, record, (), 2.0)
        with pytest.raises(AlreadyEnded):
            backlog.mark_lost(token, LOST, (), 1.0)
        with pytest.raises(AlreadyEnded):
            backlog.postpone(token, 9, (), 9.0)
    assert index.committed(f"{stolen}.warc.gz") == 0
    assert {token: dict(place.row(token)) for token in before} == before
    place.as_crawler(second).postpone(stolen, 1, (), 5000.0)
    assert place.row(stolen)["claimed_by"] is None


def claims_are_given_back(place: Place) -> None:
    place.add(3)
    first, second, again = place.crawler("a"), place.crawler("b"), place.crawler("a")
    alike, percent = place.crawler("a%"), place.crawler("ab")
    one, two, three = tokens(first)
    first.give_back([one])
    assert tokens(second) == [one]
    alike.give_back_of_earlier_runs()
    percent.give_back_of_earlier_runs()
    assert tokens(second) == []
    again.give_back_all()
    assert tokens(second) == []
    again.give_back_of_earlier_runs()
    assert tokens(again) == [two, three]
    again.give_back_all()
    assert tokens(first) == [two, three]


def a_clock_that_jumps(place: Place) -> None:
    place.add(1)
    first, second = place.crawler("a"), place.crawler("b")
    (token,) = tokens(first)
    place.time -= 3600
    # Nobody waits for an hour; the first one cannot end it any more.
    assert tokens(second) == [token]
    assert first.renew([token]) == {token}
    place.time += 1e6
    assert tokens(first) == [token]
    assert second.renew([token]) == {token}


def a_crawlers_clock_that_was_wrong(place: Place) -> None:
    place.add(2)
    crawler = place.crawler("a")
    soon, late = tokens(crawler)
    place.as_crawler(crawler).postpone(soon, 1, (), place.time + 600)
    place.as_crawler(crawler).postpone(late, 1, (), place.time + 3600)
    crawler.renew([])
    assert place.row(soon)["next_at"] == place.time + 600
    assert place.row(late)["next_at"] == place.time


def a_node_has_a_limited_number(place: Place) -> None:
    place.add(12, nodes=2)
    first, second = place.crawler("a", per_node=3), place.crawler("b", per_node=3)
    taken = first.take(1.0, 4, (), ())
    assert (len(taken.jobs), taken.again_seconds) == (4, None)
    taken = second.take(1.0, 100, (), ())
    assert len(taken.jobs) == 2
    assert taken.again_seconds is not None
    assert second.take(1.0, 100, (), ()).jobs == ()
    first.give_back_all()
    assert {job.owner for job in second.take(1.0, 100, (), ["n0"]).jobs} == {"n1"}


def a_busy_node_does_not_hold_up_others(place: Place) -> None:
    place.add(40)
    first = place.crawler("a", per_node=2)
    assert len(tokens(first)) == 2
    place.backlog.add([arrival(f"u{number:03d}", f"other{number % 90}") for number in range(180)], 0.5)
    second = place.crawler("b", per_node=2)
    taken = second.take(1.0, 8, (), ("other7",))
    assert len({job.token for job in taken.jobs}) == 8
    assert {job.owner[:5] for job in taken.jobs} == {"other"}
    assert not {"n0", "other7"} & {job.owner for job in taken.jobs}
    assert taken.is_node_full
    for _ in range(26):
        taken = second.take(1.0, 8, (), ())
    assert taken.jobs == ()
    assert sum(row["claimed_by"] is not None for row in place.backlog.recordings(1000)) == 2 + 180


def a_crawler_without_its_name_claims_nothing(place: Place) -> None:
    place.add(1)
    crawler = place.crawler("a")
    crawler.may_claim = lambda: False
    taken = crawler.take(1.0, 100, (), ())
    assert (taken.jobs, taken.again_seconds) == ((), 0.5)


def losses_come_with_the_jobs(place: Place) -> None:
    place.add(1)
    token = place.backlog.recordings(1)[0]["token"]
    place.backlog.add_losses([Loss(token, LOST)], 0.0)
    (job,) = place.crawler("a").take(1.0, 100, (), ()).jobs
    assert job.loss_reason == LOST


def the_clock_is_the_databases(place: Place) -> None:
    with place.database.read() as connection:
        assert 1.7e9 < database_clock(connection) < 1e10


@pytest.mark.programs
@pytest.mark.slow
@pytest.mark.parametrize("kind", ["Postgresql", "Mariadb"])
def test_a_crawler_that_stops_within_a_claim_holds_up_nobody_for_long(kind: str) -> None:
    place = next(places := at_server(kind)())
    place.add(1)
    stopped, crawler = Database(open_engine(place.url)), place.crawler("a")

    def stop_for_a_while() -> None:
        with stopped.change() as connection:
            connection.execute(select(TURNS).with_for_update())
            assert crawler.take(1.0, 1, (), ()).again_seconds == 0.02
            wait_for("a claim", lambda: crawler.take(1.0, 1, (), ()).jobs or None, 30)
            connection.execute(select(TURNS)).all()

    with pytest.raises(BacklogError):
        stop_for_a_while()
    stopped.close()
    assert list(places) == []


def test_notices_of_other_sites_are_left_to_other_crawlers() -> None:
    place = Place()
    place.backlog.add([evolve(arrival(f"t{site}"), site=site) for site in ("main", "blog", "")], 0.0)
    main, blog = (
        SharedQueue(place.database, site, 100, LEASE, lambda _connection: place.time, [site], 900.0)
        for site in ("main", "blog")
    )
    assert sorted(tokens(main)) == ["t", "tmain"]
    assert tokens(main) == []
    assert tokens(blog) == ["tblog"]
    place.as_crawler(blog)
    blog.give_back(["tblog"])
    # No crawler had the site for that long.
    assert [job.token for job in main.take(902.0, 100, (), ()).jobs] == ["tblog"]
    place.database.close()


def test_the_only_crawler_claims_nothing() -> None:
    place = Place()
    place.add(3)
    work = UnsharedQueue(place.backlog)
    taken = work.take(1.0, 2, ("t0000",), ())
    assert ([job.token for job in taken.jobs], taken.again_seconds) == (["t0001", "t0002"], None)
    work.give_back(["t0001"])
    assert place.row("t0001")["claimed_by"] is None


@pytest.mark.slow
@given(
    st.lists(st.tuples(STEPS, st.integers(0, 2), st.integers(0, 90))),
)
def test_a_notice_never_has_two_crawlers(steps: list[tuple[str, int, int]]) -> None:
    """Only the crawler that claimed a notice last may end it. All together have no more of a node than the limit."""
    place = Place()
    place.add(8, nodes=2)
    crawlers = [place.crawler(name, per_node=3) for name in "abc"]
    held: list[set[str]] = [set(), set(), set()]
    for what, who, amount in steps:
        crawler, own = crawlers[who], held[who]
        if what == "take":
            got = set(tokens(crawler, amount % 4))
            held = [group - got for group in held]
            own = held[who] = held[who] | got
        elif what == "renew":
            lost = crawler.renew(sorted(own)[: amount % 9])
            assert lost == set()
            own.clear()
            own |= {each["token"] for each in place.backlog.recordings(9) if each["claimed_by"] == crawler.claimant}
        elif what == "back":
            crawler.give_back(sorted(own)[:1])
            own -= set(sorted(own)[:1])
        elif what == "clock":
            place.time += amount - 10
        for token in sorted(own)[:1] if what == "end" else ():
            place.as_crawler(crawler).mark_lost(token, LOST, (), 0.0)
            own.discard(token)
        rows = place.backlog.recordings(9)
        assert {each["token"]: each["claimed_by"] for each in rows if each["claimed_by"]} == {
            token: crawlers[number].claimant for number, group in enumerate(held) for token in group
        }
        live = [each for each in rows if each["lease_until"] and each["claimed_at"] <= place.time < each["lease_until"]]
        for node in ("n0", "n1"):
            assert sum(each["origin_node"] == node for each in live) <= 3
    place.database.close()
