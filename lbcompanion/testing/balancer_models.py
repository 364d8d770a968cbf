"""How balancers stick, as pure models: which node gets a request, and what the visitor is told to remember.

Each model has its manual in ``lbcompanion/sticky/dialects``; here is only what it does, without I/O. That a model does
what the real balancer does is tested by long random walks through both (``tests/e2e/test_oracle.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Protocol

from attrs import Factory, define, evolve, field, frozen

#: Cookies as they came, in order, duplicates and all.
Pairs = Sequence[tuple[str, str]]


def pairs(header: str) -> list[tuple[str, str]]:
    """Read a ``Cookie`` header as balancers do, with all duplicates."""
    split = (piece.partition("=") for piece in header.split(";"))
    return [(name.strip(" \t"), value.strip(" \t")) for name, equals, value in split if equals and name.strip(" \t")]


@frozen
class NodeStates:
    """What the balancer takes its nodes for.

    :ivar up: those that take everybody, in the order of its configuration.
    :ivar draining: those that take only who is theirs already.
    """

    up: tuple[str, ...]
    draining: frozenset[str] = frozenset()
    usable: frozenset[str] = field(
        init=False, repr=False, default=Factory(lambda self: self.draining | frozenset(self.up), takes_self=True)
    )


@frozen
class Prediction:
    """What may become of a request, before it does.

    :ivar nodes: where it may go, one of them; none: it is refused.
    :ivar by_cookie: whether it is the cookie that decided.
    """

    nodes: tuple[str, ...]
    by_cookie: bool = False


@frozen
class Choice:
    """What became of one request.

    :ivar node: where it went; empty: nowhere.
    :ivar set_cookies: what the answer says in addition.
    :ivar bound: the key that the request bound to a node, for the first time or anew; empty: none.
    """

    node: str
    set_cookies: tuple[str, ...] = ()
    bound: str = ""


class BalancerModel(Protocol):
    """One balancer's way."""

    def predict(self, cookies: Pairs, node_states: NodeStates) -> Prediction:
        """Say where a request may go; changes nothing."""
        ...

    def record(self, cookies: Pairs, node_states: NodeStates, node: str) -> Choice:
        """A request went to a node, one of those foreseen: say what else follows, and remember it."""
        ...

    def choose(self, cookies: Pairs, node_states: NodeStates) -> Choice:
        """Choose one of the nodes foreseen, and settle that."""
        ...

    def cookies_for_node(self, cookies: Pairs) -> Pairs:
        """What the node gets to see of a request's cookies."""
        ...

    def cookies_for_visitor(self, node: str, given: Pairs) -> Pairs:
        """What the visitor gets to see of the cookies that a node's answer sets; and remember them."""
        ...


@define
class RoundRobin:
    """Round robin."""

    _count: int = 0

    def next(self, up: Sequence[str]) -> str:
        """The next node; empty where none is up."""
        self._count += 1
        return up[self._count % len(up)] if up else ""


@define
class NoStickiness:
    """Every request goes to the next node."""

    round_robin: RoundRobin = field(factory=RoundRobin, kw_only=True)

    def predict(self, cookies: Pairs, node_states: NodeStates) -> Prediction:
        """See :class:`BalancerModel`, here and below."""
        return Prediction(node_states.up)

    def record(self, cookies: Pairs, node_states: NodeStates, node: str) -> Choice:
        """Nothing follows."""
        return Choice(node)

    def choose(self, cookies: Pairs, node_states: NodeStates) -> Choice:
        """By turns where there is freedom."""
        prediction = self.predict(cookies, node_states)
        node = prediction.nodes[0] if prediction.by_cookie else self.round_robin.next(prediction.nodes)
        return self.record(cookies, node_states, node) if node else Choice("")

    def cookies_for_node(self, cookies: Pairs) -> Pairs:
        """All."""
        return cookies

    def cookies_for_visitor(self, node: str, given: Pairs) -> Pairs:
        """All."""
        return given


class CookieRewrite(Enum):
    """What a balancer does to a cookie that the application sets under the sticky name."""

    NONE = "it stays as it is"
    DROPPED = "the balancer's own comes in its place"
    PREFIXED = "the node's text and a tilde are put before it"
    REPLACED = "the node's text comes in its place"


