"""Pure models of sticky balancers: which node gets a request, and which cookies the visitor gets.

Each model has its manual in ``lbcompanion/sticky/dialects``; here is only what it does, without I/O. That a model does
what the real balancer does is tested by long random walks through both (``tests/e2e/test_oracle.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Protocol

from attrs import Factory, define, evolve, field, frozen

#: Cookies as received, in order, with duplicates.
Pairs = Sequence[tuple[str, str]]


def pairs(header: str) -> list[tuple[str, str]]:
    """Read a ``Cookie`` header as balancers do, with all duplicates."""
    split = (piece.partition("=") for piece in header.split(";"))
    return [(name.strip(" \t"), value.strip(" \t")) for name, equals, value in split if equals and name.strip(" \t")]


@frozen
class NodeStates:
    """The states of the nodes, as the balancer knows them.

    :ivar up: nodes that accept all requests, in the order of the configuration.
    :ivar draining: nodes that accept only visitors who stick to them.
    """

    up: tuple[str, ...]
    draining: frozenset[str] = frozenset()
    usable: frozenset[str] = field(
        init=False, repr=False, default=Factory(lambda self: self.draining | frozenset(self.up), takes_self=True)
    )


@frozen
class Prediction:
    """The possible destinations of a request.

    :ivar nodes: the possible nodes; empty if the request is refused.
    :ivar by_cookie: whether a cookie decided.
    """

    nodes: tuple[str, ...]
    by_cookie: bool = False


@frozen
class Choice:
    """The node chosen for a request.

    :ivar node: the node; empty if the request is refused.
    :ivar set_cookies: the ``Set-Cookie`` values that the balancer adds.
    :ivar bound: the key that the request bound to the node; empty if none.
    """

    node: str
    set_cookies: tuple[str, ...] = ()
    bound: str = ""


class BalancerModel(Protocol):
    """The interface of a model."""

    def predict(self, cookies: Pairs, node_states: NodeStates) -> Prediction:
        """Return where a request may go, without changing state."""
        ...

    def record(self, cookies: Pairs, node_states: NodeStates, node: str) -> Choice:
        """Record that a request went to one of the predicted nodes; return the choice."""
        ...

    def choose(self, cookies: Pairs, node_states: NodeStates) -> Choice:
        """Choose one of the predicted nodes, and record it."""
        ...

    def cookies_for_node(self, cookies: Pairs) -> Pairs:
        """Return a request's cookies as forwarded to the node."""
        ...

    def cookies_for_visitor(self, node: str, given: Pairs) -> Pairs:
        """Return the cookies that a node's response sets as forwarded to the visitor, and record them."""
        ...


@define
class RoundRobin:
    """Round robin."""

    _count: int = 0

    def next(self, up: Sequence[str]) -> str:
        """Return the next node; empty if all are down."""
        self._count += 1
        return up[self._count % len(up)] if up else ""


@define
class NoStickiness:
    """Every request goes to the next node."""

    round_robin: RoundRobin = field(factory=RoundRobin, kw_only=True)

    def predict(self, cookies: Pairs, node_states: NodeStates) -> Prediction:
        """Every node that is up."""
        return Prediction(node_states.up)

    def record(self, cookies: Pairs, node_states: NodeStates, node: str) -> Choice:
        """No cookie."""
        return Choice(node)

    def choose(self, cookies: Pairs, node_states: NodeStates) -> Choice:
        """The only possible node, else the next by round robin."""
        prediction = self.predict(cookies, node_states)
        node = prediction.nodes[0] if prediction.by_cookie else self.round_robin.next(prediction.nodes)
        return self.record(cookies, node_states, node) if node else Choice("")

    def cookies_for_node(self, cookies: Pairs) -> Pairs:
        """All cookies, unchanged."""
        return cookies

    def cookies_for_visitor(self, node: str, given: Pairs) -> Pairs:
        """All cookies, unchanged."""
        return given


class CookieRewrite(Enum):
    """How a balancer changes a cookie that the application sets under the sticky name."""

    NONE = "it stays as it is"
    DROPPED = "the balancer's own comes in its place"
    PREFIXED = "the node's text and a tilde are put before it"
    REPLACED = "the node's text comes in its place"


