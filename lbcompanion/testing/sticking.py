"""How balancers stick, as pure models: which node gets a request, and what the visitor is told to remember.

Each model has its manual in ``lbcompanion/sticky/dialects``; here is only what it does, without I/O.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from attrs import define, field, frozen


@frozen
class Choice:
    """What becomes of one request.

    :ivar node: where it goes; empty: nowhere, no node is up.
    :ivar set_cookie: what the answer says in addition; empty: nothing.
    :ivar hidden: the cookie that the node does not get to see; empty: it sees all.
    :ivar bound: the key that the request bound to a node, for the first time or anew; empty: none.
    """

    node: str
    set_cookie: str = ""
    hidden: str = ""
    bound: str = ""


class Sticking(Protocol):
    """One balancer's way."""

    def choose(self, cookies: Mapping[str, str], up: Sequence[str]) -> Choice:
        """Choose.

        :param cookies: the request's.
        :param up: the nodes that the balancer takes for being up, in the order of its configuration.
        """
        ...


@define
class Turns:
    """Round robin."""

    _count: int = 0

    def next(self, up: Sequence[str]) -> str:
        """The next node; empty where none is up."""
        self._count += 1
        return up[self._count % len(up)] if up else ""


@define
class NoStickiness:
    """Every request goes to the next node."""

    turns: Turns = field(factory=Turns)

    def choose(self, cookies: Mapping[str, str], up: Sequence[str]) -> Choice:
        """Choose."""
        return Choice(self.turns.next(up))


@define
class Inserting:
    """``cookie NAME insert`` of HAProxy, and all that do alike: a known value whose node is up leads there, else the
    next node in turn gets the request and the answer a new cookie.

    :ivar values: node to the cookie's value; what is missing stands for itself.
    :ivar indirect: whether the node is not shown the cookie.
    :ivar attributes: what stands behind the value.
    """

    name: str = "SRV"
    values: Mapping[str, str] = field(factory=dict)
    indirect: bool = False
    attributes: str = "; path=/"
    turns: Turns = field(factory=Turns)

    def choose(self, cookies: Mapping[str, str], up: Sequence[str]) -> Choice:
        """Choose."""
        hidden = self.name if self.indirect else ""
        told = cookies.get(self.name)
        known = {self.values.get(node, node): node for node in up}
        if told is not None and told in known:
            return Choice(known[told], hidden=hidden)
        node = self.turns.next(up)
        if not node:
            return Choice("")
        return Choice(node, f"{self.name}={self.values.get(node, node)}{self.attributes}", hidden)


@define
class Remembering:
    """``stick on req.cook(NAME)`` of HAProxy: the balancer's own table binds a cookie's value to a node, and binds it
    anew where that node is down.
    """

    name: str = "sess"
    table: dict[str, str] = field(factory=dict)
    turns: Turns = field(factory=Turns)

    def choose(self, cookies: Mapping[str, str], up: Sequence[str]) -> Choice:
        """Choose, and remember."""
        key = cookies.get(self.name, "")
        bound = self.table.get(key)
        if bound is not None and bound in up:
            return Choice(bound)
        node = self.turns.next(up)
        if not key or not node:
            return Choice(node)
        self.table[key] = node
        return Choice(node, bound=key)