@define
class CookieInsertion(NoStickiness):
    """A cookie's value names a node: one that can be used gets the request, else the next one in turn does, and the
    answer has a new cookie. ``cookie NAME insert`` of HAProxy, and all that do alike.

    :ivar values: node to the text in the cookie; what is missing stands for itself.
    :ivar indirect: whether the node is not shown the cookie.
    :ivar attributes: what stands behind the value.
    :ivar sets_cookie: whether the balancer sets the cookie by itself.
    :ivar rewrite: what becomes of the application's cookie of that name.
    :ivar first_only: whether of several cookies of the name the first alone counts, wherever it leads.
    :ivar read: finds the text in a cookie's value.
    :ivar write: makes a cookie's value of the text.
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
        """From now on other texts stand for the nodes; the old ones are void."""
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
                    return Prediction((node,), True)
                if self.first_only:
                    break
        return Prediction(node_states.up)

    def cookie(self, node: str) -> str:
        """The value for a node."""
        return self.write(self.values.get(node, node))

    def record(self, cookies: Pairs, node_states: NodeStates, node: str) -> Choice:
        """Who did not stick gets a cookie."""
        if not self.sets_cookie or self.predict(cookies, node_states).by_cookie:
            return Choice(node)
        return Choice(node, (f"{self.name}={self.cookie(node)}{self.attributes}",))

    def cookies_for_node(self, cookies: Pairs) -> Pairs:
        """Without the sticky cookie; or without the balancer's part of it."""
        if self.indirect:
            return [pair for pair in cookies if pair[0] != self.name]
        if self.rewrite is CookieRewrite.PREFIXED:
            return [(name, _after_tilde(value) if name == self.name else value) for name, value in cookies]
        return cookies

    def cookies_for_visitor(self, node: str, given: Pairs) -> Pairs:
        """With the node's text in it, or before it."""
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
    """``stick on req.cook(NAME)`` of HAProxy: the balancer's own table binds a cookie's value to a node, and binds it
    anew where that node is down. What becomes of an empty value is not modelled: HAProxy 2.6 takes it for a key now and
    then, for whose it cannot be told.

    :ivar learns: whether an answer that sets the cookie binds it too (``stick store-response res.cook(NAME)``).
    """

    name: str = "sess"
    learns: bool = False
    table: dict[str, str] = field(factory=dict)

    def _key(self, cookies: Pairs) -> str | None:
        # Of several the last, other than anywhere else: so says HAProxy's manual of req.cook, and so it does.
        return next((value for name, value in reversed(cookies) if name == self.name), None)

    def predict(self, cookies: Pairs, node_states: NodeStates) -> Prediction:
        """Where the key is bound to."""
        key = self._key(cookies)
        bound = "" if key is None else self.table.get(key, "")
        return Prediction((bound,), True) if bound in node_states.usable else Prediction(node_states.up)

    def record(self, cookies: Pairs, node_states: NodeStates, node: str) -> Choice:
        """The key is bound there."""
        key = self._key(cookies)
        if key is None or self.table.get(key) == node:
            return Choice(node)
        self.table[key] = node
        return Choice(node, bound=key)

    def cookies_for_visitor(self, node: str, given: Pairs) -> Pairs:
        """All; a session that has just begun is bound as well."""
        if self.learns:
            self.table.update({value: node for name, value in given if name == self.name and value})
        return given


@define
class TwoTiers(NoStickiness):
    """A balancer that chooses a group of nodes, and behind it one for each group.

    :ivar groups: group to its nodes.
    :ivar inner: group to what its balancer does.
    """

    outer: CookieInsertion = field(factory=lambda: CookieInsertion("DC"))
    groups: Mapping[str, tuple[str, ...]] = field(factory=dict)
    inner: Mapping[str, CookieInsertion] = field(factory=dict)

    def _group_states(self, node_states: NodeStates) -> NodeStates:
        """A group is up while one of its nodes is."""
        up = tuple(group for group, nodes in self.groups.items() if any(node in node_states.up for node in nodes))
        used = frozenset(group for group, nodes in self.groups.items() if node_states.usable.intersection(nodes))
        return NodeStates(up, used - frozenset(up))

    def _member_states(self, group: str, node_states: NodeStates) -> NodeStates:
        nodes = self.groups[group]
        up = tuple(node for node in nodes if node in node_states.up)
        return evolve(node_states, up=up, draining=node_states.draining.intersection(nodes))

    def predict(self, cookies: Pairs, node_states: NodeStates) -> Prediction:
        """All that may come of both."""
        groups = self.outer.predict(cookies, self._group_states(node_states))
        inner = [self.inner[group].predict(cookies, self._member_states(group, node_states)) for group in groups.nodes]
        nodes = tuple(node for each in inner for node in each.nodes)
        return Prediction(nodes, groups.by_cookie and all(each.by_cookie for each in inner))

    def choose(self, cookies: Pairs, node_states: NodeStates) -> Choice:
        """The one behind the other."""
        first = self.outer.choose(cookies, self._group_states(node_states))
        if not first.node:
            return first
        second = self.inner[first.node].choose(cookies, self._member_states(first.node, node_states))
        return Choice(second.node, (*second.set_cookies, *first.set_cookies))

    def record(self, cookies: Pairs, node_states: NodeStates, node: str) -> Choice:
        """Each gives its own cookie."""
        group = next(group for group, nodes in self.groups.items() if node in nodes)
        first = self.outer.record(cookies, self._group_states(node_states), group)
        second = self.inner[group].record(cookies, self._member_states(group, node_states), node)
        return Choice(node, (*second.set_cookies, *first.set_cookies))