@define
class CookieInsertion(NoStickiness):
    """A cookie's value names a node. If the node is usable, it gets the request; else the next one by round robin does,
    and the response sets a new cookie. ``cookie NAME insert`` of HAProxy, and all that do alike.

    :ivar values: node to the text in the cookie; by default the node's name.
    :ivar indirect: whether the cookie is removed before the request is forwarded.
    :ivar attributes: the attributes after the value.
    :ivar sets_cookie: whether the balancer sets the cookie by itself.
    :ivar rewrite: what happens to the application's cookie of that name.
    :ivar first_only: whether only the first of several cookies with the name counts.
    :ivar read: finds the text in a cookie's value.
    :ivar write: makes a cookie's value from the text.
    """

    name: str = "SRV"
    values: Mapping[str, str] = field(factory=dict)
    indirect: bool = False
    attributes: str = "; path=/"
    sets_cookie: bool = True
    rewrite: CookieRewrite = CookieRewrite.NONE
    first_only: bool = False
    read: Callable[[str], str] = str
    write: Callable[[str], str] = str
    _nodes: dict[str, str] = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self.rotate(self.values)

    def rotate(self, values: Mapping[str, str]) -> None:
        """Replace the nodes' texts; the old ones become void."""
        self.values = values
        self._nodes = {text: node for node, text in values.items()}

    def _node_of(self, value: str) -> str:
        text = self.read(value)
        return self._nodes.get(text) or ("" if text in self.values else text)

    def predict(self, cookies: Pairs, node_states: NodeStates) -> Prediction:
        """The first cookie that leads to a usable node decides."""
        for name, value in cookies:
            if name == self.name:
                node = self._node_of(value)
                if node in node_states.usable:
                    return Prediction((node,), by_cookie=True)
                if self.first_only:
                    break
        return Prediction(node_states.up)

    def cookie(self, node: str) -> str:
        """Return the cookie's value for a node."""
        return self.write(self.values.get(node, node))

    def record(self, cookies: Pairs, node_states: NodeStates, node: str) -> Choice:
        """Set the cookie unless the request stuck."""
        if not self.sets_cookie or self.predict(cookies, node_states).by_cookie:
            return Choice(node)
        return Choice(node, (f"{self.name}={self.cookie(node)}{self.attributes}",))

    def cookies_for_node(self, cookies: Pairs) -> Pairs:
        """Remove the sticky cookie, or the balancer's part of it."""
        if self.indirect:
            return [pair for pair in cookies if pair[0] != self.name]
        if self.rewrite is CookieRewrite.PREFIXED:
            return [(name, _after_tilde(value) if name == self.name else value) for name, value in cookies]
        return cookies

    def cookies_for_visitor(self, node: str, given: Pairs) -> Pairs:
        """Replace the value by the node's text, or prefix it."""
        if self.rewrite is CookieRewrite.NONE:
            return given
        text = self.values.get(node, node)
        passed_on = [pair for pair in given if pair[0] != self.name or self.rewrite is not CookieRewrite.DROPPED]
        prefix = f"{text}~" if self.rewrite is CookieRewrite.PREFIXED else ""
        return [
            (name, (f"{prefix}{value}" if prefix else text) if name == self.name else value)
            for name, value in passed_on
        ]


def _after_tilde(value: str) -> str:
    _, tilde, after = value.partition("~")
    return after if tilde else value


@define
class StickTable(NoStickiness):
    """HAProxy's ``stick on req.cook(NAME)``: a table binds a cookie's value to a node, and rebinds it if
    that node is down. Empty values are not modelled: HAProxy 2.6 treats them as keys only sometimes.

    :ivar learns: whether a response that sets the cookie binds it too (``stick store-response res.cook(NAME)``).
    """

    name: str = "sess"
    learns: bool = False
    table: dict[str, str] = field(factory=dict)

    def _key(self, cookies: Pairs) -> str | None:
        # The last of several, unlike in other models: see req.cook in HAProxy's manual.
        return next((value for name, value in reversed(cookies) if name == self.name), None)

    def predict(self, cookies: Pairs, node_states: NodeStates) -> Prediction:
        """The node that the key is bound to, if usable."""
        key = self._key(cookies)
        bound = "" if key is None else self.table.get(key, "")
        return Prediction((bound,), by_cookie=True) if bound in node_states.usable else Prediction(node_states.up)

    def record(self, cookies: Pairs, node_states: NodeStates, node: str) -> Choice:
        """Bind the key to the node."""
        key = self._key(cookies)
        if key is None or self.table.get(key) == node:
            return Choice(node)
        self.table[key] = node
        return Choice(node, bound=key)

    def cookies_for_visitor(self, node: str, given: Pairs) -> Pairs:
        """All cookies; a new session is bound too, if the table learns from responses."""
        if self.learns:
            self.table.update({value: node for name, value in given if name == self.name and value})
        return given


@define
class TwoTiers(NoStickiness):
    """A balancer that chooses a group of nodes, followed by one balancer for each group.

    :ivar groups: group to its nodes.
    :ivar inner: group to its balancer's model.
    """

    outer: CookieInsertion = field(factory=lambda: CookieInsertion("DC"))
    groups: Mapping[str, tuple[str, ...]] = field(factory=dict)
    inner: Mapping[str, CookieInsertion] = field(factory=dict)

    def _group_states(self, node_states: NodeStates) -> NodeStates:
        """A group is up while one of its nodes is up."""
        up = tuple(group for group, nodes in self.groups.items() if any(node in node_states.up for node in nodes))
        used = frozenset(group for group, nodes in self.groups.items() if node_states.usable.intersection(nodes))
        return NodeStates(up, used - frozenset(up))

    def _member_states(self, group: str, node_states: NodeStates) -> NodeStates:
        nodes = self.groups[group]
        up = tuple(node for node in nodes if node in node_states.up)
        return evolve(node_states, up=up, draining=node_states.draining.intersection(nodes))

    def predict(self, cookies: Pairs, node_states: NodeStates) -> Prediction:
        """All combinations of both tiers."""
        groups = self.outer.predict(cookies, self._group_states(node_states))
        inner = [self.inner[group].predict(cookies, self._member_states(group, node_states)) for group in groups.nodes]
        nodes = tuple(node for each in inner for node in each.nodes)
        return Prediction(nodes, groups.by_cookie and all(each.by_cookie for each in inner))

    def choose(self, cookies: Pairs, node_states: NodeStates) -> Choice:
        """Choose a group, then a node in it."""
        first = self.outer.choose(cookies, self._group_states(node_states))
        if not first.node:
            return first
        second = self.inner[first.node].choose(cookies, self._member_states(first.node, node_states))
        return Choice(second.node, (*second.set_cookies, *first.set_cookies))

    def record(self, cookies: Pairs, node_states: NodeStates, node: str) -> Choice:
        """Both tiers set their own cookies."""
        group = next(group for group, nodes in self.groups.items() if node in nodes)
        first = self.outer.record(cookies, self._group_states(node_states), group)
        second = self.inner[group].record(cookies, self._member_states(group, node_states), node)
        return Choice(node, (*second.set_cookies, *first.set_cookies))
