"""Visitors of one farm: who they are, what they saw, and at which node each of them is at home."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tests.support.farm import NODES, ProcessFarm
from tests.support.session_site import SESSION, TOMCAT
from tests.support.visitor import View, Visitor

_MOST = 120


class VisitorGroup:
    """Visitors.

    :param sticks: whether each has a node.
    :param late: whether a visitor's first page comes before there is a cookie to go by.
    :param addresses: whether each comes from an address of his own.
    """

    def __init__(self, farm: ProcessFarm, sticks: bool = True, late: bool = False, addresses: bool = False) -> None:
        self.farm = farm
        self.visitors: list[Visitor] = []
        self.views: list[View] = []
        self._nodes: list[list[str]] = []
        self._sticks = sticks
        self._late = late
        self._addresses = addresses
        self._roaming = False
        self._checked = 0

    @property
    def everybody(self) -> list[int]:
        return list(range(len(self.visitors)))

    def _home(self, number: int) -> str:
        return self._nodes[number][-1] if self._nodes[number] else ""

    def of(self, node: str) -> list[int]:
        """Whose home that node is."""
        return [number for number in self.everybody if self._home(number) == node]

    def again(self, number: int) -> Visitor:
        """The same visitor with an empty pocket, or the first time."""
        address = f"127.0.{1 + number}.1" if self._addresses else ""
        return Visitor(self.farm.site, self.farm.sticky.cookies, address, forgiving=True)

    def join(self, notice: bool = True) -> View:
        """A new visitor looks at a first page."""
        self.visitors.append(self.again(len(self.visitors)))
        self._nodes.append([])
        return self._view(len(self.visitors) - 1, notice, counts=not self._late)

    def join_on_all_nodes(self, least: int) -> None:
        """Add visitors until each node has the wanted number."""
        while any(len(self.of(name)) < least for name in NODES):
            assert len(self.visitors) < _MOST, "newcomers do not reach all nodes"
            self.join()
            if self._late:
                self.view_page(len(self.visitors) - 1)

    def view_page(self, number: int, notice: bool = True) -> View:
        """One of them looks at another page, at the node where all of his pages were."""
        return self._view(number, notice, counts=True)

    def _view(self, number: int, notice: bool, counts: bool) -> View:
        view = self.visitors[number].view(f"/page/{len(self.views)}?q=1")
        self.views.append(view)
        if counts:
            self._note_node(number, self.farm.served_page(view).node)
        if notice:
            self.visitors[number].notice(view)
        return view

    def _note_node(self, number: int, node: str) -> None:
        if self._roaming:
            return
        nodes = self._nodes[number]
        nodes.append(node)
        assert len(set(nodes)) == 1 or not self._sticks, f"visitor {number} was moved: {nodes}"

    def pages_of(self, node: str, count: int, of: Collection[int] = ()) -> list[tuple[int, View]]:
        """So many pages of that node, which nobody is told of; with the number of who saw them.

        :param of: who shall look, where visitors have a node.
        """
        if self._sticks:
            return [(number, self.view_page(number, notice=False)) for number in of]
        found: list[tuple[int, View]] = []
        while len(found) < count:
            number = len(self.views) % len(self.visitors)
            view = self.view_page(number, notice=False)
            if self.farm.served_page(view).node == node:
                found.append((number, view))
            else:
                self.visitors[number].notice(view)
        return found

    @contextmanager
    def roaming(self, allowed: bool) -> Iterator[None]:
        """Meanwhile the balancer itself may give anybody to any node; afterwards each is to be home again."""
        self._roaming = allowed
        try:
            yield
        finally:
            self._roaming = False

    def resettle(self, numbers: Collection[int]) -> None:
        """The balancer itself may have given these to another node: they look where they are now."""
        for number in numbers:
            self._nodes[number].clear()
            self.view_page(number)

    def finished(self, seconds: float = 60.0) -> Mapping[str, Mapping[str, Any]]:
        return self.farm.finished([view.token for view in self.views], seconds)

    def check_archived(self, seconds: float = 60.0) -> Mapping[str, Mapping[str, Any]]:
        """Check that all pages are archived as they were served, and return their recordings."""
        found = self.finished(seconds)
        self.farm.check_archived(self.views, found)
        self._checked = len(self.views)
        return found

    def check_new_archived(self, seconds: float = 60.0) -> None:
        """Check the pages since the last check; a check of all pages at the end finds what changed later.

        A crawler uses 5 ms of CPU to show a page.
        """
        found = self.finished(seconds)
        self.farm.check_archived(self.views[self._checked :], found)
        self._checked = len(self.views)

    def are_home(self, numbers: Collection[int]) -> None:
        """Check that no visitor was moved: a request on a new connection reaches the same node as before."""
        if self._sticks:
            for number in numbers:
                again = self.again(number)
                again.cookies = dict(self.visitors[number].cookies)
                self._note_node(number, self.farm.served_page(again.view("/home")).node)

    def secrets(self) -> list[str]:
        """The cookies that open a session, without those that the operator allowed."""
        found = []
        for visitor in self.visitors:
            for name in {SESSION, TOMCAT} - set(self.farm.sticky.allow):
                value = visitor.cookies.get(name, "")
                found.append(value.partition("~")[2] or value)
        return [value for value in found if value]
