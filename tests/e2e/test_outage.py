"""A node goes away: the others' visitors notice nothing, and its pages are lost with the reason, or archived later."""

from __future__ import annotations

import http.client
import signal
import threading
import time

import pytest

from tests.support import balancers
from tests.support.children import wait_for
from tests.support.farm import NODES, ProcessFarm, StickySettings
from tests.support.visitor import View, Visitor

DEAD = "n2"
GIVE_UP_SECONDS = 3
STICKING = StickySettings(("SRV",), "haproxy-insert")


def one_visitor_each(farm: ProcessFarm) -> dict[str, tuple[Visitor, View]]:
    """A visitor of each node, with a first page that nobody was told of yet."""
    found: dict[str, tuple[Visitor, View]] = {}

    def look() -> bool:
        visitor = Visitor(farm.site)
        view = visitor.view("/first")
        found.setdefault(farm.served_page(view).node, (visitor, view))
        return set(found) == set(NODES)

    wait_for("a visitor of each node", look)
    return found


class BackgroundVisitors:
    """Visitors who look at pages all the while, each in a thread, noticing every one."""

    def __init__(self, visitors: list[Visitor]) -> None:
        self.views: list[View] = []
        self.failures: list[str] = []
        self._stopped = threading.Event()
        self._threads = [
            threading.Thread(target=self._view_pages, args=(visitor,), daemon=True) for visitor in visitors
        ]
        for thread in self._threads:
            thread.start()

    def _view_pages(self, visitor: Visitor) -> None:
        while not self._stopped.wait(0.15):
            try:
                view = visitor.view("/stroll")
                visitor.notice(view)
                self.views.append(view)
            except Exception as failure:
                self.failures.append(repr(failure))

    def end(self) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()


def end(farm: ProcessFarm, how: signal.Signals) -> None:
    """End a node's companion, then its application."""
    for name in (f"companion-{DEAD}", f"application-{DEAD}"):
        farm.children[name].send(how)
        farm.children[name].ended()


def noticed(visitor: Visitor, view: View) -> None:
    """Post a notice as a browser does that tries a broken connection once more."""
    try:
        visitor.notice(view)
    except (OSError, http.client.HTTPException):
        visitor.notice(view)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_what_a_dead_node_had_is_lost_and_nobody_else_notices(new_farm, how):
    farm = new_farm(balancers.haproxy_with("insert"), STICKING, give_up_seconds=GIVE_UP_SECONDS)
    visitors = one_visitor_each(farm)
    abandoned, lost = visitors.pop(DEAD)
    busy, _ = one_visitor_each(farm)[DEAD]
    stroll, moved = BackgroundVisitors([visitor for visitor, _ in visitors.values()]), BackgroundVisitors([busy])
    try:
        time.sleep(0.3)
        before = len(stroll.views)
        end(farm, how)
        noticed(abandoned, lost)
        told_at = time.monotonic()
        # Another node takes the visitor over.
        view = abandoned.view("/elsewhere")
        assert farm.served_page(view).node != DEAD
        abandoned.notice(view)
        found = farm.finished([lost.token, view.token], 40)
        took = time.monotonic() - told_at
    finally:
        stroll.end()
        moved.end()
    recording = found[lost.token]
    assert (recording["outcome"], recording["origin_node"], recording["answered_by"], recording["warc"]) == (
        "lost",
        DEAD,
        None,
        None,
    )
    if how is signal.SIGKILL:
        assert recording["reason"].startswith(f"no answer from {DEAD} within {GIVE_UP_SECONDS} s: last ")
        assert took >= GIVE_UP_SECONDS
    else:
        # It said so itself before it went.
        assert recording["reason"] == "the node stopped, and it has no peers that could keep the copy"
    assert stroll.failures == []
    assert len(stroll.views) - before > 10
    assert {farm.served_page(view).node for view in stroll.views} == set(visitors)
    # The dead node's own visitor goes on elsewhere, and loses what was under way at most.
    assert len(moved.failures) <= (1 if how is signal.SIGKILL else 0), moved.failures
    assert farm.served_page(moved.views[-1]).node in visitors
    alive = [*stroll.views, *(view for view in moved.views if farm.served_page(view).node != DEAD), view]
    farm.check_archived(alive, farm.finished([one.token for one in alive], 15))
    archived = [recording for recording in farm.recordings().values() if recording["outcome"] == "archived"]
    assert len(farm.records("text/html")) == len(archived)


def test_what_a_node_kept_is_archived_when_it_is_back_in_time(new_farm):
    farm = new_farm(balancers.haproxy_with("insert"), STICKING, give_up_seconds=25, store="sqlite:///pages-NAME.db")
    visitor, view = one_visitor_each(farm)[DEAD]
    farm.wait_stored(DEAD)
    end(farm, signal.SIGKILL)
    noticed(visitor, view)

    def tried() -> bool:
        return farm.recordings().get(view.token, {}).get("attempts", []) != []

    wait_for("a vain attempt", tried)
    assert farm.recordings()[view.token]["outcome"] is None
    farm.children[f"application-{DEAD}"].start()
    farm.children[f"companion-{DEAD}"].start()
    farm.wait_ready(DEAD)
    found = farm.finished([view.token], 25)
    farm.check_archived([view], found)
    assert {attempt["node"] for attempt in found[view.token]["attempts"]} != {DEAD}
