from __future__ import annotations

from attrs import evolve

from lbcompanion.crawler.activity import Counts
from lbcompanion.crawler.admin.activity_api import Period
from lbcompanion.crawler.admin.audit_trail import WRITING as AUDIT
from lbcompanion.crawler.admin.guard import USERS_FILE
from lbcompanion.crawler.admin.health_parts import (
    State,
    of_nodes,
    of_problems,
    of_routes,
    of_webhooks,
    worst,
)
from lbcompanion.crawler.archive import files
from lbcompanion.crawler.archive.uploads import UPLOADING
from lbcompanion.crawler.erasure.eraser import ERASING
from lbcompanion.crawler.queue import database
from lbcompanion.crawler.queue.membership import NAME
from lbcompanion.crawler.queue.outcomes import Position
from lbcompanion.crawler.queue.webhook_table import WebhookState
from lbcompanion.crawler.webhooks.senders import WebhookReport
from lbcompanion.sticky.routes import Route, RouteState

#: Each topic of a problem, and the kind of its part.
KINDS = {
    database.WRITING: "queue",
    database.READING: "queue",
    NAME: "queue",
    files.WRITING: "archive",
    files.ROOM: "archive",
    "archive file a.warc.gz": "archive",
    UPLOADING: "uploads",
    AUDIT: "audit log",
    USERS_FILE: "users",
    ERASING: "erasure",
    "the crawler other is gone": "crawler",
    "site main": "site",
    "something new": "other",
}


def test_each_problem_has_its_kind_and_advice() -> None:
    for topic, kind in KINDS.items():
        parts = of_problems({topic: "it is broken"}, ["main", "shop"])
        (failing,) = [part for part in parts if part.state is State.FAILING]
        assert failing.kind == kind, topic
        assert "it is broken" in failing.what
        assert failing.advice
        assert ("site", "shop", State.OK) in [(part.kind, part.name, part.state) for part in parts]
        names = [(part.kind, part.name) for part in parts]
        assert len(set(names)) == len(names), topic


def test_without_problems_each_part_is_named() -> None:
    parts = of_problems({}, ["main"])
    assert {part.kind for part in parts} == {"queue", "archive", "uploads", "audit log", "erasure", "site"}
    assert worst(parts) is State.OK
    assert worst([]) is State.OK


def test_nodes_by_the_pages_of_the_last_hour() -> None:
    def node(archived: int, lost: dict[str, int]) -> State:
        (part,) = of_nodes({"n1": Period(archived=Counts(pages=archived), lost=lost)})
        assert bool(part.advice) is bool(lost)
        return part.state

    assert node(0, {}) is State.OK
    assert node(9, {"expired": 1}) is State.WARNING
    assert node(0, {"expired": 4}) is State.WARNING
    assert node(5, {"expired": 3, "other": 2}) is State.WARNING
    assert node(4, {"expired": 3, "other": 2}) is State.FAILING
    (part,) = of_nodes({"n1": Period(archived=Counts(pages=1), lost={"few": 1, "expired": 3}), "": Period()})
    assert "4 of 5 pages" in part.what
    assert "expired" in part.what


def test_routes() -> None:
    route = Route("main", "n1", (), "", RouteState.PROVEN, 0.0)
    parts = of_routes(evolve(route, state=state) for state in RouteState)
    assert [part.state for part in parts] == [
        State.OK if state is RouteState.PROVEN else State.WARNING for state in RouteState
    ]
    assert parts[0].name == "main/n1"


def test_webhooks() -> None:
    reports = [
        WebhookReport("shop", "h.test", WebhookState(Position("0a0a0a0a", 1), failures, error="status 500"), 7)
        for failures in (0, 1, 3)
    ]
    parts = of_webhooks(reports)
    assert [part.state for part in parts] == [State.OK, State.WARNING, State.FAILING]
    assert "status 500; 7 outcomes wait" in parts[2].what
    assert "h.test" in parts[2].advice
    assert worst(parts) is State.FAILING
    # Its own report says more than the problem does.
    assert worst(of_problems({"the webhook shop does not accept outcomes": "x"}, [])) is State.OK
